"""Tickets: sign a registration's code, read it back, draw it. Nothing here is stored.

The code is base32 (RFC 4648 §6, no padding) of 90 bytes, big-endian:
version(1) key_id(1) event(8) registration(8) serial(2) slots(2) not_after(4) signature(64).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from io import BytesIO
from typing import Literal

import segno
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from events.models import Event, Registration

VERSION = 1
SIGNED = struct.Struct(">BBQQHHI")
CODE_LENGTH = 144
TICKET_LENGTH = 42  # base32 of the signed 26 bytes: what a gate keeps in its queue
GUARD = timedelta(days=30)
CARD_STEP = 256
QR_VERSION = 8  # 49×49 modules: at level M it holds the 144 characters and an address of 51
QR_ADDRESS = 51
_SPELLING = re.compile(r"[A-Z2-7]*\Z", re.ASCII)


class Unreadable(ValueError):
    """A code that opens nothing. `reason` is what the door answers: unknown or forged."""

    def __init__(self, reason: Literal["unknown", "forged"]) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a code says. `event` and `registration` are row ids; `slots` is a bitmap, bit i for slot i."""

    key_id: int
    event: int
    registration: int
    serial: int
    slots: int
    not_after: int

    def signed(self) -> bytes:
        """The 26 bytes under the signature."""
        return SIGNED.pack(
            VERSION, self.key_id, self.event, self.registration, self.serial, self.slots, self.not_after
        )

    @property
    def head(self) -> bytes:
        """The first 18 bytes: version, key, event and registration."""
        return self.signed()[:18]

    @property
    def text(self) -> str:
        """The signed bytes in base32, 42 characters: how a gate names a ticket without its signature."""
        return to_base32(self.signed())


def to_base32(data: bytes) -> str:
    """Base32 in upper case without padding."""
    return base64.b32encode(data).decode().rstrip("=")


def from_base32(text: str) -> bytes:
    """The bytes `text` spells. Raises Unreadable unless it is the one spelling `to_base32` gives."""
    if not _SPELLING.match(text):
        raise Unreadable("unknown")
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as wrong:
        raise Unreadable("unknown") from wrong
    if to_base32(data) != text:
        raise Unreadable("unknown")
    return data


def _hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 without salt (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


@lru_cache(maxsize=256)
def _key(master: bytes, event: int) -> Ed25519PrivateKey:
    """The event's signing key: its seed comes from the master key, so no key is stored for an event."""
    return Ed25519PrivateKey.from_private_bytes(_hkdf(master, b"ticket" + event.to_bytes(8), 32))


def public_keys(event: Event) -> list[dict[str, int | str]]:
    """The public halves with which a gate verifies this event's tickets offline: id, and base64url of 32 bytes."""
    keys = ((number, _key(master, event.pk).public_key()) for number, master in settings.TICKET_KEYS.items())
    return [
        {"id": number, "key": base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("=")}
        for number, key in keys
    ]


def slots_of(registration: Registration) -> int:
    """Bitmap of the party's live places. One query, none when the attendees are prefetched."""
    return sum(1 << attendee.slot for attendee in registration.live)


def ticket_of(registration: Registration, event: Event | None = None) -> Ticket:
    """The registration's ticket as it is now, by the first of the keys. Raises ValueError for an event without a start."""
    event = event or registration.event
    if event.over_at is None:
        raise ValueError("a draft has no tickets")
    return Ticket(
        key_id=next(iter(settings.TICKET_KEYS)),
        event=event.pk,
        registration=registration.pk,
        serial=registration.serial,
        slots=slots_of(registration),
        not_after=_seconds(event.over_at + GUARD),
    )


def _seconds(moment: datetime) -> int:
    return min(max(int(moment.timestamp()), 0), 2**32 - 1)


def sign(ticket: Ticket) -> bytes:
    """The Ed25519 signature (RFC 8032, deterministic): the same ticket always has the same. Raises Unreadable: no such key."""
    master = settings.TICKET_KEYS.get(ticket.key_id)
    if master is None:
        raise Unreadable("forged")
    return _key(master, ticket.event).sign(ticket.signed())


def code_of(registration: Registration) -> str:
    """The registration's code: 144 base32 characters. At most two queries (event, attendees)."""
    ticket = ticket_of(registration)
    return to_base32(ticket.signed() + sign(ticket))


def unpack(data: bytes) -> Ticket:
    """The ticket of the 26 signed bytes, not yet believed. Raises Unreadable (unknown)."""
    if len(data) != SIGNED.size:
        raise Unreadable("unknown")
    version, *fields = SIGNED.unpack(data)
    if version != VERSION:
        raise Unreadable("unknown")
    return Ticket(*fields)


def read(code: str) -> Ticket:
    """What a scanned code says. Raises Unreadable: unknown (not our spelling) or forged (not our signature).

    The signature proves who made it, not that it still counts: that is for the door to look up.
    """
    data = from_base32(code) if len(code) == CODE_LENGTH else b""
    ticket = unpack(data[: SIGNED.size])
    master = settings.TICKET_KEYS.get(ticket.key_id)
    if master is None:
        raise Unreadable("forged")
    try:
        _public(master, ticket.event).verify(data[SIGNED.size :], data[: SIGNED.size])
    except InvalidSignature as wrong:
        raise Unreadable("forged") from wrong
    return ticket


@lru_cache(maxsize=256)
def _public(master: bytes, event: int) -> Ed25519PublicKey:
    return _key(master, event).public_key()


def read_queued(ticket: str, proof: str) -> Ticket:
    """What a gate's queue kept of a code: the signed part and the proof that it saw the signature.

    Raises Unreadable like `read`. The signature is deterministic, so it is made again and compared.
    """
    read_ticket = unpack(from_base32(ticket) if len(ticket) == TICKET_LENGTH else b"")
    lookup, _key_of_card = _card_keys(sign(read_ticket), read_ticket)
    if not hmac.compare_digest(lookup, from_base32(proof)):
        raise Unreadable("forged")
    return read_ticket


def _card_keys(signature: bytes, ticket: Ticket) -> tuple[bytes, bytes]:
    """(lookup, AES key) of the card that only this signature opens."""
    okm = _hkdf(signature, b"ec card v1 " + ticket.event.to_bytes(8), 48)
    return okm[:16], okm[16:]


def proof_of(code: str) -> str:
    """The proof a gate keeps in place of the signature. Raises Unreadable."""
    ticket = read(code)
    return to_base32(_card_keys(sign(ticket), ticket)[0])


def sealed_card(ticket: Ticket, content: bytes) -> dict[str, str]:
    """`content` for the one who shows the ticket's QR: AES-256-GCM, base64url fields lookup, nonce, sealed.

    The nonce is made from key and content: fresh whenever the content changes, and the same answer (so the
    same ETag) while it does not.
    """
    lookup, key = _card_keys(sign(ticket), ticket)
    padded = content + b" " * (-len(content) % CARD_STEP)
    nonce = hmac.digest(hashlib.sha256(b"nonce" + key).digest(), padded, "sha256")[:12]
    sealed = AESGCM(key).encrypt(nonce, padded, lookup + ticket.head)
    parts = {"lookup": lookup, "nonce": nonce, "sealed": sealed}
    return {name: base64.urlsafe_b64encode(part).decode().rstrip("=") for name, part in parts.items()}


def url_of(code: str) -> str:
    """The address in the QR. The code stands behind #, so it reaches no server log, preview or history."""
    return f"{settings.PUBLIC_URL}/t#{code}"


def qr(code: str) -> segno.QRCode:
    """The QR of a code: a byte segment, then an alphanumeric one, level M; larger than 49×49 only for a long address."""
    address = url_of("")
    version = QR_VERSION if len(address.encode()) <= QR_ADDRESS else None
    content = [(address, segno.consts.MODE_BYTE), (code, segno.consts.MODE_ALPHANUMERIC)]
    return segno.make_qr(content, error="m", version=version, boost_error=False)  # type: ignore[arg-type] # segments too


def qr_of(text: str) -> segno.QRCode:
    """The QR of any other address, level M."""
    return segno.make_qr(text, error="m", boost_error=False)


def drawn(qr_code: segno.QRCode, title: str) -> SafeString:
    """An inline SVG, dark on white in every theme, named by `title`; no style attributes (CSP)."""
    out = BytesIO()
    qr_code.save(
        out,
        kind="svg",
        xmldecl=False,
        omitsize=True,
        border=4,
        dark="#000",
        light="#fff",
        title=title,
        svgclass="qr",
        lineclass=None,
        nl=False,
    )
    return mark_safe(
        out.getvalue().decode().replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    )  # noqa: S308 - our own drawing


def svg(code: str) -> SafeString:
    """The ticket's QR as an inline SVG with an accessible name in the page's language."""
    return drawn(qr(code), gettext("QR code of your ticket"))
