"""The form of a backup: every row of the site as lines of JSON, gzipped, encrypted with age (age-encryption.org/v1).

The first line says what it is, then each table names its columns and its rows follow, a line each; files of people
follow in pieces; the last line counts and sums up. It is the same for SQLite and PostgreSQL, so that one can be
restored into the other, and age and zcat alone can read it. age encrypts to a public key: the machine that makes
backups cannot read them, and no byte can be changed, cut off or put behind without being noticed.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Buffer, Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pyrage
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Field, JSONField, Model
from django.utils.duration import duration_iso_string

from community.models import Export, ExportPart

FORMAT, VERSION = "euregio-circles backup", 1
# Who is signed in, and copies made for members to take away: of no use later, but for a thief.
LEFT_OUT = {Session, UserSession, Export, ExportPart}
PIECE = 1 << 18
GZIP = 31  # zlib's word for a gzip header

type Column = Field[Any, Any]


class Unusable(Exception):
    """The file cannot be restored, or not here; the text says why, in one line."""


def tables() -> dict[str, type[Model]]:
    """Every table a backup holds, by name: those between two models too."""
    models = apps.get_models(include_auto_created=True)
    kept = [model for model in models if model._meta.managed and not model._meta.proxy]
    return {model._meta.label: model for model in kept if model not in LEFT_OUT}


def columns(model: type[Model]) -> dict[str, Column]:
    """The columns of a table that are written, by name; what the database computes itself is not."""
    return {field.attname: field for field in model._meta.local_concrete_fields if not field.generated}


def migrations() -> list[str]:
    """The migrations this database has: only a database with the same can take its rows. One query."""
    return sorted(".".join(key) for key in MigrationRecorder(connection).applied_migrations())


def line_of(content: Any) -> bytes:
    """Anything a column or this format holds as one line."""
    return json.dumps(content, default=plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def plain(value: Any) -> str:
    """A value JSON has no form for as text, to the microsecond and the last digit."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return duration_iso_string(value)
        case UUID() | Decimal():
            return str(value)
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
    raise TypeError(f"A backup has no form for {type(value).__name__}.")


def value_of(field: Column, value: Any) -> Any:
    """The value of a column, from what JSON made of it."""
    return value if isinstance(field, JSONField) else field.to_python(value)


class Pull(BufferedIOBase):
    """Chunks of bytes as a file to be read, each made when it is asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int | None = -1, /) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        size = len(self._rest) if size is None or size < 0 else size
        part, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return part


def write(lines: Iterator[bytes], target: BufferedIOBase, keys: list[pyrage.x25519.Recipient]) -> None:
    """Zip and encrypt the lines into `target`, without ever holding more than a piece of them.

    Whatever goes wrong on the way, age says it in its own pyrage.EncryptError.
    """
    pyrage.encrypt_io(Pull(_zipped(lines)), target, keys)


def _zipped(lines: Iterator[bytes]) -> Iterator[bytes]:
    zipper, digest = zlib.compressobj(6, wbits=GZIP), hashlib.sha256()
    for line in lines:
        digest.update(line)
        if zipped := zipper.compress(line):
            yield zipped
    yield zipper.compress(line_of({"sha256": digest.hexdigest()})) + zipper.flush()


class Push(BufferedIOBase):
    """A file to be written to, that unzips and hands on each whole line but the last: that one is the sum."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        super().__init__()
        self._take = take
        self._unzip = zlib.decompressobj(wbits=GZIP)
        self._digest = hashlib.sha256()
        self._rest = b""
        self._held: bytes | None = None  # the newest line, until another one follows

    def write(self, data: Buffer, /) -> int:
        rest = bytes(data)
        while rest:  # a piece at a time, however much a few bytes unfold to
            self._lines(self._unzip.decompress(rest, PIECE))
            rest = self._unzip.unconsumed_tail
            if self._unzip.eof:
                break
        return len(bytes(data))

    def _lines(self, text: bytes) -> None:
        *whole, self._rest = (self._rest + text).split(b"\n")
        for line in whole:
            if self._held is not None:
                self._digest.update(self._held + b"\n")
                self._take(json.loads(self._held))
            self._held = line

    def end(self) -> str:
        """The digest of everything read. Raises Unusable when something is missing or differs."""
        self._lines(self._unzip.flush())
        is_whole = self._unzip.eof and not self._unzip.unused_data and not self._rest
        if not is_whole or self._held != line_of({"sha256": self._digest.hexdigest()}).rstrip(b"\n"):
            raise Unusable("The backup is damaged: its sum does not fit its content.")
        return self._digest.hexdigest()


def read(source: BufferedIOBase, key: pyrage.x25519.Identity, take: Callable[[Any], None]) -> str:
    """Hand each line of a backup to `take`; gives the digest of them all.

    Only when it returns is everything known to be as it was written. Raises Unusable.
    """
    push = Push(take)
    try:
        pyrage.decrypt_io(source, push, [key])
    except pyrage.DecryptError as wrong:
        if "No matching keys" in str(wrong):
            raise Unusable("This key does not open the backup: it was made for another one.") from wrong
        raise Unusable("The file is no backup, or its beginning is lost.") from wrong
    except (OSError, zlib.error, ValueError) as wrong:
        if isinstance(wrong, OSError) and wrong.errno is not None:
            raise  # the disk's word, not age's
        raise Unusable("The backup is damaged: it was cut off or changed.") from wrong
    return push.end()


def inside(name: str) -> Path:
    """The path of a kept file below its folder. Raises Unusable for a name that would lead out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise Unusable(f"The backup names a file outside its folder: {name!r}.")
    return Path(path)
