"""Another date instead: a party moves, whole, from one event to another. It has places at the one or at the other, never both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from community.models import Member
from events import bells, board, calendars, pools, questions
from events.access import may_run, registration_for
from events.models import Event, Registration
from events.models.event import EventQuerySet, run_by
from events.party import must_be_free, must_be_of_age, of_attendees, sit_down, with_tickets
from events.registration import must_be_open, must_not_be_fixed
from events.telling import announce, tell
from events.waiting import is_behind, move_up
from realtime import clock

State = Registration.State
MOVABLE = (State.CONFIRMED, State.WAITING, State.OFFERED)


def targets(member: Member, registration: Registration) -> EventQuerySet:
    """Where the member may move it, the next first: another date of its series that they see, when it is theirs; any event
    that they run, when they run this one. At most one query of its own.
    """
    event = registration.event
    may_go = Q(pk__in=[])
    if registration.member_id == member.pk and event.series_id is not None:
        seen = Event.objects.visible_to(member).filter(series=event.series_id)
        may_go |= Q(pk__in=seen.values("pk"))
    if may_run(member, event):
        may_go |= run_by(member)
    open_ones = Event.objects.filter(may_go, state=Event.State.PUBLISHED, starts_at__gt=clock.now())
    return open_ones.exclude(pk=event.pk).order_by("starts_at", "pk")


def is_movable(registration: Registration) -> bool:
    """The party comes, is asked or waits, and its event is neither called off nor over."""
    event = registration.event
    return registration.state in MOVABLE and event.state == Event.State.PUBLISHED and not event.is_over


def move(member: Member, registration_id: int, event_id: int) -> Registration:
    """Give the whole party places at the other event, and those it held here to who waits here. All or nothing.

    It is a new registration with a ticket of its own; the old one is cancelled, says where the party comes now, and its
    ticket is void. Everybody of the party is told once, with the new date for their calendar and the old one to take out. Raises Registration.DoesNotExist; Event.DoesNotExist for where the member may not move it; PermissionDenied
    for who is only named in the party; ValidationError full, closed, too_late, already_registered: nothing has changed.
    """
    try:
        with transaction.atomic():
            from_id = Registration.objects.values_list("event", flat=True).get(pk=registration_id)
            _lock((from_id, event_id))
            old = registration_for(member, registration_id, lock=True)
            if old.member_id != member.pk and not may_run(member, old.event):
                raise PermissionDenied(_("Only who registered can change the party."))
            there = targets(member, old)
            event = there.select_related("place", "centre", "host").filter(pk=event_id).first()
            if event is None:
                raise _why_not(member, old, event_id)
            _must_be_free_to_go(old)
            if not (may_run(member, old.event) and may_run(member, event)):
                must_not_be_fixed(old)
                must_be_open(event)
                must_be_of_age(event, of_attendees(old.live))
                if event.by_approval:
                    text = _(
                        "The host says yes or no to each party: please ask to come there, and cancel here then."
                    )
                    raise ValidationError(text, code="closed")
            return _move(member, old, event)
    except IntegrityError as clash:
        raise ValidationError(
            _("One of you is already registered for this event."), code="already_registered"
        ) from clash


def _in_order(events: Sequence[int]) -> Iterable[int]:
    """The one order in which every verb that changes two events locks them."""
    return sorted(events)


def _lock(events: Sequence[int]) -> None:
    for pk in _in_order(events):
        Event.objects.select_for_update().only("pk").filter(pk=pk).first()


def _why_not(member: Member, old: Registration, event_id: int) -> Exception:
    """What to say of an event that is no target: a reason to who may know it, else that it is not there."""
    event = Event.objects.visible_to(member).filter(pk=event_id).first()
    same_series = event is not None and event.series_id is not None and event.series_id == old.event.series_id
    if event is None or event.pk != old.event_id and not same_series and not may_run(member, event):
        return Event.DoesNotExist()
    if event.starts_at is not None and event.starts_at <= clock.now():
        return ValidationError(_("It has begun already."), code="too_late")
    return ValidationError(_("This event is not open for registration."), code="closed")


def _must_be_free_to_go(old: Registration) -> None:
    """It is live, its event is still to come, and nobody of it has been let in. One query for its scans."""
    if old.event.is_over:
        raise ValidationError(_("This event is over."), code="too_late")
    if not is_movable(old):
        raise ValidationError(_("This registration is no longer open."), code="closed")
    scans = list(board.scans_of(old.event).filter(registration=old))
    if any(one.first for one in board.truth_of(scans).standing.values()):
        raise ValidationError(
            _("You are already in: these places can no longer be given back."), code="closed"
        )


def _move(member: Member, old: Registration, event: Event) -> Registration:
    """Both events locked, and everything asked that can be asked before a place is taken."""
    here = old.event
    was_coming = old.is_coming

    def calendar(language: str) -> str:
        """The new date, and the old one to take out."""
        out = calendars.invitation(here, language, cancelled=True) if was_coming else ""
        return calendars.invitation(event, language) + out

    people = with_tickets(event, of_attendees(old.live))
    if old.member is not None:
        must_be_free(event, old.member, people)
    given = questions.given_by(old)
    n, needed = len(people), pools.need(event, people)
    if is_behind(event, needed) or not pools.take(event, needed):
        raise ValidationError(_("There is no room for all of you on that date."), code="full")
    bells.settle(old)
    pools.release(old)
    new = Registration(
        event=event,
        member=old.member,
        guest_email=old.guest_email,
        guest_name=old.guest_name,
        language=old.language,
        state=State.CONFIRMED,
        party_size=n,
        next_slot=n,
    )
    new.save(force_insert=True)
    new.seated = sit_down(new, people, 0)
    questions.keep(new, given, must=False)
    pools.claim(new)
    pools.enter(new)
    Registration.objects.filter(pk=old.pk).update(moved_to=new)
    move_up(here)
    tell(
        new,
        "event_moved",
        calendar=calendar,
        old=here,
        was_coming=was_coming,
        silent={member.pk},
    )
    announce(here)
    announce(event)
    return new
