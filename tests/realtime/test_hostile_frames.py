"""What a broken or malicious program sends over the line: it may be cut off; the server and everybody else go on."""

import asyncio
import base64
import contextlib
import json
import random
import secrets
from typing import Any
from uuid import UUID, uuid4

import pytest
from websockets.frames import Frame, Opcode

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
    writer.write(framed(hello_to(room)))
    assert b'"welcome"' in await asyncio.wait_for(reader.read(4096), 10)
    writer.close()


def hello_to(room: Any) -> bytes:
    hello = {"type": "hello", "v": 1, "client": str(uuid4()), "watch": [room.public_id], "cursors": {}}
    return json.dumps(hello).encode()


def framed(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=True)


def noise(dice: random.Random, room: Any) -> bytes:
    """Bytes of chance; a text frame of them; or a message with some of its bytes, header and all, thrown."""
    bytes_of_chance = dice.randbytes(dice.randrange(1, 200))
    said = {
        "type": "send",
        "ref": 1,
        "room": room.public_id,
        "key": str(UUID(int=dice.getrandbits(128))),
        "text": "x",
    }
    thrown = bytearray(framed(json.dumps(said).encode()))
    for _ in range(dice.randrange(1, 6)):
        thrown[dice.randrange(len(thrown))] = dice.randrange(256)
    return dice.choice([bytes_of_chance, framed(bytes_of_chance), bytes(thrown) * 3])


@pytest.mark.parametrize("seed", range(3))
async def test_bytes_of_chance_end_one_line_at_most(serve: Any, seed: int):
    dice = random.Random(seed)  # noqa: S311 - no secret
    members = [await in_db(make_member)() for _ in range(8)]
    room = await in_db(make_room)(*members)
    tokens = [await in_db(issue_token)(member, "test") for member in members]
    server = await in_db(serve)()

    async def throw(token: str) -> None:
        for _ in range(5):
            reader, writer = await shake_hands(server.port, token)
            writer.write(framed(hello_to(room)) + noise(dice, room) + noise(dice, room))
            with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                await writer.drain()
                await asyncio.wait_for(reader.read(4096), 0.3)
            writer.close()

    await asyncio.gather(*map(throw, tokens[1:]))
    reader, writer = await shake_hands(server.port, tokens[0])
    said = {"type": "send", "ref": "mine", "room": room.public_id, "key": str(uuid4()), "text": "still here"}
    writer.write(framed(hello_to(room)) + framed(json.dumps(said).encode()))
    heard = b""
    async with asyncio.timeout(10):
        while b'"ref":"mine"' not in heard or b"still here" not in heard:  # they come in either order
            heard += await reader.read(4096)
    assert b'"ok"' in heard
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
