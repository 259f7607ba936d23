"""What a partner's calendar says, against the events it became: what is new, what follows, what somebody has to decide.

Four groups of fields are compared one by one: title, description, when and where. What the calendar said last tells who
changed a group: where only the calendar did, a draft follows it; where somebody here did, theirs stays; of a published
event nothing is changed unasked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from community.models import Place, PlaceName
from community.models.places import fold
from events.models import Event, PartnerCalendar, PartnerDate, Pool
from events.reader import Occurrence, Reading
from realtime import clock

WRITTEN = (
    "title",
    "description",
    "starts_at",
    "ends_at",
    "all_day",
    "timezone",
    "venue",
    "place",
    "town",
    "search",
    "version",
    "updated_at",
)
KEPT = ("recurrence", "url", "said", "offer", "gone", "is_open")
GROUPS = {  # what a calendar says of a date
    "title": gettext_lazy("Title"),
    "description": gettext_lazy("Description"),
    "when": gettext_lazy("When"),
    "where": gettext_lazy("Where"),
}
POSTCODE = re.compile(r"^(?:[A-Z]{1,2}[- ])?\d{4,5}(?:\s?[A-Z]{2}\b)?\s+", re.IGNORECASE)

type Said = dict[str, Any]


@dataclass(frozen=True)
class Following:
    """A date that is known: what its draft takes over, what is offered to a published event, and what is said from now on."""

    date: PartnerDate
    write: Said
    offer: Said
    said: Said
    occurrence: Occurrence

    @property
    def is_news(self) -> bool:
        """It says something that has not been said: for the draft, or for somebody to decide."""
        return bool(self.write) or self.offer != self.date.offer or bool(self.date.gone)

    @property
    def changed(self) -> list[str]:
        """What is different, in the words of the page."""
        old = self.date.offer
        return [
            str(label)
            for group, label in GROUPS.items()
            if group in self.write or (group in self.offer and self.offer[group] != old.get(group))
        ]


@dataclass
class Changes:
    """What a reading brings. Nothing is saved by making it."""

    new: list[tuple[Occurrence, Said]] = field(default_factory=list)
    following: list[Following] = field(default_factory=list)
    gone: list[tuple[PartnerDate, str]] = field(default_factory=list)  # and how: vanished, cancelled
    unreadable: int = 0
    is_cut: bool = False

    @property
    def news(self) -> list[Following]:
        """The known dates that change something."""
        return [one for one in self.following if one.is_news]

    @property
    def is_any(self) -> bool:
        """Saving it would change something."""
        return bool(self.new or self.news or self.gone)


@dataclass(frozen=True)
class Summary:
    """What was saved: drafts made and changed, drafts removed, dates that somebody has to decide."""

    new: int = 0
    changed: int = 0
    removed: int = 0
    open: int = 0

    def __str__(self) -> str:
        """In the language of the page; what is zero is left out."""
        parts = [
            ngettext("%(n)d new draft", "%(n)d new drafts", self.new) % {"n": self.new},
            ngettext("%(n)d draft changed", "%(n)d drafts changed", self.changed) % {"n": self.changed},
            ngettext("%(n)d draft removed", "%(n)d drafts removed", self.removed) % {"n": self.removed},
            ngettext("%(n)d date to decide", "%(n)d dates to decide", self.open) % {"n": self.open},
        ]
        numbers = (self.new, self.changed, self.removed, self.open)
        said = ", ".join(part for part, n in zip(parts, numbers, strict=True) if n)
        return said or _("Nothing has changed.")


def compare(calendar: PartnerCalendar, reading: Reading, since: datetime, until: datetime) -> Changes:
    """What a reading of [since, until) brings to the calendar. Two queries, one of them for towns."""
    towns = _towns(one.location for one in reading.occurrences)
    dates = {(date.uid, date.recurrence): date for date in calendar.dates.select_related("event")}
    found = Changes(unreadable=len(reading.unreadable), is_cut=reading.is_cut)
    coming = {(uid_of(one), one.recurrence): one for one in reading.occurrences}
    pairs = _paired(dates, coming)
    for key, one in coming.items():
        said = _said(one, towns)
        date = dates.get(pairs.get(key, key))
        if date is None:
            if not one.is_cancelled:
                found.new.append((one, said))
        elif one.is_cancelled:
            found.gone.append((date, "cancelled"))
        else:
            found.following.append(_follow(date, one, said))
    taken = {pairs.get(key, key) for key in coming}
    last = max((one.starts_at for one in reading.occurrences), default=until) if reading.is_cut else until
    unread = {uid[:255] for uid in reading.unreadable}
    for key, date in dates.items():
        starts = datetime.fromisoformat(date.said["when"][0])
        if key not in taken and date.uid not in unread and since <= starts < last:
            found.gone.append((date, "vanished"))
    found.gone = [(date, how) for date, how in found.gone if date.gone != how]
    return found


def present(event: Event) -> Said:
    """What an event says, in the words in which the calendar's are kept."""
    return {
        "title": event.title,
        "description": event.description.replace("\r\n", "\n").strip(),
        "when": [_iso(event.starts_at), _iso(event.ends_at), event.all_day],
        "where": [event.venue, event.place_id],
    }


def write(event: Event, said: Mapping[str, Any], zone: str) -> None:
    """Put what the calendar says of some groups on an event, not saved."""
    if "title" in said:
        event.title = said["title"]
    if "description" in said:
        event.description = said["description"]
    if "when" in said:
        start, end, event.all_day = said["when"]
        event.starts_at = datetime.fromisoformat(start)
        event.ends_at = end and datetime.fromisoformat(end)
        event.timezone = zone
    if "where" in said:
        event.venue, event.place_id = said["where"]
        event.town = "" if event.place_id else event.town


def is_untouched(date: PartnerDate) -> bool:
    """A draft that is still as the calendar wrote it: nobody here has saved it since."""
    event = date.event
    return (
        event is not None and event.state == Event.State.DRAFT and event.version == date.said.get("version")
    )


def lock(calendar: PartnerCalendar) -> None:
    """Lock the events of a calendar in ascending id, the calendar itself being locked. One query."""
    ids = calendar.dates.exclude(event=None).values("event")
    list(Event.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk"))


def save(calendar: PartnerCalendar, found: Changes) -> Summary:
    """Write what `compare` found, all rows being locked. Some twelve queries for any number of dates."""
    events, dates = [], list[PartnerDate]()
    ids = {said["where"][1] for _one, said in found.new} | {one.said["where"][1] for one in found.following}
    towns = Place.objects.in_bulk(ids - {None})
    _make(calendar, found, towns)
    for one in found.following:
        if one.write and one.date.event is not None:
            write(one.date.event, one.write, one.occurrence.timezone)
            one.date.event.place = towns.get(one.date.event.place_id or 0)
            one.date.event.search = one.date.event.searchable()
            one.said["version"] = one.date.event.version + is_untouched(one.date)
            one.date.event.version += 1
            one.date.event.updated_at = clock.now()
            events.append(one.date.event)
        if _now(one):
            dates.append(one.date)
    removed = [date for date, how in found.gone if is_untouched(date)]
    let_go = [date for date, how in found.gone if date.event is None and how == "vanished"]
    for date, how in found.gone:
        is_past = date.event is None or date.event.state == Event.State.CANCELLED or date.event.is_over
        date.gone, date.offer, date.is_open = how, {}, not is_past
    dates += [date for date, _how in found.gone if date not in removed and date not in let_go]
    Event.objects.bulk_update(events, WRITTEN, batch_size=100)
    PartnerDate.objects.bulk_update(dates, KEPT, batch_size=100)
    PartnerDate.objects.filter(pk__in=[date.pk for date in (*removed, *let_go)]).delete()
    Event.objects.filter(pk__in=[date.event_id for date in removed], state=Event.State.DRAFT).delete()
    opened = calendar.dates.filter(is_open=True).count()
    return Summary(len(found.new), len(events), len(removed), opened)


def uid_of(one: Occurrence) -> str:
    """The UID as it is kept: a very long one by its beginning and what tells it from others."""
    if len(one.uid) <= 255:
        return one.uid
    return f"{one.uid[:190]} {hashlib.sha256(one.uid.encode()).hexdigest()}"


def _make(calendar: PartnerCalendar, found: Changes, towns: Mapping[int, Place]) -> None:
    """Drafts for the new dates. Three queries for a hundred."""
    events, dates = [], []
    for one, said in found.new:
        event = Event(
            host_id=calendar.added_by_id,
            centre_id=calendar.centre_id,
            state=Event.State.DRAFT,
            language=calendar.language,
        )
        write(event, said, said["zone"])
        event.place = towns.get(event.place_id or 0)
        event.search = event.searchable()
        events.append(event)
        date = PartnerDate(calendar=calendar, uid=uid_of(one), recurrence=one.recurrence, event=event)
        date.url, date.said = _link(one.url), said
        dates.append(date)
    Event.objects.bulk_create(events, batch_size=100)
    Pool.objects.bulk_create((Pool(event=event) for event in events), batch_size=100)
    PartnerDate.objects.bulk_create(dates, batch_size=100)


def _now(one: Following) -> bool:
    """Put what is known from now on, on a date; whether anything is another than before."""
    date = one.date
    before = tuple(getattr(date, name) for name in KEPT)
    date.recurrence, date.url, date.said = one.occurrence.recurrence, _link(one.occurrence.url), one.said
    date.offer, date.gone, date.is_open = one.offer, "", bool(one.offer)
    return before != tuple(getattr(date, name) for name in KEPT)


def _link(url: str) -> str:
    """An address that a page may link to; else empty."""
    return url[:500] if url.startswith(("https://", "http://")) else ""


def _follow(date: PartnerDate, one: Occurrence, now: Said) -> Following:
    """Group by group: who changed it since the calendar was last taken over?"""
    said, event = dict(date.said), date.event
    found = Following(date, {}, {}, said, one)
    is_past = event is not None and event.state == Event.State.PUBLISHED and event.is_over
    if event is None or event.state == Event.State.CANCELLED or is_past:
        return found
    here = present(event)
    for group in GROUPS:
        if now[group] == here[group]:
            said[group] = now[group]
        elif now[group] != said[group]:
            if event.state != Event.State.DRAFT:
                found.offer[group] = now[group]
                continue
            if here[group] == said[group]:
                found.write[group] = now[group]
            said[group] = now[group]
    if found.offer:
        found.offer["zone"] = now["zone"]
    return found


def _paired(
    dates: Mapping[tuple[str, str], PartnerDate], coming: Mapping[tuple[str, str], Occurrence]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Dates whose RECURRENCE-ID is another now, because the whole series moved to another hour, by UID and day.

    From the key they come under to the one they are known by; only where both have one such date that day.
    """
    old = _by_day({key: _day(key, date.said["when"][0]) for key, date in dates.items() if key not in coming})
    new = _by_day(
        {key: _day(key, one.starts_at.isoformat()) for key, one in coming.items() if key not in dates}
    )
    return {
        new[day][0]: old[day][0] for day in new if day in old and len(new[day]) == 1 and len(old[day]) == 1
    }


def _day(key: tuple[str, str], start: str) -> tuple[str, str]:
    return key[0], (key[1] or start)[:10]


def _by_day(keys: Mapping[tuple[str, str], tuple[str, str]]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for key, day in keys.items():
        found.setdefault(day, []).append(key)
    return found


def _said(one: Occurrence, towns: Mapping[str, Place]) -> Said:
    venue, town = _where(one.location, towns)
    return {
        "title": one.title[:160] or _("Without a title"),
        "description": one.description[:8000],
        "when": [_iso(one.starts_at), _iso(one.ends_at), one.all_day],
        "where": [venue[:160], town.pk if town else None],
        "zone": one.timezone,
        "version": 1,
    }


def _where(location: str, towns: Mapping[str, Place]) -> tuple[str, Place | None]:
    """A LOCATION as venue and town: `Library, Stationsplein 1, 3500 Hasselt, Belgium` names its town at the end."""
    names = _names(location)
    at = next((n for n in reversed(range(len(names))) if names[n] in towns), None)
    if at is None:
        return location, None
    parts = [part.strip() for part in location.split(",") if part.strip()]
    is_at_the_end = len(names) - at <= (2 if at else 1)  # perhaps with its country behind it
    return (", ".join(parts[:at]) if is_at_the_end else location), towns[names[at]]


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def _names(location: str) -> list[str]:
    """What may be the name of a town in a LOCATION: its parts, without a postcode before them."""
    return [fold(POSTCODE.sub("", part.strip())) for part in location.split(",") if part.strip()]


def _towns(locations: Iterable[str]) -> dict[str, Place]:
    """Towns of the region by their folded names. One query."""
    names = {name for location in set(locations) for name in _names(location)}
    found = PlaceName.objects.filter(folded__in=names).select_related("place").order_by("place__population")
    return {name.folded: name.place for name in found}
