"""How many of those expected came, after the event: as a rate over several people, never who.

It counts what the door knows, as `truth` does, and only where the door was used: an event at which nobody was let in by a
scan or by the list says nothing about who came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from community.models import Member
from events import board
from events.access import event_for, may_run
from events.models import Attendee, Event, Scan, Series
from events.models.event import EventQuerySet, hosted_by, run_by
from events.models.registration import COMING
from realtime import clock

YEAR = timedelta(days=365)
FEWEST = 5  # people: of fewer, a rate says who it was
MOST = 400  # events that are counted at once, the newest


@dataclass(frozen=True)
class Turnout:
    """How many were expected, and how many of them were let in, at so many events."""

    expected: int
    came: int
    events: int = 1

    @property
    def missing(self) -> int:
        """How many of a hundred did not come."""
        return round(100 * (self.expected - self.came) / self.expected)


def of_event(member: Member, event_id: int) -> tuple[Turnout | None, Turnout | None]:
    """Of an event that is over, and of the dates of its series in the last twelve months that the member runs.

    None for what is not over, where the door was not used, and of fewer than `FEWEST` people; of a series, of one date too.
    Raises Event.DoesNotExist, PermissionDenied for who does not run it. At most three queries beside `event_for`, `may_run`.
    """
    event = event_for(member, event_id)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event sees who comes."))
    return at(member, event)


def at(member: Member, event: Event) -> tuple[Turnout | None, Turnout | None]:
    """As `of_event`, for an event that the member is known to run. Three queries; none while it is to come."""
    if not event.is_over:
        return None, None
    dates = Event.objects.filter(run_by(member), series=event.series_id) if event.series_id else None
    past = list(_past(dates)) if dates is not None else []
    found = _counted([event, *(one for one in past if one != event)])
    of_series = _together(found[one.pk] for one in past if one.pk in found)
    return (
        _together(found[event.pk] for _once in range(event.pk in found)),
        of_series if of_series and of_series.events > 1 else None,
    )


def of_host(member: Member) -> tuple[Turnout | None, list[tuple[Series, Turnout]]]:
    """Of all the member hosted in the last twelve months, and of each series with several dates, by its title.

    Three queries; one for who has hosted nothing.
    """
    past = list(_past(Event.objects.filter(hosted_by(member))).select_related("series"))
    found = _counted(past)
    by_series: dict[Series, list[Turnout]] = defaultdict(list)
    for event in past:
        if event.series is not None and event.pk in found:
            by_series[event.series].append(found[event.pk])
    several = [
        (meetup, together)
        for meetup, dates in by_series.items()
        if (together := _together(dates)) and together.events > 1
    ]
    return _together(found.values()), sorted(several, key=lambda one: (one[0].title.casefold(), one[0].pk))


def _past(events: EventQuerySet) -> EventQuerySet:
    """Those of the last twelve months that took place, are over and at which something was scanned, the newest first."""
    now = clock.now()
    over = Q(ends_at__lte=now) | Q(ends_at=None, starts_at__lte=now - timedelta(hours=3))
    took_place = events.filter(over, state=Event.State.PUBLISHED, starts_at__gt=now - YEAR)
    used = Exists(Scan.objects.filter(event=OuterRef("pk")))
    return took_place.filter(used).order_by("-starts_at", "pk")[:MOST]


def _counted(events: Sequence[Event]) -> Mapping[int, Turnout]:
    """By the event's pk, of those where somebody was let in. Two queries for any number; none for none."""
    if not events:
        return {}
    scans: dict[int, list[Scan]] = defaultdict(list)
    for scan in Scan.objects.filter(event__in=events).select_related("gate").order_by("event", "order"):
        scans[scan.event_id].append(scan)
    rows = Attendee.objects.filter(event__in=list(scans), is_live=True, registration__state__in=COMING)
    expected: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for event_id, party, slot in rows.values_list("event", "registration", "slot"):
        expected[event_id].add((party, slot))
    found = {}
    for event_id, people in expected.items():
        standing = board.truth_of(scans[event_id]).standing
        let_in = {place for place, one in standing.items() if one.first}
        if let_in:
            found[event_id] = Turnout(len(people), len(people & let_in))
    return found


def _together(several: Iterable[Turnout]) -> Turnout | None:
    """Of several events as one; None for so few people that it would say who."""
    known = list(several)
    expected, came = sum(one.expected for one in known), sum(one.came for one in known)
    return Turnout(expected, came, len(known)) if expected >= FEWEST else None
