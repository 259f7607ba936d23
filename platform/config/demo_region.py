"""Builds the demo region from its content files: three centres, some sixty people, their homes, circles and talk.

Everything is keyed by e-mail, slug or title, so loading it again adds nothing. Past talk is written with
the hours it was said; what lies ahead goes through the same verbs as a visitor's own clicks.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from django.utils.text import slugify

from community import households
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
    Role,
)
from community.models.places import fold
from config.demo_people import content
from realtime import clock, rooms
from realtime.models import Entry, Participant, Room

ZONE = ZoneInfo("Europe/Brussels")
CONSENT_VERSION = "demo"


class Region:
    """The rows made so far, by the keys the content files use."""

    def __init__(self) -> None:
        self.now = clock.now()
        self.today = self.now.astimezone(ZONE).date()
        self.places = {(place.name, place.country): place for place in Place.objects.all()}
        self.interests = {interest.slug: interest for interest in Interest.objects.all()}
        self.centres: dict[str, Centre] = {}
        self.members: dict[str, Member] = {}
        self.children: dict[str, dict[str, Child]] = {}
        self.partner_of: dict[str, Member] = {}
        self.circles: dict[str, Circle] = {}

    def place(self, name: str | None, country: str | None) -> Place | None:
        """The town of that name and country, if any was given."""
        return self.places[name, country] if name and country else None


def make_centres(region: Region) -> Iterator[str]:
    """The three centres. Yields a line of progress for each."""
    for row in content("centres"):
        region.centres[row["slug"]], _ = Centre.objects.get_or_create(
            slug=row["slug"],
            defaults={
                "name": row["name"],
                "place": region.places[row["place"], row["country"]],
                "email": row["email"],
                "language": row["language"],
                "languages": row["languages"],
                "about": row["about"],
            },
        )
        yield row["name"]


def make_people(region: Region) -> Iterator[str]:
    """Everybody with profile, consent, verified address and roles."""
    circle_hosts = {row["host"] for row in content("circles")}
    for row in content("people"):
        member = Member.objects.filter(email=row["email"]).first()
        if member is None:
            lives = region.place(row["lives"], row["lives_country"])
            member = Member.objects.create_user(
                row["email"],
                display_name=row["name"],
                language=row["language"],
                time_zone=lives.time_zone if lives else "Europe/Brussels",
                is_host="host" in row["roles"] or row["key"] in circle_hosts,
                onboarded_at=region.now,
                date_joined=region.now - timedelta(days=40),
            )
            profile = Profile.objects.create(
                member=member,
                about=row["about"],
                about_language=row["language"],
                languages=row["languages"],
                lives=lives,
                works=region.place(row["works"], row["works_country"]),
                centre=region.centres[row["centre"]],
            )
            profile.interests.set([region.interests[slug] for slug in row["interests"]])
            EmailAddress.objects.create(user=member, email=member.email, verified=True, primary=True)
            Consent.objects.bulk_create(
                Consent(member=member, document=document, version=CONSENT_VERSION, language=member.language)
                for document in Consent.Document.values
            )
            for role in row["roles"]:
                kind, _, centre = role.partition(":")
                if centre:
                    Role.objects.create(member=member, centre=region.centres[centre], kind=kind)
        region.members[row["key"]] = member
        yield member.display_name


def make_households(region: Region) -> Iterator[str]:
    """Who lives with whom."""
    for row in content("households"):
        adults = [region.members[key] for key in row["adults"]]
        home = HouseholdAdult.objects.filter(member__in=adults).first()
        if home is None:
            household = Household.objects.create()
            HouseholdAdult.objects.bulk_create(
                HouseholdAdult(household=household, member=adult) for adult in adults
            )
            for child in row["children"]:
                Child.objects.create(
                    household=household, nickname=child["nickname"], birth_year=child["birth_year"]
                )
        else:
            household = home.household
        children = {child.nickname: child for child in household.children.all()}
        region.children |= dict.fromkeys(row["adults"], children)
        if len(adults) == 2:
            region.partner_of |= dict(zip(row["adults"], reversed(adults), strict=True))
        households.open_room(household)
        yield str(household)


def make_circles(region: Region) -> Iterator[str]:
    """Circles, who is in them, and what they have said so far."""
    for row in content("circles"):
        slug = slugify(row["key"])
        circle = Circle.objects.filter(slug=slug).first()
        if circle is None:
            circle = _open_circle(region, slug, row)
            _talk(region, circle, row)
        region.circles[row["key"]] = circle
        yield circle.name


def _open_circle(region: Region, slug: str, row: dict[str, Any]) -> Circle:
    titles = {language: said["name"] for language, said in row["translations"].items()}
    room = rooms.open(Room.Kind.CIRCLE, row["name"], titles=titles)
    texts = [
        row["name"],
        row["description"],
        *(t for texts in row["translations"].values() for t in texts.values()),
    ]
    circle = Circle.objects.create(
        slug=slug,
        name=row["name"],
        description=row["description"],
        language=row["language"],
        translations=row["translations"],
        search=fold(" ".join(texts)),
        interest=region.interests[row["interest"]],
        place=region.place(row["place"], row["country"]),
        join=row["join"],
        room=room,
        size=len(set(row["members"]) | {row["host"]}),
        created_at=region.now - timedelta(days=60),
    )
    Room.objects.filter(pk=room.pk).update(link=f"/circles/{circle.public_id}/")
    keys = list(dict.fromkeys([row["host"], *row["members"]]))
    CircleMembership.objects.bulk_create(
        CircleMembership(circle=circle, member=region.members[key], is_host=key == row["host"])
        for key in keys
    )
    return circle


def _talk(region: Region, circle: Circle, row: dict[str, Any]) -> None:
    """Write the room's log as it would stand: everybody joined, then the lines in the order they were said."""
    keys = list(dict.fromkeys([row["host"], *row["members"]]))
    began = region.now - timedelta(days=50)
    entries = []
    for seq, key in enumerate(keys, 1):
        at = began + timedelta(minutes=seq)
        entries.append(
            Entry(
                room=circle.room,
                seq=seq,
                n=0,
                rev=seq,
                kind=Entry.Kind.JOIN,
                author=region.members[key],
                at=at,
            )
        )
    lines: list[tuple[datetime, dict[str, Any]]] = []
    latest = began
    for line in row["talk"]:
        day = region.today - timedelta(days=line["days_ago"])
        said = datetime.combine(day, datetime.strptime(line["time"], "%H:%M").time(), ZONE)
        latest = max(latest + timedelta(seconds=20), min(said, region.now - timedelta(minutes=2)))
        lines.append((latest, line))
    for n, (at, line) in enumerate(lines, 1):
        seq = len(keys) + n
        reply_to = line.get("reply_to")
        entries.append(
            Entry(
                room=circle.room,
                seq=seq,
                n=n,
                rev=seq,
                kind=Entry.Kind.MESSAGE,
                author=region.members[line["by"]],
                key=uuid5(NAMESPACE_URL, f"{circle.slug}/{n}"),
                at=at,
                text=line["text"],
                language=line["language"],
                target=None if reply_to is None else len(keys) + reply_to + 1,
            )
        )
    Entry.objects.bulk_create(entries)
    Room.objects.filter(pk=circle.room.pk).update(head=len(entries), n=len(lines))
    _read_up_to(region, circle, keys, len(lines))


def _read_up_to(region: Region, circle: Circle, keys: list[str], n: int) -> None:
    """Everybody has read most of it; each a little less than the one before."""
    participants = []
    for seq, key in enumerate(keys, 1):
        unread = min(n, (seq * 7 + circle.pk) % 5)
        read_n = n - unread
        participants.append(
            Participant(
                room=circle.room,
                member=region.members[key],
                joined_seq=seq,
                read_n=read_n,
                read_seq=len(keys) + read_n,
            )
        )
    Participant.objects.bulk_create(participants)
