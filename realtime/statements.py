# ruff: noqa: S608 - what is put together are names of our own tables and %s
"""The statements that every message passes through, as SQL: building them anew by the ORM each time would be most of
what a message costs. Everything else asks the ORM.

Each has one text for any number of rows, so that it is read and planned once and not each time. PostgreSQL gets the
rows as one JSON value and keeps the statement prepared; SQLite, which is in this process, is given what is written row
by row. What needs no answer of the one before goes to PostgreSQL in one round trip (`_at_once`).
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from realtime.models import Entry, Participant, Room

ENTRY, PARTICIPANT, ROOM = (f'"{model._meta.db_table}"' for model in (Entry, Participant, Room))
FIELDS = [field for field in Entry._meta.concrete_fields if not field.primary_key]
NAMES = [field.attname for field in FIELDS]
BLANK = {field.attname: None if field.null else field.get_default() for field in FIELDS}
AUTHOR = Entry._meta.get_field("author")
COLUMNS = ", ".join(f'"{field.column}"' for field in FIELDS)
OF_A_ROOM = ["id", "kind", "head", "n", "closed_at"]  # the rest is read when somebody asks for it
NUMBER = "bigint"

type Columns = dict[str, str]  # names and PostgreSQL's types
type Key = tuple[int, int, UUID]  # room, author, key
type Place = tuple[int, int]  # room, member


class Seat(NamedTuple):
    """A participant who is in a room, and how far they have read."""

    pk: int
    read_seq: int
    read_n: int


class Found(NamedTuple):
    """What a batch must know: its rooms, which entries have its keys, and who of its members is where."""

    rooms: list[Room]
    known: dict[Key, Entry]
    seats: dict[Place, Seat]


# ----------------------------------------------------------------------------------- two databases, one way


def _is_sqlite() -> bool:
    return bool(connection.vendor == "sqlite")


@contextmanager
def _at_once() -> Iterator[None]:
    """What is executed within goes in one round trip. Its errors come where a result is read, or at the end."""
    if _is_sqlite():
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def _cursor() -> Any:
    """A cursor; on PostgreSQL one whose statements are prepared once they have come a few times."""
    if _is_sqlite():
        return connection.cursor()
    from django.db.backends.postgresql.base import ServerBindingCursor  # noqa: PLC0415 - needs psycopg

    connection.ensure_connection()
    own = ServerBindingCursor(connection.connection)  # type: ignore[call-arg]
    return connection._prepare_cursor(own)  # type: ignore[attr-defined]


def _given(columns: Columns) -> str:
    """How a statement begins that is given rows as its parameter: they are its table `given`."""
    if _is_sqlite():
        values = ", ".join(f"value->>'{name}' AS \"{name}\"" for name in columns)
        return f"WITH given AS (SELECT {values} FROM json_each(%s))"
    names = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    return f"WITH given AS MATERIALIZED (SELECT * FROM json_to_recordset(%s::json) AS row({names}))"


def _among(ids: str) -> str:
    """The condition of a primary key that is one of these. PostgreSQL takes the rows it is given for a hundred and would,
    joining them, rather look through a table of thousands; an array it looks up.
    """
    return f"IN ({ids})" if _is_sqlite() else f"= ANY(ARRAY({ids}))"


def _as_json(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> str:
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=_plain)


def _plain(value: object) -> object:
    """A key or a time in the words of the database: of SQLite, as Django writes them there."""
    if isinstance(value, UUID):
        return value.hex
    assert isinstance(value, datetime)
    return str(value.astimezone(UTC).replace(tzinfo=None)) if _is_sqlite() else value.isoformat()


def _find(query: str, columns: Columns, rows: Iterable[Sequence[Any]]) -> Any:
    """A cursor with what `query` finds for these rows, its table `given`."""
    cursor = _cursor()
    cursor.execute(f"{_given(columns)} {query}", [_as_json(columns, rows)])
    return cursor


# ----------------------------------------------------------------------------------------------- look up


def look_up(
    rooms: Collection[int], places: Collection[Place], keys: Collection[Key], *, waits: bool
) -> Found:
    """Lock these rooms until the transaction ends, then see under the lock which keys are known in them and who of
    these is there, held like the rooms. Three queries in one round trip; one more when a key is known.

    Not `waits`: without the rooms and the seats that another transaction holds.
    """
    with _at_once():
        locked, known, seated = _lock(rooms, waits), _find_keys(keys), _find_seats(places, waits)
        rows, pks, here = locked.fetchall(), [pk for (pk,) in known.fetchall() if pk], _seats(seated)
    entries = Entry.objects.filter(pk__in=pks).select_related("author") if pks else ()
    return Found(
        [_room(*row) for row in rows],
        {(entry.room_id, entry.author_id or 0, entry.key): entry for entry in entries if entry.key},
        here,
    )


def _held(table: str, waits: bool) -> str:
    """How the rows of a table are locked, always in one order. On SQLite the transaction itself is the lock."""
    how = "" if _is_sqlite() else f"FOR UPDATE OF {table}" if waits else f"FOR UPDATE OF {table} SKIP LOCKED"
    return f'ORDER BY {table}."id" {how}'


def _lock(rooms: Collection[int], waits: bool) -> Any:
    columns = ", ".join(f'room."{name}"' for name in OF_A_ROOM)
    query = f'SELECT {columns} FROM {ROOM} AS room WHERE room."id" {_among('SELECT "id" FROM given')} '
    return _find(query + _held("room", waits), {"id": NUMBER}, [(pk,) for pk in rooms])


def _room(*row: Any) -> Room:
    """The room of a row that was read here."""
    *others, closed_at = row
    if isinstance(closed_at, str):  # SQLite's
        closed_at = datetime.fromisoformat(closed_at).replace(tzinfo=UTC)
    return Room.from_db(connection.alias, OF_A_ROOM, [*others, closed_at])


def _find_keys(keys: Collection[Key]) -> Any:
    """For each the primary key of its entry, or None."""
    return _find(
        f'SELECT (SELECT entry."id" FROM {ENTRY} AS entry WHERE entry."room_id" = given."room_id" '
        'AND entry."author_id" = given."author_id" AND entry."key" = given."key") FROM given',
        {"room_id": NUMBER, "author_id": NUMBER, "key": "uuid"},
        keys,
    )


def _find_seats(places: Collection[Place], waits: bool) -> Any:
    ids = (
        f'SELECT (SELECT one."id" FROM {PARTICIPANT} AS one WHERE one."room_id" = given."room_id" '
        'AND one."member_id" = given."member_id") FROM given'
    )
    return _find(
        'SELECT seat."room_id", seat."member_id", seat."id", seat."read_seq", seat."read_n" FROM '
        f'{PARTICIPANT} AS seat WHERE seat."id" {_among(ids)} AND seat."left_seq" IS NULL {_held("seat", waits)}',
        {"room_id": NUMBER, "member_id": NUMBER},
        places,
    )


def _seats(found: Any) -> dict[Place, Seat]:
    return {(room, member): Seat(*seat) for room, member, *seat in found.fetchall()}


def seats(places: Collection[Place]) -> dict[Place, Seat]:
    """Of these, who is in the room now, held until the transaction ends, always in one order. One query."""
    return _seats(_find_seats(places, waits=True))


def messages_up_to(places: Collection[Place]) -> dict[Place, int]:
    """Of these (room, seq), how many messages the log held with that entry. One query, none for none."""
    if not places:
        return {}
    query = (
        f'SELECT "room_id", "seq", (SELECT entry."n" FROM {ENTRY} AS entry '
        'WHERE entry."room_id" = given."room_id" AND entry."seq" = given."seq") FROM given'
    )
    found = _find(query, {"room_id": NUMBER, "seq": NUMBER}, places)
    return {(room, seq): n for room, seq, n in found.fetchall() if n is not None}


# ------------------------------------------------------------------------------------------------- write


def entry(author: Any, fields: dict[str, Any]) -> Entry:
    """A new entry with these fields, in half the time that it takes the model by name. No query."""
    values: Any = (BLANK | fields | {"author_id": author and author.pk}).values()
    made = Entry(None, *values)
    AUTHOR.set_cached_value(made, author)
    return made


def append(rooms: Iterable[Room], entries: Iterable[Entry], readers: Iterable[Seat] = ()) -> None:
    """New entries, the rooms' new heads and how far these have read: at most three statements in one round trip. The
    entries get no primary key.
    """
    with _at_once():
        _set(ROOM, ("head", "n"), [(room.pk, room.head, room.n) for room in rooms])
        _insert([[getattr(entry, name) for name in NAMES] for entry in entries])
        have_read(readers)


def _insert(rows: list[list[Any]]) -> None:
    with _cursor() as cursor:
        if _is_sqlite():
            marks = ", ".join(["%s"] * len(NAMES))
            plain = [
                [_plain(one) if isinstance(one, UUID | datetime) else one for one in row] for row in rows
            ]
            cursor.executemany(f"INSERT INTO {ENTRY} ({COLUMNS}) VALUES ({marks})", plain)
        else:
            types = {field.attname: field.db_type(connection) or "" for field in FIELDS}
            query = f"{_given(types)} INSERT INTO {ENTRY} ({COLUMNS}) SELECT {COLUMNS} FROM given"
            cursor.execute(query, [_as_json(NAMES, rows)])


def _set(table: str, names: tuple[str, str], rows: Sequence[tuple[int, int, int]]) -> None:
    """Give the row of each primary key its two numbers. Nothing for none."""
    one, other = names
    if not rows:
        return
    with _cursor() as cursor:
        if _is_sqlite():
            query = f'UPDATE {table} SET "{one}" = %s, "{other}" = %s WHERE "id" = %s'
            cursor.executemany(query, [(first, second, pk) for pk, first, second in rows])
        else:
            columns = dict.fromkeys(("id", one, other), NUMBER)
            cursor.execute(
                f'{_given(columns)} UPDATE {table} SET "{one}" = given."{one}", "{other}" = given."{other}" '
                f'FROM given WHERE {table}."id" = given."id" AND {table}."id" {_among('SELECT "id" FROM given')}',
                [_as_json(columns, rows)],
            )


def have_read(readers: Iterable[Seat]) -> None:
    """How far these have read. One statement for any number."""
    _set(PARTICIPANT, ("read_seq", "read_n"), list(readers))
