"""Taking places and giving them back: pools, claims, and what hangs on them: the room, the version, the state.

Every verb locks the event's row first and then its pools in ascending id, so that two verbs never wait for
each other in a circle. A pool gives places by one conditional UPDATE; no row changed means full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, Protocol

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from community.models import Member
from events import ticket_types
from events.models import Answers, Attendee, Claim, CoHost, Event, Pool, Registration
from realtime import clock, rooms
from realtime.models import Room
from realtime.prepared import ID, NUMBER, changing

State = Registration.State


class Seat(Protocol):
    """Somebody with a place, or who wants one: a person of a party, or an attendee."""

    @property
    def ticket_type(self) -> str: ...


def need(event: Event, people: Iterable[Seat]) -> Counter[int]:
    """How many places these people need of each pool, by its id: of all places, and of those of their kinds of tickets."""
    found = Counter[int]()
    kinds = {pool.name: pool.pk for pool in pools_of(event) if pool.kind == Pool.Kind.TICKET}
    total = next(pool.pk for pool in pools_of(event) if pool.kind == Pool.Kind.TOTAL)
    for one in people:
        found[total] += 1
        if one.ticket_type in kinds:
            found[kinds[one.ticket_type]] += 1
    return found


def need_of(registration: Registration) -> Counter[int]:
    """What the party needs as it is. No query where there is one kind of ticket, else one unless the party is at hand."""
    event = registration.event
    if not event.ticket_types:
        return Counter({pool.pk: registration.party_size for pool in pools_of(event)})
    return need(event, registration.live)


def take(event: Event, needed: Counter[int]) -> bool:
    """Take places, in ascending id of the pools; False, with none taken, when one of them has too few. Event locked."""
    return shift(event, Counter(), needed)


def give_back(event: Event, needed: Counter[int]) -> None:
    """Free places. Event locked."""
    shift(event, needed, Counter())


def shift(event: Event, before: Counter[int], after: Counter[int]) -> bool:
    """Hold what `after` needs in place of `before`; False, with nothing changed, when a pool has too few. Event locked."""
    steps = [(pool, n) for pool in pools_of(event) if (n := after[pool.pk] - before[pool.pk])]
    with transaction.atomic() if len(steps) > 1 else nullcontext():  # one pool alone has nothing to undo
        for pool, n in steps:
            if not _shifted(pool=pool.pk, n=n, takes=n > 0):
                if len(steps) > 1:
                    transaction.set_rollback(True)
                return False
    for pool, n in steps:
        pool.taken += n
    return True


@changing(pool=ID, n=NUMBER)
def _shifted(*, pool: Any, n: Any, takes: bool) -> tuple[QuerySet[Pool], dict[str, Any]]:
    rows = Pool.objects.filter(pk=pool)
    return rows.filter(_fits(n)) if takes else rows, {"taken": F("taken") + n}


def _fits(n: Any) -> Q:
    """The guard: of a pool that has fewer than n places left no row is changed."""
    return Q(capacity=None) | Q(capacity__gte=F("taken") + n)


def lacking(event: Event, needed: Counter[int]) -> set[int]:
    """The pools that have fewer places left than are needed. Event locked."""
    return {
        pool.pk
        for pool in pools_of(event)
        if pool.capacity is not None and needed[pool.pk] and pool.taken + needed[pool.pk] > pool.capacity
    }


def beyond(event: Event, needed: Counter[int]) -> list[Pool]:
    """The pools that have fewer places in all than are needed, whoever goes: such a party never fits. Event locked."""
    return [pool for pool in pools_of(event) if pool.capacity is not None and needed[pool.pk] > pool.capacity]


def claim(registration: Registration) -> None:
    """Write down from which pools the party's places were taken. One query."""
    Claim.objects.bulk_create(
        Claim(registration=registration, pool_id=pool, n=n) for pool, n in need_of(registration).items()
    )


def claim_anew(registration: Registration) -> None:
    """The party that holds places is another by now. One query; two or three where there are kinds of tickets."""
    claims = Claim.objects.filter(registration=registration)
    if registration.event.ticket_types:
        claims.delete()
        claim(registration)
    else:
        claims.update(n=registration.party_size)


def pools_of(event: Event) -> list[Pool]:
    """The pools of an event, in the one order in which every verb updates them.

    One query, then none: the event is locked, so nobody else changes them.
    """
    if "all_pools" not in vars(event):
        event.all_pools = list(event.pools.order_by("pk"))
    return event.all_pools


def read_anew(event: Event) -> None:
    """What is known of the pools is no longer so."""
    vars(event).pop("all_pools", None)


def made_for(events: Iterable[Event]) -> list[Pool]:
    """The pools of new events, none of them saved: one of all places, and one of each kind of ticket."""
    return [
        Pool(event=event, kind=kind, name=name, capacity=capacity)
        for event in events
        for kind, name, capacity in (
            (Pool.Kind.TOTAL, "", event.capacity),
            *((Pool.Kind.TICKET, one.id, one.capacity) for one in ticket_types.of(event)),
        )
    ]


def write_types(event: Event) -> None:
    """Make the pools of kinds of tickets those the event names. Event locked. Raises ValidationError of `ticket_types`:
    somebody has or waits for a kind that is gone, or more are taken than there would be. At most two queries a kind.
    """
    present = {pool.name: pool for pool in event.pools.filter(kind=Pool.Kind.TICKET)}
    for one in ticket_types.of(event):
        pool = present.pop(one.id, None)
        if pool is None:
            Pool.objects.create(event=event, kind=Pool.Kind.TICKET, name=one.id, capacity=one.capacity)
            continue
        if one.capacity is not None and pool.taken > one.capacity:
            text = _("%(taken)d places of “%(name)s” are taken already: it cannot be fewer.")
            raise ValidationError({"ticket_types": text % {"taken": pool.taken, "name": one.name}})
        Pool.objects.filter(pk=pool.pk).update(capacity=one.capacity)
    for name, pool in present.items():
        if pool.taken or Attendee.objects.filter(event=event, ticket_type=name, is_live=True).exists():
            text = _("Somebody has or waits for a ticket of this kind: it cannot be taken away.")
            raise ValidationError({"ticket_types": text})
        pool.delete()
    read_anew(event)


def live_attendees(registration: Registration) -> QuerySet[Attendee]:
    """The party as it is now, by slot. No query of its own."""
    return registration.attendees.filter(is_live=True).order_by("slot")


def member_ids(registration: Registration) -> set[int]:
    """The members in the party. One query."""
    return set(live_attendees(registration).exclude(member=None).values_list("member", flat=True))


def touch(registration: Registration) -> None:
    """Write what a verb has changed, as the next version."""
    registration.version += 1
    registration.changed_at = clock.now()
    registration.save(
        update_fields=[
            "state",
            "party_size",
            "gave_back",
            "min_serial",
            "offer_expires_at",
            "version",
            "changed_at",
        ]
    )


def enter(registration: Registration) -> None:
    """Everybody of the party who has an account is in the event's room, which the first registration opens."""
    event = registration.event
    members = sorted((one.member for one in registration.live if one.member), key=lambda member: member.pk)
    if event.room_id is None:
        event.room = rooms.open(Room.Kind.EVENT, event.title, event.get_absolute_url(), event.titles)
        Event.objects.filter(pk=event.pk).update(room=event.room)
        members = [event.host, *Member.objects.filter(pk__in=_cohosts(event)).order_by("pk"), *members]
    assert event.room_id is not None
    rooms.enter_all(event.room_id, members)


def leave(event: Event, members: Iterable[int]) -> None:
    """These are no longer in the event's room; who hosts it always is."""
    if event.room is None:
        return
    gone = Member.objects.filter(pk__in=members).exclude(pk=event.host_id).exclude(pk__in=_cohosts(event))
    for member in gone.order_by("pk"):
        rooms.leave(event.room, member)


def _cohosts(event: Event) -> QuerySet[CoHost, int]:
    return CoHost.objects.at(event).values_list("member", flat=True)


def want_no_more(registration: Registration) -> None:
    """A party that comes no longer waits for more places. One query, if it did."""
    if registration.more:
        registration.more, registration.wanted, registration.queued_at = 0, None, None
        registration.save(update_fields=["more", "wanted", "queued_at"])


def release(registration: Registration, state: Registration.State = State.CANCELLED) -> None:
    """End a registration: places freed, tickets void, the room left. `state`: how it ended."""
    members = member_ids(registration)
    if registration.has_places:
        give_back(registration.event, need_of(registration))
    Claim.objects.filter(registration=registration).delete()
    registration.attendees.filter(is_live=True).update(is_live=False)
    if registration.event.questions:
        Answers.objects.filter(registration=registration).delete()
    want_no_more(registration)
    registration.state, registration.offer_expires_at = state, None
    registration.min_serial = registration.serial + 1
    touch(registration)
    leave(registration.event, members)
