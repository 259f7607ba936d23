"""Doing things at once: each in a thread with a connection of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection

THREADS = 40


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each gave back; for one that was refused, the code of the no. Any other error is raised.

    Up to `THREADS` begin at the same moment; of more, so many are under way at any time.
    """
    start = Barrier(len(works)) if len(works) <= THREADS else None

    def run(work: Callable[[], Any]) -> Any:
        if start is not None:
            start.wait()
        try:
            return work()
        except ValidationError as no:
            return getattr(no, "code", None) or str(no)
        finally:
            connection.close()

    with ThreadPoolExecutor(min(len(works), THREADS)) as pool:
        return list(pool.map(run, works))
