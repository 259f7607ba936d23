# ruff: noqa: S608 - what is put together are names of our own tables and %s
"""The statements that every message passes through, as SQL: building them anew by the ORM each time would be most of
what a message costs. Everything else asks the ORM.

Each has one text for any number of rows: it is put together, read and planned once and not each time. PostgreSQL gets the
rows as one JSON value and keeps the statement prepared; SQLite, which is in this process, is given what is written row
by row. What needs no answer of the one before goes to PostgreSQL in one round trip (`at_once`).
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import attrgetter
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
IS_SQLITE = connection.vendor == "sqlite"

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


@contextmanager
def at_once() -> Iterator[None]:
    """What is executed within goes in one round trip. Its errors come where a result is read, or at the end."""
    if IS_SQLITE:
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def _cursor() -> Any:
    """A cursor; on PostgreSQL one whose statements are prepared once they have come a few times."""
    if IS_SQLITE:
        return connection.cursor()
    from django.db.backends.postgresql.base import ServerBindingCursor  # noqa: PLC0415 - needs psycopg

    connection.ensure_connection()
    own = ServerBindingCursor(connection.connection)  # type: ignore[call-arg]
    return connection._prepare_cursor(own)  # type: ignore[attr-defined]


class Given:
    """A statement that is given rows as its one parameter: they are its table `given`."""

    def __init__(self, columns: Columns, query: str) -> None:
        self._names = list(columns)
        if IS_SQLITE:
            values = ", ".join(f"value->>'{name}' AS \"{name}\"" for name in columns)
            given = f"(SELECT {values} FROM json_each(%s))"
        else:
            names = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
            given = f"MATERIALIZED (SELECT * FROM json_to_recordset(%s::json) AS row({names}))"
        self._query = f"WITH given AS {given} {query}"

    def execute(self, rows: Iterable[Sequence[Any]]) -> Any:
        """The cursor that has executed it for these rows."""
        cursor = _cursor()
        cursor.execute(self._query, [_as_json([dict(zip(self._names, row, strict=True)) for row in rows])])
        return cursor


def _plain(value: object) -> object:
    """A key or a time in the words of the database: of SQLite, as Django writes them there."""
    if isinstance(value, UUID):
        return value.hex
    assert isinstance(value, datetime)
    return str(value.astimezone(UTC).replace(tzinfo=None)) if IS_SQLITE else value.isoformat()


_as_json = json.JSONEncoder(default=_plain).encode


def _among(ids: str) -> str:
    """The condition of a primary key that is one of these. PostgreSQL takes the rows it is given for a hundred and would,
    joining them, rather look through a table of thousands; an array it looks up.
    """
    return f"IN ({ids})" if IS_SQLITE else f"= ANY(ARRAY({ids}))"


def _locking(table: str, columns: Columns, query: str) -> dict[bool, Given]:
    """A query that locks the rows it finds in a table, always in one order; by whether it waits for who holds one.

    On SQLite the transaction itself is the lock.
    """
    query = f'{query} ORDER BY {table}."id"'
    held = query if IS_SQLITE else f"{query} FOR UPDATE OF {table}"
    free = held if IS_SQLITE else f"{held} SKIP LOCKED"
    return {True: Given(columns, held), False: Given(columns, free)}


# ----------------------------------------------------------------------------------------------- look up

_THE_ROOMS = _locking(
    "room",
    {"id": "bigint"},
    f"SELECT {', '.join(f'room."{name}"' for name in OF_A_ROOM)} FROM {ROOM} AS room "
    f'WHERE room."id" {_among('SELECT "id" FROM given')}',
)
_THE_SEATS = _locking(
    "seat",
    {"room_id": "bigint", "member_id": "bigint"},
    'SELECT seat."room_id", seat."member_id", seat."id", seat."read_seq", seat."read_n" '
    f'FROM {PARTICIPANT} AS seat WHERE seat."left_seq" IS NULL AND seat."id" '
    + _among(
        f'SELECT (SELECT one."id" FROM {PARTICIPANT} AS one WHERE one."room_id" = given."room_id" '
        'AND one."member_id" = given."member_id") FROM given'
    ),
)
_THE_KEYS = Given(  # for each the primary key of its entry, or None
    {"room_id": "bigint", "author_id": "bigint", "key": "uuid"},
    f'SELECT (SELECT entry."id" FROM {ENTRY} AS entry WHERE entry."room_id" = given."room_id" '
    'AND entry."author_id" = given."author_id" AND entry."key" = given."key") FROM given',
)
_THE_NUMBERS = Given(
    {"room_id": "bigint", "seq": "bigint"},
    f'SELECT "room_id", "seq", (SELECT entry."n" FROM {ENTRY} AS entry '
    'WHERE entry."room_id" = given."room_id" AND entry."seq" = given."seq") FROM given',
)


def look_up(
    rooms: Collection[int], places: Collection[Place], keys: Collection[Key], *, waits: bool
) -> Found:
    """Lock these rooms until the transaction ends, then see under the lock which keys are known in them and who of
    these is there, held like the rooms. Three queries in one round trip; one more when a key is known.

    Not `waits`: without the rooms and the seats that another transaction holds.
    """
    with at_once():
        locked = _THE_ROOMS[waits].execute((pk,) for pk in rooms)
        known, seated = _THE_KEYS.execute(keys), _THE_SEATS[waits].execute(places)
        rows, pks, here = locked.fetchall(), [pk for (pk,) in known.fetchall() if pk], _seats(seated)
    entries = Entry.objects.filter(pk__in=pks).select_related("author") if pks else ()
    return Found(
        [_room(*row) for row in rows],
        {(entry.room_id, entry.author_id or 0, entry.key): entry for entry in entries if entry.key},
        here,
    )


def _room(*row: Any) -> Room:
    """The room of a row that was read here."""
    *others, closed_at = row
    if isinstance(closed_at, str):  # SQLite's
        closed_at = datetime.fromisoformat(closed_at).replace(tzinfo=UTC)
    return Room.from_db(connection.alias, OF_A_ROOM, [*others, closed_at])


def _seats(found: Any) -> dict[Place, Seat]:
    return {(room, member): Seat(*seat) for room, member, *seat in found.fetchall()}


def seats(places: Collection[Place]) -> dict[Place, Seat]:
    """Of these, who is in the room now, held until the transaction ends, always in one order. One query."""
    return _seats(_THE_SEATS[True].execute(places))


def messages_up_to(places: Collection[Place]) -> dict[Place, int]:
    """Of these (room, seq), how many messages the log held with that entry. One query, none for none."""
    found = _THE_NUMBERS.execute(places).fetchall() if places else ()
    return {(room, seq): n for room, seq, n in found if n is not None}


# ------------------------------------------------------------------------------------------------- write


class ForEach:
    """A statement that writes rows: SQLite, which is in this process, is given one after the other."""

    def __init__(self, columns: Columns, for_one: str, for_all: str) -> None:
        """`for_one` takes the values of the columns in their order, `for_all` the table `given`."""
        self._for_one = for_one
        self._for_all = Given(columns, for_all)

    def execute(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write these; nothing for none."""
        if not rows:
            return
        if IS_SQLITE:
            with _cursor() as cursor:
                cursor.executemany(self._for_one, [[_as_written(value) for value in row] for row in rows])
        else:
            self._for_all.execute(rows)


def _as_written(value: Any) -> Any:
    return _plain(value) if isinstance(value, UUID | datetime) else value


def _setting(table: str, one: str, other: str) -> ForEach:
    """A statement that gives two numbers to rows: (one, other, primary key) of each."""
    return ForEach(
        dict.fromkeys((one, other, "id"), "bigint"),
        f'UPDATE {table} SET "{one}" = %s, "{other}" = %s WHERE "id" = %s',
        f'UPDATE {table} SET "{one}" = given."{one}", "{other}" = given."{other}" '
        f'FROM given WHERE {table}."id" = given."id" AND {table}."id" {_among('SELECT "id" FROM given')}',
    )


_HEADS = _setting(ROOM, "head", "n")
_READ = _setting(PARTICIPANT, "read_seq", "read_n")
_ENTRIES = ForEach(
    {field.attname: field.db_type(connection) or "" for field in FIELDS},
    f"INSERT INTO {ENTRY} ({COLUMNS}) VALUES ({', '.join(['%s'] * len(FIELDS))})",
    f"INSERT INTO {ENTRY} ({COLUMNS}) SELECT {COLUMNS} FROM given",
)


def entry(author: Any, fields: dict[str, Any]) -> Entry:
    """A new entry with these fields, in half the time that it takes the model by name. No query."""
    values: Any = (BLANK | fields | {"author_id": author and author.pk}).values()
    made = Entry(None, *values)
    AUTHOR.set_cached_value(made, author)
    return made


def append(rooms: Iterable[Room], entries: Iterable[Entry], readers: Iterable[Seat] = ()) -> None:
    """New entries, the rooms' new heads and how far these have read: at most three statements. The entries get no
    primary key.
    """
    _HEADS.execute([(room.head, room.n, room.pk) for room in rooms])
    _ENTRIES.execute([_values(entry) for entry in entries])
    have_read(readers)


_values = attrgetter(*NAMES)


def have_read(readers: Iterable[Seat]) -> None:
    """How far these have read. One statement for any number."""
    _READ.execute([(seat.read_seq, seat.read_n, seat.pk) for seat in readers])
