"""Text written by people, made safe to show, and the names of the languages they speak."""

from functools import lru_cache

import nh3
from babel import Locale, localedata
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

from community.models.places import fold

NOT_SPOKEN = {"mul", "und", "zxx", "root"}
TAGS = {
    "p",
    "br",
    "strong",
    "em",
    "s",
    "a",
    "ul",
    "ol",
    "li",
    "blockquote",
    "code",
    "pre",
    "h3",
    "h4",
    "h5",
    "hr",
}
HEADINGS_DOWN = {
    "h1": "h3",
    "h2": "h4",
    "h3": "h5",
    "h4": "h5",
    "h5": "h5",
    "h6": "h5",
}  # the page has its own h1 and h2

_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("strikethrough").disable("image")


@lru_cache(maxsize=512)  # what is read often is made once
def to_html(markdown: str) -> SafeString:
    """Markdown by a stranger as HTML that may stand in a page: text, emphasis, lists and links, no images, no HTML of theirs.

    Links go to http, https and mailto only and vouch for nothing (rel). No query.
    """
    tokens = _markdown.parse(markdown)
    for token in tokens:
        token.tag = HEADINGS_DOWN.get(token.tag, token.tag)
    dirty = _markdown.renderer.render(tokens, _markdown.options, {})
    clean = nh3.clean(
        dirty,
        tags=TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener noreferrer",
    )
    return mark_safe(clean)


@lru_cache(maxsize=8)
def language_names(language: str) -> dict[str, str]:
    """Languages people speak by their code (BCP 47), named in `language` and sorted by that name. No query."""
    names = Locale.parse(language.split("-")[0]).languages
    spoken = {
        code: name
        for code, name in names.items()
        if 2 <= len(code) <= 3 and code.isalpha() and code not in NOT_SPOKEN
    }
    return {
        code: name[:1].upper() + name[1:]
        for code, name in sorted(spoken.items(), key=lambda pair: fold(pair[1]))
    }


@lru_cache(maxsize=8)
def _codes(language: str) -> dict[str, str]:
    known: dict[str, str] = {}
    for code, name in language_names(language).items():
        names = [code, name, language_names("en").get(code, "")]
        if localedata.exists(code):
            names.append(Locale.parse(code).get_display_name() or "")
        for each in names:
            known.setdefault(fold(each), code)
    return known


def language_code(name: str, language: str) -> str | None:
    """The code of the language somebody calls `name`: in `language`, in English, in itself, or its code. No query."""
    return _codes(language.split("-")[0]).get(fold(name)) if fold(name) else None
