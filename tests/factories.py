"""Small makers: each gives the least that exists, and takes what the test is about."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.test import Client

from community import places
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
from community.models.places import fold, interest_id
from events.models import Event, Pool, Registration
from events.registration import Person, register
from realtime import clock
from realtime.models import Participant, Room

number = count(1)


@cache
def _towns() -> dict[str, dict[str, Any]]:
    by_size = sorted(places.rows_of_towns(), key=lambda town: town["population"])
    return {town["name"]: town for town in by_size}


def make_place(name: str = "Hasselt", **given: Any) -> Place:
    """A town of the region by its name, as loaded from data/ (also where a test emptied the tables), or one of your own."""
    town = _towns().get(name)
    if town and not given:
        facts = {key: town[key] for key in ("name", "country", "region", "lat", "lon", "population")}
        return Place.objects.get_or_create(
            pk=town["geonameid"], defaults=facts | {"time_zone": town["timezone"]}
        )[0]
    least = {"country": "BE", "region": "VLI", "lat": 50.93, "lon": 5.34, "time_zone": "Europe/Brussels"}
    return Place.objects.create(**{"id": 900_000_000 + next(number), "name": name} | least | given)


def make_interest(slug: str = "walking", **given: Any) -> Interest:
    least = {
        "group": "move",
        "group_labels": dict.fromkeys(("en", "nl", "de", "fr"), "On the move"),
        "emoji": "🚶",
        "labels": dict.fromkeys(("en", "nl", "de", "fr"), slug.title()),
    }
    return Interest.objects.get_or_create(slug=slug, defaults={"pk": interest_id(slug)} | least | given)[0]


def make_centre(**given: Any) -> Centre:
    n = next(number)
    least = {"slug": f"centre-{n}", "name": f"Expat Centre {n}", "email": f"centre{n}@example.org"}
    if "place" not in given:
        given["place"] = make_place()
    return Centre.objects.create(**least | given)


def make_member(*, interests: Sequence[Interest] = (), **given: Any) -> Member:
    """An adult with a confirmed address who has been through the first screens. `lives`, `works`, `centre`, `languages`, `about` go to the profile."""
    n = next(number)
    profile = {
        key: given.pop(key)
        for key in ("about", "about_language", "languages", "lives", "works", "centre")
        if key in given
    }
    least = {"email": f"member{n}@example.org", "display_name": f"Member {n}", "onboarded_at": clock.now()}
    member = Member.objects.create_user(**least | given)
    Profile.objects.create(member=member, **profile).interests.set(interests)
    documents = [
        Consent(member=member, document=kind, version="1", language="en") for kind in Consent.Document.values
    ]
    Consent.objects.bulk_create(documents)
    EmailAddress.objects.create(user=member, email=member.email, verified=True, primary=True)
    return member


def make_newcomer(**given: Any) -> Member:
    """Somebody who has just signed up and seen none of the first screens."""
    return make_member(**{"display_name": "", "onboarded_at": None} | given)


def make_host(**given: Any) -> Member:
    return make_member(**{"is_host": True} | given)


def make_staff(centre: Centre | None = None, kind: str = Role.Kind.STAFF, **given: Any) -> Member:
    centre = centre or make_centre()
    member = make_member(**{"centre": centre} | given)
    Role.objects.create(member=member, centre=centre, kind=kind)
    make_lock(member)
    return member


def make_lock(member: Member) -> Authenticator:
    """An authenticator app, as everybody with a role has one."""
    secret = {"secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"}
    return Authenticator.objects.create(user=member, type=Authenticator.Type.TOTP, data=secret)


def make_client(member: Member, *, minutes_ago: int = 0) -> Client:
    """A browser in which the member signed in so many minutes ago."""
    client = Client()
    client.force_login(member)
    if minutes_ago:
        session = client.session
        session["since"] -= minutes_ago * 60
        session.save()
    return client


def make_manager(centre: Centre | None = None, **given: Any) -> Member:
    return make_staff(centre, Role.Kind.MANAGER, **given)


def make_household(*adults: Member) -> Household:
    household = Household.objects.create()
    for adult in adults or (make_member(),):
        HouseholdAdult.objects.create(household=household, member=adult)
    return household


def make_child(household: Household | None = None, **given: Any) -> Child:
    household = household or make_household()
    return Child.objects.create(
        household=household, **{"nickname": "Noa", "birth_year": clock.now().year - 6} | given
    )


def make_room(*members: Member, **given: Any) -> Room:
    """A room with people in it, its log still empty."""
    room = Room.objects.create(**{"kind": Room.Kind.CIRCLE, "title": "Sunday walkers"} | given)
    Participant.objects.bulk_create(
        [Participant(room=room, member=member, joined_seq=0) for member in members]
    )
    return room


def make_circle(*members: Member, host: Member | None = None, **given: Any) -> Circle:
    """A circle with its room; `host` and `members` are in both."""
    n = next(number)
    people = [host, *members] if host else list(members)
    least: dict[str, Any] = {
        "slug": f"circle-{n}",
        "name": f"Circle {n}",
        "description": "We meet.",
        "language": "en",
    }
    values = least | given
    if "room" not in values:
        values["room"] = make_room(*people, title=values["name"])
    values.setdefault("search", fold(f"{values['name']} {values['description']}"))
    circle = Circle.objects.create(size=len(people), **values)
    rows = [CircleMembership(circle=circle, member=person, is_host=person == host) for person in people]
    CircleMembership.objects.bulk_create(rows)
    return circle


def make_event(**given: Any) -> Event:
    """A published event tomorrow with ten places and its pool of all places."""
    least: dict[str, Any] = {
        "title": f"Picnic {next(number)}",
        "language": "en",
        "venue": "Kapermolenpark",
        "starts_at": clock.now() + timedelta(days=1),
        "capacity": 10,
    }
    values = least | given
    values.setdefault("ends_at", values["starts_at"] and values["starts_at"] + timedelta(hours=2))
    interests = values.pop("interests", ())
    partners = values.pop("partner_centres", ())
    if "host" not in values:
        values["host"] = make_host()
    if "centre" not in values:
        values["centre"] = make_centre()
    if "place" not in values:
        values["place"] = make_place()
    event = Event(**values)
    event.search = event.searchable()
    event.save(force_insert=True)
    event.interests.set(interests)
    event.partner_centres.set(partners)
    Pool.objects.create(event=event, capacity=event.capacity)
    return event


def make_registration(
    event: Event | None = None, member: Member | None = None, guests: int = 0
) -> Registration:
    """A member registered with so many guests, through the verb itself."""
    member = member or make_member()
    party = [Person(), *(Person(name=f"Guest {number + 1}") for number in range(guests))]
    return register(member, (event or make_event()).pk, party)
