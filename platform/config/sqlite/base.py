"""SQLite with one queue for writers: whoever comes first writes first.

SQLite lets one connection write at a time and answers the others by trying again after a pause, so under
load the unlucky wait for ever: of 500 writers at once up to 31 got "database is locked". Here the threads of
this process wait in line before they write, and whoever is first locks a file that other processes wait for.

It is also what keeps a commit: before SQLite 3.51.3 a checkpoint beside a writer that begins the log anew can lose what
was committed in between ("WAL-reset bug"). Behind one lock for all who write or checkpoint they never meet.
"""

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

from django.db import connection
from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

PATIENCE_S = 20.0
AGAIN_S = 0.002  # between two looks at the file that another process holds
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


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


class FileLock:
    """A lock between processes (flock(2)), for one thread of each at a time. It ends with the process that holds it."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        os.register_at_fork(after_in_child=self._files.clear)  # a child's would be its parent's

    def acquire(self, database: str, timeout: float) -> bool:
        """Wait for the other processes that write to this database, at most `timeout` seconds. False: they still do."""
        if database not in self._files:
            self._files[database] = os.open(f"{database}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        until = monotonic() + timeout
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._files[database], fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if monotonic() > until:
                return False
            sleep(AGAIN_S)

    def release(self, database: str) -> None:
        """Let another process write."""
        if database in self._files:  # else this is a child, and the lock its parent's
            fcntl.flock(self._files[database], fcntl.LOCK_UN)


writers = FairLock()
processes = FileLock()


class Cursor(base.SQLiteCursorWrapper):
    """A cursor whose writes stand in line outside of transactions, too."""

    database: "DatabaseWrapper"

    def execute(self, query: str, params: Any = None) -> Any:
        with self.database.in_line_for(query):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self.database.in_line_for(query):
            return super().executemany(query, param_list)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's SQLite connection, standing in line before it begins to write."""

    _is_writer = False

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = self.connection.cursor(factory=Cursor)
        cursor.database = self
        return cursor

    @contextlib.contextmanager
    def in_line(self) -> Iterator[None]:
        """Hold the place of who may write; within it, nothing more is waited for. Raises OperationalError."""
        if self._is_writer:
            yield
            return
        self._stand_in_line()
        try:
            yield
        finally:
            self._leave_line()

    def in_line_for(self, query: str) -> contextlib.AbstractContextManager[None]:
        """In a transaction the line was stood in when it began; a single statement stands in it by itself."""
        is_single_write = not self.in_atomic_block and query.lstrip()[:7].upper().startswith(WRITES)
        return self.in_line() if is_single_write else contextlib.nullcontext()

    def _stand_in_line(self) -> None:
        until = monotonic() + PATIENCE_S
        if not writers.acquire(PATIENCE_S):
            raise OperationalError("database is locked: the line of writers did not move")
        try:
            is_ours = self.is_in_memory_db() or processes.acquire(self._path, until - monotonic())
        except BaseException:
            writers.release()
            raise
        if not is_ours:
            writers.release()
            raise OperationalError("database is locked: another process did not stop writing")
        self._is_writer = True

    @property
    def _path(self) -> str:
        return str(self.settings_dict["NAME"])

    def _start_transaction_under_autocommit(self) -> None:
        self._stand_in_line()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._leave_line()
            raise

    def _leave_line(self) -> None:
        if self._is_writer:
            self._is_writer = False
            try:
                if not self.is_in_memory_db():
                    processes.release(self._path)
            finally:
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
        with connection.in_line(), connection.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
