"""Registering: a party takes places, changes, cancels. All or nothing, never one place too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Q, QuerySet, Subquery, Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from community.models import Member
from events import bells, board, pools, questions, ticket_types
from events.access import event_for, may_run, registration_for, registration_of_key
from events.models import Attendee, Claim, EndedParty, Event, Pool, Registration
from events.models.registration import SEATED, UNDECIDED
from events.party import (
    Person,
    keys_of,
    must_be_free,
    must_be_of_age,
    newly,
    seated_at,
    sit_down,
    to_row,
    who,
)
from events.questions import Given
from events.seats import PLACES, line_of, people_waiting
from events.telling import CANCEL, announce, ask_host, out_of_calendars, tell
from events.waiting import is_behind, move_up, must_fit_one_day, next_in
from realtime import clock, keys
from realtime.prepared import ID, IDS, prepared

NOTHING = Given({})
SLOTS = 16  # of a ticket; a slot is never given twice
State = Registration.State
TOLD = {
    State.CONFIRMED: "event_registered",
    State.WAITING: "event_waiting",
    State.REQUESTED: "event_asked",
}


def register(
    member: Member, event_id: int, party: Sequence[Person], *, wait: bool = False, given: Given = NOTHING
) -> Registration:
    """Give the whole party places, or with `wait`, where the event keeps a list, a place in the line. Where the host
    says yes to each party, ask for that; who runs the event needs no asking. `given`: answers to the host's questions.

    Raises Event.DoesNotExist; ValidationError with code full, closed, too_late or already_registered, or
    with errors of `party` or of `answers.<id>`. Whatever is raised, nothing is left behind.
    """
    try:
        with transaction.atomic():
            event = event_for(member, event_id, lock=True)
            must_be_open(event)
            people = who(event, member, member, party)
            must_be_of_age(event, people)
            waiting = _look(event, member, people)
            n, needed = len(people), pools.need(event, people)
            registration = Registration(
                event=event, member=member, language=member.language, party_size=n, next_slot=n
            )
            if event.by_approval and not may_run(member, event):
                must_fit_one_day(event, needed)
                must_not_be_turned_down(event, Q(member=member))
                registration.state, registration.queued_at = State.REQUESTED, next_in(event)
            elif not is_behind(event, needed, waiting) and pools.take(event, needed):
                registration.state = State.CONFIRMED
            elif wait and event.waiting_list:
                must_fit_one_day(event, needed)
                registration.state, registration.queued_at = State.WAITING, next_in(event)
            else:
                raise no_room(event, needed, waiting)
            registration.save(force_insert=True)
            registration.seated = sit_down(registration, people, 0)
            questions.keep(registration, given)
            if registration.state == State.CONFIRMED:
                pools.claim(registration)
                pools.enter(registration)
            may_fit = registration.state == State.WAITING and event.waiting_list == Event.WaitingList.FIT
            if may_fit and registration in move_up(event, registration):
                registration.refresh_from_db()  # fits where an earlier, larger party does not
            tell(registration, TOLD[registration.state])
            if registration.state == State.REQUESTED:
                ask_host(registration)
            waiting += n if registration.state == State.WAITING else 0
            announce(event, None if may_fit else waiting)
    except IntegrityError as clash:
        raise ValidationError(
            _("One of you is already registered for this event."), code="already_registered"
        ) from clash
    return registration


@transaction.atomic
def change_party(
    member: Member,
    registration_id: int,
    party: Sequence[Person],
    *,
    version: int | None = None,
    wait: bool = False,
    given: Given | None = None,
) -> Registration:
    """Make the party what `party` says. Who stays keeps their slot; it grows only if it fits.

    With `wait`, where the event keeps a list, a confirmed party that does not fit stays as large as it is and stands in
    the line for the others, who join it as soon as there is room. Any later change gives that up. Raises
    Registration.DoesNotExist, PermissionDenied for anybody but who registered, ValidationError with code
    full, closed, too_late, already_registered, stale (when `version` is not the present one).
    """
    registration = registration_for(member, registration_id, lock=True)
    event = registration.event
    if registration.member_id != member.pk:
        raise PermissionDenied(_("Only who registered can change the party."))
    must_be_changeable(registration)
    if version is not None and version != registration.version:
        raise ValidationError(_("The party was changed meanwhile. Look at it again."), code="stale")
    people = who(event, member, member, party)
    must_be_of_age(event, newly(registration, people))
    must_be_free(event, member, people, but=registration)
    if given is not None:
        questions.keep(registration, given)
    return reseat(registration, people, runs=event.by_approval and may_run(member, event), wait=wait)


def must_be_changeable(registration: Registration) -> None:
    """Raises ValidationError closed (it has ended), too_late (the event is over, or the host wants to know earlier)."""
    if registration.state not in (State.CONFIRMED, *UNDECIDED):
        raise ValidationError(_("This registration is no longer open."), code="closed")
    must_take_place(registration.event)
    must_not_be_fixed(registration)


def reseat(
    registration: Registration, people: Sequence[Person], *, runs: bool = False, wait: bool = False
) -> Registration:
    """Make the party these people, whoever asked. Event and registration locked. Raises as `change_party`."""
    event = registration.event
    more = len(people) - registration.party_size
    held = pools.need_of(registration) if registration.has_places else pools.need(event, ())
    needed = pools.need(event, people)
    if more > 0 and event.by_approval and registration.state != State.REQUESTED and not runs:
        text = _("The host said yes to the party as it is. To bring more people, ask the host.")
        raise ValidationError(text, code="closed")
    later: Sequence[Person] = ()
    pools.want_no_more(registration)
    grows = needed - held
    if registration.has_places and (
        grows and is_behind(event, grows) or not pools.shift(event, held, needed)
    ):
        if not (wait and event.waiting_list and registration.is_coming):
            raise no_room(event, grows)
        must_fit_one_day(event, needed)
        people, later = _in_two(registration, people)
        if not pools.shift(event, held, pools.need(event, people)):
            raise no_room(event, grows)
    before = pools.member_ids(registration)
    _seat(registration, people)
    if registration.has_places:
        registration.gave_back += max(0, -more)
    registration.party_size = len(people)
    pools.touch(registration)
    if registration.has_places:
        pools.claim_anew(registration)
    if registration.is_coming:
        pools.enter(registration)
        pools.leave(event, before - pools.member_ids(registration))
    if later:
        _want_more(registration, later)
    move_up(event)
    registration.refresh_from_db()
    if registration.state != State.OFFERED:  # who is asked at this moment has the page before them
        tell(registration, "event_more" if registration.more else "event_party")
    announce(event)
    return registration


def _in_two(registration: Registration, people: Sequence[Person]) -> tuple[list[Person], list[Person]]:
    """Who has a place in a party that cannot grow now, and who waits for one: those who come already go first."""
    new = newly(registration, people)
    ordered = sorted(people, key=lambda person: any(person is one for one in new))
    return ordered[: registration.party_size], ordered[registration.party_size :]


def _want_more(registration: Registration, later: Sequence[Person]) -> None:
    if registration.next_slot + len(later) > SLOTS:
        raise _changed_too_often()
    registration.more, registration.queued_at = len(later), next_in(registration.event)
    registration.wanted = [to_row(one) for one in later]
    registration.save(update_fields=["more", "wanted", "queued_at"])


@transaction.atomic
def cancel(member: Member, registration_id: int, *, late: bool = False) -> Registration:
    """Give the places back; the first in line gets them. A second time changes nothing.

    An adult whom somebody else named in a party takes only their own place out of it. Raises
    Registration.DoesNotExist, PermissionDenied for who only runs the event, ValidationError too_late (it is over,
    or the host wants to know earlier; `late`: all the same, for who goes for good).
    """
    registration = registration_for(member, registration_id, lock=True)
    event = registration.event
    mine = registration.member_id == member.pk
    named = registration.attendees.filter(member=member, is_live=True)
    if not mine and not named.exists():
        raise PermissionDenied(_("Only who registered can cancel."))
    if registration.state not in (*SEATED, State.WAITING, State.REQUESTED):
        if mine and registration.state == State.CANCELLED:
            stay_away(registration)
        return registration
    if event.is_over:
        raise ValidationError(_("This event is over."), code="too_late")
    if not late:
        must_not_be_fixed(registration)
    if mine or registration.party_size == 1:
        return end(registration)
    must_not_be_in(registration, set(named.values_list("slot", flat=True)))
    _step_out(registration, member)
    move_up(event)
    announce(event)
    return registration


def stay_away(registration: Registration) -> None:
    """A party that a call-off ended does not come back with it, should that be undone. Event locked. One query."""
    EndedParty.objects.filter(registration=registration).update(state=State.CANCELLED)


def end(registration: Registration) -> Registration:
    """Cancel for the whole party, whoever asked. Event and registration locked. Raises ValidationError closed: they are in."""
    event = registration.event
    must_not_be_in(registration)
    calendar = out_of_calendars(registration)
    bells.settle(registration)
    tell(registration, "event_cancelled", calendar=calendar)
    pools.release(registration)
    move_up(event)
    announce(event)
    return registration


def registration_by_key(registration_id: int, secret: str) -> Registration:
    """The registration that the key of a mail may cancel. Raises MailedKey.DoesNotExist. Changes nothing."""
    return registration_of_key(CANCEL, registration_id, secret)


@transaction.atomic
def cancel_by_key(registration_id: int, secret: str) -> Registration:
    """As `cancel`, for who holds the key of a mail, which is used up by it. Raises MailedKey.DoesNotExist too."""
    member = keys.use(CANCEL, registration_id, secret).member
    assert member is not None, "made for who registered"
    return cancel(member, registration_id)


def release_all(event: Event) -> None:
    """The event is called off: every live registration is cancelled and all places are free. Event locked.

    Who was in the room stays, to talk about it. Five queries for any number of registrations.
    """
    ended = list(event.registrations.live().values_list("pk", flat=True))
    Pool.objects.filter(event=event).order_by("pk").update(taken=0)
    Claim.objects.filter(registration__in=ended).delete()
    Attendee.objects.filter(event=event, is_live=True).update(is_live=False)
    Registration.objects.filter(pk__in=ended).update(
        state=State.CANCELLED,
        offer_expires_at=None,
        min_serial=F("serial") + 1,
        version=F("version") + 1,
        changed_at=clock.now(),
    )
    announce(event)


def must_be_open(event: Event) -> None:
    """Raises ValidationError closed (it has not opened, or does not take place), too_late (it has closed, or is over)."""
    must_take_place(event)
    if event.is_not_open_yet:
        raise ValidationError(_("Registration has not opened yet."), code="closed")
    if event.is_closed:
        raise ValidationError(_("Registration has closed."), code="too_late")


def must_not_be_turned_down(event: Event, theirs: Q) -> None:
    """None of `theirs` was turned down by who runs the event. Raises ValidationError closed. One query."""
    if event.registrations.filter(theirs, turned_down_at__isnull=False).exists():
        text = _("The host could not say yes to you this time. To ask once more, please write to them.")
        raise ValidationError(text, code="closed")


def must_not_be_fixed(registration: Registration) -> None:
    """Places that are given back too late are no help to anybody; who only waits may still go."""
    if registration.is_coming and registration.event.is_fixed:
        text = _("It is too late to change this here. Please tell the host, who can still do it.")
        raise ValidationError(text, code="too_late")


def must_take_place(event: Event) -> None:
    """Raises ValidationError closed (a draft, or called off), too_late (it is over)."""
    if event.state != Event.State.PUBLISHED:
        raise ValidationError(_("This event is not open for registration."), code="closed")
    if event.is_over:
        raise ValidationError(_("This event is over."), code="too_late")


def no_room(event: Event, needed: Counter[int], waiting: int | None = None) -> ValidationError:
    """The no for a party that does not fit while so many people wait (None: as many as do). At most two queries."""
    names = ticket_types.names(event)
    short = pools.lacking(event, needed)
    for pool in (one for one in pools.pools_of(event) if one.name in names and one.pk in short):
        return _no_more_of(names[pool.name], pool.left or 0)
    left = (event.total.left if event.total else None) or 0
    if left == 0 or (people_waiting(event) if waiting is None else waiting):
        return ValidationError(_("Every place is taken."), code="full")
    text = ngettext("Only %(left)d place is left.", "Only %(left)d places are left.", left) % {"left": left}
    return ValidationError(text, code="full")


def _no_more_of(name: str, left: int) -> ValidationError:
    if left == 0:
        return ValidationError(_("No “%(name)s” ticket is left.") % {"name": name}, code="full")
    text = ngettext(
        "Only %(left)d “%(name)s” ticket is left.", "Only %(left)d “%(name)s” tickets are left.", left
    )
    return ValidationError(text % {"left": left, "name": name}, code="full")


def must_not_be_in(registration: Registration, slots: set[int] | None = None) -> None:
    """Nobody of these slots (None: of the whole party) was let in: a place somebody stands on is not given back."""
    scans = list(board.scans_of(registration.event).filter(registration=registration))
    let_in = {slot for (_party, slot), one in board.truth_of(scans).standing.items() if one.first}
    if let_in & slots if slots is not None else let_in:
        raise ValidationError(
            _("You are already in: these places can no longer be given back."), code="closed"
        )


def _look(event: Event, member: Member, people: Sequence[Person]) -> int:
    """Read, with the event locked, all that a new registration hangs on: its pools, and how many people wait.

    Raises ValidationError when somebody of the party comes already. One query, two for that no.
    """
    members, children = keys_of(people)
    found = _pools(event=event.pk, member=member.pk, members=members, children=children)
    event.all_pools = found
    if any(pool.clash for pool in found):
        must_be_free(event, member, people)
    return next((pool.waiting for pool in found if pool.waiting), 0)


@prepared(event=ID, member=ID, members=IDS, children=IDS)
def _pools(*, event: Any, member: Any, members: Any, children: Any) -> QuerySet[Any]:
    line = line_of(event).order_by().values("event").annotate(people=Sum(PLACES)).values("people")
    mine = Registration.objects.live().filter(event=event, member=member)
    clash = Exists(mine) | Exists(seated_at(event, members, children))
    return Pool.objects.filter(event=event).order_by("pk").annotate(waiting=Subquery(line), clash=clash)


def _seat(registration: Registration, people: Sequence[Person]) -> None:
    """Make the live attendees those of `people`: who is in both keeps the slot, nobody gets a used one."""
    present = {
        (attendee.member_id, attendee.child_id): attendee
        for attendee in pools.live_attendees(registration)
        if attendee.member_id or attendee.child_id
    }
    guests = [
        attendee
        for attendee in pools.live_attendees(registration)
        if not attendee.member_id and not attendee.child_id
    ]
    kept: list[Attendee] = []
    new: list[Person] = []
    for person in people:
        if person.member_id or person.child_id:
            attendee = present.get((person.member_id, person.child_id))
        else:
            same = [guest for guest in guests if guest.name == person.name]
            same.sort(key=lambda guest: guest.ticket_type != person.ticket_type)
            attendee = same[0] if same else None
            if attendee:
                guests.remove(attendee)
        if attendee is None:
            new.append(person)
            continue
        kept.append(attendee)
        if attendee.ticket_type != person.ticket_type:
            attendee.ticket_type = person.ticket_type
            attendee.save(update_fields=["ticket_type"])
    gone = list(pools.live_attendees(registration).exclude(pk__in=[attendee.pk for attendee in kept]))
    if gone:
        must_not_be_in(registration, {attendee.slot for attendee in gone})
    for attendee in gone:
        attendee.is_live = False
        attendee.save(update_fields=["is_live"])
    if registration.next_slot + len(new) > SLOTS:
        raise _changed_too_often()
    sit_down(registration, new, registration.next_slot)
    registration.next_slot += len(new)
    registration.save(update_fields=["next_slot"])


def _changed_too_often() -> ValidationError:
    return ValidationError(
        _("This registration was changed too often. Cancel it and register again."), code="closed"
    )


def _step_out(registration: Registration, member: Member) -> None:
    """One named adult leaves the party; the others keep their places."""
    held = pools.need_of(registration)
    registration.attendees.filter(member=member, is_live=True).update(is_live=False)
    registration.party_size -= 1
    registration.gave_back += registration.has_places
    pools.touch(registration)
    if registration.has_places:
        pools.claim_anew(registration)
        pools.shift(registration.event, held, pools.need_of(registration))
        pools.leave(registration.event, {member.pk})
    tell(registration, "event_party")
