"""The hub: one in each process. It hears rooms and topics and hands each frame, encoded once, to its sockets.

- A room is emitted strictly by seq (feeds). What arrives early waits; what does not arrive is read once, for everybody.
- A socket is registered and buffers before the database is read, so that nothing falls between the two.
- Rights end at an entry: who leaves is cut at the seq of their leave entry, on every process.
- Every second the heads of the watched rooms are compared with the database in one query: the bus may lose
  everything and only costs that second.

All of it runs on the event loop; only `in_thread` touches the database.
"""

import asyncio
import contextlib
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Iterable
from weakref import WeakKeyDictionary

from realtime import bell, bus, callers, frames, ids, live, marks, rooms, writing
from realtime.callers import Callers
from realtime.feeds import Feed
from realtime.frames import Parcel, Word
from realtime.lines import Line, Ready, Watch
from realtime.models import Entry
from realtime.presence import Presence
from realtime.ringing import Ringing
from realtime.threads import Together, in_thread
from realtime.writing import Asked, Outcome, Wish, Written

log = logging.getLogger(__name__)

TICK_S = 1.0
SESSIONS_EVERY = 5  # ticks
PRESENCE_EVERY = 2  # ticks
WISHES = 64  # in one transaction
SIGN_IN, BANNED, TOO_SLOW, TOO_MANY = 4001, 4403, 4008, 4009
RESTARTED = 1012  # RFC 6455's list: come back, a moment later
RESTARTING = 4012
DRAIN_S, DRAIN_STEP_S = 3.0, 0.05


class Hub:
    """Everything live of one process. Made by `current()` with the first socket, at rest after the last."""

    def __init__(self) -> None:
        self.epoch = 1
        self.callers = Callers()
        self.is_draining = False
        self._feeds: dict[int, Feed] = {}
        self._topics: dict[str, set[Line]] = {}
        self._reads: dict[tuple[int, int], int] = {}
        self._pen: Together[Asked, Outcome] = Together(writing.write_where_free, WISHES)
        self._pens: dict[int, Together[Asked, Outcome]] = {}  # of rooms that others hold
        self._typing: defaultdict[int, set[int]] = defaultdict(set)
        self._presence = Presence()
        self.bells = Ringing(self.callers)
        self._ear: bus.Ear | None = None
        self._control = 0
        self._clock: asyncio.Task[None] | None = None
        self._chores: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._wake = asyncio.Event()

    # ------------------------------------------------------------------------------------ come and go

    async def add(self, line: Line) -> bool:
        """A socket has arrived. False when the member has too many in this process already."""
        if not self.callers.add(line):
            return False
        async with self._starting:
            if self._clock is None:
                await self._start()
        return True

    async def remove(self, line: Line) -> None:
        """A socket has gone, or never quite came. After the last one the hub rests."""
        try:
            for room_id in list(line.watches):
                await self.unwatch(line, room_id)
            await self.follow(line, set())
        finally:
            self.callers.remove(line)
        async with self._starting:
            if not self.callers.lines and self._ear is not None:
                await self._stop()

    async def _start(self) -> None:
        if self._ear is not None:  # an earlier start did not come to its end
            await self._stop()
        room = await in_thread(rooms.control)()
        self._control = room.pk
        self._ear = bus.Ear(self._hear, self._lost)
        await self._ear.start(rooms.channel(room.pk), bell.CHANNEL)
        self.epoch = await in_thread(rooms.epoch)()
        self._feeds[room.pk] = self._new_feed(room.pk)
        await self._open([self._feeds[room.pk]])
        self._clock = asyncio.create_task(self._tick())

    async def _stop(self) -> None:
        tasks = [task for task in (self._clock, self._chores) if task is not None]
        self.bells.stop()
        self._clock = self._chores = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for feed in self._feeds.values():
            feed.end()
        self._feeds.clear()
        await self._write_reads()
        if self._ear is not None:
            await self._ear.stop()
            self._ear = None

    # ------------------------------------------------------------------------------------------ rooms

    def _new_feed(self, room_id: int) -> Feed:
        return Feed(room_id, self.epoch, self._heed)

    def feed(self, room_id: int) -> Feed | None:
        """The room as this process hears it, while somebody watches it."""
        return self._feeds.get(room_id)

    async def watch(self, line: Line, room_ids: Iterable[int]) -> None:
        """Register a socket at these rooms: from here on it buffers, until `Watch.resume` says where it stands.

        One query for all rooms that are new in this process; nothing of the rooms is read before.
        """
        feeds, new = [], []
        for room_id in room_ids:
            feed = self._feeds.get(room_id)
            if feed is None:
                feed = self._feeds[room_id] = self._new_feed(room_id)
                new.append(feed)
            watch = line.watches.setdefault(room_id, Watch(line, room_id))
            watch.buffer()
            feed.watches[line] = watch
            feeds.append(feed)
        await self._open(new)
        for feed in feeds:
            await feed.opened

    async def _open(self, new: list[Feed]) -> None:
        """Hear new rooms, then learn where they stand: in this order, so that nothing falls between."""
        if not new or self._ear is None:
            return
        try:
            await self._ear.subscribe({rooms.channel(feed.room_id) for feed in new})
            heads = await in_thread(rooms.heads)([feed.room_id for feed in new])
        except Exception as wrong:
            for feed in new:
                self._feeds.pop(feed.room_id, None)
                feed.opened.set_exception(wrong)
                feed.opened.exception()  # seen: nobody else may be waiting for it
            raise
        for feed in new:
            feed.begin(*heads.get(feed.room_id, (0, 0)))

    async def unwatch(self, line: Line, room_id: int) -> None:
        """The socket hears this room no more; the last one closes it in this process."""
        line.watches.pop(room_id, None)
        feed = self._feeds.get(room_id)
        if feed is None:
            return
        feed.watches.pop(line, None)
        await self._close_if_idle(feed)

    async def _close_if_idle(self, feed: Feed) -> None:
        if feed.watches or not feed.opened.done() or feed.room_id == self._control:
            return
        self._feeds.pop(feed.room_id, None)
        feed.end()
        if self._ear is not None:
            await self._ear.unsubscribe(rooms.channel(feed.room_id))

    def _hear(self, channel: str, word: object) -> None:
        """A word from the bus."""
        if channel.startswith(live.CHANNEL):
            ready = Ready(str(word))
            for line in self._topics.get(channel.removeprefix(live.CHANNEL), ()):
                line.put(ready)
            return
        if channel == bell.CHANNEL:
            self.bells.hear(str(word))
            return
        feed = self._feeds.get(int(channel.removeprefix(rooms.CHANNEL)))
        if feed is None:
            return
        for parcel in word if isinstance(word, Word) else Word.of(str(word)):
            if parcel.seq:
                feed.hear(parcel)
            elif parcel.kind == "read":
                for line in self.callers.of(parcel.member):
                    line.put(parcel.frame)
            elif parcel.kind == "typing":
                self._hear_typing(feed, parcel)
            elif parcel.kind == "presence":
                self._presence.hear(feed.room_id, parcel.frame)
        feed.drain()

    def _heed(self, feed: Feed, parcel: Parcel) -> bool:
        """An entry is about to be heard: obey the control log, cut who leaves. False: it is nobody's to hear."""
        if feed.room_id == self._control:
            self._obey(parcel)
            return False
        if parcel.kind == Entry.Kind.LEAVE:
            self._cut(feed, parcel)
        return True

    def _cut(self, feed: Feed, parcel: Parcel) -> None:
        """Who leaves hears the room up to their leave entry and nothing after it."""
        for line in [line for line in feed.watches if line.member_id == parcel.member]:
            if feed.watches[line].ends_at(parcel.seq):
                self.gone(line, feed.room_id, parcel.seq, "left")
                feed.watches.pop(line)

    def drop(self, line: Line, room_id: int) -> None:
        """Take a socket out of a room at once; an empty room is closed at the next turn."""
        line.watches.pop(room_id, None)
        if (feed := self._feeds.get(room_id)) is not None:
            feed.watches.pop(line, None)

    def gone(self, line: Line, room_id: int, seq: int, reason: str) -> None:
        """Tell a socket that a room is no longer its to hear."""
        line.watches.pop(room_id, None)
        line.put(frames.dumps({"type": "gone", "room": ids.encode(room_id), "seq": seq, "reason": reason}))

    def _obey(self, parcel: Parcel) -> None:
        """The control log: a session has ended, a member is suspended, or two hear nothing of each other any more."""
        if parcel.kind == Entry.Kind.BLOCK:
            self._part(parcel.member, parcel.frame)
            return
        if parcel.kind == Entry.Kind.SHOW:
            for line in self.callers.of(parcel.member):
                line.shown_as = "" if parcel.frame == "-" else line.name
            return
        code = BANNED if parcel.kind == Entry.Kind.SUSPEND else SIGN_IN
        for line in list(self.callers.of(parcel.member)):
            if not parcel.frame or parcel.frame == line.session:
                self._end(line, code)

    def _part(self, member_id: int, word: str) -> None:
        """Two are apart: what they know of each other already is read anew, without it, and the room of the two is gone.

        Where a block ends, the other one's may still hold: the page that is loaded next finds out.
        """
        if word.startswith("-"):
            return
        other_id, room_id = map(int, word.split())
        for one, other in ((member_id, other_id), (other_id, member_id)):
            for line in list(self.callers.of(one)):
                line.unheard |= {other}
                for watch in list(line.watches.values()):
                    if watch.room_id == room_id:
                        self.drop(line, room_id)
                        self.gone(line, room_id, watch.sent, "closed")
                    elif not watch.is_buffering:
                        line.put(frames.reset(watch.room_id, self.epoch, watch.sent, "rights"))

    def _end(self, line: Line, code: int) -> None:
        """Close a socket from here: nothing more is put on it, even before its goodbye comes back."""
        for room_id in list(line.watches):
            self.drop(line, room_id)
        for followers in self._topics.values():
            followers.discard(line)
        line.close(code)

    def _lost(self) -> None:
        """The bus may have missed words: compare with the database now."""
        self._wake.set()
        self.bells.count_again()

    # ------------------------------------------------------------------------------------------- tick

    async def _tick(self) -> None:
        turn = 0
        while True:
            turn += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._chores is None or self._chores.done():
                self._chores = asyncio.create_task(self._logged(self._do_chores(turn)))
            await self._logged(self._turn())

    async def _logged(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # the database may be away for a while: the sockets stay, the next turn tries again
            log.exception("hub: a turn failed")

    async def _turn(self) -> None:
        """What nobody may wait for: entries that the bus has lost. Nothing here speaks to the bus, which may not answer."""
        self._pens = {room_id: pen for room_id, pen in self._pens.items() if not pen.is_idle}
        opened = [room_id for room_id, feed in self._feeds.items() if feed.opened.done()]
        for room_id, (head, _n) in (await in_thread(rooms.heads)(opened)).items():
            feed = self._feeds.get(room_id)
            if feed is not None and head > feed.last:
                feed.pull()
        for feed in list(self._feeds.values()):
            self._tell_heads(feed)

    async def _do_chores(self, turn: int) -> None:
        """What can wait a while."""
        await self._write_reads()
        await self._tell_typing()
        self.callers.forget_idle()
        for feed in list(self._feeds.values()):
            await self._close_if_idle(feed)
        if turn % PRESENCE_EVERY == 0:
            await self._tell_presence()
        if turn % SESSIONS_EVERY == 0:
            await self._end_dead_sessions()
            if (epoch := await in_thread(rooms.epoch)()) != self.epoch:
                await self._begin_anew(epoch)

    def _tell_heads(self, feed: Feed) -> None:
        """Who does not keep up gets only the head; who shows no sign of life for a minute is let go."""
        head: str | None = None
        for line, watch in list(feed.watches.items()):
            if watch.is_full and watch.told < feed.last:
                head = head or feed.head_frame()
                watch.told = feed.last
                line.put(head)
            if watch.is_stuck or line.is_choked:
                self._end(line, TOO_SLOW)

    async def _begin_anew(self, epoch: int) -> None:
        """The database went back in time: everybody comes again, and every room is where it is now."""
        self.epoch = epoch
        self._reads.clear()
        for line in list(self.callers.lines):
            self._end(line, RESTARTED)
        heads = await in_thread(rooms.heads)(list(self._feeds))
        for room_id, feed in self._feeds.items():
            feed.epoch = epoch
            feed.begin(*heads.get(room_id, (0, 0)))

    async def _end_dead_sessions(self) -> None:
        """Sessions deleted without a word, tokens revoked, members switched off: one query each."""
        for line in await in_thread(callers.dead)(list(self.callers.lines)):
            self._end(line, SIGN_IN)

    async def drain(self) -> None:
        """Before the process ends: say goodbye to everybody, a few at a time, so that they do not all come back at
        once; what was read is written. At most `DRAIN_S`, and nobody new is taken.
        """
        self.is_draining = True
        lines = [line for line in self.callers.lines if line.is_open]
        random.shuffle(lines)  # who comes back first is not who came first
        steps = max(1, int(DRAIN_S / DRAIN_STEP_S))
        some = max(20, -(-len(lines) // steps))
        for begin in range(0, len(lines), some):
            for line in lines[begin : begin + some]:
                wait = round(random.uniform(0, 0.5), 3)  # noqa: S311 - jitter, no secret
                line.put(frames.dumps({"type": "bye", "reason": "restarting", "retry_after": wait}))
                self._end(line, RESTARTING)
            await asyncio.sleep(DRAIN_STEP_S)
        await self._write_reads()

    # ----------------------------------------------------------------------- what sockets say, coalesced

    async def write(self, room_id: int, wish: Wish) -> Written:
        """Write to a room's log, together with all who write anywhere while a transaction is on its way.

        Returns after the commit. Raises what the wish raises, and OperationalError.
        """
        outcome = await self._pen.ask((room_id, wish))
        if isinstance(outcome, writing.Busy):  # or not there: that takes the same time
            pen = self._pens.setdefault(room_id, Together(writing.write_all, WISHES))
            outcome = await pen.ask((room_id, wish))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def read(self, member_id: int, room_id: int, seq: int) -> None:
        """Remember how far a member has read; the newest of each second is written."""
        self._reads[member_id, room_id] = max(seq, self._reads.get((member_id, room_id), 0))

    async def _write_reads(self) -> None:
        """Write the newest reads. What cannot be written now is kept for the next turn; never raises."""
        reads, self._reads = self._reads, {}
        if not reads:
            return
        is_written = False
        try:
            await in_thread(marks.mark_all_read)(
                [(member, room, seq) for (member, room), seq in reads.items()]
            )
            is_written = True
        except Exception:
            log.exception("hub: writing what was read failed")
        finally:  # also when the turn is cut short
            if not is_written:
                for (member, room), seq in reads.items():
                    self.read(member, room, seq)

    def typing(self, member_id: int, room_id: int) -> None:
        """Remember that a member is typing; each second every listener gets one list."""
        self._typing[room_id].add(member_id)

    async def _tell_typing(self) -> None:
        typing, self._typing = self._typing, defaultdict(set)
        if typing:
            words = {room_id: " ".join(map(str, members)) for room_id, members in typing.items()}
            await in_thread(_publish)("typing", words)

    def _hear_typing(self, feed: Feed, parcel: Parcel) -> None:
        """Tell who watches the room live; who hears nothing of one who writes is not told of them."""
        writers = frozenset(map(int, parcel.frame.split()))
        everybody = Ready(_typing_frame(feed.room_id, writers))
        for line, watch in feed.watches.items():
            if not watch.is_live:  # else it is not known yet whether they may
                continue
            heard = writers - line.unheard
            if heard == writers:
                line.put(everybody)
            elif heard:
                line.put(_typing_frame(feed.room_id, heard))

    async def _tell_presence(self) -> None:
        """Say who is here and was not, and who was and is not; tell who watches what all processes said."""
        if words := self._presence.words(self.callers.lines):
            await in_thread(_publish)("presence", words)
        for room_id in self._presence.changes():
            feed = self._feeds.get(room_id)
            everybody = Ready(self._presence.frame(room_id))
            for line, watch in feed.watches.items() if feed else ():
                if watch.is_live:
                    is_partly = self._presence.concerns(room_id, line.unheard)
                    line.put(self._presence.frame(room_id, line.unheard) if is_partly else everybody)

    def tell_presence(self, line: Line, room_id: int) -> None:
        """Tell a socket that has just come who is here."""
        if self._presence.is_known(room_id):
            line.put(self._presence.frame(room_id, line.unheard))

    # ----------------------------------------------------------------------------------------- topics

    async def follow(self, line: Line, topics: set[str]) -> None:
        """The socket hears these topics and no others; the right to was checked by who asks."""
        added, dropped = topics - line.topics, line.topics - topics
        line.topics = topics
        for topic in added:
            self._topics.setdefault(topic, set()).add(line)
        if self._ear is not None and added:
            await self._ear.subscribe({live.CHANNEL + topic for topic in added})
        for topic in dropped:
            followers = self._topics.get(topic, set())
            followers.discard(line)
            if not followers:
                self._topics.pop(topic, None)
                if self._ear is not None:
                    await self._ear.unsubscribe(live.CHANNEL + topic)

    def numbers(self) -> dict[str, int]:
        """What /metrics shows of this process."""
        return {
            "sockets": len(self.callers.lines),
            "rooms": len(self._feeds),
            "topics": len(self._topics),
        }


def _publish(kind: str, words: dict[int, str]) -> None:
    """Say something passing in several rooms, to every process."""
    bus.publish({rooms.channel(pk): Word([Parcel(0, 0, kind, 0, word)]) for pk, word in words.items()})


def _typing_frame(room_id: int, writers: Iterable[int]) -> str:
    members = [ids.encode(pk) for pk in writers]
    return frames.dumps({"type": "typing", "room": ids.encode(room_id), "members": members})


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current() -> Hub:
    """The hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
