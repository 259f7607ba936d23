"""A client as interface.md describes one: it resumes by cursor, asks on a gap, sends again by key, and notes all it hears.

It knows nothing of what is done to its connection. What it noted is judged afterwards by proof.py.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID

from faults import Proxy
from view import Frame, Span, View
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

UUID_TEXT = "00000000-0000-0000-0000-000000000000"

PING_S, PONG_S = 1.5, 3.0  # the page is more patient; nobody here has minutes
ANSWER_S, OK_S = 3.0, 10.0
IN_FLIGHT, LONGEST_OUTBOX = 6, 15
WELCOME_S = 10.0
BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 3.0
ACK_EVERY, ACK_S, READ_S, ASK_AGAIN_S = 32, 5.0, 3.0, 0.6
NOTED = {"sync", "head", "reset", "gone", "error", "welcome"}
EMOJI = ["👍", "🎉", "🥐", "🚲"]


def uuid_of(rng: random.Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


@dataclass(slots=True)
class Op:
    """Something to be written, until it is acknowledged or refused for good."""

    key: str
    room: str
    frame: Frame
    made_at: float
    server: int = 0  # the port it was last sent to
    sent_at: float = 0.0
    retry_at: float = 0.0
    oks: list[tuple[float, int, int, bool]] = field(default_factory=list)  # when, seq, n, duplicate
    error: str = ""
    ended_at: float = 0.0

    @property
    def is_open(self) -> bool:
        return not self.oks and not self.error


class Talker:
    """One socket of one member, over a proxy of its own."""

    def __init__(
        self, name: str, me: str, token: str, rooms: list[str], proxy: Proxy, rng: random.Random
    ) -> None:
        self.name, self.me, self.token, self.proxy, self.rng = name, me, token, proxy, rng
        self.views = {room: View() for room in rooms}
        self.ops: list[Op] = []
        self.outbox: dict[str, Op] = {}
        self.welcomes: list[tuple[float, Frame]] = []
        self.reads: list[Frame] = []
        self.resets: list[tuple[float, Frame]] = []
        self.torn: list[Frame] = []
        self.notes: list[
            tuple[float, str, str]
        ] = []  # when, room, what was asked and heard of it: for people
        self.gaps: list[str] = []
        self.errors: list[tuple[float, Frame]] = []
        self.closes: list[tuple[float, int]] = []
        self.keeps_cursor = rng.random() < 0.5  # of a room it had to leave
        self.is_lazy = rng.random() < 0.15  # acknowledges nothing by number, only by time: its window fills
        self.twin: Talker | None = None  # another tab of the same member: both know one outbox
        self.server = 0
        self.line: ClientConnection | None = None
        self.is_welcome = False
        self.sockets = 0
        self._ref = 0
        self._hello_at = 0.0
        self._tries = 0

    # ------------------------------------------------------------------------------------------- a line

    async def live(self) -> None:
        """Connect, talk, and come back whatever happens; until cancelled."""
        while True:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                await self._one_line()
            longest = min(LONGEST_BACKOFF_S, BACKOFF_S * 2**self._tries)
            self._tries += 1
            await asyncio.sleep(self.rng.uniform(0, longest))

    async def _one_line(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        line = await connect(
            f"ws://127.0.0.1:{self.proxy.port}/ws/",
            additional_headers=headers,
            subprotocols=["circles.v1"],  # type: ignore[list-item]
            compression=None,
            open_timeout=5,
            ping_interval=PING_S,
            ping_timeout=PONG_S,
            close_timeout=0.3,
            max_queue=None,
        )
        self.server, self.line = self.proxy.reached, line
        self.sockets += 1
        keeping = asyncio.create_task(self._keep())
        try:
            await self._hello()
            async for text in line:
                await self._hear(json.loads(text))
        finally:
            keeping.cancel()
            self._off()
            line.transport.abort()
            await asyncio.gather(keeping, return_exceptions=True)
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # else it was us
                self.closes.append((monotonic(), line.close_code or 0))

    def _off(self) -> None:
        now = monotonic()
        self.line, self.is_welcome = None, False
        for view in self.views.values():
            if view.is_live:
                view.spans[-1].is_cut = True
            self._not_live(view, now)
            view.asked = ""

    @staticmethod
    def _not_live(view: View, now: float) -> None:
        if view.is_live:
            view.is_live = False
            view.spans[-1].until = now

    async def say(self, **frame: Any) -> None:
        """Send a frame if there is a line; what matters is sent again."""
        if self.line is not None:
            if frame["type"] in {"sync", "watch"}:
                self._note(frame.get("room", ""), f"asked {frame['ref']}")
            with contextlib.suppress(WebSocketException):
                await self.line.send(json.dumps(frame))

    def _note(self, room: str, text: str) -> None:
        self.notes.append((monotonic(), room, text))

    async def _hello(self) -> None:
        now = self._hello_at = monotonic()
        mine = {room: view for room, view in self.views.items() if view.is_in}
        for view in mine.values():
            view.asked, view.asked_at, view.begins = "hello", now, int(view.last < 0)
        cursors = {room: [view.epoch, view.last] for room, view in mine.items() if view.last >= 0}
        await self.say(type="hello", v=1, client=uuid_of(self.rng), watch=list(mine), cursors=cursors)

    # ------------------------------------------------------------------------------------------- hearing

    async def _hear(self, frame: Frame) -> None:
        if frame["type"] in NOTED:
            said = [
                f"{name}={frame[name]}" for name in ("ref", "seq", "after", "live", "code") if name in frame
            ]
            self._note(frame.get("room", ""), " ".join([frame["type"], *said]))
        handler: Callable[[Frame], Any] | None = getattr(self, f"_on_{frame['type']}", None)
        if handler is not None:
            await handler(frame)

    async def _on_welcome(self, frame: Frame) -> None:
        self.welcomes.append((monotonic(), frame))
        self.is_welcome = True
        self._tries = 0
        for op in self.outbox.values():
            op.sent_at = 0.0
        await self._send_more()

    async def _on_reset(self, frame: Frame) -> None:
        view = self.views[frame["room"]]
        view.begins -= 1
        self.resets.append(
            (monotonic(), frame | {"had": [view.epoch, view.last], "unasked": view.begins < 0})
        )
        view.begin(frame["epoch"], frame["head"])
        self._is_live_from_now(view)
        await self.say(type="history", ref=self._next("h"), room=frame["room"], limit=50)

    def _is_live_from_now(self, view: View) -> None:
        view.asked, view.is_in = "", True
        view.acked, view.acked_at = view.last, monotonic()
        if not view.is_live:
            view.is_live = True
            view.spans.append(Span(monotonic(), float("inf"), self.server))

    async def _on_sync(self, frame: Frame) -> None:
        view, now, room = self.views[frame["room"]], monotonic(), frame["room"]
        seqs = [entry["seq"] for entry in frame["entries"]]
        if seqs != list(range(frame["after"] + 1, frame["after"] + 1 + len(seqs))):
            self.torn.append(frame)
        is_complete = [view.take(entry, now) for entry in frame["entries"]]
        if not all(is_complete):
            self._note_gap(room, view)
        if view.last < 0 or frame["epoch"] != view.epoch:
            return
        if frame["after"] > view.last or not all(is_complete):
            return await self._ask(room)
        view.is_in = True
        if view.asked in {"hello", frame.get("ref")} or not view.asked:
            view.asked = ""
            if frame["more"]:
                return await self._ask(room)
            if frame["live"]:
                self._is_live_from_now(view)
        await self._maybe_ack(room, view)

    def _note_gap(self, room: str, view: View) -> None:
        """A line that is live leaves nothing out; it says `head` when it will."""
        if view.is_live and not view.asked:
            self.gaps.append(f"{room} after {view.last}")

    async def _on_entry(self, frame: Frame) -> None:
        view = self.views[frame["room"]]
        if not view.take(frame, monotonic()):
            self._note_gap(frame["room"], view)
            await self._ask(frame["room"])
        await self._maybe_ack(frame["room"], view)

    async def _on_head(self, frame: Frame) -> None:
        view = self.views[frame["room"]]
        if frame["seq"] > view.last:
            await self._ask(frame["room"])

    async def _on_history(self, frame: Frame) -> None:
        view = self.views[frame["room"]]
        for message in frame["messages"]:
            view.show(message)
        for change in view.changes:
            view.change(change)

    async def _on_gone(self, frame: Frame) -> None:
        self._out(self.views[frame["room"]])

    def _out(self, view: View) -> None:
        self._not_live(view, monotonic())
        view.is_in, view.asked, view.asked_at = False, "", monotonic()
        if not self.keeps_cursor:
            view.last = -1

    async def _on_read(self, frame: Frame) -> None:
        self.reads.append(frame)

    async def _on_ok(self, frame: Frame) -> None:
        op = self.outbox.pop(str(frame.get("ref")), None) or self._known(str(frame.get("ref")))
        if op is not None:
            op.ended_at = op.ended_at or monotonic()
            op.oks.append((monotonic(), frame["seq"], frame["n"], frame["duplicate"]))
        await self._send_more()

    def _known(self, key: str) -> Op | None:
        return next((op for op in reversed(self.ops[-200:]) if op.key == key), None)

    async def _on_error(self, frame: Frame) -> None:
        now = monotonic()
        self.errors.append((now, frame))
        ref, wait = str(frame.get("ref", "")), frame.get("retry_after")
        if (op := self.outbox.get(ref)) is not None:
            if wait is None:
                op.error, op.ended_at = frame["code"], now
                del self.outbox[ref]
                await self._send_more()
            else:
                op.retry_at = now + wait * self.rng.uniform(0.5, 1)
        elif not self.is_welcome and wait is not None:
            await asyncio.sleep(self.rng.uniform(0, wait))
            await self._hello()
        elif wait is not None and (view := self.views.get(frame.get("room", ""))) and view.asked == ref:
            view.asked_at = now + wait - ANSWER_S  # then it asks again
        elif len(ref) < len(UUID_TEXT) and frame.get("room") in self.views and frame["code"] == "not_found":
            self._out(self.views[frame["room"]])

    # ------------------------------------------------------------------------------------------- asking

    def _next(self, kind: str) -> str:
        self._ref += 1
        return f"{kind}{self._ref}"

    async def _ask(self, room: str) -> None:
        """Ask for what comes after the cursor, unless that is on its way."""
        view = self.views[room]
        if not view.asked and view.is_in and view.last >= 0:
            view.asked, view.asked_at = self._next("s"), monotonic()
            await self.say(type="sync", ref=view.asked, room=room, after=view.last)

    async def _begin(self, room: str, view: View) -> None:
        """Watch a room that is not watched (any more): from the cursor if there is one."""
        cursor = [view.epoch, view.last] if view.last >= 0 else None
        view.begins += cursor is None
        await self.say(type="watch", ref=self._next("w"), add={room: cursor}, drop=[])

    async def _maybe_ack(self, room: str, view: View) -> None:
        if view.last - view.acked >= ACK_EVERY and not self.is_lazy:
            await self._ack(room, view)

    async def _ack(self, room: str, view: View) -> None:
        view.acked, view.acked_at = view.last, monotonic()
        await self.say(type="ack", rooms={room: view.last})

    async def _keep(self) -> None:
        """What is due by time: answers that did not come, acknowledgements, what was read, rooms to come back to."""
        line = self.line
        read_at = monotonic()
        while True:
            await asyncio.sleep(0.2)
            now = monotonic()
            if not self.is_welcome:
                if now - self._hello_at > WELCOME_S and line is not None:
                    line.transport.abort()
                continue
            for room, view in self.views.items():
                await self._keep_room(room, view, now)
            if now - read_at >= READ_S:
                read_at = now
                await self.read_all()
            for op in self.outbox.values():
                if op.sent_at and now >= (op.retry_at or op.sent_at + OK_S):
                    op.sent_at = 0.0
            if self.is_welcome:
                await self._send_more()

    async def _keep_room(self, room: str, view: View, now: float) -> None:
        if not view.is_in:
            if now - view.asked_at > ASK_AGAIN_S:
                view.asked_at = now
                await self._begin(room, view)
        elif view.asked and now - view.asked_at > ANSWER_S:
            view.asked = ""
            await self._ask(room)
            if view.last < 0:
                view.asked, view.asked_at = "hello", now
                await self._begin(room, view)
        elif view.last > view.acked and now - view.acked_at > ACK_S:
            await self._ack(room, view)

    async def read_all(self) -> None:
        """Everything heard so far was read."""
        for room, view in self.views.items():
            if view.is_in and view.last > view.read:
                view.read = view.last
                await self.say(type="read", room=room, seq=view.last)

    # ------------------------------------------------------------------------------------------- writing

    async def write(self, room: str, verb: str, **fields: Any) -> None:
        """Put something into the outbox; it is sent until it is acknowledged or refused for good."""
        key = uuid_of(self.rng)
        frame = {"type": verb, "ref": key, "room": room, "key": key} | fields
        tabs = [self] if self.twin is None or self.rng.random() < 0.7 else [self, self.twin]
        for tab in tabs:
            await tab.put_out(Op(key, room, frame, monotonic()))

    async def put_out(self, op: Op) -> None:
        """Into the outbox, and on its way if there is a line."""
        self.ops.append(op)
        self.outbox[op.key] = op
        if self.is_welcome:
            await self._send_more()

    async def _send_more(self) -> None:
        """The oldest that are not on their way, a few at a time."""
        flying = sum(op.sent_at > 0 for op in self.outbox.values())
        waiting = [op for op in self.outbox.values() if not op.sent_at]
        for op in waiting[: max(0, IN_FLIGHT - flying)]:
            await self._send_op(op)

    async def _send_op(self, op: Op) -> None:
        op.sent_at, op.server, op.retry_at = monotonic(), self.server, 0.0
        await self.say(**op.frame)

    async def say_again(self) -> None:
        """Send something that was acknowledged once more, as after a lost answer."""
        done = [op for op in self.ops[-50:] if op.oks and not op.oks[0][3]]
        if done and self.is_welcome:
            await self._send_op(self.rng.choice(done))

    async def write_something(self) -> None:
        """A verb as people use them: mostly messages, now and then a change of one."""
        inside = [room for room, view in self.views.items() if view.is_in and view.last >= 0]
        if not inside:
            return
        room = self.rng.choice(inside)
        shown = self.views[room].messages
        recent = [seq for seq in sorted(shown)[-30:] if shown[seq].text is not None]
        own = [seq for seq in recent if shown[seq].author == self.me]
        dice = self.rng.random()
        if dice < 0.08 and own:
            await self.write(room, "edit", seq=self.rng.choice(own), text=f"changed by {self.name} {dice}")
        elif dice < 0.12 and own:
            await self.write(room, "delete", seq=self.rng.choice(own))
        elif dice < 0.30 and recent:
            fields = {"emoji": self.rng.choice(EMOJI), "on": self.rng.random() < 0.7}
            await self.write(room, "react", seq=self.rng.choice(recent), **fields)
        elif dice < 0.36:
            await self.say_again()
        else:
            reply_to = self.rng.choice(recent) if recent and dice > 0.85 else None
            await self.write(room, "send", text=f"{self.name} says {len(self.ops)}", reply_to=reply_to)

    async def talk(self, pause_s: float) -> None:
        """Write now and then, until cancelled; the outbox is no endless one."""
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / pause_s))
            if len(self.outbox) < LONGEST_OUTBOX:
                await self.write_something()

    async def rest(self) -> None:
        """Say nothing more and hang up."""
        if self.line is not None:
            await self.line.close()
