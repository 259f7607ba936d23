"""Every text is there in every language, and no text of a template escapes translation."""

import gettext
import re
from html.parser import HTMLParser
from pathlib import Path

import django
import pytest
from babel.messages import Catalog
from babel.messages.pofile import read_po
from django.conf import settings

from config.management.commands import words

ROOT = Path(settings.ROOT)
TEMPLATES = sorted(path for path in (ROOT / "templates").rglob("*") if path.suffix in {".html", ".txt"})


@pytest.fixture(scope="module")
def source() -> Catalog:
    return words.texts()


@pytest.mark.parametrize("language", words.languages())
def test_every_text_is_translated_with_its_placeholders(language: str, source: Catalog):
    faults = list(words.faults(language, source))
    assert not faults, "\n".join([f"{len(faults)} faults, the first of them:", *faults[:20]])


def catalogue_with(*messages: tuple[object, object]) -> Catalog:
    catalogue = Catalog(locale="fr")
    for text, translated in messages:
        catalogue.add(text, translated)  # type: ignore[arg-type]
    return words.with_header(catalogue, "fr")


@pytest.mark.parametrize(
    ("text", "translated", "fault"),
    [
        ("Hello", "", "not translated"),
        ("Hello %(name)s", "Bonjour", "placeholders differ"),
        ("Hello %(name)s", "Bonjour %(nom)s", "placeholders differ"),
        (("%(n)s place", "%(n)s places"), ("%(n)s place", "", "%(n)s places"), "not translated"),
        (("%(n)s place", "%(n)s places"), ("%(n)s place", "places", "%(n)s places"), "placeholders differ"),
    ],
)
def test_the_check_sees_what_is_wrong(monkeypatch, text, translated, fault):
    monkeypatch.setattr(words, "load", lambda _language: catalogue_with((text, translated)))
    found = list(words.faults("fr", catalogue_with((text, ""))))
    assert [line.split(":")[0] for line in found] == [fault]


def test_the_check_sees_missing_fuzzy_and_stale_texts(monkeypatch):
    old = catalogue_with(("Gone", "Parti"), ("Changed", "Change"))
    old["Changed"].flags.add("fuzzy")
    monkeypatch.setattr(words, "load", lambda _language: old)
    found = list(words.faults("fr", catalogue_with(("Changed", ""), ("New", ""))))
    assert [line.split(":")[0] for line in found] == ["fuzzy", "missing", "no longer used"]


@pytest.mark.parametrize("language", words.languages())
def test_plurals_are_counted_as_in_djangos_own_catalogue(language: str):
    """Two formulas for one language: one of the two catalogues would be read with the other's."""
    theirs = Path(django.__file__).parent / "conf/locale" / language / "LC_MESSAGES/django.po"
    with theirs.open("rb") as file:
        assert words.load(language).plural_forms == read_po(file, locale=language).plural_forms


def test_a_compiled_catalogue_speaks(tmp_path, settings):
    settings.LOCALE_PATHS = [tmp_path]
    forms = ("%(n)s place", "%(n)s de places", "%(n)s places")
    words.save(
        catalogue_with(("Hello", "Bonjour"), (("%(n)s place", "%(n)s places"), forms)), words.path_of("fr")
    )
    words.Command().compile()
    spoken = gettext.translation("django", tmp_path, ["fr"])
    assert spoken.gettext("Hello") == "Bonjour"
    assert [spoken.ngettext("%(n)s place", "%(n)s places", n) for n in (0, 1, 2, 1_000_000)] == [
        forms[0],
        forms[0],
        forms[2],
        forms[1],
    ]


# Bare strings

TAGS = re.compile(r"\{%(.*?)%\}|\{\{(.*?)\}\}", re.S)
COMMENTS = re.compile(r"\{#.*?#\}|\{% *comment\b.*?\{% *endcomment *%\}", re.S)
CLASSES = re.compile(r"\{% *block body_class *%\}.*?\{% *endblock *%\}", re.S)
TRANSLATED = re.compile(r"\{% *blocktrans(?:late)?\b.*?\{% *endblocktrans(?:late)? *%\}", re.S)
LITERAL = re.compile(r"(?<![_\w(])(?<!_\()(\"[^\"]*\"|'[^']*')")
SHOWN = {
    "title",
    "alt",
    "placeholder",
    "aria-label",
    "aria-description",
    "aria-roledescription",
    "aria-placeholder",
}
UNSPOKEN = {"script", "style", "svg", "code", "kbd"}
# Names are the same in every language.
SAME_EVERYWHERE = {
    "Euregio Circles",
    "English",
    "Nederlands",
    "Deutsch",
    "Français",
    "API",
    "iCalendar",
    "EUPL",
    "QR",
}


class Speech(HTMLParser):
    """Collects what a person would read or hear: text between tags, and the attributes that are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = 0
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in UNSPOKEN
        shown = dict(attrs)
        self.said += [
            value
            for name, value in shown.items()
            if value and (name in SHOWN or name.startswith("data-text"))
        ]
        if tag == "input" and shown.get("type") in {"submit", "button", "reset"}:
            self.said.append(shown.get("value") or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.silent -= tag in UNSPOKEN

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in UNSPOKEN

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.said.append(data)


def bare_strings(template: str, *, html: bool = True) -> list[str]:
    """Everything with a letter in it that stands in a template without being translated."""
    rest = TRANSLATED.sub(" ", CLASSES.sub(" ", COMMENTS.sub(" ", template)))
    in_tags = [
        literal
        for found in TAGS.finditer(rest)
        if not re.match(r"\s*(trans|translate|load|url|include|extends|static|block)\b", found.group(1) or "")
        for literal in LITERAL.findall(found.group(0))
        if re.search(
            r"[^\W\d_]{2,} +[^\W\d_]{2,}", literal
        )  # more than one word: not a name, a format or a class
    ]
    said = [TAGS.sub(" ", rest)]
    if html:
        speech = Speech()
        speech.feed(said[0])
        said = speech.said
    for name in SAME_EVERYWHERE:
        said = [text.replace(name, "") for text in said]
    spoken = [re.sub(r"&\w+;|/[\w/-]*/", "", text).strip() for text in said]  # entities, paths of the site
    return [text for text in spoken if re.search(r"[^\W\d_]{2,}", text)] + in_tags


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_says_anything_untranslated(path: Path):
    assert bare_strings(path.read_text(encoding="utf-8"), html=path.suffix == ".html") == []


@pytest.mark.parametrize(
    "template",
    [
        "<p>Hello there</p>",
        "<p>{% translate 'Hello' %} there</p>",
        '<img src="x" alt="A picture">',
        '<button aria-label="Close">×</button>',
        "{% empty 'calendar' 'No events yet' %}",
        "{{ name|default:'no name yet' }}",
        '<input type="submit" value="Go on">',
    ],
)
def test_a_bare_string_is_found(template: str):
    assert bare_strings(template)


@pytest.mark.parametrize(
    "template",
    [
        "<p>{% translate 'Hello there' %}</p>",
        "<p>{% blocktranslate with n=3 %}Hello {{ n }}{% endblocktranslate %}</p>",
        '{# a note #}<img alt="" src="{% static "site/x.svg" %}"> · 12 {{ name|default:"–" }}',
        "{% empty 'calendar' _('No events yet') %}",
        '<script type="module" src="x">const text = 1;</script>',
        '<p class="page-head {% if nav == "events" %}now here{% endif %}"></p>',
        '<title>Euregio Circles</title>{{ day|date:"j F Y" }}',
    ],
)
def test_what_is_translated_or_not_speech_passes(template: str):
    assert bare_strings(template) == []
