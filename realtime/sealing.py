"""A column that is encrypted: for what a person says of their health, and whoever gets hold of the database must not read.

Fernet (AES-128-CBC with HMAC-SHA256, by `cryptography`) under a key made of SECRET_KEY. What older secrets sealed is still
read; `Sealed.key` tells which did, so that a sweep can seal it anew before they are retired.
"""

import base64
import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models


@lru_cache(maxsize=16)
def _derived(secret: str, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=info).derive(secret.encode())


def present_key() -> str:
    """Which key seals now: 16 hexadecimal digits that say nothing of it."""
    return _derived(settings.SECRET_KEY, b"ec sealed name v1").hex()[:16]


def older_keys() -> list[str]:
    """The names of the keys that sealed before and are still understood."""
    return [_derived(one, b"ec sealed name v1").hex()[:16] for one in settings.SECRET_KEY_FALLBACKS if one]


def _fernet() -> MultiFernet:
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(_derived(one, b"ec sealed v1"))) for one in secrets if one]
    )


class SealedJSON(models.TextField):  # type: ignore[type-arg]
    """JSON that is sealed in the database and plain in Python. It cannot be searched.

    None when it was sealed by a secret that nobody has any more: it is lost, as it is for a thief.
    """

    def to_python(self, value: Any) -> Any:
        """As it is: a backup brings it back as JSON, not as its text."""
        return value

    def from_db_value(self, value: str | None, *_given: Any) -> Any:
        if value is None:
            return None
        try:
            return json.loads(_fernet().decrypt(value.encode()))
        except InvalidToken:
            return None

    def get_prep_value(self, value: Any) -> Any:
        if value is None:
            return None
        return _fernet().encrypt(json.dumps(value, ensure_ascii=False).encode()).decode()
