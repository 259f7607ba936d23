"""Links in mails: no GET changes anything, and what a link may do it does once."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.test import Client

from community import circles, households, privacy, roles
from community.models import Erasure, Member, Role
from events import (
    approval,
    checkin,
    cohosts,
    desk,
    guests,
    hosting,
    inquiries,
    invited,
    inviting,
    letters,
    moving,
    registration,
    reminding,
    undoing,
    waiting,
)
from events.checkin import DeviceClock
from events.models import Event, Registration
from events.models.registration import Guest
from events.registration import Person, register
from events.telling import tell
from realtime import chat, direct, moderation, reports, rooms
from realtime.clock import now
from realtime.models import Mail, MailedKey, Notification, Report
from tests.events.doors import code, gate, reading
from tests.factories import (
    make_centre,
    make_circle,
    make_client,
    make_event,
    make_host,
    make_manager,
    make_member,
)

pytestmark = pytest.mark.django_db
ME = Person()
WRITTEN = {path.stem for path in (settings.ROOT / "templates/mail").glob("[!_]*.txt")}


def mailed_key(member: Member) -> str:
    """The key in the newest mail to the member."""
    return mailed_key_of(member.email)


def mailed_key_of(email: str) -> str:
    """The key in the newest mail to the address."""
    mail = Mail.objects.filter(to=email, text__contains="?key=").latest("created_at")
    return mail.text.partition("?key=")[2].split()[0]


def test_the_key_in_the_mail_opens_this_registration_and_no_other_text_does() -> None:
    row, other = (register(make_member(), make_event().pk, [ME]) for _turn in range(2))
    key = mailed_key(row.member)

    assert registration.registration_by_key(row.pk, key) == row
    for pk, wrong in ((row.pk, ""), (row.pk, key[:-1]), (row.pk, row.public_id), (other.pk, key)):
        with pytest.raises(MailedKey.DoesNotExist):
            registration.registration_by_key(pk, wrong)


def test_a_key_works_once_and_only_until_the_event_is_over(clock: Any) -> None:
    event = make_event()
    first, late = (register(make_member(), event.pk, [ME]) for _turn in range(2))
    key = mailed_key(first.member)

    assert registration.cancel_by_key(first.pk, key).state == "cancelled"
    with pytest.raises(MailedKey.DoesNotExist):
        registration.cancel_by_key(first.pk, key)
    clock.move_to(event.over_at)
    with pytest.raises(MailedKey.DoesNotExist):
        registration.cancel_by_key(late.pk, mailed_key(late.member))


def test_a_key_whose_effect_is_refused_is_not_used_up() -> None:
    event = make_event(starts_at=now() + timedelta(minutes=10))
    row = register(make_member(), event.pk, [ME])
    checkin.record(gate(event), [reading(code(row))], DeviceClock(0))

    with pytest.raises(ValidationError):  # they are in
        registration.cancel_by_key(row.pk, mailed_key(row.member))
    assert MailedKey.objects.get().used_at is None


def every_mail() -> None:
    """One mail of every kind that is written, through the verbs that send them."""
    host, ana, ben = make_host(), make_member(), make_member()
    event = make_event(host=host, capacity=2, waiting_list="fit")
    first = register(ana, event.pk, [ME])
    waits = register(ben, event.pk, [ME, Person(name="Oma")], wait=True)
    registration.change_party(ana, first.pk, [ME], version=first.version)
    tell(first, "event_party")
    registration.cancel(ana, first.pk)
    assert waits.state == "waiting"
    line()
    asking()
    growing()
    reminded()
    asked_to_come()
    shared()
    asked_something()
    without_account()
    other = register(make_member(), make_event(host=host).pk, [ME])
    moving.move(host, other.pk, make_event(host=host).pk)
    cohosts.name(make_manager(event.centre), event.pk, ana.email)
    letters.write(host, event.pk, "waiting", "See you soon", uuid4())
    hosting.change(host, event.pk, {"title": "Another name", "venue": "Elsewhere"}, event.version)
    hosting.call_off(host, event.pk, "Storm")
    Mail.objects.filter(kind="event_called_off").update(state=Mail.State.SENT)
    undoing.restore(host, event.pk)
    circle = make_circle(host=host, join="request")
    circles.join(ana, circle.pk)
    circles.accept(host, circle.pk, ana.pk)
    invitation = households.invite(ben, ana.email)
    households.accept(ana, invitation.pk)
    households.leave(ana)
    centre = make_centre()
    manager, member = make_manager(centre), make_member(centre=centre)
    desk.correct_address(manager, centre, member.pk, "right@example.org")
    roles.set_host(manager, centre, member, is_host=True)
    roles.grant(manager, centre.pk, ben.email, Role.Kind.STAFF)
    roles.withdraw(manager, centre.pk, ben.pk)
    entry, _known = chat.post(ana, circle.room.pk, "Rude", uuid4())
    chat.hide(host, circle.room.pk, entry.seq, uuid4(), "Not kind")
    talk(host, circle.room, ana)
    leave_and_come_back_never()


def line() -> None:
    """Two offers from a waiting list: one runs out, one is accepted."""
    event = make_event(capacity=1, waiting_list="strict")
    holder = register(make_member(), event.pk, [ME])
    first, second = (register(make_member(), event.pk, [ME], wait=True) for _turn in range(2))
    registration.cancel(holder.member, holder.pk)
    Registration.objects.filter(pk=first.pk).update(offer_expires_at=now())
    waiting.expire_offers()
    waiting.accept(second.member, second.pk)


def asking() -> None:
    """A party asks to come and is turned down."""
    event = make_event(by_approval=True)
    approval.turn_down(event.host, register(make_member(), event.pk, [ME]).pk, "It is for beginners.")


def growing() -> None:
    """A party that comes waits for more places."""
    event = make_event(capacity=2, waiting_list="strict")
    row, _other = register(make_member(), event.pk, [ME]), register(make_member(), event.pk, [ME])
    registration.change_party(row.member, row.pk, [ME, Person("Bo")], wait=True)


def reminded() -> None:
    """The day before, and asked whether they still come."""
    event = make_event(asks_again=True, starts_at=now() + timedelta(hours=20))
    row = register(make_member(), event.pk, [ME])
    Registration.objects.filter(pk=row.pk).update(created_at=now() - timedelta(days=9))
    reminding.remind_due()


def shared() -> None:
    """A partner centre is named."""
    event, theirs = make_event(), make_manager()
    hosting.change(event.host, event.pk, {"partner_centres": [theirs.roles.get().centre]})


def asked_to_come() -> None:
    """Invited by address, and asked once more."""
    event = make_event(visibility="invited")
    inviting.invite_addresses(event.host, event.pk, "bo@example.org")
    invited.send_due()
    event.invitations.update(invited_at=now() - inviting.TO_THINK)
    inviting.ask_again(event.host, event.pk)
    invited.send_due()


def asked_something() -> None:
    """The host is asked, and answers everybody."""
    event = make_event()
    row = inquiries.ask(make_member(), event.pk, "May I bring a pram?")
    inquiries.answer(event.host, row.pk, "Yes", public=True)


def without_account() -> None:
    """A guest asks twice, comes in between."""
    event, guest = make_event(), Guest("Ida", "ida@example.org", "en")
    guests.ask(event.pk, guest)
    guests.confirm(Registration.objects.get(event=event).pk, mailed_key_of("ida@example.org"))
    guests.ask(event.pk, guest)


def talk(host: Member, room: Any, ana: Member) -> None:
    """Ask, agree, report, remove, let in again."""
    cleo = make_member()
    rooms.enter(room, cleo)
    direct.ask(cleo, ana.pk)
    direct.accept(ana, direct.requests_to(ana).get().pk)
    entry, _known = chat.post(ana, room.pk, "Ruder", uuid4())
    reports.report_message(cleo, room.pk, entry.seq, "rude")
    reports.decide(host, Report.objects.get(), "nothing", "Not so bad")
    moderation.remove(host, room.pk, cleo.pk, "Too loud")
    moderation.readmit(host, room.pk, cleo.pk)


def leave_and_come_back_never() -> None:
    """Somebody who looked after a circle and an event goes; somebody else has not been here for two years."""
    event = make_event()
    make_manager(event.centre)
    make_circle(make_member(), host=event.host)
    privacy.ask_erasure(event.host)
    Erasure.objects.update(due_at=now() + timedelta(days=1))
    privacy.remind_due()
    mails = list(Mail.objects.filter(member=event.host))
    privacy.erase(event.host.pk)
    stays = make_member()
    for mail in mails:  # theirs went with them, and had links like all others
        mail.member, mail.to = stays, stays.email
        mail.save(force_insert=True)
    Member.objects.filter(pk=make_member().pk).update(
        last_login=now() - privacy.UNUSED_WARNED - timedelta(days=1)
    )
    privacy.close_unused()


def test_following_every_link_of_every_mail_changes_nothing(client: Client) -> None:
    every_mail()
    kinds = set(Mail.objects.values_list("kind", flat=True))
    assert kinds == WRITTEN, "a kind of mail that is not followed here"

    links: dict[str, set[str]] = {}  # and to whom it was sent
    for mail in Mail.objects.all():
        for link in re.findall(r"https?://\S+", mail.text):
            links.setdefault(link, set()).add(mail.to)
    assert len(links) > 8
    stranger, host = make_member(), Event.objects.earliest("created_at").host
    members = Member.objects.filter(email__in=set().union(*links.values()))
    visitors = {
        member.email: make_client(member) for member in {stranger, host, *members}
    }  # signing in is written down
    started = everything()
    for link, got_it in sorted(links.items()):
        path = link.removeprefix(settings.PUBLIC_URL)
        assert path.startswith("/"), link
        for email in sorted({"", stranger.email, host.email, *(got_it & visitors.keys())}):
            visitor = visitors[email] if email else Client()
            assert visitor.get(path).status_code in {200, 302, 403, 404}, (path, email)
        assert everything() == started, path


def everything() -> dict[str, list[Any]]:
    """Every row of the house but sessions, which reading a page may begin, and that a notification was read by it."""
    read_at = Notification._meta.get_field("read_at")
    return {
        model._meta.label: sorted(
            model.objects.values_list(
                *(one.attname for one in model._meta.concrete_fields if one != read_at)
            ),
            key=repr,
        )
        for model in apps.get_models()
        if model._meta.app_label in {"realtime", "community", "events", "config", "account", "mfa"}
    }


def test_without_a_key_a_form_of_another_site_gives_no_place_back() -> None:
    """The page takes a key from anywhere, since only its mail knows it; a session alone is no proof that one meant it."""
    row = register(make_member(), make_event().pk, [ME])
    path = f"/registrations/{row.public_id}/cancel/"
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(row.member)
    assert browser.post(path).status_code == 403
    assert browser.post(path, {"key": "made-up"}).status_code == 404
    row.refresh_from_db()
    assert row.state == "confirmed"
    stranger = Client(enforce_csrf_checks=True)
    assert stranger.post(path, {"key": mailed_key(row.member)}, headers={"Origin": "null"}).status_code == 200
    row.refresh_from_db()
    assert row.state == "cancelled"
