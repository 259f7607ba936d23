"""A small region with one of everything that has an address, and three who ask: a stranger, a member, a manager."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import uuid4

from django.db import connection

from community import exports
from community.models import Centre, Circle, Export, Interest, Member, Place
from community.sign_ins import issue_token
from events import gates, hosting, inquiries, invited, inviting, partners
from events.models import Event, Gate, Inquiry, Invitation, PartnerCalendar, Registration, Series
from events.registration import Person, cancel, register
from events.tickets import code_of
from realtime import blocks, chat, clock, direct, reports
from realtime.models import Notification, Report, Room, TalkRequest
from tests.factories import (
    make_centre,
    make_child,
    make_circle,
    make_event,
    make_household,
    make_interest,
    make_manager,
    make_member,
    make_place,
    make_registration,
)

FILE = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20300301T190000\r\nSUMMARY:Chess\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
ROLES = ("stranger", "member", "manager")


@dataclass
class Region:
    """What is there. The member is in the circle, in its room and at the events; the manager runs them all."""

    member: Member
    manager: Member
    centre: Centre
    town: Place
    interest: Interest
    circle: Circle
    room: Room
    events: list[Event]
    series: Series
    registrations: list[Registration]
    offered: Registration
    called_off: Event
    gate: Gate
    calendar: PartnerCalendar
    invitation: Invitation
    inquiry: Inquiry
    export: Export
    asked: TalkRequest
    told: Notification
    report: Report
    tokens: dict[str, str]

    @property
    def known(self) -> dict[str, int]:
        """By the first word of a path: what may stand in it for {id}."""
        return {
            "events": self.events[3].pk,
            "series": self.series.pk,
            "registrations": self.registrations[1].pk,
            "circles": self.circle.pk,
            "rooms": self.room.pk,
            "gates": self.gate.pk,
            "jobs": self.export.pk,
            "members": self.manager.pk,
            "talk-requests": self.asked.pk,
            "notifications": self.told.pk,
            "blocks": self.report.about_id,
            "reports": self.report.pk,
            "invitations": self.invitation.pk,
            "inquiries": self.inquiry.pk,
            "questions": self.inquiry.pk,
            "invitation-stops": self.centre.pk,
        }

    @cached_property
    def names(self) -> dict[str, Any]:
        """By the name of a field or parameter: a value that means something here."""
        soon = clock.now() + timedelta(days=9)
        return {
            **dict.fromkeys(("place", "lives", "works"), self.town.name),
            "interest": self.interest.slug,
            "interests": [self.interest.slug],
            "circle": self.circle.public_id,
            "centre": self.centre.slug,
            "partner_centres": [self.centre.public_id],
            "timezone": "Europe/Brussels",
            "starts_at": f"{soon:%Y-%m-%dT19:00:00}",
            "ends_at": f"{soon:%Y-%m-%dT21:00:00}",
            "doors_at": f"{soon:%Y-%m-%dT18:30:00}",
            "registration_opens_at": f"{clock.now():%Y-%m-%dT%H:%M:%S}",
            **dict.fromkeys(  # to come, and before whatever begins: on the wall it is an hour or two later than in UTC
                ("registration_closes_at", "changes_until"),
                f"{clock.now() + timedelta(hours=3):%Y-%m-%dT%H:%M:%S}",
            ),
            "questions": [{"text": "Which day?", "kind": "choice", "options": ["Monday", "Friday"]}],
            "ticket_types": [{"name": "Seat", "capacity": 30}],  # one kind: it need not be chosen
            "min_age": 6,
            "max_age": 12,
            "rrule": "FREQ=WEEKLY;COUNT=4",
            "rdates": [f"{soon + timedelta(days=2):%Y-%m-%dT19:00:00}"],
            "exdates": [f"{soon + timedelta(days=7):%Y%m%dT190000}"],
            "occurrence": self.series.occurrences.order_by("starts_at")[1].public_id,
            "scans": [{"id": str(uuid4()), "code": code_of(self.registrations[1]), "kind": "in"}],
            "party": [{}, {"name": "Ana"}],
            "room": self.room.public_id,
            "member": self.manager.public_id,
            "read": True,
            "channels": {"letters": ["bell"], "talk": ["bell", "mail"]},
            "reason": "rude",
            "emails": ["Bo <bo@example.org>"],
            "event": self.events[3].public_id,
            "near": "50.93,5.34",
            "km": 10,
        }

    def headers(self, role: str) -> dict[str, str]:
        """What a request of this role carries."""
        return {"Authorization": f"Bearer {self.tokens[role]}"} if role in self.tokens else {}


def patient() -> None:
    """Until this transaction ends, PostgreSQL waits as long as a busy machine thinks between two requests of a test."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")


def make_region() -> Region:
    """The region, made through the verbs where there are some. Real towns, so that names mean one each."""
    patient()
    town, interest = make_place("Hasselt"), make_interest()
    centre = make_centre(place=town, slug="hasselt")
    manager = make_manager(centre, lives=town, display_name="Marieke")
    member = make_member(lives=town, display_name="Zoë", interests=[interest], about="I like *walking*.")
    lena, jan = make_member(display_name="Lena"), make_member(display_name="Jan")
    circle = make_circle(
        member, lena, jan, host=manager, name="Sunday walkers", interest=interest, place=town
    )
    for text in ("Hello", "Who comes on Sunday?", "I do"):
        chat.post(member, circle.room_id, text, str(uuid4()))
    direct.ask(lena, member.pk)
    report = reports.report_person(
        member, circle.room_id, jan.pk, "advertising", "The same shop again"
    ).report
    blocks.block(member, jan.pk)
    make_child(make_household(member))
    start = clock.now().replace(microsecond=0) + timedelta(days=2)
    given = {"host": manager, "centre": centre, "place": town, "capacity": 40, "interests": [interest]}
    events = [make_event(starts_at=start + timedelta(days=n), **given) for n in range(3)]
    # One whose doors are open, so that check-ins are decided.
    events.append(make_event(starts_at=start - timedelta(days=2), ends_at=start, **given))
    meetup = hosting.publish_series(
        manager,
        {
            "title": "Language café",
            "starts_at": start.replace(hour=19, minute=0, second=0, tzinfo=None),
            "timezone": "Europe/Brussels",
            "place": town,
        },
        {"rrule": "FREQ=WEEKLY;COUNT=6"},
    )
    registrations = [make_registration(event, member, guests=1) for event in (events[0], events[3])]
    last_place = {**given, "capacity": 1, "waiting_list": "strict"}
    full = make_event(starts_at=start + timedelta(days=5), **last_place)
    holder = make_registration(full, lena)
    offered = register(member, full.pk, [Person()], wait=True)
    cancel(lena, holder.pk)
    offered.refresh_from_db()
    called_off = make_event(starts_at=start + timedelta(days=6), **given)
    hosting.call_off(manager, called_off.pk)
    gate = gates.open_gate(gates.pair(manager, events[3].pk), "Front")[0]
    inviting.invite_addresses(manager, events[1].pk, member.email)
    invited.send_due()
    export = exports.ask(member)
    exports.make_due()
    return Region(
        member=member,
        manager=manager,
        centre=centre,
        town=town,
        interest=interest,
        circle=circle,
        room=circle.room,
        events=events,
        series=meetup,
        registrations=registrations,
        offered=offered,
        called_off=called_off,
        gate=gate,
        calendar=partners.add(manager, centre, {"name": "Library", "language": "en"}, FILE),
        invitation=Invitation.objects.get(),
        inquiry=inquiries.ask(member, events[0].pk, "May I bring a pram?"),
        export=export,
        asked=TalkRequest.objects.get(asker=lena),
        told=Notification.objects.get(kind="talk_asked", member=member),
        report=report,
        tokens={"member": issue_token(member, "test"), "manager": issue_token(manager, "test")},
    )
