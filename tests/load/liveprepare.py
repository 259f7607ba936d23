"""Makes the members, sessions and rooms of the live benchmarks in bulk, and runs the bare loop of commits: a child of live.py.

liveprepare.py region MEMBERS CAST BACK    prints what it made as JSON
liveprepare.py bare                        for each line "ROOM EACH SECONDS" of its input, the rate as a line
"""

import json
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from itertools import count
from typing import Any
from uuid import uuid4

import django

django.setup()

from django.conf import settings  # noqa: E402 - models need Django set up
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils.crypto import get_random_string  # noqa: E402

from community.models import Member  # noqa: E402
from config.demo_bulk import write  # noqa: E402
from config.sessions import SEEN, SINCE  # noqa: E402
from realtime import clock, ids, rooms  # noqa: E402
from realtime.models import Entry, Participant, Room  # noqa: E402

POSTERS, WIDE, BACK_ROOMS, SAID = 16, 10, 60, 50
BEHIND = 20  # entries that somebody who comes back has missed in each room
TEXT = ("##" + 20 * "0" + " ").ljust(200, ".")


@transaction.atomic
def region(members: int, cast: int, back: int) -> dict[str, Any]:
    """So many members with a session each, and the rooms of every figure. Nobody's joining is in a log."""
    now = clock.now()
    people = [ids.new_id() for _one in range(members)]
    named = (
        (pk, f"live{number}@example.org", f"Live {number}", "!", now, now) for number, pk in enumerate(people)
    )
    write(Member, ("id", "email", "display_name", "password", "date_joined", "onboarded_at"), named)
    made: dict[str, Any] = {
        "cookies": _sessions(people),
        "epoch": rooms.epoch(),
        "cast": _room(people[:cast]),
        "single": _room(people[:cast]),
        "pair": _room(people[: 2 * cast]),
        "sizes": {size: _room(people[:size]) for size in (1, 100, 1000) if size <= members},
        "wide": [_room(people) for _one in range(WIDE)],
        "together": _room(people[:POSTERS]),
        "apart": [_room([people[number]]) for number in range(POSTERS)],
        "bare": [_room(people[:1]) for _one in range(POSTERS)],
    }
    thirds = [
        [people[i] for i in range(back) if (i - number) % BACK_ROOMS < 3] for number in range(BACK_ROOMS)
    ]
    made["back"] = [_room(inside, SAID) for inside in thirds]
    made["after"] = SAID - BEHIND
    return made


def _room(inside: list[int], said: int = 0) -> str:
    """A room with these members and so many messages; its public id."""
    pk = ids.new_id()
    write(Room, ("id", "kind", "title", "head", "n"), [(pk, Room.Kind.CIRCLE, "Live", said, said)])
    write(Participant, ("room", "member", "joined_seq"), [(pk, member, 0) for member in inside])
    entries = (
        (pk, seq, seq, "message", inside[seq % len(inside)], uuid4(), clock.now(), TEXT, seq)
        for seq in range(1, said + 1)
    )
    if said and inside:
        names = ("room", "seq", "n", "kind", "author", "key", "at", "text", "rev")
        write(Entry, names, entries)
    return ids.encode(pk)


def _sessions(people: list[int]) -> list[str]:
    """A Cookie header for each, as signing in would leave it."""
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    now, cookies, rows = clock.now(), [], []
    for member in Member.objects.filter(email__startswith="live"):
        said = {
            SESSION_KEY: str(member.pk),
            BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
            HASH_SESSION_KEY: member.get_session_auth_hash(),
            SINCE: now.timestamp(),
            SEEN: now.timestamp(),
        }
        key = get_random_string(32, "abcdefghijklmnopqrstuvwxyz0123456789")
        rows.append((key, store.encode(said), now + timedelta(days=1)))
        cookies.append((member.pk, f"{settings.SESSION_COOKIE_NAME}={key}"))
    write(Session, ("session_key", "session_data", "expire_date"), rows)
    by_member = dict(cookies)
    return [by_member[pk] for pk in people]


# ------------------------------------------------------------------------------------------- the bare loop


def bare() -> None:
    """The floor of committing: lock the room's row, insert `each` entries, update its head, commit; plain SQL."""
    author = Member.objects.values_list("pk", flat=True)[0]
    connection.ensure_connection()
    cursor = connection.connection.cursor()  # the driver's own: no ORM, no wrapper
    for line in sys.stdin:
        room, each, seconds = line.split()
        print(_commits(cursor, ids.decode(room), int(each), float(seconds), author), flush=True)


def _commits(cursor: Any, room: int, each: int, seconds: float, author: int) -> float:
    is_postgresql = connection.vendor == "postgresql"
    mark = "%s" if is_postgresql else "?"
    insert = _insert(each, mark)
    lock = "SELECT head FROM realtime_room WHERE id = %s FOR UPDATE"
    update = "UPDATE realtime_room SET head = %s, n = %s WHERE id = %s"
    if not is_postgresql:  # there the transaction is the lock
        lock, update = (sql.replace(" FOR UPDATE", "").replace("%s", mark) for sql in (lock, update))
    began, done = time.perf_counter(), 0
    for number in count():
        if number % 8 == 0 and time.perf_counter() - began > seconds:
            break
        cursor.execute("BEGIN" if is_postgresql else "BEGIN IMMEDIATE")
        cursor.execute(lock, (room,))
        head = cursor.fetchone()[0]
        cursor.execute(insert, [value for row in _rows(room, head, each, author) for value in row])
        cursor.execute(update, (head + each, head + each, room))
        cursor.execute("COMMIT")
        done += each
    return done / (time.perf_counter() - began)


NAMES = ("room", "seq", "n", "kind", "author", "key", "at", "text", "rev")


def _insert(each: int, mark: str) -> str:
    """One statement for all: columns that are not named here get their field's default as a literal."""
    rest = [
        field
        for field in Entry._meta.concrete_fields
        if field.name not in NAMES and not field.primary_key and not field.null
    ]
    defaults = [repr(field.get_default()) if isinstance(field.get_default(), int) else "''" for field in rest]
    columns = [str(Entry._meta.get_field(name).column) for name in NAMES] + [str(f.column) for f in rest]
    quoted = ", ".join(connection.ops.quote_name(column) for column in columns)
    row = "(" + ", ".join([mark] * len(NAMES) + defaults) + ")"
    return f"INSERT INTO realtime_entry ({quoted}) VALUES " + ", ".join([row] * each)  # noqa: S608 - our own columns


def _rows(room: int, head: int, each: int, author: int) -> Iterator[tuple[Any, ...]]:
    is_postgresql = connection.vendor == "postgresql"
    for seq in range(head + 1, head + each + 1):
        key, at = uuid4(), clock.now()
        converted = (key, at) if is_postgresql else (key.hex, at.isoformat(" "))
        yield (room, seq, seq, "message", author, *converted, TEXT, seq)


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        bare()
    else:
        print(json.dumps(region(*(int(n) for n in sys.argv[2:]))))
