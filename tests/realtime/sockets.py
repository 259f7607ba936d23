"""What the socket tests share: a browser's end of a WebSocket, spoken to in frames."""

import asyncio
from typing import Any
from uuid import uuid4

from asgiref.testing import ApplicationCommunicator
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from community.sign_ins import issue_token
from config.asgi import application
from realtime import chat, clock
from realtime.models import Entry, Showing
from realtime.threads import in_thread
from tests.factories import make_member, make_room


def session_of(member: Any) -> str:
    """A signed-in session of the member; its key."""
    session = SessionStore()
    session[SESSION_KEY] = str(member.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = member.get_session_auth_hash()
    session["since"] = session["seen"] = clock.now().timestamp()
    session.save()
    return str(session.session_key)


def cookie(session_key: str, origin: str = settings.PUBLIC_URL) -> list[tuple[bytes, bytes]]:
    """The headers a browser sends with a handshake."""
    return [
        (b"origin", origin.encode()),
        (b"cookie", f"{settings.SESSION_COOKIE_NAME}={session_key}".encode()),
    ]


class Wire(WebsocketCommunicator):
    """Channels' own keeps the connections of the threads open while it waits; here they are closed as in a server."""

    send_input = ApplicationCommunicator.send_input
    receive_output = ApplicationCommunicator.receive_output


class Tab:
    """One socket: frames that were not waited for are kept in `heard`."""

    def __init__(self, headers: list[tuple[bytes, bytes]], subprotocols: list[str] | None = None) -> None:
        offered = ["circles.v1"] if subprotocols is None else subprotocols
        self.wire = Wire(application, "/ws/", headers, offered)
        self.heard: list[dict[str, Any]] = []

    @classmethod
    async def of(cls, member: Any) -> "Tab":
        """A connected socket of a program, before its hello."""
        token = await in_thread(issue_token)(member, "test")
        tab = cls([(b"authorization", f"Bearer {token}".encode())])
        assert (await tab.wire.connect(5))[0]
        return tab

    @classmethod
    async def watching(cls, member: Any, *rooms: Any, **cursors: list[int]) -> "Tab":
        """A socket that has said hello and watches these rooms; cursors by public id."""
        tab = await cls.of(member)
        await tab.send(
            type="hello", v=1, client=str(uuid4()), watch=[r.public_id for r in rooms], cursors=cursors
        )
        tab.welcome = await tab.next("welcome")
        for _ in rooms:
            await tab.next("reset", "sync", "error")
        return tab

    welcome: dict[str, Any]

    async def send(self, **frame: Any) -> None:
        await self.wire.send_json_to(frame)

    async def next(self, *kinds: str, within_s: float = 5.0) -> dict[str, Any]:
        """The next frame of one of these kinds; others are kept."""
        for index, frame in enumerate(self.heard):
            if frame["type"] in kinds:
                return self.heard.pop(index)
        async with asyncio.timeout(within_s):
            while True:
                frame = await self.wire.receive_json_from(within_s)
                if frame["type"] in kinds:
                    return dict(frame)
                self.heard.append(frame)

    async def entries(self, count: int, room: Any = None) -> list[dict[str, Any]]:
        """The next `count` entries (of one room), whether they come alone or several in one frame."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = await self.next("entry", "sync")
            if room is None or frame["room"] == room.public_id:
                found += frame["entries"] if frame["type"] == "sync" else [frame]
        return found

    async def say(self, room: Any, text: str = "Labdien", **more: Any) -> dict[str, Any]:
        """Send a message and wait for its `ok` or `error`."""
        ref = str(uuid4())
        await self.send(
            **{"type": "send", "ref": ref, "room": room.public_id, "key": str(uuid4()), "text": text} | more
        )
        return await self.next("ok", "error")

    async def nothing(self, for_s: float = 0.2) -> bool:
        """Whether nothing at all comes for a while."""
        return not self.heard and await self.wire.receive_nothing(for_s)

    async def closed(self, within_s: float = 5.0) -> int:
        """The code the server closes with; frames before it are kept."""
        async with asyncio.timeout(within_s):
            while (out := await self.wire.receive_output(within_s))["type"] != "websocket.close":
                pass
        await self.leave()
        return int(out["code"])

    async def leave(self) -> None:
        await self.wire.disconnect(timeout=5)


def show(member: Any) -> None:
    """The member lets others see that they are here and that they write."""
    Showing.objects.create(member=member, is_shown=True)


async def two_in_a_room() -> tuple[Any, Any, Any]:
    """Two members and the room they are in."""
    ana, bo = await in_thread(make_member)(), await in_thread(make_member)()
    return ana, bo, await in_thread(make_room)(ana, bo)


async def post(member: Any, room: Any, text: str) -> Entry:
    """Say something as from a page."""
    return (await in_thread(chat.post)(member, room.pk, text, uuid4()))[0]
