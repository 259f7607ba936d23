"""One small world for the table of access: a centre, an event, a circle, a party, and one person for each column."""

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import uuid4

from allauth.mfa.models import Authenticator
from django.test import Client

from community import sign_ins
from community.models import CircleMembership, Export, HouseholdInvitation, Member, Role
from events import calendars, gates, hosting, inquiries, invited, inviting, partners
from events.models import DoorHelper, Event
from events.registration import Person, register
from realtime import chat, clock, direct, reports
from realtime.ids import encode, new_id
from realtime.models import Notification, TalkRequest
from tests import factories as make
from tests.community.test_accounts import Passkey
from tests.config.small_region import patient

COLUMNS = ["out", "stranger", "member", "guest", "host", "door", "staff", "other", "manager"]


@dataclass
class World:
    """Who there is (by column) and what there is (by the name an address has for it)."""

    people: dict[str, Member]
    things: dict[str, str]
    bodies: dict[str, dict[str, Any]]

    @cached_property
    def _cookies(self) -> dict[str, str]:
        return {name: make.make_client(who).cookies.output(header="") for name, who in self.people.items()}

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {name: sign_ins.issue_token(who, "test") for name, who in self.people.items()}

    def browser(self, column: str) -> Client:
        """A browser in which somebody signed in just now; `out`: nobody. Another one each time: signing out is a page, too."""
        browser = Client()
        browser.cookies.load(self._cookies.get(column, ""))
        return browser

    def program(self, column: str) -> Client:
        """A program with a key of somebody's; `out`: with none."""
        key = self._keys.get(column)
        return Client(headers={"Authorization": f"Bearer {key}"}) if key else Client()

    @cached_property
    def nowhere(self) -> dict[str, str]:
        """The same names for what was never there."""
        gone = {
            "seq": "999",
            "said": "999",
            "passkey": "999999",
            "role": "999999",
            "centre": "nowhere",
            "circle_slug": "nowhere",
            "token": "x",
        }
        same = {name: self.things[name] for name in ("answer", "step", "rest")}
        return {name: gone.get(name, encode(new_id())) for name in self.things} | same

    def example(self, converter: str) -> str:
        """Something that fits a converter of Django's: `<id:pk>`, `<slug:slug>`."""
        kind = converter.strip("<>").partition(":")[0]
        return {"id": encode(1), "int": "1", "slug": "accept", "str": "x", "path": "x"}[kind]


def make_world() -> World:
    """The event and the circle are open to few: the event to the centre's own members, the circle by invitation."""
    centre, elsewhere = make.make_centre(), make.make_centre()
    people = {
        "stranger": make.make_member(),
        "member": make.make_member(centre=centre),
        "guest": make.make_member(centre=centre),
        "host": make.make_host(),
        "door": make.make_member(),
        "staff": make.make_staff(centre),
        "other": make.make_staff(elsewhere),
        "manager": make.make_manager(centre),
    }
    plain = {"centre": centre.slug, "answer": "accept", "step": "1", "rest": "x"}
    plain["role"] = str(Role.objects.get(member=people["staff"]).pk)
    return World(people, plain | _gatherings(people, centre) | _talk(people) | _home(people), _bodies(people))


def _bodies(people: dict[str, Member]) -> dict[str, dict[str, Any]]:
    """What is sent where nothing at all would be refused for being nothing, before anybody asks who sends it."""
    event = {
        "title": "Picnic",
        "starts_at": "2030-06-01T19:00:00",
        "timezone": "Europe/Brussels",
        "venue": {"name": "Park"},
        "language": "en",
    }
    return {
        "POST /api/v1/circles/": {"name": "Singers", "description": "We sing.", "language": "en"},
        "POST /api/v1/events/": event,
        "PATCH /api/v1/events/{event}/": {"title": "Feast"},
        "POST /api/v1/events/{event}/cancel/": {"reason": "Rain"},
        "POST /api/v1/events/{event}/registrations/": {"party": [{}]},
        "POST /registrations/{registration}/move/": {"event": "{event}", "sure": "1"},
        "POST /api/v1/registrations/{registration}/move/": {"event": "{event}"},
        "PATCH /api/v1/registrations/{registration}/": {"party": [{}]},
        "POST /api/v1/series/": event | {"rrule": "FREQ=WEEKLY;COUNT=3"},
        "PATCH /api/v1/series/{series}/": {"scope": "all", "changes": {"title": "Feast"}, "dry_run": True},
        "POST /api/v1/rooms/{room}/entries/": {"key": str(uuid4()), "text": "Hello"},
        "POST /chat/{room}/": {"key": str(uuid4()), "text": "Hello"},
        "POST /chat/{room}/{seq}/hide/": {"key": str(uuid4()), "reason": "Rude"},
        "POST /chat/{room}/people/{fellow}/remove/": {"reason": "Rude"},
        "POST /chat/{room}/people/{fellow}/report/": {"reason": "rude"},
        "POST /chat/{room}/{said}/report/": {"reason": "rude"},
        "POST /me/blocked/": {"member": "{fellow}"},
        "PATCH /api/v1/notifications/{notification}/": {"read": True},
        "POST /chat/reports/{report}/": {"decision": "nothing", "note": "A misunderstanding"},
        "POST /desk/{centre}/reports/{report}/": {"decision": "nothing", "note": "A misunderstanding"},
        "PATCH /api/v1/rooms/{room}/": {"muted": True},
        "POST /api/v1/blocks/": {"member": "{fellow}"},
        "POST /api/v1/reports/": {"room": "{room}", "member": "{fellow}", "reason": "rude"},
        "POST /events/{event}/guests/helpers/": {"who": people["member"].email},
        "POST /events/{event}/hosts/": {"who": people["member"].email},
        "POST /events/{event}/ask/": {"text": "May I bring a pram?"},
        "POST /events/{event}/questions/": {"do": "answer:{inquiry}", "{inquiry}-text": "Yes"},
        "POST /api/v1/events/{event}/inquiries/": {"text": "May I bring a pram?"},
        "PUT /api/v1/inquiries/{inquiry}/answer/": {"text": "Yes"},
        "PATCH /api/v1/inquiries/{inquiry}/": {"aside": True},
        "POST /events/{event}/invitations/": {"emails": "bo@example.org"},
        "POST /invitations/{asked}/": {"do": "decline"},
        "POST /api/v1/events/{event}/invitations/": {"emails": ["bo@example.org"]},
        "POST /events/{event}/guests/letter/": {"to": "coming", "text": "Hello", "key": str(uuid4())},
        "POST /events/{event}/guests/add/": {"name": "Ann", "language": "en", "key": str(uuid4())},
        "POST /events/{event}/guests/scan/": {"form": "x", "do": "in:{registration}.1"},
        "POST /events/{event}/guests/gates/": {"gate": "{gate}"},
        "POST /registrations/{registration}/still/": {"answer": "yes"},
        "POST /registrations/{registration}/by-hand/": {"do": "cancel"},
        "POST /registrations/{registration}/decide/": {"answer": "yes"},
        "POST /registrations/{registration}/offer/": {"answer": "yes"},
        "POST /registrations/{registration}/party/": {"me": "on", "guests": "Ana"},
        "POST /desk/{centre}/people/{person}/host/": {"is_host": "1"},
        "POST /desk/{centre}/people/{person}/address/": {"email": "right@example.org"},
        "POST /desk/{centre}/calendars/": {"name": "Museum", "language": "en"},
        "POST /desk/{centre}/calendars/{calendar}/": {"do": "bring"},
        "POST /desk/{centre}/roles/": {"email": people["member"].email, "kind": "staff"},
        "POST /desk/{centre}/roles/withdraw/": {"role": "{role}"},
        "POST /api/v1/check-ins/": {"event": "{event}", "gate": "Door", "scans": [{"id": str(uuid4())}]},
    }


def _gatherings(people: dict[str, Member], centre: Any) -> dict[str, str]:
    host, guest = people["host"], people["guest"]
    event = make.make_event(
        host=host,
        centre=centre,
        visibility=Event.Visibility.CENTRE,
        starts_at=clock.now() + timedelta(minutes=30),
    )
    draft = make.make_event(host=host, centre=centre, state=Event.State.DRAFT)
    meetup = hosting.publish_series(
        people["manager"],
        {
            "title": "Language table",
            "language": "en",
            "starts_at": (clock.now() + timedelta(days=2)).replace(tzinfo=None),
            "ends_at": None,
            "timezone": "Europe/Brussels",
            "visibility": Event.Visibility.CENTRE,
            "centre": centre,
        },
        {"rrule": "FREQ=WEEKLY;COUNT=3"},
    )
    DoorHelper.objects.create(event=event, member=people["door"])
    registration = register(guest, event.pk, [Person()])
    gate, _token = gates.open_gate(gates.pair(host, event.pk))
    return {
        "event": event.public_id,
        "draft": draft.public_id,
        "series": meetup.public_id,
        "registration": registration.public_id,
        "gate": gate.public_id,
        "inquiry": inquiries.ask(guest, event.pk, "Is there parking?").public_id,
        "asked": _asked(event, guest),
        "home": centre.public_id,
        "token": calendars.feed_token(guest),
        "person": guest.public_id,
        "calendar": _partner_calendar(people["staff"], centre),
    }


def _asked(event: Event, guest: Member) -> str:
    """An invitation that was mailed."""
    inviting.invite_addresses(event.host, event.pk, guest.email)
    invited.send_due()
    return event.invitations.get().public_id


def _partner_calendar(staff: Member, centre: Any) -> str:
    patient()
    said = {"name": "Library", "language": "en", "url": ""}
    return partners.add(staff, centre, said, b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n").public_id


def _talk(people: dict[str, Member]) -> dict[str, str]:
    asker = make.make_member()
    fellow, reporter = make.make_member(display_name="Fellow"), make.make_member(display_name="Reporter")
    circle = make.make_circle(people["member"], fellow, reporter, host=people["host"], join="invite")
    CircleMembership.objects.create(circle=circle, member=asker, state="asked")
    message, _known = chat.post(people["member"], circle.room.pk, "Hello", uuid4())
    said, _known = chat.post(fellow, circle.room.pk, "Hello, too", uuid4())
    direct.ask(reporter, people["member"].pk)
    complaint = reports.report_message(reporter, circle.room.pk, message.seq, "rude")
    own = reports.report_message(people["member"], circle.room.pk, said.seq, "rude")
    return {
        "fellow": fellow.public_id,
        "request": TalkRequest.objects.get().public_id,
        "notification": Notification.objects.get(kind="talk_asked").public_id,
        "report": complaint.report.public_id,
        "mine": own.report.public_id,
        "circle": circle.public_id,
        "circle_slug": circle.slug,
        "asker": asker.public_id,
        "room": circle.room.public_id,
        "seq": str(message.seq),
        "said": str(said.seq),
    }


def _home(people: dict[str, Member]) -> dict[str, str]:
    guest = people["guest"]
    child = make.make_child(make.make_household(guest))
    invitation = HouseholdInvitation.objects.create(inviter=make.make_member(), email=guest.email)
    made = Passkey().made_for({"publicKey": {"rp": {"id": "localhost"}, "challenge": "AAAA"}})
    data = {"name": "My phone", "credential": json.loads(made)}
    passkey = Authenticator.objects.create(user=guest, type=Authenticator.Type.WEBAUTHN, data=data)
    export = Export.objects.create(member=guest, state=Export.State.DONE, done_at=clock.now())
    return {
        "child": child.public_id,
        "invitation": invitation.public_id,
        "passkey": str(passkey.pk),
        "export": export.public_id,
    }
