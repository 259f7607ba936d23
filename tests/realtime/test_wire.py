"""Frames read without autobahn: the same texts in the same order, whatever way each of them takes."""

import asyncio
import json
import random
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from autobahn.websocket.protocol import WebSocketProtocol as Autobahn
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from community.sign_ins import issue_token
from config.wire import DaphneWire, whole_text
from realtime import reading
from realtime.threads import in_thread as in_db
from tests.factories import make_member, make_room

from .test_hostile_frames import shake_hands


def sent(payload: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    """A frame as a client sends it, written by another library."""
    return Frame(opcode, payload, fin=fin).serialize(mask=True)


@given(st.text(max_size=300), st.binary(max_size=8))
@example("", b"")
@example("x" * 125, b"")
@example("x" * 126, b"\x81")
@example("ü" * 32_767, b"")
def test_a_whole_text_is_read_as_another_library_wrote_it(text: str, after: bytes):
    frame = sent(text.encode())
    assert whole_text(b"abc" + frame + after, 3) == (text, 3 + len(frame))
    assert whole_text(frame[:-1], 0) is None


OTHERS = {
    "binary": sent(b"x", Opcode.BINARY),
    "ping": sent(b"x", Opcode.PING),
    "close": sent(b"\3\xe8", Opcode.CLOSE),
    "first piece": sent(b"x", fin=False),
    "last piece": sent(b"x", Opcode.CONT),
    "no UTF-8": sent(b"\xff"),
    "64 KiB": sent(b"x" * 65_536),
    "unmasked": Frame(Opcode.TEXT, b"x").serialize(mask=False),
    "length in more bytes than it needs": bytes.fromhex("81fe000501020304") + b"short",
    "compressed": bytes.fromhex("c18001020304"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_not_plainly_a_text_is_left_to_autobahn(what: str):
    assert whole_text(OTHERS[what], 0) is None


@given(st.binary(max_size=40))
def test_no_bytes_break_it(data: bytes):
    found = whole_text(data, 0)
    assert found is None or sent(found[0].encode())[:1] == data[:1]


def open_protocol(**more: Any) -> SimpleNamespace:
    """What daphne's protocol is, as far as this is concerned, while nothing is on its way."""
    rest = {"data": b"", "current_frame": None, "inside_message": False, "autoPingTimeoutCall": None}
    rest |= {"muted": False, "websocket_extensions_in_use": [], "application_queue": asyncio.Queue()}
    return SimpleNamespace(state=Autobahn.STATE_OPEN, last_ping=0.0, **rest | more)


def test_whole_texts_are_handed_on_without_the_queue():
    protocol, heard = open_protocol(), list[str]()
    wire: Any = DaphneWire(protocol)  # type: ignore[arg-type]
    wire.hear(heard.append)
    protocol.dataReceived(sent(b"one") + sent(b"two"))
    assert heard == ["one", "two"] and protocol.last_ping and protocol.application_queue.empty()
    wire.end()
    assert not hasattr(protocol, "dataReceived")


@pytest.mark.django_db(transaction=True)
async def test_texts_come_in_their_order_whatever_way_they_take(serve: Any):
    member = await in_db(make_member)()
    room = await in_db(make_room)(member)
    server = await in_db(serve)()
    reader, writer = await shake_hands(server.port, await in_db(issue_token)(member, "test"))
    hello = {"type": "hello", "v": 1, "client": str(uuid4()), "watch": [room.public_id], "cursors": {}}
    writer.write(sent(json.dumps(hello).encode()))

    dice, stream = random.Random(5), b""  # noqa: S311 - no secret
    for number in range(40):
        said = {
            "type": "send",
            "ref": number,
            "room": room.public_id,
            "key": str(uuid4()),
            "text": str(number),
        }
        payload = json.dumps(said).encode()
        cut = dice.randrange(1, len(payload))
        stream += dice.choice(
            [
                sent(payload),
                sent(payload[:cut], fin=False) + sent(payload[cut:], Opcode.CONT),
                sent(b"", Opcode.PING) + sent(payload),
                sent(payload[:cut], fin=False) + sent(b"", Opcode.PING) + sent(payload[cut:], Opcode.CONT),
            ]
        )
    while stream:  # in pieces that begin and end anywhere
        cut = dice.choice([1, 7, 150, 900])
        writer.write(stream[:cut])
        await writer.drain()
        await asyncio.sleep(0)
        stream = stream[cut:]

    heard = b""
    async with asyncio.timeout(15):
        while b'"ref":39' not in heard:
            heard += await reader.read(65_536)
    writer.close()
    page = await in_db(reading.history)(member, room.pk)
    assert [row["body"]["text"] for row in reversed(page.rows)] == [str(number) for number in range(40)]
