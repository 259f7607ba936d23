"""The ticket's 90 bytes, the QR that carries them, and what a gate can do with them offline."""

import base64
import struct
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
import zxingcpp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from events import tickets
from events.models import Attendee, Event, Registration
from events.tickets import Ticket, Unreadable

VECTOR = (
    "AEDQCAQDAQCQMBYICEJBGFAVCYLRQAACAAEWXLVMYBUTTASAQPKKA4RM5PCNLSYH3L543R62"
    "XS65EM3UBC7ODWBJGJBZYYVGQXGRIQEWA7I2EOOEKHVDMBUAOJJRHWPZW26IKMJWA4RWNCYD"
)
KEYS = {7: bytes(range(32)), 3: b"\x55" * 32}


@pytest.fixture(autouse=True)
def _keys(settings):
    settings.TICKET_KEYS = KEYS
    settings.PUBLIC_URL = "https://circles.example.org"


@pytest.fixture
def registration() -> Registration:
    """Rows that were never saved: signing needs no database."""
    end = datetime(2027, 3, 2, 20, 0, tzinfo=UTC)
    event = Event(pk=0x0102030405060708, title="Picnic", starts_at=end - timedelta(hours=2), ends_at=end)
    row = Registration(pk=0x1112131415161718, event=event, state="confirmed", serial=2, party_size=2)
    row._prefetched_objects_cache = {
        "attendees": [Attendee(slot=0), Attendee(slot=1, is_live=False), Attendee(slot=3)]
    }
    return row


def spelled(data: bytes) -> str:
    return base64.b32encode(data).decode()


def test_a_code_is_ninety_bytes_in_the_order_of_the_paper(registration):
    code = tickets.code_of(registration)
    data = base64.b32decode(code)

    assert len(code) == 144
    assert len(data) == 90
    assert struct.unpack(">BBQQHHI", data[:26]) == (
        1,
        7,
        registration.event.pk,
        registration.pk,
        2,
        0b1001,
        int((registration.event.ends_at + timedelta(days=30)).timestamp()),
    )


def test_the_signature_is_ed25519_by_a_key_derived_for_the_event(registration):
    """Made again here from the paper alone: seed = HKDF-SHA256(master, info "ticket" ‖ event)."""
    event = registration.event.pk.to_bytes(8)
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ticket" + event).derive(KEYS[7])
    data = base64.b32decode(tickets.code_of(registration))

    assert data[26:] == Ed25519PrivateKey.from_private_bytes(seed).sign(data[:26])


def test_the_code_of_known_keys_never_changes(registration):
    """A change here would void every printed ticket."""
    assert tickets.code_of(registration) == VECTOR


def test_what_was_signed_is_read_back(registration):
    ticket = tickets.read(tickets.code_of(registration))

    assert ticket == Ticket(7, registration.event.pk, registration.pk, 2, 0b1001, ticket.not_after)


def test_an_older_key_still_verifies(registration, settings):
    code = tickets.code_of(registration)
    settings.TICKET_KEYS = {3: KEYS[3], 7: KEYS[7]}

    assert tickets.read(code).key_id == 7
    assert tickets.read(tickets.code_of(registration)).key_id == 3


def test_a_key_that_is_gone_verifies_nothing(registration, settings):
    code = tickets.code_of(registration)
    settings.TICKET_KEYS = {3: KEYS[3]}

    with pytest.raises(Unreadable) as refused:
        tickets.read(code)
    assert refused.value.reason == "forged"


@given(bit=st.integers(0, 8 * 90 - 1))
def test_any_flipped_bit_is_forged_or_unknown(bit):
    raw = bytearray(base64.b32decode(VECTOR))
    raw[bit // 8] ^= 1 << bit % 8

    with pytest.raises(Unreadable) as refused:
        tickets.read(spelled(bytes(raw)))
    assert refused.value.reason == ("unknown" if bit < 8 else "forged")


SPELLINGS = {
    "lower case": VECTOR.lower(),
    "padded": VECTOR + "=",
    "too short": VECTOR[:-1],
    "too long": VECTOR + "A",
    "a blank": " " + VECTOR[1:],
    "a digit outside the alphabet": "1" + VECTOR[1:],
    "a wide letter": "Ａ" + VECTOR[1:],
    "a line end": VECTOR[:-1] + "\n",
    "nothing": "",
    "twice": VECTOR * 2,
}


@pytest.mark.parametrize("code", SPELLINGS.values(), ids=SPELLINGS)
def test_there_is_one_spelling_only(code):
    with pytest.raises(Unreadable) as refused:
        tickets.read(code)
    assert refused.value.reason == "unknown"


@given(st.text(max_size=200))
def test_any_text_is_unknown_and_nothing_worse(text):
    with pytest.raises(Unreadable):
        tickets.read(text)


def test_a_queue_keeps_the_signed_part_and_a_proof(registration):
    code = tickets.code_of(registration)
    ticket = tickets.read(code)

    assert tickets.read_queued(ticket.text, tickets.proof_of(code)) == ticket


@pytest.mark.parametrize(("proof", "reason"), [("A" * 26, "forged"), ("", "forged"), ("a" * 26, "unknown")])
def test_a_ticket_without_its_proof_is_no_ticket(registration, proof, reason):
    ticket = tickets.read(tickets.code_of(registration))

    with pytest.raises(Unreadable) as refused:
        tickets.read_queued(ticket.text, proof)
    assert refused.value.reason == reason


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_only_the_guests_own_qr_opens_the_card(registration):
    code = base64.b32decode(tickets.code_of(registration))
    event = registration.event.pk.to_bytes(8)
    card = tickets.sealed_card(tickets.ticket_of(registration), b'{"people": ["Mia"]}')

    okm = HKDF(algorithm=SHA256(), length=48, salt=None, info=b"ec card v1 " + event).derive(code[26:])
    assert unpadded(card["lookup"]) == okm[:16]
    plain = AESGCM(okm[16:]).decrypt(unpadded(card["nonce"]), unpadded(card["sealed"]), okm[:16] + code[:18])
    assert plain.strip() == b'{"people": ["Mia"]}'
    assert len(plain) == 256


def test_a_card_is_sealed_afresh_when_it_changes_and_only_then(registration):
    ticket = tickets.ticket_of(registration)

    assert tickets.sealed_card(ticket, b"a") == tickets.sealed_card(ticket, b"a")
    assert tickets.sealed_card(ticket, b"a")["nonce"] != tickets.sealed_card(ticket, b"b")["nonce"]


def test_a_gate_verifies_with_the_public_keys_alone(registration):
    data = base64.b32decode(tickets.code_of(registration))
    keys = {key["id"]: unpadded(str(key["key"])) for key in tickets.public_keys(registration.event)}

    assert list(keys) == [7, 3]
    Ed25519PublicKey.from_public_bytes(keys[7]).verify(data[26:], data[:26])


def test_the_qr_is_two_segments_of_49_modules_at_level_m_and_can_be_read(registration):
    code = tickets.code_of(registration)
    picture = tickets.qr(code)
    out = BytesIO()
    picture.save(out, kind="png", scale=4, border=4)

    assert picture.symbol_size(border=0) == (49, 49)
    assert picture.error == "M"
    assert picture.mode is None  # mixed: byte, then alphanumeric
    assert zxingcpp.read_barcodes(Image.open(out))[0].text == f"https://circles.example.org/t#{code}"


def test_an_address_of_48_characters_still_fits(registration, settings):
    settings.PUBLIC_URL = "https://" + "a" * 36 + ".org"
    assert len(settings.PUBLIC_URL) == 48
    assert tickets.qr(VECTOR).symbol_size(border=0) == (49, 49)

    settings.PUBLIC_URL += "x"
    assert tickets.qr(VECTOR).symbol_size(border=0) == (53, 53)


def test_the_drawing_has_a_name_and_no_style(registration):
    drawn = tickets.svg(tickets.code_of(registration))

    assert drawn.startswith('<svg role="img" aria-label="QR code of your ticket"')
    assert "style" not in drawn
    assert len(drawn) < 8000
