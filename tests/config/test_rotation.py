"""Every secret can be given up: what the old one made still counts, and no more when it is retired."""

import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command, get_commands
from django.test import Client
from pyrage.x25519 import Identity, Recipient

from community import circles
from community.models import Circle, Member, SecurityRecord
from community.sign_ins import issue_token, member_for_token
from config import backup
from config.environment import older_secrets, secret, ticket_keys
from config.management.commands.rotate import Command as Rotate
from events import calendars, tickets
from events.gates import gate_for_token, open_gate, pair
from events.models import Event
from tests.factories import make_circle, make_event, make_member, make_registration

pytestmark = pytest.mark.django_db

OLD, NEW = "o" * 50, "n" * 50


@pytest.fixture(autouse=True)
def _from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are set as on a public site, whatever this machine keeps in var/."""
    monkeypatch.setenv("SECRET_KEY", OLD)
    monkeypatch.setenv("TICKET_KEYS", "set")


def rotate(*args: str) -> str:
    out = io.StringIO()
    call_command("rotate", *args, stdout=out)
    return out.getvalue()


class Signed:
    """One of everything SECRET_KEY signs, as people have it in their hands."""

    def __init__(self) -> None:
        self.member = make_member()
        make_member()
        self.client = Client()
        self.client.force_login(self.member)
        host = make_member(is_host=True)
        self.circle = make_circle(host=host, join=Circle.Join.INVITE)
        self.invitation = circles.invitation_to(self.circle)
        self.feed = calendars.feed_token(self.member)
        make_circle(host=host)
        make_circle(host=host)
        self.program = Client(headers={"Authorization": f"Bearer {issue_token(self.member, 'list')}"})
        self.next_page = self.program.get("/api/v1/circles/?limit=1").json()["next"]

    def still_counts(self) -> dict[str, bool]:
        return {
            "session": self.client.get("/me/").status_code == 200,
            "invitation": self._counts(
                lambda: circles.circle_for(self.member, self.circle.pk, invitation=self.invitation), Circle
            ),
            "calendar": self._counts(lambda: calendars.member_for_feed(self.feed), Member),
            "cursor": self.program.get(self.next_page).status_code == 200,
        }

    def _counts(self, use: Any, model: Any) -> bool:
        try:
            use()
        except model.DoesNotExist:
            return False
        return True


def test_what_the_old_secret_key_signed_counts_until_it_is_retired(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    signed = Signed()
    assert signed.next_page
    everything = dict.fromkeys(signed.still_counts(), True)
    assert signed.still_counts() == everything

    settings.SECRET_KEY_FALLBACKS = [NEW]  # step 1: the new one is understood, the old one signs
    assert signed.still_counts() == everything
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]  # step 2
    assert signed.still_counts() == everything

    settings.SECRET_KEY_FALLBACKS = []  # step 3: whoever came by meanwhile has a session of the new one
    assert signed.still_counts() == dict.fromkeys(everything, False) | {"session": True}


def test_of_two_requests_at_once_after_a_rotation_neither_loses_the_session(settings):
    """Both came with the cookie of before. Under a new key the second would find no session, and be signed out."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    one, two = Client(), Client()
    one.force_login(make_member())
    two.cookies = one.cookies.copy()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert [one.get("/me/").status_code, two.get("/me/").status_code] == [200, 200]


def test_signing_in_still_changes_the_key():
    client = Client()
    before = client.session
    before["seen"] = "anonymous"
    before.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = before.session_key
    client.force_login(make_member())
    assert client.session.session_key != before.session_key


def test_a_stolen_secret_key_ends_sessions_too(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    signed = Signed()
    settings.SECRET_KEY = NEW
    assert not any(signed.still_counts().values())


def test_an_old_ticket_opens_the_door_until_its_key_is_retired(settings):
    settings.TICKET_KEYS = {1: b"a" * 32}
    party = make_registration()
    code = tickets.code_of(party)
    settings.TICKET_KEYS = {2: b"b" * 32, 1: b"a" * 32}
    assert tickets.read(code).registration == party.pk
    assert tickets.read(tickets.code_of(party)).key_id == 2
    settings.TICKET_KEYS = {2: b"b" * 32}
    with pytest.raises(tickets.Unreadable):
        tickets.read(code)
    assert tickets.read(tickets.code_of(party)).registration == party.pk


def test_a_ticket_key_stays_while_somebody_may_hold_its_tickets(settings, clock):
    settings.TICKET_KEYS = {2: b"b" * 32, 1: b"a" * 32}
    make_registration()
    over_at = Event.objects.get().over_at
    assert over_at is not None
    with pytest.raises(CommandError, match=f"until {(over_at + tickets.GUARD).date()}"):
        rotate("ticket-keys", "--retire", "1", "--signed-until", "2027-03-02")
    assert "Take 1:… out" in rotate(
        "ticket-keys", "--retire", "1", "--signed-until", "2027-03-01"
    )  # none so old
    assert "Take 1:… out" in rotate("ticket-keys", "--retire", "1", "--stolen")
    clock.move_to(over_at + timedelta(days=31))
    assert "Take 1:… out" in rotate("ticket-keys", "--retire", "1", "--signed-until", "2027-03-02")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--retire", "2"), "Key 2 signs"),
        (("--retire", "9"), "There is no key 9; there are 2, 1"),
        (("--retire", "1"), "--signed-until"),
        (("--retire", "1", "--signed-until", "March"), "must read like"),
    ],
)
def test_a_key_that_must_stay_is_not_retired(settings, words: tuple[str, ...], why: str):
    settings.TICKET_KEYS = {2: b"b" * 32, 1: b"a" * 32}
    with pytest.raises(CommandError, match=why):
        rotate("ticket-keys", *words)


def test_secrets_of_the_environment_are_printed_in_the_order_they_are_set(settings):
    settings.SECRET_KEY_FALLBACKS = []
    _first, fallbacks, _second, key, *_rest = rotate("secret-key").splitlines()
    assert fallbacks == "SECRET_KEY_FALLBACKS=" + key.removeprefix("SECRET_KEY=")
    assert len(key) > 60
    settings.TICKET_KEYS = {255: b"b" * 32, 0: b"a" * 32}
    assert "TICKET_KEYS=<what is there now>,1:" in rotate("ticket-keys")
    settings.TICKET_KEYS = dict.fromkeys(range(256), b"b" * 32)
    with pytest.raises(CommandError, match="retire a key first"):
        rotate("ticket-keys")
    assert "SECRET_KEY_FALLBACKS=\n" in rotate("secret-key", "--retire")
    assert "METRICS_TOKEN=" in rotate("metrics-token")


def test_a_new_pair_for_backups_fits_together():
    lines = rotate("backup-key").splitlines()
    private = backup.private_key(next(line for line in lines if line.startswith("AGE-SECRET-KEY-1")))
    public = next(line for line in lines if line.startswith("BACKUP_KEY=")).removeprefix("BACKUP_KEY=")
    assert isinstance(private, Identity) and isinstance(backup.public_keys(public)[0], Recipient)
    assert str(private.to_public()) == public


def test_the_overview_names_every_secret_and_shows_none(settings):
    settings.SECRET_KEY_FALLBACKS = ["f" * 50]
    shown = rotate()
    for word in (
        "secret-key",
        "ticket-keys",
        "backup-key",
        "metrics-token",
        "api-tokens",
        "gates",
        "sessions",
    ):
        assert word in shown
    assert settings.SECRET_KEY not in shown and "f" * 50 not in shown
    assert not any(key.hex() in shown for key in settings.TICKET_KEYS.values())


def test_tokens_of_one_member_or_of_all_are_revoked():
    first, second = make_member(), make_member()
    mine, theirs = [issue_token(first, "a"), issue_token(first, "b")], issue_token(second, "c")
    assert rotate("api-tokens", "--member", first.email.upper()).startswith("2 tokens")
    assert [member_for_token(token) for token in (*mine, theirs)] == [None, None, second]
    assert rotate("api-tokens", "--all").startswith("1 tokens")
    assert member_for_token(theirs) is None
    assert SecurityRecord.objects.filter(action="token_revoked", subject=first).exists()
    with pytest.raises(CommandError, match="no member"):
        rotate("api-tokens", "--member", "nobody@example.org")


def test_phones_of_one_event_or_of_all_are_closed():
    host = make_member(is_host=True)
    events = [make_event(host=host) for _ in range(2)]
    tokens = [open_gate(pair(host, event.pk))[1] for event in events]
    waiting = pair(host, events[0].pk)
    assert rotate("gates", "--event", events[0].public_id).startswith("1 phones")
    assert [gate_for_token(token) is None for token in tokens] == [True, False]
    with pytest.raises(Exception, match="used or is too old"):
        open_gate(waiting)
    assert rotate("gates", "--all").startswith("1 phones")
    assert gate_for_token(tokens[1]) is None
    with pytest.raises(CommandError, match="no event"):
        rotate("gates", "--event", "nonsense")


def test_the_sessions_of_one_member_or_of_all_end():
    first, second = (make_member() for _ in range(2))
    clients = {member: Client() for member in (first, second)}
    for member, client in clients.items():
        client.force_login(member)
    assert "signs in anew" in rotate("sessions", "--member", first.email)
    assert {who: client.get("/me/").status_code for who, client in clients.items()} == {
        first: 302,
        second: 200,
    }
    assert rotate("sessions", "--all").endswith("sessions ended.\n")
    assert not Session.objects.exists() and clients[second].get("/me/").status_code == 302


def test_the_paper_for_operators_names_every_secret_and_only_commands_that_there_are():
    paper = (settings.ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (words,) = [
        action.choices
        for action in Rotate().create_parser("", "rotate")._actions
        if isinstance(action.choices, dict)
    ]
    assert {word for word in words if f"M rotate {word}" not in paper} == set()
    named = set(re.findall(r"\bM ([a-z_]+)", paper))
    assert named <= set(get_commands()) and {"backup", "restore", "rotate", "new_epoch"} <= named


class Machine:
    """A private machine whose secrets lie in a var/ of its own; `restart` reads them as a start does."""

    def __init__(self, var: Path, settings: Any) -> None:
        self.var, self.settings = var, settings
        settings.VAR = var
        self.restart()

    def restart(self) -> tuple[str, list[str], list[int]]:
        self.settings.SECRET_KEY = secret("SECRET_KEY", self.var, may_make=True)
        self.settings.SECRET_KEY_FALLBACKS = older_secrets(self.var)
        self.settings.TICKET_KEYS = ticket_keys(self.var, may_make=True)
        return self.settings.SECRET_KEY, self.settings.SECRET_KEY_FALLBACKS, list(self.settings.TICKET_KEYS)


@pytest.fixture
def machine(tmp_path, settings, monkeypatch) -> Machine:
    for name in ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "TICKET_KEYS"):
        monkeypatch.delenv(name, raising=False)
    return Machine(tmp_path, settings)


def test_secret_keys_in_var_are_changed_in_place(machine):
    first, older, _ids = machine.restart()
    assert older == []
    assert "Restart" in rotate("secret-key")
    second, older, _ids = machine.restart()
    assert second != first and older == [first]
    rotate("secret-key")
    third, older, _ids = machine.restart()
    assert older == [second, first]
    assert "calendar addresses" in rotate("secret-key", "--retire")
    assert machine.restart()[:2] == (third, [])
    rotate("secret-key", "--stolen")
    fourth, older, _ids = machine.restart()
    assert fourth != third and older == []
    assert sorted(path.name for path in machine.var.iterdir()) == [
        *["secret_key", "secret_key_fallbacks", "ticket_keys"]
    ]
    assert {path.stat().st_mode & 0o777 for path in machine.var.iterdir()} == {0o600}


def test_ticket_keys_in_var_know_since_when_the_first_one_signs(machine):
    code = tickets.code_of(make_registration())
    assert "1 party may hold" in rotate("ticket-keys")
    assert machine.restart()[2] == [2, 1]
    assert tickets.read(code).key_id == 1
    changed = (machine.var / "ticket_keys").stat().st_mtime
    with pytest.raises(CommandError, match="1 party may hold"):
        rotate("ticket-keys", "--retire", "1")
    assert "open no door" in rotate("ticket-keys", "--retire", "1", "--stolen")
    assert machine.restart()[2] == [2]
    with pytest.raises(tickets.Unreadable):
        tickets.read(code)
    assert (machine.var / "ticket_keys").stat().st_mtime == changed
    assert (machine.var / "ticket_keys").stat().st_mode & 0o777 == 0o600
