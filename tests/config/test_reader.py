"""The reader's language and zone, and the welcome before everything else."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.config.small_site import program
from tests.factories import make_member, make_newcomer

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9", "de"),
        ("ja, fr-BE;q=0.8, nl;q=0.9", "nl"),
        ("ja", "en"),
        ("*", "en"),
        ("x" * 5000, "en"),
        ("de\x00", "en"),
        ("../../etc", "en"),
        ("nl;q=abc", "en"),
    ],
)
def test_a_stranger_reads_the_best_language_their_browser_asks_for(accepted: str, language: str):
    response = Client().get("/page/", headers={"Accept-Language": accepted})
    assert (response.json()["language"], response["Content-Language"]) == (language, language)


def test_the_cookie_beats_the_browser_and_the_profile_beats_the_cookie():
    client = Client(headers={"Accept-Language": "de"})
    client.cookies["language"] = "nl"
    assert client.get("/page/").json()["language"] == "nl"
    client.force_login(make_member(language="fr"))
    assert client.get("/page/").json()["language"] == "fr"


@pytest.mark.parametrize("odd", ["", "tlh", "xx-" * 300, "de\x7f"])
def test_an_odd_cookie_or_profile_is_passed_over(odd: str):
    client = Client(headers={"Accept-Language": "de"})
    client.cookies["language"] = odd
    client.force_login(make_member(language=odd[:12]))
    assert client.get("/page/").json()["language"] == "de"


def test_answers_vary_by_what_chose_the_language():
    assert {"Accept-Language", "Cookie"} <= {
        name.strip() for name in Client().get("/page/")["Vary"].split(",")
    }


def test_a_members_times_are_in_their_zone():
    client = Client()
    assert client.get("/page/").json()["zone"] == "Europe/Brussels"
    client.force_login(make_member(time_zone="America/New_York"))
    assert client.get("/page/").json()["zone"] == "America/New_York"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd", "Europe"])
def test_an_unknown_zone_is_passed_over(zone: str):
    client = Client()
    client.force_login(make_member(time_zone=zone))
    assert client.get("/page/").json()["zone"] == "Europe/Brussels"


def test_a_program_hears_its_members_language():
    assert program(make_member(language="nl")).get("/api/v1/echo/").json()["language"] == "nl"


def test_the_language_ends_with_the_request():
    Client().get("/page/", headers={"Accept-Language": "de"})
    assert Client().get("/page/").json()["language"] == "en"


def test_a_newcomer_is_led_to_the_welcome_and_back_to_what_they_wanted():
    client = Client()
    client.force_login(make_newcomer())
    response = client.get("/page/?q=1")
    assert (response.status_code, response["Location"]) == (302, reverse("welcome", args=[1]))
    assert client.session["after_welcome"] == "/page/?q=1"
    assert client.post("/form/").status_code == 302


@pytest.mark.parametrize(
    "path", ["/welcome/1/", "/accounts/login/", "/language/", "/healthz", "/api/v1/echo/"]
)
def test_a_newcomer_may_go_where_the_welcome_needs_them_to(path: str):
    client = Client()
    client.force_login(make_newcomer())
    assert client.get(path).status_code == 200


def test_a_part_of_a_page_does_not_take_the_welcome_in():
    client = Client()
    client.force_login(make_newcomer())
    response = client.get("/page/", headers={"HX-Request": "true"})
    assert (response.status_code, response["HX-Redirect"]) == (204, "/welcome/1/")


def test_who_has_been_through_is_not_led_anywhere():
    client = Client()
    client.force_login(make_member())
    assert client.get("/page/").status_code == 200


def test_a_stranger_costs_no_query_and_a_member_two(django_assert_num_queries: DjangoAssertNumQueries):
    client = Client()
    with django_assert_num_queries(0):
        client.get("/form/")
    client.force_login(make_member())
    with django_assert_num_queries(2):  # session, member
        client.get("/form/")
