"""Calendars that other engines were tested with give the same instants here: their rules, single dates, exceptions and moves.

Read from shared/data, where it is present; how many cases were compared is printed.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event

from events.series import Rule, occurrences, wall_time

RECURRENCE = Path(__file__).parents[3] / "shared/data/recurrence"
ZONES = {"US-Eastern": "America/New_York"}  # the name that a file gives to its own VTIMEZONE
DECIDED = {
    "ics-ical.net-025": "BYWEEKNO without BYDAY means every day of the week, as in dateutil; others take DTSTART's weekday",
    "ics-sabre-vobject-011": "a start that does not fit its rule is no date: the preview shows what is meant",
}

type Instant = datetime  # UTC


def zone_of(value: Any, default: str) -> str:
    """The zone of a date property: its TZID, UTC with Z, else `default` for what floats."""
    tzid = value.params.get("TZID")
    moment = value.dt
    if tzid:
        return ZONES.get(tzid, tzid)
    return "UTC" if isinstance(moment, datetime) and moment.tzinfo else default


def wall(moment: date | datetime, zone: str, at: time = time()) -> datetime:
    """The wall time in `zone` of what a property holds; of a day, at `at`."""
    if not isinstance(moment, datetime):
        return datetime.combine(moment, at)
    return (moment.astimezone(ZoneInfo(zone)) if moment.tzinfo else moment).replace(tzinfo=None)


def instant(moment: datetime, zone: str) -> Instant:
    return moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


class Master:
    """A VEVENT that recurs or stands alone."""

    def __init__(self, event: Event, default: str) -> None:
        first = event["DTSTART"]
        self.event, self.zone = event, zone_of(first, default)
        self.is_day = not isinstance(first.dt, datetime)
        self.start = wall(first.dt, self.zone)
        self.lasts = self._lasts()

    def _lasts(self) -> timedelta:
        if "DTEND" in self.event:
            end = self.event["DTEND"]
            return wall(end.dt, zone_of(end, self.zone)) - self.start
        if "DURATION" in self.event:
            lasts: timedelta = self.event["DURATION"].dt
            return lasts
        return timedelta(days=int(self.is_day))

    def walls(self, name: str) -> Iterator[datetime]:
        """The wall times of RDATE, EXDATE or RECURRENCE-ID, however often it stands there."""
        given = self.event.get(name, [])
        for one in given if isinstance(given, list) else [given]:
            for value in getattr(one, "dts", [one]):
                moment = value.dt[0] if isinstance(value.dt, tuple) else value.dt
                yield wall(moment, self.zone, self.start.time())

    def instants(self) -> list[Instant]:
        rules = self.event.get("RRULE", [])
        rules = rules if isinstance(rules, list) else [rules]
        text = rules[0].to_ical().decode() if rules else ""
        single = [*self.walls("RDATE"), *([] if text else [self.start])]
        rule = Rule(self.start, self.zone, text, single, list(self.walls("EXDATE")))
        return [one.starts_at.astimezone(UTC) for one in occurrences(rule, 3000)]


def dates(events: list[Event], default: str) -> list[tuple[Instant, timedelta]]:
    """When they begin and how long they last: each master's dates but those that an override of the same UID moves."""
    masters = [Master(event, default) for event in events]
    moved = {
        (str(one.event.get("UID")), instant(at, one.zone))
        for one in masters
        for at in one.walls("RECURRENCE-ID")
    }
    found = []
    for one in masters:
        if "RECURRENCE-ID" in one.event:
            found.append((instant(one.start, one.zone), one.lasts))
            continue
        uid = str(one.event.get("UID"))
        found += [(at, one.lasts) for at in one.instants() if (uid, at) not in moved]
    return sorted(found)


def edge(text: str | None, zone: str) -> Instant | None:
    if text is None:
        return None
    return instant(
        wall_time(text, "UTC" if text.endswith("Z") else zone), "UTC" if text.endswith("Z") else zone
    )


def within(
    found: list[tuple[Instant, timedelta]], since: Instant | None, until: Instant | None
) -> list[Instant]:
    """Those that overlap [since, until)."""
    return [
        at
        for at, lasts in found
        if (until is None or at < until) and (since is None or at >= since or at + lasts > since)
    ]


def test_calendars_that_others_expand_begin_at_the_same_instants_here() -> None:
    path = RECURRENCE / "calendars.jsonl"
    if not path.exists():
        print("45 of 45 calendars lacked: no shared/data here")
        return
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    wrong = {}
    for row in rows:
        events = Calendar.from_ical(row["ics"]).walk("VEVENT")
        if row.get("event_index") is not None:
            events = events[row["event_index"] :][:1]
        zone = ZONES.get(row["range"]["tz"], row["range"]["tz"])
        since, until = edge(row["range"]["from"], zone), edge(row["range"]["to_exclusive"], zone)
        got = within(dates(events, zone), since, until)
        expected = sorted(
            edge(one["start"], ZONES.get(one.get("tzid"), one.get("tzid")) or zone) for one in row["expected"]
        )
        if (got if since else got[: len(expected)]) != expected:
            wrong[row["id"]] = (got[:5], expected[:5])
    print(f"{len(rows)} calendars compared, {len(DECIDED)} decided otherwise")
    assert wrong.keys() == DECIDED.keys(), wrong
