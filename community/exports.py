"""A copy of everything: asked for, made by the sweep from the registry of personal fields, kept for a week.

The file is a zip with the same facts twice: data.json for programs, data.html to read. It is stored in pieces in
the database: each process finds it there, erasing its member takes it along, and no piece is larger than memory
should hold, whatever somebody has written here.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import F, Q
from django.utils import translation
from django.utils.html import format_html
from django.utils.translation import gettext as _

from community import audit, personal_fields
from community.models import Export, ExportPart, Member
from community.personal_fields import Table
from realtime import clock

KEPT_FOR = timedelta(days=7)
FRESH_FOR = timedelta(hours=1)  # asked again within it, the copy there is serves
IN_DOUBT_AFTER = timedelta(minutes=15)  # the process that made it has died
MAX_TRIES = 3
PART_BYTES = 262_144
CHUNK = 1_000  # rows read at once
TOLD_EVERY = 500  # rows between two words about the progress
State = Export.State
STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "dl{display:grid;grid-template-columns:12rem 1fr;gap:.2rem 1rem;border-top:1px solid #ccc;padding:.5rem 0;margin:0}"
    "dt{color:#555}dd{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}"
)


@transaction.atomic
def ask(member: Member, language: str = "") -> Export:
    """Ask for a copy. One at a time: while one is under way, or fresh, it is that one. Idempotent.

    It is on record in the security log that a copy was asked for.
    """
    Member.objects.select_for_update().only("pk").get(pk=member.pk)
    live = Export.objects.filter(member=member).exclude(state=State.FAILED)
    known = live.first()
    if known is not None and (known.done_at is None or known.done_at > clock.now() - FRESH_FOR):
        return known
    live.delete()
    audit.record(audit.Action.EXPORTED, actor=member)
    return Export.objects.create(member=member, language=language or member.language)


def of(member: Member) -> Export | None:
    """The member's newest copy, whatever its state. One query."""
    return Export.objects.filter(member=member).order_by("-asked_at").first()


def export_for(member: Member, export_id: int) -> Export:
    """The member's own copy. Raises Export.DoesNotExist: not there and not yours look alike. One query."""
    return Export.objects.get(pk=export_id, member=member)


def content(export: Export) -> Iterator[bytes]:
    """The file, piece by piece."""
    for data in export.parts.order_by("number").values_list("data", flat=True).iterator(1):
        yield bytes(data)


def make_due(limit: int = 5) -> int:
    """The sweep: make the copies that were asked for. Any number may run at once. Returns how many were made."""
    stuck = Q(state=State.RUNNING, claimed_at__lt=clock.now() - IN_DOUBT_AFTER)
    due = Export.objects.filter(Q(state=State.QUEUED) | stuck).select_related("member").order_by("asked_at")
    return sum(_make(export) for export in due[:limit] if _claim(export))


def forget_old() -> int:
    """The sweep: copies older than a week go, and those that failed. Returns how many. One query."""
    old = Q(expires_at__lt=clock.now()) | Q(state=State.FAILED, asked_at__lt=clock.now() - KEPT_FOR)
    return Export.objects.filter(old).delete()[1].get(Export._meta.label, 0)


def _claim(export: Export) -> bool:
    as_seen = Export.objects.filter(pk=export.pk, state=export.state, claimed_at=export.claimed_at)
    now = clock.now()
    is_mine = as_seen.update(state=State.RUNNING, claimed_at=now, progress=0, tries=F("tries") + 1) == 1
    export.claimed_at, export.tries = now, export.tries + 1
    return is_mine


def _make(export: Export) -> bool:
    """Write a claimed copy. A fault leaves it to be tried again, three times in all."""
    mine = Export.objects.filter(pk=export.pk, claimed_at=export.claimed_at)
    try:
        ExportPart.objects.filter(export=export).delete()
        parts = _Parts(export)
        with translation.override(export.language), zipfile.ZipFile(parts, "w", zipfile.ZIP_DEFLATED) as file:
            _write(file, export.member, lambda done: mine.update(progress=done, state=State.RUNNING))
        parts.close()
    except BaseException:
        is_last = export.tries >= MAX_TRIES
        mine.update(state=State.FAILED if is_last else State.QUEUED)
        raise
    now = clock.now()
    return bool(
        mine.update(state=State.DONE, progress=100, done_at=now, expires_at=now + KEPT_FOR, size=parts.size)
    )


class _Parts(io.RawIOBase):
    """A file that can only be written, into rows of at most PART_BYTES."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._waiting = bytearray()
        self._number = 0
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        self.size += len(data)
        while len(self._waiting) >= PART_BYTES:
            self._store(PART_BYTES)
        return len(data)

    def close(self) -> None:
        if self._waiting and not self.closed:
            self._store(len(self._waiting))
        super().close()

    def _store(self, size: int) -> None:
        data = bytes(self._waiting[:size])
        ExportPart.objects.create(export=self._export, number=self._number, data=data)
        self._number += 1
        del self._waiting[:size]


class _Progress:
    """Counts rows and says the per cent now and then."""

    def __init__(self, total: int, tell: Callable[[int], Any]) -> None:
        self._total, self._tell, self._done = max(1, total), tell, 0

    def step(self) -> None:
        self._done += 1
        if self._done % TOLD_EVERY == 0:
            self._tell(min(99, 100 * self._done // self._total))


def _write(file: zipfile.ZipFile, member: Member, tell: Callable[[int], Any]) -> None:
    """Both files, a row at a time. The rows are read twice: once for each."""
    tables = [table for table in personal_fields.tables() if table.rows and table.paths]
    total = sum(table.rows(member.pk).count() for table in tables if table.rows)
    progress = _Progress(2 * total, tell)
    with file.open("data.json", "w", force_zip64=True) as raw, io.TextIOWrapper(raw, "utf-8") as out:
        _write_json(out, tables, member, progress)
    with file.open("data.html", "w", force_zip64=True) as raw, io.TextIOWrapper(raw, "utf-8") as out:
        _write_html(out, tables, member, progress)


def _write_json(out: io.TextIOWrapper, tables: list[Table], member: Member, progress: _Progress) -> None:
    out.write(f'{{"member": "{member.public_id}", "made_at": "{clock.now().isoformat()}"')
    for table in tables:
        out.write(f',\n"{table.name}": [')
        for number, row in enumerate(_rows(table, member)):
            out.write(",\n " if number else "\n ")
            out.write(json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False))
            progress.step()
        out.write("]")
    out.write("}\n")


def _write_html(out: io.TextIOWrapper, tables: list[Table], member: Member, progress: _Progress) -> None:
    title = _("Everything Euregio Circles keeps about you")
    out.write(
        format_html(
            '<!doctype html><html lang="{}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            "<title>{}</title><style>{}</style><h1>{}</h1><p>{} · {}</p>\n",
            translation.get_language(),
            title,
            STYLE,
            title,
            member.email,
            clock.now().isoformat(timespec="minutes"),
        )
    )
    for table in tables:
        what = "; ".join(str(purpose.what) for purpose in dict.fromkeys(table.personal.values()))
        out.write(format_html("<h2>{}</h2><p><code>{}</code></p>\n", what, table.name))
        is_empty = True
        for row in _rows(table, member):
            is_empty = False
            facts = ((name, value) for name, value in row.items() if value not in ("", None, [], {}))
            out.write("<dl>")
            for name, value in facts:
                out.write(format_html("<dt>{}</dt><dd>{}</dd>", name.replace("_", " "), _readable(value)))
            out.write("</dl>\n")
            progress.step()
        if is_empty:
            out.write(format_html("<p>{}</p>\n", _("Nothing.")))
    out.write("</html>\n")


def _rows(table: Table, member: Member) -> Iterator[dict[str, Any]]:
    """What is kept in one table about the member, a row at a time, read in pages: a cursor may hold all of it."""
    if table.rows is None:
        return
    names = list(table.paths)
    rows = table.rows(member.pk).order_by("pk").values_list("pk", *table.paths.values())
    page = list(rows[:CHUNK])
    while page:
        for _pk, *values in page:
            yield dict(zip(names, values, strict=True))
        page = list(rows.filter(pk__gt=page[-1][0])[:CHUNK])


def _readable(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False).strip('"')
