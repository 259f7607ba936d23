# ruff: noqa: S608 - what is put together are names of our own tables and %s
"""The statements that every message passes through, as SQL: building them anew by the ORM each time would be most of
what a message costs. Everything else asks the ORM.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import batched
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import DateTimeField, UUIDField

from realtime.models import Entry, Participant, Room

ENTRY, PARTICIPANT, ROOM = (f'"{model._meta.db_table}"' for model in (Entry, Participant, Room))
FIELDS = [field for field in Entry._meta.concrete_fields if not field.primary_key]
COLUMNS = ", ".join(f'"{field.column}"' for field in FIELDS)
ROOM_COLUMNS = ", ".join(f'"{field.column}"' for field in Room._meta.concrete_fields)
AT_ONCE = 500  # rows in one statement: SQLite takes 32,766 values
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


def seats(places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Seat]:
    """Of these (room, member), who is in it now, held until the transaction ends. One query, always in one order.

    200 at most: SQLite takes a condition of a thousand parts.
    """
    condition, values = _any(["room_id", "member_id"], list(places))
    how = " FOR UPDATE" if connection.features.has_select_for_update else ""
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT "room_id", "member_id", "id", "read_seq", "read_n" '
            f'FROM {PARTICIPANT} WHERE "left_seq" IS NULL AND {condition} ORDER BY "id"{how}',
            values,
        )
        return {(room, member): Seat(*seat) for room, member, *seat in cursor.fetchall()}


def messages_up_to(places: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Of these (room, seq), how many messages the log held with that entry. One query, none for none; 200 at most."""
    if not places:
        return {}
    condition, values = _any(["room_id", "seq"], list(places))
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "room_id", "seq", "n" FROM {ENTRY} WHERE {condition}', values)
        return {(room, seq): n for room, seq, n in cursor.fetchall()}


def lock(room_ids: Collection[int], *, waits: bool) -> list[Room]:
    """These rooms, locked until the transaction ends, always in one order. Not `waits`: without those that are held.

    One query. On SQLite the transaction itself is the lock.
    """
    if not room_ids:
        return []
    marks, how = ", ".join(["%s"] * len(room_ids)), ""
    if connection.features.has_select_for_update:
        how = " FOR UPDATE" if waits else " FOR UPDATE SKIP LOCKED"
    query = f'SELECT {ROOM_COLUMNS} FROM {ROOM} WHERE "id" IN ({marks}) ORDER BY "id"{how}'
    return list(Room.objects.raw(query, list(room_ids)))


def append(rooms: Sequence[Room], entries: Sequence[Entry]) -> None:
    """New entries, and the rooms' new heads. Two statements for any usual number. The entries get no primary key."""
    _set(ROOM, ("head", "n"), [(room.pk, room.head, room.n) for room in rooms])
    one = f"({', '.join(['%s'] * len(FIELDS))})"
    with connection.cursor() as cursor:
        for some in batched(entries, AT_ONCE, strict=False):
            values = [value for entry in some for value in _row(entry)]
            cursor.execute(f"INSERT INTO {ENTRY} ({COLUMNS}) VALUES {', '.join([one] * len(some))}", values)


def _set(table: str, columns: tuple[str, str], rows: Sequence[tuple[int, int, int]]) -> None:
    """Give the row of each primary key its two numbers."""
    one, other = columns
    with connection.cursor() as cursor:
        for some in batched(sorted(rows), AT_ONCE, strict=False):  # always in one order
            new = ", ".join(["(%s, %s, %s)"] * len(some))
            cursor.execute(
                f'WITH new(pk, one, other) AS (VALUES {new}) UPDATE {table} SET "{one}" = new.one, "{other}" = new.other '
                f'FROM new WHERE {table}."id" = new.pk',
                [value for row in some for value in row],
            )


def _row(entry: Entry) -> list[Any]:
    values = [getattr(entry, field.attname) for field in FIELDS]
    return [
        field.get_db_prep_save(value, connection) if field and value is not None else value
        for field, value in zip(PREPARED, values, strict=True)
    ]


def have_read(readers: Iterable[Seat]) -> None:
    """How far these have read. One statement for any number."""
    _set(PARTICIPANT, ("read_seq", "read_n"), list(readers))
