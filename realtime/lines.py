"""A line: this process's end of one socket, and its watch of each room with the window that keeps it from drowning."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from time import monotonic
from typing import Any

from realtime import frames, ids
from realtime.frames import Parcel

WINDOW = 64
PATIENCE_S = 60.0
MAX_BUFFERED_BYTES = 1_048_576

type Message = dict[str, Any]


class Line:
    """One socket as the hub sees it. `put` and `close` never wait and never raise."""

    def __init__(
        self,
        send: Callable[[Message], Awaitable[None]],
        member_id: int,
        session_key: str = "",
        session: str = "",
        token: str = "",
    ) -> None:
        self.member_id = member_id
        self.session_key = session_key
        self.session = session
        self.token = token
        self.watches: dict[int, Watch] = {}
        self.topics: set[str] = set()
        self.last_sign = monotonic()
        self.is_open = True
        self._send = send
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None

    def put(self, text: str) -> None:
        """Send a ready frame after those already on their way."""
        if self.is_open:
            self._push({"type": "websocket.send", "text": text}, len(text))

    def close(self, code: int) -> None:
        """Say goodbye after what is on its way, and send nothing more."""
        if self.is_open:
            self.is_open = False
            self._push({"type": "websocket.close", "code": code}, 0)

    @property
    def is_choked(self) -> bool:
        """Whether more than 1 MiB waits for the server to take it."""
        return self._waiting_bytes > MAX_BUFFERED_BYTES

    def _push(self, message: Message, size: int) -> None:
        self._waiting.append(message)
        self._waiting_bytes += size
        if self._writer is None or self._writer.done():
            # An eager task runs at once and ends without a turn of the loop where `send` does not wait, as on daphne.
            self._writer = asyncio.Task(self._write(), loop=asyncio.get_running_loop(), eager_start=True)

    async def _write(self) -> None:
        with contextlib.suppress(Exception):  # a socket that has gone: its own end tells the hub
            while self._waiting:
                message = self._waiting[0]
                await self._send(message)
                self._waiting.popleft()
                self._waiting_bytes -= len(message.get("text", ""))


class State(Enum):
    BUFFERING = auto()  # the database is being read for this socket: keep what comes meanwhile
    WAITING = auto()  # a page was sent and more is there: the client asks for it
    LIVE = auto()
    FULL = auto()  # 64 entries were not acknowledged: only heads until the client syncs


class Watch:
    """One socket's view of one room: `sent` is contiguous, whatever happens."""

    __slots__ = (
        "_buffer",
        "_full_since",
        "_leaves",
        "_seen_at",
        "_state",
        "acked",
        "line",
        "room_id",
        "sent",
        "told",
    )

    def __init__(self, line: Line, room_id: int) -> None:
        self.line = line
        self.room_id = room_id
        self.sent = 0
        self.acked = 0
        self.told = 0
        self._buffer: list[Parcel] = []
        self._full_since = 0.0
        self._state = State.WAITING
        self._leaves: list[int] = []
        self._seen_at = 0

    def buffer(self) -> None:
        """Begin to keep what is emitted: the database will be read next. Who left meanwhile has still left."""
        self._state = State.BUFFERING
        self._buffer = []

    def resume(self, seq: int, *, is_live: bool, seen_at: int = 0) -> int:
        """The socket has been sent everything up to `seq`. Live: what came meanwhile follows at once.

        `seen_at`: a place in the log where the database showed the member in the room. Only that outweighs a
        leave entry: they came back after it. Returns the seq at which the member left, or 0; nothing after it
        is sent, and the caller takes the watch away.
        """
        self.sent = self.acked = self.told = seq
        self._seen_at = max(self._seen_at, seen_at)
        left_at = self.left_at
        buffered, self._buffer, self._leaves = self._buffer, [], []
        self._state = State.LIVE if is_live else State.WAITING
        if is_live:
            for parcel in buffered:
                if left_at and parcel.seq >= left_at:
                    break
                self.take(parcel)
        return left_at

    @property
    def left_at(self) -> int:
        """Where the member left while the database was being read, 0 when they did not."""
        return min((seq for seq in self._leaves if seq > self._seen_at), default=0)

    def ends_at(self, seq: int) -> bool:
        """The member leaves at `seq`. True: end now. False: they are back already, or `resume` will see to it."""
        if self._state is State.BUFFERING:
            self._leaves.append(seq)
            return False
        return seq > self._seen_at

    def take(self, parcel: Parcel) -> None:
        """The next entry of the room: send it, keep it or leave it out."""
        if self._state is State.LIVE:
            if parcel.seq <= self.sent:
                return
            if self.sent - self.acked >= WINDOW:
                self._state = State.FULL
                self._full_since = monotonic()
                self.told = parcel.seq
                head = {"type": "head", "room": ids.encode(self.room_id), "seq": parcel.seq, "n": parcel.n}
                self.line.put(frames.dumps(head))
                return
            self.sent = parcel.seq
            self.line.put(parcel.frame)
        elif self._state is State.BUFFERING:
            self._buffer.append(parcel)

    def ack(self, seq: int) -> None:
        """The client has everything up to `seq`."""
        self.acked = max(self.acked, min(seq, self.sent))

    @property
    def is_full(self) -> bool:
        return self._state is State.FULL

    @property
    def is_buffering(self) -> bool:
        return self._state is State.BUFFERING

    @property
    def is_live(self) -> bool:
        return self._state is State.LIVE

    @property
    def is_stuck(self) -> bool:
        """Behind for a minute, without a sign of life for a minute."""
        now = monotonic()
        return self.is_full and min(now - self._full_since, now - self.line.last_sign) > PATIENCE_S
