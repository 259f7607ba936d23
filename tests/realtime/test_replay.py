"""A real conversation, said again through sockets: nothing lost, doubled or out of order, whoever is cut meanwhile."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import pytest
from django.conf import settings as house

from realtime import chat
from realtime.models import Entry
from realtime.threads import in_thread as in_db
from tests.factories import make_member, make_room

from .sockets import Tab

pytestmark = pytest.mark.django_db(transaction=True)

LOGS = Path(house.ROOT).parent / "shared/data/chat"
SESSIONS = ["rust-0", "ubuntu-meeting-0"]
LINES = 300  # of the annotated tail: who answers whom is known there
VOICES = 5


def lines_of(session: str) -> list[dict[str, Any]]:
    path = LOGS / f"{session}.jsonl"
    if not path.exists():
        print(f"no {path.name} here: {LINES} lines are not said again")
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["text"].strip()][-LINES:]


class Cut:
    """A listener whose line breaks again and again, and who resumes from its cursor."""

    def __init__(self, member: Any, room: Any) -> None:
        self.member, self.room = member, room
        self.heard: list[dict[str, Any]] = []
        self.acked = 0
        self.tab: Tab | None = None

    @property
    def cursor(self) -> int:
        return int(self.heard[-1]["seq"]) if self.heard else 0

    async def come(self) -> None:
        self.tab = await Tab.of(self.member)
        cursors = {self.room.public_id: [1, self.cursor]}
        await self.tab.send(
            type="hello", v=1, client=str(uuid4()), watch=[self.room.public_id], cursors=cursors
        )

    async def hear(self, until: int) -> None:
        """Listen until the entry `until` was heard."""
        assert self.tab is not None
        while self.cursor < until:
            frame = await self.tab.next("sync", "entry", "head")
            if frame["type"] == "head":  # the window is full
                await self.tab.send(type="sync", room=self.room.public_id, after=self.cursor)
                continue
            self.heard += frame["entries"] if frame["type"] == "sync" else [frame]
            if frame.get("more"):
                await self.tab.send(type="sync", room=self.room.public_id, after=self.cursor)
            elif self.cursor >= self.acked + 32:  # several come in one frame: not every seq is a cursor
                self.acked = self.cursor
                await self.tab.send(type="ack", rooms={self.room.public_id: self.cursor})

    async def go(self) -> None:
        assert self.tab is not None
        await self.tab.leave()


@pytest.mark.parametrize("session", SESSIONS)
async def test_a_real_log_comes_out_as_it_went_in(session: str, settings: Any):
    settings.RATE_LIMITS = False  # three hundred lines are said in seconds
    lines = lines_of(session)
    people = [await in_db(make_member)() for _ in range(VOICES + 2)]
    room = await in_db(make_room)(*people)
    voices = [await Tab.watching(member, room) for member in people[:VOICES]]
    steady, cut = Cut(people[-2], room), Cut(people[-1], room)
    await steady.come()
    await cut.come()
    seq_of: dict[int, int] = {}

    for number, line in enumerate(lines):
        voice = voices[crc32(str(line["user"]).encode()) % VOICES]
        answered = [seq_of[one] for one in line.get("reply_to", []) if one in seq_of and one != line["id"]]
        frame = {"key": str(uuid4()), "reply_to": answered[0] if answered else None}
        ok = await voice.say(room, line["text"], **frame)
        assert ok["type"] == "ok" and not ok["duplicate"], ok
        seq_of[line["id"]] = ok["seq"]
        if number % 9 == 0:  # the answer was lost: said again
            again = await voice.say(room, line["text"], **frame)
            assert (again["seq"], again["duplicate"]) == (ok["seq"], True)
        if number % 40 == 39:
            for tab in voices:
                await tab.send(type="ack", rooms={room.public_id: ok["seq"]})
                tab.heard.clear()
            await steady.hear(ok["seq"])
            await cut.hear(ok["seq"] - 15)
            await cut.go()
            await cut.come()

    said = [(number + 1, chat.clean(line["text"])) for number, line in enumerate(lines)]
    for listener in (steady, cut):
        await listener.hear(len(lines))
        assert [(entry["seq"], entry["body"]["text"]) for entry in listener.heard] == said
        await listener.go()
    assert await in_db(Entry.objects.filter(room=room).count)() == len(lines)
    for tab in voices:
        await tab.leave()
