"""Limits: so many a minute and no more, for the right somebody, and for nobody while the cache is down."""

from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries, Settings
from redis.exceptions import ConnectionError as RedisDown
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from config import throttling
from tests.config.small_site import program
from tests.factories import make_member

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]

ECHO = "/api/v1/echo/"


@pytest.fixture(autouse=True)
def _three_a_minute(monkeypatch: pytest.MonkeyPatch, clock: time_machine.Traveller) -> None:
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", {"member": "3/min", "address": "3/min"})
    monkeypatch.setattr(APIView, "throttle_classes", [throttling.MemberThrottle, throttling.AddressThrottle])
    monkeypatch.setattr(throttling, "_cache_asked_again_at", 0.0)


def statuses(client: Any, n: int = 5, **headers: str) -> list[int]:
    return [client.get(ECHO, headers=headers).status_code for _n in range(n)]


def test_the_fourth_in_a_minute_is_429_and_says_when_to_come_back():
    client = program()
    assert statuses(client) == [200, 200, 200, 429, 429]
    response = client.get(ECHO)
    assert response.json()["code"] == "throttled"
    assert 1 <= int(response["Retry-After"]) <= 61


def test_waiting_helps(clock: time_machine.Traveller):
    client = program()
    statuses(client)
    clock.shift(125)
    assert client.get(ECHO).status_code == 200


def test_a_new_minute_does_not_begin_from_nothing(clock: time_machine.Traveller):
    client = program()
    clock.move_to("2027-03-02T18:30:58+00:00")
    assert statuses(client, 3) == [200, 200, 200]
    clock.move_to("2027-03-02T18:31:01+00:00")
    assert statuses(client, 1) == [429]


def test_a_member_has_one_limit_over_all_tokens_and_others_their_own():
    member, other = make_member(), make_member()
    assert statuses(program(member), 3) == [200] * 3
    assert statuses(program(member), 1) == [429]
    assert statuses(program(other), 1) == [200]
    assert statuses(program(), 1) == [200]


def test_a_forwarded_address_is_believed_only_from_our_own_proxies(monkeypatch: pytest.MonkeyPatch):
    client = program()
    assert [statuses(client, 1, **{"X-Forwarded-For": f"10.0.0.{n}"})[0] for n in range(4)] == [
        200,
        200,
        200,
        429,
    ]
    monkeypatch.setattr(api_settings, "NUM_PROXIES", 1)
    assert statuses(client, 1, **{"X-Forwarded-For": "10.0.0.9"}) == [200]
    forged = [{"X-Forwarded-For": f"10.9.9.{n}, 10.0.0.8"} for n in range(4)]
    assert [statuses(client, 1, **headers)[0] for headers in forged] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_one_household_is_one_address(address: str, counted_as: str):
    assert throttling.address_of(RequestFactory().get("/", REMOTE_ADDR=address)) == counted_as


def test_counting_costs_no_query(django_assert_num_queries: DjangoAssertNumQueries):
    with django_assert_num_queries(0):
        program().get(ECHO)


@pytest.mark.parametrize("failure", [RedisDown("refused"), TimeoutError()])
def test_a_cache_that_is_down_locks_nobody_out_and_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, clock: time_machine.Traveller
):
    asked = []

    def fail(*_args: Any, **_kwargs: Any) -> None:
        asked.append(1)
        raise failure

    with monkeypatch.context() as broken:
        broken.setattr(throttling.cache, "add", fail)
        assert statuses(program(), 10) == [200] * 10
        assert len(asked) == 1
        clock.shift(throttling.CACHE_REST_S + 1)
        assert statuses(program(), 1) == [200]
        assert len(asked) == 2
    clock.shift(throttling.CACHE_REST_S + 1)
    assert statuses(program(), 4) == [200, 200, 200, 429]


def test_a_counter_that_is_lost_between_two_steps_locks_nobody_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(throttling.cache, "add", lambda *_args, **_kwargs: cache.clear())
    assert statuses(program(), 5) == [200] * 5


def test_the_switch_lifts_all_limits(settings: Settings):
    """RATE_LIMITS=0 leaves the list of throttles empty; which it is, the settings of this run say."""
    throttles = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_CLASSES"]
    assert bool(throttles) is settings.RATE_LIMITS
