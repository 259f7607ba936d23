"""One rule of RFC 5545 §3.3.10 to wall times, by its text alone: no database, no settings, and always at an end soon."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, tzinfo

from dateutil.rrule import rrule, rrulestr

# Periods an expansion tries at most, by their length: years ahead in each, and under a tenth of a second.
STEPS = {"YEARLY": 400, "MONTHLY": 1_500, "WEEKLY": 3_000, "DAILY": 4_000}
STEPS_WITHIN_A_DAY = 20_000
_TIME = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d):?(\d\d)(?::?(\d\d))?)?(Z)?")


class Unreadable(ValueError):
    """The rule is none."""


class Contradicting(ValueError):
    """The rule says two things that do not go together."""


class _TooFar(Exception):
    """The rule was followed as far as anybody looks."""


class _Steps(int):
    """An interval that can be added only so often: dateutil has no other brake on a rule that never matches."""

    left: int

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _TooFar

    def __radd__(self, other: int) -> int:
        self._spend()
        return int(other) + int(self)

    def __mul__(self, other: int) -> int:
        self._spend()
        return int(self) * other


def wall_time(text: str, zone: tzinfo, at: time = time()) -> datetime:
    """A local time as `2027-06-01T19:00:00` or `20270601T190000`, a date (then at `at`), or UTC with Z.

    Without zone, on the wall clock of `zone`. Raises ValueError, OverflowError.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(part) if part else 0 for part in found.groups()[:6])
    if found[4] is None:
        return datetime.combine(date(year, month, day), at)
    wall = datetime(year, month, day, hour, minute, min(second, 59))
    if found[7]:
        wall = wall.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    return wall


def walls(text: str, start: datetime, zone: tzinfo, until: datetime, patience: int = 1) -> Iterator[datetime]:
    """The wall times a rule gives from `start` on, in order, none after `until`; lazily, and soon at an end.

    A rule that never matches is followed for a bounded number of periods, `patience` times as many as usual. Raises
    Unreadable, Contradicting; ValueError and OverflowError for an UNTIL that is no time.
    """
    parsed = _parsed(text, start, zone, patience)
    try:
        for wall in parsed:
            if wall > until:
                return
            yield wall
    except (_TooFar, OverflowError):
        return
    except ValueError as wrong:  # dateutil: "Invalid combination of interval and byhour rule"
        raise Contradicting from wrong


def parts_of(text: str) -> dict[str, str]:
    """The parts of a rule by their names."""
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)


def joined(parts: dict[str, str]) -> str:
    """A rule of its parts."""
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _parsed(text: str, start: datetime, zone: tzinfo, patience: int) -> rrule:
    text = text.strip().upper().removeprefix("RRULE:")
    parts = parts_of(text)
    _must_be_sound(text, parts)
    if "UNTIL" in parts:
        # §3.3.10: UNTIL is UTC when the start has a zone. A date means: the whole of that day.
        last = wall_time(parts["UNTIL"], zone, time(23, 59, 59))
        parts["UNTIL"] = last.strftime("%Y%m%dT%H%M%S").zfill(15)
    if "BYDAY" in parts:
        parts["BYDAY"] = re.sub(
            r"(?<!\d)[+-]?0+(?=[A-Z])", "", parts["BYDAY"]
        )  # 0MO counts nothing: every Monday
    try:
        parsed = rrulestr(joined(parts), dtstart=start)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as wrong:
        raise Unreadable from wrong
    assert isinstance(parsed, rrule)
    steps = _Steps(parts.get("INTERVAL", "1"))
    steps.left = STEPS.get(parts["FREQ"], STEPS_WITHIN_A_DAY) * patience
    return parsed.replace(interval=steps)


_NAMES = frozenset(
    [
        "FREQ",
        "UNTIL",
        "COUNT",
        "INTERVAL",
        "BYSECOND",
        "BYMINUTE",
        "BYHOUR",
        "BYDAY",
        "BYMONTHDAY",
        "BYYEARDAY",
        "BYWEEKNO",
        "BYMONTH",
        "BYSETPOS",
        "WKST",
    ]
)
_RANGES = {
    "BYSECOND": (0, 60),
    "BYMINUTE": (0, 59),
    "BYHOUR": (0, 23),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYMONTH": (1, 12),
    "BYSETPOS": (-366, 366),
    "COUNT": (1, 100_000),
    "INTERVAL": (1, 10_000),
}


def _must_be_sound(text: str, parts: dict[str, str]) -> None:
    """What RFC 5545 §3.3.10 forbids and dateutil lets through. Raises Unreadable, Contradicting."""
    if (
        len(text) > 500
        or not re.fullmatch(r"[A-Z0-9;=,+-]+", text)
        or len(parts) != len(text.strip(";").split(";"))
        or not parts.keys() <= _NAMES
        or "FREQ" not in parts
    ):
        raise Unreadable
    for name, (low, high) in _RANGES.items():
        for number in parts.get(name, "").split(",") if name in parts else ():
            if (
                not re.fullmatch(r"[+-]?\d{1,6}", number)
                or not low <= int(number) <= high
                or (low < 0 and int(number) == 0)
            ):
                raise Unreadable
    numbered = re.search(r"\d", parts.get("BYDAY", ""))
    by_hand = (
        ("UNTIL" in parts and "COUNT" in parts)
        or ("BYMONTHDAY" in parts and parts["FREQ"] == "WEEKLY")
        or ("BYWEEKNO" in parts and parts["FREQ"] != "YEARLY")
        or ("BYYEARDAY" in parts and parts["FREQ"] in {"DAILY", "WEEKLY", "MONTHLY"})
        or (numbered and (parts["FREQ"] not in {"MONTHLY", "YEARLY"} or "BYWEEKNO" in parts))
    )
    if by_hand:
        raise Contradicting
