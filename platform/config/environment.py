"""Reads the environment for settings.py: each function one value, its default, and when to refuse the start."""

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SHORTEST_SECRET = 32  # characters, where the public can reach the site


class Refuse(ImproperlyConfigured):
    """The environment cannot be right: the start stops with this one line."""


def flag(name: str, *, default: bool = False) -> bool:
    """An environment switch: 1, true, yes or on; unset gives the default."""
    value = os.environ.get(name, "").strip().lower()
    return value in {"1", "true", "yes", "on"} if value else default


def whole_number(name: str, default: int) -> int:
    """A number of the environment. Raises Refuse for anything else."""
    value = os.environ.get(name, "").strip()
    if value and not value.isdecimal():
        raise Refuse(f"{name} must be a whole number, not “{value}”.")
    return int(value) if value else default


def _kept(path: Path, make: Any) -> str:
    """A secret made once and kept in a file only its owner may read. Two first starts at once agree on one."""
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(make())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()


def secret(name: str, var: Path, *, may_make: bool) -> str:
    """A secret of the environment; on a private machine made once and kept in var/. Raises Refuse elsewhere."""
    value = os.environ.get(name, "")
    if value and not may_make and len(value) < SHORTEST_SECRET:
        raise Refuse(f"{name} is too short to keep anything secret: {SHORTEST_SECRET} characters at least.")
    if value:
        return value
    if not may_make:
        raise Refuse(f"{name} is not set. A public address needs its own: set it and start again.")
    return _kept(var / name.lower(), lambda: secrets.token_urlsafe(48))


def older_secrets(var: Path) -> list[str]:
    """SECRET_KEY_FALLBACKS, comma between: what was SECRET_KEY before and is still understood. In var/, if that is there."""
    kept = var / "secret_key_fallbacks"
    text = os.environ.get("SECRET_KEY_FALLBACKS", "")
    if not text and not os.environ.get("SECRET_KEY") and kept.exists():
        text = kept.read_text()
    return [key.strip() for key in text.split(",") if key.strip()]


def pair_of_key(number: int, key: bytes) -> str:
    """A ticket key as TICKET_KEYS spells it."""
    return f"{number}:{key.hex()}"


def ticket_keys(var: Path, *, may_make: bool) -> dict[int, bytes]:
    """TICKET_KEYS (`id:hex,…`, the first signs) as {key id 0..255: 32 bytes}, in order. Raises Refuse."""
    text = secret("TICKET_KEYS", var, may_make=True) if os.environ.get("TICKET_KEYS") else ""
    if not text:
        if not may_make:
            raise Refuse("TICKET_KEYS is not set. A public address needs its own: set it and start again.")
        text = _kept(var / "ticket_keys", lambda: pair_of_key(1, secrets.token_bytes(32)))
    try:
        keys = {
            int(number): bytes.fromhex(key) for number, key in (pair.split(":") for pair in text.split(","))
        }
    except ValueError as wrong:
        raise Refuse(
            "TICKET_KEYS must read id:hex,id:hex with ids from 0 to 255 and 32 bytes each."
        ) from wrong
    if not all(0 <= number < 256 and len(key) == 32 for number, key in keys.items()):
        raise Refuse("TICKET_KEYS must read id:hex,id:hex with ids from 0 to 255 and 32 bytes each.")
    return keys


def database(var: Path) -> dict[str, Any]:
    """DATABASE_URL (postgres://user:password@host:port/name) as Django's dict; unset: SQLite in var/."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        return {
            "ENGINE": "config.sqlite",
            "NAME": str(var / "circles.sqlite3"),
            "TEST": {"NAME": str(var / "test.sqlite3")},
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;PRAGMA secure_delete=ON;"
                "PRAGMA mmap_size=134217728;PRAGMA journal_size_limit=27103364;PRAGMA cache_size=-20000;PRAGMA temp_store=MEMORY",
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise Refuse("DATABASE_URL must begin with postgres://; leave it unset for SQLite.")
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    options["pool"] = {"min_size": 1, "max_size": whole_number("DATABASE_POOL", 8), "timeout": 30}
    options["prepare_threshold"] = (
        5  # of what is written once (realtime/prepared.py, statements.py): what the ORM writes anew never is
    )
    # What is prepared (realtime/prepared.py) is planned once a connection: planning takes longer than answering.
    options["options"] = (
        "-c lock_timeout=3000 -c idle_in_transaction_session_timeout=3000 -c plan_cache_mode=force_generic_plan"
    )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # for eighty choices of a form they cost three round trips more
    }


def mailer() -> dict[str, Any]:
    """EMAIL_URL (smtp://user:password@host:587, smtps://… or file:///folder) as a mailer; unset: nothing leaves."""
    parts = urlsplit(os.environ.get("EMAIL_URL", "dummy:"))
    match parts.scheme:
        case "dummy":
            return {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
        case "file":
            return {
                "BACKEND": "django.core.mail.backends.filebased.EmailBackend",
                "OPTIONS": {"file_path": parts.path},
            }
        case "smtp" | "smtps":
            options = {
                "host": parts.hostname,
                "port": parts.port or (465 if parts.scheme == "smtps" else 587),
                "username": unquote(parts.username or ""),
                "password": unquote(parts.password or ""),
                "use_tls": parts.scheme == "smtp" and parts.hostname not in {"localhost", "127.0.0.1"},
                "use_ssl": parts.scheme == "smtps",
                "timeout": 20,
            }
            return {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}
    raise Refuse("EMAIL_URL must begin with smtp://, smtps:// or file://.")
