"""The next dates of a rule with what is special about each: the clocks, a public holiday, what else its host does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from django.utils.translation import gettext as _

from community.models import Member
from events.holidays import COUNTRY_NAMES, holiday_on
from events.models import Event
from events.series import Occurrence, Rule, must_be_near, occurrences

LEFT_OUT = 20  # holidays named beside the dates, at most


def preview(
    rule: Rule, limit: int = 10, *, host: Member | None = None, besides: int | None = None
) -> tuple[list[Occurrence], bool]:
    """The first dates of a rule with what is special about them, and whether there are more. Nothing is saved.

    Notes: the clocks change, a public holiday, another event of `host` that day; those of the meetup that the event
    with the id `besides` is a date of are no others. At most one query. Raises ValidationError for a rule that cannot be
    read, or dates nobody lives to see.
    """
    must_be_near(rule)
    found = list(occurrences(rule, limit + 1))
    shown, more = found[:limit], len(found) > limit
    busy = _busy(host, shown, besides)
    noted = []
    before = None
    for one in shown:
        noted.append(
            replace(
                one,
                notes=[*_clock_notes(one, before), *_holiday_notes(one), *busy.get(one.starts_at.date(), [])],
            )
        )
        before = one
    return noted, more


def left_out(rule: Rule, shown: Sequence[Occurrence], *, more: bool) -> list[tuple[date, str]]:
    """The days among the shown dates, or after them unless there are `more`, on which it would be if they were no public
    holidays, and what they are called. No query.
    """
    if not rule.skip_holidays:
        return []
    there = {one.written for one in shown}
    last = shown[-1].written if shown and more else None
    whole = occurrences(replace(rule, skip_holidays=()), len(shown) + LEFT_OUT, until=last)
    days = [one.starts_at.date() for one in whole if one.written not in there]
    called = [(day, [holiday_on(day, country) for country in rule.skip_holidays]) for day in days]
    return [(day, next(filter(None, names))) for day, names in called if any(names)]


def _clock_notes(one: Occurrence, before: Occurrence | None) -> list[str]:
    if one.starts_at.replace(tzinfo=None) != one.written:
        shown = one.starts_at.strftime("%H:%M")
        return [_("The clocks go forward that night: it begins at %(time)s.") % {"time": shown}]
    if _comes_twice(one.starts_at):
        return [_("This hour comes twice that night: the first one is meant.")]
    if before is None or before.starts_at.utcoffset() == one.starts_at.utcoffset():
        return []
    is_summer = (one.starts_at.utcoffset() or timedelta()) > (before.starts_at.utcoffset() or timedelta())
    return [_("From here on summer time.") if is_summer else _("From here on winter time.")]


def _comes_twice(moment: datetime) -> bool:
    """The clocks go back that night, and show this time again an hour later."""
    return moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()


def _holiday_notes(one: Occurrence) -> list[str]:
    day = one.starts_at.date()
    named: dict[str, list[str]] = {}
    for country, label in COUNTRY_NAMES.items():
        holiday = holiday_on(day, country)
        if holiday:
            named.setdefault(holiday, []).append(str(label))
    return [
        _("%(holiday)s: public holiday in %(countries)s.")
        % {"holiday": holiday, "countries": ", ".join(labels)}
        for holiday, labels in named.items()
    ]


def _busy(host: Member | None, shown: Sequence[Occurrence], besides: int | None) -> dict[date, list[str]]:
    """By local day, what else the host does then. One query; none without host or dates."""
    if host is None or not shown:
        return {}
    others = Event.objects.filter(host=host, state=Event.State.PUBLISHED).between(
        shown[0].starts_at - timedelta(days=1), shown[-1].starts_at + timedelta(days=1)
    )
    if besides is not None:
        its_series = Event.objects.filter(pk=besides, series__isnull=False).values("series")
        others = others.exclude(pk=besides).exclude(series__in=its_series)
    found: dict[date, list[str]] = {}
    for event in others.order_by("starts_at"):
        if event.local_start is not None:
            note = _("Same day: your event “%(title)s” at %(time)s.") % {
                "title": event.title,
                "time": event.local_start.strftime("%H:%M"),
            }
            found.setdefault(event.local_start.date(), []).append(note)
    return found
