"""Logs that are broken on purpose, so that it is seen that the checker sees it: `broken.py NAME serve …` is manage.py.

Each is a mistake that a log like ours could be written with. They are put in at the functions that the hub calls.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAUSE_S = 0.15  # what else may happen in between
LOSS = 0.15
# What the tables would not let through; without it the mistake is made in full.
LOOSENED = {"key-before-lock": "one_entry_a_key"}


class Lost(Exception):
    """A commit that did not come about."""


def ack_before_commit() -> None:
    """`ok` is said, then the commit fails."""
    from django.db import transaction  # noqa: PLC0415 - Django must be set up first

    from realtime import writing  # noqa: PLC0415

    write_all = writing.write_all

    def broken(asked: Sequence[writing.Asked], *, waits: bool = True) -> list[writing.Outcome]:
        outcomes: list[writing.Outcome] = []
        try:
            with transaction.atomic():
                outcomes = write_all(asked, waits=waits)
                if random.random() < LOSS:
                    raise Lost
        except Lost:
            pass
        return outcomes

    writing.write_all = broken


def key_before_lock() -> None:
    """Whether a key is known is looked up before the room is locked."""
    from realtime import writing  # noqa: PLC0415
    from realtime.models import Entry  # noqa: PLC0415

    write_all, early = writing.write_all, threading.local()

    class Batch(writing._Batch):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.known = early.known

    def broken(asked: Sequence[writing.Asked], *, waits: bool = True) -> list[writing.Outcome]:
        early.known = {}
        for room, wish in asked:
            for entry in Entry.objects.filter(room=room, author=wish.member, key=wish.key):
                early.known[room, wish.member.pk, wish.key] = entry
        if random.random() < 0.3:  # the others go on: one of them may be the same
            time.sleep(2 * PAUSE_S)
        return write_all(asked, waits=waits)

    writing._Batch, writing.write_all = Batch, broken  # type: ignore[misc]
    _one_by_one()


def seq_from_a_sequence() -> None:
    """The number is drawn before the transaction, as from a sequence: who is refused takes theirs along."""
    from django.db import transaction  # noqa: PLC0415
    from django.db.models import F  # noqa: PLC0415

    from realtime import statements, writing  # noqa: PLC0415
    from realtime.models import Room  # noqa: PLC0415

    write_all, look_up, drawn = writing.write_all, statements.look_up, threading.local()

    def with_numbers(*given: Any, **options: Any) -> statements.Found:
        found = look_up(*given, **options)
        for room in found.rooms:
            room.head = drawn.seq - 1
        return found

    def broken(asked: Sequence[writing.Asked], *, waits: bool = True) -> list[writing.Outcome]:
        [(room_id, _wish)] = asked
        with transaction.atomic():
            Room.objects.filter(pk=room_id).update(head=F("head") + 1)
            drawn.seq = Room.objects.values_list("head", flat=True).get(pk=room_id)
        return write_all(asked, waits=waits)

    statements.look_up, writing.write_all = with_numbers, broken
    _one_by_one()


def read_before_subscribe() -> None:
    """A socket that catches up is told nothing of what is said while the database is read."""
    import asyncio  # noqa: PLC0415

    from realtime import feeds, lines  # noqa: PLC0415

    take, sync = lines.Watch.take, feeds.Feed.sync

    def broken(watch: lines.Watch, bundle: lines.Bundle) -> None:
        if not watch.is_buffering:
            take(watch, bundle)

    async def slow(*args: Any, **options: Any) -> Any:
        found = await sync(*args, **options)
        await asyncio.sleep(PAUSE_S)
        return found

    lines.Watch.take, feeds.Feed.sync = broken, slow  # type: ignore[method-assign]


def _one_by_one() -> None:
    """Each wish by itself, as soon as it comes: the process puts them into no order."""
    from realtime import hub, threads, writing  # noqa: PLC0415

    async def write(_hub: hub.Hub, room_id: int, wish: writing.Wish) -> writing.Written:
        [outcome] = await threads.in_thread(writing.write_all)([(room_id, wish)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    hub.Hub.write = write  # type: ignore[method-assign]


BROKEN: dict[str, Callable[[], None]] = {
    "ack-before-commit": ack_before_commit,
    "key-before-lock": key_before_lock,
    "seq-from-a-sequence": seq_from_a_sequence,
    "read-before-subscribe": read_before_subscribe,
}


def main() -> None:
    name = sys.argv.pop(1)
    sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django  # noqa: PLC0415 - the folders first
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    django.setup()
    BROKEN[name]()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
