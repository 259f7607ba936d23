"""Who leaves hears nothing more, at whatever moment of whatever question of theirs it happens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from community.models import ApiToken
from realtime import clock, feeds, hub, rooms, socket, threads
from realtime.lines import Line, Watch
from realtime.threads import in_thread as in_db
from tests.factories import make_room

from .sockets import Tab, post, show, two_in_a_room

pytestmark = pytest.mark.django_db(transaction=True)

READS = {"heads", "entries", "log", "_find", "_find_signed_in"}
QUESTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "sync": lambda room: {"type": "sync", "room": room, "after": 0},
    "sync ahead": lambda room: {"type": "sync", "room": room, "after": 10**12},
    "watch": lambda room: {"type": "watch", "add": {room: None}},
    "watch from a place": lambda room: {"type": "watch", "add": {room: [1, 0]}},
    "hello": lambda room: {"type": "hello", "v": 1, "client": str(uuid4()), "watch": [room]},
}


def _name(work: Callable[..., Any]) -> str:
    return getattr(work, "__name__", "")


class Leaving:
    """Lets the member leave just before or just after the n-th time the database is read for their socket."""

    def __init__(self, member: Any, room: Any, nth: int, is_before: bool) -> None:
        self.member, self.room, self.nth, self.is_before = member, room, nth, is_before

    def in_thread(self, work: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        async def read(*given: Any) -> Any:
            self.nth -= _name(work) in READS
            is_now = self.nth == 0 and _name(work) in READS
            if is_now and self.is_before:
                await self.leave()
            found = await in_db(work)(*given)
            if is_now and not self.is_before:
                await self.leave()
            return found

        return read

    async def leave(self) -> None:
        """Leave, and wait until the hub has heard of it."""
        await in_db(rooms.leave)(self.room, self.member)
        feed = hub.current()._feeds.get(self.room.pk)
        while feed is not None and feed.opened.done() and feed.last < 2:
            await asyncio.sleep(0.001)


async def barrier(tab: Tab) -> None:
    """Everything put on the socket before this has been heard."""
    await tab.send(type="follow", ref="here", topics=[])
    await tab.next("ok")


@pytest.mark.parametrize("question", QUESTIONS)
async def test_who_leaves_while_the_database_is_read_for_them_hears_nothing_after(
    question: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hub, "TICK_S", 60)
    ana, bo, _room = await two_in_a_room()
    for nth, is_before in [(nth, is_before) for nth in (1, 2, 3) for is_before in (True, False)]:
        room = await in_db(make_room)(ana, bo)
        await post(ana, room, "before")
        anas = await Tab.watching(ana, room)
        bos = await (Tab.of(bo) if question == "hello" else Tab.watching(bo, room))

        with monkeypatch.context() as reading:
            leaving = Leaving(bo, room, nth, is_before)
            for module in (hub, socket, feeds, threads):
                reading.setattr(module, "in_thread", leaving.in_thread)
            await bos.send(**QUESTIONS[question](room.public_id))
            await barrier(bos)
        await in_db(rooms.leave)(room, bo)  # where there were fewer reads, now
        await post(ana, room, "secret")
        while (await anas.entries(1))[0]["kind"] != "message":
            pass
        await barrier(bos)

        assert [frame for frame in bos.heard if frame["type"] == "entry"] == []
        assert "secret" not in str(bos.heard)
        assert [frame for frame in bos.heard if frame["type"] == "gone" or frame.get("code") == "not_found"]
        for tab in (anas, bos):
            await tab.leave()


async def nowhere(message: dict[str, Any]) -> None:
    pass


async def test_only_a_return_outweighs_a_leave_that_was_heard_while_reading():
    watch = Watch(Line(nowhere, 1), 7)
    watch.buffer()
    assert not watch.ends_at(5)
    watch.buffer()
    assert watch.resume(10**12, is_live=True, seen_at=4) == 5

    watch = Watch(Line(nowhere, 1), 7)
    watch.buffer()
    assert not watch.ends_at(5)
    assert watch.resume(8, is_live=True, seen_at=8) == 0
    assert not watch.ends_at(5)  # the bus is late: they came back at 6
    assert watch.ends_at(9)


async def test_nobody_who_is_not_known_to_be_in_a_room_hears_who_is_typing(monkeypatch: pytest.MonkeyPatch):
    ana, bo, room = await two_in_a_room()
    await in_db(rooms.leave)(room, bo)
    await in_db(show)(ana)
    anas, bos = await Tab.watching(ana, room), await Tab.watching(bo)
    line = next(iter(hub.current().callers.of(bo.pk)))
    await hub.current().watch(line, [room.pk])  # as a question of theirs that is not answered yet

    await anas.send(type="typing", room=room.public_id)
    await anas.next("typing")

    assert await bos.nothing(0.05)
    for tab in (anas, bos):
        await tab.leave()


async def test_a_revoked_token_ends_its_sockets_and_no_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    ana, _bo, room = await two_in_a_room()
    revoked = await Tab.watching(ana, room)
    first = await in_db(ApiToken.objects.get)(member=ana)
    other = await Tab.watching(ana, room)

    await in_db(ApiToken.objects.filter(pk=first.pk).update)(revoked_at=clock.now())

    assert await revoked.closed() == 4001
    assert await other.nothing()
    await other.leave()
