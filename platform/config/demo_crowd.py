"""A crowd on top of the demo region, for benchmarks: tens of thousands of members with homes, circles and talk.

Nothing here is meant to be read by people: names are numbered, texts are pieces of the demo's own. The shape is what
counts: towns by population, households with children, a few circles of thousands and many small ones, talk that is
just as uneven. What a verb would keep true is true here, too: logs are dense, circles know their size. Rows are
counted first, so the same call again adds nothing and a larger number adds the difference.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate, batched
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from django.db.models import F, Max, OuterRef, Subquery
from django.utils.text import Truncator

from community.models import (
    Centre,
    Child,
    Circle,
    CircleMembership,
    Consent,
    Household,
    HouseholdAdult,
    Interest,
    Member,
    Place,
    Profile,
)
from community.models.places import fold, kilometres
from config.demo_bulk import write
from config.demo_people import content
from config.demo_region import CONSENT_VERSION, Region
from realtime.models import Entry, Participant, Room

BATCH = 1000
ADDRESS = "crowd"
CIRCLES_EACH = 3
MEMBERS_A_CIRCLE = 50  # circles there are for so many members; most have far fewer in them, a few thousands
LIKES = 4
TALK_DAYS = 300
LANGUAGES = ("en", "en", "en", "en", "nl", "nl", "de", "fr")
NICKNAMES = ("Noa", "Liam", "Mila", "Finn", "Emma", "Lou", "Adam", "Zoe", "Sam", "Ines")
FAMILIES = ("nobody", "nobody", "nobody", "pair", "family")  # how a member of the crowd lives


def draw(what: str, have: int) -> random.Random:
    """Dice that fall the same for the same step on the same number of rows."""
    return random.Random(f"{what} {have}")  # noqa: S311 - test rows, no secret


def new_id(dice: random.Random) -> int:
    """A 63-bit id, drawn like the others."""
    return dice.getrandbits(63) or 1


class Towns:
    """The region's towns, drawn by population, each with the centre nearest to it."""

    def __init__(self, region: Region) -> None:
        self.all = list(region.places.values())
        self._weights = list(accumulate(place.population + 1 for place in self.all))
        self._centres = list(Centre.objects.select_related("place"))
        self._centre_of: dict[int, int] = {}

    def some(self, dice: random.Random, n: int) -> list[Place]:
        """So many towns, the large ones more often."""
        return dice.choices(self.all, cum_weights=self._weights, k=n)

    def centre_of(self, town: Place) -> int:
        """The id of the centre nearest to a town."""
        if town.pk not in self._centre_of:
            nearest = min(
                self._centres,
                key=lambda centre: kilometres(town.lat, town.lon, centre.place.lat, centre.place.lon),
            )
            self._centre_of[town.pk] = nearest.pk
        return self._centre_of[town.pk]


@dataclass
class Log:
    """A room's log while the crowd writes to it: what the next entry is numbered, and when it may be said."""

    room: Room
    circle: Circle
    last_at: datetime
    members: list[int] = field(default_factory=list)


def open_logs(region: Region) -> list[Log]:
    """The rooms of all circles, locked until the transaction ends, the oldest first. Three queries."""
    began = region.now - timedelta(days=TALK_DAYS)
    newest = Entry.objects.filter(room__kind=Room.Kind.CIRCLE, seq=F("room__head"))
    last = dict(newest.values_list("room", "at"))
    locked = {room.pk: room for room in Room.objects.select_for_update().filter(kind=Room.Kind.CIRCLE)}
    circles = Circle.objects.filter(closed_at=None).order_by("created_at", "pk")
    return [Log(locked[circle.room_id], circle, last.get(circle.room_id, began)) for circle in circles]


def uneven(n: int) -> list[float]:
    """Running weights of n things of which the first few get most: the k-th a share of 1 / (k + 3)."""
    return list(accumulate(1 / (rank + 4) for rank in range(n)))


def crowd_members(region: Region, wanted: int) -> Iterator[str]:
    """Members up to `wanted` in all, ready to sign in, each with a profile, a home and three circles. Yields after each thousand."""
    have = Member.objects.count()
    dice, towns, interests = draw("members", have), Towns(region), list(Interest.objects.all())
    logs = open_logs(region)
    first = _next_number(
        Member.objects.filter(email__startswith=ADDRESS).aggregate(last=Max("email"))["last"]
    )
    for numbers in batched(range(first, first + wanted - have), BATCH, strict=False):
        people = _people(region, dice, numbers)
        _profiles(dice, towns, interests, people)
        _homes(region, dice, people)
        logs += _circles(region, dice, towns, interests, people)
        _join_circles(region, dice, logs, people)
        yield f"{have + numbers[-1] + 1 - first} members"
    _close_logs(logs)


def _next_number(last: str | None) -> int:
    return int(last.partition("@")[0].removeprefix(ADDRESS)) + 1 if last else 0


def _people(region: Region, dice: random.Random, numbers: Sequence[int]) -> list[Member]:
    """Accounts with a confirmed address and every consent; one in a hundred may host."""
    joined = region.now - timedelta(days=TALK_DAYS)
    people = [
        Member(
            id=new_id(dice), email=f"{ADDRESS}{number:07}@example.org", display_name=f"Crowd {number}",
            language=dice.choice(LANGUAGES), is_host=number % 100 == 0,
        )
        for number in numbers
    ]  # fmt: skip
    write(
        Member,
        ("id", "email", "display_name", "language", "is_host", "password", "date_joined", "onboarded_at"),
        ((m.pk, m.email, m.display_name, m.language, m.is_host, "!", joined, joined) for m in people),
    )
    addresses = ((m.pk, m.email, True, True) for m in people)
    write(EmailAddress, ("user", "email", "verified", "primary"), addresses)
    write(
        Consent,
        ("member", "document", "version", "language", "given_at"),
        (
            (m.pk, document, CONSENT_VERSION, m.language, joined)
            for m in people
            for document in Consent.Document.values
        ),
    )
    return people


def _profiles(dice: random.Random, towns: Towns, interests: list[Interest], people: Sequence[Member]) -> None:
    lives, works = towns.some(dice, len(people)), towns.some(dice, len(people))
    spoken = [sorted({"en", m.language, dice.choice(LANGUAGES)}) for m in people]
    write(
        Profile,
        ("member", "lives", "works", "centre", "languages"),
        (
            (m.pk, home.pk, work.pk, towns.centre_of(home), languages)
            for m, home, work, languages in zip(people, lives, works, spoken, strict=True)
        ),
    )
    likes = ((m.pk, interest.pk) for m in people for interest in dice.sample(interests, LIKES))
    write(Profile.interests.through, ("profile", "interest"), likes)


def _homes(region: Region, dice: random.Random, people: Sequence[Member]) -> None:
    """Households of two neighbours in the list, half of them with one to three children."""
    homes, adults, children = [], [], []
    for pair in batched(people, 2, strict=False):
        kind = dice.choice(FAMILIES)
        if kind == "nobody" or len(pair) < 2:
            continue
        home = new_id(dice)
        homes.append((home,))
        adults += [(home, member.pk) for member in pair]
        for nickname in dice.sample(NICKNAMES, dice.randint(1, 3)) if kind == "family" else ():
            children.append((new_id(dice), home, nickname, region.today.year - dice.randint(0, 15)))
    write(Household, ("id",), homes)
    write(HouseholdAdult, ("household", "member"), adults)
    write(Child, ("id", "household", "nickname", "birth_year"), children)


def _circles(
    region: Region, dice: random.Random, towns: Towns, interests: list[Interest], people: Sequence[Member]
) -> list[Log]:
    """New circles, each opened by one of `people`, who is its host and the first in its room."""
    began = region.now - timedelta(days=TALK_DAYS)
    told = content("circles")
    logs, hosts = [], dice.sample(people, len(people) // MEMBERS_A_CIRCLE)
    for place in towns.some(dice, len(hosts)):
        pk, row, like = new_id(dice), dice.choice(told), dice.choice(interests)
        name = f"{Truncator(row['name']).chars(50)} {place.name[:20]} {pk % 1000}"
        circle = Circle(
            id=pk, slug=f"crowd-{pk}", name=name, description=row["description"], language=row["language"],
            interest=like, place=place if dice.random() < 0.8 else None, created_at=began,
            join=dice.choice(("open", "open", "open", "open", "request")),
            room=Room(id=new_id(dice), kind=Room.Kind.CIRCLE, title=name, created_at=began),
        )  # fmt: skip
        circle.search = fold(f"{name} {row['description']}")
        circle.room.link = f"/circles/{circle.public_id}/"
        logs.append(Log(circle.room, circle, began))
    rooms = [log.room for log in logs]
    write(
        Room,
        ("id", "kind", "title", "link", "created_at"),
        ((room.pk, room.kind, room.title, room.link, room.created_at) for room in rooms),
    )
    names = ("id", "slug", "name", "description", "language", "search", "interest", "place", "join", "room")
    columns = [Circle._meta.get_field(name).attname for name in names]  # type: ignore[union-attr]
    rows = (tuple(getattr(log.circle, column) for column in columns) for log in logs)
    write(Circle, (*names, "created_at"), ((*row, began) for row in rows))
    first = [(log, [host.pk]) for log, host in zip(logs, hosts, strict=True)]
    _let_in(region, first, is_host=True)
    return logs


def _join_circles(region: Region, dice: random.Random, logs: list[Log], people: Sequence[Member]) -> None:
    """Each of `people` comes into three circles: those that are older and first in the list have most members."""
    weights, hosts = uneven(len(logs)), {pk for log in logs for pk in log.members}
    joins: dict[int, list[int]] = {}
    for member in people:
        if member.pk in hosts:
            continue
        for chosen in set(dice.choices(range(len(logs)), cum_weights=weights, k=CIRCLES_EACH)):
            joins.setdefault(chosen, []).append(member.pk)
    _let_in(region, [(logs[chosen], members) for chosen, members in sorted(joins.items())])


def _let_in(region: Region, joins: list[tuple[Log, list[int]]], *, is_host: bool = False) -> None:
    """Let many into circles and their rooms at once, one join entry each."""
    entries: list[tuple[Any, ...]] = []
    here: list[tuple[Any, ...]] = []
    places: list[tuple[Any, ...]] = []
    for log, members in joins:
        room, step = log.room, (region.now - log.last_at) / 20 / len(members)
        for member in members:
            room.head += 1
            log.last_at += step
            entries.append(
                (room.pk, room.head, room.n, room.head, Entry.Kind.JOIN.value, member, log.last_at)
            )
            here.append((room.pk, member, room.head, room.head, room.n))
            places.append((log.circle.pk, member, is_host, log.last_at))
        log.circle.size += len(members)
        if is_host:
            log.members += members
    write(Entry, ("room", "seq", "n", "rev", "kind", "author", "at"), entries)
    write(Participant, ("room", "member", "joined_seq", "read_seq", "read_n"), here)
    write(CircleMembership, ("circle", "member", "is_host", "since"), places)


def _close_logs(logs: Sequence[Log]) -> None:
    """What the rows of rooms and circles say of their logs."""
    for log in logs:
        log.circle.version += 1
    Room.objects.bulk_update([log.room for log in logs], ["head", "n"], batch_size=200)
    Circle.objects.bulk_update([log.circle for log in logs], ["size", "version"], batch_size=200)


def crowd_messages(region: Region, wanted: int) -> Iterator[str]:
    """Messages up to `wanted` in all in the rooms of circles, most of them in the largest. Yields after each thousand."""
    have = Entry.objects.filter(kind=Entry.Kind.MESSAGE).count()
    if have >= wanted:
        return
    dice, logs = draw("messages", have), open_logs(region)
    by_room = {log.room.pk: log for log in logs}
    here = Participant.objects.filter(room__kind=Room.Kind.CIRCLE, left_seq=None).order_by("pk")
    for room, member in here.values_list("room", "member").iterator(10_000):
        if room in by_room:
            by_room[room].members.append(member)
    logs.sort(key=lambda log: (-len(log.members), log.room.pk))
    lines = [(line["text"], line["language"]) for row in content("circles") for line in row["talk"]]
    shares = _shares(dice, len(logs), wanted - have)
    said = _talk(region, dice, [(log, n) for log, n in zip(logs, shares, strict=True) if n], lines)
    names = ("room", "seq", "n", "rev", "kind", "author", "key", "at", "text", "language", "target")
    done = have
    for rows in batched(said, BATCH, strict=False):
        write(Entry, names, rows)
        done += len(rows)
        yield f"{done} messages"
    _close_logs(logs)
    _read()


def _shares(dice: random.Random, n: int, messages: int) -> list[int]:
    """How many of the messages each of n rooms gets."""
    shares = [0] * n
    for chosen in dice.choices(range(n), cum_weights=uneven(n), k=messages):
        shares[chosen] += 1
    return shares


def _talk(
    region: Region, dice: random.Random, shares: list[tuple[Log, int]], lines: list[tuple[str, str]]
) -> Iterator[tuple[Any, ...]]:
    """The rows of what is said, room by room: a few say most, one in ten answers who spoke before."""
    kind = Entry.Kind.MESSAGE.value
    for log, messages in shares:
        room, members, step = log.room, log.members, (region.now - log.last_at) / (messages + 1)
        before = None
        for _message in range(messages):
            room.head += 1
            room.n += 1
            log.last_at += step
            (text, language), (more, _other) = dice.choice(lines), dice.choice(lines)
            yield (
                room.pk, room.head, room.n, room.head, kind, members[int(len(members) * dice.random() ** 3)],
                UUID(int=dice.getrandbits(128), version=4), log.last_at, f"{text} {more}", language,
                before if dice.random() < 0.1 else None,
            )  # fmt: skip
            before = room.head


def _read() -> None:
    """Seven of ten have read everything; the others nothing since they came."""
    circles = Room.objects.filter(kind=Room.Kind.CIRCLE)
    room = circles.filter(pk=OuterRef("room"))
    here = Participant.objects.filter(room__in=circles.values("pk"), left_seq=None)
    readers = here.alias(lot=F("member") % 10).filter(lot__lt=7)
    readers.update(read_seq=Subquery(room.values("head")), read_n=Subquery(room.values("n")))
