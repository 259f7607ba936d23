"""The socket as a browser or a program sees it: who gets in, what is heard, in which order, and when it ends."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.sessions.models import Session

from config.asgi import application
from realtime import bus, conversations, hub, live, rooms
from realtime.models import Entry, Room, Site
from realtime.threads import in_thread as in_db
from tests.factories import make_member

from .sockets import Tab, cookie, post, session_of, show, two_in_a_room

pytestmark = pytest.mark.django_db(transaction=True)


# -- who gets in


async def test_a_signed_in_browser_gets_in_from_our_own_pages_only():
    ana = await in_db(make_member)()
    key = await in_db(session_of)(ana)
    port = settings.PUBLIC_URL.rsplit(":", 1)[1]

    for origin, may in {
        settings.PUBLIC_URL: True,
        f"http://127.0.0.1:{port}": True,
        f"http://localhost:{port}": True,
        "http://localhost:1": False,
        f"https://localhost:{port}": False,
        f"http://localhost:{port}/": False,
        f"http://localhost:{port}.example.org": False,
        f"http://u@localhost:{port}": False,
        "http://example.org": False,
        "null": False,
        "http://[": False,
        "": False,
    }.items():
        tab = Tab(cookie(key, origin))
        assert (await tab.wire.connect(5))[0] is may, origin
        if may:
            await tab.send(type="hello", v=1, client=str(uuid4()))
            assert (await tab.next("welcome"))["rooms"] == {}
        await tab.leave()


async def test_no_cookie_a_dead_one_and_a_wrong_token_close_with_sign_in():
    for headers in (
        [(b"origin", settings.PUBLIC_URL.encode())],
        cookie("nobody"),
        [(b"authorization", b"Bearer ec_wrong")],
        [(b"authorization", b"Bearer ")],
    ):
        tab = Tab(headers)
        assert (await tab.wire.connect(5))[0]
        assert await tab.closed() == 4001


async def test_a_socket_elsewhere_is_refused():
    wire = WebsocketCommunicator(application, "/ws/other/", [(b"origin", settings.PUBLIC_URL.encode())])
    assert not (await wire.connect(5))[0]


@pytest.mark.parametrize(
    ("offered", "code"), [(["other.v9"], 4406), (["other.v9", "circles.v1"], None), ([], None)]
)
async def test_the_subprotocol_is_ours_or_none(offered: list[str], code: int | None):
    ana = await in_db(make_member)()
    tab = Tab(cookie(await in_db(session_of)(ana)), offered)
    is_in, chosen = await tab.wire.connect(5)
    assert (is_in, chosen) == (True, "circles.v1" if "circles.v1" in offered else None)
    if code:
        assert await tab.closed() == code
    else:
        await tab.leave()


async def test_the_ninth_socket_of_a_member_is_one_too_many():
    ana = await in_db(make_member)()
    tabs = [await Tab.of(ana) for _ in range(9)]
    assert await tabs[8].closed() == 4009
    for tab in tabs[:8]:
        await tab.leave()


# -- hearing


async def test_what_one_says_the_other_hears_once_and_in_order():
    ana, bo, room = await two_in_a_room()
    anas, bos = await Tab.watching(ana, room), await Tab.watching(bo, room)

    keys = [str(uuid4()) for _ in range(20)]
    oks = [await anas.say(room, str(number), key=key) for number, key in enumerate(keys)]
    again = await anas.say(room, "0", key=keys[0])

    assert [ok["seq"] for ok in oks] == list(range(1, 21)) and oks[0]["duplicate"] is False
    assert (again["seq"], again["duplicate"]) == (1, True)
    for tab in (anas, bos):
        heard = await tab.entries(20)
        assert [(frame["seq"], frame["n"], frame["key"]) for frame in heard] == [
            (number + 1, number + 1, key) for number, key in enumerate(keys)
        ]
        assert heard[3]["body"]["text"] == "3"
        assert heard[3]["author"] == {"id": ana.public_id, "name": ana.display_name}
        assert await tab.nothing()
        await tab.leave()


async def test_edits_removals_and_reactions_are_heard_too():
    ana, bo, room = await two_in_a_room()
    anas, bos = await Tab.watching(ana, room), await Tab.watching(bo, room)
    await anas.say(room, "helo")
    for frame in (
        {"type": "edit", "text": "hello"},
        {"type": "react", "emoji": "👍", "on": True},
        {"type": "delete"},
    ):
        await anas.send(**frame, ref=1, room=room.public_id, key=str(uuid4()), seq=1)
        assert (await anas.next("ok", "error"))["type"] == "ok"

    heard = await bos.entries(4)
    assert [(frame["seq"], frame["n"], frame["kind"]) for frame in heard] == [
        (1, 1, "message"),
        (2, 1, "edit"),
        (3, 1, "reaction"),
        (4, 1, "delete"),
    ]
    assert heard[2]["body"] == {"seq": 1, "emoji": "👍", "on": True}
    for tab in (anas, bos):
        await tab.leave()


async def test_a_message_from_a_page_reaches_the_sockets():
    ana, bo, room = await two_in_a_room()
    bos = await Tab.watching(bo, room)

    await post(ana, room, "by form")

    assert (await bos.entries(1))[0]["body"]["text"] == "by form"
    await bos.leave()


async def test_what_the_bus_loses_is_read_from_the_database(monkeypatch: pytest.MonkeyPatch):
    ana, bo, room = await two_in_a_room()
    bos = await Tab.watching(bo, room)
    monkeypatch.setattr("realtime.bus.publish", lambda words: None)
    for number in range(5):
        await post(ana, room, str(number))

    assert [frame["seq"] for frame in await bos.entries(5)] == [1, 2, 3, 4, 5]
    await bos.leave()


async def test_what_arrives_early_waits_for_what_belongs_before_it(monkeypatch: pytest.MonkeyPatch):
    ana, bo, room = await two_in_a_room()
    bos = await Tab.watching(bo, room)
    held: list[bus.Words] = []
    publish = rooms.bus.publish
    monkeypatch.setattr("realtime.bus.publish", held.append)
    for number in range(6):
        await post(ana, room, str(number))
    monkeypatch.undo()

    for index in (5, 1, 0, 3, 2, 4, 1):
        publish(held[index])

    assert [frame["seq"] for frame in await bos.entries(6)] == [1, 2, 3, 4, 5, 6]
    assert await bos.nothing()
    await bos.leave()


# -- coming back


async def test_a_cut_line_is_resumed_where_it_was_left():
    ana, bo, room = await two_in_a_room()
    for number in range(250):
        await post(ana, room, str(number))

    tab = await Tab.of(bo)
    await tab.send(
        type="hello", v=1, client=str(uuid4()), watch=[room.public_id], cursors={room.public_id: [1, 7]}
    )
    heard: list[int] = []
    while True:
        frame = await tab.next("sync")
        assert frame["after"] == (heard[-1] if heard else 7)
        heard += [entry["seq"] for entry in frame["entries"]]
        assert frame["live"] is not frame["more"]
        if not frame["more"]:
            break
        await post(ana, room, "meanwhile")
        await tab.send(type="sync", room=room.public_id, after=heard[-1])
    await post(ana, room, "live again")

    head = (await tab.entries(1))[0]["seq"]
    assert [*heard, head] == list(range(8, head + 1))
    await tab.leave()


async def test_a_cursor_that_cannot_be_resumed_is_reset():
    ana, bo, room = await two_in_a_room()
    await post(ana, room, "one")
    await in_db(Site.objects.update_or_create)(pk=1, defaults={"epoch": 3})
    tab = await Tab.of(bo)
    await tab.send(type="hello", v=1, client=str(uuid4()), watch=[room.public_id])
    welcome, reset = await tab.next("welcome"), await tab.next("reset")
    assert welcome["rooms"][room.public_id] == {
        "epoch": 3,
        "head": 1,
        "n": 1,
        "read": [0, 0],
        "mentions": 0,
        "muted": False,
    }
    assert (reset["epoch"], reset["head"], reset["reason"]) == (3, 1, "new")

    for cursor, reason in (([1, 0], "epoch"), ([3, 99], "ahead")):
        await tab.send(type="watch", ref=1, drop=[room.public_id])
        await tab.send(type="watch", ref=2, add={room.public_id: cursor})
        assert (await tab.next("reset"))["reason"] == reason
    await post(ana, room, "two")
    assert [frame["seq"] for frame in await tab.entries(1)] == [2]
    await tab.leave()


async def test_after_a_new_epoch_every_open_socket_comes_again_and_reads_anew(
    monkeypatch: pytest.MonkeyPatch,
):
    """The log went back to its first entry under a hub that had told three: their numbers are given again."""
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    ana, bo, room = await two_in_a_room()
    tab, other = await Tab.watching(bo, room), await Tab.watching(ana)
    for text in ("one", "two", "three"):
        await post(ana, room, text)
    assert [frame["seq"] for frame in await tab.entries(3)] == [1, 2, 3]

    def go_back() -> int:
        Entry.objects.filter(room=room, seq__gt=1).delete()
        Room.objects.filter(pk=room.pk).update(head=1, n=1)
        return rooms.new_epoch()

    epoch = await in_db(go_back)()
    assert (await tab.closed(), await other.closed()) == (1012, 1012)
    again = await Tab.of(bo)
    await again.send(
        type="hello", v=1, client=str(uuid4()), watch=[room.public_id], cursors={room.public_id: [1, 3]}
    )
    reset = await again.next("reset")
    assert (reset["epoch"], reset["head"], reset["reason"]) == (epoch, 1, "epoch")
    await post(ana, room, "another two")
    assert [frame["seq"] for frame in await again.entries(1)] == [2]
    await again.leave()


async def test_a_stranger_watches_nothing():
    ana, _bo, room = await two_in_a_room()
    stranger = await in_db(make_member)()
    tab = await Tab.of(stranger)
    await tab.send(type="hello", v=1, client=str(uuid4()), watch=[room.public_id, "aaaaaaaaaaaae"])

    assert (await tab.next("welcome"))["rooms"] == {}
    errors = [await tab.next("error"), await tab.next("error")]
    assert [(error["room"], error["code"]) for error in errors] == [
        (room.public_id, "not_found"),
        ("aaaaaaaaaaaae", "not_found"),
    ]
    await post(ana, room, "private")
    assert await tab.nothing()
    await tab.leave()


async def test_registering_before_reading_leaves_no_gap_under_load():
    """Sockets come and go while others talk: each hears everything from its cursor on, without a hole."""
    ana, bo, room = await two_in_a_room()
    done = asyncio.Event()

    async def talk() -> None:
        for number in range(150):
            await post(ana, room, str(number))
        done.set()

    async def listen() -> None:
        last = 0
        while not done.is_set() or last < 150:
            tab = await Tab.of(bo)
            cursors = {room.public_id: [1, last]}
            await tab.send(type="hello", v=1, client=str(uuid4()), watch=[room.public_id], cursors=cursors)
            await tab.next("welcome")
            for _ in range(8):
                try:
                    frame = await tab.next("sync", "entry", within_s=0.5)
                except TimeoutError:
                    break
                for entry in frame["entries"] if frame["type"] == "sync" else [frame]:
                    assert entry["seq"] == last + 1
                    last = entry["seq"]
                if frame.get("more"):
                    await tab.send(type="sync", room=room.public_id, after=last)
            await tab.leave()

    async with asyncio.timeout(60):
        await asyncio.gather(talk(), listen(), listen())


# -- rights end


async def test_who_leaves_hears_the_room_to_that_place_and_not_further():
    ana, bo, room = await two_in_a_room()
    anas, bos = await Tab.watching(ana, room), await Tab.watching(bo, room)
    await post(ana, room, "before")
    await in_db(rooms.leave)(room, bo, "moved away")
    await post(ana, room, "after")

    assert [frame["seq"] for frame in await bos.entries(1)] == [1]
    gone = await bos.next("gone")
    assert (gone["room"], gone["seq"]) == (room.public_id, 2)
    assert await bos.nothing()
    assert [frame["kind"] for frame in await anas.entries(3)] == ["message", "leave", "message"]
    await bos.send(type="sync", room=room.public_id, after=0, ref=1)
    assert (await bos.next("error"))["code"] == "not_found"
    await in_db(rooms.enter)(room, bo)
    await bos.send(type="watch", add={room.public_id: None})
    await bos.next("reset")
    await post(ana, room, "welcome back")
    assert [frame["seq"] for frame in await bos.entries(1)] == [5]
    for tab in (anas, bos):
        await tab.leave()


async def test_signing_out_ends_the_sockets_of_that_session_or_of_all():
    ana = await in_db(make_member)()
    keys = [await in_db(session_of)(ana) for _ in range(2)]
    phone, laptop = [Tab(cookie(key)) for key in keys]
    for tab in (phone, laptop):
        await tab.wire.connect(5)
        await tab.send(type="hello", v=1, client=str(uuid4()))
        await tab.next("welcome")

    await in_db(rooms.sign_out)(ana.pk, "signed out", keys[0])
    assert await phone.closed() == 4001
    assert await laptop.nothing()
    await in_db(rooms.sign_out)(ana.pk, "signed out everywhere")
    assert await laptop.closed() == 4001


async def test_a_socket_that_comes_first_after_a_rotation_leaves_the_session_to_its_cookie(settings):
    ana = await in_db(make_member)()
    key = await in_db(session_of)(ana)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 50, [settings.SECRET_KEY]
    for _again in range(2):
        tab = Tab(cookie(key))
        await tab.wire.connect(5)
        await tab.send(type="hello", v=1, client=str(uuid4()))
        await tab.next("welcome")
        await tab.leave()


async def test_who_signed_out_during_the_handshake_is_not_welcomed():
    ana = await in_db(make_member)()
    key = await in_db(session_of)(ana)
    tab = Tab(cookie(key))
    await tab.wire.connect(5)
    await in_db(Session.objects.filter(pk=key).delete)()
    await tab.send(type="hello", v=1, client=str(uuid4()))
    assert await tab.closed() == 4001


async def test_a_suspended_member_is_shown_the_door():
    ana = await in_db(make_member)()
    tab = await Tab.watching(ana)
    await in_db(rooms.suspend)(ana.pk, "rules")
    assert await tab.closed() == 4403


async def test_a_session_that_vanished_ends_its_sockets_by_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    ana = await in_db(make_member)()
    key = await in_db(session_of)(ana)
    tab = Tab(cookie(key))
    await tab.wire.connect(5)
    await in_db(Session.objects.filter(pk=key).delete)()
    assert await tab.closed() == 4001


# -- flow control, counts, live


async def test_who_does_not_acknowledge_gets_only_the_head_until_it_asks():
    ana, bo, room = await two_in_a_room()
    slow, quick = await Tab.watching(bo, room), await Tab.watching(ana, room)
    for number in range(100):
        await post(ana, room, str(number))
        if number % 32 == 31:
            await quick.send(type="ack", rooms={room.public_id: number + 1})
            await quick.send(
                type="sync", room="aaaaaaaaaaaae", after=0
            )  # its answer says that the ack was taken
            await quick.next("error")

    assert [frame["seq"] for frame in await slow.entries(64)] == list(range(1, 65))
    head = await slow.next("head")
    assert head["seq"] >= 65 and not [frame for frame in slow.heard if frame["type"] == "entry"]
    assert [frame["seq"] for frame in await quick.entries(100)] == list(range(1, 101))
    await slow.send(type="sync", room=room.public_id, after=64)
    sync = await slow.next("sync")
    assert [entry["seq"] for entry in sync["entries"]] == list(range(65, 101)) and sync["live"]
    await post(ana, room, "live")
    assert (await slow.entries(1))[0]["seq"] == 101
    for tab in (slow, quick):
        await tab.leave()


async def test_reading_here_is_known_on_my_other_sockets_and_in_the_list():
    ana, bo, room = await two_in_a_room()
    for number in range(3):
        await post(ana, room, str(number))
    phone, laptop, anas = (
        await Tab.watching(bo, room),
        await Tab.watching(bo, room),
        await Tab.watching(ana, room),
    )

    for seq in (1, 3, 2):
        await phone.send(type="read", room=room.public_id, seq=seq)

    assert await laptop.next("read") == {"type": "read", "room": room.public_id, "seq": 3, "n": 3}
    assert (await in_db(conversations.of)(bo))[0].unread == 0
    assert await anas.nothing()
    for tab in (phone, laptop, anas):
        await tab.leave()


async def test_typing_is_told_to_those_who_watch_of_who_lets_it_be_seen():
    ana, bo, room = await two_in_a_room()
    await in_db(show)(ana)
    anas, bos = await Tab.watching(ana, room), await Tab.watching(bo, room)
    await bos.send(type="typing", room=room.public_id)
    await anas.send(type="typing", room=room.public_id)
    assert (await bos.next("typing"))["members"] == [ana.public_id]
    for tab in (anas, bos):
        await tab.leave()


async def test_history_comes_newest_first_and_says_where_it_begins():
    ana, bo, room = await two_in_a_room()
    for number in range(60):
        await post(ana, room, str(number))
    tab = await Tab.watching(bo, room)

    await tab.send(type="history", ref=1, room=room.public_id, limit=50)
    newest = await tab.next("history")
    await tab.send(type="history", ref=2, room=room.public_id, before=newest["messages"][-1]["seq"], limit=50)
    oldest = await tab.next("history")

    assert [row["seq"] for row in newest["messages"] + oldest["messages"]] == list(range(60, 0, -1))
    assert (newest["start"], oldest["start"]) == (False, True)
    await tab.leave()


async def test_a_live_topic_is_heard_by_those_who_may():
    ana, bo = await in_db(make_member)(), await in_db(make_member)()
    anas, bos = await Tab.watching(ana), await Tab.watching(bo)
    topic = f"me:{ana.public_id}"
    for tab in (anas, bos):
        await tab.send(type="follow", ref=1, topics=[topic, "nowhere:1"])
    assert (await anas.next("error"))["topic"] == "nowhere:1"
    assert (await anas.next("ok"))["topics"] == [topic]
    assert {(await bos.next("error"))["topic"] for _ in range(2)} == {topic, "nowhere:1"}
    assert (await bos.next("ok"))["topics"] == []

    await in_db(live.publish)(topic, {"bell": 2})

    assert await anas.next("live") == {"type": "live", "topic": topic, "data": {"bell": 2}}
    assert await bos.nothing()
    for tab in (anas, bos):
        await tab.leave()


async def test_too_many_messages_at_once_are_told_to_wait(settings: Any):
    settings.RATE_LIMITS = True
    ana, _bo, room = await two_in_a_room()
    tab = await Tab.watching(ana, room)
    answers = [await tab.say(room, str(number)) for number in range(60)]
    slowed = [answer for answer in answers if answer["type"] == "error"]
    assert slowed and all((no["code"], no["retry_after"]) == ("too_fast", 1) for no in slowed)
    await tab.leave()


async def test_the_hub_rests_when_the_last_socket_has_gone():
    ana, _bo, room = await two_in_a_room()
    tab = await Tab.watching(ana, room)
    here = hub.current()
    assert here.numbers() == {"sockets": 1, "rooms": 2, "topics": 0}
    await tab.leave()
    assert here.numbers() == {"sockets": 0, "rooms": 0, "topics": 0}
    assert await in_db(Room.objects.filter(kind=Room.Kind.CONTROL).count)() == 1


async def test_history_goes_on_after_a_place_too():
    ana, bo, room = await two_in_a_room()
    for number in range(60):
        await post(ana, room, str(number))
    tab = await Tab.watching(bo, room)

    await tab.send(type="history", ref=1, room=room.public_id, after=20, limit=30)
    middle = await tab.next("history")
    await tab.send(type="history", ref=2, room=room.public_id, after=50)
    newest = await tab.next("history")

    assert [row["seq"] for row in middle["messages"]] == list(range(50, 20, -1))
    assert [row["seq"] for row in newest["messages"]] == list(range(60, 50, -1))
    assert (middle["end"], newest["end"]) == (False, True)
    await tab.leave()
