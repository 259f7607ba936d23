"""Make a backup: everything as it was at one moment, while the site goes on."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model
from pyrage import IdentityError, RecipientError
from pyrage.x25519 import Identity, Recipient

from config import archive
from realtime import clock

CHUNK = 2000
type Say = Callable[[str], None]


class WrongKey(ValueError):
    """No key to encrypt to or to open with; the text says what is wanted."""


def public_keys(text: str) -> list[Recipient]:
    """The keys to encrypt to, comma between: each one's private half opens the backup. Raises WrongKey.

    A private half is refused: whoever can read this machine must not be able to read its backups.
    """
    try:
        private = Identity.from_str(text.strip())
    except IdentityError:
        pass
    else:
        raise WrongKey(
            f"This is the private half, which belongs elsewhere. Backups need the public one: {private.to_public()}"
        )
    try:
        return [Recipient.from_str(key.strip()) for key in text.split(",")]
    except RecipientError as wrong:
        raise WrongKey(
            "BACKUP_KEY must be a public key, age1…; `manage.py rotate backup-key` makes one."
        ) from wrong


def private_key(text: str) -> Identity:
    """The key that opens a backup, out of a key file or BACKUP_KEY: the first line that is no remark. Raises WrongKey."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        return Identity.from_str(lines[0] if lines else "")
    except IdentityError as wrong:
        raise WrongKey("Opening a backup takes its private key, AGE-SECRET-KEY-1….") from wrong


def write(target: BufferedIOBase, keys: list[Recipient], say: Say) -> None:
    """Everything there is, as of one moment, encrypted into `target`. Holds 2,000 rows at a time; blocks nobody."""
    with snapshot():
        archive.write(lines(say), target, keys)


@contextmanager
def snapshot() -> Iterator[None]:
    """All reads inside see the database as it was at the first of them, and nobody who writes waits.

    On SQLite a plain BEGIN does it (the write-ahead log keeps what is being read); Django's own would take the
    place of a writer.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # a slow pipe is no fault
        yield


def lines(say: Say) -> Iterator[bytes]:
    """The lines of a backup, in order. One query a table; tells `say` how far it is."""
    yield archive.line_of(
        {
            "format": archive.FORMAT,
            "version": archive.VERSION,
            "made_at": clock.now(),
            "software": version("euregio-circles"),
            "migrations": archive.migrations(),
        }
    )
    counts: dict[str, int] = {}
    for name, model in archive.tables().items():
        yield archive.line_of({"table": name, "columns": list(archive.columns(model))})
        counts[name] = 0
        for row in rows(model):
            counts[name] += 1
            yield archive.line_of(row)
        say(f"{name}: {counts[name]}")
    files = 0
    for path in kept_files():
        for number, line in enumerate(pieces(path)):
            files += number == 0
            yield line
    say(f"files: {files}")
    yield archive.line_of({"rows": counts, "files": files})


def rows(model: type[Model]) -> Iterator[tuple[Any, ...]]:
    """Every row of a table by its key."""
    everything = model._base_manager.order_by("pk").values_list(*archive.columns(model))
    return iter(everything.iterator(chunk_size=CHUNK))


def kept_files() -> list[Path]:
    """The files people gave or asked for; one that is being written has a name of its own until it is whole."""
    folder = Path(settings.MEDIA_ROOT)
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def pieces(path: Path) -> Iterator[bytes]:
    """A file as lines, its name first; no line when it was deleted meanwhile."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        yield archive.line_of({"file": path.relative_to(settings.MEDIA_ROOT).as_posix()})
        while piece := file.read(archive.PIECE):
            yield archive.line_of([base64.b64encode(piece).decode()])
