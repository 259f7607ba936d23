"""Probes and counters."""

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from config import health

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]


@pytest.fixture(autouse=True)
def _nothing_known_yet() -> Any:
    health._migrated.clear()
    yield
    health.draining.clear()


def test_a_process_that_answers_is_up(django_assert_num_queries: DjangoAssertNumQueries):
    with django_assert_num_queries(0):
        response = Client().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "up"})
    assert "no-store" in response["Cache-Control"]


def test_a_process_with_its_database_is_ready(settings: Settings):
    settings.REDIS_URL = ""
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ready", "database": "up", "bus": "in-process"},
    )


def test_a_draining_process_is_not_ready_and_still_up():
    health.draining.set()
    response = Client().get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "draining")
    assert Client().get("/healthz").status_code == 200


def test_a_database_behind_its_migrations_is_not_ready(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_args: ["one"])
    response = Client().get("/readyz")
    assert (response.status_code, response.json()["database"]) == (503, "behind")


def test_a_database_that_is_down_is_not_ready_and_is_not_an_error(monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise OperationalError("no")

    monkeypatch.setattr(health.connection, "cursor", fail)
    response = Client().get("/readyz")
    assert (response.status_code, response.json()["database"]) == (503, "down")


def test_a_bus_that_is_down_is_only_reported(settings: Settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = Client().get("/readyz")
    assert (response.status_code, response.json()["bus"]) == (200, "down")


def test_metrics_count_requests():
    Client().get("/healthz")
    Client().generic("BREW", "/healthz")
    response = Client().get("/metrics")
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = response.content.decode()
    assert text.endswith("\n")
    assert 'circles_requests_total{method="GET",status="200"}' in text
    assert 'method="other"' in text and "BREW" not in text
    assert "circles_mails_waiting 0" in text


@pytest.mark.parametrize(
    ("token", "headers", "address", "status"),
    [
        ("", {}, "127.0.0.1", 200),
        ("", {}, "::1", 200),
        ("", {"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1", 404),
        ("", {"Forwarded": "for=127.0.0.1"}, "127.0.0.1", 404),
        ("", {"X-Real-IP": "127.0.0.1"}, "127.0.0.1", 404),
        ("", {}, "192.0.2.7", 404),
        ("", {}, "", 404),
        ("", {"Authorization": "Bearer "}, "192.0.2.7", 404),
        ("sesame", {"Authorization": "Bearer sesame"}, "192.0.2.7", 200),
        ("sesame", {"Authorization": "Bearer sesam"}, "192.0.2.7", 404),
        ("sesame", {"Authorization": "Bearer séame"}, "192.0.2.7", 404),
        ("sesame", {}, "192.0.2.7", 404),
    ],
)
def test_metrics_are_for_the_token_or_this_machine(
    settings: Settings, token: str, headers: dict[str, str], address: str, status: int
):
    settings.METRICS_TOKEN = token
    assert Client(REMOTE_ADDR=address, headers=headers).get("/metrics").status_code == status
