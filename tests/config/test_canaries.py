"""Nothing of a person reaches a log or an error page: no code, token, text, address or place, whatever happens."""

import logging
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from community import exports, households, privacy, sign_ins
from community.models import Member
from config import jobs, logs
from config.sqlite.base import truncate_log
from events import calendars, gates
from events.registration import Person, register
from realtime import chat, notify
from realtime.models import Mail
from tests.events.doors import code as ticket_code
from tests.factories import make_client, make_event, make_member, make_place, make_room

pytestmark = pytest.mark.django_db
ADDRESS = "canary.zq1@example.org"
NAME, WORDS, GUEST, ABOUT = "Zqname Canary", "zqwords that were said", "Zqguest", "zqabout me"


class Log(logging.Handler):
    """Every line of every logger, written as it is in production."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log(settings: Any) -> Iterator[Log]:
    """As with LOG_LEVEL=DEBUG on a public site: the root at DEBUG, each logger that has its own level at that."""
    settings.DEMO = settings.DEBUG = False
    heard = Log(logs.line_formatter())
    root, security = logging.getLogger(), logging.getLogger("security")
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(heard)
    security.addHandler(heard)
    yield heard
    root.removeHandler(heard)
    security.removeHandler(heard)
    root.setLevel(before)


def place(name: str) -> Any:
    """A town nobody else has, so that its name in a log can only be this member's."""
    return make_place(name, population=1)


@pytest.fixture
def member() -> Member:
    return make_member(
        email=ADDRESS, display_name=NAME, about=ABOUT, lives=place("Zqhome"), works=place("Zqwork")
    )


def sign_up(canaries: list[str]) -> None:
    """With a code that is typed wrong once, and then right."""
    browser, address = Client(), "canary.zq2@example.org"
    browser.post("/accounts/signup/", {"email": address, "is_adult": "on", "agrees": "on"})
    found = re.search(r"\b[A-Z0-9]{4}(?:-[A-Z0-9]{4})+\b", Mail.objects.get(to=address).text)
    assert found
    browser.post("/accounts/confirm-email/", {"code": "AAAA-AAAA-AAAA"})
    browser.post("/accounts/confirm-email/", {"code": found.group()})
    canaries += [address, found.group(), "AAAA-AAAA-AAAA"]


def use_everything(member: Member, canaries: list[str]) -> None:
    """Pages, API, talk, a party, a ticket, a feed, an export; right and wrong input."""
    browser = make_client(member)
    event = make_event(title="Zqtitle")
    made = register(member, event.pk, [Person(), Person(name=GUEST)])
    room = make_room(member)
    chat.post(member, room.pk, WORDS, uuid.uuid4())
    token, feed = sign_ins.issue_token(member, "zqprogram"), calendars.feed_token(member)
    pairing = gates.pair(event.host, event.pk)
    households.invite(member, "canary.zq3@example.org")
    for path in (
        "/",
        "/me/",
        "/me/profile/",
        "/me/data/",
        "/chat/",
        f"/chat/{room.public_id}/",
        "/events/mine/",
    ):
        assert browser.get(path).status_code == 200, path
    browser.get(f"/registrations/{made.public_id}/")
    browser.post(f"/chat/{room.public_id}/", {"text": WORDS, "key": str(uuid.uuid4())})
    browser.post("/me/profile/", {"display_name": NAME, "about": ABOUT * 300, "lives": "Zqnowhere"})
    browser.get("/events/", {"q": "zqsearched", "near": "Zqhome"})
    browser.get("/accounts/2fa/webauthn/add/")
    browser.get(f"/calendar/{feed}.ics")
    browser.get(f"/calendar/{feed}x.ics")
    program = Client(HTTP_AUTHORIZATION=f"Bearer {token}")
    program.get("/api/v1/me/")
    program.patch("/api/v1/me/", {"about": ABOUT, "lives": "Zqnowhere"}, content_type="application/json")
    Client(HTTP_AUTHORIZATION=f"Bearer {token}x").get("/api/v1/me/")
    browser.post("/api/v1/gates/", {"pairing": pairing}, content_type="application/json")
    ticket = ticket_code(made)
    browser.post("/api/v1/check-ins/", {"scans": [{"code": ticket}]}, content_type="application/json")
    exports.ask(member)
    canaries += [
        token,
        feed,
        pairing,
        ticket,
        "zqsearched",
        "Zqnowhere",
        "canary.zq3@example.org",
        "zqprogram",
    ]


def test_no_log_line_holds_anything_of_a_person(log: Log, member: Member, committed: Any):
    canaries = [ADDRESS, NAME, WORDS, GUEST, ABOUT, "Zqhome", "Zqwork"]
    with committed():
        sign_up(canaries)
        use_everything(member, canaries)
        for sweep in jobs.table():
            if sweep.work is not truncate_log:  # which needs to be outside of any transaction
                sweep.work()
        privacy.ask_erasure(member)
        privacy.erase(member.pk)
    assert log.lines, "nothing was logged at all"
    assert held(log, canaries) == []


def held(log: Log, canaries: list[str]) -> list[str]:
    return [
        f"{canary} in {line[:300]}"
        for line in log.lines
        for canary in canaries
        if canary.lower() in line.lower()
    ]


class Fault(Exception):
    """Of ours."""


def test_a_fault_is_logged_and_shown_without_what_its_code_had_in_hand(
    log: Log, member: Member, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    """Local variables, the form that was sent, cookies and headers stay out of the log and of the page."""

    def broken(*_args: object, **_given: object) -> None:
        secret_words, secret_place = WORDS, "Zqhome"
        assert secret_words and secret_place
        raise Fault("a step was missing")

    monkeypatch.setattr(chat, "post", broken)
    browser = make_client(member)
    browser.raise_request_exception = False
    room = make_room(member)
    answer = browser.post(f"/chat/{room.public_id}/?about=zqquery", {"text": WORDS, "key": str(uuid.uuid4())})
    assert answer.status_code == 500
    session = browser.cookies[settings.SESSION_COOKIE_NAME].value
    canaries = [WORDS, "Zqhome", ADDRESS, NAME, session]
    assert any("a step was missing" in line for line in log.lines), "the fault itself must be in the log"
    assert held(log, [*canaries, "zqquery"]) == []
    page = answer.content.decode()
    assert [canary for canary in [*canaries, "a step was missing", "Traceback"] if canary in page] == []


def test_a_mail_that_is_refused_is_tried_again_and_named_nowhere(log: Log, monkeypatch: pytest.MonkeyPatch):
    notify.mail_rendered("hello", to=ADDRESS, language="en", claim="c", words=(WORDS, WORDS))

    def refuses(_row: Mail) -> Any:
        raise ConnectionError(f"550 no such mailbox: {ADDRESS}")

    monkeypatch.setattr(notify, "_message", refuses)
    monkeypatch.setattr("django.conf.settings.MAIL_GOES_OUT", True)
    notify.send_due()
    assert Mail.objects.get().state == "queued"
    assert held(log, [ADDRESS, WORDS]) == []


def test_a_fault_of_a_feed_does_not_name_its_key(log: Log, member: Member, monkeypatch: pytest.MonkeyPatch):
    """The address of a calendar is its key, and Django names the address of a request that failed."""

    def broken(_member: Member) -> bytes:
        raise Fault("a step was missing")

    monkeypatch.setattr(calendars, "of_member", broken)
    browser = Client(raise_request_exception=False)
    assert browser.get(f"/calendar/{calendars.feed_token(member)}.ics").status_code == 500
    assert any("a step was missing" in line for line in log.lines)
    assert held(log, [calendars.feed_token(member), calendars.feed_token(member).partition(":")[2]]) == []


def test_the_watch_sees_a_canary(log: Log):
    logging.getLogger("anything").debug("somebody wrote %s", WORDS)
    assert held(log, [WORDS])
