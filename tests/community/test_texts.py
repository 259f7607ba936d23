"""Text by people: what may show, and what never runs."""

import pytest

from community import texts


def test_markdown_shows_as_html_and_links_vouch_for_nothing() -> None:
    html = texts.to_html("# Walks\n\nEvery **Sunday**, see [map](https://example.org/map)\n\n- one\n- two")
    assert "<h3>Walks</h3>" in html
    assert "<strong>Sunday</strong>" in html
    assert '<a href="https://example.org/map" rel="nofollow noopener noreferrer">map</a>' in html
    assert "<li>one</li>" in html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "<a href='javascript:alert(1)'>x</a>",
        "<style>body{display:none}</style>",
        "[x](vbscript:x)",
    ],
)
def test_what_is_hostile_stays_text(hostile: str) -> None:
    html = texts.to_html(hostile).lower()
    assert "<script" not in html
    assert "<img" not in html
    assert "<style" not in html
    assert "<a" not in html or "href" not in html.split("<a")[1].split(">")[0]


def test_a_language_is_known_by_its_name_here_in_english_and_in_itself() -> None:
    assert texts.language_code("Tamoul", "fr") == "ta"
    assert texts.language_code("tamil", "fr") == "ta"
    assert texts.language_code("deutsch", "nl") == "de"
    assert texts.language_code("Klingon prose", "en") is None
    assert texts.language_code("", "en") is None


def test_an_image_becomes_a_link_so_that_nobody_is_counted_by_it() -> None:
    assert "<img" not in texts.to_html("![x](https://example.org/track.png)")
