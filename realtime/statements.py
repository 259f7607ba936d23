# ruff: noqa: S608 - what is put together are names of our own tables and %s
"""The statements that every message passes through, as SQL: building them anew by the ORM each time would be most of
what a message costs. Everything else asks the ORM.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import DateTimeField, UUIDField

from realtime.models import Entry, Participant, Room

ENTRY, PARTICIPANT, ROOM = (f'"{model._meta.db_table}"' for model in (Entry, Participant, Room))
FIELDS = [field for field in Entry._meta.concrete_fields if not field.primary_key]
COLUMNS = ", ".join(f'"{field.column}"' for field in FIELDS)
INSERT = f"INSERT INTO {ENTRY} ({COLUMNS}) VALUES ({', '.join(['%s'] * len(FIELDS))})"
PREPARED = [
    field if isinstance(field, DateTimeField | UUIDField) else None for field in FIELDS
]  # the others are given as they are
KEY = Entry._meta.get_field("key")


class Seat(NamedTuple):
    """A participant who is in a room, and how far they have read."""

    pk: int
    read_seq: int
    read_n: int


def _any(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """The condition that a row is one of these, and what stands in it. Written out, for SQLite finds no index for the
    shorter `(…) IN (VALUES …)`.
    """
    one = f"({' AND '.join(f'"{column}" = %s' for column in columns)})"
    return f"({' OR '.join([one] * len(rows))})", [value for row in rows for value in row]


def entries_with(keys: Iterable[tuple[int, int, UUID]]) -> dict[tuple[int, int, UUID], Entry]:
    """The entries of these (room, author, key), with `author`. One query, another one when there are any."""
    asked = [(room, author, KEY.get_db_prep_value(key, connection)) for room, author, key in keys]
    condition, values = _any(["room_id", "author_id", "key"], asked)
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "id" FROM {ENTRY} WHERE {condition}', values)
        found = [pk for (pk,) in cursor.fetchall()]
    known = Entry.objects.filter(pk__in=found).select_related("author") if found else ()
    return {(entry.room_id, entry.author_id or 0, entry.key): entry for entry in known if entry.key}


def seats(members: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Seat]:
    """Of these (room, member), who is in it now. One query."""
    condition, values = _any(["room_id", "member_id"], list(members))
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT "room_id", "member_id", "id", "read_seq", "read_n" '
            f'FROM {PARTICIPANT} WHERE "left_seq" IS NULL AND {condition}',
            values,
        )
        return {(room, member): Seat(*seat) for room, member, *seat in cursor.fetchall()}


def append(rooms: Sequence[Room], entries: Sequence[Entry]) -> None:
    """New entries, and the rooms' new heads. Two statements for any number. The entries get no primary key."""
    rows = [_row(entry) for entry in entries]
    with connection.cursor() as cursor:
        cursor.executemany(
            f'UPDATE {ROOM} SET "head" = %s, "n" = %s WHERE "id" = %s',
            [(room.head, room.n, room.pk) for room in rooms],
        )
        cursor.executemany(INSERT, rows)


def _row(entry: Entry) -> list[Any]:
    values = [getattr(entry, field.attname) for field in FIELDS]
    return [
        field.get_db_prep_save(value, connection) if field and value is not None else value
        for field, value in zip(PREPARED, values, strict=True)
    ]


def have_read(readers: Iterable[Seat]) -> None:
    """How far these have read. One statement for any number."""
    rows = sorted((seat.pk, seat.read_seq, seat.read_n) for seat in readers)  # always in one order
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(
                f'UPDATE {PARTICIPANT} SET "read_seq" = %s, "read_n" = %s WHERE "id" = %s',
                [(seq, n, pk) for pk, seq, n in rows],
            )
