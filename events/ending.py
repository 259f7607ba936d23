"""A meetup ends: this date and all after it are called off together, and can be taken back together for ten minutes."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from community.models import Member
from events import hosting, undoing
from events.access import event_for, may_run_series, series_for
from events.models import CallOff, Event, Series
from events.models.event import EventQuerySet
from events.models.registration import LIVE
from events.rescheduling import rejoin, split
from realtime import clock


def dates_from(event: Event) -> EventQuerySet:
    """The dates of its meetup that would end with this one, itself among them. No query of its own."""
    ahead = Event.objects.filter(state=Event.State.PUBLISHED, starts_at__gt=clock.now())
    later = ahead.filter(series=event.series_id, original_start__gte=event.original_start)
    return later if event.series_id else later.none()


def people_at(dates: EventQuerySet) -> int:
    """How many places are wanted at these dates, all together. One query."""
    found = dates.filter(registrations__state__in=LIVE).aggregate(n=Sum("registrations__party_size"))
    return int(found["n"] or 0)


@transaction.atomic
def end_from(member: Member, event_id: int, reason: str = "") -> list[Event]:
    """Call this date off and all after it, and plan no more; what came before stays. The dates that were called off.

    They are a series of their own until they come back, so that they can come back as they were. Who comes hears of each date once,
    after ten minutes. A second time ends nothing more. Raises Event.DoesNotExist, PermissionDenied for who runs single
    dates only, ValidationError: closed for an event that stands alone, too_late for a date that has begun.
    """
    meetup = _meetup_of(member, event_id)
    event = meetup.occurrences.get(pk=event_id)
    if event.state == Event.State.CANCELLED:
        return []
    if event.starts_at is None or event.starts_at <= clock.now():
        raise ValidationError(_("It has begun already."), code="too_late")
    meetup = split(meetup, event)
    meetup.ended_at = clock.now()
    meetup.version += 1
    meetup.save(update_fields=["ended_at", "version"])
    event.series = meetup
    # In the one order of locks; who was called off by itself meanwhile is no longer among them.
    gone = list(dates_from(event).select_for_update().order_by("pk"))
    for one in gone:
        hosting.strike(one, reason, may_undo=True)
    return gone


def _meetup_of(member: Member, event_id: int) -> Series:
    """The series of this date, locked. Raises as `end_from`."""
    event = event_for(member, event_id)
    if event.series_id is None:
        raise ValidationError(_("This event is no date of a meetup."), code="closed")
    meetup = series_for(member, event.series_id, lock=True)
    if not may_run_series(member, meetup):
        raise PermissionDenied(_("Only who hosts the event can call it off."))
    return meetup


def ended_together(event: Event) -> list[int]:
    """The dates, this one among them, that ended with it and can still come back. Two queries; none for what stands alone."""
    meetup = event.series
    if meetup is None or meetup.ended_at is None:
        return []
    since = meetup.ended_at + undoing.LASTS
    same = CallOff.objects.filter(event__series=meetup, until__gte=since, undone_at=None)
    return sorted(same.filter(until__gt=clock.now()).values_list("event", flat=True))


@transaction.atomic
def go_on(member: Member, event_id: int) -> list[Event]:
    """Take the end of a meetup back: all its dates come again with the parties they had, and it goes on as one series.

    A second time changes nothing.

    Raises Event.DoesNotExist, PermissionDenied, ValidationError too_late: that was more than ten minutes ago.
    """
    meetup = _meetup_of(member, event_id)
    event = meetup.occurrences.get(pk=event_id)
    if meetup.ended_at is None:
        return []
    event.series = meetup
    dates = ended_together(event)
    if not dates:
        raise ValidationError(_("This can no longer be undone: everybody has been told."), code="too_late")
    back = [undoing.restore(member, pk) for pk in dates]
    meetup.ended_at = None
    meetup.version += 1
    meetup.save(update_fields=["ended_at", "version"])
    meetup = rejoin(meetup)
    for one in back:
        one.series = meetup
    return back
