"""A feed: one room as one process hears it. What arrives early waits; what does not arrive is read once for all.

The first entry goes out at once; what comes in the pause after it, ten milliseconds or a little more, goes out
together: so a busy room costs each listener a hundred writes a second at most, however much is said.
"""

import asyncio
import logging
from collections.abc import Callable

from django.conf import settings

from realtime import frames, ids, reading
from realtime.frames import Parcel
from realtime.lines import Bundle, Line, Ready, Watch
from realtime.models import Entry
from realtime.threads import in_thread

log = logging.getLogger(__name__)

GAP_PATIENCE_S = 0.02  # two threads may publish 6 before 5: mostly 5 is just behind
PAUSE_S, MAX_PAUSE_S = 0.01, 0.1  # between two frames of a room
PULL = 500
KEPT = 500  # entries kept for who comes back
MAX_JOINED, MAX_JOINED_CHARACTERS = 32, 65_536
CHANGES = {Entry.Kind.EDIT, Entry.Kind.DELETE, Entry.Kind.REACTION, Entry.Kind.FORGET}

type Heed = Callable[["Feed", Parcel], bool]


class Feed:
    """How far a room was emitted in this process, who watches it, what came early and what is kept."""

    def __init__(self, room_id: int, epoch: int, heed: Heed) -> None:
        """`heed(feed, parcel)` is told of each entry in order before anybody hears it; False keeps it from them."""
        self.room_id = room_id
        self.epoch = epoch
        self.last = 0
        self.n = 0
        self.opened = asyncio.get_running_loop().create_future()
        self.early: dict[int, Parcel] = {}
        self.watches: dict[Line, Watch] = {}
        self.pulling: asyncio.Task[None] | None = None
        self._heed = heed
        self._out: list[Parcel] = []
        self._timer: asyncio.TimerHandle | None = None
        self._kept: list[Parcel] = []  # contiguous, up to `last`, each in its present state
        self._syncs: dict[int, Ready] = {}  # from `_kept`, by `after`
        self._reading = asyncio.Lock()

    def begin(self, head: int, n: int) -> None:
        """The room stands here: from now on it is emitted."""
        self.last, self.n = head, n
        self.early.clear()
        self._out.clear()
        self._forget_kept()
        if not self.opened.done():
            self.opened.set_result(None)
        self.drain()

    def end(self) -> None:
        """Nobody hears it any more."""
        if self.pulling is not None:
            self.pulling.cancel()
        if self._timer is not None:
            self._timer.cancel()

    # ------------------------------------------------------------------------------------------- hear

    def hear(self, parcel: Parcel) -> None:
        """An entry came by the bus; `drain` emits what is next."""
        self.early[parcel.seq] = parcel

    def drain(self) -> None:
        """Emit what is next; read what is missing when something early is left."""
        if not self.opened.done():
            return
        while (parcel := self.early.pop(self.last + 1, None)) is not None:
            self._emit(parcel)
        self._send_soon()
        if self.early:
            self.early = {seq: parcel for seq, parcel in self.early.items() if seq > self.last}
        if self.early:
            self.pull(GAP_PATIENCE_S)

    def pull(self, patience_s: float = 0.0) -> None:
        """Read what the bus has not brought, once for all sockets of the room."""
        if self.pulling is None or self.pulling.done():
            self.pulling = asyncio.create_task(self._pull(patience_s))

    async def _pull(self, patience_s: float) -> None:
        await asyncio.sleep(patience_s)
        known: set[int] = set()
        try:
            more = True
            while more:
                known = set(self.early)
                parcels = await in_thread(reading.log)(self.room_id, self.last, PULL)
                more = len(parcels) == PULL
                for parcel in parcels:
                    if parcel.seq == self.last + 1:
                        self._emit(parcel)
                self._send_soon()
        except Exception:  # the next turn sees that it is behind and tries again
            log.exception("hub: reading a room failed")
        # What came while it was read is still to be emitted. What was known before and is not in the log is not
        # asked for again: a word may be wrong, and the next turn compares with the database anyway.
        self.early = {
            seq: parcel
            for seq, parcel in self.early.items()
            if seq == self.last + 1 or (seq > self.last and seq not in known)
        }
        self.pulling = None
        self.drain()

    # ------------------------------------------------------------------------------------------- emit

    def _emit(self, parcel: Parcel) -> None:
        if parcel.kind == Entry.Kind.LEAVE:
            self._send()  # who leaves hears all that was said before
        self.last, self.n = parcel.seq, parcel.n
        if not self._heed(self, parcel):
            return
        self._out.append(parcel)
        if parcel.kind in CHANGES:
            self._forget_kept()  # what is kept there may be as it was before
        elif self._kept and self._kept[-1].seq == parcel.seq - 1:
            self._kept.append(parcel)
            self._syncs.clear()
            if len(self._kept) > 2 * KEPT:
                del self._kept[:KEPT]
        else:
            self._kept = [parcel]
            self._syncs.clear()

    def _forget_kept(self) -> None:
        self._kept.clear()
        self._syncs.clear()

    def _send_soon(self) -> None:
        """Send what waits at once; then pause, and join what comes meanwhile.

        Where there are other processes, the longer the longer sending took: their words come at other moments than
        ours, and would seldom be together when both are short of time.
        """
        if self._out and self._timer is None:
            loop = asyncio.get_running_loop()
            began = loop.time()
            self._send()
            took = loop.time() - began if settings.REDIS_URL else 0.0
            pause = min(max(2 * took, PAUSE_S), MAX_PAUSE_S)
            self._timer = loop.call_later(pause, self._send_again)

    def _send_again(self) -> None:
        self._timer = None
        self._send_soon()

    def _send(self) -> None:
        out, self._out = self._out, []
        for parcels in _in_pieces(out):
            bundle = Bundle(self.room_id, self.epoch, parcels)
            for watch in list(self.watches.values()):
                watch.take(bundle)

    def head_frame(self) -> str:
        """Where the room stands, for who does not keep up."""
        return frames.dumps({"type": "head", "room": ids.encode(self.room_id), "seq": self.last, "n": self.n})

    # ------------------------------------------------------------------------------------------ catch up

    async def since(self, after: int, limit: int) -> tuple[list[Parcel], bool]:
        """The log after `after` as far as it was emitted here, at most `limit`, and whether there is more.

        One read of the database for all who come back from the same place or a later one; none when it is kept.
        """
        if after >= self.last:
            return [], False
        async with self._reading:
            if not self._reaches(after):
                await self._keep(after, limit)
            if self._reaches(after):
                some = [parcel for parcel in self._kept if parcel.seq > after]
            else:  # a change came in between, or it is very far back
                read = await in_thread(reading.log)(self.room_id, after, limit + 1)
                some = [parcel for parcel in read if parcel.seq <= self.last]
        return some[:limit], len(some) > limit

    def _reaches(self, after: int) -> bool:
        return bool(self._kept) and self._kept[0].seq <= after + 1

    async def _keep(self, after: int, limit: int) -> None:
        """Read as far back as `after`, when that is not too far: who comes next needs it too."""
        if self.last - after > KEPT:
            return
        self._forget_kept()
        read = await in_thread(reading.log)(self.room_id, after, KEPT)
        came, self._kept = self._kept, [parcel for parcel in read if parcel.seq <= self.last]
        if came and self._kept and came[0].seq <= self._kept[-1].seq + 1:
            self._kept += [parcel for parcel in came if parcel.seq > self._kept[-1].seq]
        if not self._kept or self._kept[-1].seq != self.last:
            self._forget_kept()
        self._syncs.clear()

    async def sync(
        self, after: int, limit: int, unheard: frozenset[int], until: int = 0
    ) -> tuple[Ready, int, bool]:
        """A `sync` frame from `after`, the seq it reaches, and whether more is there. `until`: only what comes before."""
        shared = self._syncs.get(after) if not unheard and not until else None
        if shared is not None:
            return shared, self.last, False
        parcels, more = await self.since(after, limit)
        if until:
            parcels, more = [parcel for parcel in parcels if parcel.seq < until], False
        room = ids.encode(self.room_id)
        entries = [frames.as_heard(parcel, room, unheard) for parcel in parcels]
        ready = Ready(frames.joined(room, self.epoch, after, entries, more=more))
        reached = parcels[-1].seq if parcels else after
        if not (unheard or until or more) and reached == self.last and self._reaches(after):
            self._syncs[after] = ready
        return ready, reached, more


def _in_pieces(parcels: list[Parcel]) -> list[list[Parcel]]:
    """Parcels in their order, in pieces that make a frame of reasonable size."""
    pieces: list[list[Parcel]] = []
    size = 0
    for parcel in parcels:
        size += len(parcel.frame)
        if not pieces or len(pieces[-1]) >= MAX_JOINED or size > MAX_JOINED_CHARACTERS:
            pieces.append([])
            size = len(parcel.frame)
        pieces[-1].append(parcel)
    return pieces
