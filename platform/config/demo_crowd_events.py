"""The crowd's events: ten thousand over two years, in towns by population, with parties, waiting lists and rooms.

Written in bulk like the rest of the crowd, and like the rest true to the rules: `taken` is the sum of the claims,
nobody comes twice, somebody waits only where every place is taken, and who comes is in the event's room.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import batched
from typing import Any

from django.db.models import Q

from community.models import Child, Circle, HouseholdAdult, Interest, Member
from config.demo_bulk import write
from config.demo_crowd import BATCH, LANGUAGES, Towns, draw, new_id
from config.demo_people import content
from config.demo_region import ZONE, Region
from events.models import Attendee, Claim, Event, Pool, Registration
from realtime.models import Entry, Participant, Room

DAYS = 365  # of the past, and as many ahead
OPEN_DAYS = 60  # before an event, most of its parties have registered
CROWDED = 200  # every so many events one is for hundreds
WAITING, CONFIRMED = Registration.State.WAITING, Registration.State.CONFIRMED
INTERESTS_EACH = 2
FIELDS = (
    "id", "title", "description", "language", "search", "host", "centre", "circle", "venue", "place", "timezone",
    "starts_at", "ends_at", "state", "visibility", "waiting_list", "capacity", "languages", "for_families", "is_free",
    "step_free", "created_at", "updated_at", "room",
)  # fmt: skip


@dataclass(frozen=True)
class Someone:
    """A member who may come, with whom they live."""

    pk: int
    name: str
    language: str


@dataclass
class People:
    """Everybody who may come: members, and by member the others of the household."""

    members: list[Someone]
    others: dict[int, list[tuple[str, int | None, int | None]]]  # name, member, child

    @classmethod
    def of_region(cls) -> People:
        """All members with their households. Three queries."""
        rows = Member.objects.filter(is_active=True).exclude(onboarded_at=None).order_by("pk")
        members = [Someone(*row) for row in rows.values_list("pk", "display_name", "language")]
        homes: dict[int, list[tuple[str, int | None, int | None]]] = {}
        home_of: dict[int, int] = {}
        adults = HouseholdAdult.objects.order_by("pk")
        for home, member, name in adults.values_list("household", "member", "member__display_name"):
            homes.setdefault(home, []).append((name, member, None))
            home_of[member] = home
        for home, child, name in Child.objects.order_by("pk").values_list("household", "pk", "nickname"):
            homes.setdefault(home, []).append((name, None, child))
        others = {
            member: [one for one in homes[home] if one[1] != member] for member, home in home_of.items()
        }
        return cls(members, others)


@dataclass
class Rows:
    """What one batch of events writes, by table."""

    events: list[Event] = field(default_factory=list)
    rooms: list[tuple[Any, ...]] = field(default_factory=list)
    registrations: list[tuple[Any, ...]] = field(default_factory=list)
    attendees: list[tuple[Any, ...]] = field(default_factory=list)
    claims: dict[int, tuple[int, int]] = field(default_factory=dict)  # by registration: event, places
    entries: list[tuple[Any, ...]] = field(default_factory=list)
    participants: list[tuple[Any, ...]] = field(default_factory=list)

    def write(self) -> None:
        """All of it, what is pointed at before what points."""
        write(Room, ("id", "kind", "title", "link", "head", "created_at"), self.rooms)
        columns = [Event._meta.get_field(name).attname for name in FIELDS]  # type: ignore[union-attr]
        write(Event, FIELDS, (tuple(getattr(event, name) for name in columns) for event in self.events))
        taken: dict[int, int] = {}
        for event, places in self.claims.values():
            taken[event] = taken.get(event, 0) + places
        pools = ((event.pk, event.capacity, taken.get(event.pk, 0)) for event in self.events)
        write(Pool, ("event", "capacity", "taken"), pools)
        write(
            Registration,
            ("id", "event", "member", "language", "state", "party_size", "next_slot", "queued_at", "created_at", "changed_at"),
            self.registrations,
        )  # fmt: skip
        write(Attendee, ("registration", "event", "slot", "name", "member", "child"), self.attendees)
        made = Pool.objects.filter(event__in=[event.pk for event in self.events])
        pool_of = dict(made.values_list("event", "pk"))
        claims = ((party, pool_of[event], places) for party, (event, places) in self.claims.items())
        write(Claim, ("registration", "pool", "n"), claims)
        write(Entry, ("room", "seq", "n", "rev", "kind", "author", "at"), self.entries)
        write(Participant, ("room", "member", "joined_seq", "read_seq"), self.participants)


def crowd_events(region: Region, wanted: int) -> Iterator[str]:
    """Events up to `wanted` in all, over the past and the coming year, with who comes. Yields after each thousand."""
    have = Event.objects.count()
    if have >= wanted:
        return
    dice, people, making = draw("events", have), People.of_region(), Making(region)
    for numbers in batched(range(have, wanted), BATCH, strict=False):
        rows = Rows()
        for number in numbers:
            event = making.event(dice, number)
            rows.events.append(event)
            _fill(dice, region.now, event, people, rows)
        rows.write()
        likes = Event.interests.through
        pairs = ((event.pk, i.pk) for event in rows.events for i in dice.sample(making.likes, INTERESTS_EACH))
        write(likes, ("event", "interest"), pairs)
        yield f"{numbers[-1] + 1} events"


class Making:
    """What a new event is drawn from."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._towns = Towns(region)
        self._told = content("events")
        self._circles = list(Circle.objects.filter(closed_at=None).order_by("-size", "pk")[:500])
        hosts = Member.objects.filter(Q(is_host=True) | Q(roles__isnull=False)).distinct().order_by("pk")
        self._hosts = list(hosts)
        self.likes = list(Interest.objects.all())

    def event(self, dice: random.Random, number: int) -> Event:
        """One event, unsaved, with the text it is found by."""
        row, (place,) = dice.choice(self._told), self._towns.some(dice, 1)
        day = self._region.today + timedelta(days=dice.randint(-DAYS, DAYS))
        start = datetime.combine(day, time(dice.randint(9, 20)), ZONE)
        made = min(start, self._region.now) - timedelta(days=OPEN_DAYS)
        crowded = number % CROWDED == 0
        event = Event(
            id=new_id(dice), title=f"{row['title'][:100]} {number}", description=row["description"],
            language=row["language"], host=dice.choice(self._hosts), centre_id=self._towns.centre_of(place),
            venue=f"Hall {number % 97}", place=place, timezone=place.time_zone, starts_at=start,
            ends_at=start + timedelta(hours=dice.randint(1, 4)), created_at=made, updated_at=made,
            capacity=400 if crowded else dice.choice((None, 8, 12, 20, 40)),
            waiting_list=dice.choice((None, "strict", "fit")), languages=sorted({"en", dice.choice(LANGUAGES)}),
            for_families=dice.random() < 0.3, is_free=dice.random() < 0.8, step_free=dice.random() < 0.5,
            visibility=dice.choices(("public", "members", "centre", "circle"), (80, 12, 3, 5))[0],
            state="published" if dice.random() < 0.97 or crowded else "cancelled",
        )  # fmt: skip
        if event.visibility == Event.Visibility.CIRCLE:
            event.circle = dice.choice(self._circles)
        event.search = event.searchable()
        return event


def _fill(dice: random.Random, now: datetime, event: Event, people: People, rows: Rows) -> None:
    """Parties until as many came as were drawn; when every place is taken they wait, if the event keeps a list."""
    if event.state != Event.State.PUBLISHED or event.starts_at is None:
        return
    many = 300 if event.capacity == 400 else dice.choice((2, 4, 6, 8, 10, 30))
    if event.starts_at > now + timedelta(days=OPEN_DAYS) and event.capacity != 400:
        many //= 5
    free, there, comes, has_guests = event.capacity, set[int](), list[int](), False
    for someone in dice.sample(people.members, min(many, len(people.members))):
        party = [one for one in _party(dice, event, someone, people) if (one[1] or one[2] or 0) not in there]
        if not party or someone.pk in there:
            continue
        if free:
            party = party[:free]
        waits = free == 0
        if waits and not event.waiting_list:
            break
        there.update(one[1] or one[2] or 0 for one in party)
        there.discard(0)
        _register(event, someone, party, waits, rows)
        if not waits:
            has_guests = True
            free = None if free is None else free - len(party)
            comes += [member for _name, member, _child in party if member and member != event.host_id]
    if has_guests:
        _open_room(dice, event, comes, rows)


def _party(
    dice: random.Random, event: Event, someone: Someone, people: People
) -> list[tuple[str, int | None, int | None]]:
    """Alone, with the household (mostly where families are meant), or with a guest: name, member and child of each."""
    party: list[tuple[str, int | None, int | None]] = [(someone.name, someone.pk, None)]
    if dice.random() < (0.8 if event.for_families else 0.2):
        party += people.others.get(someone.pk, [])
    elif dice.random() < 0.1:
        party.append(("Guest", None, None))
    return party


def _register(
    event: Event,
    someone: Someone,
    party: Sequence[tuple[str, int | None, int | None]],
    waits: bool,
    rows: Rows,
) -> None:
    pk = someone.pk ^ event.pk or 1  # as random as both
    at = event.created_at + timedelta(minutes=len(rows.registrations))
    state, queued_at = (WAITING.value, at) if waits else (CONFIRMED.value, None)
    rows.registrations.append(
        (pk, event.pk, someone.pk, someone.language, state, len(party), len(party), queued_at, at, at)
    )
    rows.attendees += [
        (pk, event.pk, slot, name, member, child) for slot, (name, member, child) in enumerate(party)
    ]
    if not waits:
        rows.claims[pk] = (event.pk, len(party))


def _open_room(dice: random.Random, event: Event, comes: Sequence[int], rows: Rows) -> None:
    """The event's room with its host and everybody who comes, one join entry each."""
    event.room_id = new_id(dice)
    members = [event.host_id, *comes]
    rows.rooms.append(
        (event.room_id, "event", event.title[:120], event.get_absolute_url(), len(members), event.created_at)
    )
    for seq, member in enumerate(members, 1):
        at = event.created_at + timedelta(minutes=seq)
        rows.entries.append((event.room_id, seq, 0, seq, Entry.Kind.JOIN.value, member, at))
        rows.participants.append((event.room_id, member, seq, seq))
