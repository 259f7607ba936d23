"""Taking places and giving them back: pools, claims, and what hangs on them: the room, the version, the state.

Every verb locks the event's row first and then its pools in ascending id, so that two verbs never wait for
each other in a circle. A pool gives places by one conditional UPDATE; no row changed means full.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

from django.db import transaction
from django.db.models import F, Q, QuerySet

from community.models import Member
from events.models import Answers, Attendee, Claim, CoHost, Event, Pool, Registration
from realtime import clock, rooms
from realtime.models import Room

State = Registration.State


def take(event: Event, n: int) -> bool:
    """Take n places of each pool of the event, in ascending id; False, with none taken, when one is full."""
    pools = pools_of(event)
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


def give_back(event: Event, n: int) -> None:
    """Free n places of each pool. Event locked."""
    for pool in pools_of(event):
        Pool.objects.filter(pk=pool.pk).update(taken=F("taken") - n)
        pool.taken -= n


def claim(registration: Registration) -> None:
    """Write down from which pools the party's places were taken. One query."""
    n = registration.party_size
    Claim.objects.bulk_create(
        Claim(registration=registration, pool=pool, n=n) for pool in pools_of(registration.event)
    )


def pools_of(event: Event) -> list[Pool]:
    """The pools a place is taken from, in the one order in which every verb updates them.

    One query, then none: the event is locked, so nobody else changes them.
    """
    if "totals" not in vars(event):
        vars(event)["totals"] = list(event.pools.filter(kind=Pool.Kind.TOTAL).order_by("pk"))
    pools: list[Pool] = vars(event)["totals"]
    return pools


def has_room(event: Event) -> bool:
    """At least one place is free. One query."""
    return not event.pools.filter(kind=Pool.Kind.TOTAL, capacity__lte=F("taken")).exists()


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
        update_fields=["state", "party_size", "min_serial", "offer_expires_at", "version", "changed_at"]
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
        give_back(registration.event, registration.party_size)
    Claim.objects.filter(registration=registration).delete()
    registration.attendees.filter(is_live=True).update(is_live=False)
    if registration.event.questions:
        Answers.objects.filter(registration=registration).delete()
    want_no_more(registration)
    registration.state, registration.offer_expires_at = state, None
    registration.min_serial = registration.serial + 1
    touch(registration)
    leave(registration.event, members)
