"""The desk: what needs somebody, whose people are seen, and what staff set right, with every look on record."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.test import Client

from community import audit
from community.models import Member, Role, SecurityRecord
from events import desk
from events.models import DoorHelper, Event, Registration
from events.registration import Person, register
from realtime import clock, notify
from realtime.models import Mail
from tests import factories as make

pytestmark = pytest.mark.django_db
Action = SecurityRecord.Action


def role_of(member: Member) -> Role:
    return Role.objects.select_related("centre").get(member=member)


def fail(member: Member, kind: str = "event_registered") -> Mail:
    """A mail the server refused for good."""
    notify.mail_rendered(
        kind,
        to=member.email,
        language="en",
        claim=f"x{Mail.objects.count()}",
        words=("S", "T"),
        member=member,
    )
    mail = Mail.objects.latest("pk")
    Mail.objects.filter(pk=mail.pk).update(state=Mail.State.FAILED, error="550 no such box")
    return mail


# Whose people


def test_staff_see_home_members_and_who_registers_and_nobody_else():
    centre = make.make_centre()
    staff, home, visitor = make.make_staff(centre), make.make_member(centre=centre), make.make_member()
    partner, stranger = make.make_member(), make.make_member(centre=make.make_centre())
    make.make_household(visitor, partner)
    event = make.make_event(centre=centre)
    register(visitor, event.pk, [Person(), Person(member_id=partner.pk)])
    assert set(desk.people_of(centre)) == {staff, home, visitor, partner}
    with pytest.raises(Member.DoesNotExist):
        desk.person_for(staff, centre, stranger.pk)


def test_a_partner_centre_sees_who_registers_for_a_shared_event():
    centre, partner = make.make_centre(), make.make_centre()
    event = make.make_event(centre=centre, partner_centres=[partner])
    guest = make.make_registration(event).member
    assert guest in desk.people_of(partner)


def test_every_word_of_a_search_counts_and_addresses_too():
    centre = make.make_centre()
    ana = make.make_member(centre=centre, display_name="Ana Lopez", email="ana@work.example")
    make.make_member(centre=centre, display_name="Ana Schmidt")
    assert list(desk.found_in(desk.people_of(centre), "lopez ana")) == [ana]
    assert list(desk.found_in(desk.people_of(centre), "WORK.example")) == [ana]


def test_a_look_at_a_person_is_on_record_and_the_person_reads_it():
    centre = make.make_centre()
    staff, member = make.make_staff(centre, display_name="Sam Staff"), make.make_member(centre=centre)
    page = f"/desk/{centre.slug}/people/{member.public_id}/"
    assert make.make_client(staff).get(page).status_code == 200
    seen = make.make_client(member).get("/me/log/").content.decode()
    assert "Sam Staff" in seen
    assert "looked at the person" in seen


def test_a_persons_page_shows_neither_where_they_live_nor_what_was_mailed():
    centre = make.make_centre()
    town = make.make_place("Eupen")
    member = make.make_member(centre=centre, lives=town, about="I sing")
    row = make.make_registration(make.make_event(centre=centre), member)
    mail = {"to": member.email, "language": "en", "words": ("Subject", "Secret words"), "member": member}
    notify.mail_rendered("event_party", claim=f"event_party:{row.public_id}:9", **mail)
    page = make.make_client(make.make_staff(centre)).get(f"/desk/{centre.slug}/people/{member.public_id}/")
    shown = page.content.decode()
    assert "Subject" in shown
    for hidden in ("Secret words", "Eupen", "I sing"):
        assert hidden not in shown


def test_no_code_and_nothing_of_another_centre_is_seen_at_the_desk():
    """A sign-in code stands in the subject of its mail: who reads that gets in."""
    centre, other = make.make_centre(), make.make_centre()
    member = make.make_member(centre=other, email="ana@example.org")
    make.make_registration(make.make_event(centre=centre, title="Picnic here"), member)
    make.make_registration(make.make_event(centre=other, title="Carnival there"), member)
    Client().post("/accounts/login/", {"login": "ana@example.org"})
    subject = Mail.objects.get(kind="login_code").subject
    Mail.objects.update(state=Mail.State.FAILED)
    for where in (centre, other):
        client = make.make_client(make.make_manager(where))
        for page in (f"people/{member.public_id}/", "mails/"):
            assert subject not in client.get(f"/desk/{where.slug}/{page}").content.decode()
    here = make.make_client(make.make_staff(centre)).get(f"/desk/{centre.slug}/people/{member.public_id}/")
    assert "Picnic here" in here.content.decode()
    assert "Carnival there" not in here.content.decode()


# What needs somebody


def test_a_quiet_centre_needs_nothing():
    manager = make.make_manager()
    assert desk.needs(role_of(manager)) == []
    page = make.make_client(manager).get(f"/desk/{role_of(manager).centre.slug}/")
    assert "Nothing needs you" in page.content.decode()


def test_what_is_urgent_stands_first():
    centre = make.make_centre()
    manager = make.make_manager(centre)
    fail(make.make_member(centre=centre))
    make.make_event(centre=centre, state=Event.State.DRAFT, starts_at=None, title="Someday")
    crowded = make.make_event(centre=centre, capacity=30, title="Gala")
    for _party in range(2):
        make.make_registration(crowded, guests=9)
    full = make.make_event(
        centre=centre,
        capacity=1,
        waiting_list="fit",
        starts_at=clock.now() + timedelta(days=20),
        title="Yoga",
    )
    make.make_registration(full)
    register(make.make_member(), full.pk, [Person()], wait=True)
    make.make_event(centre=centre, title="Lonely", created_at=clock.now() - timedelta(days=2))
    half = make.make_event(
        centre=centre, title="Half full", capacity=2, created_at=clock.now() - timedelta(days=2)
    )
    make.make_registration(half)
    make.make_event(centre=centre, title="Just made")
    urgency = [(need.urgency, need.title) for need in desk.needs(role_of(manager))]
    assert urgency == [
        (90, "1 mail did not arrive"),
        (80, "Gala"),
        (50, "Lonely"),
        (40, "Yoga"),
        (10, "1 draft"),
    ]


def test_a_door_with_a_helper_needs_nobody():
    centre = make.make_centre()
    event = make.make_event(centre=centre, capacity=30)
    for _party in range(2):
        make.make_registration(event, guests=9)
    DoorHelper.objects.create(event=event, member=make.make_member())
    assert desk.needs(role_of(make.make_manager(centre))) == []


def test_a_colleague_without_a_lock_is_named_to_the_manager_only():
    centre = make.make_centre()
    manager, staff = make.make_manager(centre), make.make_staff(centre)
    Role.objects.create(member=make.make_member(display_name="Nora New"), centre=centre, kind="staff")
    assert [need.title for need in desk.needs(role_of(manager))] == ["Nora New"]
    assert desk.needs(role_of(staff)) == []


@pytest.mark.parametrize("size", [1, 30])
@pytest.mark.parametrize(
    ("page", "queries"), [("", 12), ("people/", 4), ("events/", 5), ("roles/", 4), ("mails/", 4), ("log/", 4)]
)
def test_a_page_of_the_desk_costs_the_same_for_one_and_thirty(
    page: str, queries: int, size: int, django_assert_num_queries: Any
):
    centre = make.make_centre()
    manager = make.make_manager(centre)
    for _row in range(size):
        event = make.make_event(centre=centre, waiting_list="fit", capacity=1)
        fail(make.make_registration(event).member or manager)
        make.make_staff(centre)
    client = make.make_client(manager)
    with django_assert_num_queries(queries):
        assert client.get(f"/desk/{centre.slug}/{page}").status_code == 200


# Setting right


def test_a_mistyped_address_is_corrected_and_both_are_told():
    centre = make.make_centre()
    manager, member = make.make_manager(centre), make.make_member(centre=centre, email="ana@gmial.example")
    browser = make.make_client(member)
    desk.correct_address(manager, centre, member.pk, " Ana@gmail.example ")
    member.refresh_from_db()
    assert member.email == "ana@gmail.example"
    assert set(Mail.objects.values_list("to", flat=True)) == {"ana@gmial.example", "ana@gmail.example"}
    assert browser.get("/me/").status_code == 302
    assert audit.about(member).filter(action=Action.CORRECTED, actor=manager).exists()
    with pytest.raises(ValidationError, match="That is the address already"):
        desk.correct_address(manager, centre, member.pk, "ana@gmail.example")
    assert Mail.objects.count() == 2
    assert not audit.about(member).filter(actor=member, action=Action.SESSIONS_ENDED).exists()


@pytest.mark.parametrize("email", ["nonsense", "taken@example.org"])
def test_a_wrong_correction_is_refused_and_what_was_typed_stays(email: str):
    centre = make.make_centre()
    manager, member = make.make_manager(centre), make.make_member(centre=centre)
    make.make_member(email="taken@example.org")
    page = f"/desk/{centre.slug}/people/{member.public_id}/address/"
    answer = make.make_client(manager).post(page, {"email": email})
    assert answer.status_code == 422
    assert email in answer.content.decode()
    assert Member.objects.get(pk=member.pk).email == member.email
    assert not Mail.objects.exists()


def test_a_manager_cannot_take_over_an_account_that_opens_more_or_is_another_centres():
    """Setting an address is getting into the account: never one with a role, never a mere visitor's."""
    centre = make.make_centre()
    manager, staff = make.make_manager(centre), make.make_staff(centre)
    visitor = make.make_registration(make.make_event(centre=centre), make.make_member()).member
    assert visitor
    for person in (staff, visitor):
        with pytest.raises(PermissionDenied):
            desk.correct_address(manager, centre, person.pk, "mine@example.org")
    with pytest.raises(PermissionDenied):
        desk.correct_address(staff, centre, make.make_member(centre=centre).pk, "mine@example.org")


def test_a_ticket_is_sent_again_once_a_minute(clock: Any):
    centre = make.make_centre()
    staff = make.make_staff(centre)
    row = make.make_registration(make.make_event(centre=centre))
    for _tap in range(2):
        desk.resend_ticket(staff, centre, row.pk)
    assert Mail.objects.filter(to=row.member and row.member.email, kind="event_registered").count() == 2
    clock.shift(timedelta(minutes=1))
    desk.resend_ticket(staff, centre, row.pk)
    assert Mail.objects.filter(kind="event_registered").count() == 3


def test_only_tickets_of_the_centres_events_are_sent_again_and_only_where_there_is_one():
    centre = make.make_centre()
    staff = make.make_staff(centre)
    with pytest.raises(Registration.DoesNotExist):
        desk.resend_ticket(staff, centre, make.make_registration().pk)
    full = make.make_event(centre=centre, capacity=1, waiting_list="strict")
    make.make_registration(full)
    waiting = register(make.make_member(), full.pk, [Person()], wait=True)
    with pytest.raises(ValidationError, match="no ticket"):
        desk.resend_ticket(staff, centre, waiting.pk)


def test_a_failed_mail_goes_out_again_to_the_address_of_now():
    centre = make.make_centre()
    staff, member = make.make_staff(centre), make.make_member(centre=centre)
    mail = fail(member)
    Member.objects.filter(pk=member.pk).update(email="new@example.org")
    desk.send_again(staff, centre, mail.pk)
    assert notify.send_due() == 1
    mail.refresh_from_db()
    assert (mail.state, mail.to) == ("sent", "new@example.org")
    with pytest.raises(Mail.DoesNotExist):
        desk.send_again(staff, centre, mail.pk)


def test_a_failed_mail_is_let_go_and_another_centres_is_not_there():
    centre = make.make_centre()
    staff = make.make_staff(centre)
    mail, elsewhere = fail(make.make_member(centre=centre)), fail(make.make_member())
    desk.let_go(staff, centre, mail.pk)
    assert desk.needs(role_of(staff)) == []
    with pytest.raises(Mail.DoesNotExist):
        desk.let_go(staff, centre, elsewhere.pk)


# The pages


def test_the_desk_is_where_the_role_is():
    centre, other = make.make_centre(), make.make_centre()
    client = make.make_client(make.make_manager(centre))
    assert client.get("/desk/")["Location"] == f"/desk/{centre.slug}/"
    assert client.get(f"/desk/{other.slug}/").status_code == client.get("/desk/nowhere/").status_code == 404
    assert make.make_client(make.make_member()).get("/desk/").status_code == 403


def test_a_role_is_granted_on_the_page_and_asks_once_more_who_one_is():
    centre = make.make_centre()
    manager, member = make.make_manager(centre), make.make_member()
    page, form = f"/desk/{centre.slug}/roles/", {"email": member.email, "kind": "staff"}
    asked = make.make_client(manager, minutes_ago=11).post(page, form)
    assert asked["Location"].startswith("/accounts/2fa/reauthenticate/")
    assert not Role.objects.filter(member=member).exists()
    assert make.make_client(manager).post(page, form)["Location"] == page
    assert Role.objects.get(member=member).kind == "staff"


def test_a_role_is_withdrawn_on_the_page():
    centre = make.make_centre()
    client, staff = make.make_client(make.make_manager(centre)), make.make_staff(centre)
    row = Role.objects.get(member=staff)
    assert client.post(f"/desk/{centre.slug}/roles/withdraw/", {"role": row.pk}).status_code == 302
    assert not Role.objects.filter(member=staff).exists()
    elsewhere = Role.objects.get(member=make.make_staff())
    assert client.post(f"/desk/{centre.slug}/roles/withdraw/", {"role": elsewhere.pk}).status_code == 404


def table_at(client: Any, path: str) -> list[list[str]]:
    """A table as a spreadsheet reads it."""
    answer = client.get(path)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))


def test_a_manager_takes_the_list_of_people_along_and_it_is_on_record():
    centre = make.make_centre()
    manager = make.make_manager(centre, display_name="Zoe")
    make.make_member(centre=centre, display_name="=Ana", email="ana@example.org", is_host=True)
    make.make_member(display_name="Elsewhere")
    head, *rows = table_at(make.make_client(manager), f"/desk/{centre.slug}/people.csv")
    assert head[:2] == ["Name", "E-mail address"]
    assert [(row[0], row[1], row[4]) for row in rows] == [
        ("'=Ana", "ana@example.org", "yes"),
        ("Zoe", manager.email, ""),
    ]
    assert len(table_at(make.make_client(manager), f"/desk/{centre.slug}/people.csv?q=zoe")) == 2
    assert audit.about(manager).filter(action=Action.EXPORTED, target="people").count() == 2


def test_a_table_speaks_the_language_of_the_page_to_its_last_line():
    centre = make.make_centre()
    manager = make.make_manager(centre, language="nl")
    make.make_member(centre=centre, display_name="Ana", is_host=True)
    make.make_event(
        centre=centre, title="Picnic", translations={"nl": {"title": "Picknick"}}, state="cancelled"
    )
    client = make.make_client(manager)
    assert table_at(client, f"/desk/{centre.slug}/people.csv?q=ana")[1][4] == "ja"
    assert table_at(client, f"/desk/{centre.slug}/events.csv")[1][::4] == ["Picknick", "Afgelast"]


def test_beyond_the_last_page_is_the_first():
    centre = make.make_centre()
    page = make.make_client(make.make_manager(centre, display_name="Zoe")).get(
        f"/desk/{centre.slug}/people/?page=99"
    )
    assert "Zoe" in page.content.decode()


def test_staff_take_no_list_of_people_and_a_manager_shows_themselves_first():
    centre = make.make_centre()
    path = f"/desk/{centre.slug}/people.csv"
    assert make.make_client(make.make_staff(centre)).get(path).status_code == 403
    asked = make.make_client(make.make_manager(centre), minutes_ago=11).get(path)
    assert asked["Location"].startswith("/accounts/2fa/reauthenticate/")


def test_staff_take_the_list_of_events_along():
    centre = make.make_centre()
    event = make.make_event(centre=centre, title="Picnic", starts_at=clock.now() + timedelta(days=3))
    make.make_registration(event, guests=2)
    client = make.make_client(make.make_staff(centre))
    _head, row = table_at(client, f"/desk/{centre.slug}/events.csv")
    assert row == [
        "Picnic",
        f"{event.local_start:%Y-%m-%d %H:%M}",
        "Hasselt",
        event.host.display_name,
        "",
        "3",
        "10",
    ]
    assert len(table_at(client, f"/desk/{centre.slug}/events.csv?show=past")) == 1


@pytest.mark.parametrize("language", ["en", "nl", "de", "fr"])
def test_every_page_of_the_desk_stands_in_every_language(language: str):
    centre = make.make_centre()
    member = make.make_member(centre=centre)
    make.make_registration(make.make_event(centre=centre), member)
    fail(member)
    client = make.make_client(make.make_manager(centre, language=language))
    for page in (
        "",
        "people/",
        f"people/{member.public_id}/",
        "events/",
        "events/?show=past",
        "roles/",
        "mails/",
        "log/",
    ):
        assert client.get(f"/desk/{centre.slug}/{page}").status_code == 200
