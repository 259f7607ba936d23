"""Keys in mails: one action on one row, once, until it expires."""

from datetime import timedelta
from typing import Any

import pytest

from realtime import keys
from realtime.clock import now
from realtime.models import MailedKey

pytestmark = pytest.mark.django_db


def test_a_key_is_good_for_its_action_and_row_and_once() -> None:
    secret = keys.make("cancel", 7, expires_at=now() + timedelta(days=1))

    assert keys.find("cancel", 7, secret).used_at is None
    for action, row, text in (
        ("open", 7, secret),
        ("cancel", 8, secret),
        ("cancel", 7, secret[:-1]),
        ("cancel", 7, ""),
    ):
        with pytest.raises(MailedKey.DoesNotExist):
            keys.use(action, row, text)
    keys.use("cancel", 7, secret)
    with pytest.raises(MailedKey.DoesNotExist):
        keys.use("cancel", 7, secret)


def test_only_a_digest_is_kept() -> None:
    secret = keys.make("cancel", 7, expires_at=now() + timedelta(days=1))
    row = MailedKey.objects.values().get()
    assert secret not in str(row) and len(row["digest"]) == 64


def test_of_two_who_found_it_one_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = keys.make("cancel", 7, expires_at=now() + timedelta(days=1))
    found = keys.find("cancel", 7, secret)
    keys.use("cancel", 7, secret)

    monkeypatch.setattr(keys, "find", lambda *_given: found)  # as the slower one saw it
    with pytest.raises(MailedKey.DoesNotExist):
        keys.use("cancel", 7, secret)


def test_an_expired_key_opens_nothing_and_is_forgotten_after_thirty_days(clock: Any) -> None:
    secret = keys.make("cancel", 7, expires_at=now())
    with pytest.raises(MailedKey.DoesNotExist):
        keys.find("cancel", 7, secret)
    clock.shift(keys.KEPT_FOR - timedelta(seconds=1))
    assert keys.forget_old() == 0
    clock.shift(timedelta(seconds=1))
    assert keys.forget_old() == 1
