"""How full an event is, and where somebody stands: read, never written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, F, Q, QuerySet, Sum, When

from community.models import Member
from events import ticket_types
from events.models import Attendee, Event, Pool, Registration
from events.models.registration import UNDECIDED
from realtime.prepared import ID, IDS, keys_of, prepared

State = Registration.State
HOLDING = (State.UNCONFIRMED, State.OFFERED, State.AWAITING_PAYMENT)
GROWING = Q(state=State.CONFIRMED, more__gt=0)  # they come, and wait for more places
PLACES = Case(
    When(more__gt=0, then=F("more")), default=F("party_size")
)  # what a row of the line stands there for


@dataclass(frozen=True)
class Places:
    """How full an event is. `taken` includes `held` (offered or not yet confirmed); `waiting` counts people."""

    capacity: int | None
    taken: int
    held: int
    waiting: int

    @property
    def left(self) -> int | None:
        """Free places; None when there is no limit."""
        return None if self.capacity is None else self.capacity - self.taken


def places_of(events: Sequence[Event]) -> dict[int, Places]:
    """How full each event is, by its pk. One query, after `for_list`; two without."""
    counted = {(event, state): people for event, state, people in _counted(events=keys_of(events))}
    return {event.pk: places_from(event, counted) for event in events}


def places_from(event: Event, counted: Mapping[tuple[int, str], int]) -> Places:
    """How full an event is, from how many people are `counted` by its pk and their state. No query after `for_list`."""
    total = event.total
    return Places(
        capacity=total.capacity if total else event.capacity,
        taken=total.taken if total else 0,
        held=sum(counted.get((event.pk, state), 0) for state in HOLDING),
        waiting=counted.get((event.pk, State.WAITING), 0) + counted.get((event.pk, State.CONFIRMED), 0),
    )


def not_settled() -> QuerySet[Registration]:
    """Whom `Places` counts beside those who simply come: who waits or holds places. No query of its own."""
    rows = Registration.objects.filter(Q(state__in=(State.WAITING, *HOLDING)) | GROWING)
    return rows.exclude(state=State.UNCONFIRMED, queued_at__isnull=False)  # those hold nothing yet


@prepared(events=IDS)
def _counted(*, events: Any) -> QuerySet[Registration, tuple[int, str, int]]:
    rows = not_settled().filter(event__among=events).order_by()
    return rows.values_list("event", "state").annotate(people=Sum(PLACES))


@dataclass(frozen=True)
class TypeSeats:
    """How many places of a kind of ticket there are, and are taken. `capacity` None: as many as the event has."""

    id: str
    name: str
    capacity: int | None
    taken: int

    @property
    def left(self) -> int | None:
        """Free places of this kind; None when it has no number of its own."""
        return None if self.capacity is None else max(0, self.capacity - self.taken)


def by_type(event: Event) -> list[TypeSeats]:
    """How full each kind of ticket is, in the host's order. No query after `for_list`; else one where there are kinds."""
    types = ticket_types.of(event)
    if not types:
        return []
    rows = event.all_pools if hasattr(event, "all_pools") else event.pools.all()
    taken = {pool.name: pool.taken for pool in rows if pool.kind == Pool.Kind.TICKET}
    return [TypeSeats(one.id, one.name, one.capacity, taken.get(one.id, 0)) for one in types]


def mine_of(member: Member | None, events: Sequence[Event]) -> dict[int, Registration]:
    """The live registration that the member made or is named in, by the event's pk. One query; none signed out or without events."""
    if member is None:
        return {}
    found = _live_of(member=member.pk, events=keys_of(events)) if events else ()
    return {registration.event_id: registration for registration in found}


@prepared(member=ID, events=IDS)
def _live_of(*, member: Any, events: Any) -> QuerySet[Registration]:
    named = Attendee.objects.filter(member=member, is_live=True).values("registration")
    return Registration.objects.live().filter(Q(member=member) | Q(pk__in=named), event__among=events)


def line_of(event: Any) -> QuerySet[Registration]:
    """Who waits, in no order: parties, and parties that come and wait for more places. No query of its own."""
    return Registration.objects.filter(Q(state=State.WAITING) | GROWING, event=event)


def people_waiting(event: Event) -> int:
    """How many people are in the line. One query."""
    return line_of(event).aggregate(people=Sum(PLACES))["people"] or 0


def undecided_at(event: Event) -> list[Registration]:
    """Who asks for a yes, then who waits or was offered places, each by when they came: the first hundred. Two queries, one without any."""
    rows = (
        event.registrations.filter(Q(state__in=UNDECIDED) | GROWING)
        .select_related("member")
        .prefetch_related("attendees")
    )
    asking_first = Case(When(state=State.REQUESTED, then=0), default=1)
    return list(rows.order_by(asking_first, "queued_at", "pk")[:100])


def _before(registration: Registration) -> QuerySet[Registration]:
    same = Q(queued_at=registration.queued_at, pk__lt=registration.pk)
    return line_of(registration.event).filter(Q(queued_at__lt=registration.queued_at) | same)


def position(registration: Registration) -> int | None:
    """The place in the line, from 1; None for who does not wait. One query."""
    return _before(registration).count() + 1 if registration.places_wanted else None


@dataclass(frozen=True)
class Ahead:
    """What somebody who waits may know of their chance: who is before them, and what has become free so far."""

    parties: int
    people: int
    given_back: int
    passed_over: int

    @property
    def position(self) -> int:
        """The place in the line, from 1."""
        return self.parties + 1


def ahead_of(registration: Registration) -> Ahead:
    """Who is before them in the line, and how many places of this event were given back so far. Two queries."""
    sizes = list(_before(registration).values_list(PLACES, flat=True))
    ended = (State.CANCELLED, State.DECLINED, State.EXPIRED)
    left = Q(state__in=ended, queued_at=None)  # not from the line itself
    given = Registration.objects.filter(event=registration.event_id).aggregate(
        whole=Sum("party_size", filter=left), parts=Sum("gave_back")
    )
    given_back = (given["whole"] or 0) + (given["parts"] or 0)
    return Ahead(len(sizes), sum(sizes), given_back, registration.passed_over)
