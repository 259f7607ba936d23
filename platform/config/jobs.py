"""Later work: one table of sweeps and how often they run.

A sweep is a plain function of a floor below that looks for rows whose time has come and does what is due. It
may run twice, at once, or not for an hour: the rows say what is left to do.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from django.db import close_old_connections

from community import exports, personal_fields, privacy
from config import sessions
from config.sqlite.base import truncate_log
from events import guests, invited, partners, questions, reminding, series, undoing, waiting
from realtime import bell, notify

log = logging.getLogger(__name__)


@dataclass
class Sweep:
    """A function and how many seconds lie between two runs of it."""

    work: Callable[[], object]
    every_s: float
    due: float = field(default=0.0)
    is_slow: bool = False  # it waits for others: it runs beside the rest, and never twice at once
    thread: threading.Thread | None = None


def table() -> list[Sweep]:
    """Every sweep of the house."""
    return [
        Sweep(notify.send_due, 0.5),
        Sweep(bell.let_out, 2),
        Sweep(waiting.expire_offers, 2),
        Sweep(guests.expire, 5),
        Sweep(questions.seal_anew, 600),
        Sweep(reminding.remind_due, 30),
        Sweep(invited.send_due, 2),
        Sweep(undoing.let_go, 60),
        Sweep(series.extend_series, 3600),
        Sweep(sessions.end_over, 60),
        Sweep(exports.make_due, 2),
        Sweep(partners.read_due, 20, is_slow=True),
        Sweep(privacy.remind_due, 3600),
        Sweep(privacy.erase_due, 600),
        Sweep(truncate_log, 3600),
        *(Sweep(forget, 3600) for forget in personal_fields.sweeps()),  # what the privacy page promises
    ]


def run(stop: threading.Event) -> None:
    """Run what is due until `stop` is set. A sweep that fails is logged and tried again at its next turn."""
    sweeps = table()
    while not stop.is_set():
        for sweep in sweeps:
            if monotonic() >= sweep.due and not stop.is_set():
                sweep.due = monotonic() + sweep.every_s
                run_beside(sweep) if sweep.is_slow else run_once(sweep)
        stop.wait(0.25)


def run_beside(sweep: Sweep) -> None:
    """One turn of a slow sweep in a thread of its own, unless its last turn still runs."""
    if sweep.thread is None or not sweep.thread.is_alive():
        sweep.thread = threading.Thread(target=run_once, args=(sweep,), name="slow sweep", daemon=True)
        sweep.thread.start()


def run_once(sweep: Sweep) -> None:
    """One turn of one sweep, with database connections that went away replaced before and after."""
    close_old_connections()
    try:
        sweep.work()
    except Exception:  # one broken sweep must not stop the others; its rows are still due
        log.exception("sweep failed: %s", getattr(sweep.work, "__qualname__", sweep.work))
    finally:
        close_old_connections()


def start_thread() -> Callable[[], None]:
    """Run the sweeps beside the server, in this process. Returns what stops them."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,), name="sweeps", daemon=True)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(5)

    return end
