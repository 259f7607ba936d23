"""The bus is a hint: when Redis is away, sockets of this process hear at once and nothing is lost."""

import asyncio
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as house

from realtime import bus, chat, hub, rooms
from realtime.threads import in_thread as in_db
from tests.factories import make_member, make_room

from .sockets import Tab

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def no_redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that should be there and is not."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(bus, "_closed_until", 0.0)


async def test_talk_goes_on_while_redis_is_away(no_redis: None):
    ana, bo = await in_db(make_member)(), await in_db(make_member)()
    room = await in_db(make_room)(ana, bo)
    tab = await Tab.watching(bo, room)
    for number in range(5):
        await in_db(chat.post)(ana, room.pk, str(number), uuid4())

    assert [frame["seq"] for frame in await tab.entries(5)] == [1, 2, 3, 4, 5]
    assert not bus.is_up()
    await tab.leave()


def test_a_redis_that_is_away_is_not_asked_every_time(no_redis: None):
    started = monotonic()
    for _ in range(1000):
        bus.publish({"circles:room:1": "x"})
    assert monotonic() - started < 1


async def test_a_word_that_nobody_understands_is_passed_over():
    heard: list[int] = []
    ear = bus.Ear(lambda channel, text: heard.append(int(text)), lambda: None)

    for word in ("1", "?", "2"):
        ear._take({"type": "message", "channel": "circles:room:1", "data": word})

    assert heard == [1, 2]


@pytest.mark.parametrize("word", ["odd", "1 2 3", "v2 1 1 message 5 more\n{}", b"\xff\xfe", ""])
async def test_an_odd_word_does_not_deafen_the_process(word: str | bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "TICK_S", 60)
    ana, bo = await in_db(make_member)(), await in_db(make_member)()
    room = await in_db(make_room)(ana, bo)
    tab = await Tab.watching(bo, room)

    def publish(channel: str, text: Any) -> None:
        if house.REDIS_URL:
            bus._publisher(house.REDIS_URL).publish(channel, text)
        else:
            bus.publish({channel: text})

    for place in (room, await in_db(rooms.control)()):
        await in_db(publish)(rooms.channel(place.pk), word)
    await in_db(chat.post)(ana, room.pk, "still heard", uuid4())

    assert (await tab.entries(1))[0]["seq"] == 1
    await tab.leave()


async def test_a_redis_that_takes_calls_and_never_answers_holds_up_nobody(settings: Any):
    """As a frozen one does, or one behind a line that is half open."""
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    settings.REDIS_URL = f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0"
    ear = bus.Ear(lambda channel, text: None, lambda: None)
    began = monotonic()
    await ear.start("circles:room:1")
    await asyncio.sleep(0)
    await ear.subscribe({"circles:room:2"})
    await ear.unsubscribe("circles:room:2")
    assert monotonic() - began < 1
    await ear.stop()
    silent.close()


async def test_a_redis_that_falls_silent_is_called_anew(settings: Any, monkeypatch: pytest.MonkeyPatch):
    """Its line is half open: nothing comes, and nobody says that it has ended."""
    calls = asyncio.Semaphore(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.release()
        while command := await reader.read(4096):
            if b"SUBSCRIBE" in command:
                writer.write(b"*3\r\n$9\r\nsubscribe\r\n$14\r\ncircles:room:1\r\n:1\r\n")
            elif b"PING" not in command:
                writer.write(b"+OK\r\n" * command.count(b"*"))

    monkeypatch.setattr(bus, "SILENCE_S", 0.1)
    monkeypatch.setattr(bus, "RECONNECT_S", 0.1)
    redis = await asyncio.start_server(answer, "127.0.0.1", 0)
    settings.REDIS_URL = f"redis://127.0.0.1:{redis.sockets[0].getsockname()[1]}/0?protocol=2"
    lost: list[float] = []
    ear = bus.Ear(lambda channel, text: None, lambda: lost.append(monotonic()))
    await ear.start("circles:room:1")
    async with asyncio.timeout(10):
        await calls.acquire()
        await calls.acquire()
        await calls.acquire()
    assert len(lost) >= 2  # and the hub compared with the database each time
    await ear.stop()
    redis.close()
