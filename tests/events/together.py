"""Doing things at once: each in a thread with a connection of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection

THREADS = 40


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each gave back; for one that was refused, the code of the no. Any other error is raised."""

    def run(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except ValidationError as no:
            return getattr(no, "code", None) or str(no)
        finally:
            connection.close()

    with ThreadPoolExecutor(min(len(works), THREADS)) as pool:
        return list(pool.map(run, works))
