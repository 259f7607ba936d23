"""What a broken or malicious program sends over the line: it may be cut off; the server and everybody else go on."""

import asyncio
import base64
import contextlib
import json
import secrets
from typing import Any
from uuid import uuid4

import pytest

from community.sign_ins import issue_token
from realtime.threads import in_thread as in_db
from tests.factories import make_member, make_room
from tests.hostile import IMPOSSIBLE, all_texts, rows
from tests.realtime.sockets import Tab, two_in_a_room

pytestmark = pytest.mark.django_db(transaction=True)

# Ours, where the collection is not there: unmasked text, a reserved bit, a close of one byte, half a frame of 2 GiB.
OWN_FRAMES = [
    "810568656c6c6f",
    "c1857fa3b1c2",
    "880137",
    "81ff0000000080000000",
    "83857fa3b1c21e",
    "89fe0080",
]
FIELDS = ("type", "ref", "room", "key", "text", "language", "emoji", "client")


def wires() -> list[bytes]:
    """Bytes after the handshake, one connection each."""
    given = [
        b"".join(bytes.fromhex(frame["wire_hex"]) for frame in row["frames"])
        for row in rows("websocket_frames")
    ]
    return [*given, *(bytes.fromhex(text) for text in OWN_FRAMES)]


async def shake_hands(port: int, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A line on which every byte is ours."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = (
        *("GET /ws/ HTTP/1.1", f"Host: localhost:{port}", "Upgrade: websocket", "Connection: Upgrade"),
        *(f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: circles.v1"),
        f"Authorization: Bearer {token}",
    )
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return reader, writer


async def test_no_bytes_on_a_line_harm_the_server_or_those_who_talk_beside_it(serve: Any):
    member = await in_db(make_member)()
    room = await in_db(make_room)(member)
    token = await in_db(issue_token)(member, "test")
    server = await in_db(serve)()

    for wire in wires():
        reader, writer = await shake_hands(server.port, token)
        writer.write(wire)
        with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            await writer.drain()
            await asyncio.wait_for(reader.read(4096), 0.3)
        writer.close()
    reader, writer = await shake_hands(server.port, token)
    hello = {"type": "hello", "v": 1, "client": str(uuid4()), "watch": [room.public_id], "cursors": {}}
    text = json.dumps(hello).encode()
    assert len(text) < 126, "one byte tells its length"
    mask = b"\1\2\3\4"
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(text))
    writer.write(bytes([0x81, 0x80 | len(text)]) + mask + masked)
    assert b'"welcome"' in await asyncio.wait_for(reader.read(4096), 10)
    writer.close()


async def test_no_text_in_any_field_of_a_frame_ends_the_line_or_the_room():
    ana, bo, room = await two_in_a_room()
    tab, other = await Tab.watching(ana, room), await Tab.watching(bo, room)
    texts = all_texts()
    for turn in range(0, len(texts), 12):
        frame = {name: texts[(turn + 5 * n) % len(texts)] for n, name in enumerate(FIELDS)}
        kind = ("send", "edit", "delete", "react", "sync", "history", "read", "typing", "follow", "watch")[
            turn // 12 % 10
        ]
        await tab.send(**frame | {"type": kind})
        await tab.send(**frame)
    assert (await other.say(room, "still here"))["type"] == "ok"
    assert (await tab.say(room, "me too"))["type"] in {"ok", "error"}
    await tab.leave()
    await other.leave()


@pytest.mark.parametrize("text", IMPOSSIBLE)
async def test_what_no_text_can_hold_is_an_error_or_ends_the_line(text: str):
    ana, _bo, room = await two_in_a_room()
    tab = await Tab.watching(ana, room)
    frame = {"type": "send", "ref": 1, "room": room.public_id, "key": str(uuid4()), "text": text}
    await tab.wire.send_input({"type": "websocket.receive", "text": json.dumps(frame)})
    said = await tab.wire.receive_output(5)
    if said["type"] == "websocket.close":
        assert said["code"] == 4400
    else:
        assert json.loads(said["text"])["type"] == "error"
    await tab.leave()
