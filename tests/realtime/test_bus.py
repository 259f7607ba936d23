"""The bus is a hint: when Redis is away, sockets of this process hear at once and nothing is lost."""

from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from realtime import bus, chat
from realtime.hub import in_thread as in_db
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
