"""Sessions in the database, as Django keeps them; but a session keeps its key when SECRET_KEY has changed."""

from datetime import datetime
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.core import signing
from django.db.models import QuerySet

from realtime import clock
from realtime.prepared import MOMENT, TEXT, prepared


@prepared(key=TEXT, now=MOMENT)
def _running(*, key: str, now: datetime) -> QuerySet[Session]:
    return Session.objects.filter(session_key=key, expire_date__gt=now)


class SessionStore(db.SessionStore):
    _is_by_older_key = False

    def _get_session_from_db(self) -> Session | None:
        """The row of a session that has not ended, as Django finds it; None when there is none, and then a new one begins."""
        found = next(iter(_running(key=self.session_key or "", now=clock.now())), None)
        if found is None:
            self._session_key = None
        return found

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        """What the session holds, and whether an older SECRET_KEY has signed it."""
        try:
            found = signing.loads(
                str(session_data), salt=self.key_salt, serializer=self.serializer, fallback_keys=[]
            )
        except signing.BadSignature:
            found = super().decode(session_data)
            self._is_by_older_key = bool(found)
        return dict(found)

    def cycle_key(self) -> None:
        """The same session under a new key.

        Not when Django only signs it anew because SECRET_KEY has changed: a socket could not tell the browser the new
        key, and of two requests at once the second would find its session gone and take the cookie away.
        """
        if self._is_by_older_key:
            self._is_by_older_key = False
            self.modified = True
        else:
            super().cycle_key()
