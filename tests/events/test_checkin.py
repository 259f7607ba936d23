"""The door records what gates scanned, once and for good."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from threading import Barrier
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from events import board, checkin, gates, tickets
from events.access import may_door
from events.checkin import DeviceClock
from events.models import Attendee, DoorHelper, Event, Gate, Registration, Scan
from realtime import live
from realtime.prepared import ID, prepared
from tests.events.doors import code, gate, open_event, party, reading
from tests.factories import make_centre, make_child, make_member, make_staff

NOW = DeviceClock(0)


@pytest.fixture
def event(db, clock):
    return open_event()


def scan(at, *readings, device=NOW):
    """One answer for one reading, a list for several."""
    answers = checkin.record(at, readings, device).answers
    return answers[0] if len(readings) == 1 else answers


def told(answer):
    return answer.status, answer.reason, [(slot.slot, slot.status) for slot in answer.slots]


# One scan


def test_a_party_is_admitted_once_with_everybodys_name(event):
    ticket = code(party(event, "Emma", "Mia"))
    answer = scan(gate(event), reading(ticket))

    assert told(answer) == ("admitted", "", [(0, "admitted"), (1, "admitted")])
    assert answer.slots[1].name == "Mia"


def test_a_child_is_called_by_its_nickname(event):
    row = party(event, "Emma", "")
    Attendee.objects.filter(registration=row, slot=1).update(child=make_child(nickname="Noa"))

    assert [slot.name for slot in scan(gate(event), reading(code(row))).slots][1] == "Noa"


def test_a_second_scan_says_who_was_first_and_when(event, clock):
    ticket = code(party(event))
    first = scan(gate(event, "Front"), reading(ticket))
    clock.shift(120)
    second = scan(gate(event, "Garden"), reading(ticket))
    winner = second.slots[0]

    assert told(second) == ("already_admitted", "", [(0, "already_admitted")])
    assert (winner.winner.id, winner.winner_gate, winner.winner.at) == (first.id, "Front", first.at)
    assert board.board(event).inside == 1


def test_the_rest_of_a_party_may_come_later(event):
    ticket, front = code(party(event, "Emma", "Tom", "Mia")), gate(event)
    scan(front, reading(ticket, slots=0b001))

    assert told(scan(front, reading(ticket))) == (
        "partly",
        "",
        [(0, "already_admitted"), (1, "admitted"), (2, "admitted")],
    )
    assert board.board(event).arrived == 3


def test_out_and_in_again(event, clock):
    ticket, front = code(party(event)), gate(event)
    assert scan(front, reading(ticket, kind="out")).status == "not_inside"
    clock.shift(10)
    scan(front, reading(ticket))
    clock.shift(10)
    assert scan(front, reading(ticket, kind="out")).status == "left"
    clock.shift(10)
    assert scan(front, reading(ticket)).status == "admitted"
    assert (board.board(event).arrived, board.board(event).inside) == (1, 1)


def test_an_undo_takes_a_scan_back(event, clock):
    ticket, front = code(party(event)), gate(event)
    first = scan(front, reading(ticket))
    clock.shift(100)

    assert scan(front, reading("", kind="undo", undoes=first.id)).status == "undone"
    assert board.board(event).arrived == 0
    assert scan(front, reading(ticket)).status == "admitted"


def test_another_gate_undoes_nothing_but_who_runs_the_event_does(event, clock):
    ticket, front, garden = code(party(event)), gate(event), gate(event, "Garden")
    first = scan(front, reading(ticket))

    assert scan(garden, reading("", kind="undo", undoes=first.id)).status == "refused"
    by_host = checkin.record_as(
        event.host, event.pk, "Desk", [reading("", kind="undo", undoes=first.id)], NOW
    )
    assert by_host.answers[0].status == "undone"
    assert board.board(event).arrived == 0


def test_an_undo_that_came_before_its_scan_waits_for_it(event, clock):
    ticket, front = code(party(event)), gate(event)
    came_in = reading(ticket)
    assert scan(front, reading("", kind="undo", undoes=came_in.id)).status == "undone"

    assert scan(front, came_in).status == "undone"
    assert board.board(event).arrived == 0


# No


def test_each_no_has_its_reason(event, clock):
    front, good = gate(event), party(event)
    cases = {
        "unknown": "https://example.org",
        "forged": code(good)[:-8] + "AAAAAAAA",
        "wrong_event": code(party(open_event())),
        "cancelled": code(party(event, state="cancelled")),
        "unpaid": code(party(event, state="awaiting_payment")),
    }
    revoked = party(event)
    cases["revoked"] = code(revoked)
    Registration.objects.filter(pk=revoked.pk).update(min_serial=2, serial=2)

    assert {scan(front, reading(text)).reason: reason for reason, text in cases.items()} == {
        reason: reason for reason in cases
    }
    assert board.board(event).arrived == 0


def test_a_cancelled_registration_is_cancelled_even_when_its_serial_was_raised(event):
    row = party(event)
    ticket = code(row)
    Registration.objects.filter(pk=row.pk).update(state="cancelled", min_serial=2)

    assert scan(gate(event), reading(ticket)).reason == "cancelled"


def test_the_door_opens_before_the_start_and_closes_two_hours_after_the_end(event, clock):
    ticket, front = code(party(event)), gate(event)
    event.refresh_from_db()

    clock.move_to(event.doors_at - timedelta(seconds=1))
    assert scan(front, reading(ticket)).reason == "not_yet"
    clock.move_to(event.ends_at + timedelta(hours=2, seconds=1))
    assert scan(front, reading(ticket)).reason == "too_late"
    clock.move_to(event.ends_at + timedelta(hours=2))
    assert scan(front, reading(ticket)).status == "admitted"


def test_an_old_printout_admits_the_places_still_live(event):
    row = party(event, "Emma", "Tom")
    ticket, front = code(row), gate(event)
    Attendee.objects.filter(registration=row, slot=1).update(is_live=False)

    assert told(scan(front, reading(ticket))) == ("admitted", "", [(0, "admitted")])
    assert scan(front, reading(ticket, slots=0b10)).reason == "revoked"


def test_a_ticket_of_another_event_tells_nothing_about_it(event):
    answer = scan(gate(event), reading(code(party(open_event(), "Secret"))))

    assert told(answer) == ("refused", "wrong_event", [])
    assert Scan.objects.get(pk=answer.id).registration is None


# Offline


def test_what_a_gate_decided_alone_is_recorded_and_the_conflict_is_named(event, clock):
    ticket, front, garden = code(party(event)), gate(event, "Front"), gate(event, "Garden")
    scan(front, reading(ticket))
    clock.shift(60)
    answer = scan(garden, reading(ticket, decision="admitted"))

    assert told(answer) == ("recorded_conflict", "", [(0, "recorded_conflict")])
    assert answer.slots[0].winner_gate == "Front"
    assert (board.board(event).arrived, board.board(event).inside) == (1, 2)


def test_an_earlier_scan_that_arrives_later_was_first_after_all(event, clock):
    ticket, front, garden = code(party(event)), gate(event, "Front"), gate(event, "Garden")
    earlier = reading(ticket, decision="admitted")
    clock.shift(60)
    later = reading(ticket)
    assert scan(front, later).status == "admitted"
    assert scan(garden, earlier).status == "admitted"

    again = scan(front, later)
    assert told(again) == ("recorded_conflict", "", [(0, "recorded_conflict")])
    assert again.slots[0].winner_gate == "Garden"


def test_flags_never_change_what_happened(event):
    row = party(event)
    ticket = code(row)
    Registration.objects.filter(pk=row.pk).update(state="cancelled", min_serial=9)

    assert scan(gate(event), reading(ticket, decision="admitted")).status == "admitted"


def test_a_forged_ticket_is_refused_whatever_the_gate_decided(event):
    forged = code(party(event))[:-8] + "AAAAAAAA"

    assert scan(gate(event), reading(forged, decision="admitted")).reason == "forged"


def test_what_the_gate_refused_is_kept_as_a_refusal(event):
    answer = scan(gate(event), reading(code(party(event)), decision="refused", reason="not_yet"))

    assert told(answer) == ("refused", "not_yet", [])
    assert (Scan.objects.count(), board.board(event).arrived) == (1, 0)


def test_the_queue_of_a_gate_needs_no_signature(event):
    ticket = tickets.read(code(party(event)))
    proof = tickets.proof_of(tickets.to_base32(ticket.signed() + tickets.sign(ticket)))

    assert scan(gate(event), reading("", ticket=ticket.text, proof=proof)).status == "admitted"
    assert scan(gate(event), reading("", ticket=ticket.text, proof="A" * 26)).reason == "forged"


@pytest.mark.parametrize(
    ("seconds", "offset_ms", "suspect"),
    [(0, 0, False), (-600, 600_000, False), (6, 0, True), (5, 0, False), (-90_000, 0, True), (0, None, True)],
)
def test_the_moment_of_a_scan(event, clock, seconds, offset_ms, suspect):
    """Device time plus offset; too late, before pairing or without an offset it is the time of arrival."""
    now = Scan._meta.get_field("received_at").default()
    one = reading(code(party(event)), scanned_at=now + timedelta(seconds=seconds))
    scan(gate(event), one, device=DeviceClock(offset_ms))
    kept = Scan.objects.get()

    assert kept.is_suspect is suspect
    assert kept.at == (now if suspect else one.scanned_at + timedelta(milliseconds=offset_ms))


def test_the_moment_is_frozen_at_first_storing(event, clock):
    front, one = gate(event), reading(code(party(event)))
    first = scan(front, one)
    clock.shift(500)

    assert scan(front, one, device=DeviceClock(-90_000)).at == first.at


def uploads():
    """What three phones saw of two parties, conflicts and undos included, in seconds from now."""
    return [
        ("Front", -300, 0, "in", None),
        ("Garden", -290, 0, "in", None),
        ("Front", -250, 0, "out", None),
        ("Roof", -240, 1, "in", None),
        ("Roof", -230, 1, "undo", 3),
        ("Garden", -200, 1, "in", None),
        ("Front", -100, 0, "in", None),
        ("Garden", -90, 1, "undo", 5),
    ]


def test_any_order_of_upload_ends_in_the_same_truth(event, clock):
    """Shuffled, in batches of any size, and repeated."""
    ends = set()
    for seed in range(8):
        shuffle = random.Random(seed)
        there = open_event()
        codes = [code(party(there)) for _ in range(2)]
        phones = {name: gate(there, name) for name in ("Front", "Garden", "Roof")}
        ids = sorted(uuid4() for _ in uploads())
        now = Scan._meta.get_field("received_at").default()
        todo = []
        for number, (name, seconds, who, kind, of) in enumerate(uploads()):
            moment = now + timedelta(seconds=seconds)
            one = reading(
                "" if of is not None else codes[who],
                id=ids[number],
                kind=kind,
                undoes=None if of is None else ids[of],
                scanned_at=moment,
                decision="" if of is not None else "admitted",
            )
            todo.append((phones[name], one))
        todo += shuffle.sample(todo, 3)
        shuffle.shuffle(todo)
        while todo:
            phone, one = todo.pop()
            batch = [one, *[other for at, other in todo[: shuffle.randint(0, 3)] if at == phone]]
            checkin.record(phone, batch, NOW)
        now_told = board.board(there)
        assert Scan.objects.filter(event=there).count() == len(uploads())
        ends.add((now_told.arrived, now_told.inside, now_told.conflicts))
    assert ends == {(1, 2, 1)}


# Again


def test_the_same_scan_again_writes_nothing_and_is_answered_with_the_truth_of_now(event):
    front, one = gate(event), reading(code(party(event)))
    first, again = scan(front, one), scan(front, one)

    assert told(first) == told(again)
    assert Scan.objects.count() == 1


def test_the_same_id_with_other_content_is_refused(event):
    front, one = gate(event), reading(code(party(event)))
    scan(front, one)

    assert told(scan(front, reading(code(party(event)), id=one.id))) == ("refused", "id_reused", [])
    assert told(scan(front, reading(one.code[:-8] + "AAAAAAAA", id=one.id)))[1] == "id_reused"
    assert Scan.objects.count() == 1


def test_an_id_known_from_another_event_is_refused(event):
    one = reading(code(party(event)))
    scan(gate(event), one)
    other = open_event()

    assert scan(gate(other), reading(code(party(other)), id=one.id)).reason == "id_reused"


def test_twice_in_one_upload_is_once(event):
    one = reading(code(party(event)))
    answers = scan(gate(event), one, one)

    assert [answer.status for answer in answers] == ["admitted", "admitted"]
    assert Scan.objects.count() == 1


def test_a_bad_scan_never_fails_its_batch(event):
    answers = scan(gate(event), reading("nonsense"), reading(code(party(event))), reading("", kind="undo"))

    assert [answer.status for answer in answers] == ["refused", "admitted", "refused"]


def test_the_log_is_dense(event):
    for _ in range(2):
        scan(gate(event), reading(code(party(event))), reading("nonsense"))

    assert list(Scan.objects.order_by("order").values_list("order", flat=True)) == [1, 2, 3, 4]


# Rights, cost, news


def test_a_members_own_page_is_a_gate_for_whom_may_stand_at_the_door(event):
    partner = make_centre()
    event.partner_centres.add(partner)
    helper, stranger = make_member(), make_member()
    DoorHelper.objects.create(event=event, member=helper)
    people = [event.host, make_staff(event.centre), make_staff(partner), helper, stranger, make_staff()]

    for person in people:
        if may_door(person, event):
            answers = checkin.record_as(person, event.pk, "Phone", [reading(code(party(event)))], NOW).answers
            assert answers[0].status == "admitted"
        else:
            with pytest.raises(PermissionDenied):
                checkin.record_as(person, event.pk, "Phone", [reading(code(party(event)))], NOW)
    assert [may_door(person, event) for person in people] == [True, True, True, True, False, False]


def test_a_helper_who_is_thanked_scans_no_more(event):
    helper = make_member(centre=event.centre)
    named = gates.name_helper(event.host, event.pk, helper.email)
    checkin.record_as(helper, event.pk, "Phone", [reading("x")], NOW)
    gates.dismiss_helper(event.host, event.pk, named.pk)

    with pytest.raises(PermissionDenied):
        checkin.record_as(helper, event.pk, "Phone", [reading("x")], NOW)


def test_a_hidden_event_has_no_door(event):
    event.visibility = Event.Visibility.CENTRE
    event.save()

    with pytest.raises(Event.DoesNotExist):
        checkin.record_as(make_member(), event.pk, "Phone", [reading("x")], NOW)


@pytest.mark.parametrize("size", [1, 30])
def test_one_scan_and_thirty_cost_the_same_four_queries(event, size, django_assert_num_queries):
    front = gate(event)
    readings = [reading(code(party(event))) for _ in range(size)]
    with django_assert_num_queries(4 + 2):  # and the savepoint of the test round it
        answers = checkin.record(front, readings, NOW).answers

    assert {answer.status for answer in answers} == {"admitted"}


def test_a_refused_scan_costs_no_more(event, django_assert_max_num_queries):
    front, ticket = gate(event), code(party(event))
    scan(front, reading(ticket))
    with django_assert_max_num_queries(4 + 2):
        scan(front, reading(ticket))
    with django_assert_max_num_queries(4 + 2):
        scan(front, reading("nonsense"))


def test_the_door_is_told_after_the_commit_what_changed_and_no_name(event, committed, monkeypatch):
    news = []
    monkeypatch.setattr(live, "publish", lambda topic, data: news.append((topic, data)))
    front, one = gate(event), reading(code(party(event, "Emma", "Mia")))
    with committed():
        scan(front, one)
        scan(front, one)  # known: nothing new to tell

    assert len(news) == 1
    topic, data = news[0]
    assert topic == f"door:{event.public_id}"
    assert (data["after"], data["cursor"]) == (0, 1)
    assert data["change"] == {"arrived": 2, "inside": 2}
    assert "Mia" not in str(data)


def test_the_board_counts(event):
    front = gate(event)
    ticket = code(party(event, "Emma", "Tom"))
    party(event, "Ada")
    scan(front, reading(ticket, slots=1))
    scan(front, reading("nonsense"))
    now = board.board(event)

    assert now.counts() == {
        "expected": 3,
        "arrived": 1,
        "inside": 1,
        "parties": 2,
        "parties_arrived": 1,
        "conflicts": 0,
        "refused": 1,
    }
    assert [(line.gate.name, line.scans) for line in now.gates] == [("Front", 2)]


# All at once


@pytest.fixture
def crowd(transactional_db):
    there = open_event()
    return there, code(party(there, "Emma")), [gate(there, f"Gate {n}") for n in range(16)]


def all_at_once(phones, ticket):
    """Every phone scans the ticket at the same moment, each in a thread of its own."""
    start = Barrier(len(phones))

    def one(phone: Gate):
        start.wait()
        try:
            return checkin.record(phone, [reading(ticket)], NOW).answers[0].status
        finally:
            connection.close()

    with ThreadPoolExecutor(len(phones)) as threads:
        return sorted(threads.map(one, phones))


def test_sixteen_gates_at_once_admit_a_ticket_once(crowd):
    there, ticket, phones = crowd

    assert all_at_once(phones, ticket) == ["admitted"] + ["already_admitted"] * 15
    assert (board.board(there).arrived, board.board(there).inside) == (1, 1)


@prepared(event=ID)
def unlocked(*, event):
    return Event.objects.filter(pk=event)


def test_without_the_lock_two_are_told_to_come_in(crowd, monkeypatch):
    """The witness: no transaction, no lock, and both read before either wrote."""
    _there, ticket, phones = crowd
    both_have_read = Barrier(2)
    orders = iter(range(1, 3))
    stored, store = checkin._Door._stored, checkin._Door._store

    def read_together(self, parties):
        rows = list(stored(self, parties))
        both_have_read.wait(10)
        return rows

    with monkeypatch.context() as guard_off:
        guard_off.setattr(checkin, "transaction", SimpleNamespace(atomic=nullcontext))
        guard_off.setattr(checkin, "_locked", unlocked)
        guard_off.setattr(checkin._Door, "_stored", read_together)
        guard_off.setattr(checkin._Door, "_store", lambda self, one: store(_elsewhere(self, orders), one))
        assert all_at_once(phones[:2], ticket) == ["admitted", "admitted"]


def _elsewhere(door, orders):
    """At an order of its own: the log's unique order would still stop the second."""
    door.head = next(orders)
    return door
