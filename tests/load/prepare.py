"""Makes, on the database of DATABASE_URL, what a measurement needs, and prints it as JSON: run as a child of the bench."""

import json
import sys
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.core.signals import request_started  # noqa: E402 - models need Django set up
from django.db import connection, reset_queries  # noqa: E402
from django.db.models import Count, Sum  # noqa: E402
from django.middleware.csrf import CSRF_SECRET_LENGTH  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from community.models import ApiToken, Circle, Interest, Member  # noqa: E402
from config.demo_people import demo_people  # noqa: E402
from events import gates, tickets  # noqa: E402
from events.models import Attendee, Claim, Event, Pool, Registration  # noqa: E402
from realtime import clock  # noqa: E402
from realtime.models import Entry, Room  # noqa: E402
from tests.factories import make_event  # noqa: E402

LOCAL = {"host": "localhost"}


def session_of(member: Member, backend: str | None = None) -> str:
    """A Cookie header for somebody signed in, as a browser sends it that has seen a form."""
    client = Client(headers=LOCAL)
    client.force_login(member, backend)
    return f"session={client.cookies['session'].value}; csrf={'c' * CSRF_SECRET_LENGTH}"


def pages() -> dict[str, Any]:
    """Readers with their sessions, and each page to measure with its reader and its number of queries."""
    people = {person.key: person.member for person in demo_people()}
    circle = Circle.objects.exclude(room__kind=None).order_by("-size").first()
    assert circle is not None
    insiders = Member.objects.filter(circle_memberships__circle=circle, circle_memberships__is_host=False)
    people["insider"] = insiders.filter(is_host=False, roles=None).order_by("-email")[0]
    full = Event.objects.filter(state="published", visibility="public").upcoming()
    event = full.annotate(parties=Count("registrations")).order_by("-parties")[0]
    people["event host"] = event.host
    like = Interest.objects.annotate(events=Count("pk")).order_by("slug")[3].slug
    near = "town=Hasselt&km=40"
    wanted = [
        ("events, signed out", "", "/events/"),
        ("events", "insider", "/events/"),
        ("events, staff", "manager", "/events/"),
        ("events by town, interest and language", "insider", f"/events/?{near}&interest={like}&language=de"),
        ("events of a week", "insider", "/events/?when=week"),
        ("events searched", "insider", "/events/?q=coffee"),
        ("event", "insider", f"/events/{event.public_id}/"),
        ("who comes, 300 parties", "event host", f"/events/{event.public_id}/guests/"),
        ("circles", "insider", "/circles/"),
        ("circles searched", "insider", "/circles/?q=walk"),
        ("circle of thousands", "insider", f"/circles/{circle.public_id}/"),
        ("Today", "insider", "/"),
        ("Today, staff", "manager", "/"),
        ("chat", "insider", "/chat/"),
        ("room of thousands", "insider", f"/chat/{circle.room.public_id}/"),
        ("events by API", "insider", "/api/v1/events/"),
        ("circles by API", "insider", "/api/v1/circles/?q=walk"),
    ]
    request_started.disconnect(reset_queries)
    shown = []
    for name, who, path in wanted:
        client = Client(headers=LOCAL)
        if who:
            client.force_login(people[who])
        client.get(path)
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(path)
        assert answer.status_code == 200, (name, path, answer.status_code)
        shown.append({"name": name, "who": who, "path": path, "queries": len(queries)})
    pool = Pool.objects.filter(capacity=None).order_by("pk")[0]
    return {
        "pages": shown,
        "cookies": {key: session_of(member) for key, member in people.items()},
        "floor": {
            "path": f"/{pool.pk}/",
            "cookie": session_of(people["member"], "django.contrib.auth.backends.ModelBackend"),
        },
        "centre": event.centre.slug,
        "rows": {
            model.__name__: model.objects.count() for model in (Member, Event, Entry, Room, Registration)
        },
    }


def _event(**given: Any) -> Event:
    """An event of the demo's host, in whose room nobody is yet."""
    host = next(person.member for person in demo_people() if person.key == "host")
    near = Event.objects.filter(host=host).exclude(place=None).select_related("centre", "place")[0]
    return make_event(host=host, centre=near.centre, place=near.place, **given)


def storm() -> dict[str, Any]:
    """An event with 100 places, and the tokens of 500 who want one."""
    event = _event(title="Storm", capacity=100)
    people = Member.objects.filter(email__startswith="crowd").order_by("?")[:500]
    secrets = [ApiToken.new_secret() for _one in people]
    ApiToken.objects.bulk_create(
        ApiToken(member=member, name="storm", digest=ApiToken.digest_of(secret))
        for member, secret in zip(people, secrets, strict=True)
    )
    return {
        "event": str(event.pk),
        "path": f"/api/v1/events/{event.public_id}/registrations/",
        "tokens": secrets,
    }


def sold(event: str) -> dict[str, Any]:
    """How many places of an event are gone, counted three ways."""
    rows = Registration.objects.filter(event=int(event), state="confirmed")
    return {
        "taken": Pool.objects.get(event=int(event)).taken,
        "claimed": Claim.objects.filter(registration__event=int(event)).aggregate(n=Sum("n"))["n"] or 0,
        "confirmed": rows.count(),
    }


def door(parties: int) -> dict[str, Any]:
    """An open door with eight gates, and the codes of so many parties of one."""
    event = _event(title="Door", capacity=None, starts_at=clock.now() + timedelta(minutes=30))
    people = list(Member.objects.order_by("pk")[:parties])
    rows = Registration.objects.bulk_create(
        Registration(event=event, member=member, state="confirmed", party_size=1, next_slot=1)
        for member in people
    )
    Attendee.objects.bulk_create(
        Attendee(registration=row, event=event, slot=0, name=str(row.member), member=row.member)
        for row in rows
    )
    pool = Pool.objects.get(event=event)
    Claim.objects.bulk_create(Claim(registration=row, pool=pool, n=1) for row in rows)
    Pool.objects.filter(pk=pool.pk).update(taken=len(rows))
    found = Registration.objects.filter(event=event).select_related("event").prefetch_related("attendees")
    tokens = [gates.open_gate(gates.pair(event.host, event.pk))[1] for _gate in range(8)]
    return {"event": str(event.pk), "gates": tokens, "codes": [tickets.code_of(row) for row in found]}


if __name__ == "__main__":
    verbs = {"pages": pages, "storm": storm, "sold": sold, "door": lambda n: door(int(n))}
    print(json.dumps(verbs[sys.argv[1]](*sys.argv[2:])))
