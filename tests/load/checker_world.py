"""The checker's own hands in the database: makes its people and rooms, moves them about, reads what is true in the end.

Imported once Django is set up. Every function here is synchronous and tries again while the database is away.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, connection, connections
from proof import Row, Standing, Truth

from community.models import Member
from community.sign_ins import issue_token
from realtime import chat, ids, reading, rooms
from realtime.models import Entry, Participant, Room
from tests.factories import make_member, make_room

AGAIN_S = 0.2
PATIENCE_S = 60.0


class NoMigrations(dict[str, None]):
    """Tables straight from the models: ten seconds less than by every migration there ever was."""

    def __contains__(self, _app: object) -> bool:
        return True

    def __getitem__(self, _app: str) -> None:
        return None


@dataclass(frozen=True)
class Person:
    pk: int
    name: str  # public id
    token: str


def make_tables(*, by_migrations: bool, without: str = "") -> None:
    """`without`: a constraint of the log that is left out."""
    if not by_migrations:
        settings.MIGRATION_MODULES = NoMigrations()
    call_command("migrate", run_syncdb=not by_migrations, verbosity=0, interactive=False)
    for constraint in [one for one in Entry._meta.constraints if one.name == without]:
        Entry._meta.constraints = [one for one in Entry._meta.constraints if one is not constraint]
        with connection.schema_editor() as editor:  # SQLite makes the table anew, as the model has it
            editor.remove_constraint(Entry, constraint)
    connections.close_all()


def patiently[T](work: Callable[[], T]) -> T:
    """The work, tried again while the database is away; it must be harmless twice."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except (DatabaseError, InterfaceError):
            if time.monotonic() > ends:
                raise
            time.sleep(AGAIN_S)
        finally:
            connections.close_all()


def make_people(people: int, places: int) -> tuple[list[Person], list[str]]:
    """So many members, all of them in each of so many rooms."""
    members = [make_member(display_name=f"Member {number}") for number in range(people)]
    made = [make_room(*members, title=f"Room {number}") for number in range(places)]
    persons = [Person(one.pk, ids.encode(one.pk), issue_token(one, "checker")) for one in members]
    connections.close_all()
    return persons, [room.public_id for room in made]


def enter(room: str, person: Person) -> None:
    patiently(lambda: rooms.enter(Room.objects.get(pk=ids.decode(room)), Member.objects.get(pk=person.pk)))


def leave(room: str, person: Person, reason: str) -> None:
    patiently(
        lambda: rooms.leave(Room.objects.get(pk=ids.decode(room)), Member.objects.get(pk=person.pk), reason)
    )


def post(room: str, person: Person, text: str, key: str) -> tuple[int, int, bool] | None:
    """Said by page: (seq, n, known already), or None for who is not in the room."""
    try:
        entry, is_known = patiently(
            lambda: chat.post(Member.objects.get(pk=person.pk), ids.decode(room), text, UUID(key))
        )
    except Room.DoesNotExist:
        return None
    return entry.seq, entry.n, is_known


def heads(names: Collection[str]) -> dict[str, tuple[int, int]]:
    found = patiently(lambda: rooms.heads([ids.decode(name) for name in names]))
    return {ids.encode(pk): place for pk, place in found.items()}


def inside() -> set[tuple[str, str]]:
    """(room, member) of everybody who is in a room."""
    here = patiently(lambda: list(Participant.objects.filter(left_seq=None).values_list("room", "member")))
    return {(ids.encode(room), ids.encode(member)) for room, member in here}


def unread() -> int:
    """How many participants have not read everything, by their row."""
    here = patiently(
        lambda: list(Participant.objects.filter(left_seq=None).values_list("read_seq", "room__head"))
    )
    return sum(read < head for read, head in here)


def truth(names: Collection[str], clock_offset: float) -> Truth:
    """Everything the judge needs. `clock_offset`: from the time of day to the checker's clock."""
    found = Truth({}, heads(names), {}, {}, {})
    for name in names:
        pk = ids.decode(name)
        found.rooms[name] = [
            _row(entry, clock_offset) for entry in Entry.objects.filter(room=pk).order_by("seq")
        ]
        for one in Participant.objects.filter(room=pk):
            found.standings[name, ids.encode(one.member_id)] = Standing(
                one.left_seq is None, one.read_seq, one.read_n
            )
        found.history[name] = _history(pk)
    connections.close_all()
    return found


def _row(entry: Entry, clock_offset: float) -> Row:
    return Row(
        seq=entry.seq,
        n=entry.n,
        kind=entry.kind,
        author=ids.encode(entry.author_id) if entry.author_id else "",
        key=str(entry.key) if entry.key else "",
        at=entry.at.timestamp() + clock_offset,
        target=entry.target,
        text=entry.text,
        emoji=entry.emoji,
        on=entry.on,
        is_removed=entry.removed_at is not None,
    )


def _history(room: int) -> dict[int, tuple[str | None, dict[str, list[str]]]]:
    """All messages of a room as somebody in it reads them, page by page."""
    reader = Participant.objects.filter(room=room, left_seq=None).select_related("member")[0].member
    found: dict[int, tuple[str | None, dict[str, list[str]]]] = {}
    page: Any = reading.history(reader, room)
    while True:
        for message in page.rows:
            body = message["body"]
            found[message["seq"]] = (body["text"], body.get("reactions", {})) if body else (None, {})
        if not page.more:
            return found
        page = reading.history(reader, room, page.rows[-1]["seq"])
