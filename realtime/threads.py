"""From the event loop to the database and back: a small pool of threads, and questions asked together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial, wraps
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from django.db import close_old_connections, connection

KEEP_S = 2.0
QUIET_TURNS = 8

_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="sockets")


def in_thread[**P, R](work: Callable[P, R]) -> Callable[P, Awaitable[R]]:
    """A function that queries, to be awaited: it runs in a small pool, never on the loop.

    Channels' `database_sync_to_async` does the same and costs as much as a statement.
    """

    def kept(*given: P.args, **named: P.kwargs) -> R:
        close_old_connections()
        try:
            return work(*given, **named)
        finally:
            _keep_connection()
            close_old_connections()

    @wraps(work)
    async def on_pool(*given: P.args, **named: P.kwargs) -> R:
        run = partial(copy_context().run, kept, *given, **named)
        return await asyncio.get_running_loop().run_in_executor(_pool, run)

    return on_pool


def _keep_connection() -> None:
    """The thread's SQLite connection stays open for a moment: opening one costs as much as a whole message. PostgreSQL's
    come from a pool of their own and go back to it.
    """
    if connection.vendor == "sqlite" and connection.connection is not None:
        connection.close_at = monotonic() + KEEP_S


class Together[K, V]:
    """One question for many: who asks while an answer is on its way shares the next question.

    When two thousand sockets come back at once, each of them would otherwise ask the same of the database alone.
    """

    def __init__(self, find: Callable[[list[K]], Sequence[V]], at_most: int = 200) -> None:
        """`find(keys)` runs in a thread and gives an answer for each key, in their order."""
        self._find = find
        self._at_most = at_most
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, list[tuple[K, asyncio.Future[V]]]] = (
            WeakKeyDictionary()
        )
        self._busy: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()

    async def ask(self, key: K) -> V:
        """The answer for one key. Raises what `find` raised."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V] = loop.create_future()
        self._waiting.setdefault(loop, []).append((key, answer))
        busy = self._busy.get(loop)
        if busy is None or busy.done():
            self._busy[loop] = loop.create_task(self._work(loop))
        return await answer

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return all(task.done() for task in self._busy.values()) and not any(self._waiting.values())

    async def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while waiting := self._waiting.get(loop):
            await _all_have_come(waiting, self._at_most)
            asked = waiting[: self._at_most]
            del waiting[: self._at_most]
            try:
                found = await in_thread(self._find)([key for key, _answer in asked])
            except Exception as wrong:
                for _key, answer in asked:
                    if not answer.done():
                        answer.set_exception(wrong)
                continue
            for (_key, answer), value in zip(asked, found, strict=True):
                if not answer.done():
                    answer.set_result(value)


async def _all_have_come(waiting: list[Any], enough: int) -> None:
    """Wait for those who are on their way: until nobody new has come in `QUIET_TURNS` turns of the loop, which take far
    less time than an answer. Who was answered together asks together again, and not one half during the other's turn.
    """
    quiet, known = 0, len(waiting)
    while quiet < QUIET_TURNS and known < enough:
        await asyncio.sleep(0)
        quiet, known = (quiet + 1 if len(waiting) == known else 0), len(waiting)
