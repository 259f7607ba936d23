"""What the API promises of every operation, asked of every operation: its examples say how it is called."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from tests.config.small_region import Region, make_region
from tests.config.test_examples import FILE, known_in

pytestmark = pytest.mark.django_db

CREATES = {
    "circles_create",
    "events_create",
    "series_create",
    "registrations_create",
    "registrations_move",
    "invitations_create",
    "inquiries_create",
    "rooms_entries_create",
    "blocks_create",
    "reports_create",
    "talk_ask",
}


class Operation:
    """One operation with the request of its example, as somebody who may."""

    def __init__(
        self, name: str, example: dict[str, Any], method: str, path: str, told: dict[str, Any]
    ) -> None:
        self.name, self.example, self.method, self.told = name, example, method, told
        self.path = path.replace("{id}", example.get("id", ""))

    def ask(self, region: Region, *, body: Any = None, undo: bool = True, **headers: str) -> Any:
        given = {**region.headers(self.example["as"])}
        if self.example.get("version"):
            given["If-Match"] = '"1"'
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in given.items() if value}
        raw = body if body is not None else json.dumps(self.example["body"]) if "body" in self.example else ""
        with transaction.atomic():
            answer = Client(headers=given).generic(
                self.method,
                self.path,
                raw,
                given.get("Content-Type", "application/json"),
                query_params=self.example.get("query"),
            )
            transaction.set_rollback(undo)
        return answer


@pytest.fixture
def region(clock: Any) -> Region:
    return make_region()


@pytest.fixture
def operations(region: Region) -> list[Operation]:
    text, here = FILE.read_text(), known_in(region)
    for name, then in json.loads(text)["known"].items():
        text = text.replace(json.dumps(then), json.dumps(here[name]))
    examples = json.loads(text)["operations"]
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [
        Operation(told["operationId"], examples[told["operationId"]], method.upper(), path, told)
        for path, methods in paths.items()
        for method, told in methods.items()
    ]


def is_problem(answer: Any, status: int) -> bool:
    found = json.loads(answer.content) if answer["Content-Type"] == "application/problem+json" else {}
    return answer.status_code == status == found.get("status")


def test_what_is_personal_stays_out_of_every_cache(operations: list[Operation], region: Region):
    for one in operations:
        if one.example["as"] != "stranger":
            assert one.ask(region)["Cache-Control"] == "private, no-store", one.name


def test_every_no_is_a_problem_document(operations: list[Operation], region: Region):
    for one in operations:
        answer = Client(headers=region.headers("manager")).generic("TRACE", one.path)
        assert is_problem(answer, 405) and answer["Allow"], one.name
        if "body" in one.example:
            assert is_problem(one.ask(region, body='{"a":'), 400), one.name
            assert is_problem(one.ask(region, body="[]"), 400), one.name
            assert is_problem(one.ask(region, body=" " * 1_048_577), 413), one.name
            assert is_problem(one.ask(region, body="<a/>", Content_Type="text/xml"), 415), one.name
        assert is_problem(one.ask(region, Authorization="Bearer ec_nobody"), 401) or one.name == "gates_pair"


def test_a_cookie_alone_writes_nothing(operations: list[Operation], region: Region):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(region.manager)
    for one in operations:
        if one.method != "GET" and one.name != "gates_pair":  # who pairs a phone has no account
            answer = browser.generic(one.method, one.path, "{}", content_type="application/json")
            assert is_problem(answer, 403) and answer.json()["code"] == "csrf", one.name


def test_unknown_fields_are_ignored(operations: list[Operation], region: Region):
    for one in operations:
        if "body" in one.example:
            more = json.dumps(one.example.get("body", {}) | {"colour": "red", "x": {"y": [1, None]}})
            assert one.ask(region, body=more).status_code == one.example["status"], one.name


def test_versions_are_strong_tags_that_save_a_read_and_guard_a_change(
    operations: list[Operation], region: Region
):
    guarded, read = set(), set()
    for one in operations:
        headers = {
            parameter["name"] for parameter in one.told.get("parameters", ()) if parameter["in"] == "header"
        }
        if "If-None-Match" in headers:
            tag = one.ask(region)["ETag"]
            assert tag[0] == tag[-1] == '"'
            again = one.ask(region, If_None_Match=tag)
            assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag), one.name
            assert one.ask(region, If_None_Match='"other"').status_code == 200
            read.add(one.name)
        if "If-Match" in headers:
            whole = json.dumps(one.example["body"] | {"dry_run": False})
            assert is_problem(one.ask(region, body=whole, If_Match=""), 428), one.name
            assert is_problem(one.ask(region, body=whole, If_Match="*"), 428), one.name
            assert is_problem(one.ask(region, body=whole, If_Match='"77"'), 412), one.name
            guarded.add(one.name)
    assert guarded == {"events_change", "registrations_change", "series_change"}
    assert read == {"circles_read", "door_log", "events_read", "registrations_read", "series_read"}


def test_a_creating_post_sent_again_gives_the_first_answer(operations: list[Operation], region: Region):
    tried = set()
    for one in operations:
        if one.name not in CREATES:
            continue
        key = str(uuid4())
        first = one.ask(region, undo=False, Idempotency_Key=key)
        again = one.ask(region, undo=False, Idempotency_Key=key)
        assert (first.status_code, again.status_code, again["Idempotency-Replayed"]) == (201, 201, "true"), (
            one.name
        )
        assert first.content == again.content
        other = json.dumps(one.example.get("body", {}) | {"colour": "red"})
        assert is_problem(one.ask(region, body=other, Idempotency_Key=key), 422)
        tried.add(one.name)
    assert tried == CREATES
    assert {one.name for one in operations if "201" in one.told["responses"]} == CREATES | {"gates_pair"}
