"""SQLite with one queue for writers: whoever comes first writes first.

SQLite lets one connection write at a time and answers the others by trying again after a pause, so under
load the unlucky wait for ever: of 500 writers at once up to 31 got "database is locked". Here the threads of
this process wait in line before BEGIN IMMEDIATE. Other processes still wait by SQLite's own timeout.
"""

import threading
from collections import deque
from typing import Any

from django.db import connection
from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

PATIENCE_S = 20.0


class FairLock:
    """A lock that is given in the order it was asked for, and may be released by another thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_held = False
        self._line: deque[threading.Event] = deque()

    def acquire(self, timeout: float) -> bool:
        """Wait for my turn, at most `timeout` seconds. False when it did not come."""
        with self._guard:
            if not self._is_held and not self._line:
                self._is_held = True
                return True
            turn = threading.Event()
            self._line.append(turn)
        if turn.wait(timeout):
            return True
        with self._guard:
            if turn.is_set():  # it came between the wait and this line
                return True
            self._line.remove(turn)
            return False

    def release(self) -> None:
        """Hand the lock to the next in line."""
        with self._guard:
            if self._line:
                self._line.popleft().set()
            else:
                self._is_held = False


writers = FairLock()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's SQLite connection, standing in line before it begins to write."""

    _is_writer = False

    def _start_transaction_under_autocommit(self) -> None:
        if not writers.acquire(PATIENCE_S):
            raise OperationalError("database is locked: the line of writers did not move")
        self._is_writer = True
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._leave_line()
            raise

    def _leave_line(self) -> None:
        if self._is_writer:
            self._is_writer = False
            writers.release()

    def _commit(self) -> Any:
        done = super()._commit()  # type: ignore[misc]
        self._leave_line()  # not when it failed: a rollback follows
        return done

    def _rollback(self) -> Any:
        try:
            return super()._rollback()  # type: ignore[misc]
        finally:
            self._leave_line()

    def _close(self) -> Any:
        try:
            return super()._close()  # type: ignore[misc]
        finally:
            self._leave_line()


def truncate_log() -> None:
    """The sweep: write the log back into the file and empty it, so that what was erased stands in neither.

    Where there is another database: nothing. Busy readers make it wait for the next turn.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
