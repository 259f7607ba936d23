"""Bring a backup back: all of it or nothing, and nothing of it that must not live again.

The whole file is read and checked before anything is touched; then it replaces every row in one transaction, so
that a restore that is killed leaves what was there. Who was erased since is erased again before anybody can look,
what was taken back (tokens, gates, roles, addresses) stays taken back, everybody signs in anew, and the site begins a new epoch.
"""

import base64
import shutil
from collections.abc import Collection, Iterable
from datetime import datetime
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.models import Model
from pyrage.x25519 import Identity

from community import privacy
from community.models import ApiToken, Centre, Erasure, Member
from config import archive, taken_back
from config.archive import Column, Unusable
from config.backup import Say
from events.models import Gate
from realtime import clock, rooms
from realtime.models import Mail

CHUNK = 1000
type Row = list[Any]


class Check:
    """Takes the lines of a backup and says whether they are whole and fit this house. Changes nothing."""

    def __init__(self) -> None:
        self.made_at = ""
        self._tables = archive.tables()
        self._counts: dict[str, int] = {}
        self._files = 0
        self._width: int | None = None  # of the rows that follow; None: pieces of a file
        self._is_over = False

    def __call__(self, line: Any) -> None:
        match line:
            case _ if self._is_over:
                raise Unusable("The backup goes on after its end.")
            case {"format": archive.FORMAT, "version": int(number), "migrations": list(known)} if (
                not self.made_at
            ):
                self.made_at = str(line["made_at"])
                self.header(number, line.get("software"), known)
            case {"table": str(name), "columns": list(names)} if self.made_at:
                self.table(name, names)
            case {"file": str(name)} if self.made_at:
                self.file(archive.inside(name))
            case {"rows": dict(counts), "files": int(files)} if self.made_at:
                self.over(counts, files)
            case list(row) if self._counts or self._files:
                self.row(row)
            case _:
                raise Unusable("The file is no backup of this software.")

    def header(self, number: int, software: Any, known: list[str]) -> None:
        if number != archive.VERSION:
            raise Unusable(f"The backup has form {number}, this version reads form {archive.VERSION}.")
        here = archive.migrations()
        if known == here:
            return
        differs = sorted(set(known) ^ set(here))
        raise Unusable(
            f"The backup was made by version {software} with other migrations ({', '.join(differs[:5])}): "
            "install that version and migrate, restore, then upgrade."
        )

    def table(self, name: str, names: list[str]) -> None:
        model = self._tables.get(name)
        if model is None or name in self._counts or names != list(archive.columns(model)):
            raise Unusable(f"The backup's table {name} is not the one this version knows.")
        self._counts[name] = 0
        self._width = len(names)

    def row(self, row: Row) -> None:
        if self._width is None:
            return
        if len(row) != self._width:
            raise Unusable("A row of the backup has too few or too many columns.")
        self._counts[next(reversed(self._counts))] += 1

    def file(self, path: Path) -> None:
        self._files += 1
        self._width = None

    def over(self, counts: dict[str, int], files: int) -> None:
        if counts != self._counts or set(counts) != set(self._tables) or files != self._files:
            raise Unusable("The backup is incomplete: what it counts is not what it holds.")
        self._is_over = True

    def end(self) -> None:
        """Raises Unusable when the last line has not come."""
        if not self._is_over:
            raise Unusable("The backup is incomplete: its last line is missing.")


class Load(Check):
    """Takes the same lines and writes the rows, and the files into a folder beside the present one."""

    def __init__(self, folder: Path, say: Say) -> None:
        super().__init__()
        self._folder, self._say = folder, say
        self._model: type[Model] | None = None
        self._fields: dict[str, Column] = {}
        self._rows: list[Model] = []
        self._path: Path | None = None

    def table(self, name: str, names: list[str]) -> None:
        super().table(name, names)
        self._flush()
        self._model = self._tables[name]
        self._fields = archive.columns(self._model)
        self._say(name)

    def row(self, row: Row) -> None:
        super().row(row)
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(base64.b64decode(row[0]))
        elif self._model is not None:
            pairs = zip(self._fields.items(), row, strict=True)
            values = {name: archive.value_of(field, value) for (name, field), value in pairs}
            self._rows.append(self._model(**values))
            if len(self._rows) == CHUNK:
                self._flush()

    def file(self, path: Path) -> None:
        super().file(path)
        self._flush()
        self._path = self._folder / path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600, exist_ok=False)

    def over(self, counts: dict[str, int], files: int) -> None:
        super().over(counts, files)
        self._flush()

    def _flush(self) -> None:
        if self._model is not None and self._rows:
            self._model._base_manager.bulk_create(self._rows)
        self._rows = []


def is_inhabited() -> bool:
    """Whether there is anything a restore would destroy: what migrations bring is nothing. Two queries."""
    return Member.objects.exists() or Centre.objects.exists()


def check(source: BufferedIOBase, key: Identity) -> str:
    """Read a whole backup without touching anything; gives its digest. Raises Unusable."""
    reader = Check()
    digest = archive.read(source, key, reader)
    reader.end()
    return digest


def restore(
    source: BufferedIOBase, key: Identity, *, erased: Collection[int] = (), send_queued: bool, say: Say
) -> int:
    """Replace everything by the backup; gives the new epoch. Raises Unusable, and then nothing is changed.

    `erased`: numbers of members who must not come back, besides those this database knows of.
    Holds 1,000 rows at a time. Nobody else may be at work meanwhile: on PostgreSQL it waits 3 s for them.
    """
    say("checking")
    digest = check(source, key)
    source.seek(0)
    media = Path(settings.MEDIA_ROOT)
    fresh = media.with_name(f"{media.name}.restored")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    try:
        with transaction.atomic():
            above, tokens, gates = rooms.epoch(), revoked_tokens(), closed_gates()
            asked = list(Erasure.objects.all()) if is_inhabited() else None
            rights = taken_back.rights() if is_inhabited() else None
            empty()
            if archive.read(source, key, Load(fresh, say)) != digest:
                raise Unusable("The backup changed while it was read.")
            reset_sequences()
            take_back(tokens, gates)
            if rights is not None:
                taken_back.keep(rights)
            erase_again(asked, erased, say)
            if not send_queued:
                drop_mail()
            epoch = rooms.new_epoch(above)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    finally:
        ContentType.objects.clear_cache()
    put_in_place(fresh, media)
    return epoch


def empty() -> None:
    """Every row of every table, and everybody's session, is gone when the transaction is."""
    if connection.vendor == "postgresql":
        run(["SET LOCAL idle_in_transaction_session_timeout = 0"])
    models: list[type[Model]] = [*archive.tables().values(), *archive.LEFT_OUT]
    run(connection.ops.sql_flush(no_style(), [model._meta.db_table for model in models]))


def reset_sequences() -> None:
    """The next row of each table gets a number nobody has. SQLite sees to that itself."""
    run(connection.ops.sequence_reset_sql(no_style(), list(archive.tables().values())))


def run(statements: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def revoked_tokens() -> dict[str, datetime | None]:
    """The API tokens this database knows to be revoked, and since when. One query."""
    return dict(ApiToken.objects.exclude(revoked_at=None).values_list("digest", "revoked_at"))


def closed_gates() -> dict[int, datetime | None]:
    """The door devices this database knows to be closed. One query."""
    return dict(Gate.objects.exclude(closed_at=None).values_list("pk", "closed_at"))


def take_back(tokens: dict[str, datetime | None], gates: dict[int, datetime | None]) -> None:
    """What was revoked or closed after the backup opens nothing again. One query for each that is open in it."""
    for digest, moment in tokens.items():
        ApiToken.objects.filter(digest=digest, revoked_at=None).update(revoked_at=moment)
    for pk, moment in gates.items():
        Gate.objects.filter(pk=pk, closed_at=None).update(closed_at=moment)


def erase_again(asked: list[Erasure] | None, erased: Collection[int], say: Say) -> None:
    """Forget once more whoever was erased after the backup, and keep what was asked for since.

    `asked` is what the replaced database knew; None: it was empty. A wish that only the backup knows was taken back
    since, or that database was older: it is due anew in 14 days, with a mail before that says how to stay.
    """
    gone = set(erased)
    if asked is not None:
        known = [erasure.member_id for erasure in asked]
        Erasure.objects.filter(member_id__in=known).delete()
        Erasure.objects.filter(done_at=None).update(due_at=clock.now() + privacy.GRACE, reminded_at=None)
        for erasure in asked:
            erasure.pk = None
        Erasure.objects.bulk_create(asked)
        gone |= {erasure.member_id for erasure in asked if erasure.done_at}
    for member_id in gone:
        privacy.erase(member_id)
    say(f"erased again: {len(gone)}")


def drop_mail() -> int:
    """Mail that was waiting when the backup was made was most likely sent since: it is not sent again. One query."""
    waiting = Mail.objects.filter(state__in=[Mail.State.QUEUED, Mail.State.SENDING])
    return waiting.update(state=Mail.State.DROPPED, error="restored from a backup")


def put_in_place(fresh: Path, media: Path) -> None:
    """The restored files become the files. What was there before goes: it may be of people who were erased."""
    old = media.with_name(f"{media.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if media.exists():
        media.rename(old)
    fresh.rename(media)
    shutil.rmtree(old, ignore_errors=True)
