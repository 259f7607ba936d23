"""A whole life on the site: something in every table that keeps anything of a member, each text with a mark of its own."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.backends.db import SessionStore
from django.db.models import CharField, EmailField, JSONField, TextField

from community import audit, households, personal_fields, privacy, sign_ins
from community.models import Circle, CircleMembership, Consent, Export, Member, Role
from config.models import IdempotentAnswer
from events import gates, hosting
from events.models import (
    Answers,
    CoHost,
    DoorHelper,
    Event,
    Gate,
    GatePairing,
    Inquiry,
    Invitation,
    InvitationStop,
    PartnerCalendar,
    Scan,
    Series,
)
from events.registration import Person, register
from realtime import blocks, chat, clock, direct, keys, notify, reports, rooms
from realtime.models import Mail, Showing
from tests.factories import (
    make_centre,
    make_child,
    make_circle,
    make_event,
    make_household,
    make_interest,
    make_member,
    make_place,
)

# Words the program writes and reads: a mark in their place would be no language, no zone, no reason.
READ_BY_PROGRAM = {"language", "about_language", "answer_language", "time_zone", "reason", "mention.name"}


@dataclass
class Life:
    """A member, what was made of them, and the mark that stands in each text: `zqa001`, `zqa002`, …"""

    member: Member
    event: Event
    circle: Circle
    letter: str
    marks: dict[str, str] = field(default_factory=dict)  # table.field → mark

    @property
    def mark(self) -> str:
        """How every mark of this life begins."""
        return f"zq{self.letter}"


def make_life(letter: str, *others: Member) -> Life:
    """A member who does everything there is to do, in one circle and at one event with `others`."""
    centre = make_centre()
    member = make_member(
        email=f"zq{letter}mail@example.org",
        display_name=f"zq{letter}name",
        lives=make_place("Hasselt"),
        works=make_place("Genk"),
        centre=centre,
        interests=[make_interest("walking")],
    )
    _rights(member, centre)
    home = make_household(member)
    make_child(home)
    households.invite(member, f"zq{letter}friend@example.org")
    friend = make_member()
    circle = make_circle(friend, *others, host=member)
    _talk(member, circle, friend, others)
    event = _events(member, circle)
    _leftovers(member, event)
    life = Life(member, event, circle, letter)
    life.marks = dict(_put_marks(life))
    member.refresh_from_db()
    return life


def _rights(member: Member, centre: object) -> None:
    Role.objects.create(member=member, centre=centre, kind=Role.Kind.STAFF, granted_by=member)
    member.groups.add(Group.objects.get_or_create(name="night shift")[0])
    member.user_permissions.add(Permission.objects.earliest("pk"))
    sign_ins.issue_token(member, "my program")
    Authenticator.objects.create(user=member, type=Authenticator.Type.TOTP, data={"secret": "x"})
    address = EmailAddress.objects.get(user=member)
    EmailConfirmation.objects.create(email_address=address, key=uuid.uuid4().hex, sent=clock.now())
    session = SessionStore()
    session["_auth_user_id"] = str(member.pk)
    session.create()
    UserSession.objects.create(user=member, ip="192.0.2.1", session_key=session.session_key, user_agent="x")


def _talk(member: Member, circle: Circle, friend: Member, others: tuple[Member, ...]) -> None:
    said, _known = chat.post(member, circle.room_id, "hello", uuid.uuid4())
    chat.edit(member, circle.room_id, said.seq, "hello all", uuid.uuid4())
    for other in others:
        theirs, _known = chat.post(other, circle.room_id, "welcome", uuid.uuid4())
        chat.react(member, circle.room_id, theirs.seq, "👍", True, uuid.uuid4())
    chat.post(friend, circle.room_id, f"@{member.display_name}, are you there?", uuid.uuid4())
    _people(member, circle, friend)
    blocks.block(member, make_member().pk)
    Showing.objects.create(member=member, is_shown=True)


def _people(member: Member, circle: Circle, friend: Member) -> None:
    """A talk of two, a question that waits, a report of the member's which they decide, with their own words beside it."""
    direct.ask(friend, member.pk)
    direct.accept(member, direct.requests_to(member).get().pk)
    neighbour = make_member()
    rooms.enter(circle.room, neighbour)
    direct.ask(member, neighbour.pk)
    theirs = circle.room.entries.filter(author=friend, kind="message").latest("seq")
    report = reports.report_message(member, circle.room_id, theirs.seq, "other", "Odd").report
    reports.decide(member, report, "nothing", "Not so odd")


def _events(member: Member, circle: Circle) -> Event:
    event = make_event(host=member, circle=circle)
    Series.objects.create(
        title="Meetup",
        language="en",
        host=member,
        centre=event.centre,
        start_date=clock.now().date(),
        start_time=clock.now().time(),
    )
    PartnerCalendar.objects.create(
        centre=event.centre, added_by=member, name="Library", language="en", content=b""
    )
    mine = register(member, event.pk, [Person(), Person(name="a guest", age=7)])
    Answers.objects.create(registration=mine, given={"q": "no nuts"}, agreed={"q": "2027-01-01"}, key="x")
    gate = Gate.objects.create(event=event, name="a phone", member=member)
    Scan.objects.create(
        id=uuid.uuid4(),
        event=make_event(),  # a scan at the event itself would hold its places for good
        order=1,
        gate=gate,
        by=member,
        kind="in",
        registration=mine,
        at=clock.now(),
        digest="x",
        slots=1,
    )
    DoorHelper.objects.create(event=event, member=member, named_by=member)
    CoHost.objects.create(event=make_event(), member=member)
    Inquiry.objects.create(
        event=make_event(),
        member=member,
        text="A pram?",
        language="en",
        answer="Yes",
        answer_language="en",
        answered_at=clock.now(),
        is_public=True,
    )
    Invitation.objects.create(event=make_event(), member=member, via="circle")
    InvitationStop.objects.create(centre=event.centre, member=member)
    _called_off(member)
    gates.pair(member, event.pk)
    return event


def _called_off(member: Member) -> None:
    """An event that somebody called off a moment ago."""
    event = make_event()
    register(member, event.pk, [Person()])
    hosting.call_off(event.host, event.pk)


def _leftovers(member: Member, event: Event) -> None:
    notify.mail_rendered(
        "hello", to=member.email, language="en", claim=str(uuid.uuid4()), words=("Hi", "You"), member=member
    )
    keys.make("hello", event.pk, member=member, expires_at=clock.now() + timedelta(days=1))
    IdempotentAnswer.objects.create(
        actor=member, method="POST", path="/api/v1/circles/", key=uuid.uuid4(), digest="x", body="{}"
    )
    audit.record(audit.Action.SIGNED_IN, actor=member)
    Export.objects.create(member=member)
    privacy.ask_erasure(member)
    assert Consent.objects.filter(member=member).exists()
    assert GatePairing.objects.filter(made_by=member, event=event).exists()
    assert CircleMembership.objects.filter(member=member).exists()
    assert Mail.objects.filter(member=member).count() > 1


def _put_marks(life: Life) -> Iterator[tuple[str, str]]:
    """Put a mark in every personal text of every table there is: what the registry knows, and only that."""
    number = count(1)
    for table in personal_fields.tables():
        if table.rows is None:
            continue
        rows = table.rows(life.member.pk)
        assert rows.exists(), f"{table.name}: nothing of the member to look for"
        for name in table.personal:
            column = table.model._meta.get_field(name)
            is_text = isinstance(column, CharField | TextField | JSONField)
            is_read = not READ_BY_PROGRAM.isdisjoint({name, f"{table.name}.{name}"})
            if not is_text or column.choices or is_read or name in table.withheld:
                continue
            mark = f"zq{life.letter}{next(number):03}"
            value: object = f"{mark}@example.org" if isinstance(column, EmailField) else mark
            if isinstance(column, JSONField):
                value = [mark]
            for row in rows:
                type(row).objects.filter(pk=row.pk).update(**{name: value})
                rows = table.rows(life.member.pk)
            yield f"{table.name}.{name}", mark


def later(days: float) -> timedelta:
    return timedelta(days=days)
