"""The API of people and places, as interface.md fixes it."""

import json
from typing import Any

import pytest
from django.test import Client

from community import circles, sign_ins
from community.models import Circle, Member
from tests import factories as make

pytestmark = pytest.mark.django_db


class Program:
    """A program with a member's token."""

    def __init__(self, member: Member) -> None:
        self.client = Client(HTTP_AUTHORIZATION=f"Bearer {sign_ins.issue_token(member, 'test')}")

    def __call__(self, method: str, path: str, data: Any = None) -> Any:
        return self.client.generic(
            method, f"/api/v1/{path}", "" if data is None else json.dumps(data), "application/json"
        )


@pytest.fixture
def member() -> Member:
    return make.make_member(display_name="Ana", lives=make.make_place("Hasselt"), languages=["nl"])


def test_me_shows_account_and_profile(member: Member) -> None:
    me = Program(member)("GET", "me/").json()
    assert (me["id"], me["email"], me["display_name"]) == (member.public_id, member.email, "Ana")
    assert (me["lives"]["name"], me["works"], me["languages"]) == ("Hasselt", None, ["nl"])
    assert me["url"] == "http://testserver/me/"


@pytest.mark.usefixtures("region")
def test_me_changes_only_what_is_sent(member: Member) -> None:
    program = Program(member)
    answer = program(
        "PATCH", "me/", {"display_name": "Zoë", "works": "Luik", "interests": ["walking"], "unknown": 1}
    )
    assert answer.status_code == 200
    me = answer.json()
    assert (me["display_name"], me["works"]["name"], me["lives"]["name"]) == ("Zoë", "Liège", "Hasselt")
    assert [interest["slug"] for interest in me["interests"]] == ["walking"]
    assert program("PATCH", "me/", {"works": None}).json()["works"] is None
    assert program("PATCH", "me/", {"lives": me["works"]["id"]}).json()["lives"]["name"] == "Liège"


@pytest.mark.parametrize(
    "wrong",
    [
        {"display_name": ""},
        {"display_name": "   "},
        {"display_name": "x" * 61},
        {"language": "xx"},
        {"languages": "nl"},
        {"languages": ["not a language"]},
        {"languages": ["nl"] * 13},
        {"lives": "Timbuktu"},
        {"lives": "Berg"},
        {"lives": {"id": []}},
        {"lives": True},
        {"interests": ["nothing-like-that"]},
        {"interests": [None]},
        {"about": "x" * 1001},
        [],
        "text",
    ],
)
@pytest.mark.usefixtures("region")
def test_bad_input_is_a_problem_that_names_the_field_and_changes_nothing(member: Member, wrong: Any) -> None:
    program = Program(member)
    before = program("GET", "me/").json()
    answer = program("PATCH", "me/", wrong)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    if isinstance(wrong, dict):
        assert [name.split(".")[0] for name in answer.json()["errors"]] == list(wrong)
    assert program("GET", "me/").json() == before


@pytest.mark.parametrize("path", ["me/", "circles/", "places/", "interests/"])
def test_without_a_token_nothing_is_answered(path: str) -> None:
    answer = Client().get(f"/api/v1/{path}")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_host_opens_a_circle_and_gets_its_room(member: Member) -> None:
    host = make.make_host()
    place, interest = make.make_place("Aachen"), make.make_interest("walking")
    details = {
        "name": "Walkers",
        "description": "We walk.",
        "place": str(place.pk),
        "interest": interest.slug,
        "join": "request",
    }
    answer = Program(host)("POST", "circles/", details)
    assert answer.status_code == 201
    circle = answer.json()
    row = Circle.objects.get()
    assert (circle["id"], circle["room"], circle["mine"]) == (row.public_id, row.room.public_id, "host")
    assert circle["url"] == f"http://testserver/circles/{row.public_id}/"
    assert (circle["place"]["name"], circle["interest"]["slug"], circle["join"]) == (
        "Aachen",
        "walking",
        "request",
    )
    assert Program(member)("GET", f"circles/{circle['id']}/").json()["room"] is None
    assert Program(member)("POST", "circles/", details).status_code == 403
    assert Program(host)("POST", "circles/", {"name": ""}).status_code == 400


def test_membership_is_put_and_deleted_any_number_of_times(member: Member) -> None:
    circle = circles.open_circle(make.make_host(), name="Walkers", description="We walk.", language="en")
    program, path = Program(member), f"circles/{circle.public_id}/membership/"
    for _try in range(2):
        answer = program("PUT", path)
        assert (answer.status_code, answer.json()["state"], answer.json()["room"]) == (
            200,
            "in",
            circle.room.public_id,
        )
    assert program("GET", f"circles/{circle.public_id}/").json()["size"] == 2
    for _try in range(2):
        assert program("DELETE", path).status_code == 204
    assert program("GET", f"circles/{circle.public_id}/").json()["mine"] is None


def test_the_last_host_gets_a_conflict(member: Member) -> None:
    host = make.make_host()
    circle = circles.open_circle(host, name="Walkers", description="We walk.", language="en")
    circles.join(member, circle.pk)
    answer = Program(host)("DELETE", f"circles/{circle.public_id}/membership/")
    assert (answer.status_code, answer.json()["code"]) == (409, "last_host")


def test_a_circle_by_invitation_looks_as_if_it_were_not_there(member: Member) -> None:
    circle = make.make_circle(join="invite", host=make.make_host())
    program = Program(member)
    assert program("GET", f"circles/{circle.public_id}/").status_code == 404
    assert program("PUT", f"circles/{circle.public_id}/membership/").status_code == 404
    assert program("GET", "circles/").json()["results"] == []


def test_circles_are_listed_near_a_point_by_interest_words_and_suggestion(member: Member) -> None:
    interest = make.make_interest("walking")
    make.make_circle(name="Wandern", place=make.make_place("Aachen"), interest=interest)
    make.make_circle(name="Hasselt walks", place=make.make_place("Hasselt"))
    member.profile.interests.add(interest)
    program = Program(member)

    def names(query: str) -> list[str]:
        return [row["name"] for row in program("GET", f"circles/?{query}").json()["results"]]

    assert sorted(names("")) == ["Hasselt walks", "Wandern"]
    assert names("near=50.93,5.34&km=5") == ["Hasselt walks"]
    assert (
        names("interest=walking")
        == names("q=wander")
        == names(f"interest={interest.public_id}")
        == ["Wandern"]
    )
    assert names("interest=nothing") == []
    assert names("suggested=1") == ["Hasselt walks"]


@pytest.mark.parametrize(
    "query", ["near=x", "near=50.9", "near=91,5", "near=nan,5", "near=50,5&km=-1", "near=50,5&km=x", "km=5"]
)
def test_a_point_that_is_none_is_refused(member: Member, query: str) -> None:
    assert Program(member)("GET", f"circles/?{query}").status_code == 400


@pytest.mark.usefixtures("region")
def test_places_and_interests_are_found_by_the_beginning_of_any_name(member: Member) -> None:
    program = Program(member)
    assert [row["name"] for row in program("GET", "places/?q=Lüt").json()["results"]] == ["Liège"]
    assert len(program("GET", "places/").json()["results"]) == 20
    assert program("GET", "interests/?q=spazier").json()["results"][0]["slug"] == "walking"
    assert len(program("GET", "interests/?limit=100").json()["results"]) == 85
    assert program("GET", "places/?q=%25").json()["results"] == []
