"""The API of events, as interface.md fixes it."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from community import sign_ins
from events.models import Event, Pool
from events.registration import Person, cancel, register
from realtime import clock
from realtime.ids import encode
from tests.factories import (
    make_centre,
    make_child,
    make_event,
    make_host,
    make_household,
    make_interest,
    make_member,
    make_place,
)

pytestmark = pytest.mark.django_db


def test_errors_are_named_by_what_was_sent_and_moments_on_the_events_clock() -> None:
    host = make_host(centre=make_centre())
    client = Client(headers={"Authorization": f"Bearer {sign_ins.issue_token(host, 't')}"})
    start = f"{clock.now() + timedelta(days=9):%Y-%m-%dT19:00:00}"
    for sent, name in (
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"venue": "here"}, "venue"),
        ({"rrule": "FREQ=WEEKLY;COUNT=2", "rdates": ["soon"]}, "rdates"),
    ):
        where = "series" if "rrule" in sent else "events"
        body = {"title": "Table", "starts_at": start} | sent
        refused = client.post(f"/api/v1/{where}/", body, "application/json")
        assert (refused.status_code, list(refused.json()["errors"])) == (400, [name]), refused.json()

    event = make_event(
        host=host, capacity=1, waiting_list="strict", starts_at=clock.now() + timedelta(days=9)
    )
    first, ana = register(make_member(), event.pk, [Person()]), make_member()
    waits = register(ana, event.pk, [Person()], wait=True)
    cancel(first.member, first.pk)
    mine = Client(headers={"Authorization": f"Bearer {sign_ins.issue_token(ana, 't')}"})
    until = mine.get(f"/api/v1/registrations/{waits.public_id}/").json()["offer_expires_at"]
    assert until[-6:] in {"+01:00", "+02:00"}


class Api:
    """A program with one member's token."""

    def __init__(self, member: Any = None) -> None:
        self.client = Client()
        self.headers = {"Authorization": f"Bearer {sign_ins.issue_token(member, 'test')}"} if member else {}

    def __call__(self, method: str, path: str, data: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(
            method,
            f"/api/v1/{path}",
            _json(data),
            content_type="application/json",
            headers=self.headers | named,
        )


def _json(data: Any) -> str:
    return json.dumps(data) if data is not None else ""


def new(**given: Any) -> dict[str, Any]:
    return {
        "title": "Picnic",
        "starts_at": "2027-06-01T19:00:00",
        "ends_at": "2027-06-01T22:00:00",
        "timezone": "Europe/Brussels",
        "venue": {"name": "Park", "place": "Genk", "address": "Parklaan 1"},
        "capacity": 3,
        "languages": ["nl", "en"],
    } | given


@pytest.fixture
def host() -> Any:
    return make_host(centre=make_centre())


def test_a_host_publishes_and_everybody_reads_it(host: Any) -> None:
    genk = make_place("Genk")
    made = Api(host)("POST", "events/", new(interests=[make_interest().slug]))

    assert made.status_code == 201, made.content
    event = Event.objects.get()
    body = Api()("GET", f"events/{event.public_id}/").json()
    assert {
        key: body[key] for key in ("id", "starts_at", "ends_at", "starts_at_utc", "doors_at", "timezone")
    } == {
        "id": event.public_id,
        "starts_at": "2027-06-01T19:00:00+02:00",
        "ends_at": "2027-06-01T22:00:00+02:00",
        "starts_at_utc": "2027-06-01T17:00:00Z",
        "doors_at": "2027-06-01T18:00:00+02:00",
        "timezone": "Europe/Brussels",
    }
    assert body["url"] == f"http://testserver/events/{event.public_id}/"
    assert body["places"] == {"capacity": 3, "taken": 0, "held": 0, "waiting": 0}
    assert (
        body["venue"]["name"] == "Park"
        and body["venue"]["town"] == "Genk"
        and body["interests"] == ["walking"]
    )
    assert (body["mine"], body["room"], body["visibility"], body["waiting_list"]) == (
        None,
        None,
        "public",
        None,
    )
    assert event.place == genk


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"starts_at": "2027-06-01T19:00:00+02:00"}, "starts_at"),
        ({"starts_at": "soon"}, "starts_at"),
        ({"starts_at": None}, "starts_at"),
        ({"ends_at": "2027-06-01T18:00:00"}, "ends_at"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"capacity": 0}, "capacity"),
        ({"capacity": "many"}, "capacity"),
        ({"title": ""}, "title"),
        ({"title": "x" * 161}, "title"),
        ({"visibility": "secret"}, "visibility"),
        ({"visibility": "circle"}, "circle"),
        ({"circle": "nope"}, "circle"),
        ({"waiting_list": "lottery"}, "waiting_list"),
        ({"centre": "atlantis"}, "centre"),
        ({"venue": {"place": "999999999999"}}, "venue.place"),
        ({"languages": ["<b>"]}, "languages.0"),
        ({"interests": ["unicorns"]}, "interests.0"),
        ({"doors_at": "2027-06-01T20:00:00"}, "doors_at"),
    ],
)
def test_bad_input_is_named_by_field_and_nothing_is_made(
    host: Any, wrong: dict[str, Any], field: str
) -> None:
    answer = Api(host)("POST", "events/", new(**wrong))

    assert answer.status_code == 400, answer.content
    assert field.split(".")[0] in {name.split(".")[0] for name in answer.json()["errors"]}
    assert not Event.objects.exists()


def test_who_is_no_host_may_not_publish_and_who_is_nobody_must_sign_in() -> None:
    assert Api(make_member(centre=make_centre()))("POST", "events/", new()).status_code == 403
    assert Api()("POST", "events/", new()).status_code == 401


def test_a_change_needs_the_version_it_saw(host: Any) -> None:
    call = Api(host)
    made = call("POST", "events/", new()).json()
    path = f"events/{made['id']}/"

    assert call("PATCH", path, {"title": "Later"}).status_code == 428
    assert call("PATCH", path, {"title": "Later"}, If_Match='"7"').status_code == 412
    changed = call("PATCH", path, {"title": "Later", "starts_at": "2027-06-01T20:00:00"}, If_Match='"1"')
    assert changed.status_code == 200, changed.content
    assert (
        changed.json()["title"],
        changed.json()["starts_at"],
        changed.json()["ends_at"],
        changed["ETag"],
    ) == (
        "Later",
        "2027-06-01T20:00:00+02:00",
        "2027-06-01T23:00:00+02:00",
        '"2"',
    )
    assert Api(make_member())("PATCH", path, {"title": "Mine"}, If_Match='"2"').status_code == 403
    assert call("GET", path, If_None_Match='"2"').status_code == 304


def test_places_are_never_lowered_below_what_is_taken(host: Any) -> None:
    event = make_event(host=host, capacity=5)
    register(make_member(), event.pk, [Person()] * 3)
    call = Api(host)

    refused = call("PATCH", f"events/{event.public_id}/", {"capacity": 2}, If_Match='"1"')
    assert refused.status_code == 400 and "3 places are taken" in refused.json()["errors"]["capacity"][0]
    assert call("PATCH", f"events/{event.public_id}/", {"capacity": 3}, If_Match='"1"').status_code == 200
    assert Pool.objects.get(event=event).capacity == 3


def test_more_places_are_offered_to_who_waits(host: Any) -> None:
    event = make_event(host=host, capacity=1, waiting_list="strict")
    register(make_member(), event.pk, [Person()])
    waiting = register(make_member(), event.pk, [Person()], wait=True)

    Api(host)("PATCH", f"events/{event.public_id}/", {"capacity": 2}, If_Match='"1"')

    waiting.refresh_from_db()
    assert waiting.state == "offered"


def test_calling_off_is_said_once(host: Any) -> None:
    event = make_event(host=host)
    call = Api(host)

    for _ in range(2):
        answer = call("POST", f"events/{event.public_id}/cancel/", {"reason": "Rain"})
        assert (answer.status_code, answer.json()["state"], answer.json()["cancel_reason"]) == (
            200,
            "cancelled",
            "Rain",
        )
    assert call("POST", f"events/{event.public_id}/cancel/", {"reason": 7}).status_code == 400


def test_a_party_registers_and_gets_one_ticket() -> None:
    ana, ben = make_member(), make_member()
    noa = make_child(make_household(ana, ben))
    event = make_event(capacity=4)
    party = [{}, {"member": ben.public_id}, {"child": noa.public_id}, {"name": "Oma", "age": 70}]

    made = Api(ana)("POST", f"events/{event.public_id}/registrations/", {"party": party})

    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["status"], body["version"], body["position"], len(body["tickets"])) == (
        "confirmed",
        1,
        None,
        1,
    )
    ticket = body["tickets"][0]
    assert (
        len(ticket["code"]) == 144
        and ticket["url"].endswith(f"/t#{ticket['code']}")
        and ticket["slots"] == [0, 1, 2, 3]
    )
    assert Api(ana)("GET", f"events/{event.public_id}/").json()["mine"]["id"] == body["id"]
    picture = Api(ana).client
    picture.force_login(ana)
    assert picture.get(ticket["qr_svg_url"]).content.startswith(b"<svg")


@pytest.mark.parametrize(
    "party",
    [
        None,
        [],
        [{}] * 13,
        "all",
        [1],
        [{"child": "x"}],
        [{"member": 5}],
        [{"name": "x" * 61}],
        [{"age": -1}],
        [{"name": {"a": 1}}],
    ],
)
def test_a_party_that_cannot_be_read_is_400(party: Any) -> None:
    answer = Api(make_member())("POST", f"events/{make_event().public_id}/registrations/", {"party": party})

    assert answer.status_code == 400, answer.content


def test_refusals_have_their_codes() -> None:
    event = make_event(capacity=1)
    ana = make_member()
    path = f"events/{event.public_id}/registrations/"

    assert Api(ana)("POST", path, {"party": [{}, {}]}).json()["code"] == "full"
    assert Api(ana)("POST", path, {"party": [{}]}).status_code == 201
    again = Api(ana)("POST", path, {"party": [{}]})
    assert (again.status_code, again.json()["code"]) == (409, "already_registered")
    off = make_event(state="cancelled")
    closed = Api(ana)("POST", f"events/{off.public_id}/registrations/", {"party": [{}]})
    assert (closed.status_code, closed.json()["code"]) == (409, "closed")
    over = make_event(starts_at=clock.now() - timedelta(days=2), ends_at=clock.now() - timedelta(days=1))
    assert (
        Api(ana)("POST", f"events/{over.public_id}/registrations/", {"party": [{}]}).json()["code"]
        == "too_late"
    )


def test_waiting_says_the_place_in_the_line() -> None:
    event = make_event(capacity=2, waiting_list="fit")
    register(make_member(), event.pk, [Person()])

    made = Api(make_member())(
        "POST", f"events/{event.public_id}/registrations/", {"party": [{}, {}], "wait": True}
    ).json()

    assert (made["status"], made["position"], made["tickets"]) == ("waiting", 1, [])
    assert Api()("GET", f"events/{event.public_id}/").json()["places"] == {
        "capacity": 2,
        "taken": 1,
        "held": 0,
        "waiting": 2,
    }


def test_a_party_changes_with_its_version_and_is_cancelled_twice() -> None:
    ana, event = make_member(), make_event(capacity=2)
    call = Api(ana)
    path = f"registrations/{register(ana, event.pk, [Person()]).public_id}/"

    assert call("PATCH", path, {"party": [{}, {}]}).status_code == 428
    changed = call("PATCH", path, {"party": [{}, {"name": "Bo"}]}, If_Match='"1"')
    assert (changed.status_code, changed.json()["tickets"][0]["slots"]) == (200, [0, 1])
    assert call("PATCH", path, {"party": [{}]}, If_Match='"1"').status_code == 412
    assert call("PATCH", path, {"party": [{}, {}, {}]}, If_Match='"2"').json()["code"] == "full"
    assert [call("DELETE", path).status_code for _ in range(2)] == [204, 204]
    assert Pool.objects.get(event=event).taken == 0
    assert Api(make_member())("GET", path).status_code == 404


def test_only_who_runs_the_event_sees_who_comes() -> None:
    event = make_event()
    row = register(make_member(), event.pk, [Person(name="Ana")])

    listed = Api(event.host)("GET", f"events/{event.public_id}/registrations/").json()

    assert [(one["id"], one["party"][0]["name"], one["tickets"]) for one in listed["results"]] == [
        (row.public_id, "Ana", [])
    ]
    assert Api(make_member())("GET", f"events/{event.public_id}/registrations/").status_code == 403
    hidden = make_event(state="draft")
    assert Api(make_member())("GET", f"events/{hidden.public_id}/registrations/").status_code == 404


def found(**query: Any) -> list[str]:
    answer = Client().get("/api/v1/events/", query)
    assert answer.status_code == 200, answer.content
    return [event["title"] for event in answer.json()["results"]]


def test_the_list_filters() -> None:
    make_event(
        title="A",
        starts_at=datetime.fromisoformat("2030-06-01T19:00:00+02:00"),
        place=make_place("Aachen"),
        interests=[make_interest()],
    )
    make_event(
        title="B",
        starts_at=datetime.fromisoformat("2030-06-02T19:00:00+02:00"),
        is_free=False,
        languages=["de"],
        for_families=True,
    )

    assert found() == ["A", "B"]
    assert found(**{"from": "2030-06-02"}) == ["B"]
    assert found(to="2030-06-01") == ["A"]
    assert found(**{"from": "2030-06-01T17:30:00Z", "to": "2030-06-02T18:00:00+02:00"}) == []
    assert found(near="50.77,6.08", km="10") == ["A"]
    assert found(interest="walking") == ["A"]
    assert found(language="de") == found(family="1") == ["B"]
    assert found(free="1") == ["A"]
    assert found(q="b") == ["B"]
    assert found(to="2030-06-01T17:00:00Z") == ["A"] and found(to="2030-06-01T16:59:59Z") == []
    assert found(near="50.77,6.08", km="10", place="Hasselt") == []
    assert found(near="50.77,6.08", km="10", place="Aachen") == ["A"]


def test_the_list_goes_on_and_back_by_cursor_with_what_was_asked() -> None:
    begin = clock.now() + timedelta(days=1)
    for number in range(7):  # two begin at the same moment, one is called off, one is nobody's to see
        make_event(title=f"Walk {number}", starts_at=begin + timedelta(hours=number // 2))
    make_event(title="Dance", starts_at=begin)
    Event.objects.filter(title="Walk 2").update(state=Event.State.CANCELLED)
    Event.objects.filter(title="Walk 4").update(state=Event.State.DRAFT)
    shown = Event.objects.filter(title__startswith="Walk").exclude(state=Event.State.DRAFT)
    order = list(shown.order_by("starts_at", "pk").values_list("title", flat=True))
    url: str | None = "/api/v1/events/?q=walk&limit=2"
    pages, previous = [], None
    while url:
        page = Client().get(url).json()
        pages.append([event["title"] for event in page["results"]])
        url, previous = page["next"], page["previous"]
        make_event(title="Walk before all", starts_at=begin - timedelta(hours=1))  # shifts nothing
    assert pages == [order[:2], order[2:4], order[4:]]
    assert {title for page in pages for title in page} == {f"Walk {number}" for number in (0, 1, 2, 3, 5, 6)}
    assert previous is not None
    back = Client().get(previous).json()
    assert [event["title"] for event in back["results"]] == order[2:4]
    assert back["next"] is not None
    assert back["previous"] is not None


@pytest.mark.parametrize(
    "query",
    [
        {"near": "x"},
        {"near": "1"},
        {"near": "91,0"},
        {"km": "-1"},
        {"km": "nan"},
        {"from": "soon"},
        {"to": "2030-13-01"},
        {"place": "Atlantis"},
        {"interest": "x"},
        {"circle": "x"},
        {"language": "<"},
        {"cursor": "x"},
    ],
)
def test_a_filter_that_cannot_be_read_is_400(query: dict[str, str]) -> None:
    assert Client().get("/api/v1/events/", query).status_code == 400


@pytest.mark.parametrize("how_many", [1, 30])
def test_the_list_costs_the_same_for_one_and_thirty(django_assert_num_queries: Any, how_many: int) -> None:
    place, centre, host, interest = make_place(), make_centre(), make_host(), make_interest()
    for n in range(how_many):
        make_event(
            place=place,
            centre=centre,
            host=host,
            interests=[interest],
            starts_at=clock.now() + timedelta(days=1, minutes=n),
        )

    with django_assert_num_queries(4):
        answer = Client().get("/api/v1/events/", {"limit": 100})

    assert len(answer.json()["results"]) == how_many


@pytest.mark.parametrize("there", [1, 30])
def test_a_registration_costs_fifteen_queries_whoever_comes_already(
    django_assert_num_queries: Any, there: int
) -> None:
    event = make_event(capacity=100)
    for _one in range(there):
        register(make_member(), event.pk, [Person()])
    api = Api(make_member())

    with django_assert_num_queries(15 + 2):  # and the savepoint of the test round it
        answer = api("POST", f"events/{event.public_id}/registrations/", {"party": [{}]})

    assert answer.status_code == 201
    assert answer.json()["tickets"][0]["slots"] == [0]


def test_a_registration_refused_as_full_costs_five_queries(django_assert_num_queries: Any) -> None:
    event = make_event(capacity=1)
    register(make_member(), event.pk, [Person()])
    api = Api(make_member())

    with django_assert_num_queries(5 + 3):  # and the savepoint of the test round it, gone back to
        answer = api("POST", f"events/{event.public_id}/registrations/", {"party": [{}]})

    assert answer.status_code == 409


def test_the_preview_saves_nothing_and_takes_both_spellings() -> None:
    answer = Api(make_member())(
        "POST",
        "series/preview/",
        {
            "starts_at": "20261020T190000",
            "timezone": "Europe/Brussels",
            "rrule": "FREQ=WEEKLY",
            "exdates": ["2026-11-03T19:00:00"],
            "limit": 3,
        },
    )

    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert [one["starts_at"] for one in body["occurrences"]] == [
        "2026-10-20T19:00:00+02:00",
        "2026-10-27T19:00:00+01:00",
        "2026-11-10T19:00:00+01:00",
    ]
    assert body["more"] is True and "winter" in body["occurrences"][1]["notes"][0]
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 1001},
        {"rrule": "FREQ=NEVER"},
        {"starts_at": "x"},
        {"timezone": "X"},
        {"rdates": ["x"]},
        {"rdates": "x"},
        {"skip_holidays": ["US"]},
    ],
)
def test_a_preview_that_cannot_be_read_is_400(wrong: dict[str, Any]) -> None:
    least = {"starts_at": "2027-06-01T19:00:00", "timezone": "Europe/Brussels", "rrule": "FREQ=WEEKLY"}

    assert Api(make_member())("POST", "series/preview/", least | wrong).status_code == 400


def test_a_series_is_made_read_tried_and_changed(host: Any) -> None:
    call = Api(host)
    start = (clock.now() + timedelta(days=3)).date().isoformat()
    made = call(
        "POST",
        "series/",
        new(starts_at=f"{start}T19:00:00", ends_at=f"{start}T21:00:00", rrule="FREQ=WEEKLY;COUNT=4"),
    )
    assert made.status_code == 201, made.content
    path = f"series/{made.json()['id']}/"
    dates = made.json()["occurrences"]
    assert len(dates) == 4

    change = {"scope": "following", "occurrence": dates[2]["event"], "changes": {"title": "Games"}}
    tried = call("PATCH", path, change | {"dry_run": True}, If_Match='"1"').json()["affected"]
    assert [(one["event"], one["registrations"], one["change"]) for one in tried] == [
        (one["event"], 0, "changed") for one in dates[2:]
    ]
    assert not Event.objects.filter(title="Games").exists()
    assert call("PATCH", path, change).status_code == 428
    assert call("PATCH", path, change, If_Match='"1"').status_code == 200
    assert list(Event.objects.order_by("starts_at").values_list("title", flat=True)) == [
        "Picnic",
        "Picnic",
        "Games",
        "Games",
    ]
    for wrong in (
        {"scope": "some"},
        {"scope": "this"},
        {"scope": "following", "occurrence": encode(5)},
        {"scope": "all", "changes": {"capacity": 0}},
    ):
        assert call("PATCH", path, wrong, If_Match='"2"').status_code in {400, 404}, wrong


def test_sending_again_with_the_same_key_registers_once() -> None:
    ana, event, key = make_member(), make_event(), str(uuid4())
    call, path = Api(ana), f"events/{event.public_id}/registrations/"

    first = call("POST", path, {"party": [{}]}, Idempotency_Key=key)
    again = call("POST", path, {"party": [{}]}, Idempotency_Key=key)

    assert (first.status_code, again.status_code, first.json()["id"]) == (201, 201, again.json()["id"])
    assert Pool.objects.get(event=event).taken == 1
