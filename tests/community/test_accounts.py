"""Arriving: sign up and in with a code, the same answer for everybody, sessions and what ends with them."""

import re
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.test import Client

from community.models import Consent, Member, Profile
from realtime.models import Entry, Mail
from tests import factories as make

pytestmark = pytest.mark.django_db

CODE = re.compile(r"^ {4}([A-Z]{4}-[A-Z]{4}-[A-Z]{4})$", re.MULTILINE)


def code_sent_to(email: str) -> str:
    mail = Mail.objects.filter(to=email).latest("pk")
    found = CODE.search(mail.text)
    assert found, mail.text
    return found[1]


def sign_up(client: Client, email: str, **form: Any) -> Any:
    return client.post("/accounts/signup/", {"email": email, "is_adult": "on", "agrees": "on"} | form)


def sign_in(client: Client, email: str) -> Any:
    client.post("/accounts/login/", {"login": email})
    return client.post("/accounts/login/code/confirm/", {"code": code_sent_to(email)})


def test_somebody_joins_with_an_address_and_a_code_and_arrives_at_the_first_screen() -> None:
    client = Client(HTTP_ACCEPT_LANGUAGE="de")
    assert sign_up(client, "Ana@Example.org").status_code == 302
    answer = client.post("/accounts/confirm-email/", {"code": code_sent_to("ana@example.org")}, follow=True)
    assert answer.redirect_chain[-1][0] == "/welcome/1/"
    member = Member.objects.get(email="ana@example.org")
    assert member.language == "de"
    assert not member.has_usable_password()
    assert Profile.objects.filter(member=member).exists()
    given = {
        consent.document: (consent.version, consent.language)
        for consent in Consent.objects.filter(member=member)
    }
    assert given == {"adult": ("18", "de"), "terms": ("2026-11", "de"), "privacy": ("2026-11", "de")}


@pytest.mark.parametrize("left_out", ["is_adult", "agrees"])
def test_nobody_joins_without_being_of_age_and_agreeing_and_what_was_typed_is_kept(left_out: str) -> None:
    answer = sign_up(Client(), "ana@example.org", **{left_out: ""})
    assert answer.status_code == 200
    assert "ana@example.org" in answer.content.decode()
    assert not Member.objects.exists()


def test_consent_names_terms_and_privacy_as_links() -> None:
    page = Client().get("/accounts/signup/").content.decode()
    assert 'href="/terms/"' in page
    assert 'href="/privacy/"' in page


def test_a_member_signs_in_with_a_code_and_the_session_gets_another_key() -> None:
    member = make.make_member()
    client = Client()
    client.get("/accounts/login/")
    client.post("/accounts/login/", {"login": member.email.upper()})
    before = client.session.session_key
    answer = client.post("/accounts/login/code/confirm/", {"code": code_sent_to(member.email).lower()})
    assert answer.status_code == 302
    assert answer["Location"] == "/"
    assert client.session["_auth_user_id"] == str(member.pk)
    assert client.session.session_key != before


def test_who_has_not_been_through_the_first_screens_is_led_there() -> None:
    newcomer = make.make_newcomer()
    assert sign_in(Client(), newcomer.email)["Location"] == "/welcome/1/"


def test_the_code_has_at_least_forty_bits_and_goes_by_the_outbox_in_the_members_language() -> None:
    member = make.make_member(language="fr")
    Client(HTTP_ACCEPT_LANGUAGE="de").post("/accounts/login/", {"login": member.email})
    mail = Mail.objects.get()
    assert (mail.to, mail.language, mail.member, mail.state) == (member.email, "fr", member, "queued")
    letters = code_sent_to(member.email).replace("-", "")
    assert 20 ** len(letters) >= 2**40
    assert code_sent_to(member.email) in mail.subject


def test_known_and_unknown_addresses_get_the_same_answer() -> None:
    known = make.make_member()
    answers = []
    for email in (known.email, "nobody@example.org"):
        client = Client()
        answer = client.post("/accounts/login/", {"login": email}, follow=True)
        seen = re.sub(r'value="[^"]{20,}"|nonce="[^"]*"', "", answer.content.decode()).replace(
            email, "ADDRESS"
        )
        answers.append((answer.redirect_chain, answer.status_code, seen))
    assert answers[0] == answers[1]
    assert Mail.objects.get(to="nobody@example.org").kind == "unknown_account"


def test_joining_twice_gives_the_same_answer_and_no_second_account() -> None:
    known = make.make_member()
    first, second = sign_up(Client(), "new@example.org"), sign_up(Client(), known.email)
    assert (first.status_code, first["Location"]) == (second.status_code, second["Location"])
    assert Member.objects.count() == 2
    assert Mail.objects.get(to=known.email).kind == "account_already_exists"


def test_five_wrong_codes_end_the_attempt_even_for_the_right_one() -> None:
    member = make.make_member()
    client = Client()
    client.post("/accounts/login/", {"login": member.email})
    right = code_sent_to(member.email)
    for _try in range(5):
        client.post("/accounts/login/code/confirm/", {"code": "BBBB-BBBB-BBBB"})
    client.post("/accounts/login/code/confirm/", {"code": right})
    assert "_auth_user_id" not in client.session


def test_a_code_is_good_in_the_browser_that_asked_for_it_only() -> None:
    member = make.make_member()
    Client().post("/accounts/login/", {"login": member.email})
    other = Client()
    other.post("/accounts/login/code/confirm/", {"code": code_sent_to(member.email)})
    assert "_auth_user_id" not in other.session


def test_signing_out_ends_the_sockets_of_this_session() -> None:
    member = make.make_member()
    client = Client()
    sign_in(client, member.email)
    client.post("/accounts/logout/")
    assert "_auth_user_id" not in client.session
    assert Entry.objects.filter(kind=Entry.Kind.SIGN_OUT, author=member).exclude(text="").count() == 1


def test_a_member_sees_their_sessions_and_ends_the_others_with_their_sockets() -> None:
    member = make.make_member()
    here, there = Client(HTTP_USER_AGENT="Firefox on a desk"), Client(HTTP_USER_AGENT="Chrome on a phone")
    sign_in(there, member.email)
    sign_in(here, member.email)
    page = here.get("/accounts/sessions/").content.decode()
    assert "Firefox on a desk" in page
    assert "Chrome on a phone" in page
    here.post("/accounts/sessions/")
    assert UserSession.objects.count() == 1
    assert here.get("/me/").status_code == 200
    assert there.get("/me/").status_code == 302
    assert Entry.objects.filter(kind=Entry.Kind.SIGN_OUT, author=member).exclude(text="").count() == 1


def test_the_address_changes_only_after_the_new_one_is_confirmed() -> None:
    member = make.make_member()
    client = Client()
    sign_in(client, member.email)
    client.post("/accounts/email/", {"email": "fresh@example.org", "action_add": ""})
    member.refresh_from_db()
    assert member.email != "fresh@example.org"
    client.post("/accounts/confirm-email/", {"code": code_sent_to("fresh@example.org")})
    member.refresh_from_db()
    assert member.email == "fresh@example.org"


@pytest.mark.parametrize(
    "page", ["/accounts/password/reset/", "/accounts/password/change/", "/accounts/password/set/"]
)
def test_there_are_no_passwords(page: str) -> None:
    assert Client().get(page).status_code == 404


def test_no_more_than_a_few_mails_a_minute_go_to_one_address(settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {}
    cache.clear()
    member = make.make_member()
    for _try in range(6):
        Client().post("/accounts/login/", {"login": member.email})
    assert 0 < Mail.objects.count() < 6
