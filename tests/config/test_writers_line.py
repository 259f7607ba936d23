"""Writers on SQLite stand in one line: whoever comes first writes first, and a lock is never lost."""

import contextlib
import subprocess
import sys
import tempfile
import threading

import pytest
from django.db import connection, connections, transaction

from community.models import Interest
from config.sqlite.base import FairLock, FileLock, writers


def test_the_lock_is_given_in_the_order_it_was_asked_for():
    lock, order, waiting = FairLock(), [], []
    assert lock.acquire(1)
    for number in range(8):
        asked = threading.Event()

        def wait(number=number, asked=asked):
            asked.set()
            assert lock.acquire(10)
            order.append(number)
            lock.release()

        thread = threading.Thread(target=wait)
        thread.start()
        asked.wait(5)
        while len(lock._line) <= number:  # it stands in line before the next one asks
            pass
        waiting.append(thread)
    lock.release()
    for thread in waiting:
        thread.join(10)
    assert order == list(range(8))
    assert lock.acquire(0)


def test_who_gives_up_waiting_leaves_the_line():
    lock = FairLock()
    assert lock.acquire(1)
    assert not lock.acquire(0.01)
    lock.release()
    assert lock.acquire(0)


@pytest.mark.django_db(transaction=True)
def test_two_hundred_writers_at_once_all_write():
    interest = Interest.objects.create(slug="counter", group="play", emoji="🎲", position=0)
    failures = []

    def write():
        try:
            for _ in range(5):
                with transaction.atomic():
                    row = Interest.objects.select_for_update().get(pk=interest.pk)
                    Interest.objects.filter(pk=row.pk).update(position=row.position + 1)
        except Exception as wrong:
            failures.append(wrong)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    interest.refresh_from_db()
    assert (failures, interest.position) == ([], 200)


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_fails_leaves_the_line():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        raise ZeroDivisionError
    assert not writers._is_held
    with transaction.atomic():
        assert writers._is_held == (connection.vendor == "sqlite")  # PostgreSQL has rows to lock
        connection.close()
    assert not writers._is_held


HOLD = """
import fcntl, sys
lock = open(sys.argv[1] + ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_transaction", [True, False])
def test_who_writes_waits_for_the_writer_of_another_process(is_transaction: bool):
    """With and without a transaction of their own; PostgreSQL needs no file and knows nothing of it."""
    interest = Interest.objects.create(slug="counter", group="play", emoji="🎲", position=0)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(connection.settings_dict["NAME"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tempfile.gettempdir(),
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    done = threading.Event()

    def write() -> None:
        with transaction.atomic() if is_transaction else contextlib.nullcontext():
            Interest.objects.filter(pk=interest.pk).update(position=1)
        done.set()
        connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    if connection.vendor == "sqlite":
        while not writers._is_held:
            pass
        assert not done.wait(0.1)
    other.communicate("go\n", timeout=10)
    writer.join(10)
    assert done.is_set()
    interest.refresh_from_db()
    assert interest.position == 1


def test_a_process_that_writes_for_too_long_is_waited_for_so_long_and_no_longer():
    lock, other = FileLock(), FileLock()
    with tempfile.TemporaryDirectory() as folder:
        assert lock.acquire(f"{folder}/x", 1)
        assert not other.acquire(f"{folder}/x", 0.01)
        lock.release(f"{folder}/x")
        assert other.acquire(f"{folder}/x", 0)
