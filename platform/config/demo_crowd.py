"""A crowd on top of the demo region, for benchmarks: thousands of members, events and messages, written in bulk.

Nothing here is meant to be read by people: names are numbered, texts are made of a few words. The shape is what
counts: as many rows a member, a room and an event as in a real region. Ids follow from a number, so the same call
again adds nothing.
"""

import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import batched
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings
from django.db.models import Max

from community.models import Circle, CircleMembership, Interest, Member, Profile
from community.models.places import fold
from config.demo_region import Region
from events.models import Event, Pool
from realtime.ids import new_id
from realtime.models import Entry, Participant, Room

BATCH = 1000
CIRCLES_EACH = 3
WORDS = [
    "coffee",
    "walk",
    "museum",
    "choir",
    "market",
    "river",
    "bicycle",
    "soup",
    "language",
    "garden",
    "evening",
    "games",
    "film",
    "climbing",
    "book",
]


def _draw() -> random.Random:
    """The same dice for every run."""
    return random.Random(20_26)  # noqa: S311 - test rows, no secret


def crowd_members(region: Region, wanted: int) -> Iterator[str]:
    """Members up to `wanted` in all, with a profile, each in three circles. Yields after each thousand."""
    have = Member.objects.count()
    dice, towns, interests = _draw(), list(region.places.values()), list(Interest.objects.all())
    centres, circles = list(region.centres.values()), list(region.circles.values())
    languages = [code for code, _ in settings.LANGUAGES]
    for numbers in batched(range(have, wanted), BATCH, strict=False):
        members = [
            Member(
                email=f"crowd{number}@example.org",
                display_name=f"Crowd {number}",
                language=dice.choice(languages),
                onboarded_at=region.now,
                password="!",  # noqa: S106 - Django's mark for "no password"
            )
            for number in numbers
        ]
        Member.objects.bulk_create(members)
        profiles = [
            Profile(
                member=member,
                lives=dice.choice(towns),
                works=dice.choice(towns),
                centre=dice.choice(centres),
                languages=["en"],
            )
            for member in members
        ]
        Profile.objects.bulk_create(profiles)
        likes = Profile.interests.through
        likes.objects.bulk_create(
            likes(profile_id=p.pk, interest=i) for p in profiles for i in dice.sample(interests, 4)
        )
        for circle in circles:
            _join(circle, [member for member in members if dice.random() < CIRCLES_EACH / len(circles)])
        yield f"{numbers[-1] + 1} members"


def _join(circle: Circle, members: list[Member]) -> None:
    """Let many into a circle and its room at once: one join entry each, in one go."""
    room = Room.objects.select_for_update().get(pk=circle.room_id)
    rows = list(enumerate(members, room.head + 1))
    Entry.objects.bulk_create(
        Entry(room=room, seq=seq, n=room.n, rev=seq, kind=Entry.Kind.JOIN, author=member)
        for seq, member in rows
    )
    Participant.objects.bulk_create(
        Participant(room=room, member=member, joined_seq=seq, read_seq=seq, read_n=room.n)
        for seq, member in rows
    )
    CircleMembership.objects.bulk_create(CircleMembership(circle=circle, member=member) for member in members)
    Room.objects.filter(pk=room.pk).update(head=room.head + len(members))
    Circle.objects.filter(pk=circle.pk).update(
        size=CircleMembership.objects.filter(circle=circle, state="in").count()
    )


def crowd_events(region: Region, wanted: int) -> Iterator[str]:
    """Events up to `wanted` in all, over the coming year, in every town. Yields after each thousand."""
    have = Event.objects.count()
    dice, towns, interests = _draw(), list(region.places.values()), list(Interest.objects.all())
    hosts = [member for member in region.members.values() if member.is_host]
    centres = list(region.centres.values())
    for numbers in batched(range(have, wanted), BATCH, strict=False):
        events = []
        for number in numbers:
            start = region.now + timedelta(hours=dice.randrange(24, 24 * 365))
            event = Event(
                id=new_id(), title=f"{dice.choice(WORDS).title()} and {dice.choice(WORDS)} {number}", language="en",
                description=" ".join(dice.choices(WORDS, k=40)), host=dice.choice(hosts), centre=dice.choice(centres),
                venue=f"Hall {number}", place=dice.choice(towns), starts_at=start, ends_at=start + timedelta(hours=2),
                capacity=dice.choice([None, 12, 40, 100]), languages=["en"],
            )  # fmt: skip
            event.search = event.searchable()
            events.append(event)
        Event.objects.bulk_create(events)
        Pool.objects.bulk_create(Pool(event=event, capacity=event.capacity) for event in events)
        likes = Event.interests.through
        likes.objects.bulk_create(
            likes(event_id=event.pk, interest=i) for event in events for i in dice.sample(interests, 2)
        )
        yield f"{numbers[-1] + 1} events"


def crowd_messages(region: Region, wanted: int) -> Iterator[str]:
    """Messages up to `wanted` in all, spread over the circles' rooms. Yields after each thousand."""
    have = Entry.objects.filter(kind=Entry.Kind.MESSAGE).count()
    dice = _draw()
    rooms = list(Room.objects.filter(kind=Room.Kind.CIRCLE).order_by("pk"))
    speakers = {
        room.pk: list(Participant.objects.filter(room=room).values_list("member", flat=True)[:500])
        for room in rooms
    }
    for round_, numbers in enumerate(batched(range(have, wanted), BATCH, strict=False)):
        room = rooms[round_ % len(rooms)]
        first = (Entry.objects.filter(room=room).aggregate(head=Max("seq"))["head"] or 0) + 1
        Entry.objects.bulk_create(
            Entry(
                room=room, seq=first + i, n=room.n + i + 1, rev=first + i, kind=Entry.Kind.MESSAGE, language="en",
                author_id=dice.choice(speakers[room.pk]), key=uuid5(NAMESPACE_URL, f"{room.pk}/{number}"),
                text=fold(" ".join(dice.choices(WORDS, k=12))), at=region.now + timedelta(milliseconds=first + i),
            )
            for i, number in enumerate(numbers)
        )  # fmt: skip
        room.head, room.n = first + len(numbers) - 1, room.n + len(numbers)
        Room.objects.filter(pk=room.pk).update(head=room.head, n=room.n)
        yield f"{numbers[-1] + 1} messages"
