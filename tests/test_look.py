"""How pages look: every page of the frame in every language, strict markup, few bytes, and the block components."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import brotli
import django_htmx
import pytest
from django import forms
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.utils import translation

from config.icons import ICONS
from config.templatetags import ui

ROOT = Path(settings.ROOT)
STATIC = ROOT / "platform/config/static/site"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
LANGUAGES = [code for code, _ in settings.LANGUAGES]
PAGES = [
    "/",
    "/about/",
    "/privacy/",
    "/imprint/",
    "/terms/",
    "/accessibility/",
    "/t",
    "/offline/",
    "/nowhere/",
]
PAGES += ["/accounts/login/", "/accounts/signup/", "/accounts/login/code/"]
SIGNED_IN = [
    "/accounts/email/",
    "/accounts/logout/",
    "/accounts/2fa/",
    "/accounts/2fa/webauthn/",
    "/accounts/2fa/webauthn/add/",
]
SIGNED_IN += ["/accounts/2fa/totp/activate/", "/accounts/sessions/"]
ERROR_PAGES = ["403.html", "404.html", "429.html", "500.html", "refused.html", "offline.html"]
FIRST_VISIT = 60_000  # bytes on the wire, with the heading face and htmx
HEADING_FACE = 20_300


def wire(data: bytes) -> int:
    """Bytes on the wire of a static file: brotli."""
    return len(brotli.compress(data))


def shown(source: str, **context: object) -> str:
    return Template(source).render(Context(context))


# Pages


def is_in_the_frame(page: str, language: str) -> bool:
    return (
        f'<html lang="{language}"' in page
        and 'id="main"' in page
        and "site/site" in page
        and page.count("<h1") == 1
    )


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_for_everybody_stands_in_every_language(client: Client, path: str, language: str):
    answer = client.get(path, headers={"Accept-Language": language})
    assert answer.status_code == (404 if path == "/nowhere/" else 200)
    assert is_in_the_frame(answer.content.decode(), language)


@pytest.mark.django_db
@pytest.mark.parametrize("path", SIGNED_IN)
def test_a_page_of_the_account_stands_in_our_frame(client: Client, django_user_model, path: str):
    member = django_user_model.objects.create_user("ana@example.org", display_name="Ana", language="de")
    client.force_login(member)
    answer = client.get(path, follow=True, headers={"Accept-Language": "de"})
    assert answer.status_code == 200
    assert is_in_the_frame(answer.content.decode(), "de")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", ERROR_PAGES)
def test_an_error_page_needs_no_member_and_no_database(template: str, language: str):
    request = RequestFactory().get("/somewhere/")
    request.user = AnonymousUser()
    with translation.override(language):
        page = render_to_string(template, {"reasons": ["Full."], "back": "/events/"}, request)
        bare = render_to_string(template, {})
    assert is_in_the_frame(page, language)
    assert is_in_the_frame(bare, language)


# Markup


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_has_no_inline_style_or_handler_and_draws_known_icons(path: Path):
    source = path.read_text(encoding="utf-8")
    assert not re.findall(r"<[^>]*\s(?:style|on[a-z]+|hx-on[\w:-]*)\s*=", source)
    assert not re.findall(r"<script(?![^>]*(?:src=|application/(?:ld\+)?json))[^>]*>", source)
    assert set(re.findall(r'{%\s*icon "([\w-]+)"', source)) <= set(ICONS)


@pytest.mark.django_db
def test_a_first_visit_is_light(client: Client):
    page = client.get("/", headers={"Accept-Encoding": "gzip"})
    files = [STATIC / "site.css", STATIC / "site.js", STATIC / "mark.svg"]
    htmx = Path(django_htmx.__file__).parent / "static/django_htmx/htmx-2.min.js"
    sizes = [wire(path.read_bytes()) for path in [*files, htmx]]
    assert page["Content-Encoding"] == "gzip"
    assert sizes[0] < 10_000, "the style sheet"
    assert len(page.content) + sum(sizes) + HEADING_FACE < FIRST_VISIT


# Components


class MeetupForm(forms.Form):
    title = forms.CharField(help_text="Short and clear.", max_length=5)
    languages = forms.MultipleChoiceField(
        choices=[("en", "English"), ("Other", [("de", "German")])], widget=forms.CheckboxSelectMultiple
    )


def test_a_field_ties_label_help_and_error_together():
    page = shown("{% field form.title %}", form=MeetupForm({"title": "far too long"}))
    assert 'for="id_title"' in page
    assert 'aria-describedby="id_title_helptext id_title_error"' in page
    assert 'id="id_title_helptext"' in page
    assert 'id="id_title_error"' in page
    assert 'value="far too long"' in page


def test_choices_are_chips_by_group_and_keep_what_was_chosen():
    page = shown("{% field form.languages %}", form=MeetupForm({"languages": ["de"]}))
    assert re.findall(r'<input[^>]*value="(\w\w)"[^>]*checked', page) == ["de"]
    assert page.count('class="chip"') == 2
    assert "<legend" in page
    assert "Other" in page


def test_form_errors_count_the_fields_to_look_at():
    page = shown("{% form_errors form %}", form=MeetupForm({}))
    assert 'role="alert"' in page
    assert 'href="#id_title"' in page


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "Tue, 1 Jun 2027, 19:00"),
        ("nl", "di 1 jun 2027, 19:00"),
        ("de", "Di., 1. Juni 2027, 19:00"),
        ("fr", "mar. 1er juin 2027, 19:00"),
    ],
)
def test_a_moment_is_told_on_the_clock_of_its_zone(language: str, expected: str):
    with translation.override(language):
        assert ui.when(datetime(2027, 6, 1, 17, tzinfo=UTC), "Europe/Brussels") == expected


def test_a_date_tile_speaks_in_full():
    with translation.override("fr"):
        page = shown("{% date_tile day %}", day=date(2027, 6, 1))
    assert 'datetime="2027-06-01"' in page
    assert "mardi 1er juin 2027" in page


@pytest.mark.parametrize(("language", "words"), [("fr", "Mar 1 Déc"), ("nl", "Di 1 Dec"), ("de", "Di 1 Dez")])
def test_a_date_tile_is_written_alike_in_every_language(language: str, words: str):
    with translation.override(language):
        page = shown("{% date_tile day %}", day=date(2026, 12, 1))
    assert " ".join(re.findall(r'aria-hidden="true">([^<]*)<', page)) == words


def test_only_the_first_of_a_french_month_is_an_ordinal():
    with translation.override("fr"):
        assert ui.day(date(2026, 12, 1)) == "mardi 1er décembre 2026"
        assert ui.day(date(2026, 12, 11)) == "vendredi 11 décembre 2026"


@pytest.mark.parametrize(
    ("language", "written"), [("en", "a: b"), ("de", "a: b"), ("fr", "a\N{NO-BREAK SPACE}: b")]
)
def test_a_colon_is_set_as_the_language_sets_it(language: str, written: str):
    with translation.override(language):
        assert shown("a{% colon %}b") == written


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        (forms.IntegerField(min_value=1), "0"),
        (forms.IntegerField(max_value=1), "2"),
        (forms.IntegerField(), "x"),
        (forms.FloatField(), "x"),
        (forms.DateField(), "x"),
        (forms.TimeField(), "x"),
        (forms.EmailField(), "x"),
        (forms.URLField(), "x"),
        (forms.CharField(max_length=3), "four"),
        (forms.ChoiceField(choices=[("a", "A")]), "b"),
        (forms.MultipleChoiceField(choices=[("a", "A")]), "b"),
        (forms.SlugField(), "a b"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, forms.Field) else one,
)
def test_no_field_says_vous_to_who_fills_it_in(field: forms.Field, typed: str):
    with translation.override("fr"), pytest.raises(ValidationError) as no:
        field.clean(typed)
    said = " ".join(str(one) for one in no.value.messages)
    assert not re.search(r"(?i)\bvous\b|ssurez|aisissez|lectionnez", said), said


def test_a_field_with_a_label_needs_no_placeholder():
    class Address(forms.Form):
        email = forms.CharField(widget=forms.TextInput({"placeholder": "Email address"}))

    assert "placeholder" not in shown("{% field form.email %}", form=Address())
    assert "placeholder" in shown("{% field form.email unlabelled=True %}", form=Address())


def test_an_event_without_a_date_says_so():
    assert "date to be announced" in shown("{% date_tile day %}", day=None)
    assert ui.when(None) == "date to be announced"


@pytest.mark.parametrize(("taken", "text"), [(13, "7 of 20 places left"), (20, "Full")])
def test_the_seats_bar_says_in_words_what_it_draws(taken: int, text: str):
    pool = SimpleNamespace(capacity=20, taken=taken, left=20 - taken)
    assert text in shown("{% seats pool %}", pool=pool)


def test_there_is_no_seats_bar_without_a_limit():
    assert shown("{% seats pool %}", pool=SimpleNamespace(capacity=None, taken=3, left=None)).strip() == ""


def test_an_avatar_shows_first_and_last_initial():
    member = SimpleNamespace(pk=7, display_name="Jean-Luc van den Berg")
    assert ">JB</span>" in shown("{% avatar member %}", member=member)
    assert 'aria-label="Jean-Luc van den Berg"' in shown("{% avatar member 's' named=True %}", member=member)


def test_an_avatar_escapes_a_hostile_name():
    page = shown("{% avatar member named=True %}", member=SimpleNamespace(pk=1, display_name='"><script>x'))
    assert "<script>" not in page


def test_languages_have_names_and_odd_codes_stay():
    with translation.override("de"):
        assert ui.language_name("nl") == "Niederländisch"
    assert ui.language_name("zz-odd-code") == "zz-odd-code"


def test_a_query_string_changes_in_one_place():
    request = RequestFactory().get("/events/?q=caf%C3%A9&page=3")
    page = shown("{% url_with page=4 %} {% url_with page='' %}", request=request)
    assert page == "?q=caf%C3%A9&amp;page=4 ?q=caf%C3%A9"


@pytest.mark.parametrize(
    ("language", "name"),
    [("en", "Dutch"), ("nl", "Nederlands"), ("de", "Niederländisch"), ("fr", "Néerlandais")],
)
def test_languages_are_named_in_the_language_of_the_page(language, name):
    with translation.override(language):
        assert Template("{{ 'nl'|language_name }}").render(Context()) == name
