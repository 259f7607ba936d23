"""What is true at a door depends on the set of scans alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from events.truth import Fact, truth

EIGHT = datetime(2027, 3, 2, 20, 0, tzinfo=UTC)
PARTY = 77


def at(seconds: int) -> datetime:
    return EIGHT + timedelta(seconds=seconds)


def scan(number: int, seconds: int, kind: str = "in", gate: int = 1, **more) -> Fact:
    return Fact(UUID(int=number), gate, at(seconds), kind, **{"registration": PARTY, "slots": 1} | more)


def undo(number: int, seconds: int, of: int, gate: int = 1, **more) -> Fact:
    return scan(number, seconds, "undo", gate, undoes=UUID(int=of), **more)


def status(told, number: int, slot: int = 0) -> str:
    return told.outcomes[UUID(int=number)][slot].status


facts = st.lists(
    st.builds(
        Fact,
        id=st.integers(1, 12).map(lambda number: UUID(int=number)),
        gate=st.integers(1, 3),
        at=st.integers(0, 300).map(at),
        kind=st.sampled_from(["in", "in", "out", "undo"]),
        registration=st.sampled_from([PARTY, 78, None]),
        slots=st.integers(0, 7),
        undoes=st.integers(1, 12).map(lambda number: UUID(int=number)),
        is_refused=st.booleans(),
        is_supervised=st.booleans(),
    ),
    unique_by=lambda fact: fact.id,
    max_size=12,
)


@settings(max_examples=300)
@given(facts, st.data())
def test_order_batches_and_repetition_change_nothing(scans, data):
    distrust = data.draw(st.dictionaries(st.integers(1, 3), st.integers(0, 300).map(at)))
    shuffled = data.draw(st.permutations(scans))
    repeated = shuffled + data.draw(st.lists(st.sampled_from(scans))) if scans else []

    assert truth(repeated, distrust) == truth(scans, distrust)


@given(facts)
def test_who_attended_was_admitted_and_nobody_leaves_twice(scans):
    told = truth(scans)

    assert all(one.bodies >= one.inside for one in told.standing.values())
    assert told.attended <= sum(
        outcome.status == "admitted" for slots in told.outcomes.values() for outcome in slots.values()
    )


def test_in_out_and_in_again():
    told = truth([scan(1, 0), scan(2, 60, "out"), scan(3, 120)])

    assert [status(told, n) for n in (1, 2, 3)] == ["admitted", "left", "admitted"]
    assert (told.attended, told.inside) == (1, 1)


def test_a_second_body_is_counted_and_names_the_scan_that_was_first():
    told = truth([scan(2, 30, gate=2), scan(1, 0)])
    outcome = told.outcomes[UUID(int=2)][0]

    assert (outcome.status, outcome.winner.id) == ("recorded_conflict", UUID(int=1))
    assert (told.attended, told.inside) == (1, 2)


def test_at_the_same_moment_the_smaller_id_was_first():
    told = truth([scan(2, 0, gate=2), scan(1, 0)])

    assert [status(told, n) for n in (1, 2)] == ["admitted", "recorded_conflict"]


def test_out_without_in():
    told = truth([scan(1, 0, "out")])

    assert (status(told, 1), told.inside) == ("not_inside", 0)


def test_each_place_of_a_party_stands_for_itself():
    told = truth([scan(1, 0, slots=0b011), scan(2, 10, slots=0b110)])

    assert [status(told, 2, slot) for slot in (1, 2)] == ["recorded_conflict", "admitted"]
    assert (told.attended, told.inside) == (3, 4)


def test_an_undo_by_the_same_gate_takes_the_scan_out():
    told = truth([scan(1, 0), undo(2, 120, of=1)])

    assert (told.undone, told.attended) == ({UUID(int=1)}, 0)


def test_an_undo_too_late_or_by_another_gate_changes_nothing():
    assert not truth([scan(1, 0), undo(2, 121, of=1)]).undone
    assert not truth([scan(1, 0), undo(2, 10, of=1, gate=2)]).undone
    assert truth([scan(1, 0), undo(2, 10, of=1, gate=2, is_supervised=True)]).undone


def test_a_gate_that_is_distrusted_counts_for_nothing_from_then_on():
    told = truth([scan(1, 0, gate=2), scan(2, 60, gate=2, slots=2), scan(3, 90, slots=2)], {2: at(60)})

    assert (told.attended, status(told, 3, 1)) == (2, "admitted")


def test_a_refused_scan_admits_nobody():
    assert truth([scan(1, 0, is_refused=True)]).attended == 0
