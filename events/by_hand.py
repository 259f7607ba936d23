"""By hand: who runs an event puts a party on its list, for those who ask by telephone or at the counter.

With an address it is that guest's party, or that member's, and their mail says who put it there. Without one it is
nobody's: no mail is written about it, and who runs the event shows its ticket, changes it and cancels it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from community.models import Member
from events import pools
from events.access import event_for, may_run, registration_for
from events.guests import make_way, owner_of
from events.models import Attendee, Event, Registration
from events.models.registration import NOWHERE, UNDECIDED, Guest
from events.party import Person, by_name, must_be_free, sit_down
from events.registration import TOLD, end, must_take_place, no_room, reseat
from events.seats import people_waiting
from events.telling import announce, tell
from events.waiting import is_behind, move_up, must_fit_one_day, next_in
from realtime import blocks, clock
from realtime.ids import encode, new_id
from realtime.models import Mail

A_DAY = 100  # parties of one event who get a mail that they did not ask for themselves
CLAIM = "by-hand"
State = Registration.State


def add(
    member: Member,
    event_id: int,
    guest: Guest,
    others: Sequence[Person] = (),
    *,
    ticket: str = "",
    key: UUID | None = None,
    wait: bool = False,
) -> Registration:
    """Put a party on the list, also before registration opens and after it has closed; nobody is asked to say yes to it.

    Its places are taken like all others: who waits goes first, and with `wait` a party that has an address joins the line.
    `guest.email` may be empty; `ticket` is the guest's own, where the event has kinds of them. The same `key` again is the same party. Raises Event.DoesNotExist, PermissionDenied for who
    does not run it, ValidationError full, closed, too_late, already_registered, too_fast, or by `name`, `email`, `party`.
    """
    try:
        with transaction.atomic():
            event = event_for(member, event_id, lock=True)
            if not may_run(member, event):
                raise PermissionDenied(_("Only who hosts the event decides who comes."))
            pk = _id_of(event, key) if key else new_id()
            known = event.registrations.select_related("member").filter(pk=pk).first()
            if known is not None:
                known.event = event
                return known
            must_take_place(event)
            people = by_name(event, Person(guest.display_name, ticket_type=ticket), others)
            return _add(_row(member, event, guest, pk), people, wait=wait)
    except IntegrityError as clash:
        raise ValidationError(
            _("One of you is already registered for this event."), code="already_registered"
        ) from clash


def _id_of(event: Event, key: UUID) -> int:
    """The id of the party that a form makes, however often it is sent."""
    digest = hashlib.sha256(f"{CLAIM} {event.pk} {key}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1 or 1


def _row(member: Member, event: Event, guest: Guest, pk: int) -> Registration:
    """The registration in the name of who has this address, not saved. At most five queries, more where one is cleared away."""
    email = guest.email.strip().lower()
    row = Registration(pk=pk, event=event, guest_name=guest.display_name, language=guest.language)
    row.guest_email = email or f"{encode(pk)}{NOWHERE}"
    if not email:
        return row
    _must_not_be_many(event)
    owner = owner_of(email)
    if owner is not None:
        if not owner.is_active or blocks.are_apart(
            member.pk, owner.pk
        ):  # which of the two it is, is not said
            text = _("This address cannot be put on the list from here. Ask them to register by themselves.")
            raise ValidationError({"email": text})
        row.member, row.language, row.guest_email, row.guest_name = owner, owner.language, "", ""
    make_way(event, email)
    return row


def _add(row: Registration, people: list[Person], *, wait: bool) -> Registration:
    """Give the party of a locked event its places, or its place in the line."""
    event, owner = row.event, row.member
    if owner is not None:
        if event.registrations.live().filter(member=owner).exists():
            text = _("%(name)s is already registered for this event.") % {"name": owner}
            raise ValidationError(text, code="already_registered")
        people[0] = replace(people[0], name=str(owner), member_id=owner.pk)
        must_be_free(event, owner, people)
    else:
        row.guest_name = people[0].name
    n, needed = len(people), pools.need(event, people)
    row.party_size = row.next_slot = n
    if not is_behind(event, needed) and pools.take(event, needed):
        row.state = State.CONFIRMED
    elif wait and event.waiting_list and not row.has_no_address:
        must_fit_one_day(event, needed)
        row.state, row.queued_at = State.WAITING, next_in(event)
    else:
        raise _no_room(event, needed)
    row.save(force_insert=True)
    row.seated = sit_down(row, people, 0)
    if row.state == State.CONFIRMED:
        pools.claim(row)
        pools.enter(row)
    elif event.waiting_list == Event.WaitingList.FIT and row in move_up(event, row):
        row.refresh_from_db()
    tell(row, TOLD[State(row.state)], again=f":{CLAIM}:{event.public_id}", by_hand=True)
    announce(event)
    return row


def _no_room(event: Event, needed: Counter[int]) -> ValidationError:
    """The no for a party that does not fit: where somebody waits, they go first."""
    waiting = people_waiting(event)
    if not waiting:
        return no_room(event, needed, waiting)
    text = ngettext(
        "%(n)d person waits for a place, and goes first. With an e-mail address, this party can wait too.",
        "%(n)d people wait for a place, and go first. With an e-mail address, this party can wait too.",
        waiting,
    )
    return ValidationError(text % {"n": waiting}, code="full")


def _must_not_be_many(event: Event) -> None:
    lately = Mail.objects.filter(
        kind__in=TOLD.values(),
        created_at__gt=clock.now() - timedelta(days=1),
        claim__endswith=f":{CLAIM}:{event.public_id}",
    )
    if lately.count() >= A_DAY:
        raise ValidationError(
            _("That was a lot for one day. Share the event's page instead."), code="too_fast"
        )


@transaction.atomic
def change(
    member: Member, registration_id: int, party: Sequence[Person], *, version: int | None = None
) -> Registration:
    """Make a party without an address what `party` says: the first is in whose name it is. Until the event is over.

    Raises Registration.DoesNotExist, PermissionDenied for any other party, ValidationError stale, full, closed, too_late.
    """
    row = _to_speak_for(member, registration_id)
    if version is not None and version != row.version:
        raise ValidationError(_("The party was changed meanwhile. Look at it again."), code="stale")
    if row.state not in (State.CONFIRMED, *UNDECIDED):
        raise ValidationError(_("This registration is no longer open."), code="closed")
    must_take_place(row.event)
    first, *others = party or [Person()]
    people = by_name(row.event, replace(first, name=first.name or row.guest_name), others)
    if people[0].name != row.guest_name:  # another spelling of the same person, who keeps their slot
        Attendee.objects.filter(pk__in=pools.live_attendees(row)[:1]).update(name=people[0].name)
        row.guest_name = people[0].name
        row.save(update_fields=["guest_name"])
    return reseat(row, people, runs=True)


@transaction.atomic
def cancel(member: Member, registration_id: int) -> Registration:
    """A party without an address does not come after all. A second time changes nothing.

    Raises Registration.DoesNotExist, PermissionDenied for any other party, ValidationError too_late (the event is over),
    closed (somebody of it was let in).
    """
    row = _to_speak_for(member, registration_id)
    if row.state not in (State.CONFIRMED, *UNDECIDED):
        return row
    must_take_place(row.event)
    return end(row)


def _to_speak_for(member: Member, registration_id: int) -> Registration:
    row = registration_for(member, registration_id, lock=True)
    if not row.has_no_address or not may_run(member, row.event):
        raise PermissionDenied(_("Only who registered can change the party."))
    return row


def unreachable_at(events: Sequence[Event]) -> list[str]:
    """In whose names parties are that nobody can write to, by name. One query."""
    rows = Registration.objects.live().filter(event__in=events, member=None, guest_email__endswith=NOWHERE)
    return sorted(rows.values_list("guest_name", flat=True), key=str.casefold)
