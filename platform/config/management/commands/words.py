"""manage.py words: the texts of the source, in every language of the site. Needs no gettext tools, only Babel.

extract  reads every text out of Python and templates and merges it into the catalogues (then: translate)
merge    takes translations from another catalogue of the same language (one file per translator)
compile  writes the .mo files Django reads
check    says what is missing, fuzzy, stale or has lost a placeholder; ends with 1 when something is
"""

import copy
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation.template import templatize

SOURCE = "en"
PYTHON_KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
PLURALS = {  # as Django's own catalogues have them: another formula would read Django's plurals wrongly
    "nl": "nplurals=2; plural=(n != 1);",
    "de": "nplurals=2; plural=(n != 1);",
    "fr": "nplurals=3; plural=(n == 0 || n == 1) ? 0 : n != 0 && n % 1000000 == 0 ? 1 : 2;",
}
PLACEHOLDER = re.compile(r"%\((\w+)\)[#0\- +]*\d*(?:\.\d+)?[a-zA-Z]|%[sd]|\{(\w*)[^{}]*\}")
FLOORS = ["platform/config", "events", "community", "realtime"]


def languages() -> list[str]:
    """The languages that need a catalogue: all of the site but the source's."""
    return [code for code, _name in settings.LANGUAGES if code != SOURCE]


def path_of(language: str) -> Path:
    return Path(settings.LOCALE_PATHS[0]) / language / "LC_MESSAGES" / "django.po"


def load(language: str) -> Catalog:
    """The catalogue of a language, empty when there is no file yet."""
    path = path_of(language)
    if not path.exists():
        return with_header(Catalog(locale=language), language)
    with path.open("rb") as file:
        return with_header(read_po(file, locale=language), language)


def with_header(catalogue: Catalog, language: str) -> Catalog:
    """The same few header lines in every file, and nothing that changes by itself from day to day."""
    catalogue.mime_headers = [("Plural-Forms", PLURALS[language])]
    catalogue.header_comment = ""
    catalogue.fuzzy = False
    return catalogue


def save(catalogue: Catalog, path: Path) -> None:
    """Write a .po file: sorted, unwrapped, without places, dates or texts nobody uses any more."""
    out = BytesIO()
    write_po(
        out, catalogue, width=0, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True
    )
    language = str(catalogue.locale)
    plural_forms = PLURALS[language]
    header = (
        'msgid ""\nmsgstr ""\n'
        f'"Language: {language}\\n"\n'
        '"MIME-Version: 1.0\\n"\n'
        '"Content-Type: text/plain; charset=UTF-8\\n"\n'
        '"Content-Transfer-Encoding: 8bit\\n"\n'
        f'"Plural-Forms: {plural_forms}\\n"\n\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + out.getvalue().rstrip() + b"\n")


def sources() -> Iterator[Path]:
    """Every file of the product that may hold a text: its Python and its templates, in order."""
    root = Path(settings.ROOT)
    for floor in FLOORS:
        for path in sorted((root / floor).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path
    yield from (path for path in sorted((root / "templates").rglob("*")) if path.is_file())


def python_of(path: Path) -> bytes:
    """The file as Python; of a template what Django makes of its texts, in brackets: there indentation is free."""
    text = path.read_text(encoding="utf-8")
    return (text if path.suffix == ".py" else f"({templatize(text, origin=str(path))})").encode()


def texts() -> Catalog:
    """Every translatable text of the source, with the translators' comments beside it."""
    found = Catalog(locale=SOURCE)
    for path in sources():
        messages = extract(
            "python", BytesIO(python_of(path)), PYTHON_KEYWORDS, ["Translators:"], {"encoding": "utf-8"}
        )
        for _line, message, comments, context in messages:
            if message:
                found.add(message, None, auto_comments=comments, context=context)
    return found


def faults(language: str, source: Catalog) -> Iterator[str]:
    """What is wrong with a catalogue, a line each: missing, unknown, fuzzy, empty form, lost placeholder."""
    catalogue = load(language)
    for message in source:
        if message.id:
            known = catalogue.get(_singular(message), message.context)
            yield from (
                [f"missing: {_singular(message)!r}"]
                if known is None
                else _faults_of(known, catalogue.num_plurals)
            )
    for message in catalogue:
        if message.id and source.get(_singular(message), message.context) is None:
            yield f"no longer used: {_singular(message)!r}"


def _singular(message: Message) -> str:
    return str(message.id[0] if isinstance(message.id, list | tuple) else message.id)


def _faults_of(message: Message, forms: int) -> Iterator[str]:
    text = _singular(message)
    if message.fuzzy:
        yield f"fuzzy: {text!r}"
    own = [str(form) for form in message.id] if isinstance(message.id, list | tuple) else [str(message.id)]
    given = _forms(message)
    if len(given) != (forms if message.pluralizable else 1) or not all(given):
        yield f"not translated: {text!r}"
        return
    wanted = placeholders(own[-1])
    for form, translation in enumerate(given):
        # "one" may be written out where the source's own singular does so
        allowed = {wanted, placeholders(own[0])} if form == 0 else {wanted}
        if placeholders(translation) not in allowed:
            yield f"placeholders differ: {text!r} → {translation!r}"
        if translation.startswith("\n") != text.startswith("\n") or translation.endswith(
            "\n"
        ) != text.endswith("\n"):
            yield f"line ends differ: {text!r}"


def placeholders(text: str) -> frozenset[str]:
    """The names (or signs) a text is filled with: %(count)s, %s, {name}."""
    return frozenset(
        found.group(1) or found.group(2) or found.group(0) for found in PLACEHOLDER.finditer(text)
    )


class Command(BaseCommand):
    help = "Extracts, merges, compiles and checks the translations."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["extract", "merge", "compile", "check"])
        parser.add_argument("files", nargs="*", type=Path, help="merge: .po files named <language>….po")

    def handle(self, *args: Any, **options: Any) -> None:
        {
            "extract": self.extract,
            "merge": lambda: self.merge(options["files"]),
            "compile": self.compile,
            "check": self.check_all,
        }[options["what"]]()

    def extract(self) -> None:
        """Texts of the source → every catalogue; translations stay, what nobody uses goes."""
        source = texts()
        for language in languages():
            catalogue = load(language)
            catalogue.update(copy.deepcopy(source), no_fuzzy_matching=True)
            catalogue.obsolete.clear()
            save(with_header(catalogue, language), path_of(language))
            open_ = sum(1 for message in catalogue if message.id and not any(_forms(message)))
            self.stdout.write(f"{language}: {len(catalogue)} texts, {open_} to translate")

    def merge(self, files: list[Path]) -> None:
        """Translations of other files into ours, text by text; texts we do not have are left out."""
        for path in files:
            language = path.name[:2]
            if language not in languages():
                raise CommandError(f"{path.name}: the name must begin with one of {', '.join(languages())}.")
            with path.open("rb") as file:
                other = read_po(file, locale=language)
            catalogue, taken = load(language), 0
            for message in other:
                ours = catalogue.get(_singular(message), message.context) if message.id else None
                if ours is not None and all(_forms(message)):
                    ours.string, taken = message.string, taken + 1
                    ours.flags.discard("fuzzy")
            save(catalogue, path_of(language))
            self.stdout.write(f"{language}: {taken} translations taken from {path.name}")

    def compile(self) -> None:
        """Every .po → the .mo beside it."""
        for language in languages():
            path = path_of(language).with_suffix(".mo")
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".mo.new")
            with fresh.open("wb") as file:
                write_mo(file, load(language))
            fresh.replace(path)

    def check_all(self) -> None:
        source = texts()
        found = [f"{language}: {fault}" for language in languages() for fault in faults(language, source)]
        if found:
            raise CommandError("\n".join([*found[:40], f"{len(found)} faults in the translations."]))
        self.stdout.write(f"{len(source)} texts, complete in {', '.join(languages())}")


def _forms(message: Message) -> list[str]:
    """The translation's forms: one, or one for each plural."""
    given = message.string if isinstance(message.string, list | tuple) else [message.string]
    return [form or "" for form in given]
