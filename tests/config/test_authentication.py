"""Who asks: a token, a cookie with CSRF, or nobody."""

import pytest
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries

from community.models import ApiToken
from community.sign_ins import issue_token
from config.authentication import actor_of
from realtime import clock
from tests.config.small_site import program
from tests.factories import make_member

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer ", "Bearer ec_wrong", "Token x", "Basic eDp5", "Bearer \xff\xfe"]
)
def test_no_or_bad_credentials_are_401_and_name_the_scheme(header: str | None):
    response = program(**({} if header is None else {"Authorization": header})).get("/api/v1/rooms/")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="Euregio Circles"'
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_says_who_asks(scheme: str):
    member = make_member()
    response = Client().get(
        "/api/v1/rooms/", headers={"Authorization": f"{scheme} {issue_token(member, 'x')}"}
    )
    assert response.json()["me"] == member.email


def test_a_revoked_token_and_one_of_a_suspended_member_open_nothing():
    member = make_member()
    client = program(member)
    assert client.get("/api/v1/rooms/").status_code == 200
    ApiToken.objects.update(revoked_at=clock.now())
    assert client.get("/api/v1/rooms/").status_code == 401
    ApiToken.objects.update(revoked_at=None)
    member.is_active = False
    member.save()
    assert client.get("/api/v1/rooms/").status_code == 401


def test_a_bad_token_is_not_saved_by_a_good_cookie():
    client = Client(headers={"Authorization": "Bearer ec_wrong"})
    client.force_login(make_member())
    assert client.get("/api/v1/rooms/").status_code == 401


def test_a_token_opens_no_page():
    member = make_member()
    assert program(member).get("/page/").json()["member"] == "AnonymousUser"


def test_a_cookie_reads_without_and_writes_with_the_csrf_token():
    client = Client(enforce_csrf_checks=True)
    member = make_member()
    client.force_login(member)
    assert client.get("/api/v1/rooms/").json()["me"] == member.email
    assert client.post("/api/v1/rooms/", {}, content_type="application/json").status_code == 403
    client.cookies["csrf"] = "x" * 32
    written = client.post(
        "/api/v1/rooms/", {}, content_type="application/json", headers={"X-CSRFToken": "x" * 32}
    )
    assert written.status_code == 201


def test_a_token_needs_no_csrf():
    client = Client(
        enforce_csrf_checks=True, headers={"Authorization": f"Bearer {issue_token(make_member(), 'x')}"}
    )
    assert client.post("/api/v1/rooms/", {}, content_type="application/json").status_code == 201


def test_asking_twice_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries):
    member = make_member()
    request = RequestFactory().get(
        "/api/v1/me/", headers={"Authorization": f"Bearer {issue_token(member, 'x')}"}
    )
    with django_assert_num_queries(1):
        assert actor_of(request) == actor_of(request) == member
    assert actor_of(RequestFactory().get("/")) is None
