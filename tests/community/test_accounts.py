"""Arriving: sign up and in with a code, the same answer for everybody, sessions and what ends with them."""

import json
import re
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.usersessions.models import UserSession
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.cache import cache
from django.test import Client
from fido2.cose import ES256
from fido2.utils import sha256, websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from community.models import Consent, Member, Profile
from config.accounts import device_name
from realtime import clock
from realtime.models import Entry, Mail
from tests import factories as make

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"
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


def some_seconds_pass() -> None:
    """One mail in ten seconds goes to an address: forget the last one."""
    cache.clear()


def test_who_lost_the_first_code_signs_up_again_and_gets_another_one() -> None:
    first, again = Client(HTTP_ACCEPT_LANGUAGE="nl"), Client(HTTP_ACCEPT_LANGUAGE="fr")
    answers = [sign_up(first, "ana@example.org")]
    some_seconds_pass()
    answers.append(sign_up(again, "ana@example.org"))
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [
        (302, "/accounts/confirm-email/")
    ] * 2
    assert set(Mail.objects.values_list("kind", flat=True)) == {"email_confirmation_signup"}
    answer = again.post("/accounts/confirm-email/", {"code": code_sent_to("ana@example.org")}, follow=True)
    assert answer.redirect_chain[-1][0] == "/welcome/1/"
    member = Member.objects.get()
    assert (member.language, Mail.objects.latest("pk").language) == ("fr", "fr")
    assert Consent.objects.filter(member=member).count() == 3


def test_an_account_somebody_has_signed_in_to_is_not_signed_up_again() -> None:
    member = make.make_member(last_login=clock.now())
    EmailAddress.objects.update(verified=False)
    sign_up(Client(), member.email)
    assert Mail.objects.get().kind == "account_already_exists"


@pytest.mark.parametrize("known", ["confirmed", "waiting", "not at all"])
def test_the_page_after_signing_up_does_not_tell_what_is_known(known: str) -> None:
    if known == "confirmed":
        make.make_member(email="ana@example.org")
    elif known == "waiting":
        sign_up(Client(), "ana@example.org")
        some_seconds_pass()
    client = Client()
    sign_up(client, "ana@example.org")
    page = client.get("/accounts/confirm-email/").content.decode()
    fresh = Client()
    sign_up(fresh, "eva@example.org")
    other = fresh.get("/accounts/confirm-email/").content.decode().replace("eva@", "ana@")
    secrets = r'value="[^"]{20,}"|nonce="[^"]*"'
    assert re.sub(secrets, "", page) == re.sub(secrets, "", other)


@pytest.mark.parametrize("page", ["/accounts/login/", "/accounts/signup/"])
def test_the_page_with_the_code_has_our_title(page: str) -> None:
    client = Client()
    asked = {"login": "ana@example.org", "email": "ana@example.org", "is_adult": "on", "agrees": "on"}
    answer = client.post(page, asked, follow=True).content.decode()
    assert re.search(r"<title>\s*Enter the code\b", answer)
    assert "<h1>Enter the code</h1>" in answer
    assert "Email Verification" not in answer


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
    here, there = Client(HTTP_USER_AGENT=FIREFOX), Client(HTTP_USER_AGENT=CHROME)
    sign_in(there, member.email)
    sign_in(here, member.email)
    page = here.get("/accounts/sessions/").content.decode()
    assert page.index(">Chrome on Android<") < page.index(">Firefox on Windows<") < page.index("This one")
    assert page.count("This one") == 1
    here.post("/accounts/sessions/")
    assert UserSession.objects.count() == 1
    assert here.get("/me/").status_code == 200
    assert there.get("/me/").status_code == 302
    assert Entry.objects.filter(kind=Entry.Kind.SIGN_OUT, author=member).exclude(text="").count() == 1


def test_who_came_in_by_the_demos_door_is_listed_and_can_be_sent_out(settings: Any, monkeypatch: Any) -> None:
    settings.DEMO = True
    member = make.make_member()
    ana = SimpleNamespace(key="member", member=member)
    monkeypatch.setattr("config.pages.demo_people", lambda: [ana])
    here, there = Client(HTTP_USER_AGENT=FIREFOX), Client(HTTP_USER_AGENT=CHROME)
    there.post("/demo/", {"person": "member"})
    here.post("/demo/", {"person": "member"})
    assert ">Chrome on Android<" in here.get("/accounts/sessions/").content.decode()
    here.post("/accounts/sessions/")
    assert [client.get("/me/").status_code for client in (here, there)] == [200, 302]


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox on Windows"),
        (CHROME, "Chrome on Android"),
        (CHROME + " EdgA/140.0", "Edge on Android"),
        ("Mozilla/5.0 (X11; Linux x86_64) Chromium/140.0 Chrome/140.0 Safari/537.36", "Chromium on Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1",
            "Safari on iPhone",
        ),
        ("curl/8.14", "curl/8.14"),
        ("", "Unknown device"),
    ],
)
def test_a_device_has_a_name_people_know(user_agent: str, name: str) -> None:
    assert device_name(user_agent) == name


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


# Showing that it is still you


class Passkey:
    """A key in software: what a phone answers when it is asked to make a passkey."""

    def __init__(self) -> None:
        self.identity = b"a passkey"
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        self.data = AttestedCredentialData.create(
            bytes(16), self.identity, ES256.from_cryptography_key(public)
        )

    def made_for(self, options: dict[str, Any]) -> str:
        asked = options["publicKey"]
        host = asked["rp"]["id"]
        about = CollectedClientData.create("webauthn.create", asked["challenge"], f"https://{host}")
        flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV | AuthenticatorData.FLAG.AT
        proof = AuthenticatorData.create(sha256(host.encode()), flags, 0, self.data)
        answer = {
            "clientDataJSON": websafe_encode(about),
            "attestationObject": websafe_encode(AttestationObject.create("none", proof, {})),
        }
        name = websafe_encode(self.identity)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": answer})


def add_passkey(client: Client) -> Any:
    page = client.get("/accounts/2fa/webauthn/add/")
    credential = Passkey().made_for(page.context["js_data"]["creation_options"])
    form = {"name": "My phone", "passwordless": "on", "credential": credential}
    return client.post("/accounts/2fa/webauthn/add/", form, follow=True)


@pytest.fixture
def newcomer() -> Client:
    """A browser in which somebody has just signed up with a code."""
    client = Client()
    sign_up(client, "ana@example.org")
    client.post("/accounts/confirm-email/", {"code": code_sent_to("ana@example.org")})
    return client


def test_the_first_passkey_is_added_without_being_asked_for_anything_else(newcomer: Client) -> None:
    answer = add_passkey(newcomer)
    assert answer.redirect_chain == [("/accounts/2fa/", 302)]
    page = answer.content.decode()
    assert "The passkey is added." in page
    assert "Here are your new recovery codes" not in page
    assert newcomer.get("/accounts/2fa/recovery-codes/").status_code == 200


KEPT = ["/accounts/2fa/recovery-codes/", "/accounts/2fa/webauthn/add/", "/accounts/2fa/totp/activate/"]


@pytest.mark.parametrize("page", [*KEPT, "keys/{pk}/edit/", "keys/{pk}/remove/"])
def test_a_member_with_a_passkey_passes_everywhere_with_a_code_from_their_mailbox(
    newcomer: Client, page: str
) -> None:
    add_passkey(newcomer)
    key = Authenticator.objects.get(type=Authenticator.Type.WEBAUTHN)
    page = page if page.startswith("/") else f"/accounts/2fa/webauthn/{page.format(pk=key.pk)}"
    forget(newcomer)
    asked = newcomer.get(page, follow=True)
    assert asked.redirect_chain == [
        (f"/accounts/2fa/webauthn/reauthenticate/?next={quote(page, safe='')}", 302)
    ]
    words = asked.content.decode()
    assert "<h1>Confirm that it is you</h1>" in words
    assert "authenticator" not in words.replace("mfa/js", "").lower()
    by_code = f"/accounts/reauthenticate/code/?next={page}"
    assert by_code in words.replace("%2F", "/")
    assert "Send me a code" in newcomer.get(by_code).content.decode()
    sent = newcomer.post(by_code, {"action": "send", "next": page}, follow=True)
    assert "We have sent a code to ana@example.org" in sent.content.decode()
    answer = newcomer.post(by_code, {"code": code_sent_to("ana@example.org"), "next": page})
    assert (answer.status_code, answer["Location"]) == (302, page)
    assert newcomer.get(page).status_code == 200


def forget(client: Client) -> None:
    """So long ago that the site asks again."""
    session = client.session
    session.pop("account_authentication_methods", None)
    session["since"] -= 11 * 60
    session.save()


def test_a_code_to_go_on_is_good_once_and_not_after_five_wrong_ones(newcomer: Client) -> None:
    add_passkey(newcomer)
    forget(newcomer)
    page, by_code = "/accounts/2fa/recovery-codes/", "/accounts/reauthenticate/code/"
    newcomer.post(by_code, {"action": "send"})
    right = code_sent_to("ana@example.org")
    for _try in range(5):
        assert newcomer.post(by_code, {"code": "BBBB-BBBB-BBBB"}).status_code == 200
    newcomer.post(by_code, {"code": right})
    assert newcomer.get(page).status_code == 302
    newcomer.post(by_code, {"action": "send"})
    right = code_sent_to("ana@example.org")
    newcomer.post(by_code, {"code": right})
    assert newcomer.get(page).status_code == 200
    forget(newcomer)
    newcomer.post(by_code, {"code": right})
    assert newcomer.get(page).status_code == 302


def test_who_turns_on_an_authenticator_app_sees_the_codes_at_once_and_is_asked_for_its_number_later(
    newcomer: Client,
) -> None:
    secret = newcomer.get("/accounts/2fa/totp/activate/").context["form"].secret
    number = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    answer = newcomer.post("/accounts/2fa/totp/activate/", {"code": number}, follow=True)
    assert answer.redirect_chain == [("/accounts/2fa/recovery-codes/", 302)]
    forget(newcomer)
    asked = newcomer.get("/accounts/2fa/recovery-codes/", follow=True)
    assert asked.redirect_chain[-1][0].startswith("/accounts/2fa/reauthenticate/")
    assert "<h1>Confirm that it is you</h1>" in asked.content.decode()
    assert newcomer.get("/accounts/reauthenticate/code/").status_code == 302  # a mailbox is not enough here


def test_a_passkey_is_a_quicker_way_in_and_not_a_second_lock(newcomer: Client) -> None:
    add_passkey(newcomer)
    borrowed = Client()
    some_seconds_pass()
    sign_in(borrowed, "ana@example.org")
    assert borrowed.get("/me/profile/").status_code == 302  # to the first screens: she is in
    assert borrowed.get("/welcome/1/").status_code == 200


def test_who_has_an_authenticator_app_is_asked_for_it_and_may_use_a_passkey_instead(newcomer: Client) -> None:
    add_passkey(newcomer)
    key = Authenticator.objects.get(type=Authenticator.Type.WEBAUTHN)
    Authenticator.objects.create(user=key.user, type=Authenticator.Type.TOTP, data={"secret": "ABCDEFGH"})
    elsewhere = Client()
    some_seconds_pass()
    answer = sign_in(elsewhere, "ana@example.org")
    page = elsewhere.get(answer["Location"]).content.decode()
    assert re.search(r"<title>\s*Enter the code\b", page)
    assert "Use your passkey" in page
    key.delete()
    assert "Use your passkey" not in elsewhere.get(answer["Location"]).content.decode()


def test_signing_out_tells_the_browser_to_forget_what_it_kept(client: Client):
    client.force_login(make.make_member())
    answer = client.post("/accounts/logout/")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert client.get("/accounts/login/").headers.get("Clear-Site-Data") is None
