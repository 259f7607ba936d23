"""Events that others wrote, as they are: no end, an end before its start, many sessions, none. Nothing is lost."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from community.models import Centre, Member, Place, PlaceName
from community.models.places import fold
from events import series
from events.models import Event, Pool, Series
from events.models.details import Details
from realtime import clock

WRITTEN = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d\d))?")
FREE = re.compile(
    r"^(0+([.,]0+)?|free.*|gratis.*|kostenlos.*|gratuit.*|(entrée )?libre.*|eintritt frei.*)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Session:
    """One time it takes place, on the wall clock of its zone; the end None when nobody knows."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class Imported:
    """What one row became: its events (none twice), their series, and what was unclear."""

    events: list[Event]
    series: Series | None
    note: str


@transaction.atomic
def import_events(host: Member, centre: Centre, rows: Iterable[Mapping[str, Any]]) -> list[Imported]:
    """Rows of `{id, titles{lang}, descriptions{lang}, sessions[{start, end}], timezone, …}` as events of `centre`.

    One session is an event, several are a series of these dates, a rule is a series, none is a draft. An end
    before its start counts as unknown, with a note. Each row has the same id for ever: read again, a row that is
    there is left as it is. Raises ValidationError for a row without title or with an unknown time zone.
    """
    listed = list(rows)
    towns = _towns({str(row.get("city") or "") for row in listed})
    return [_import(host, centre, row, towns) for row in listed]


def row_id(source_id: str) -> int:
    """The id of the event or series a row becomes: made from the row's own, so that it is the same each time."""
    return int.from_bytes(hashlib.sha256(b"event " + source_id.encode()).digest()[:8]) >> 1 or 1


def _import(
    host: Member, centre: Centre, row: Mapping[str, Any], towns: Mapping[tuple[str, str], Place]
) -> Imported:
    pk = row_id(str(row["id"]))
    known = Event.objects.filter(pk=pk).first()
    meetup = Series.objects.filter(pk=pk).first()
    if known or meetup:
        return Imported(
            [known] if known else list(meetup.occurrences.all()) if meetup else [],
            meetup,
            known.note if known else "",
        )
    series.zone_named(row.get("timezone") or "")
    sessions, notes = _sessions(row)
    if len(sessions) > 1 or (sessions and row.get("rrule")):
        return _as_series(pk, host, centre, row, towns, sessions, notes)
    event = _filled(Event(pk=pk, host=host, centre=centre), row, towns)
    if sessions:
        _timed(event, sessions[0])
    else:
        event.state = Event.State.DRAFT
        notes.append(_("It had no date."))
    event.note = " ".join(notes)[:200]
    event.search = event.searchable()
    event.save(force_insert=True)
    Pool.objects.create(event=event, capacity=event.capacity)
    return Imported([event], None, event.note)


def _as_series(
    pk: int,
    host: Member,
    centre: Centre,
    row: Mapping[str, Any],
    towns: Mapping[tuple[str, str], Place],
    sessions: list[Session],
    notes: list[str],
) -> Imported:
    meetup = _filled(Series(pk=pk, host=host, centre=centre), row, towns)
    first = sessions[0]
    meetup.start_date, meetup.start_time = first.start.date(), first.start.time()
    meetup.minutes = (first.end - first.start) // timedelta(minutes=1) if first.end else None
    meetup.rrule = str(row.get("rrule") or "")
    meetup.rdates = [one.start.isoformat(timespec="seconds") for one in sessions[1:]]
    days_off = [
        series.wall_time(str(text), meetup.timezone, first.start.time()) for text in row.get("exdate") or ()
    ]
    meetup.exdates = [day.isoformat(timespec="seconds") for day in days_off]
    meetup.save(force_insert=True)
    last = max((one.start.date() for one in sessions), default=first.start.date())
    events = series.make_occurrences(meetup, max(last, (clock.now() + series.HORIZON).date()))
    by_start = {one.start.isoformat(timespec="seconds"): one for one in sessions}
    for event in events:
        event.note = " ".join(notes)[:200]
        if event.original_start in by_start:
            _timed(event, by_start[event.original_start])
    Event.objects.bulk_update(events, ["starts_at", "ends_at", "note"])
    return Imported(events, meetup, " ".join(notes)[:200])


def _filled[Row: (Event, Series)](
    new: Row, row: Mapping[str, Any], towns: Mapping[tuple[str, str], Place]
) -> Row:
    """Everything but the times."""
    titles, texts = dict(row.get("titles") or {}), dict(row.get("descriptions") or {})
    language = str(row.get("lang") or next(iter(titles), "en"))
    title = titles.get(language) or next(iter(titles.values()), "")
    if not title.strip():
        raise ValidationError({"titles": _("Give it a title.")})
    said = [
        texts.get(language) or next(iter(texts.values()), ""),
        str(row.get("organiser") or ""),
        str(row.get("url") or ""),
    ]
    new.title, new.language = title.strip()[:160], language
    new.description = "\n\n".join(part for part in said if part)[:8000]
    new.translations = {
        other: {"title": str(titles.get(other, title))[:160], "description": str(texts.get(other, ""))[:8000]}
        for other in sorted(titles.keys() | texts.keys())
        if other != language
    }
    new.timezone, new.all_day = str(row["timezone"]), _is_all_day(row)
    new.venue, new.address = str(row.get("venue") or "")[:160], _address(row)[:200]
    city = str(row.get("city") or "")
    new.place = towns.get((fold(city), str(row.get("country") or "")))
    new.town = "" if new.place else city[:120]
    new.capacity = int(row["capacity"]) if row.get("capacity") else None
    price = str(row.get("price") or "").strip()
    new.is_free = not price or bool(FREE.match(price))
    new.price_note = {language: price} if price and not new.is_free else {}
    new.visibility = Details.Visibility.PUBLIC
    return new


def _sessions(row: Mapping[str, Any]) -> tuple[list[Session], list[str]]:
    """The sessions in order, each start once, and what was unclear about them."""
    found: dict[datetime, Session] = {}
    notes: list[str] = []
    whole_days = _is_all_day(row)
    for raw in row.get("sessions") or ():
        start, end = _moment(raw.get("start")), _moment(raw.get("end"))
        if start is None:
            notes.append(_("One of its dates could not be read."))
            continue
        if raw.get("end") and end is None:
            notes.append(_("Its end could not be read: taken as unknown."))
        if end is not None and whole_days:
            end += timedelta(days=1)  # the last day is part of it
        if end is not None and end <= start:
            end = None
            notes.append(_("Its end was before its beginning: taken as unknown."))
        if raw.get("week_scheme"):
            notes.append(_("It has opening hours of its own in these weeks."))
        before = found.get(start)
        if before is None or (end is not None and (before.end is None or end > before.end)):
            found[start] = Session(start, end)
    return [found[start] for start in sorted(found)], list(dict.fromkeys(notes))


def _is_all_day(row: Mapping[str, Any]) -> bool:
    """Said so, or its sessions name days and no hours."""
    sessions = row.get("sessions") or ()
    return bool(row.get("all_day")) or (
        bool(sessions) and not any("T" in str(one["start"]) for one in sessions)
    )


def _moment(text: object) -> datetime | None:
    """A day or a time as others write it (2011-07-9 too); None for what is neither."""
    found = WRITTEN.match(str(text or ""))
    try:
        return datetime(*(int(part) for part in found.groups() if part)) if found else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _timed(event: Event, session: Session) -> None:
    event.starts_at = series.moment(session.start, event.timezone).astimezone(UTC)
    end = session.end and series.moment(session.end, event.timezone).astimezone(UTC)
    event.ends_at = end if end and end > event.starts_at else None


def _address(row: Mapping[str, Any]) -> str:
    """Street and postcode; some streets bring their postcode along."""
    street, code = str(row.get("street") or ""), str(row.get("postal_code") or "")
    return street if code in street else ", ".join(part for part in (street, code) if part)


def _towns(cities: set[str]) -> dict[tuple[str, str], Place]:
    """Towns of the region by (folded name, country). One query."""
    names = PlaceName.objects.filter(folded__in={fold(city) for city in cities if city}).select_related(
        "place"
    )
    return {(name.folded, name.place.country): name.place for name in names.order_by("place__population")}
