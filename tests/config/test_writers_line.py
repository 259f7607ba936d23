"""Writers on SQLite stand in one line: whoever comes first writes first, and a lock is never lost."""

import threading

import pytest
from django.db import connection, connections, transaction

from community.models import Interest
from config.sqlite.base import FairLock, writers


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
