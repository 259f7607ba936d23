"""Idempotency-Key: sent again, a creating POST gives the first answer and does nothing twice."""

import json
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client

from community.sign_ins import issue_token
from config import idempotency
from config.idempotency import forget_old
from config.models import IdempotentAnswer
from config.sqlite import base as sqlite
from realtime.models import Room
from tests.config.small_site import Rooms, program
from tests.factories import make_member

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]

URL = "/api/v1/rooms/"


def post(client: Client, key: object, path: str = URL, **body: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": str(key)}
    return client.post(path, json.dumps(body), content_type="application/json", headers=headers)


def test_the_same_key_gives_the_first_answer_again():
    client, key = program(make_member()), uuid4()
    first, again = post(client, key), post(client, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again["Location"] == first["Location"]
    assert again["Content-Type"] == first["Content-Type"]
    assert again["Cache-Control"] == "private, no-store"
    assert again["Idempotency-Replayed"] == "true"
    assert Room.objects.count() == 1


def test_without_a_key_each_one_counts():
    client = program(make_member())
    assert post(client, None).json() != post(client, None).json()
    assert not IdempotentAnswer.objects.exists()


def test_a_key_belongs_to_one_actor_one_path_and_one_method():
    member, key = make_member(), uuid4()
    client = program(member)
    assert post(client, key).status_code == 201
    assert post(program(make_member()), key).status_code == 201
    assert post(client, key, "/api/v1/echo/").status_code == 200
    assert Room.objects.count() == 2
    assert client.get(URL, headers={"Idempotency-Key": str(key)}).json()["count"] == 2


def test_two_tokens_of_one_member_and_their_cookie_share_their_keys():
    member, key = make_member(), uuid4()
    browser = Client()
    browser.force_login(member)
    answers = [post(client, key) for client in (program(member), program(member), browser)]
    assert len({answer.content for answer in answers}) == 1
    assert Room.objects.count() == 1


def test_another_body_with_the_key_is_422():
    client, key = program(make_member()), uuid4()
    post(client, key, title="a")
    response = post(client, key, title="b")
    assert (response.status_code, response.json()["code"]) == (422, "key_reused")
    assert Room.objects.count() == 1


@pytest.mark.parametrize("key", ["", "1", "x" * 36, "'; --"])
def test_a_key_that_is_no_uuid_is_400(key: str):
    response = post(program(make_member()), key)
    assert (response.status_code, response.json()["code"]) == (400, "bad_idempotency_key")
    assert not Room.objects.exists()


@pytest.mark.parametrize(
    ("refusal", "status"), [("full", 409), ("rest", 400), ("forbidden", 403), ("broken", 500)]
)
def test_a_refusal_leaves_nothing_behind_and_the_key_may_be_tried_again(refusal: str, status: int):
    client, key = program(make_member()), uuid4()
    assert post(client, key, refusal=refusal).status_code == status
    assert not Room.objects.exists()
    assert not IdempotentAnswer.objects.exists()
    assert post(client, key, title="now it works").status_code == 201


def test_nobody_is_remembered_for_nobody():
    assert post(program(), uuid4()).status_code == 401
    assert post(program(), uuid4(), "/api/v1/echo/").status_code == 200
    assert not IdempotentAnswer.objects.exists()


def test_answers_are_forgotten_after_seven_days(clock: time_machine.Traveller):
    client, key = program(make_member()), uuid4()
    first = post(client, key)
    clock.shift(7 * 86_400 - 1)
    assert forget_old() == 0
    assert post(client, key).content == first.content
    clock.shift(1)
    assert forget_old() == 1
    assert post(client, key).content != first.content


@pytest.fixture
def two(transactional_db: None) -> Any:
    """Sends the same request twice at once, the second while the first has written and not yet committed."""
    member, key = make_member(), uuid4()
    secret = issue_token(member, "x")
    answers: dict[str, Any] = {}

    def send(name: str, **body: Any) -> None:
        try:
            client = Client(headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False)
            answers[name] = post(client, key, **body)
        finally:
            connection.close()

    def both(**body: Any) -> dict[str, Any]:
        Rooms.at_work, Rooms.go_on = threading.Event(), threading.Event()
        try:
            first = threading.Thread(target=send, args=("first",), kwargs=body)
            first.start()
            assert Rooms.at_work.wait(10)
            second = threading.Thread(target=send, args=("second",), kwargs=body)
            second.start()
            second.join(0.3)  # it must still be waiting
            assert second.is_alive()
            Rooms.go_on.set()
            first.join(15)
            second.join(15)
        finally:
            Rooms.go_on.set()
            Rooms.at_work = Rooms.go_on = None
        return answers

    return both


@pytest.mark.django_db(transaction=True)
def test_a_second_at_the_same_time_waits_and_gets_the_first_answer(two: Any):
    answers = two()
    assert answers["first"].status_code == answers["second"].status_code == 201
    assert answers["first"].content == answers["second"].content
    assert Room.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_second_at_the_same_time_does_it_when_the_first_was_refused(two: Any):
    answers = two(refusal="full")
    assert answers["first"].status_code == answers["second"].status_code == 409
    assert answers["second"].json()["code"] == "full"
    assert not Room.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_second_that_waits_too_long_hears_that_the_first_is_under_way(monkeypatch: pytest.MonkeyPatch):
    """SQLite: the line of writers does not move; PostgreSQL: the lock time-out. Both as short as they can be."""
    if connection.vendor == "sqlite":
        monkeypatch.setattr(sqlite, "PATIENCE_S", 0.2)
    member, key = make_member(), uuid4()
    secret = issue_token(member, "x")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                IdempotentAnswer.objects.create(actor=member, method="POST", path=URL, key=key, digest="")
                held.set()
                while not done.wait(0.1):  # an idle transaction would be ended by PostgreSQL
                    IdempotentAnswer.objects.exists()
                transaction.set_rollback(True)
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    try:
        response = post(Client(headers={"Authorization": f"Bearer {secret}"}), key)
    finally:
        done.set()
        holder.join(10)
    assert (response.status_code, response.json()["code"]) == (409, "in_progress")
    assert response["Retry-After"] == "1"


@pytest.mark.django_db(transaction=True)
def test_without_the_row_first_the_race_is_lost(two: Any, monkeypatch: pytest.MonkeyPatch):
    """Look, do, remember afterwards: the obvious way, and two rooms."""

    def unguarded(asked: IdempotentAnswer, effect: Callable[[], Any]) -> Any:
        kept = idempotency._kept(asked)
        answer = effect() if kept is None else idempotency._again(kept, asked)
        IdempotentAnswer.objects.bulk_create([asked], ignore_conflicts=True)
        return answer

    monkeypatch.setattr(idempotency, "first_or_again", unguarded)
    answers = two()
    assert answers["first"].content != answers["second"].content
    assert Room.objects.count() == 2
