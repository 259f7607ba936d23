"""The bus is a hint: when Redis is away, sockets of this process hear at once and nothing is lost."""

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
        bus.publish("circles:room:1", "x")
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
    publish: Any = bus._publisher(house.REDIS_URL).publish if house.REDIS_URL else bus.publish

    for place in (room, await in_db(rooms.control)()):
        await in_db(publish)(rooms.channel(place.pk), word)
    await in_db(chat.post)(ana, room.pk, "still heard", uuid4())

    assert (await tab.entries(1))[0]["seq"] == 1
    await tab.leave()
