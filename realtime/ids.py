"""Names of rows: one random positive 63-bit integer, written as 13 base32 characters."""

import base64
import binascii
import secrets
from functools import lru_cache

from django.db import models

KNOWN = 16_384  # each frame names its room: what was just spelled is not spelled anew


def new_id() -> int:
    """A random id from 1 to 2**63 - 1: it tells nothing about age or number of rows."""
    return secrets.randbits(63) or 1


@lru_cache(KNOWN)
def encode(pk: int) -> str:
    """The 13 lower-case base32 characters (RFC 4648 §6, no padding) of a 63-bit id."""
    return base64.b32encode(pk.to_bytes(8)).decode().rstrip("=").lower()


@lru_cache(KNOWN)
def decode(text: str) -> int:
    """The id that `text` names. Raises ValueError unless it is the one spelling `encode` gives."""
    try:
        pk = int.from_bytes(base64.b32decode(text.upper() + "==="))
    except (binascii.Error, ValueError, TypeError) as wrong:
        raise ValueError("not an id") from wrong
    if not 0 < pk < 2**63 or encode(pk) != text:
        raise ValueError("not an id")
    return pk


class IdConverter:
    """`<id:pk>` in a URL: exactly 13 characters, one spelling only; anything else is not found."""

    regex = "[a-z2-7]{13}"

    def to_python(self, value: str) -> int:
        return decode(value)

    def to_url(self, value: int | str) -> str:
        return value if isinstance(value, str) else encode(value)


class WithId(models.Model):
    """A row that appears in a URL, in the API or on a ticket."""

    id = models.BigIntegerField(primary_key=True, default=new_id, editable=False)

    class Meta:
        abstract = True

    @property
    def public_id(self) -> str:
        """What URLs, the API and frames call this row."""
        return encode(self.pk)
