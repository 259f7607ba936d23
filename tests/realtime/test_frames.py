"""Frames that are not right: broken ones end the socket, a bad field is answered and the socket stays."""

from typing import Any
from uuid import uuid4

import pytest

from realtime import frames
from realtime.threads import in_thread as in_db
from tests.factories import make_member

from .sockets import Tab, post, two_in_a_room

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "7",
        '"x"',
        '{"a":NaN}',
        "[" * 60_000,
        '{"a":' * 17 + "1" + "}" * 17,
        "x" * 70_000,
        '{"n":' + "9" * 5000 + "}",
    ],
)
async def test_a_broken_frame_ends_the_socket(text: str):
    ana = await in_db(make_member)()
    tab = await Tab.watching(ana)
    await tab.wire.send_to(text)
    assert await tab.closed() == 4400


async def test_a_binary_frame_ends_the_socket():
    tab = await Tab.watching(await in_db(make_member)())
    await tab.wire.send_to(bytes_data=b"{}")
    assert await tab.closed() == 4400


async def test_the_first_frame_is_hello_in_our_version():
    ana = await in_db(make_member)()
    for frame, code in (({"type": "sync"}, 4400), ({"type": "hello", "v": 2, "client": str(uuid4())}, 4406)):
        tab = await Tab.of(ana)
        await tab.send(**frame)
        assert await tab.closed() == code


BAD: list[tuple[dict[str, Any], str]] = [
    ({"type": "send"}, "bad_field"),
    ({"type": "send", "room": "me", "key": str(uuid4()), "text": "x"}, "bad_field"),
    ({"type": "send", "room": 7, "key": str(uuid4()), "text": "x"}, "bad_field"),
    ({"type": "send", "room": "HERE", "key": "no", "text": "x"}, "bad_field"),
    ({"type": "send", "room": "HERE", "key": str(uuid4()), "text": ["x"]}, "bad_field"),
    ({"type": "send", "room": "HERE", "key": str(uuid4()), "text": " "}, "bad_field"),
    ({"type": "send", "room": "HERE", "key": str(uuid4()), "text": "\ud800"}, "bad_field"),
    ({"type": "send", "room": "HERE", "key": str(uuid4()), "text": "a\0b"}, "bad_field"),
    ({"type": "send", "room": "HERE", "key": str(uuid4()), "text": "x" * 4001}, "too_long"),
    ({"type": "send", "room": "HERE", "key": str(uuid4()), "text": "x", "reply_to": True}, "bad_field"),
    ({"type": "send", "room": "HERE", "key": str(uuid4()), "text": "x", "reply_to": 99}, "not_found"),
    ({"type": "send", "room": "aaaaaaaaaaaae", "key": str(uuid4()), "text": "x"}, "not_found"),
    ({"type": "edit", "room": "HERE", "key": str(uuid4()), "seq": 1, "text": "x"}, "forbidden"),
    (
        {"type": "react", "room": "HERE", "key": str(uuid4()), "seq": 1, "emoji": "abc", "on": True},
        "bad_field",
    ),
    ({"type": "react", "room": "HERE", "key": str(uuid4()), "seq": 1, "emoji": "👍", "on": 1}, "bad_field"),
    ({"type": "sync", "room": "HERE", "after": -1}, "bad_field"),
    ({"type": "sync", "room": "HERE", "after": 2**63}, "bad_field"),
    ({"type": "sync", "room": "aaaaaaaaaaaae", "after": 0}, "not_found"),
    ({"type": "history", "room": "aaaaaaaaaaaae"}, "not_found"),
    ({"type": "watch", "add": {"HERE": 3}}, "bad_field"),
    ({"type": "watch", "add": []}, "bad_field"),
    ({"type": "follow", "topics": [str(n) for n in range(17)]}, "bad_field"),
    ({"type": "ack", "rooms": {"HERE": "x"}}, "bad_field"),
    ({"type": "hello", "v": 1, "client": str(uuid4())}, "bad_field"),
]


async def test_a_bad_field_is_answered_and_the_socket_stays():
    ana, bo, room = await two_in_a_room()
    await post(bo, room, "hello")
    tab = await Tab.watching(ana, room)

    for number, (frame, code) in enumerate(BAD):
        frame = {key: room.public_id if value == "HERE" else value for key, value in frame.items()}
        if isinstance(frame.get("add"), dict):
            frame["add"] = {room.public_id: 3}
        if frame["type"] == "ack":
            frame["rooms"] = {room.public_id: "x"}
        await tab.send(**frame, ref=number)
        error = await tab.next("error")
        assert (error["ref"], error["code"], "retry_after" in error) == (number, code, False), frame
        assert error["detail"]
    for frame in ({"type": "dance"}, {"no": "type"}, {"type": 7}, {"type": "ping", "room": room.public_id}):
        await tab.send(**frame)
    assert (await tab.say(room))["seq"] == 2
    await tab.leave()


@pytest.mark.parametrize("count", [1, 3])
def test_a_word_is_the_same_in_another_process(count: int):
    frame = frames.dumps({"type": "entry", "body": {"text": "two\nlines\r\u2028and \\n 👍"}})
    word = frames.Word(frames.Parcel(seq, seq - 1, "message", 7, frame) for seq in range(1, count + 1))
    assert frames.Word.of(str(word)) == word
