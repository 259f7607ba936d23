"""A recurring meetup: from a rule (RFC 5545 §3.3.10) to dates, and from dates to events.

A rule lives on the wall clock of its zone: Tuesday 19:00 stays 19:00 when the clocks change. A time that the
clocks skip moves forward by what they skip; of an hour that comes twice the first is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from heapq import merge
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from events import pools, rules
from events.holidays import holiday_on
from events.models import Event, Pool, Series
from realtime import clock

HORIZON = timedelta(days=366)  # occurrences exist as events this far ahead
MAX_A_YEAR = 400  # once a day, and some
EARLIEST, LATEST = 1970, 2200  # years of a start
MAX_DATES = 500  # of RDATE and EXDATE each
FAR = timedelta(days=366 * 120)  # no expansion looks further than this from its start
WEEK = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
LAST_MINUTE = time(23, 59)
WITHIN_A_DAY = re.compile(r"FREQ=(HOURLY|MINUTELY|SECONDLY)", re.IGNORECASE)


@dataclass(frozen=True)
class Rule:
    """What recurs: local wall times without zone, and the zone whose clock they follow."""

    start: datetime
    timezone: str
    rrule: str = ""
    rdates: Sequence[datetime] = ()
    exdates: Sequence[datetime] = ()
    skip_holidays: Sequence[str] = ()


@dataclass(frozen=True)
class Occurrence:
    """One date of a rule: the wall time it was written as, and the moment it is, on the zone's clock."""

    written: datetime
    starts_at: datetime
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """By what its series knows it: the local time as written."""
        return self.written.isoformat(timespec="seconds")

    def recurrence_id(self, series: Series) -> str:
        """What follows RECURRENCE-ID in a calendar (RFC 5545 §3.8.4.4): a day, or the time on the wall that there is."""
        if series.all_day:
            return f"VALUE=DATE:{self.starts_at:%Y%m%d}"
        return f"TZID={series.timezone}:{self.starts_at:%Y%m%dT%H%M%S}"


def wall_time(text: str, zone: str, at: time = time()) -> datetime:
    """A local time as `2027-06-01T19:00:00` or `20270601T190000`, a date (then at `at`), or UTC with Z.

    Without zone, on the wall clock of `zone`. Raises ValidationError.
    """
    try:
        return rules.wall_time(text, zone_named(zone) if text.strip().endswith("Z") else UTC, at)
    except (ValueError, OverflowError) as wrong:
        raise ValidationError(
            _("“%(text)s” is not a date and time.") % {"text": text[:40]}, code="invalid"
        ) from wrong


def zone_named(name: str) -> ZoneInfo:
    """The IANA zone. Raises ValidationError."""
    try:
        if not name:
            raise ValueError
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as wrong:
        raise ValidationError({"timezone": _("There is no time zone of this name.")}) from wrong


def moment(wall: datetime, zone: str) -> datetime:
    """The moment of a wall time on the clock of `zone`: skipped times move forward, doubled ones are the first."""
    return wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC).astimezone(ZoneInfo(zone))


def occurrences(
    rule: Rule, limit: int | None = None, *, until: datetime | None = None
) -> Iterator[Occurrence]:
    """The dates of a rule in order, lazily, at most `limit`, none written after `until` (wall time).

    It always ends, and soon: rules that never match are followed for a bounded number of periods. A start
    that does not fit its own rule is no occurrence; without a rule the start and the RDATEs are. Raises
    ValidationError for a rule that cannot be read.
    """
    return islice(_dates(rule, until or later(rule.start)), limit)


def check(rule: Rule) -> None:
    """Refuse a rule that nobody should save, in words: within the day, empty, or too many. Raises ValidationError."""
    if WITHIN_A_DAY.search(rule.rrule):
        raise ValidationError({"rrule": _("A meetup recurs by days at most, not by hours or minutes.")})
    if len(rule.rdates) > MAX_DATES or len(rule.exdates) > MAX_DATES:
        raise ValidationError({"rrule": _("These are too many single dates for one series.")})
    must_be_near(rule)
    first = next(occurrences(rule), None)
    if first is None:
        raise ValidationError({"rrule": _("This rule gives no date at all.")})
    year = occurrences(rule, MAX_A_YEAR + 1, until=first.written + HORIZON)
    if sum(1 for _day in year) > MAX_A_YEAR:
        raise ValidationError(
            {"rrule": _("This rule gives more than one date a day. Make several series of it.")}
        )


def must_be_near(rule: Rule) -> None:
    """Start and single dates lie between 1970 and 2200: beyond, calendars and clocks know no zones."""
    for name, walls in (("starts_at", [rule.start]), ("rdates", rule.rdates), ("exdates", rule.exdates)):
        if not all(EARLIEST <= wall.year <= LATEST for wall in walls):
            raise ValidationError({name: _("This date is too far away.")})


def moved(rrule: str, by: timedelta) -> str:
    """A rule whose start moves to another day: weekdays go along. Raises ValidationError where that is not sure to be meant."""
    parts = rules.parts_of(rrule)
    if not by or parts.get("FREQ") == "DAILY" or not rrule:
        return rrule
    if parts["FREQ"] != "WEEKLY" or any(name in parts for name in ("BYMONTH", "BYSETPOS")):
        raise ValidationError(
            {"starts_at": _("Another day changes the rule too: say how it recurs from now on.")}
        )
    days = [WEEK[(WEEK.index(day) + by.days) % 7] for day in parts.get("BYDAY", "").split(",") if day]
    if days:
        parts["BYDAY"] = ",".join(sorted(days, key=WEEK.index))
    return rules.joined(parts)


def until_moved(rrule: str, by: timedelta, days: timedelta) -> str:
    """A rule whose dates all move by so much, which is to a day so many days away: its UNTIL goes along, so that it gives as
    many as before. A time moves by `by`, a day, which means the whole of it, by `days`.
    """
    parts = rules.parts_of(rrule)
    until = parts.get("UNTIL", "")
    if not until:
        return rrule
    try:
        wall = rules.wall_time(until, UTC)
        moved = wall + by if "T" in until else wall + days
    except OverflowError:  # so far away that nobody looks there
        return rrule
    parts["UNTIL"] = f"{moved:%Y%m%dT%H%M%S}" if "T" in until else f"{moved:%Y%m%d}"
    parts["UNTIL"] += "Z" if until.endswith("Z") else ""
    return rules.joined(parts)


def first_from(rule: Rule, at: datetime) -> datetime:
    """The first date the rule itself gives at or after a wall time; `at` when it gives none."""
    return next((wall for wall in by_rule(rule, later(at)) if wall >= at), at)


def counted_from(rule: Rule, at: datetime) -> str:
    """The rule as it goes on from one of its dates: a COUNT is lowered by what was before."""
    parts = rules.parts_of(rule.rrule)
    if "COUNT" in parts:
        before = sum(1 for wall in by_rule(rule, at) if wall < at)
        parts["COUNT"] = str(max(1, int(parts["COUNT"]) - before))
    return rules.joined(parts)


def ended_before(rrule: str, at: datetime) -> str:
    """The rule as it ends before a wall time."""
    parts = rules.parts_of(rrule)
    parts.pop("COUNT", None)
    if parts:
        parts["UNTIL"] = (at - timedelta(seconds=1)).strftime("%Y%m%dT%H%M%S")
    return rules.joined(parts)


def rule_of(series: Series) -> Rule:
    """The rule of a stored series."""
    return Rule(
        start=series.starts_at,
        timezone=series.timezone,
        rrule=series.rrule,
        rdates=[datetime.fromisoformat(text) for text in series.rdates],
        exdates=[datetime.fromisoformat(text) for text in series.exdates],
        skip_holidays=series.skip_holidays,
    )


def make_occurrences(series: Series, until: date) -> list[Event]:
    """Events for the dates up to `until` that have none yet; those made before stay as they are. Series locked.

    A second time makes nothing. Eight queries for any number of new events.
    """
    wanted = occurrences(rule_of(series), until=datetime.combine(until, time.max))
    since = series.made_until or date.min
    there = set(series.occurrences.values_list("original_start", flat=True))
    new = add(series, [one for one in wanted if one.written.date() > since and one.name not in there])
    series.made_until = max(until, since)
    series.save(update_fields=["made_until"])
    return new


def extend_series() -> int:
    """The sweep: every running series has its events for the next twelve months. Returns how many were made."""
    until = (clock.now() + HORIZON).date()
    due = Series.objects.filter(Q(made_until=None) | Q(made_until__lt=until), ended_at=None)
    made = 0
    for pk in list(due.values_list("pk", flat=True)):
        with transaction.atomic():
            made += len(make_occurrences(Series.objects.select_for_update().get(pk=pk), until))
    return made


COPIED = [
    "title",
    "description",
    "language",
    "translations",
    "host_id",
    "centre_id",
    "circle_id",
    "venue",
    "address",
    "place_id",
    "town",
    "timezone",
    "all_day",
    "visibility",
    "waiting_list",
    "capacity",
    "languages",
    "needs_language",
    "needs_level",
    "for_families",
    "min_age",
    "max_age",
    "step_free",
    "childcare",
    "is_free",
    "price_note",
    "doors_minutes",
    "by_approval",
    "opens_before",
    "closes_before",
    "fixed_before",
    "questions",
    "ticket_types",
    "asks_again",
]


def add(series: Series, dates: Sequence[Occurrence]) -> list[Event]:
    """Events of new dates, with their places and the links of their series. Series locked. Seven queries for any number.

    In calendars a date is named for ever by its series and its time as they are now, wherever it is moved and whichever
    series it belongs to later. Where a date that was moved has that name already, the new one's own id is its name.
    """
    made = [event_of(series, one) for one in dates]
    taken = set(Event.objects.filter(uid_series=series.pk).values_list("recurrence_id", flat=True))
    for event, one in zip(made, dates, strict=True):
        name = one.recurrence_id(series)
        if name not in taken:
            event.uid_series, event.recurrence_id = series.pk, name
    Event.objects.bulk_create(made)
    Pool.objects.bulk_create(pools.made_for(made))
    copy_links(series, made)
    return made


def event_of(series: Series, one: Occurrence) -> Event:
    """The event of one date, not saved."""
    event = Event(series=series, original_start=one.name, starts_at=one.starts_at.astimezone(UTC))
    for name in COPIED:
        setattr(event, name, getattr(series, name))
    if series.minutes:
        event.ends_at = ends_after(one.written, series.minutes, series.timezone)
    event.search = event.searchable()
    return event


def ends_after(wall: datetime, minutes: int, zone: str) -> datetime:
    """The end (UTC) so many minutes of wall clock after a wall time, as long in the night the clocks change; never before it."""
    start = moment(wall, zone).astimezone(UTC)
    end = moment(wall + timedelta(minutes=minutes), zone).astimezone(UTC)
    return end if end > start else start + timedelta(minutes=minutes)


def copy_links(series: Series, events: Sequence[Event]) -> None:
    """Give events the interests and partner centres of their series. Four queries."""
    interests = Event.interests.through
    interests.objects.bulk_create(
        interests(event=event, interest=interest) for event in events for interest in series.interests.all()
    )
    partners = Event.partner_centres.through
    partners.objects.bulk_create(
        partners(event=event, centre=centre) for event in events for centre in series.partner_centres.all()
    )


def later(start: datetime) -> datetime:
    """As far from `start` as any expansion looks."""
    return start + FAR if start.year < 9000 else datetime.max


def _dates(rule: Rule, until: datetime) -> Iterator[Occurrence]:
    left_out = {day.replace(tzinfo=None) for day in rule.exdates}
    single = sorted({*rule.rdates, *(() if rule.rrule else (rule.start,))})
    last: datetime | None = None
    for wall in merge(by_rule(rule, until), single):
        if wall > until:
            return
        starts_at = moment(wall, rule.timezone)
        if wall in left_out or starts_at == last:
            continue
        if any(holiday_on(starts_at.date(), country) for country in rule.skip_holidays):
            continue
        last = starts_at
        yield Occurrence(wall, starts_at)


def by_rule(rule: Rule, until: datetime) -> Iterator[datetime]:
    """What the rule alone gives up to a wall time, before exceptions and holidays. Raises ValidationError."""
    if not rule.rrule:
        return
    try:
        yield from rules.walls(rule.rrule, rule.start, zone_named(rule.timezone), until)
    except rules.Contradicting as wrong:
        raise ValidationError({"rrule": _("This rule contradicts itself.")}) from wrong
    except rules.Unreadable as wrong:
        raise ValidationError({"rrule": _("This rule cannot be read.")}) from wrong
    except (ValueError, OverflowError) as wrong:
        raise ValidationError(
            _("“%(text)s” is not a date and time.")
            % {"text": rules.parts_of(rule.rrule).get("UNTIL", "")[:40]},
            code="invalid",
        ) from wrong
