"""Lists by key: every row once, in order, whatever happens meanwhile; cursors that nobody can make."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db.models import QuerySet
from django.http import HttpRequest
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries
from rest_framework.request import Request
from rest_framework.views import APIView

from community.models import Place
from config.pagination import KeysetPagination
from realtime.keyset import after
from realtime.models import Mail, Room
from tests.config.small_site import program
from tests.factories import make_place, make_room

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]

URL = "/api/v1/places/"


@pytest.fixture
def towns(db: Any) -> list[int]:
    """Thirty towns of which many have the same population; their ids in the order of the list."""
    Place.objects.all().delete()
    for n in range(30):
        make_place(f"Town {n}", population=1000 * (n % 4))
    return list(Place.objects.order_by("-population", "pk").values_list("pk", flat=True))


def walk(url: str | None, way: str = "next") -> list[list[int]]:
    """The ids of each page from `url` on, following `way`."""
    pages = []
    while url:
        body = program().get(url).json()
        pages.append([row["id"] for row in body["results"]])
        url = body[way]
    return pages


def test_pages_give_every_row_once_in_order(towns: list[int]):
    pages = walk(f"{URL}?limit=7")
    assert [len(page) for page in pages] == [7, 7, 7, 7, 2]
    assert sum(pages, []) == towns


def test_the_way_back_gives_the_same_pages(towns: list[int]):
    body = program().get(f"{URL}?limit=7").json()
    assert body["previous"] is None
    while body["next"]:
        body = program().get(body["next"]).json()
    back = walk(body["previous"], "previous")
    assert sum(reversed(back), []) == towns[:28]


def test_links_are_absolute_and_keep_the_filters(towns: list[int]):
    body = program().get(f"{URL}?limit=7&q=town").json()
    assert body["next"].startswith("http://testserver/api/v1/places/?")
    assert "q=town" in body["next"] and "limit=7" in body["next"]


def test_rows_that_come_and_go_shift_nothing(towns: list[int]):
    first = program().get(f"{URL}?limit=10").json()
    Place.objects.filter(pk__in=towns[:5]).delete()
    make_place("Newer and first", population=9_000_000)
    assert sum(walk(first["next"]), []) == towns[10:]


def test_a_page_costs_the_same_query_for_one_row_and_thirty(
    towns: list[int], django_assert_num_queries: DjangoAssertNumQueries
):
    client = program()
    for limit in (1, 30):
        with django_assert_num_queries(1):
            client.get(f"{URL}?limit={limit}")


def test_the_limit_ends_at_a_hundred():
    Place.objects.all().delete()
    for n in range(101):
        make_place(f"Town {n}")
    for limit in ("100", "101", "9" * 40):
        assert len(program().get(f"{URL}?limit={limit}").json()["results"]) == 100
    assert len(program().get(URL).json()["results"]) == 20


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", "٣", "%20"])
def test_a_limit_that_is_no_number_is_400(limit: str):
    response = program().get(f"{URL}?limit={limit}")
    assert (response.status_code, response.json()["code"]) == (400, "bad_limit")


def test_a_tampered_cursor_is_400(towns: list[int]):
    good = program().get(f"{URL}?limit=7").json()["next"]
    assert program().get(good).status_code == 200
    cursor = parse_qs(urlsplit(good).query)["cursor"][0]
    payload, signature = cursor.split(":", 1)
    for bad in (
        "",
        "x",
        "😀",
        "\x01",
        f"A{cursor}",
        cursor[:-2],
        payload,
        f"{payload}::",
        f"W10:{signature}",
    ):
        response = program().get(URL, {"cursor": bad})
        assert (response.status_code, response.json()["code"]) == (400, "bad_cursor")


class Pages(APIView):
    ordering: ClassVar[tuple[str, ...]] = ("pk",)


def page_of(
    rows: QuerySet[Any], ordering: tuple[str, ...], url: str = "/?limit=2"
) -> tuple[list[Any], str | None]:
    """One page of `rows` and the address of the next."""
    raw: HttpRequest = RequestFactory().get(url)
    view, paginator = Pages(), KeysetPagination()
    view.ordering = ordering  # type: ignore[misc]
    found = paginator.paginate_queryset(rows, Request(raw), view)
    return found, paginator.get_paginated_response(found).data["next"]


def test_a_cursor_of_another_list_is_refused():
    for _n in range(3):
        make_room()
    _rooms, following = page_of(Room.objects.all(), ("pk",))
    assert following
    with pytest.raises(Exception, match="not one of ours"):
        page_of(Room.objects.all(), ("-pk",), following)
    with pytest.raises(Exception, match="not one of ours"):
        page_of(Mail.objects.all(), ("pk",), following)


def test_times_are_keys_to_the_microsecond():
    start = datetime(2027, 3, 28, 0, 59, 59, 999_999, tzinfo=UTC)
    rooms = [make_room(created_at=start + timedelta(microseconds=n // 2)) for n in range(6)]
    wanted = sorted(rooms, key=lambda room: (room.created_at, room.pk))
    found: list[Any] = []
    url: str | None = "/?limit=1"
    while url:
        page, url = page_of(Room.objects.all(), ("created_at", "pk"), url)
        found += page
    assert found == wanted
    descending, _next = page_of(Room.objects.all(), ("-created_at", "-pk"))
    assert descending == wanted[::-1][:2]


def test_rows_of_values_have_keys_too(region: None):
    rows = Place.objects.all()
    first, following = page_of(rows.values("id", "name", "population"), ("-population", "id"))
    assert following
    second, _next = page_of(rows.values("id", "name", "population"), ("-population", "id"), following)
    whole = list(rows.order_by("-population", "id").values_list("id", flat=True)[:4])
    assert [row["id"] for row in first + second] == whole


def test_the_condition_says_the_first_bound_once_for_all():
    sql = str(Room.objects.filter(after(("created_at", "-pk"), [datetime(2027, 1, 1, tzinfo=UTC), 5])).query)
    assert '"created_at" >= ' in sql and '"id" < 5' in sql
