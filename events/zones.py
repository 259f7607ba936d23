"""A time zone as calendar files carry it: VTIMEZONE (RFC 5545 §3.6.5), read alike by every program.

Onsets are rules where the zone has a rule, else one RDATE a line: some programs read the first value of a line only. They
are written on the clock as it was before the onset, as the standard says.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from zoneinfo import ZoneInfo

import icalendar

SINCE, UNTIL = datetime(2015, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
WEEK = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
type Observance = tuple[timedelta, timedelta, str, bool]
"""Offset before and from then on, the name of that time, and whether it is summer time."""


@cache
def component(name: str) -> icalendar.Timezone:
    """The zone of this IANA name."""
    zone = ZoneInfo(name)
    found = icalendar.Timezone()
    found.add("tzid", name)
    begins = SINCE.astimezone(zone)
    offset = begins.utcoffset() or timedelta()
    first = (offset, offset, begins.tzname() or name, bool(begins.dst()))
    found.add_component(_observance(first, [begins.replace(tzinfo=None)]))
    onsets = sorted(_onsets(zone), key=lambda one: one[0])
    for kind, rows in groupby(onsets, key=lambda one: one[0]):
        walls = [wall for _kind, wall in rows]
        rule = _rule(walls)
        found.add_component(_observance(kind, walls[:1] if rule else walls, rule))
    return found


def _onsets(zone: ZoneInfo) -> Iterator[tuple[Observance, datetime]]:
    """Every change of offset, with the wall time at which it comes, on the clock as it was."""
    at = SINCE
    while at < UNTIL:
        until = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != until.astimezone(zone).utcoffset():
            low, high = at, until
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) // 2
                same = middle.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            onset = high.replace(second=0, microsecond=0)
            before, after = (onset - timedelta(minutes=1)).astimezone(zone), onset.astimezone(zone)
            old, new = before.utcoffset() or timedelta(), after.utcoffset() or timedelta()
            yield (
                (old, new, after.tzname() or str(zone), bool(after.dst())),
                (onset + old).replace(tzinfo=None),
            )
        at = until


def _rule(walls: Sequence[datetime]) -> dict[str, object] | None:
    """The yearly rule that gives exactly these onsets and goes on; None where there is none."""
    first, last = walls[0], walls[-1]
    if [wall.year for wall in walls] != list(range(first.year, last.year + 1)) or last.year < UNTIL.year - 1:
        return None
    kinds = {(wall.month, wall.weekday(), wall.time()) for wall in walls}
    lasts = {wall.day + 7 > monthrange(wall.year, wall.month)[1] for wall in walls}
    turns = {(wall.day - 1) // 7 + 1 for wall in walls}
    if len(kinds) != 1 or (lasts != {True} and len(turns) != 1):
        return None
    turn = -1 if lasts == {True} else turns.pop()
    return {"freq": "yearly", "bymonth": first.month, "byday": f"{turn}{WEEK[first.weekday()]}"}


def _observance(
    kind: Observance, walls: Sequence[datetime], rule: dict[str, object] | None = None
) -> icalendar.TimezoneStandard | icalendar.TimezoneDaylight:
    old, new, name, is_summer = kind
    row = icalendar.TimezoneDaylight() if is_summer else icalendar.TimezoneStandard()
    row.add("dtstart", walls[0])
    row.add("tzoffsetfrom", old)
    row.add("tzoffsetto", new)
    row.add("tzname", name)
    if rule:
        row.add("rrule", rule)
    for wall in walls[1:]:
        row.add("rdate", wall)
    return row
