"""The few block components of the pages. A builtin library: templates need no {% load %}."""

from __future__ import annotations

import re
from datetime import date, datetime, time, tzinfo
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time
from django import template
from django.forms import BaseForm, BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select
from django.forms.boundfield import BoundWidget
from django.template.context import Context
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext, ngettext

from config.icons import ICONS
from events import ticket_types
from events.models import Event
from realtime import clock, ids

register = template.Library()

AVATAR_COLOURS = 6


def _locale() -> Locale:
    """The page's language as babel knows it; English is written the European way (1 June, 19:00)."""
    return _locale_of((get_language() or "en").split("-")[0])


@cache
def _locale_of(language: str) -> Locale:
    return Locale.parse("en_GB" if language == "en" else language)


@register.simple_tag
@lru_cache(maxsize=512)
def icon(name: str, css: str = "") -> SafeString:
    """A line icon, decorative: the text beside it (or a visually hidden one) says what it means."""
    drawing = mark_safe(ICONS.get(name, ICONS["circles"]))  # noqa: S308 - our own constants
    return format_html(
        '<svg class="icon {}" width="24" height="24" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{}</svg>',
        css,
        drawing,
    )


@register.simple_tag
def colon() -> str:
    """A colon with a blank, as the page's language sets it: French has a space that does not break before it."""
    return "\N{NO-BREAK SPACE}: " if (get_language() or "").startswith("fr") else ": "


@register.simple_tag
def mark(css: str = "") -> SafeString:
    """The mark: three overlapping rings. Decorative."""
    rings = '<circle cx="11" cy="11" r="7"/><circle cx="21" cy="11" r="7"/><circle cx="16" cy="20" r="7"/>'
    return format_html(
        '<svg class="mark {}" width="32" height="32" viewBox="0 0 32 32" aria-hidden="true" focusable="false">{}</svg>',
        css,
        mark_safe(rings),
    )


@register.simple_tag
def avatar(member: Any, size: str = "m", named: bool = False) -> SafeString:
    """Initials in rings, in a colour that stays with the member. Sizes s, m, l.

    Decorative where the name stands beside it; `named=True` gives it the name as its own label.
    """
    name = str(getattr(member, "display_name", "") or member or "")
    return _avatar(name.strip(), int(getattr(member, "pk", None) or 0) % AVATAR_COLOURS, size, named)


@register.simple_tag
def avatar_of(name: str, pk: int | None, size: str = "m") -> SafeString:
    """The same of who is only known by name and key; of nobody without a key."""
    return _avatar(name.strip(), (pk or 0) % AVATAR_COLOURS, size, False)


@lru_cache(maxsize=2048)
def _avatar(name: str, colour: int, size: str, named: bool) -> SafeString:  # noqa: FBT001 - a cache knows no names
    words = [word for word in name.replace("-", " ").split() if word[0].isalnum()]
    initials = "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "·"
    label = (
        format_html('role="img" aria-label="{}" title="{}"', name, name)
        if named
        else mark_safe('aria-hidden="true"')
    )
    return format_html(
        '<span class="avatar avatar--{} avatar--c{}" {}>{}</span>', size, colour, label, initials
    )


def _choice_groups(field: BoundField) -> list[tuple[str, list[BoundWidget]]]:
    """The choices of a radio or checkbox field, by group; those without a group stand together, unnamed."""
    widget = field.field.widget
    attrs = field.build_widget_attrs({"id": field.auto_id} if field.auto_id else {})
    groups: list[tuple[str, list[BoundWidget]]] = []
    for name, options, _ in widget.optgroups(
        field.html_name, widget.format_value(field.value()) or [], attrs
    ):
        shown = [BoundWidget(widget, option, field.form.renderer) for option in options]
        if groups and groups[-1][0] == (name or ""):
            groups[-1][1].extend(shown)
        else:
            groups.append((name or "", shown))
    return groups


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, label: str = "", help: str = "", unlabelled: bool = False) -> dict[str, Any]:  # noqa: A002
    """A form field with its label, help and errors, tied together for screen readers.

    Checkbox and radio groups become chips. `label` and `help` replace the form's own words. The label is enough:
    a placeholder (allauth's forms have them) would only say it again in other words.
    """
    widget = bound.field.widget
    if not unlabelled:
        widget.attrs.pop("placeholder", None)
    kind = "line"
    if bound.is_hidden:
        kind = "hidden"
    elif isinstance(widget, (CheckboxSelectMultiple, RadioSelect)):
        kind = "choices"
    elif isinstance(widget, CheckboxInput):
        kind = "check"
    return {
        "field": bound,
        "kind": kind,
        "label": label or bound.label,
        "help": help or bound.help_text,
        "unlabelled": unlabelled,
        "optional": not bound.field.required and kind == "line" and not isinstance(widget, Select),
        "groups": _choice_groups(bound) if kind == "choices" else (),
    }


@register.inclusion_tag("components/form_errors.html")
def form_errors(form: BaseForm) -> dict[str, Any]:
    """What is wrong with the form as a whole, and a count of the fields to look at."""
    hidden = [(bound.label, error) for bound in form.hidden_fields() for error in bound.errors]
    wrong = [bound for bound in form.visible_fields() if bound.errors]
    return {"form": form, "hidden": hidden, "wrong": wrong}


@register.inclusion_tag("components/empty.html")
def empty(icon: str, title: str, text: str = "", url: str = "", label: str = "") -> dict[str, str]:
    """What a list says when there is nothing in it: what to do next."""
    return {"icon": icon, "title": title, "text": text, "url": url, "label": label}


@register.inclusion_tag("components/bell.html")
def bell(n: int) -> dict[str, Any]:
    """How many notifications are new, as a badge that hides at none; a script counts on with the two forms."""
    one, many = (ngettext("%(n)s is new", "%(n)s are new", number) for number in (1, 2))
    return {"n": n, "one": one, "many": many, "said": ngettext("%(n)s is new", "%(n)s are new", n) % {"n": n}}


@register.inclusion_tag("components/date_tile.html")
def date_tile(moment: date | None) -> dict[str, Any]:
    """The day of an event as a tile. `moment` is already on the wall clock of its zone.

    Each word of the tile stands on its own, so it begins with a capital in every language.
    """
    if moment is None:
        return {}
    return dict(
        _tile(moment.date() if isinstance(moment, datetime) else moment, _locale())
    )  # Django adds to it


@lru_cache(maxsize=4096)  # a list names the same days to everybody, and finding a pattern in CLDR is slow
def _tile(moment: date, locale: Locale) -> dict[str, Any]:
    return {
        "weekday": _capital(format_skeleton("EEE", moment, locale=locale).rstrip(".")),
        "day": str(moment.day),
        "month": _capital(format_date(moment, "LLL", locale=locale).rstrip(".")),
        "iso": f"{moment:%Y-%m-%d}",
        "full": _first_of_month(format_date(moment, "full", locale=locale), moment),
    }


@register.inclusion_tag("components/seats.html")
def seats(pool: Any) -> dict[str, Any]:
    """The seats bar of a pool; nothing where there is no limit."""
    limited = pool is not None and pool.capacity is not None
    few = limited and 0 < pool.left <= max(2, pool.capacity // 10)
    return {"pool": pool, "limited": limited, "few": few}


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _first_of_month(text: str, moment: date) -> str:
    """French says `1er juin` and then `2 juin`; CLDR's patterns know only the number."""
    if moment.day == 1 and _locale().language == "fr":
        return re.sub(r"(?<!\d)1(?= )", "1er", text, count=1)
    return text


def _on_wall_clock(moment: datetime, zone: str | tzinfo | None) -> datetime:
    if isinstance(zone, str) and zone:
        zone = ZoneInfo(zone)
    return moment.astimezone(zone or timezone.get_current_timezone())


@register.filter
def when(moment: datetime | None, zone: str | tzinfo | None = None) -> str:
    """`Tue, 1 Jun, 19:00` in the page's language, on the clock of `zone` (default: the reader's).

    Plain text, so that mails can use it too. The year is named only when it is not this one.
    """
    if not moment:
        return gettext("date to be announced")
    local = _on_wall_clock(moment, zone)
    skeleton = "MMMEd" if local.year == clock.now().year else "yMMMEd"
    day = _named_day(skeleton, local.date(), _locale())
    return f"{_first_of_month(day, local)}, {_time(local)}"


@lru_cache(maxsize=4096)
def _named_day(skeleton: str, day: date, locale: Locale) -> str:
    return str(format_skeleton(skeleton, day, locale=locale))


@register.filter
def day(moment: date | None, zone: str | tzinfo | None = None) -> str:
    """`Tuesday 1 June 2027` in the page's language."""
    if not moment:
        return gettext("date to be announced")
    local = _on_wall_clock(moment, zone).date() if isinstance(moment, datetime) else moment
    return _whole_day(local, _locale())


@lru_cache(maxsize=4096)
def _whole_day(of: date, locale: Locale) -> str:
    return _first_of_month(format_date(of, "full", locale=locale), of)


@register.filter
def month_name(of: date) -> str:
    """`June 2027` in the page's language."""
    return _capital(str(format_skeleton("yMMMM", of, locale=_locale())))


def _time(local: datetime) -> str:
    return _hour(local.hour, local.minute, _locale())


@lru_cache(maxsize=4096)
def _hour(hour: int, minute: int, locale: Locale) -> str:
    return str(format_time(time(hour, minute), "HH:mm", locale=locale))


@register.filter(name="clock")
def clock_time(moment: datetime | None, zone: str | tzinfo | None = None) -> str:
    """`19:00`, on the clock of `zone` (default: the reader's)."""
    return _time(_on_wall_clock(moment, zone)) if moment else ""


@register.filter
def moment(of: datetime | None) -> str:
    """As short as a list has room for, on the reader's clock: `19:00` today, `1 Jun` before, `1 Jun 2026` of another year."""
    if of is None:
        return ""
    local, now = _on_wall_clock(of, None), _on_wall_clock(clock.now(), None)
    if local.date() == now.date():
        return _time(local)
    return _named_day("MMMd" if local.year == now.year else "yMMMd", local.date(), _locale())


@register.filter
def ticket_name(event: Event, kind: str) -> str:
    """What a kind of ticket is called, by its id; empty where the event has none."""
    return ticket_types.names(event).get(kind, "")


@register.filter
def language_name(code: str) -> str:
    """The name of a BCP 47 language code in the page's language; the code itself where nobody named it."""
    return _language_name(code, _locale())


@lru_cache(maxsize=4096)
def _language_name(code: str, locale: Locale) -> str:
    try:
        name = Locale.parse(code, sep="-").get_display_name(locale)
    except (ValueError, UnknownLocaleError):
        return code
    return _capital(name) if name else code


@register.filter
def public_id(value: Any) -> str:
    """A row or its key as URLs and the API write it."""
    return ids.encode(value if isinstance(value, int) else value.pk)


@register.simple_tag(takes_context=True)
def url_with(context: Context, **changes: Any) -> str:
    """This page's query string with some parameters changed; an empty value takes one away."""
    query = context["request"].GET.copy()
    for name, value in changes.items():
        if value in (None, ""):
            query.pop(name, None)
        else:
            query[name] = value
    return f"?{query.urlencode()}"


@register.filter
def text(row: Any, name: str) -> str:
    """`name` (title, name, description) of an event or circle in the reader's language where somebody translated it."""
    return str(row.text(name))


@register.filter
def text_language(row: Any) -> str:
    """The language in which `text` answers, for the `lang` attribute around it."""
    language = (get_language() or "en").split("-")[0]
    return language if language in row.translations else str(row.language)
