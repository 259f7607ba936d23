"""Who is here: only those who wish it to be seen, and only to those who may know."""

from typing import Any

import pytest

from realtime import blocks, direct, presence, rooms
from realtime.lines import Line, Watch
from realtime.presence import FORGET_S, MAX_NAMED, REFRESH_S, Presence
from realtime.threads import in_thread as in_db
from tests.factories import make_member

from .sockets import Tab, post, show, two_in_a_room

pytestmark = pytest.mark.django_db(transaction=True)


async def here(tab: Tab, count: int) -> list[str]:
    """The names in the next `presence` frame that says there are so many."""
    while True:
        frame = await tab.next("presence", within_s=15)
        if frame["count"] == count:
            return sorted(person["name"] for person in frame["members"])


async def test_who_lets_it_be_seen_is_seen_to_come_and_to_go():
    ana, bo, room = await two_in_a_room()
    await in_db(show)(ana)
    bos = await Tab.watching(bo, room)
    anas = await Tab.watching(ana, room)

    assert await here(bos, 1) == [ana.display_name]
    late = await Tab.watching(bo, room)
    assert await here(late, 1) == [ana.display_name], "who comes later is told at once"
    await anas.leave()
    assert await here(bos, 0) == []
    for tab in (bos, late):
        await tab.leave()


async def test_who_changes_their_mind_is_seen_no_more():
    ana, bo, room = await two_in_a_room()
    anas, bos = await Tab.watching(ana, room), await Tab.watching(bo, room)
    await in_db(presence.show)(ana, True)
    assert await here(bos, 1) == [ana.display_name]
    await in_db(presence.show)(ana, False)
    assert await here(bos, 0) == []
    await anas.send(type="typing", room=room.public_id)
    await anas.say(room)
    await bos.entries(1, room)
    assert not [frame for frame in bos.heard if frame["type"] == "typing"]
    for tab in (anas, bos):
        await tab.leave()


async def test_a_block_takes_what_two_know_of_each_other_off_their_open_pages():
    """Rooms that were open are begun anew, without the other; the room of the two is gone."""
    ana, bo, room = await two_in_a_room()
    cleo = await in_db(make_member)()
    await in_db(rooms.enter)(room, cleo)
    await in_db(direct.ask)(ana, bo.pk)
    pair = await in_db(direct.accept)(bo, (await in_db(direct.requests_to(bo).get)()).pk)
    tabs = [await Tab.watching(member, room) for member in (ana, bo, cleo)]
    ours = [await Tab.watching(member, pair) for member in (ana, bo)]
    said = await post(cleo, room, "hello")
    for tab in tabs:
        await tab.entries(1)

    await in_db(direct.block)(ana, bo.pk)

    for tab in tabs[:2]:
        anew = await tab.next("reset")
        assert (anew["room"], anew["head"], anew["reason"]) == (room.public_id, said.seq, "rights")
    for tab in ours:
        gone = await tab.next("gone")
        assert (gone["room"], gone["reason"]) == (pair.public_id, "closed")
    await post(cleo, room, "and on")
    for tab in tabs:
        assert (await tab.entries(1))[0]["body"]["text"] == "and on"
    assert not [frame for frame in tabs[2].heard if frame["type"] == "reset"], "nobody else notices"
    for tab in (*tabs, *ours):
        await tab.leave()


async def test_who_is_apart_by_a_block_is_not_told():
    ana, bo, room = await two_in_a_room()
    cleo = await in_db(make_member)()
    await in_db(rooms.enter)(room, cleo)
    await in_db(show)(ana)
    await in_db(show)(cleo)
    await in_db(blocks.block)(ana, bo.pk)
    tabs = [await Tab.watching(member, room) for member in (ana, bo, cleo)]

    assert await here(tabs[1], 1) == [cleo.display_name]
    assert await here(tabs[2], 2) == sorted([ana.display_name, cleo.display_name])
    for tab in tabs:
        await tab.leave()


# -- several processes, a crowd


def line(number: int, *room_ids: int) -> Line:
    async def send(message: Any) -> None: ...

    made = Line(send, number)
    made.shown_as = f"member {number}"
    made.watches = {room_id: Watch(made, room_id) for room_id in room_ids}
    return made


def told(one: Presence, *words: dict[int, str]) -> list[int]:
    for some in words:
        for room_id, word in some.items():
            one.hear(room_id, word)
    return one.changes()


def test_two_processes_count_a_member_at_both_once():
    one, other = Presence(), Presence()
    words = one.words([line(1, 7), line(2, 7)]), other.words([line(2, 7), line(3, 7)])
    assert told(one, *words) == [7]
    assert '"count":3' in one.frame(7)
    assert one.words([line(1, 7), line(2, 7)]) == {}, "nothing has changed: nothing to say"
    assert told(one, other.words([])) == [7]
    assert '"count":2' in one.frame(7)


def test_a_crowd_is_a_number_and_one_more_is_no_news():
    one, other = Presence(), Presence()
    crowd = [line(number, 7) for number in range(1, MAX_NAMED + 51)]
    told(one, other.words(crowd))
    assert '"count":150,"members":[]' in one.frame(7)
    assert told(one, other.words([*crowd, line(500, 7)])) == []
    assert told(one, other.words(crowd[:120])) == [7]


def test_a_process_that_died_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    now = 1000.0
    monkeypatch.setattr(presence, "monotonic", lambda: now)
    one, other = Presence(), Presence()
    told(one, other.words([line(1, 7)]))
    now += REFRESH_S + 1
    assert told(one, again := other.words([line(1, 7)])) == []
    assert again, "it says so again now and then"
    now += FORGET_S + 1
    assert one.changes() == [7]
    assert not one.is_known(7)


# -- the choice


def test_everybody_is_asked_and_nobody_is_shown_before(client: Any):
    ana = make_member()
    client.force_login(ana)
    assert presence.choice_of(ana) is None
    assert "/chat/shown/" in client.get("/chat/").text
    for word, choice in (("1", True), ("0", False), ("rubbish", False)):
        assert client.post("/chat/shown/", {"shown": word})["Location"] == "/chat/"
        assert presence.choice_of(ana) is choice
