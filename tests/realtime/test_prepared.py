"""Queries that are put together once: the answers are those of the query written anew, whatever is asked and in whichever order."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Exists, F, OuterRef, QuerySet
from django.test.utils import CaptureQueriesContext

from realtime import clock, prepared
from realtime.models import Participant, Room
from realtime.prepared import ID, IDS, MOMENT, NUMBER, TEXT, WORDS, Given, keys_of
from tests.factories import make_member, make_room

pytestmark = pytest.mark.django_db


@prepared.prepared(member=ID, since=MOMENT, words=WORDS, rooms=IDS)
def found(*, member: Any, since: Any, words: Any, rooms: Any, most: int) -> QuerySet[Room]:
    here = Participant.objects.filter(room=OuterRef("pk"), member=member, left_seq=None)
    shown = Room.objects.filter(Exists(here), created_at__gte=since - timedelta(hours=1))
    for word in words:
        shown = shown.filter(title__holds=word)
    if rooms is not None:
        shown = shown.filter(pk__among=rooms)
    return shown.order_by("title")[:most]


def ask(member: Any, *words: str, rooms: Any = None, since: Any = None, most: int = 10) -> list[str]:
    return [
        room.title
        for room in found(member=member.pk, since=since or clock.now(), words=words, rooms=rooms, most=most)
    ]


def test_each_value_stands_in_its_place_whoever_asks() -> None:
    ana, bo = make_member(), make_member()
    chess, tea, chess_too = (
        make_room(who, title=title) for who, title in ((ana, "Chess"), (ana, "Tea"), (bo, "Chess 2"))
    )

    assert (ask(ana), ask(bo)) == (["Chess", "Tea"], ["Chess 2"])
    assert (ask(ana, "Che"), ask(bo, "Che", "2"), ask(ana, "%"), ask(ana, "_")) == (
        ["Chess"],
        ["Chess 2"],
        [],
        [],
    )
    assert ask(ana, rooms=keys_of([tea, chess_too])) == ["Tea"] and ask(ana, rooms=[]) == []
    assert ask(ana, since=clock.now() + timedelta(hours=2)) == []
    assert (ask(ana, most=1), ask(ana)) == (["Chess"], ["Chess", "Tea"])
    assert ask(ana, rooms=[chess.pk, tea.pk, *range(1, 900)]) == ["Chess", "Tea"]


def test_it_is_written_once_for_each_shape() -> None:
    written: list[int] = []

    @prepared.prepared(key=ID)
    def one(*, key: Any, is_open: bool) -> QuerySet[Room]:
        written.append(1)
        return Room.objects.filter(pk=key, closed_at__isnull=is_open)

    prepared.is_checked = False
    for _time in range(3):
        assert one(key=1, is_open=True) == one(key=2, is_open=False) == []
    assert len(written) == 2


def test_a_change_is_written_once_too_and_says_how_many_rows_it_changed() -> None:
    room = make_room(make_member())

    @prepared.changing(room=ID, n=NUMBER, least=NUMBER)
    def shift(*, room: Any, n: Any, least: Any) -> tuple[QuerySet[Room], dict[str, Any]]:
        return Room.objects.filter(pk=room, head__gte=least), {"head": F("head") + n}

    assert shift(room=room.pk, n=3, least=0) == 1 and shift(room=room.pk, n=-1, least=3) == 1
    assert shift(room=room.pk, n=1, least=3) == 0 and shift(room=1, n=1, least=0) == 0
    room.refresh_from_db()
    assert room.head == 2


def test_what_is_fetched_beside_the_rows_comes_too() -> None:
    @prepared.prepared(room=ID)
    def seats(*, room: Any) -> QuerySet[Participant]:
        rows = Participant.objects.filter(room=room).select_related("member").order_by("pk")
        return rows.prefetch_related("room__participants")

    room = make_room(make_member(display_name="Ana"), make_member(display_name="Bo"))
    with CaptureQueriesContext(connection) as asked:
        rows = seats(room=room.pk)
    assert [row.member.display_name for row in rows] == ["Ana", "Bo"]
    assert len(rows[0].room.participants.all()) == 2 and len(asked) == 3


def test_the_few_rows_that_a_query_names_are_found_by_their_keys() -> None:
    @prepared.prepared(member=ID)
    def mine(*, member: Any) -> QuerySet[Room]:
        here = Participant.objects.filter(member=member, left_seq=None).values("room")
        muted = Participant.objects.filter(member=member, muted=True).values("room")
        return Room.objects.filter(pk__among=here.union(muted)).order_by("title")

    ana, bo = make_member(), make_member()
    for title, who in (("Tea", ana), ("Chess", ana), ("Walks", bo)):
        make_room(who, title=title)
    assert [[room.title for room in mine(member=one.pk)] for one in (ana, bo)] == [
        ["Chess", "Tea"],
        ["Walks"],
    ]
    assert mine(member=make_member().pk) == []


def test_a_function_that_looks_at_a_clock_is_found_out(clock: Any) -> None:
    @prepared.prepared(key=ID)
    def young(*, key: Any) -> QuerySet[Room]:
        return Room.objects.filter(pk=key, created_at__gte=prepared_clock.now())

    young(key=1)
    clock.shift(1)
    with pytest.raises(prepared.ChangedStatement):
        young(key=1)
    prepared.is_checked = False
    young(key=1)  # the witness: unchecked it would go on asking about the first moment


def test_a_value_that_got_lost_on_the_way_is_found_out() -> None:
    @prepared.prepared(title=TEXT)
    def called(*, title: Any) -> QuerySet[Room]:
        return Room.objects.filter(title=f"{title}")

    with pytest.raises(prepared.LostValue):
        called(title="Chess")


@pytest.mark.django_db(transaction=True)
def test_threads_that_ask_at_once_each_get_their_own() -> None:
    people = [make_member() for _one in range(8)]
    for number, member in enumerate(people):
        make_room(member, title=f"Room {number}")

    def of(number: int) -> list[str]:
        try:
            return [title for _time in range(20) for title in ask(people[number])]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(of, range(8)))
    assert answers == [[f"Room {number}"] * 20 for number in range(8)]


prepared_clock = clock


def test_a_statement_has_one_number_a_value_and_its_constants_in_it() -> None:
    reader, now, word = Given("reader", ID), Given("now", MOMENT), Given("word", TEXT)
    sql = "SELECT a LIKE '%%x' WHERE b = %s AND c = %s AND d = %s AND e > %s AND f = %s AND g IN (%s, %s) AND h = %s"
    constants = ("in", True, "O'Brien", 3)
    text, places = prepared._numbered(
        sql, [reader, constants[0], constants[1], now, reader, constants[2], constants[3], word]
    )
    assert text == (
        b"SELECT a LIKE '%x' WHERE b = $1 AND c = 'in' AND d = true AND e > $2 AND f = $1 AND g IN ($3, 3) AND h = $4"
    )
    assert places == [reader, now, "O'Brien", word], "what is no plain word is given beside the statement"
    later = now + timedelta(hours=1)
    assert prepared._numbered("%s %s", [now, later])[0] == b"$1 $2", "an hour later is another value"
    assert prepared._numbered("%s %s", [word, word])[0] == b"$1 $2", "a text may be wanted as two kinds"
