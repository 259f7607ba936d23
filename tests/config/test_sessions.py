"""Sessions end: idle, old, after a change of address; and whose role opens much comes in through two locks."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.test import Client

from community import audit, sign_ins
from community.models import ApiToken, Member
from config import sessions
from events import calendars, desk
from realtime.models import Entry, Mail
from tests import factories as make
from tests.community.test_accounts import code_sent_to, sign_in

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def is_in(client: Client) -> bool:
    return client.get("/me/").status_code == 200


@pytest.mark.parametrize(
    ("maker", "lasts", "ends"),
    [
        (make.make_member, timedelta(days=29), timedelta(days=31)),
        (make.make_staff, timedelta(hours=11), timedelta(hours=13)),
        (make.make_manager, timedelta(hours=11), timedelta(hours=13)),
    ],
)
def test_an_idle_session_ends(maker: Any, lasts: timedelta, ends: timedelta, clock: Any):
    used, left = maker(), maker()
    clients = [make.make_client(used), make.make_client(left)]
    clock.shift(lasts)
    assert is_in(clients[0])
    clock.shift(ends - lasts)
    assert is_in(clients[0])
    assert not is_in(clients[1])


@pytest.mark.parametrize(("maker", "days"), [(make.make_member, 90), (make.make_staff, 7)])
def test_a_session_in_use_ends_too(maker: Any, days: int, clock: Any):
    client = make.make_client(maker())
    step = timedelta(hours=10) if days == 7 else 10 * DAY
    spent = timedelta()
    while spent + step < days * DAY:
        clock.shift(step)
        spent += step
        assert is_in(client)
    clock.shift(step + timedelta(seconds=1))
    assert not is_in(client)


def test_a_session_without_a_stamp_is_over():
    client = make.make_client(make.make_member())
    session = client.session
    del session["since"]
    session.save()
    assert not is_in(client)


def test_reading_pages_writes_once_an_hour_only(clock: Any, django_assert_num_queries: Any):
    client = make.make_client(make.make_member())
    with django_assert_num_queries(2):
        client.get("/about/")
    clock.shift(timedelta(minutes=61))
    client.get("/about/")
    with django_assert_num_queries(2):
        client.get("/about/")


def listed(client: Client, member: Member) -> UserSession:
    return UserSession.objects.create(
        user=member, ip="10.0.0.1", user_agent="x", session_key=client.session.session_key
    )


def test_the_sweep_ends_what_nobody_uses_and_its_sockets(clock: Any):
    member, staff = make.make_member(), make.make_staff()
    for person in (member, staff):
        listed(make.make_client(person), person)
    clock.shift(timedelta(hours=14))
    assert sessions.end_over() == 1
    assert UserSession.objects.get().user == member
    assert Entry.objects.get(kind=Entry.Kind.SIGN_OUT).author == staff
    clock.shift(40 * DAY)
    assert sessions.end_over() == 1


def test_signing_in_and_out_is_on_record():
    member = make.make_member()
    make.make_client(member).post("/accounts/logout/")
    assert list(audit.about(member).values_list("action", flat=True)) == ["signed_out", "signed_in"]


def test_ending_all_ends_a_session_nobody_listed():
    member = make.make_member()
    client = make.make_client(member)
    sign_ins.end_all(member, "test")
    assert not is_in(client)


def test_a_new_address_ends_every_other_session_every_key_and_every_socket():
    member = make.make_member()
    here, elsewhere = make.make_client(member), make.make_client(member)
    sign_ins.issue_token(member, "calendar")
    here.post("/accounts/email/", {"email": "new@example.org", "action_add": ""})
    here.post("/accounts/confirm-email/", {"code": code_sent_to("new@example.org")})
    member.refresh_from_db()
    assert member.email == "new@example.org"
    assert is_in(here)
    assert not is_in(elsewhere)
    assert not ApiToken.objects.filter(member=member, revoked_at=None).exists()
    assert Entry.objects.filter(kind=Entry.Kind.SIGN_OUT, author=member, text="").exists()
    assert audit.about(member).filter(action="address_changed").exists()


def test_a_code_on_its_way_to_the_old_address_opens_nothing_any_more():
    centre = make.make_centre()
    manager, member = make.make_manager(centre), make.make_member(centre=centre, email="old@example.org")
    thief = Client()
    thief.post("/accounts/login/", {"login": "old@example.org"})
    code = code_sent_to("old@example.org")
    desk.correct_address(manager, centre, member.pk, "new@example.org")
    thief.post("/accounts/login/code/confirm/", {"code": code})
    assert not is_in(thief)
    assert set(EmailAddress.objects.filter(user=member).values_list("email", flat=True)) == {
        "new@example.org"
    }
    owner = Client()
    sign_in(owner, "new@example.org")
    assert is_in(owner)


def test_who_signed_up_with_another_address_before_does_not_get_the_corrected_account():
    centre = make.make_centre()
    thief = Client()
    thief.post("/accounts/signup/", {"email": "att@example.org", "is_adult": "on", "agrees": "on"})
    code = code_sent_to("att@example.org")
    member = Member.objects.get(email="att@example.org")
    member.profile.centre = centre
    member.profile.save()
    desk.correct_address(make.make_manager(centre), centre, member.pk, "victim@example.org")
    thief.post("/accounts/confirm-email/", {"code": code})
    assert thief.get("/me/").status_code == 302
    assert Member.objects.get(pk=member.pk).email == "victim@example.org"


def test_what_was_mailed_to_the_old_address_opens_nothing_any_more():
    centre = make.make_centre()
    member = make.make_member(centre=centre)
    row = make.make_registration(make.make_event(centre=centre), member)
    key = Mail.objects.get(to=member.email).text.partition("?key=")[2].split()[0]
    feed = f"/calendar/{calendars.feed_token(member)}.ics"
    desk.correct_address(make.make_manager(centre), centre, member.pk, "right@example.org")
    assert Client().get(feed).status_code == 404
    Client().post(f"/registrations/{row.public_id}/cancel/?key={key}", {"key": key})
    row.refresh_from_db()
    assert row.state == "confirmed"


@pytest.mark.parametrize("scheme", ["Bearer x", "bearer ec_unknown"])
def test_a_token_beside_the_cookie_lifts_nothing_a_session_is_held_to(scheme: str):
    """A page is opened by its session: a header that anybody can add is no program."""
    lockless = make.make_staff()
    Authenticator.objects.all().delete()
    junk = {"Authorization": scheme}
    assert make.make_client(lockless).get("/events/", headers=junk)["Location"] == "/accounts/lock/"
    stale = make.make_client(make.make_member(), minutes_ago=11)
    asked = stale.post("/me/keys/", {"name": "x"}, headers=junk)
    assert asked["Location"].startswith("/accounts/reauthenticate/code/")
    over = make.make_client(make.make_member(), minutes_ago=60 * 24 * 91)
    assert over.get("/me/", headers=junk).status_code == 302


@pytest.mark.parametrize("page", ["/accounts/email/", "/accounts/2fa/webauthn/add/"])
def test_ten_minutes_after_signing_in_who_it_is_is_asked_again(page: str):
    member = make.make_member()
    assert make.make_client(member, minutes_ago=9).get(page).status_code == 200
    asked = make.make_client(member, minutes_ago=11).get(page)
    assert asked["Location"].startswith("/accounts/reauthenticate/code/")


# A second lock


@pytest.mark.parametrize("maker", [make.make_staff, make.make_manager])
def test_a_role_without_a_lock_opens_only_the_way_to_one(maker: Any):
    member = maker()
    Authenticator.objects.all().delete()
    client = make.make_client(member)
    for page in ("/", "/events/", "/me/", "/events/new/"):
        assert client.get(page)["Location"] == "/accounts/lock/"
    assert client.get("/events/", headers={"HX-Request": "true"})["HX-Redirect"] == "/accounts/lock/"
    assert client.get("/api/v1/me/").json()["code"] == "lock_needed"
    assert "Add a passkey" in client.get("/accounts/lock/").content.decode()
    for page in ("/accounts/2fa/webauthn/add/", "/accounts/2fa/totp/activate/", "/privacy/"):
        assert client.get(page).status_code == 200
    make.make_lock(member)
    assert client.get("/events/").status_code == 200
    assert client.get("/accounts/lock/")["Location"] == "/accounts/2fa/"


def test_an_operator_needs_a_lock_as_well():
    client = make.make_client(make.make_member(is_staff=True))
    assert client.get("/events/")["Location"] == "/accounts/lock/"


def test_members_and_hosts_need_none():
    for member in (make.make_member(), make.make_host()):
        assert make.make_client(member).get("/events/").status_code == 200


@pytest.mark.parametrize(("maker", "asked"), [(make.make_member, False), (make.make_staff, True)])
def test_a_passkey_is_asked_for_after_the_code_where_a_role_opens_much(maker: Any, asked: bool):
    member = maker()
    Authenticator.objects.all().delete()
    Authenticator.objects.create(user=member, type=Authenticator.Type.WEBAUTHN, data={})
    answer = sign_in(Client(), member.email)
    assert (answer["Location"] == "/accounts/2fa/authenticate/") is asked
