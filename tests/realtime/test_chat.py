"""The log of a room: dense, in the order of commits, each key once, rights checked under the lock."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, connections, transaction

from realtime import chat, conversations, marks, reading, rooms, statements
from realtime.models import Entry, Participant, Room
from tests.factories import make_member, make_room

pytestmark = pytest.mark.django_db
THREADS = 40


def say(member: Any, room: Room, text: str = "Labdien", key: UUID | None = None) -> Entry:
    return chat.post(member, room.pk, text, key or uuid4())[0]


def at_once(work: Any, times: int = THREADS) -> list[Any]:
    """Run `work(number)` in that many threads that all start together; what each gave or raised."""
    start = threading.Barrier(times)

    def run(number: int) -> Any:
        start.wait(30)
        try:
            return work(number)
        except Exception as wrong:
            return wrong
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


def assert_dense(room: Room) -> None:
    """Every seq once from 1 to the head, in the order of rows, and `n` counting the messages."""
    rows = list(Entry.objects.filter(room=room).order_by("pk").values_list("seq", "n", "kind"))
    room.refresh_from_db()
    assert [seq for seq, _n, _kind in rows] == list(range(1, room.head + 1))
    messages = 0
    for _seq, n, kind in rows:
        messages += kind == Entry.Kind.MESSAGE
        assert n == messages
    assert room.n == messages


# -- writing


def test_messages_are_numbered_from_one():
    ana = make_member()
    room = make_room(ana)

    assert [say(ana, room, text).seq for text in ("one", "two", "three")] == [1, 2, 3]
    assert_dense(room)


def test_the_same_key_gives_the_same_entry():
    ana = make_member()
    room, key = make_room(ana), uuid4()

    first, was_known = chat.post(ana, room.pk, "hello", key)
    again, is_known = chat.post(ana, room.pk, "hello", key)

    assert (was_known, is_known, again.seq) == (False, True, first.seq)
    assert Entry.objects.filter(room=room).count() == 1


def test_a_message_sent_again_after_its_edit_or_removal_is_still_the_same():
    ana = make_member()
    room, key = make_room(ana), uuid4()
    seq = say(ana, room, "helo", key).seq

    chat.edit(ana, room.pk, seq, "hello", uuid4())
    assert chat.post(ana, room.pk, "helo", key)[1]
    chat.delete(ana, room.pk, seq, uuid4())
    assert chat.post(ana, room.pk, "helo", key)[1]


@pytest.mark.parametrize("other", [{"text": "bye"}, {"reply_to": 1}])
def test_a_key_used_for_something_else_is_refused(other: dict[str, Any]):
    ana = make_member()
    room, key = make_room(ana), uuid4()
    say(ana, room)
    chat.post(ana, room.pk, "hello", key)

    with pytest.raises(ValidationError) as no:
        chat.post(ana, room.pk, **{"text": "hello", "key": key} | other)
    assert no.value.code == "key_reused"


def test_two_members_may_use_the_same_key():
    ana, bo = make_member(), make_member()
    room, key = make_room(ana, bo), uuid4()

    assert say(ana, room, key=key).seq != say(bo, room, key=key).seq


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_field"),
        (" \n\t", "bad_field"),
        ("\u200b\u2060", "bad_field"),
        ("nul\0", "bad_field"),
        ("\ud800", "bad_field"),
        (7, "bad_field"),
        ("x" * 4001, "too_long"),
    ],
)
def test_text_that_cannot_be_said_is_refused(text: Any, code: str):
    ana = make_member()
    room = make_room(ana)

    with pytest.raises(ValidationError) as no:
        chat.post(ana, room.pk, text, uuid4())
    assert no.value.code == code
    assert not Entry.objects.exists()


def test_text_is_composed_and_may_be_four_thousand_code_points_long():
    ana = make_member()
    room = make_room(ana)

    assert say(ana, room, "Cafe\u0301").text == "Caf\u00e9"
    assert len(say(ana, room, "😀" * 4000).text) == 4000


def test_a_stranger_and_somebody_who_left_find_no_room():
    ana, bo, stranger = make_member(), make_member(), make_member()
    room = make_room(ana, bo)
    rooms.leave(room, bo)

    for member in (bo, stranger):
        for act in (
            lambda who: chat.post(who, room.pk, "hi", uuid4()),
            lambda who: reading.entries(who, room.pk, 0),
            lambda who: reading.history(who, room.pk),
            lambda who: marks.mark_read(who, room.pk, 1),
            lambda who: rooms.room_for(who, room.pk),
        ):
            with pytest.raises(Room.DoesNotExist):
                act(member)
    with pytest.raises(Room.DoesNotExist):
        chat.post(ana, 12345, "hi", uuid4())


def test_a_closed_room_can_be_read_and_not_written():
    ana = make_member()
    room = make_room(ana)
    say(ana, room)
    rooms.close(room)

    with pytest.raises(ValidationError) as no:
        say(ana, room)
    assert no.value.code == "closed"
    assert len(reading.entries(ana, room.pk, 0).rows) == 1


# -- changing


def test_an_edit_is_an_entry_and_changes_the_message():
    ana, bo = make_member(), make_member()
    room = make_room(ana, bo)
    message = say(ana, room, "helo")

    edit, _known = chat.edit(ana, room.pk, message.seq, "hello", uuid4())

    shown, entry = reading.entries(bo, room.pk, 0).rows
    assert (shown["body"]["text"], shown["rev"], shown["n"]) == ("hello", edit.seq, 1)
    assert (entry["kind"], entry["body"], entry["n"]) == ("edit", {"seq": 1, "text": "hello"}, 1)
    with pytest.raises(PermissionDenied):
        chat.edit(bo, room.pk, message.seq, "mine", uuid4())


def test_what_is_removed_leaves_no_word_behind_and_keeps_its_place():
    ana = make_member()
    room = make_room(ana)
    message = say(ana, room, "secret")
    chat.edit(ana, room.pk, message.seq, "still secret", uuid4())

    chat.delete(ana, room.pk, message.seq, uuid4())

    assert not Entry.objects.filter(text__contains="secret").exists()
    shown, edit, removal = reading.entries(ana, room.pk, 0).rows
    assert (shown["body"], shown["rev"], edit["body"]["text"], removal["kind"]) == (None, 3, None, "delete")
    for act in (
        lambda: chat.edit(ana, room.pk, message.seq, "again", uuid4()),
        lambda: chat.delete(ana, room.pk, message.seq, uuid4()),
        lambda: chat.react(ana, room.pk, message.seq, "👍", True, uuid4()),
        lambda: chat.post(ana, room.pk, "so?", uuid4(), reply_to=message.seq),
    ):
        with pytest.raises(Entry.DoesNotExist):
            act()
    assert_dense(room)


def test_reactions_are_part_of_a_message_until_they_are_taken_back():
    ana, bo = make_member(), make_member()
    room = make_room(ana, bo)
    seq = say(ana, room).seq
    first, _known = chat.react(bo, room.pk, seq, "🎉", True, uuid4())
    chat.react(ana, room.pk, seq, "🎉", True, uuid4())
    chat.react(ana, room.pk, seq, "👍", True, uuid4())

    assert chat.react(bo, room.pk, seq, "🎉", True, uuid4())[0].seq == first.seq
    chat.react(ana, room.pk, seq, "👍", False, uuid4())

    (shown,) = reading.history(ana, room.pk).rows
    assert shown["body"]["reactions"] == {"🎉": [bo.public_id, ana.public_id]}
    assert shown["rev"] == 5
    assert Room.objects.get(pk=room.pk).n == 1


@pytest.mark.parametrize("emoji", ["", "x", "hello", "<b>", "👍" * 20, " ", "👍 x", "1"])
def test_only_an_emoji_is_a_reaction(emoji: str):
    ana = make_member()
    room = make_room(ana)
    seq = say(ana, room).seq

    with pytest.raises(ValidationError):
        chat.react(ana, room.pk, seq, emoji, True, uuid4())


# -- reading


def test_the_log_comes_in_pages_and_the_history_backwards():
    ana = make_member()
    room = make_room(ana)
    for number in range(7):
        say(ana, room, str(number))

    first = reading.entries(ana, room.pk, 0, limit=4)
    rest = reading.entries(ana, room.pk, first.rows[-1]["seq"], limit=4)
    assert [row["seq"] for row in first.rows + rest.rows] == [1, 2, 3, 4, 5, 6, 7]
    assert (first.more, rest.more) == (True, False)

    newest = reading.history(ana, room.pk, limit=5)
    assert [row["body"]["text"] for row in newest.rows] == ["6", "5", "4", "3", "2"]
    assert newest.more and not reading.history(ana, room.pk, before=3).more


@pytest.mark.parametrize(
    ("text", "kept"),
    [("\n \n  code\n  more  \n\n", "  code\n  more"), ("a\u202eb", "a\u202eb"), ("\u3164x", "\u3164x")],
)
def test_blank_lines_round_a_message_are_left_out(text: str, kept: str):
    assert chat.clean(text) == kept


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b", "\u3164", "\u2800 \uffa0", "\u0301\u0301"])
def test_what_nobody_can_see_is_no_message(text: str):
    with pytest.raises(ValidationError):
        chat.clean(text)


def test_unread_counts_messages_of_others_only():
    ana, bo = make_member(), make_member()
    room = rooms.open(Room.Kind.CIRCLE, "Walkers")
    rooms.enter(room, ana)
    say(ana, room, "before bo")
    rooms.enter(room, bo)

    def unread(member: Any) -> int:
        return conversations.of(member)[0].unread

    assert (unread(ana), unread(bo)) == (0, 0)
    message = say(ana, room)
    say(ana, room)
    chat.edit(ana, room.pk, message.seq, "changed", uuid4())
    assert (unread(ana), unread(bo)) == (0, 2)

    marks.mark_read(bo, room.pk, message.seq)
    assert unread(bo) == 1
    marks.mark_read(bo, room.pk, 10**9)
    assert unread(bo) == 0
    marks.mark_read(bo, room.pk, 1)
    assert unread(bo) == 0


def test_a_room_without_an_entry_can_be_read():
    ana = make_member()
    room = make_room(ana)
    marks.mark_all_read([(ana.pk, room.pk, 1)])
    here = Participant.objects.get(room=room, member=ana)
    assert (here.read_seq, here.read_n) == (0, 0)


@pytest.mark.parametrize("how_many", [1, 30])
def test_what_many_have_read_is_written_at_once(django_assert_num_queries: Any, how_many: int):
    writer, *members = (make_member() for _ in range(1 + how_many))
    reached = {make_room(writer, *members): 1, make_room(writer, *members): 2}
    for room in reached:
        for _ in range(3):
            say(writer, room)
    reads = [(member.pk, room.pk, seq) for member in members for room, seq in reached.items()]
    with django_assert_num_queries(6):  # heads, seats, numbers, the new places, BEGIN and COMMIT
        marks.mark_all_read(reads)
    nobody = [(10**9 + number, room.pk, 1) for number in range(1500)]
    marks.mark_all_read(nobody)  # no query is too large

    for room, seq in reached.items():
        here = Participant.objects.filter(room=room, member__in=members)
        assert list(here.values_list("read_seq", "read_n")) == [(seq, seq)] * how_many


def test_entering_twice_is_entering_once_and_coming_back_starts_at_the_head():
    ana, bo = make_member(), make_member()
    room = rooms.open(Room.Kind.CIRCLE, "Walkers")
    for member in (ana, ana, bo):
        rooms.enter(room, member)
    rooms.leave(room, bo, "moved")
    rooms.leave(room, bo, "moved")
    say(ana, room)
    rooms.enter(room, bo)

    kinds = list(Entry.objects.filter(room=room).order_by("seq").values_list("kind", flat=True))
    assert kinds == ["join", "join", "leave", "message", "join"]
    assert Participant.objects.get(room=room, member=bo).left_seq is None
    assert conversations.of(bo)[0].unread == 0


@pytest.mark.parametrize("how_many", [1, 30])
def test_lists_cost_the_same_queries_however_long(django_assert_num_queries: Any, how_many: int):
    ana = make_member()
    some_rooms = [make_room(ana) for _ in range(how_many)]
    for _ in range(how_many):
        seq = say(ana, some_rooms[0]).seq
        chat.react(ana, some_rooms[0].pk, seq, "👍", True, uuid4())

    with django_assert_num_queries(2):
        conversations.of(ana)
    with django_assert_num_queries(4):
        reading.history(ana, some_rooms[0].pk)
    with django_assert_num_queries(4):
        reading.entries(ana, some_rooms[0].pk, 0)


# -- races


@pytest.mark.django_db(transaction=True)
def test_forty_senders_at_once_make_one_dense_log():
    people = [make_member() for _ in range(THREADS)]
    room = make_room(*people)

    said = at_once(lambda number: [say(people[number], room, str(n)).seq for n in range(3)])

    assert sorted(seq for seqs in said for seq in seqs) == list(range(1, 3 * THREADS + 1))
    assert_dense(room)


@pytest.mark.django_db(transaction=True)
def test_one_key_sent_forty_times_at_once_is_one_message():
    ana = make_member()
    room, key = make_room(ana), uuid4()

    said = at_once(lambda _number: chat.post(ana, room.pk, "once", key))

    assert {entry.seq for entry, _known in said} == {1}
    assert sorted(known for _entry, known in said) == [False] + [True] * (THREADS - 1)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_said_by_somebody_after_they_left():
    people = [make_member() for _ in range(THREADS // 2)]
    room = make_room(*people)

    def speak_or_leave(number: int) -> None:
        member = people[number // 2]
        if number % 2:
            rooms.leave(room, member)
        else:
            with pytest.raises(Room.DoesNotExist):
                for _ in range(5):
                    say(member, room)
                rooms.leave(room, member)
                say(member, room)

    assert at_once(speak_or_leave) == [None] * THREADS

    for member in people:
        left = Entry.objects.get(room=room, author=member, kind=Entry.Kind.LEAVE).seq
        assert not Entry.objects.filter(room=room, author=member, seq__gt=left).exists()
    assert_dense(room)


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_senders_collide(monkeypatch: pytest.MonkeyPatch):
    """The witness: the same forty senders, each looking before anybody locks, do not make one dense log."""
    people = [make_member() for _ in range(THREADS)]
    room = make_room(*people)
    if connection.vendor == "sqlite":
        # BEGIN IMMEDIATE is the lock there: take the look out of the transaction.
        looked = threading.Barrier(THREADS)

        def look_first(number: int) -> Any:
            seen = Room.objects.get(pk=room.pk)
            looked.wait(30)
            with transaction.atomic():
                return rooms.append(seen, Entry.Kind.MESSAGE, people[number], text="x", key=uuid4())

        said = at_once(look_first)
    else:
        for locking in (statements._THE_ROOMS[True], statements._THE_SEATS[True]):
            monkeypatch.setattr(locking, "_query", locking._query.split("FOR UPDATE")[0])
        said = at_once(lambda number: say(people[number], room))

    assert any(isinstance(answer, Exception) for answer in said)
