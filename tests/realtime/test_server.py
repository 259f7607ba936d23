"""A real server, real sockets: one process or several, cut and started again, nothing is lost."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from community.sign_ins import issue_token
from realtime import chat, rooms
from realtime.threads import in_thread as in_db
from tests.factories import make_member, make_room

from .sockets import session_of

pytestmark = pytest.mark.django_db(transaction=True)


class Program:
    """A program with a token: says hello, watches one room, keeps what it hears."""

    def __init__(self, server: Any, token: str, room: Any) -> None:
        self.server, self.token, self.room = server, token, room
        self.seqs: list[int] = []
        self.frames: list[dict[str, Any]] = []
        self.line: ClientConnection | None = None

    async def come(self, after: int | None = None) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        self.line = await connect(self.server.url, additional_headers=headers, subprotocols=["circles.v1"])  # type: ignore[list-item]
        cursor = after if after is not None else (self.seqs[-1] if self.seqs else 0)
        room = self.room.public_id
        await self.send(type="hello", v=1, client=str(uuid4()), watch=[room], cursors={room: [1, cursor]})

    async def send(self, **frame: Any) -> None:
        assert self.line is not None
        await self.line.send(json.dumps(frame))

    async def until(self, *, kind: str = "", seq: int = 0) -> dict[str, Any]:
        """Listen until a frame of this kind, or the entry of this seq."""
        assert self.line is not None
        async with asyncio.timeout(15):
            while not (seq and self.seqs and self.seqs[-1] >= seq):
                frame = json.loads(await self.line.recv())
                entries = (
                    frame["entries"]
                    if frame["type"] == "sync"
                    else [frame]
                    if frame["type"] == "entry"
                    else []
                )
                self.seqs += [entry["seq"] for entry in entries]
                if frame.get("more"):
                    await self.send(type="sync", room=self.room.public_id, after=self.seqs[-1])
                if kind and frame["type"] == kind:
                    return dict(frame)
        return {}


async def programs(server: Any, *others: Any) -> tuple[Any, list[Any], list[Program]]:
    members = [await in_db(make_member)() for _ in range(1 + len(others))]
    room = await in_db(make_room)(*members)
    tokens = [await in_db(issue_token)(member, "test") for member in members]
    return (
        room,
        members,
        [Program(at, token, room) for at, token in zip((server, *others), tokens, strict=True)],
    )


async def post(member: Any, room: Any, count: int) -> int:
    for number in range(count):
        entry, _known = await in_db(chat.post)(member, room.pk, str(number), uuid4())
    return entry.seq


async def test_a_restart_of_the_server_loses_nothing(serve: Any):
    server = await in_db(serve)()
    room, (ana, _bo), (first, second) = await programs(server, server)
    await first.come()
    await second.come()
    await first.send(type="send", ref=1, room=room.public_id, key=str(uuid4()), text="before")
    await second.until(seq=1)
    key = str(uuid4())
    await first.send(type="send", ref=2, room=room.public_id, key=key, text="was it heard?")
    await in_db(server.stop)()
    with pytest.raises(ConnectionClosed):
        await second.until(seq=10**6)

    await post(ana, room, 3)  # meanwhile, from elsewhere
    await in_db(server.start)()
    for program in (first, second):
        await program.come()
    await first.send(type="send", ref=3, room=room.public_id, key=key, text="was it heard?")
    ok = await first.until(kind="ok")
    await post(ana, room, 1)

    for program in (first, second):
        await program.until(seq=6)
        assert program.seqs == [1, 2, 3, 4, 5, 6]
        assert program.line is not None
        await program.line.close()
    assert 2 <= ok["seq"] <= 5


async def test_what_one_process_commits_the_others_hear(serve: Any):
    """With Redis at once, without it by the look at the heads: two servers and this process on one database."""
    one, other = await in_db(serve)(), await in_db(serve)()
    room, (ana, _bo), (first, second) = await programs(one, other)
    for program in (first, second):
        await program.come()
        await program.until(kind="sync")
    for number in range(10):
        for program in (first, second):
            await program.send(type="send", room=room.public_id, key=str(uuid4()), text=str(number))
    await post(ana, room, 5)

    for program in (first, second):
        await program.until(seq=25)
        assert program.seqs == list(range(1, 26))
    await in_db(rooms.leave)(room, ana)
    gone = await first.until(kind="gone")
    assert gone["seq"] == 26
    await in_db(rooms.sign_out)(ana.pk, "signed out")
    assert first.line is not None and second.line is not None
    with pytest.raises(ConnectionClosed) as end:
        await first.until(kind="never")
    assert end.value.rcvd is not None and end.value.rcvd.code == 4001
    await second.line.close()


async def test_a_browser_gets_in_by_its_cookie_and_a_foreign_page_does_not(serve: Any):
    server = await in_db(serve)()
    ana = await in_db(make_member)()
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={await in_db(session_of)(ana)}"}

    for host in ("localhost", "127.0.0.1"):
        async with connect(
            server.url, additional_headers=cookie, origin=f"http://{host}:{server.port}"
        ) as line:  # type: ignore[arg-type]
            await line.send(json.dumps({"type": "hello", "v": 1, "client": str(uuid4())}))
            assert json.loads(await line.recv())["type"] == "welcome"
    with pytest.raises(InvalidStatus) as refused:
        await connect(server.url, additional_headers=cookie, origin="http://example.org")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


async def test_bytes_that_are_no_frames_end_one_socket_and_no_other(serve: Any):
    server = await in_db(serve)()
    _room, _members, (bad, good) = await programs(server, server)
    await good.come()
    await good.until(kind="welcome")
    for rubbish in (b"\xff\xfe", "{", "[" * 60_000, "x" * 200_000):
        await bad.come(0)
        assert bad.line is not None
        await bad.line.send(rubbish)
        with pytest.raises(ConnectionClosed):
            await bad.until(kind="never")
    await good.send(type="follow", ref=7, topics=[])
    assert (await good.until(kind="ok"))["ref"] == 7
    assert good.line is not None
    await good.line.close()


async def test_a_server_that_is_asked_to_end_says_goodbye_and_is_gone_in_time(serve: Any):
    server = await in_db(serve)()
    room, (ana, _bo), (first, second) = await programs(server, server)
    for program in (first, second):
        await program.come()
        await program.until(kind="welcome")
    await post(ana, room, 3)
    for program in (first, second):
        await program.until(seq=3)

    began = asyncio.get_running_loop().time()
    server.ask_to_end()
    for program in (first, second):
        bye = await program.until(kind="bye")
        assert bye["reason"] == "restarting"
        assert 0 <= bye["retry_after"] <= 1
        with pytest.raises(ConnectionClosed) as end:
            await program.until(kind="never")
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 4012
    await in_db(server.wait)()
    assert asyncio.get_running_loop().time() - began < 10
