"""The door over HTTP: gates pair, scans arrive, the log is followed."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from community.sign_ins import issue_token
from events import gates, tickets
from events.models import DoorHelper, Gate, Registration, Scan
from realtime import ids
from realtime.clock import now
from tests.events.doors import code, open_event, party
from tests.factories import make_member, make_staff

pytestmark = pytest.mark.django_db


class Caller:
    """A program with a token, or without."""

    def __init__(self, token: str = "") -> None:
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str):
        content = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return getattr(Client(), method)(f"/api/v1/{path}", headers=self.headers | headers, **content)


def as_member(member) -> Caller:
    return Caller(issue_token(member, "test"))


def paired(event) -> tuple[Caller, dict]:
    answer = Caller()("post", "gates/", {"pairing": gates.pair(event.host, event.pk)})
    return Caller(answer.json()["token"]), answer.json()


def one(text: str, **given: Any) -> dict:
    return {"id": str(uuid4()), "code": text, "kind": "in", "scanned_at": now().isoformat()} | given


def upload(*scans: dict, **more: Any) -> dict:
    return {"clock": {"offset_ms": 0, "rtt_ms": 20}, "scans": list(scans)} | more


# Pairing


def test_a_pairing_code_makes_a_phone_a_gate_of_that_event_only():
    event, other = open_event(), open_event()
    answer = Caller()("post", "gates/", {"pairing": gates.pair(event.host, event.pk)})

    assert answer.status_code == 201
    told = answer.json()
    assert told["token"].startswith("ecg_")
    assert (told["event"], told["name"]) == (event.public_id, "Gate 1")
    assert told["token"] not in str(Gate.objects.values())
    phone = Caller(told["token"])
    assert phone("get", f"events/{event.public_id}/door/").status_code == 200
    assert phone("get", f"events/{other.public_id}/door/").status_code == 404
    assert phone("get", "me/").status_code == 401


def test_a_pairing_code_works_once_and_for_two_minutes(clock):
    event = open_event()
    once, late = gates.pair(event.host, event.pk), gates.pair(event.host, event.pk)

    assert Caller()("post", "gates/", {"pairing": once}).status_code == 201
    assert Caller()("post", "gates/", {"pairing": once}).status_code == 400
    clock.shift(121)
    assert Caller()("post", "gates/", {"pairing": late}).json()["errors"]["pairing"]
    assert Caller()("post", "gates/", {"pairing": "nonsense"}).status_code == 400


def test_a_closed_gate_opens_nothing_and_what_it_scanned_may_be_left_out():
    event = open_event()
    phone, told = paired(event)
    phone("post", "check-ins/", upload(one(code(party(event)))))
    early = (now() - timedelta(minutes=1)).isoformat()

    assert phone("delete", f"gates/{told['gate']}/").status_code == 401
    assert as_member(make_member())("delete", f"gates/{told['gate']}/").status_code == 404
    host = as_member(event.host)
    assert host("delete", f"gates/{told['gate']}/", {"distrust_from": early}).status_code == 204
    assert phone("post", "check-ins/", upload(one("x"))).status_code == 401
    assert host("get", f"events/{event.public_id}/door/").json()["counts"]["arrived"] == 0


# Scans


def test_a_gate_scans_with_its_token_alone():
    event = open_event()
    phone, _told = paired(event)
    row = party(event, "Emma", "Mia")
    scan = one(code(row))
    answer = phone("post", "check-ins/", upload(scan))

    assert answer.status_code == 200
    told = answer.json()
    assert told["cursor"] == 1
    result = told["results"][0]
    assert (result["id"], result["status"], "reason" in result) == (scan["id"], "admitted", False)
    assert [(slot["slot"], slot["status"]) for slot in result["slots"]] == [(0, "admitted"), (1, "admitted")]
    assert result["at"].endswith(("+01:00", "+02:00"))


def test_a_second_scan_names_the_winner():
    event = open_event()
    host = as_member(event.host)
    ticket = code(party(event))
    first = one(ticket)
    where = {"event": event.public_id}
    host("post", "check-ins/", upload(first, **where, gate="Front"))
    result = host("post", "check-ins/", upload(one(ticket), **where, gate="Garden")).json()["results"][0]

    assert result["status"] == "already_admitted"
    winner = result["slots"][0]["winner"]
    assert (winner["scan"], winner["gate"]) == (first["id"], "Front")
    assert winner["at"]


def test_who_may_scan_and_who_may_not():
    event = open_event()
    helper = make_member()
    DoorHelper.objects.create(event=event, member=helper)
    body = upload(one("x"), event=event.public_id, gate="Phone")

    codes = [
        caller("post", "check-ins/", body).status_code
        for caller in (
            Caller(),
            Caller("ecg_nonsense"),
            as_member(make_member()),
            as_member(make_staff()),
            as_member(helper),
            as_member(make_staff(event.centre)),
            as_member(event.host),
        )
    ]
    assert codes == [401, 401, 403, 403, 200, 200, 200]
    assert as_member(event.host)("post", "check-ins/", body | {"event": ids.encode(99)}).status_code == 404


def test_a_bad_scan_never_fails_its_batch():
    event = open_event()
    phone, _told = paired(event)
    good = one(code(party(event)))
    bad = [
        {"id": "no uuid", "code": "x"},
        {},
        [],
        7,
        None,
        one("x", kind="sideways"),
        one("x", slots=[99]),
        one("x", scanned_at="yesterday"),
        one("x", undoes="?"),
        one("é" * 50),
    ]
    answer = phone("post", "check-ins/", upload(*bad, good))

    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["refused"] * len(bad) + ["admitted"]
    assert all(result["reason"] == "unknown" for result in results[:-1])
    assert results[0]["id"] == "no uuid"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scans": []},
        {"scans": "x"},
        {"scans": [{}] * 501},
        {"scans": [{}], "clock": {"offset_ms": 10**15}},
    ],
    ids=["nothing", "no scan", "no list", "too many", "no clock"],
)
def test_an_upload_that_is_none_is_bad_input(body):
    phone, _told = paired(open_event())

    assert phone("post", "check-ins/", body).status_code == 400


def test_a_member_names_event_and_gate():
    answer = as_member(make_member())("post", "check-ins/", upload(one("x")))

    assert (answer.status_code, sorted(answer.json()["errors"])) == (400, ["event", "gate"])


@pytest.mark.parametrize("who", ["gate", "member"])
def test_one_scan_costs_five_queries(who, django_assert_num_queries):
    event = open_event()
    caller = paired(event)[0] if who == "gate" else as_member(event.host)
    where = {} if who == "gate" else {"event": event.public_id, "gate": "Desk"}
    caller("post", "check-ins/", upload(one("first"), **where))
    scan = upload(one(code(party(event))), **where)
    with django_assert_num_queries(5 + 2):  # and the savepoint of the test round it
        assert caller("post", "check-ins/", scan).json()["results"][0]["status"] == "admitted"


def test_the_session_needs_its_csrf_token():
    event = open_event()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(event.host)
    body = json.dumps(upload(one("x"), event=event.public_id, gate="Phone"))

    refused = browser.post("/api/v1/check-ins/", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
    page = browser.get(f"/events/{event.public_id}/door/")
    settings = json.loads(
        page.text.partition('id="door-settings" type="application/json">')[2].partition("<")[0]
    )
    answer = browser.post(
        "/api/v1/check-ins/",
        body,
        content_type="application/json",
        headers={"X-CSRFToken": settings["csrf"]},
    )
    assert answer.status_code == 200


# The log


def test_the_log_has_all_a_gate_needs_to_work_alone():
    event = open_event()
    row = party(event, "Emma", "Mia")
    revoked = party(event)
    Registration.objects.filter(pk=revoked.pk).update(min_serial=3, serial=3)
    phone, _told = paired(event)
    scan = one(code(row))
    phone("post", "check-ins/", upload(scan))
    told = phone("get", f"events/{event.public_id}/door/").json()

    assert told["cursor"] == 1
    assert told["event"]["id"] == event.public_id
    assert {"starts_at", "ends_at", "doors_at", "closes_at", "timezone", "rules"} <= set(told["event"])
    assert told["keys"] == tickets.public_keys(event)
    assert told["min_serials"] == {revoked.public_id: 3}
    assert len(told["cards"]) == 2
    assert "Mia" not in str(told)
    assert (told["scans"][0]["id"], told["scans"][0]["slots"]) == (scan["id"], [0, 1])
    assert told["counts"]["inside"] == 2
    assert told["server_time"]


def test_the_log_goes_on_from_a_cursor():
    event = open_event()
    phone, _told = paired(event)
    for _ in range(3):
        phone("post", "check-ins/", upload(one(code(party(event)))))
    log = f"events/{event.public_id}/door/"

    assert [scan["cursor"] for scan in phone("get", f"{log}?since=1").json()["scans"]] == [2, 3]
    assert phone("get", f"{log}?since=3").json()["scans"] == []
    assert phone("get", f"{log}?since=3").json()["cursor"] == 3
    assert phone("get", f"{log}?since=99").json()["cursor"] == 3
    assert phone("get", f"{log}?since=x").status_code == 400
    assert phone("get", f"{log}?since=²").status_code == 400


def test_an_unchanged_log_is_not_sent_again():
    event = open_event()
    phone, _told = paired(event)
    log = f"events/{event.public_id}/door/"
    tag = phone("get", log).headers["ETag"]

    assert phone("get", log, **{"If-None-Match": tag}).status_code == 304
    phone("post", "check-ins/", upload(one(code(party(event)))))
    assert phone("get", log, **{"If-None-Match": tag}).status_code == 200


def test_cards_come_only_when_they_changed(clock):
    event = open_event()
    party(event)
    phone, _told = paired(event)
    clock.shift(60)
    since = now().isoformat().replace("+", "%2B")
    party(event)

    assert len(phone("get", f"events/{event.public_id}/door/?cards_since={since}").json()["cards"]) == 1
    assert phone("get", f"events/{event.public_id}/door/?cards_since=soon").status_code == 400


def test_the_log_is_for_the_door_only():
    event = open_event()
    log = f"events/{event.public_id}/door/"

    assert Caller()("get", log).status_code == 401
    assert as_member(make_member())("get", log).status_code == 403
    event.visibility = "centre"
    event.save()
    assert as_member(make_member())("get", log).status_code == 404


@pytest.mark.parametrize("size", [1, 30])
def test_the_log_costs_the_same_for_one_party_and_thirty(size, django_assert_num_queries):
    event = open_event()
    phone, _told = paired(event)
    phone("post", "check-ins/", upload(*[one(code(party(event))) for _ in range(size)]))
    with django_assert_num_queries(7):
        assert len(phone("get", f"events/{event.public_id}/door/").json()["scans"]) == size


def test_the_picture_of_a_ticket_is_for_who_may_see_it():
    event = open_event()
    row = party(event)
    path = f"registrations/{row.public_id}/qr/"

    answer = as_member(row.member)("get", path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    assert as_member(make_member())("get", path).status_code == 404
    assert Scan.objects.count() == 0
