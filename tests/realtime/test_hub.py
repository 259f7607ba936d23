"""The hub when things go wrong around it: sockets that end badly, a database that is away, words out of order."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError

from realtime import bus, callers, feeds, frames, hub, marks, reading, rooms, threads, writing
from realtime.lines import WINDOW
from realtime.models import Entry, Participant
from realtime.threads import Together
from realtime.threads import in_thread as in_db
from tests.factories import make_member

from .sockets import Tab, post, two_in_a_room

pytestmark = pytest.mark.django_db(transaction=True)


async def test_sockets_that_are_killed_in_the_middle_of_their_work_do_not_stay(
    monkeypatch: pytest.MonkeyPatch,
):
    """As daphne does: the transport goes with frames still waiting, five seconds later the task is cancelled."""
    ana, _bo, room = await two_in_a_room()
    here = hub.current()
    may_go_on, begun = asyncio.Event(), 0

    def slow(work: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        async def do(*given: Any) -> Any:
            nonlocal begun
            if work is writing.write_where_free:
                begun += 1
                await may_go_on.wait()
            return await in_db(work)(*given)

        return do

    tabs = [await Tab.watching(ana, room) for _ in range(callers.MAX_LINES_A_MEMBER)]
    monkeypatch.setattr(threads, "in_thread", slow)
    for tab in tabs:
        for _ in range(20):
            await tab.send(type="send", ref=1, room=room.public_id, key=str(uuid4()), text="x")
    while begun + sum(map(len, here._pen._waiting.values())) < len(tabs):
        await asyncio.sleep(0)
    for tab in tabs:
        await tab.wire.send_input({"type": "websocket.disconnect", "code": 1006})
    await asyncio.sleep(0.01)
    for tab in tabs:
        tab.wire.future.cancel()
    await asyncio.gather(*(tab.wire.future for tab in tabs), return_exceptions=True)

    again = await Tab.watching(ana, room)  # who has gone does not count, even before it is cleared away
    may_go_on.set()
    async with asyncio.timeout(5):
        while here.numbers()["sockets"] > 1:
            await asyncio.sleep(0.001)
    await again.leave()
    assert here.numbers() == {"sockets": 0, "rooms": 0, "topics": 0}
    assert await in_db(Entry.objects.filter(kind=Entry.Kind.MESSAGE).count)() == len(tabs)


async def asks_of(quiet_turns: int) -> list[int]:
    """How many were asked together each time by 16 who each ask again some turns of the loop after their answer."""
    asked: list[int] = []

    def find(keys: list[int]) -> list[int]:
        asked.append(len(keys))
        return keys

    together = Together(find)

    async def asker(number: int) -> None:
        for _ in range(10):
            await together.ask(number)
            for _turn in range(number % 4):
                await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "QUIET_TURNS", quiet_turns)
        await asyncio.gather(*map(asker, range(16)))
    return asked


async def test_who_was_answered_together_asks_together_again():
    assert await asks_of(threads.QUIET_TURNS) == [16] * 10
    assert len(await asks_of(0)) > 10  # witness: one half asks during the other's turn


async def test_what_was_read_is_kept_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    ana, bo, room = await two_in_a_room()
    await post(ana, room, "hello")
    tab = await Tab.watching(bo, room)
    write, failures = marks.mark_all_read, 2

    def away(reads: Any) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OperationalError("away")
        write(reads)

    monkeypatch.setattr(marks, "mark_all_read", away)
    await tab.send(type="read", room=room.public_id, seq=1)

    assert (await tab.next("read"))["seq"] == 1
    assert (await in_db(Participant.objects.get)(member=bo, room=room)).read_seq == 1
    await tab.leave()


async def test_a_turn_goes_on_when_reads_cannot_be_written(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    ana, bo, room = await two_in_a_room()
    tab = await Tab.watching(bo, room)

    def away(reads: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as outage:
        outage.setattr(marks, "mark_all_read", away)
        outage.setattr(bus, "publish", lambda words: None)
        hub.current().read(bo.pk, room.pk, 1)
        await post(ana, room, "the bus has lost this")
        assert (await tab.entries(1))[0]["seq"] == 1
    await tab.leave()


async def test_what_the_bus_has_lost_is_found_while_it_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    ana, bo, room = await two_in_a_room()
    tab = await Tab.watching(bo, room)
    answers, is_asked = threading.Event(), threading.Event()

    def silent(words: bus.Words) -> None:
        """A bus that takes a hint and does not come back, and loses what is said."""
        if any(" typing " in str(word) for word in words.values()):
            is_asked.set()
            answers.wait(10)

    with monkeypatch.context() as outage:
        outage.setattr(bus, "publish", silent)
        hub.current().typing(ana.pk, room.pk)
        async with asyncio.timeout(5):
            while not is_asked.is_set():
                await asyncio.sleep(0.01)
        await post(ana, room, "lost")
        assert (await tab.entries(1))[0]["body"]["text"] == "lost"
        assert not answers.is_set()
        answers.set()
    await tab.leave()


async def test_what_comes_early_while_the_log_is_read_is_not_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "TICK_S", 60)
    ana, bo, room = await two_in_a_room()
    tab = await Tab.watching(bo, room)
    held: list[bus.Words] = []
    publish, has_read = bus.publish, False

    def slowly(work: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        async def do(*given: Any) -> Any:
            nonlocal has_read
            found = await in_db(work)(*given)
            if work is reading.log and not has_read:
                has_read = True
                for number in (3, 4):
                    await post(ana, room, str(number))
                feed = hub.current()._feeds[room.pk]
                await in_db(publish)(held[3])  # and 3 is lost
                while 4 not in feed.early:
                    await asyncio.sleep(0.001)
            return found

        return do

    monkeypatch.setattr(bus, "publish", held.append)
    for number in (1, 2):
        await post(ana, room, str(number))
    monkeypatch.setattr(feeds, "in_thread", slowly)
    await in_db(publish)(held[1])

    assert [frame["seq"] for frame in await tab.entries(4)] == [1, 2, 3, 4]
    monkeypatch.undo()
    await tab.leave()


async def test_a_word_of_a_place_that_does_not_exist_is_not_asked_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(hub, "TICK_S", 60)
    ana, bo, room = await two_in_a_room()
    tab = await Tab.watching(bo, room)
    feed = hub.current()._feeds[room.pk]

    await in_db(bus.publish)({rooms.channel(room.pk): f"1000000 1 message {ana.pk}\n{{}}"})
    while not feed.early:
        await asyncio.sleep(0.001)
    async with asyncio.timeout(2):
        while feed.early or feed.pulling:
            await asyncio.sleep(0.001)
    await post(ana, room, "real")

    assert (await tab.entries(1))[0]["seq"] == 1
    await tab.leave()


class SlowRoom:
    """A loop's clock and somebody in a room to whom sending takes `cost` seconds."""

    def __init__(self, cost: float) -> None:
        self.cost, self.now = cost, 0.0
        self.pauses: list[float] = []
        self.heard: list[list[int]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, pause: float, then: Callable[[], None]) -> "SlowRoom":
        self.pauses.append(pause)
        self.then = then
        return self

    def take(self, bundle: Any) -> None:
        self.now += self.cost
        self.heard.append([parcel.seq for parcel in bundle.parcels])


@pytest.mark.parametrize(
    ("redis", "cost", "pause"),
    [("", 1.0, 0.01), ("redis://it", 0.001, 0.01), ("redis://it", 0.02, 0.04), ("redis://it", 1.0, 0.1)],
)
async def test_among_processes_a_room_joins_what_comes_the_longer_the_longer_sending_took(
    monkeypatch: pytest.MonkeyPatch, settings: Any, redis: str, cost: float, pause: float
):
    settings.REDIS_URL = redis
    feed, slow = feeds.Feed(1, 1, lambda _feed, _parcel: True), SlowRoom(cost)
    feed.begin(0, 0)
    monkeypatch.setattr(feeds, "asyncio", SimpleNamespace(get_running_loop=lambda: slow))
    feed.watches[object()] = slow  # type: ignore[index,assignment]
    for seq in range(1, 5):
        feed.hear(frames.Parcel(seq, seq, "message", 1, "{}"))
        feed.drain()
    assert slow.heard == [[1]], "the first at once"
    slow.then()
    assert slow.heard == [[1], [2, 3, 4]]
    assert slow.pauses == pytest.approx([pause, pause])


def away(*given: Any) -> Any:
    """A database that does not answer."""
    raise OperationalError("away")


async def test_a_room_that_could_not_be_read_is_told_of_until_it_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
):
    """A client that gives up at the first refusal would else hear nothing of the room until its line breaks."""
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    ana, bo, room = await two_in_a_room()
    await post(ana, room, "before")
    tab = await Tab.watching(bo, room)
    await post(ana, room, "heard")
    assert [entry["seq"] for entry in await tab.entries(1)] == [2]

    with monkeypatch.context() as outage:
        outage.setattr(reading, "log", away)
        await tab.send(type="sync", ref=7, room=room.public_id, after=0)
        refused = await tab.next("error")
        assert (refused["ref"], refused["code"], refused["retry_after"]) == (7, "too_fast", 1)
    assert await tab.nothing(), "nothing was said meanwhile"
    await post(ana, room, "and this")
    head = await tab.next("head")
    assert head["seq"] == 3
    await tab.send(type="sync", ref=8, room=room.public_id, after=0)
    page = await tab.next("sync")
    texts = [entry["body"]["text"] for entry in page["entries"]]
    assert (texts, page["live"]) == (["before", "heard", "and this"], True)
    await tab.leave()


async def test_who_only_fell_behind_is_not_looked_up_again(monkeypatch: pytest.MonkeyPatch):
    ana, bo, room = await two_in_a_room()
    tab = await Tab.watching(bo, room)
    await post(ana, room, "before")
    after = (await tab.entries(1))[0]["seq"]
    for number in range(WINDOW):
        await post(ana, room, f"no. {number}")
    head = await tab.next("head")
    assert head["seq"] == after + WINDOW
    tab.heard.clear()

    monkeypatch.setattr(rooms, "standing_of", away)
    monkeypatch.setattr(reading, "log", away)
    await tab.send(type="sync", ref=1, room=room.public_id, after=after)
    page = await tab.next("sync")
    assert (page["ref"], page["live"]) == (1, True)
    assert [entry["seq"] for entry in page["entries"]] == list(range(after + 1, head["seq"] + 1))
    await post(ana, room, "and on")
    assert (await tab.entries(1))[0]["seq"] == head["seq"] + 1

    await in_db(rooms.leave)(room, bo)
    await tab.next("gone")
    await tab.send(type="sync", ref=2, room=room.public_id, after=after)
    assert (await tab.next("error"))["code"] == "not_found"
    await tab.leave()


async def test_of_a_room_that_was_never_shown_to_be_theirs_nobody_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    ana, _bo, room = await two_in_a_room()
    stranger = await in_db(make_member)()
    tab = await Tab.watching(stranger)

    with monkeypatch.context() as outage:
        outage.setattr(rooms, "standing_of", away)
        await tab.send(type="watch", ref=1, add={room.public_id: [1, 1]}, drop=[])
        assert (await tab.next("error"))["retry_after"] == 1
    await post(ana, room, "between us")
    assert await tab.nothing()
    await tab.leave()
