"""The bell as one process hears it: whose count has changed is told at their sockets, with one question for all of them."""

import asyncio
import logging

from realtime import bell, frames
from realtime.callers import Callers
from realtime.lines import Ready
from realtime.threads import Together

log = logging.getLogger(__name__)

NOTHING = "{}"  # came: the count alone is another


class Ringing:
    """Tells the sockets of this process how many notifications their member has not read."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._counts: Together[int, int] = Together(bell.counts)
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self, word: str) -> None:
        """A word of `bell`: who of them has a socket here is told."""
        for line in word.split("\n"):
            member, _space, frame = line.partition(" ")
            if frame.startswith("{") and self._callers.of(int(member)):
                self.ring(int(member), frame)

    def ring(self, member_id: int, frame: str = NOTHING) -> None:
        """Tell the member's sockets their count, and what came. Who asks while an answer is on its way shares the next."""
        task = asyncio.create_task(self._ring(member_id, frame))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ring(self, member_id: int, frame: str) -> None:
        try:
            unread = await self._counts.ask(member_id)
        except Exception:  # the database may be away: the next page knows the number
            log.exception("bell: counting failed")
            return
        ready = Ready(frames.notification(unread, frame))
        for line in self._callers.of(member_id):
            if not line.is_welcome:
                line.has_rung = True  # its welcome may have counted before this
            elif line.unread != unread or frame != NOTHING:
                line.unread = unread
                line.put(ready)

    def count_again(self) -> None:
        """The bus may have missed words: whose count is another by now is told."""
        for member_id in {line.member_id for line in self._callers.lines}:
            self.ring(member_id)

    def stop(self) -> None:
        """Tell nobody any more."""
        for task in self._tasks:
            task.cancel()
