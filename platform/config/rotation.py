"""Give secrets up for new ones, without anybody noticing: the old ones are still understood until they are retired.

A secret of the environment is the operator's to change: what to set, and in which order, is printed. One that was
made here lies in var/ and is changed in place, whole or not at all.
"""

import os
import secrets
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Count, Max
from django.db.models.functions import Coalesce
from pyrage.x25519 import Identity

from config.environment import pair_of_key
from events.models import Registration
from events.models.registration import SEATED
from events.tickets import GUARD
from realtime import clock

KEY_IDS = 256


class Refused(ValueError):
    """A secret that must not go now; the text says why."""


def kept_in_var(name: str) -> Path | None:
    """The file a secret lies in; None when it comes from the environment."""
    return None if os.environ.get(name) else Path(settings.VAR) / name.lower()


def put(path: Path, text: str) -> None:
    """Replace a file of secrets: whole or not at all, readable by its owner only."""
    number, part = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    with os.fdopen(number, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(number)
    os.replace(part, path)


def new_secret() -> str:
    """A fresh secret of 384 random bits."""
    return secrets.token_urlsafe(48)


def rotate_secret_key(*, is_stolen: bool) -> list[str]:
    """A new SECRET_KEY; the old one is understood until it is retired, unless a thief has it. Gives what is left to do."""
    fresh, path = new_secret(), kept_in_var("SECRET_KEY")
    if path is None:
        if is_stolen:
            return [
                "Set these and restart everything at once:",
                f"SECRET_KEY={fresh}",
                "SECRET_KEY_FALLBACKS=",
            ]
        return [
            "1. Let every process understand the new key: set this and restart them one by one.",
            f"SECRET_KEY_FALLBACKS={fresh}"
            + (",<what is there now>" if settings.SECRET_KEY_FALLBACKS else ""),
            "2. Sign with it: set these and restart them one by one.",
            f"SECRET_KEY={fresh}",
            "SECRET_KEY_FALLBACKS=<the SECRET_KEY of before>",
            "3. In 30 days nobody's session needs the old one: empty SECRET_KEY_FALLBACKS and restart.",
        ]
    old = path.with_name("secret_key_fallbacks")
    put(old, "" if is_stolen else ",".join([settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]))
    put(path, fresh)
    if is_stolen:
        return ["Restart now: until then the stolen key is the one in use."]
    return ["Restart. In 30 days nobody's session needs the old one: `rotate secret-key --retire`."]


def retire_secret_keys() -> list[str]:
    """What only an old SECRET_KEY has signed counts no more."""
    if kept_in_var("SECRET_KEY") is None or os.environ.get("SECRET_KEY_FALLBACKS"):
        return ["Set this and restart:", "SECRET_KEY_FALLBACKS="]
    put(Path(settings.VAR) / "secret_key_fallbacks", "")
    return ["Restart: calendar addresses made before the last rotation end here, people copy a new one."]


def rotate_ticket_keys() -> list[str]:
    """A new key signs, the others still verify. Raises Refused when there is no number left for it."""
    known = settings.TICKET_KEYS
    free = [number for number in (*range(max(known) + 1, KEY_IDS), *range(KEY_IDS)) if number not in known]
    if not free:
        raise Refused("All 256 numbers are in use: retire a key first.")
    fresh, path = (free[0], secrets.token_bytes(32)), kept_in_var("TICKET_KEYS")
    after = "Doors learn the new key when a phone opens them with a connection: do it before the next event."
    held = f"{holders(clock.now())} A key may go when its last ticket is worth nothing any more."
    if path is not None:
        put(path, ",".join(pair_of_key(*pair) for pair in [fresh, *known.items()]))
        return ["Restart.", after, held]
    return [
        "1. Let every process understand the new key: set this and restart them one by one.",
        f"TICKET_KEYS=<what is there now>,{pair_of_key(*fresh)}",
        "2. Sign with it: set this and restart them one by one.",
        f"TICKET_KEYS={pair_of_key(*fresh)},<what was there before>",
        after,
        held,
    ]


class Held:
    """How many parties may still show a ticket drawn before a moment, and until when one of them counts."""

    def __init__(self, parties: int, until: datetime | None) -> None:
        self.parties, self.until = parties, until

    def __str__(self) -> str:
        if self.until is None:
            return "Nobody holds a ticket of the old keys."
        who = "1 party" if self.parties == 1 else f"{self.parties} parties"
        return f"{who} may hold tickets of the old keys, until {self.until.date()}."


def holders(before: datetime) -> Held:
    """Who may hold a ticket drawn before that moment, for an event that is not long over. One query."""
    ends = Coalesce("event__ends_at", "event__starts_at")
    made = Registration.objects.filter(state__in=SEATED, created_at__lt=before)
    found = (
        made.alias(ends=ends).filter(ends__gt=clock.now() - GUARD).aggregate(n=Count("pk"), last=Max(ends))
    )
    return Held(found["n"], found["last"] and found["last"] + GUARD)


def retire_ticket_key(number: int, signed_until: datetime | None, *, is_stolen: bool) -> list[str]:
    """A key that verifies no more. Raises Refused for the one that signs, and while somebody may hold its tickets.

    `signed_until`: when the next key began to sign; a file of var/ knows it itself.
    """
    known, path = settings.TICKET_KEYS, kept_in_var("TICKET_KEYS")
    if number not in known:
        raise Refused(f"There is no key {number}; there are {', '.join(map(str, known))}.")
    if number == next(iter(known)):
        raise Refused(f"Key {number} signs: `rotate ticket-keys` first, so that another one does.")
    if signed_until is None and path is not None:
        signed_until = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    if signed_until is None and not is_stolen:
        raise Refused("Say with --signed-until on which day the key after it began to sign.")
    if signed_until is not None and not is_stolen and (held := holders(signed_until)).until is not None:
        raise Refused(f"{held} Retire it then; or with --stolen now, and they open their tickets anew.")
    if path is None:
        return [f"Take {number}:… out of TICKET_KEYS and restart."]
    signs_since = path.stat().st_mtime
    put(path, ",".join(pair_of_key(*pair) for pair in known.items() if pair[0] != number))
    os.utime(path, (signs_since, signs_since))  # the next one to be retired is asked about this
    return ["Restart: tickets of that key open no door any more. On everybody's ticket page is a new one."]


def rotate_backup_key() -> list[str]:
    """A new pair for backups. Needs no database: best made on another machine."""
    fresh = Identity.generate()
    return [
        "Keep this where the backups are not, and on paper; who has it reads them all:",
        str(fresh),
        "Set this where backups are made, no restart is needed:",
        f"BACKUP_KEY={fresh.to_public()}",
        "Older backups still open only with the older key: keep it as long as them.",
    ]


def rotate_metrics_token() -> list[str]:
    """A new token for /metrics."""
    return ["Set this, restart, and tell it to whoever measures:", f"METRICS_TOKEN={new_secret()}"]


def end_sessions() -> int:
    """Everybody signs in anew, and open sockets end within seconds. How many sessions ended. Two queries."""
    UserSession.objects.all().delete()
    return Session.objects.all().delete()[0]


def overview() -> list[str]:
    """Every secret of the house, where it lives, and what it is rotated by. No value is shown."""
    older = len(settings.SECRET_KEY_FALLBACKS)
    signs, *verify = settings.TICKET_KEYS
    lines = [
        ("secret-key", f"SECRET_KEY, {_where('SECRET_KEY')}; {older} older still understood"),
        (
            "ticket-keys",
            f"TICKET_KEYS, {_where('TICKET_KEYS')}; {signs} signs, {verify or 'no other'} verify",
        ),
        ("backup-key", f"BACKUP_KEY, {'set' if settings.BACKUP_KEY else 'not set: no backups'}"),
        (
            "metrics-token",
            f"METRICS_TOKEN, {'set' if settings.METRICS_TOKEN else 'not set: this machine only'}",
        ),
        ("api-tokens", "of members' programs, in the database as digests"),
        ("gates", "of phones at doors, in the database as digests"),
        ("sessions", "of everybody who is signed in, in the database"),
        ("by hand", "DATABASE_URL, REDIS_URL, EMAIL_URL: docs/operations.md, “Secrets”"),
    ]
    return [f"{name:<14} {text}" for name, text in lines]


def _where(name: str) -> str:
    return "in var/" if kept_in_var(name) else "in the environment"


def end_of(day: str) -> datetime:
    """When a day (UTC) like 2027-03-01 is over. Raises ValueError."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
