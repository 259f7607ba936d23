"""A month as a calendar: each event on each of its days, by the clock of its own zone."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from babel import Locale
from babel.dates import get_day_names
from django.db.models import Q

from events.models import Event
from events.models.event import EventQuerySet

ROUND_THE_WORLD = timedelta(days=1)  # no zone is further from UTC
LONGEST = timedelta(days=400)
MOST = 2000
SHOWN = 4  # of a day; the list has the others
FIRST_YEAR, LAST_YEAR = 2000, 2100
_NAME = re.compile(r"(\d{4})-(\d\d)", re.ASCII)


@dataclass(frozen=True)
class Day:
    """A day and what is on."""

    date: date
    is_today: bool
    events: list[Event] = field(default_factory=list)

    @property
    def shown(self) -> list[Event]:
        """What stands in the calendar."""
        return self.events[:SHOWN]

    @property
    def more(self) -> int:
        """How many more there are."""
        return len(self.events) - len(self.shown)


@dataclass(frozen=True)
class Week:
    """A row of the calendar; days of other months are None."""

    number: int
    days: list[Day | None]


def named(text: str, today: date) -> date:
    """The first day of the month called `2027-06`; of this month for any other text."""
    match = _NAME.fullmatch(text)
    if match and FIRST_YEAR <= int(match[1]) <= LAST_YEAR and 1 <= int(match[2]) <= 12:
        return date(int(match[1]), int(match[2]), 1)
    return today.replace(day=1)


def weekdays(language: str) -> list[str]:
    """Monday to Sunday, short, in this language."""
    names = get_day_names("abbreviated", "stand-alone", Locale.parse(language[:2]))
    return [names[n] for n in range(7)]


def beside(first: date, by: int) -> str:
    """What the month before (-1) or after (1) is called; empty beyond the years we know."""
    other = first - timedelta(days=1) if by < 0 else _after(first)
    return f"{other:%Y-%m}" if FIRST_YEAR <= other.year <= LAST_YEAR else ""


def within(events: EventQuerySet, first: date) -> EventQuerySet:
    """Those that may touch the month, a day more on both sides; `weeks` looks at their own clocks. No query of its own."""
    start = datetime.combine(first, time(), UTC) - ROUND_THE_WORLD
    end = datetime.combine(_after(first), time(), UTC) + ROUND_THE_WORLD
    goes_on = Q(ends_at__gt=start, starts_at__gt=start - LONGEST)
    return events.filter(goes_on | Q(starts_at__gte=start), starts_at__lt=end).order_by("starts_at", "pk")


def weeks(first: date, events: Iterable[Event], today: date) -> list[Week]:
    """The month that begins on `first`, Monday to Sunday, with these events on each of their days."""
    on: dict[date, list[Event]] = {}
    for event in events:
        for day in _days_of(event, first):
            on.setdefault(day, []).append(event)
    return [
        Week(
            week[0].isocalendar().week,
            [Day(day, day == today, on.get(day, [])) if day.month == first.month else None for day in week],
        )
        for week in calendar.Calendar().monthdatescalendar(first.year, first.month)
    ]


def _days_of(event: Event, first: date) -> Iterable[date]:
    start, last = event.local_start, event.last_day
    assert start is not None, "only events with a date are in a calendar"
    begins = start.date()
    ends = begins if event.is_one_day or last is None else last.date()
    day, end = max(begins, first), min(ends, _after(first) - timedelta(days=1))
    while day <= end:
        yield day
        day += timedelta(days=1)


def _after(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
