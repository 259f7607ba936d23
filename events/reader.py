"""An iCalendar file that others wrote, to the dates it has: in a process of its own, within bounds of time and memory.

`read` takes the file apart and knows neither database nor settings; `read_apart` runs it in a child that has so many
seconds and bytes and no more. Hostile input costs the child, never the site.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import icalendar
from icalendar.timezone.tzid import tzids_from_tzinfo

from events import rules
from events.plain import line, plain

MAX_BYTES = 2 * 1024 * 1024
MAX_COMPONENTS = 5_000
MAX_OCCURRENCES = 1_000  # in the window
MAX_WALLS = 100_000  # looked at for all rules together
MAX_SINGLE = 2_000  # RDATE and EXDATE of one event
SECONDS, MEMORY = 10, 80 * 1024 * 1024  # of a processor, and beside Python's own files: what the child has
CHILD_IS_TOLD = {"PATH", "PYTHONPATH", "PYTHONTZPATH"}  # of the environment: where Python is, and no secret
TEXT = 8_000  # characters of a description


class Refused(Exception):
    """The file is not read: `code` is large, many, slow or unreadable."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Occurrence:
    """One date of the file. `recurrence` is its RECURRENCE-ID on the wall clock; empty for what does not recur."""

    uid: str
    recurrence: str
    starts_at: datetime
    ends_at: datetime | None
    timezone: str
    all_day: bool
    title: str
    description: str
    location: str
    url: str
    is_cancelled: bool


@dataclass
class Reading:
    """What the file gives in a window: the dates in order, the UIDs of what could not be read, whether dates were left out."""

    name: str = ""
    occurrences: list[Occurrence] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    is_cut: bool = False


def read_apart(
    content: bytes, since: datetime, until: datetime, zone: str, seconds: int = SECONDS
) -> Reading:
    """As `read`, in a child with bounds. A third of a second for a usual file. Raises Refused."""
    if len(content) > MAX_BYTES:
        raise Refused("large")
    command = [
        sys.executable,
        "-m",
        "events.reader",
        *(edge.isoformat() for edge in (since, until)),
        zone,
        str(seconds),
    ]
    told = {name: value for name, value in os.environ.items() if name in CHILD_IS_TOLD}
    try:
        child = subprocess.run(
            command, input=content, capture_output=True, timeout=3 * seconds, check=False, env=told
        )
    except subprocess.TimeoutExpired as slow:
        raise Refused("slow") from slow
    if child.returncode < 0:  # killed: the seconds were over
        raise Refused("slow")
    try:
        said = json.loads(child.stdout)
    except ValueError as died:
        raise Refused("unreadable") from died
    if "refused" in said:
        raise Refused(said["refused"])
    rows = [_from_json(row) for row in said.pop("occurrences")]
    return Reading(occurrences=rows, **said)


def read(content: bytes, since: datetime, until: datetime, zone: str) -> Reading:
    """The dates that overlap [since, until), by start. What has no zone is on the clock of X-WR-TIMEZONE, else of `zone`.

    Edges without a zone are compared with each date's own wall clock. Raises Refused.
    """
    if len(content) > MAX_BYTES:
        raise Refused("large")
    text = _decoded(content)
    if len(re.findall(r"^BEGIN:", text, re.MULTILINE | re.IGNORECASE)) > MAX_COMPONENTS:
        raise Refused("many")
    try:
        calendars = icalendar.Calendar.from_ical(text, multiple=True)
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as wrong:
        raise Refused("unreadable") from wrong
    calendars = [one for one in calendars if one.name == "VCALENDAR"]
    if not calendars:
        raise Refused("unreadable")
    reading = Reading(name=line(calendars[0].get("X-WR-CALNAME")))
    budget = _Budget(MAX_WALLS)
    for calendar in calendars:
        _read_calendar(calendar, reading, budget, (since, until, zone))
    reading.occurrences.sort(key=lambda one: (one.starts_at, one.uid))
    reading.is_cut = budget.left <= 0 or len(reading.occurrences) > MAX_OCCURRENCES
    del reading.occurrences[MAX_OCCURRENCES:]
    return reading


def _read_calendar(
    calendar: icalendar.Component, reading: Reading, budget: _Budget, window: tuple[datetime, datetime, str]
) -> None:
    since, until, zone = window
    own = line(calendar.get("X-WR-TIMEZONE"))
    is_own = _is_zone(own)
    zones = _Zones(own if is_own else zone, is_own)
    is_cancelled = line(calendar.get("METHOD")).upper() == "CANCEL"
    meetups: dict[str, list[_Row]] = {}
    for n, event in enumerate(calendar.walk("VEVENT")):
        try:
            row = _Row(event, zones, n)
        except (ValueError, TypeError, AttributeError, OverflowError, KeyError, IndexError):
            reading.unreadable.append(line(event.get("UID")))
            continue
        row.is_cancelled |= is_cancelled
        meetups.setdefault(row.uid, []).append(row)
    for rows in meetups.values():
        try:
            for one in _Meetup(rows).dates(budget, until):
                if one.overlaps(since, until):
                    reading.occurrences.append(one.said())
                if len(reading.occurrences) > 2 * MAX_OCCURRENCES or budget.left <= 0:
                    break
        except (ValueError, TypeError, AttributeError, OverflowError, KeyError, IndexError):
            reading.unreadable.append(rows[0].uid)


@dataclass
class _Budget:
    """How many dates are looked at before the reader has seen enough."""

    left: int


@dataclass(frozen=True)
class _Zones:
    """The zone of what names none, and whether the calendar said it itself (then UTC is meant as its zone, too)."""

    default: str
    is_own: bool

    def of(self, moment: date | datetime) -> tzinfo:
        """The clock that a date follows."""
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            return ZoneInfo(self.default)
        if self.is_own and moment.tzinfo.utcoffset(None) == timedelta() and _name_of(moment.tzinfo) == "UTC":
            return ZoneInfo(self.default)
        return moment.tzinfo

    def name(self, zone: tzinfo) -> str:
        """The IANA name under which a date of this clock is shown."""
        name = _name_of(zone)
        return self.default if name in {"", "UTC"} else name


@dataclass(frozen=True)
class _Replaced:
    """Which date a VEVENT replaces: on which wall clock, which moment, whether only the day is named, and all after it."""

    wall: datetime
    at: datetime
    is_day: bool
    and_following: bool


class _Row:
    """One VEVENT: its times on the wall clock of its zone, and what it says."""

    def __init__(self, event: Any, zones: _Zones, order: int) -> None:
        start = event["DTSTART"].dt
        self.event, self.zones = event, zones
        self.is_day = not isinstance(start, datetime)
        self.zone = zones.of(start)
        self.start = self.wall(start)
        if not 1600 <= self.start.year <= 9000:
            raise ValueError(start)
        self.lasts = self._lasts()
        self.uid = line(event.get("UID")) or f"{self.start.isoformat()} {line(event.get('SUMMARY'))}"
        self.is_cancelled = line(event.get("STATUS")).upper() == "CANCELLED"
        self.rank = (_number(event.get("SEQUENCE")), order)
        self.replaces = self._replaces()
        self.recurs = any(name in event for name in ("RRULE", "RDATE"))

    def wall(self, moment: date | datetime) -> datetime:
        """A moment on the wall clock of this event."""
        if not isinstance(moment, datetime):
            return datetime(moment.year, moment.month, moment.day)
        return (moment.astimezone(self.zone) if moment.tzinfo else moment).replace(tzinfo=None)

    def _replaces(self) -> _Replaced | None:
        """The date in whose place it stands, on the clock that its RECURRENCE-ID names."""
        given = self.event.get("RECURRENCE-ID")
        if given is None:
            return None
        moment, is_range = given.dt, str(given.params.get("RANGE", "")).upper() == "THISANDFUTURE"
        if not isinstance(moment, datetime):
            wall = datetime(moment.year, moment.month, moment.day)
            return _Replaced(wall, _utc(wall, self.zone), True, is_range)
        zone = self.zones.of(moment) if moment.tzinfo else self.zone
        wall = (moment.astimezone(zone) if moment.tzinfo else moment).replace(tzinfo=None)
        return _Replaced(wall, _utc(wall, zone), False, is_range)

    def _lasts(self) -> timedelta | None:
        """How long on the wall clock; None when nobody says, or when the end is before the start."""
        lasts: timedelta | None = timedelta(days=1) if self.is_day else None
        if "DTEND" in self.event:
            lasts = self.wall(self.event["DTEND"].dt) - self.start
        elif "DURATION" in self.event:
            lasts = self.event["DURATION"].dt
        if lasts is not None and lasts <= timedelta():
            return timedelta(days=1) if self.is_day else None
        return lasts

    def moments(self, name: str) -> Iterator[tuple[datetime, bool, timedelta | None]]:
        """What RDATE or EXDATE names: wall time, whether it is a whole day, and a period's length."""
        given = self.event.get(name, [])
        left = MAX_SINGLE
        for one in given if isinstance(given, list) else [given]:
            for value in getattr(one, "dts", [one]):
                left -= 1
                if left < 0:
                    return
                moment, lasts = value.dt, None
                if isinstance(moment, tuple):
                    moment, end = moment
                    lasts = end if isinstance(end, timedelta) else self.wall(end) - self.wall(moment)
                yield self.wall(moment), not isinstance(moment, datetime), lasts

    def walls(self, budget: _Budget, until: datetime) -> Iterator[tuple[datetime, timedelta | None]]:
        """The dates of its own, each once and in order, without what EXDATE and EXRULE leave out."""
        out, days_out = set[datetime](), set[date]()
        for wall, is_day, _lasts in self.moments("EXDATE"):
            if is_day and not self.is_day:
                days_out.add(wall.date())
            else:
                out.add(wall)
        for wall in self._by("EXRULE", budget, until):
            out.add(wall)
        found: dict[datetime, timedelta | None] = {self.start: self.lasts}
        for wall in self._by("RRULE", budget, until):
            found[wall] = self.lasts
        for wall, _is_day, lasts in self.moments("RDATE"):
            found[wall] = lasts or self.lasts
        for wall in sorted(found):
            if wall not in out and wall.date() not in days_out and wall <= until:
                yield wall, found[wall]

    def _by(self, name: str, budget: _Budget, until: datetime) -> Iterator[datetime]:
        given = self.event.get(name, [])
        for one in given if isinstance(given, list) else [given]:
            for wall in rules.walls(one.to_ical().decode(), self.start, self.zone, until, patience=10):
                budget.left -= 1
                if budget.left < 0:
                    return
                yield wall


class _Meetup:
    """All VEVENTs of one UID: what recurs, and what stands in the place of some of its dates."""

    def __init__(self, rows: list[_Row]) -> None:
        ranked = sorted(rows, key=lambda row: row.rank)
        self.main = next((row for row in reversed(ranked) if row.replaces is None), None)
        self.changed = {self._key(row.replaces): row for row in ranked if row.replaces is not None}
        followed = [
            (one.replaces.at, one)
            for one in self.changed.values()
            if one.replaces and one.replaces.and_following
        ]
        self.following = sorted(followed, key=lambda pair: pair[0])

    def _key(self, replaced: _Replaced) -> tuple[object, ...]:
        """What a date of the main VEVENT and the VEVENT in its place have in common."""
        if replaced.is_day or (self.main is not None and self.main.is_day):
            return ("day", replaced.wall.date())
        return ("at", replaced.at)

    def dates(self, budget: _Budget, until: datetime) -> Iterator[_Date]:
        """Every date once, changed ones as they are changed, up to some days after `until`."""
        left = dict(self.changed)
        if self.main is not None:
            main = self.main
            has_name = main.recurs or bool(left)
            for wall, lasts in main.walls(budget, until.replace(tzinfo=None) + timedelta(days=2)):
                name = _name(wall, main.is_day) if has_name else ""
                keys = (("at", _utc(wall, main.zone)), ("day", wall.date()))
                changed = next((left.pop(key) for key in keys if key in left), None)
                yield (
                    _Date(changed, changed.start, changed.lasts, name)
                    if changed
                    else self._followed(main, wall, lasts, name)
                )
        for row in (
            left.values()
        ):  # in the place of a date that is not there: an older one is of a rule that was changed since
            if row.replaces is not None and (self.main is None or row.rank[0] >= self.main.rank[0]):
                yield _Date(row, row.start, row.lasts, _name(row.replaces.wall, row.replaces.is_day))

    def _followed(self, main: _Row, wall: datetime, lasts: timedelta | None, name: str) -> _Date:
        """A date as the last change to "this and all following" before it left it."""
        moment = _utc(wall, main.zone)
        row = next((row for at, row in reversed(self.following) if at <= moment), None)
        if row is None or row.replaces is None:
            return _Date(main, wall, lasts, name)
        return _Date(row, wall + (row.start - row.replaces.wall), row.lasts, name)


def _name(wall: datetime, is_day: bool) -> str:
    """A RECURRENCE-ID, on the wall clock."""
    return wall.date().isoformat() if is_day else wall.isoformat(timespec="seconds")


@dataclass(frozen=True)
class _Date:
    """One date: of which VEVENT, when on its wall clock, how long, and its RECURRENCE-ID."""

    row: _Row
    wall: datetime
    lasts: timedelta | None
    name: str

    def overlaps(self, since: datetime, until: datetime) -> bool:
        """It begins in [since, until), or lasts into it."""
        moment, lasts = _utc(self.wall, self.row.zone), self.lasts or timedelta()
        early, late = (self.wall if edge.tzinfo is None else moment for edge in (since, until))
        return late < until and (early >= since or early + lasts > since)

    def said(self) -> Occurrence:
        """The date as it is handed on."""
        row, event = self.row, self.row.event
        zone = ZoneInfo(row.zones.name(row.zone))
        start = _utc(self.wall, row.zone)
        end = None if self.lasts is None else _utc(self.wall + self.lasts, row.zone)
        if end is not None and end <= start:  # the night the clocks change
            end = start + (self.lasts or timedelta())
        return Occurrence(
            uid=row.uid,
            recurrence=self.name,
            starts_at=start.astimezone(zone),
            ends_at=end and end.astimezone(zone),
            timezone=zone.key,
            all_day=row.is_day,
            title=line(event.get("SUMMARY")),
            description=plain(event.get("DESCRIPTION"), TEXT),
            location=line(event.get("LOCATION")),
            url=line(event.get("URL")),
            is_cancelled=row.is_cancelled,
        )


def _utc(wall: datetime, zone: tzinfo) -> datetime:
    """The moment of a wall time; skipped times move forward, of doubled ones it is the first."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _name_of(zone: tzinfo) -> str:
    """The IANA name of a clock, also of one that the file itself defines under a known name; else empty."""
    key = str(getattr(zone, "key", "") or "")
    names = (
        [key]
        if key
        else [*tzids_from_tzinfo(zone), *re.findall(r"[A-Z]\w+/[A-Z]\w+$", str(getattr(zone, "_tzid", "")))]
    )
    if zone is UTC or "UTC" in names or "Etc/UTC" in names:
        return "UTC"
    return next((name for name in names if _is_zone(name)), "")


def _is_zone(name: str) -> bool:
    try:
        return bool(name) and bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _decoded(content: bytes) -> str:
    """UTF-8, or what old programs write instead; without NUL, which no database takes."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    return text.replace("\0", "")


def _number(given: Any) -> int:
    try:
        return int(given)
    except (ValueError, TypeError):
        return 0


def _from_json(row: dict[str, Any]) -> Occurrence:
    zone = ZoneInfo(row["timezone"])
    end = row["ends_at"]
    row["starts_at"] = datetime.fromisoformat(row["starts_at"]).astimezone(zone)
    row["ends_at"] = datetime.fromisoformat(end).astimezone(zone) if end else None
    return Occurrence(**row)


def _child(since: str, until: str, zone: str, seconds: str) -> None:
    """The child: takes the file from standard input, says what it found on standard output as JSON."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
        found = read(content, datetime.fromisoformat(since), datetime.fromisoformat(until), zone)
        said = json.dumps(asdict(found), default=datetime.isoformat)
    except Refused as no:
        said = json.dumps({"refused": no.code})
    except (MemoryError, RecursionError):
        said = json.dumps({"refused": "many"})
    sys.stdout.write(said)


if __name__ == "__main__":
    _child(*sys.argv[1:5])
