"""Sessions in the database, as Django keeps them; but a session keeps its key when SECRET_KEY has changed."""

from typing import Any

from django.contrib.sessions.backends import db
from django.core import signing


class SessionStore(db.SessionStore):
    _is_by_older_key = False

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
