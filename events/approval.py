"""Where the host says who comes: yes or no to each party that asks, and a no to one that came in before."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from community.models import Member
from events import bells, pools
from events.access import may_run, registration_for
from events.models import Event, Registration
from events.models.registration import LIVE
from events.registration import must_not_be_in, no_room
from events.telling import announce, out_of_calendars, tell
from events.waiting import is_behind, move_up, must_fit_one_day
from realtime import clock

MAX_TEXT = 500
_STALE = gettext_lazy("Somebody has answered or changed this party meanwhile. Look at it again.")
State = Registration.State


@transaction.atomic
def approve(member: Member, registration_id: int, *, version: int | None = None) -> Registration:
    """Say yes to a party that asked: it gets its places, or, when it is full, its place in the line by when it asked.

    A second time changes nothing. `version`: the party as it was seen. Raises Registration.DoesNotExist, PermissionDenied for
    who does not run the event, ValidationError stale (the party is another by now), full (and there is no waiting list), closed (it no longer asks), too_late.
    """
    registration = _to_decide(member, registration_id)
    event = registration.event
    if registration.state in LIVE and registration.state != State.REQUESTED:
        return registration
    if registration.state != State.REQUESTED:
        raise ValidationError(_("They no longer ask to come."), code="closed")
    if version is not None and version != registration.version:
        raise ValidationError(_STALE, code="stale")
    if event.state != Event.State.PUBLISHED:
        raise ValidationError(_("This event is not open for registration."), code="closed")
    if event.is_over:
        raise ValidationError(_("This event is over."), code="too_late")
    needed = pools.need_of(registration)
    if not is_behind(event, needed) and pools.take(event, needed):
        registration.state, registration.queued_at = State.CONFIRMED, None
        registration.save(update_fields=["queued_at"])
        pools.touch(registration)
        pools.claim(registration)
        pools.enter(registration)
    elif event.waiting_list:
        must_fit_one_day(event, needed)
        registration.state = State.WAITING
        pools.touch(registration)
        move_up(event)
        registration.refresh_from_db()
    else:
        raise no_room(event, needed)
    bells.settle(registration, "event_request")
    if registration.is_coming:
        tell(registration, "event_registered", rings="event_yes")
    elif registration.state != State.OFFERED:  # who is offered places was told that they are
        tell(registration, "event_waiting")
    announce(event)
    return registration


@transaction.atomic
def turn_down(
    member: Member, registration_id: int, text: str = "", *, version: int | None = None
) -> Registration:
    """Say no to a party, with a word why: to one that asks, waits or comes. Its places go to the next in line.

    A second time changes nothing. Raises Registration.DoesNotExist, PermissionDenied for who does not run the event,
    ValidationError stale when `version` is not the present one (somebody else may have said yes), too_late when it has
    begun, closed when somebody of the party was let in already.
    """
    registration = _to_decide(member, registration_id)
    event = registration.event
    if registration.state not in LIVE:
        return registration
    if version is not None and version != registration.version:
        raise ValidationError(_STALE, code="stale")
    if event.starts_at is not None and event.starts_at <= clock.now():
        raise ValidationError(_("It has begun: nobody can be turned down any more."), code="too_late")
    must_not_be_in(registration)
    calendar = out_of_calendars(registration)
    bells.settle(registration)
    tell(registration, "event_turned_down", calendar=calendar, text=text.strip()[:MAX_TEXT])
    registration.turned_down_at = clock.now()
    registration.save(update_fields=["turned_down_at"])
    pools.release(registration, State.DECLINED if registration.state == State.REQUESTED else State.CANCELLED)
    move_up(event)
    announce(event)
    return registration


def _to_decide(member: Member, registration_id: int) -> Registration:
    registration = registration_for(member, registration_id, lock=True)
    if not may_run(member, registration.event):
        raise PermissionDenied(_("Only who hosts the event decides who comes."))
    return registration
