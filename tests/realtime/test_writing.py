"""Many who write at once: one transaction, everybody's own outcome, and an order that is the order of commits."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from realtime import blocks, bus, chat, hub, reading, rooms, writing
from realtime.models import Entry, Participant, Room
from realtime.threads import in_thread as in_db
from tests.factories import make_member, make_room

from .sockets import Tab, two_in_a_room

pytestmark = pytest.mark.django_db(transaction=True)


def said(room: Room) -> list[tuple[int, str]]:
    return list(Entry.objects.filter(room=room, kind="message").order_by("seq").values_list("seq", "text"))


def in_one(room_id: int, wishes: list[writing.Wish]) -> list[writing.Outcome]:
    return writing.write_all([(room_id, wish) for wish in wishes])


def test_everybody_gets_an_outcome_of_their_own():
    ana, bo, stranger = make_member(), make_member(), make_member()
    room = make_room(ana, bo)
    key = uuid4()
    first, _known = chat.post(bo, room.pk, "before", uuid4())
    wishes = [
        chat.message(ana, "one", key),
        chat.message(stranger, "not mine", uuid4()),
        chat.message(bo, "two", uuid4(), reply_to=first.seq),
        chat.message(ana, "one", key),  # the same, sent again while it was on its way
        chat.message(ana, "another", key),
        chat.message(bo, "to nobody", uuid4(), reply_to=999),
        chat.edited(ana, first.seq, "not hers", uuid4()),
        chat.reaction(ana, first.seq, "👍", True, uuid4()),
        chat.message(ana, "three", uuid4()),
    ]

    outcomes = writing.write_all([(room.pk, wish) for wish in wishes])

    kinds = [type(outcome) if isinstance(outcome, Exception) else "ok" for outcome in outcomes]
    assert kinds[0] == kinds[2] == kinds[3] == kinds[7] == kinds[8] == "ok"
    assert [isinstance(outcomes[at], no) for at, no in ((1, ObjectDoesNotExist), (4, ValidationError))] == [
        True,
        True,
    ]
    assert isinstance(outcomes[5], ObjectDoesNotExist)
    assert isinstance(outcomes[6], PermissionDenied)
    again = outcomes[3]
    assert not isinstance(again, Exception)
    assert (again[0].seq, again[1]) == (2, True)
    assert said(room) == [(1, "before"), (2, "one"), (3, "two"), (5, "three")]
    room.refresh_from_db()
    assert (room.head, room.n) == (5, 4)
    assert list(Entry.objects.filter(room=room).order_by("seq").values_list("seq", "n")) == [
        (1, 1), (2, 2), (3, 3), (4, 3), (5, 4),
    ]  # fmt: skip


def test_one_that_the_database_refuses_hurts_nobody_else(monkeypatch: pytest.MonkeyPatch):
    ana, bo = make_member(), make_member()
    room = make_room(ana, bo)

    def break_it(locked: Room) -> Entry:
        return rooms.append(locked, Entry.Kind.MESSAGE, ana, text=None, key=uuid4())

    bad = writing.Wish(member=ana, key=uuid4(), is_same=lambda known: False, write=break_it)
    first, refused, last = in_one(
        room.pk, [chat.message(ana, "one", uuid4()), bad, chat.message(bo, "two", uuid4())]
    )
    assert isinstance(refused, Exception)
    assert not isinstance(first, Exception)
    assert not isinstance(last, Exception)
    assert said(room) == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("around", [contextlib.nullcontext, transaction.atomic])
def test_what_is_refused_when_all_is_written_at_the_end_hurts_nobody_else(
    around: Callable[[], contextlib.AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
):
    """The entries of messages may reach the database together with its COMMIT."""
    ana, bo = make_member(), make_member()
    room = make_room(ana, bo)
    words: list[bus.Words] = []
    monkeypatch.setattr(bus, "publish", words.append)
    bad = replace(chat.message(ana, "bad", uuid4()), language=cast("Any", None))
    with around():
        first, refused, last = in_one(
            room.pk, [chat.message(ana, "one", uuid4()), bad, chat.message(bo, "two", uuid4())]
        )
        assert isinstance(refused, IntegrityError)
        assert not isinstance(first, Exception)
        assert not isinstance(last, Exception)
    assert said(room) == [(1, "one"), (2, "two")]
    told = [parcel.seq for word in words for parcel in cast("Any", word[rooms.channel(room.pk)])]
    assert told == [1, 2], "nobody is told of what was not committed"
    with transaction.atomic():  # the connection is as good as it was
        assert not isinstance(in_one(room.pk, [chat.message(ana, "three", uuid4())])[0], Exception)
    assert said(room)[2:] == [(3, "three")]


def test_a_room_that_is_not_there_is_a_no_for_each():
    ana = make_member()
    outcomes = in_one(12345, [chat.message(ana, "one", uuid4()), chat.message(ana, "two", uuid4())])
    assert [type(outcome) for outcome in outcomes] == [Room.DoesNotExist] * 2


@pytest.mark.parametrize("count", [1, 40])
def test_many_cost_as_many_statements_as_one(count: int):
    members = [make_member() for _ in range(count)]
    room = make_room(*members)
    wishes = [chat.message(member, "hello", uuid4()) for member in members]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        writing.write_all([(room.pk, wish) for wish in wishes])
    statements = [
        query["sql"]
        for query in queries
        if not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))
    ]
    assert len(statements) <= 7, statements


async def test_sixteen_who_write_at_once_are_heard_in_order_once_each():
    members = [await in_db(make_member)() for _ in range(16)]
    room = await in_db(make_room)(*members)
    tabs = [await Tab.watching(member, room) for member in members]
    listener = tabs[0]

    answers = await asyncio.gather(
        *(tab.say(room, f"from {number}") for number, tab in enumerate(tabs) for _ in range(1))
    )

    assert sorted(answer["seq"] for answer in answers) == list(range(1, 17))
    heard = await listener.entries(16, room)
    assert [entry["seq"] for entry in heard] == list(range(1, 17))
    by_seq = {answer["seq"]: number for number, answer in enumerate(answers)}
    assert [entry["body"]["text"] for entry in heard] == [f"from {by_seq[seq]}" for seq in range(1, 17)]
    for tab in tabs:
        await tab.leave()


async def test_who_waits_for_the_same_room_shares_a_transaction():
    ana, _bo, room = await two_in_a_room()
    held = hub.current()
    wishes = [chat.message(ana, str(number), uuid4()) for number in range(40)]
    outcomes = await asyncio.gather(*(held.write(room.pk, wish) for wish in wishes))
    times = {entry.at for entry, _known in outcomes}
    assert [entry.seq for entry, _known in outcomes] == list(range(1, 41)), "in the order they came"
    assert len(times) == 40
    page = await in_db(reading.entries)(ana, room.pk, 0)
    assert [row["body"]["text"] for row in page.rows] == [str(number) for number in range(40)]


def test_in_a_direct_room_two_who_are_apart_write_no_more():
    ana, bo = make_member(), make_member()
    room = rooms.open(Room.Kind.DIRECT, "two")
    for member in (ana, bo):
        rooms.enter(room, member)
    chat.post(ana, room.pk, "hello", uuid4())
    blocks.block(bo, ana.pk)
    for member in (ana, bo):
        with pytest.raises(ValidationError) as no:
            chat.post(member, room.pk, "again", uuid4())
        assert no.value.code == "closed"
    blocks.unblock(bo, ana.pk)
    assert chat.post(ana, room.pk, "again", uuid4())[0].n == 2


def test_who_writes_has_read_their_own_words_when_they_had_read_the_rest():
    ana, bo = make_member(), make_member()
    room = make_room(ana, bo)
    in_one(room.pk, [chat.message(ana, "one", uuid4()), chat.message(ana, "two", uuid4())])
    chat.post(bo, room.pk, "three", uuid4())
    read: Any = dict(Participant.objects.filter(room=room).values_list("member", "read_n"))
    assert read == {ana.pk: 2, bo.pk: 0}


def test_in_many_rooms_it_is_one_transaction_and_a_no_in_one_is_none_in_another():
    ana, bo = make_member(), make_member()
    hers, theirs, closed = make_room(ana), make_room(ana, bo), make_room(bo)
    rooms.close(closed)
    asked = [
        (theirs.pk, chat.message(ana, "one", uuid4())),
        (hers.pk, chat.message(ana, "mine", uuid4())),
        (hers.pk, chat.message(bo, "not his", uuid4())),
        (closed.pk, chat.message(bo, "too late", uuid4())),
        (theirs.pk, chat.message(bo, "two", uuid4())),
        (999, chat.message(bo, "nowhere", uuid4())),
    ]
    with CaptureQueriesContext(connection) as queries:
        outcomes = writing.write_all(asked)
    assert [not isinstance(outcome, Exception) for outcome in outcomes] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    assert said(theirs) == [(1, "one"), (2, "two")]
    assert (said(hers), said(closed)) == ([(1, "mine")], [])
    assert sum(query["sql"].startswith("BEGIN") for query in queries) <= 1


@pytest.mark.parametrize("columns", [("room_id", "author_id", "key"), ("room_id", "member_id")])
def test_what_is_looked_up_under_the_lock_is_found_by_an_index(columns: tuple[str, ...]):
    """A log is long: who looks through all of it holds up everybody."""
    ana = make_member()
    room = make_room(ana)
    asked: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        asked.append((sql, values))
        return execute(sql, values, many, context)

    with connection.execute_wrapper(note):
        writing.write_all([(room.pk, chat.message(ana, str(number), uuid4())) for number in range(16)])
    last = f'"{columns[-1]}" = '
    ((statement, values),) = [one for one in asked if last in one[0]]
    is_sqlite = connection.vendor == "sqlite"
    with transaction.atomic(), connection.cursor() as cursor:
        if not is_sqlite:
            cursor.execute("SET LOCAL enable_seqscan = off")  # a table of one page is rightly looked through
        cursor.execute(f"EXPLAIN {'QUERY PLAN' if is_sqlite else ''} {statement}", values)
        plan = str(cursor.fetchall())
    assert not any(f"SCAN {table}" in plan for table in ("realtime", "entry", "seat"))
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("what", ["room", "seat"])
async def test_what_somebody_holds_does_not_hold_up_the_others(what: str):
    """A room is held by who writes there, a seat by who marks how far its member has read: that is no "not yours"."""
    ana, _bo, held = await two_in_a_room()
    free = await in_db(make_room)(ana)
    here, may_go_on, is_held = hub.current(), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        with transaction.atomic():
            if what == "room":
                rooms.lock(held.pk)
            else:
                Participant.objects.select_for_update().get(room=held, member=ana)
            loop.call_soon_threadsafe(is_held.set)
            may_go_on.wait(10)

    holder = asyncio.create_task(in_db(hold)())
    await is_held.wait()
    waits = asyncio.create_task(here.write(held.pk, chat.message(ana, "waits", uuid4())))
    other = asyncio.create_task(here.write(free.pk, chat.message(ana, "goes through", uuid4())))
    if connection.vendor == "postgresql":  # SQLite has one lock for all rooms: there both wait
        async with asyncio.timeout(2):
            await other
    assert not waits.done()
    may_go_on.set()
    assert (await other)[0].seq == 1
    await holder
    assert (await waits)[0].seq == 1
