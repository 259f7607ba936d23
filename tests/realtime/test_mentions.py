"""Names behind an @: who is meant, how it is counted, and when it is over."""

from typing import Any
from uuid import uuid4

import pytest

from realtime import blocks, chat, marks, reading, rooms
from realtime.models import Mention
from realtime.threads import in_thread as in_db
from tests.factories import make_member, make_room

from .sockets import Tab

pytestmark = pytest.mark.django_db


def named(room: Any, seq: int) -> set[str]:
    return set(Mention.objects.filter(room=room, seq=seq).values_list("member__display_name", flat=True))


def count_of(member: Any, room: Any) -> int:
    return int(rooms.standing_of([member.pk])[member.pk].rooms[room.pk].mentions)


@pytest.fixture
def people() -> tuple[Any, Any, Any, Any]:
    ana = make_member(display_name="Ana")
    bo = make_member(display_name="Bo van den Berg")
    twin = make_member(display_name="Ana Maria")
    return ana, bo, twin, make_room(ana, bo, twin)


@pytest.mark.parametrize(
    ("text", "whom"),
    [
        ("hello @Bo van den Berg, and you?", {"Bo van den Berg"}),
        ("(@Ana Maria)", {"Ana", "Ana Maria"}),
        ("@Ana!", set()),
        ("@Ana. And @Bo van den Berg?", {"Bo van den Berg"}),
        ("mail@Bo van den Berg", {"Bo van den Berg"}),
        ("@ Bo van den Berg", set()),
        ("@Nobody here", set()),
        ("no sign", set()),
        ("@" * 4000, set()),
    ],
)
def test_a_name_in_the_text_is_found(people: Any, text: str, whom: set[str]):
    ana, _bo, _twin, room = people
    entry, _known = chat.post(ana, room.pk, text, uuid4())
    assert named(room, entry.seq) == whom - {"Ana"}, "nobody names themselves"


def test_of_two_with_one_name_the_one_who_is_meant(people: Any):
    ana, bo, twin, room = people
    other = make_member(display_name="Ana Maria")
    rooms.enter(room, other)
    frame = reading.frame_of(
        chat.writing.write(room.pk, chat.message(bo, "@Ana Maria?", uuid4(), mentions=[other.pk]))[0]
    )
    assert frame["body"]["mentions"] == [{"id": other.public_id, "name": "Ana Maria"}]
    assert (count_of(other, room), count_of(twin, room), count_of(ana, room)) == (1, 0, 0)


def test_it_is_counted_until_it_is_read_changed_or_gone(people: Any):
    ana, bo, _twin, room = people
    first, _known = chat.post(ana, room.pk, "@Bo van den Berg one", uuid4())
    second, _known = chat.post(ana, room.pk, "@Bo van den Berg two", uuid4())
    third, _known = chat.post(ana, room.pk, "three", uuid4())
    assert count_of(bo, room) == 2
    marks.mark_read(bo, room.pk, first.seq)
    assert count_of(bo, room) == 1
    chat.edit(ana, room.pk, third.seq, "three for @Bo van den Berg", uuid4())
    assert count_of(bo, room) == 2
    chat.edit(ana, room.pk, third.seq, "three for nobody", uuid4())
    chat.delete(ana, room.pk, second.seq, uuid4())
    assert count_of(bo, room) == 0


def test_who_is_apart_is_neither_named_nor_counted(people: Any):
    ana, bo, twin, room = people
    chat.post(ana, room.pk, "@Bo van den Berg before", uuid4())
    chat.post(twin, room.pk, "@Bo van den Berg and @Ana", uuid4())
    blocks.block(bo, ana.pk)
    assert count_of(bo, room) == 1, "what was counted of the other is not any more"
    chat.post(ana, room.pk, "@Bo van den Berg after", uuid4())
    assert count_of(bo, room) == 1
    heard = [row["kind"] for row in reading.history(bo, room.pk).rows]
    assert heard == ["hidden", "message", "hidden"]
    (theirs,) = [row for row in reading.history(bo, room.pk).rows if row["kind"] == "message"]
    assert [person["name"] for person in theirs["body"]["mentions"]] == ["Bo van den Berg"]


@pytest.mark.django_db(transaction=True)
async def test_who_is_apart_hears_stubs_live_and_no_answer_no_sign():
    ana, bo, cleo = [await in_db(make_member)() for _ in range(3)]
    room = await in_db(make_room)(ana, bo, cleo)
    bos, cleos = await Tab.watching(bo, room), await Tab.watching(cleo, room)
    await in_db(blocks.block)(ana, bo.pk)
    said, _known = await in_db(chat.post)(ana, room.pk, "hello", uuid4())
    answer = await bos.say(room, "to you", reply_to=said.seq)
    assert answer["code"] == "not_found"
    await bos.send(
        type="react", ref=1, room=room.public_id, key=str(uuid4()), seq=said.seq, emoji="👍", on=True
    )
    assert (await bos.next("error"))["code"] == "not_found"
    theirs, _known = await in_db(chat.post)(cleo, room.pk, "hello both", uuid4())
    for member in (ana, cleo):
        await in_db(chat.react)(member, room.pk, theirs.seq, "🎉", True, uuid4())

    heard = await bos.entries(4, room)
    assert [entry["kind"] for entry in heard] == ["hidden", "message", "hidden", "reaction"]
    assert set(heard[0]) == {"type", "room", "seq", "n", "kind"}
    assert [entry["kind"] for entry in await cleos.entries(4, room)] == [
        "message",
        "message",
        "reaction",
        "reaction",
    ]
    again = await Tab.watching(bo, room, **{room.public_id: [1, 0]})
    await again.send(type="sync", ref=2, room=room.public_id, after=0)
    synced = (await again.next("sync"))["entries"]
    assert [entry["kind"] for entry in synced] == ["hidden", "message", "hidden", "reaction"]
    assert synced[1]["body"]["reactions"] == {"🎉": [cleo.public_id]}
    for tab in (bos, cleos, again):
        await tab.leave()
