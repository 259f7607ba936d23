"""A line: this process's end of one socket, and its watch of each room with the window that keeps it from drowning."""

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from time import monotonic
from typing import Any, Protocol

from realtime import frames, ids
from realtime.frames import Parcel

WINDOW = 64
PATIENCE_S = 60.0
MAX_BUFFERED_BYTES = 1_048_576

type Message = dict[str, Any]


class Ready:
    """A frame written once for everybody: as text, and as the bytes of a WebSocket message (RFC 6455 §5.2)."""

    __slots__ = ("_bytes", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._bytes: bytes | None = None

    @property
    def bytes(self) -> bytes:
        """One unmasked, final text frame, as servers send it."""
        if self._bytes is None:
            payload = self.text.encode()
            size = len(payload)
            if size < 126:
                head = struct.pack("!BB", 0x81, size)
            elif size < 65_536:
                head = struct.pack("!BBH", 0x81, 126, size)
            else:
                head = struct.pack("!BBQ", 0x81, 127, size)
            self._bytes = head + payload
        return self._bytes


class Wire(Protocol):
    """A server's own transport, where it is known: ready bytes go there without being made anew for each socket."""

    def write(self, frame: bytes) -> bool:
        """Send the bytes of a frame after what is on its way. False: this cannot be done now."""

    def waiting(self) -> int:
        """How many bytes the other end has not taken yet."""

    def hear(self, handle: Callable[[str], None]) -> None:
        """From here on give the texts of whole messages to `handle` at once, where that can be done."""

    def end(self) -> None:
        """Give nothing more to anybody."""


class Line:
    """One socket as the hub sees it. `put` and `close` never wait and never raise."""

    def __init__(self, send: Callable[[Message], Awaitable[None]], member_id: int, **more: Any) -> None:
        """`more`: session_key, session (its digest), token (its digest), wire."""
        self.member_id = member_id
        self.session_key: str = more.get("session_key", "")
        self.session: str = more.get("session", "")
        self.token: str = more.get("token", "")
        self.watches: dict[int, Watch] = {}
        self.topics: set[str] = set()
        self.unheard: frozenset[int] = frozenset()  # members it hears nothing of
        self.name = ""  # of its member
        self.shown_as = ""  # its member's name, when others may see that they are here
        self.last_sign = monotonic()
        self.is_open = True
        self.is_welcome = False  # it was told where it stands: what belongs to no room may follow
        self.has_rung = False  # the bell, before that
        self.unread = -1  # notifications, as it was told last
        self._send = send
        self.wire: Wire | None = more.get("wire")
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None

    def put(self, frame: str | Ready) -> None:
        """Send a ready frame after those already on their way."""
        if not self.is_open:
            return
        if isinstance(frame, Ready):
            if self.wire is not None and not self._waiting and self.wire.write(frame.bytes):
                return
            frame = frame.text
        self._push({"type": "websocket.send", "text": frame}, len(frame))

    def close(self, code: int) -> None:
        """Say goodbye after what is on its way, and send nothing more."""
        if self.is_open:
            self.is_open = False
            self._push({"type": "websocket.close", "code": code}, 0)

    @property
    def is_choked(self) -> bool:
        """Whether more than 1 MiB waits for the server or for the other end to take it."""
        waiting = self._waiting_bytes + (self.wire.waiting() if self.wire is not None else 0)
        return waiting > MAX_BUFFERED_BYTES

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


class Bundle:
    """Entries that a room emits at once, ascending and without a gap, made into a frame once for all who hear it.

    One entry is an `entry` frame; several are one `sync` frame, which is a tenth of the work of as many frames.
    """

    def __init__(self, room_id: int, epoch: int, parcels: list[Parcel]) -> None:
        self.parcels = parcels
        self.first, self.last, self.n = parcels[0].seq, parcels[-1].seq, parcels[-1].n
        self._room, self._epoch = ids.encode(room_id), epoch
        self._ready: dict[int, Ready] = {}

    def after(self, seq: int, unheard: frozenset[int]) -> Ready:
        """What a reader who has everything up to `seq` still has to hear of it."""
        seq = max(seq, self.first - 1)
        if unheard:
            heard = [frames.as_heard(parcel, self._room, unheard) for parcel in self.parcels]
            return Ready(self._written(seq, heard))
        ready = self._ready.get(seq)
        if ready is None:
            ready = self._ready[seq] = Ready(self._written(seq, [parcel.frame for parcel in self.parcels]))
        return ready

    def _written(self, seq: int, entries: list[str]) -> str:
        rest = entries[seq - self.first + 1 :]
        return rest[0] if len(rest) == 1 else frames.joined(self._room, self._epoch, seq, rest)

    def up_to(self, seq: int) -> "Bundle | None":
        """Only what comes before `seq`; None when that is nothing."""
        some = [parcel for parcel in self.parcels if parcel.seq < seq]
        return Bundle(ids.decode(self._room), self._epoch, some) if some else None


class State(Enum):
    BUFFERING = auto()  # the database is being read for this socket: keep what comes meanwhile
    WAITING = auto()  # a page was sent and more is there: the client asks for it
    LIVE = auto()
    FULL = auto()  # 64 entries were not acknowledged, or a read failed: only heads until the client syncs


class Watch:
    """One socket's view of one room: `sent` is contiguous, whatever happens."""

    __slots__ = (
        "_buffer",
        "_full_since",
        "_leaves",
        "_seen_at",
        "_state",
        "acked",
        "is_theirs",
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
        self._buffer: list[Bundle] = []
        self._full_since = 0.0
        self._state = State.WAITING
        self._leaves: list[int] = []
        self._seen_at = 0
        self.is_theirs = False  # the database has shown the member in the room

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
        self.is_theirs |= is_live or seen_at > 0
        left_at = self.left_at()
        buffered, self._buffer, self._leaves = self._buffer, [], []
        self._state = State.LIVE if is_live else State.WAITING
        if is_live:
            for bundle in buffered:
                heard = bundle.up_to(left_at) if left_at else bundle
                if heard is not None:
                    self.take(heard)
        return left_at

    def fall_behind(self) -> None:
        """What was asked for could not be read: tell the head again and again until the client asks anew.

        Only where the database has shown the member in the room: of another's they learn nothing.
        """
        if self.is_theirs:
            self._state = State.FULL
            self._full_since = monotonic()

    def left_at(self, seen_at: int = 0) -> int:
        """Where the member left while the database was being read, 0 when they did not, or were seen after it."""
        seen_at = max(self._seen_at, seen_at)
        return min((seq for seq in self._leaves if seq > seen_at), default=0)

    def ends_at(self, seq: int) -> bool:
        """The member leaves at `seq`. True: end now. False: they are back already, or `resume` will see to it."""
        if self._state is State.BUFFERING:
            self._leaves.append(seq)
            return False
        return seq > self._seen_at

    def take(self, bundle: Bundle) -> None:
        """The next entries of the room: send them, keep them or leave them out."""
        if self._state is State.LIVE:
            if bundle.last <= self.sent:
                return
            room_for = bundle if bundle.last <= self.acked + WINDOW else bundle.up_to(self.acked + WINDOW + 1)
            if room_for is not None and room_for.last > self.sent:
                sent, self.sent = self.sent, room_for.last
                self.line.put(room_for.after(sent, self.line.unheard))
            if room_for is not bundle:
                self._state = State.FULL
                self._full_since = monotonic()
                self.told = bundle.last
                head = {"type": "head", "room": ids.encode(self.room_id), "seq": bundle.last, "n": bundle.n}
                self.line.put(frames.dumps(head))
        elif self._state is State.BUFFERING:
            self._buffer.append(bundle)

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
