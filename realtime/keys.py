"""Keys that travel in a mail: whoever holds one may do one thing to one row, once, without signing in.

A key is random and leaves here once, in the text of its mail; only its SHA-256 is kept. It is used up in the
transaction of what it does, so that neither happens without the other. Unknown, used and expired look alike.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from realtime import clock
from realtime.models import MailedKey

KEPT_FOR = timedelta(days=30)  # after that it is forgotten that it ever was


def make(action: str, row_id: int, *, member: Any = None, expires_at: datetime) -> str:
    """A new key for `action` on the row of this id, as `member`. Returned once and never again. One query."""
    secret = secrets.token_urlsafe(24)
    MailedKey.objects.create(
        digest=_digest(secret), action=action, row_id=row_id, member=member, expires_at=expires_at
    )
    return secret


def find(action: str, row_id: int, secret: str) -> MailedKey:
    """The key, when it is still good for this action on this row. Raises MailedKey.DoesNotExist. One query."""
    good = MailedKey.objects.filter(action=action, row_id=row_id, used_at=None, expires_at__gt=clock.now())
    return good.select_related("member").get(digest=_digest(secret))


def was_used(action: str, row_id: int, secret: str) -> bool:
    """Whether this is a key for this action on this row that has been used up. One query."""
    used = MailedKey.objects.filter(action=action, row_id=row_id, used_at__isnull=False)
    return used.filter(digest=_digest(secret)).exists()


def use(action: str, row_id: int, secret: str) -> MailedKey:
    """Use the key up, inside the caller's transaction. Of two at once one succeeds. Raises as `find`. Two queries."""
    key = find(action, row_id, secret)
    if not MailedKey.objects.filter(pk=key.pk, used_at=None).update(used_at=clock.now()):
        raise MailedKey.DoesNotExist
    return key


def extend(action: str, row_id: int, expires_at: datetime) -> int:
    """The open keys for this action on this row are good until then. How many. One query."""
    return MailedKey.objects.filter(action=action, row_id=row_id, used_at=None).update(expires_at=expires_at)


def use_up(member: Any) -> int:
    """Every open key of the member does nothing any more: its mail is in a box that is not theirs. How many. One query."""
    return MailedKey.objects.filter(member=member, used_at=None).update(used_at=clock.now())


def forget_old() -> int:
    """The sweep: forget keys that could not be used for 30 days. Returns how many. One query."""
    return MailedKey.objects.filter(expires_at__lte=clock.now() - KEPT_FOR).delete()[0]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
