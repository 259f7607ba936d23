"""Registering: a party takes places, changes, waits in line, cancels. All or nothing, never one place too many.

Each verb locks the event's row first and then its pools in ascending id, so that two verbs never wait for
each other in a circle. A pool gives places by one conditional UPDATE; no row changed means full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Q, QuerySet, Subquery, Sum
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from community.models import Member
from events import board, calendars
from events.access import event_for, registration_for
from events.models import Attendee, Claim, Event, Pool, Registration
from events.models.registration import SEATED
from events.party import Person, must_be_free, sit_down, there, who
from realtime import clock, keys, live, notify, rooms
from realtime.models import Room

PASSED_OVER_AT_MOST = 3
CANCEL = "registration.cancel"  # what the key in a mail is good for
WITH_CANCEL_LINK = {"event_registered", "event_moved_up", "event_waiting"}
SLOTS = 16  # of a ticket; a slot is never given twice
State = Registration.State


def register(member: Member, event_id: int, party: Sequence[Person], *, wait: bool = False) -> Registration:
    """Give the whole party places, or with `wait`, where the event keeps a list, a place in the line.

    Raises Event.DoesNotExist; ValidationError with code full, closed, too_late or already_registered, or
    with errors of `party`. Whatever is raised, nothing is left behind.
    """
    try:
        with transaction.atomic():
            event = event_for(member, event_id, lock=True)
            _must_be_open(event)
            people = who(member, member, party)
            waiting = _look(event, member, people)
            n = len(people)
            registration = Registration(
                event=event, member=member, language=member.language, party_size=n, next_slot=n
            )
            if not waiting and _take(event, n):
                registration.state = State.CONFIRMED
            elif wait and event.waiting_list:
                registration.state, registration.queued_at = State.WAITING, clock.now()
            else:
                raise _full(event, waiting)
            registration.save(force_insert=True)
            registration.seated = sit_down(registration, people, 0)
            if registration.state == State.CONFIRMED:
                _claim(registration)
                _enter(registration)
            may_fit = registration.state == State.WAITING and event.waiting_list == Event.WaitingList.FIT
            if may_fit and registration in move_up(event):
                registration.refresh_from_db()  # fits where an earlier, larger party does not; move_up has told them
            else:
                tell(registration, "event_registered" if registration.has_places else "event_waiting")
                waiting += 0 if registration.has_places else n
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
) -> Registration:
    """Make the party what `party` says. Who stays keeps their slot; it grows only if it fits.

    `wait` changes nothing yet: a confirmed party that does not fit is refused as full. Raises
    Registration.DoesNotExist, PermissionDenied for anybody but who registered, ValidationError with code
    full, closed, too_late, already_registered, stale (when `version` is not the present one).
    """
    registration = registration_for(member, registration_id, lock=True)
    event = registration.event
    if registration.member_id != member.pk:
        raise PermissionDenied(_("Only who registered can change the party."))
    if version is not None and version != registration.version:
        raise ValidationError(_("The party was changed meanwhile. Look at it again."), code="stale")
    if registration.state not in (State.CONFIRMED, State.WAITING):
        raise ValidationError(_("This registration is no longer open."), code="closed")
    _must_be_open(event)
    people = who(member, member, party)
    must_be_free(event, member, people, but=registration)
    more = len(people) - registration.party_size
    if registration.has_places and more > 0 and (_waiting(event) or not _take(event, more)):
        raise _full(event, _waiting(event))
    if registration.has_places and more < 0:
        _give_back(event, -more)
    before = _member_ids(registration)
    _seat(registration, people)
    registration.party_size = len(people)
    _touch(registration)
    if registration.has_places:
        Claim.objects.filter(registration=registration).update(n=len(people))
        _enter(registration)
        _leave(event, before - _member_ids(registration))
    move_up(event)
    registration.refresh_from_db()
    tell(registration, "event_party")
    announce(event)
    return registration


@transaction.atomic
def cancel(member: Member, registration_id: int) -> Registration:
    """Give the places back; the first in line gets them. A second time changes nothing.

    An adult whom somebody else named in a party takes only their own place out of it. Raises
    Registration.DoesNotExist, PermissionDenied for who only runs the event, ValidationError too_late.
    """
    registration = registration_for(member, registration_id, lock=True)
    event = registration.event
    mine = registration.member_id == member.pk
    named = registration.attendees.filter(member=member, is_live=True)
    if not mine and not named.exists():
        raise PermissionDenied(_("Only who registered can cancel."))
    if registration.state not in (*SEATED, State.WAITING, State.REQUESTED):
        return registration
    if event.is_over:
        raise ValidationError(_("This event is over."), code="too_late")
    _must_not_be_in(registration, set(named.values_list("slot", flat=True)) if not mine else None)
    if not mine and registration.party_size > 1:
        _step_out(registration, member)
    else:
        tell(registration, "event_cancelled", calendar=calendars.invitation(event, cancelled=True))
        _release(registration)
    move_up(event)
    announce(event)
    return registration


def _cancel_url(registration: Registration) -> str:
    """The link in a mail by which places are given back without signing in. One query."""
    event = registration.event
    key = keys.make(
        CANCEL, registration.pk, member=registration.member, expires_at=event.over_at or clock.now()
    )
    return f"{settings.PUBLIC_URL}{reverse('registration_cancel', args=[registration.pk])}?key={key}"


def registration_by_key(registration_id: int, secret: str) -> Registration:
    """The registration that the key of a mail may cancel. Raises MailedKey.DoesNotExist. Changes nothing."""
    keys.find(CANCEL, registration_id, secret)
    rows = Registration.objects.select_related("event__place", "event__centre", "event__host", "member")
    return rows.get(pk=registration_id)


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
        state=State.CANCELLED, min_serial=F("serial") + 1, version=F("version") + 1, changed_at=clock.now()
    )
    announce(event)


def move_up(event: Event) -> list[Registration]:
    """Give free places to the line by the event's rule. Event locked.

    Strict: in order; who does not fit holds up those behind. Who fits first: a party that does not fit is passed
    over, at most three times; after that it holds up those behind.
    """
    moved: list[Registration] = []
    too_large: list[Registration] = []
    line = (
        event.registrations.filter(state=State.WAITING)
        .select_related("member", "event")
        .order_by("queued_at", "pk")
    )
    for registration in line:
        if event.is_over or not _has_room(event):
            break
        if not _take(event, registration.party_size):
            if event.waiting_list != Event.WaitingList.FIT or registration.passed_over >= PASSED_OVER_AT_MOST:
                break
            too_large.append(registration)
            continue
        for earlier in too_large:  # somebody behind them goes first
            earlier.passed_over += 1
            earlier.save(update_fields=["passed_over"])
        registration.event = event
        registration.state = State.CONFIRMED
        _touch(registration)
        _claim(registration)
        _enter(registration)
        tell(registration, "event_moved_up")
        moved.append(registration)
        if any(earlier.passed_over >= PASSED_OVER_AT_MOST for earlier in too_large):
            break
    return moved


def tell(
    registration: Registration, kind: str, *, calendar: str | None = None, again: str = "", **context: Any
) -> None:
    """Mail `kind` to who registered and to every member named in the party, each once a version, in their language.

    `again` makes it another mail than the one of that version before.
    """
    event = registration.event
    attendees = registration.live
    people = {attendee.member for attendee in attendees if attendee.member} | {registration.member}
    path = reverse("registration", args=[registration.pk])
    may_cancel = kind in WITH_CANCEL_LINK and registration.event.over_at is not None
    for person in sorted((p for p in people if p is not None), key=lambda p: p.pk):
        notify.put(
            kind,
            to=person.email,
            language=person.language,
            claim=f"{kind}:{registration.public_id}:{registration.version}:{event.version}:{person.public_id}{again}",
            context={
                "event": event,
                "registration": registration,
                "attendees": attendees,
                "person": person,
                "is_mine": person.pk == registration.member_id,
                "event_url": f"{settings.PUBLIC_URL}{event.get_absolute_url()}",
                "registration_url": f"{settings.PUBLIC_URL}{path}",
                "cancel_url": _cancel_url(registration)
                if may_cancel and person == registration.member
                else "",
                **context,
            },
            member=person,
            calendar=calendars.invitation(event)
            if calendar is None and registration.has_places
            else calendar or "",
        )


def _must_be_open(event: Event) -> None:
    if event.state != Event.State.PUBLISHED:
        raise ValidationError(_("This event is not open for registration."), code="closed")
    if event.is_over:
        raise ValidationError(_("This event is over."), code="too_late")


def _full(event: Event, waiting: int) -> ValidationError:
    left = (event.total.left if event.total else None) or 0
    if left == 0 or waiting:
        return ValidationError(_("Every place is taken."), code="full")
    text = ngettext("Only %(left)d place is left.", "Only %(left)d places are left.", left) % {"left": left}
    return ValidationError(text, code="full")


def _has_room(event: Event) -> bool:
    return not event.pools.filter(kind=Pool.Kind.TOTAL, capacity__lte=F("taken")).exists()


def _must_not_be_in(registration: Registration, slots: set[int] | None = None) -> None:
    """Nobody of these slots (None: of the whole party) was let in: a place somebody stands on is not given back."""
    scans = list(board.scans_of(registration.event).filter(registration=registration))
    let_in = {slot for (_party, slot), one in board.truth_of(scans).standing.items() if one.first}
    if let_in & slots if slots is not None else let_in:
        raise ValidationError(
            _("You are already in: these places can no longer be given back."), code="closed"
        )


def _line(event: Event) -> QuerySet[Registration]:
    return Registration.objects.filter(event=event, state=State.WAITING)


def _waiting(event: Event) -> int:
    """How many people are in the line. One query."""
    return _line(event).aggregate(people=Sum("party_size"))["people"] or 0


def _look(event: Event, member: Member, people: Sequence[Person]) -> int:
    """Read, with the event locked, all that a new registration hangs on: its pools, and how many people wait.

    Raises ValidationError when somebody of the party comes already. One query, two for that no.
    """
    line = _line(event).order_by().values("event").annotate(people=Sum("party_size")).values("people")
    mine = event.registrations.live().filter(member=member)
    rows = event.pools.filter(kind=Pool.Kind.TOTAL).order_by("pk")
    rows = rows.annotate(waiting=Subquery(line), clash=Exists(mine) | Exists(there(event, people)))
    found = list(rows)
    vars(event)["totals"] = found  # where `for_list` puts them
    if any(pool.clash for pool in found):
        must_be_free(event, member, people)
    return next((pool.waiting for pool in found if pool.waiting), 0)


def _take(event: Event, n: int) -> bool:
    """Take n places of each pool of the event, in ascending id; False, with none taken, when one is full."""
    pools = _pools(event)
    with transaction.atomic() if len(pools) > 1 else nullcontext():  # one pool alone has nothing to undo
        for pool in pools:
            free = Q(capacity=None) | Q(capacity__gte=F("taken") + n)
            if not Pool.objects.filter(free, pk=pool.pk).update(taken=F("taken") + n):
                if len(pools) > 1:
                    transaction.set_rollback(True)
                return False
    for pool in pools:
        pool.taken += n
    return True


def _give_back(event: Event, n: int) -> None:
    for pool in _pools(event):
        Pool.objects.filter(pk=pool.pk).update(taken=F("taken") - n)
        pool.taken -= n


def _claim(registration: Registration) -> None:
    n = registration.party_size
    Claim.objects.bulk_create(
        Claim(registration=registration, pool=pool, n=n) for pool in _pools(registration.event)
    )


def _pools(event: Event) -> list[Pool]:
    """The pools a place is taken from, in the one order in which every verb updates them.

    One query, then none: the event is locked, so nobody else changes them.
    """
    if "totals" not in vars(event):
        vars(event)["totals"] = list(event.pools.filter(kind=Pool.Kind.TOTAL).order_by("pk"))
    pools: list[Pool] = vars(event)["totals"]
    return pools


def _seat(registration: Registration, people: Sequence[Person]) -> None:
    """Make the live attendees those of `people`: who is in both keeps the slot, nobody gets a used one."""
    present = {
        (attendee.member_id, attendee.child_id): attendee
        for attendee in _live(registration)
        if attendee.member_id or attendee.child_id
    }
    guests = [
        attendee for attendee in _live(registration) if not attendee.member_id and not attendee.child_id
    ]
    kept: list[Attendee] = []
    new: list[Person] = []
    for person in people:
        if person.member_id or person.child_id:
            attendee = present.get((person.member_id, person.child_id))
        else:
            same = [guest for guest in guests if guest.name == person.name]
            attendee = same[0] if same else None
            if attendee:
                guests.remove(attendee)
        if attendee:
            kept.append(attendee)
        else:
            new.append(person)
    gone = list(_live(registration).exclude(pk__in=[attendee.pk for attendee in kept]))
    if gone:
        _must_not_be_in(registration, {attendee.slot for attendee in gone})
    for attendee in gone:
        attendee.is_live = False
        attendee.save(update_fields=["is_live"])
    if registration.next_slot + len(new) > SLOTS:
        text = _("This registration was changed too often. Cancel it and register again.")
        raise ValidationError(text, code="closed")
    sit_down(registration, new, registration.next_slot)
    registration.next_slot += len(new)
    registration.save(update_fields=["next_slot"])


def _live(registration: Registration) -> QuerySet[Attendee]:
    return registration.attendees.filter(is_live=True).order_by("slot")


def _step_out(registration: Registration, member: Member) -> None:
    """One named adult leaves the party; the others keep their places."""
    registration.attendees.filter(member=member, is_live=True).update(is_live=False)
    registration.party_size -= 1
    _touch(registration)
    if registration.has_places:
        Claim.objects.filter(registration=registration).update(n=registration.party_size)
        _give_back(registration.event, 1)
        _leave(registration.event, {member.pk})
    tell(registration, "event_party")


def _release(registration: Registration) -> None:
    """End a registration: places freed, tickets void, the room left."""
    members = _member_ids(registration)
    if registration.has_places:
        _give_back(registration.event, registration.party_size)
    Claim.objects.filter(registration=registration).delete()
    registration.attendees.filter(is_live=True).update(is_live=False)
    registration.state = State.CANCELLED
    registration.min_serial = registration.serial + 1
    _touch(registration)
    _leave(registration.event, members)


def _touch(registration: Registration) -> None:
    registration.version += 1
    registration.changed_at = clock.now()
    registration.save(update_fields=["state", "party_size", "min_serial", "version", "changed_at"])


def _member_ids(registration: Registration) -> set[int]:
    return set(_live(registration).exclude(member=None).values_list("member", flat=True))


def _enter(registration: Registration) -> None:
    """Everybody of the party who has an account is in the event's room, which the first registration opens."""
    event = registration.event
    members = sorted((one.member for one in registration.live if one.member), key=lambda member: member.pk)
    if event.room_id is None:
        event.room = rooms.open(Room.Kind.EVENT, event.title[:120], event.get_absolute_url())
        Event.objects.filter(pk=event.pk).update(room=event.room)
        members = [event.host, *members]
    assert event.room_id is not None
    rooms.enter_all(event.room_id, members)


def _leave(event: Event, members: Iterable[int]) -> None:
    if event.room is None:
        return
    for member in Member.objects.filter(pk__in=members).exclude(pk=event.host_id).order_by("pk"):
        rooms.leave(event.room, member)


def announce(event: Event, waiting: int | None = None) -> None:
    """After the commit, those who look at the event see how full it is. A hint: the page knows the truth.

    Two queries; none when how many wait is known (`waiting`) and the pools were read under the lock.
    """
    if waiting is None:
        waiting = _waiting(event)
        vars(event).pop("totals", None)
    pool = next(iter(_pools(event)), None)
    state = {
        "taken": pool.taken if pool else 0,
        "capacity": pool.capacity if pool else event.capacity,
        "waiting": waiting,
    }
    live.publish(f"event:{event.public_id}", state)
