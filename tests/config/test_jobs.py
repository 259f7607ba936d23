"""Sweeps: one that waits for others does not make the rest wait, and never runs twice at once."""

import threading

import pytest

from config import jobs


@pytest.fixture
def slow() -> tuple[jobs.Sweep, threading.Semaphore, threading.Event]:
    """A sweep that says when it has begun, and goes on when it is let."""
    began, goes_on = threading.Semaphore(0), threading.Event()

    def work() -> None:
        began.release()
        goes_on.wait(10)

    return jobs.Sweep(work, 0, is_slow=True), began, goes_on


def test_a_slow_sweep_runs_beside_the_others_and_once_at_a_time(
    slow: tuple[jobs.Sweep, threading.Semaphore, threading.Event], monkeypatch: pytest.MonkeyPatch
):
    sweep, began, goes_on = slow
    stop, turns = threading.Event(), []

    def quick() -> None:
        turns.append(began.acquire(blocking=False))
        if len(turns) == 3:
            stop.set()

    monkeypatch.setattr(jobs, "table", lambda: [sweep, jobs.Sweep(quick, 0)])
    monkeypatch.setattr(jobs, "close_old_connections", lambda: None)
    jobs.run(stop)
    assert len(turns) == 3  # it never had to wait for the slow one
    goes_on.set()
    assert sweep.thread is not None
    sweep.thread.join(10)
    assert turns.count(True) + began.acquire(blocking=False) == 1
