"""Whatever goes wrong: a problem document below /api/, a page elsewhere."""

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from config import problems
from tests.config.small_site import program
from tests.factories import make_member

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]

FIELDS = {"type", "title", "status", "code", "detail", "errors"}


def problem_in(response: Any) -> dict[str, Any]:
    assert response["Content-Type"] == "application/problem+json", response.content[:300]
    found: dict[str, Any] = json.loads(response.content)
    assert set(found) == FIELDS
    assert found["status"] == response.status_code
    assert found["detail"]
    return found


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("full", 409, "full"),
        ("conflict", 409, "closed"),
        ("fields", 400, "invalid"),
        ("invalid", 400, "odd"),
        ("rest", 400, "invalid"),
        ("forbidden", 403, "permission_denied"),
        ("gone", 404, "not_found"),
        ("missing", 404, "not_found"),
        ("locked", 503, "busy"),
        ("broken", 500, "error"),
    ],
)
def test_a_refusal_below_the_api_is_a_problem(how: str, status: int, code: str):
    found = problem_in(program().get(f"/api/v1/refusing/{how}/"))
    assert (found["status"], found["code"]) == (status, code)


def test_what_broke_and_what_was_missing_is_not_told():
    assert b"never shown" not in program().get("/api/v1/refusing/broken/").content
    assert b"secret reason" not in program().get("/api/v1/refusing/missing/").content


def test_errors_name_the_fields_as_deep_as_they_lie():
    assert problem_in(program().get("/api/v1/refusing/fields/"))["errors"] == {
        "title": ["Too short.", "No title."]
    }
    assert problem_in(program().get("/api/v1/refusing/rest/"))["errors"] == {"party.1.age": ["Not a number."]}
    assert problem_in(program().get("/api/v1/refusing/invalid/"))["errors"] == {
        "non_field_errors": ["That will not do."]
    }


def test_busy_says_when_to_come_back():
    assert program().get("/api/v1/refusing/locked/")["Retry-After"] == "1"
    assert Client().get("/refusing/locked/")["Retry-After"] == "1"


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/", "/api/v1/nothing/", "/api/v1/nothing", "/api/v2/events/", "/api/v1/%ff/"]
)
def test_unknown_paths_are_problems(path: str):
    assert problem_in(program().get(path))["code"] == "not_found"


@pytest.mark.parametrize("debug", [False, True])
def test_programs_get_problems_in_debug_mode_too(settings: Settings, debug: bool):
    settings.DEBUG = debug
    client = program(make_member())
    assert problem_in(client.get("/api/v1/nothing/"))["status"] == 404
    assert problem_in(client.get("/api/v1/refusing/broken/"))["status"] == 500
    assert problem_in(client.get("/api/v1/echo/", headers={"Host": "evil.example"}))["status"] == 400
    assert problem_in(client.post("/api/v1/rooms", {}, content_type="application/json"))["status"] in {
        404,
        500,
    }


def test_a_method_the_path_does_not_know_is_405_and_says_which_it_knows():
    response = program(make_member()).delete("/api/v1/rooms/")
    assert problem_in(response)["code"] == "method_not_allowed"
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_another_media_type_is_415():
    response = program(make_member()).post("/api/v1/rooms/", b"<room/>", content_type="text/xml")
    assert problem_in(response)["code"] == "unsupported_media_type"


def test_a_reader_who_takes_no_json_is_406():
    assert problem_in(program().get("/api/v1/echo/", headers={"Accept": "text/csv"}))["status"] == 406


def test_a_body_over_the_limit_is_413(settings: Settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    client = program(make_member(), **{"Idempotency-Key": "6f0d7a0e-6b5c-4d8f-9e3e-1f3b9f8a2c11"})
    response = client.post("/api/v1/echo/", {"text": "x" * 1000}, content_type="application/json")
    assert problem_in(response)["code"] == "too_large"


def test_a_body_of_unknown_length_is_411():
    client = program(make_member())
    response = client.generic("POST", "/api/v1/rooms/", headers={"Transfer-Encoding": "chunked"})
    assert problem_in(response)["code"] == "length_required"


@pytest.mark.parametrize("query", ["q=%00", "%00=1", "q=a&q=b%00c"])
@pytest.mark.parametrize("path", ["/api/v1/echo/", "/page/"])
def test_a_nul_in_the_query_is_400(path: str, query: str):
    response = program().get(f"{path}?{query}")
    assert response.status_code == 400
    if path.startswith("/api/"):
        problem_in(response)
    else:
        assert "<h1>That is not possible now</h1>" in response.content.decode()


def test_an_escaped_percent_sign_is_no_nul():
    assert program().get("/api/v1/echo/?q=%2500").status_code == 200


def test_a_nul_in_the_path_or_a_cookie_is_400():
    assert problem_in(program().get("/api/v1/refusing/a%00b/"))["status"] == 400
    assert (
        problem_in(program().get("/api/v1/echo/", headers={"Cookie": 'session="aaaaaaaa\\000"'}))["status"]
        == 400
    )


def test_more_query_fields_than_we_read_are_400():
    query = "&".join(f"a{n}=1" for n in range(600)) + "&x=%00"
    assert problem_in(program().get(f"/api/v1/echo/?{query}"))["status"] == 400


def test_a_missing_slash_redirects_a_read_and_refuses_a_write():
    client = program(make_member())
    assert client.get("/api/v1/echo").status_code == 301
    assert (
        problem_in(client.post("/api/v1/rooms", {}, content_type="application/json"))["detail"]
        == "Every path ends in a slash."
    )


def test_a_foreign_host_is_400_on_pages_and_below_the_api():
    assert problem_in(program().get("/api/v1/echo/", headers={"Host": "evil.example"}))["status"] == 400
    page = program().get("/page/", headers={"Host": "evil.example"})
    assert (page.status_code, page["Content-Type"]) == (400, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("full", 409),
        ("invalid", 409),
        ("forbidden", 403),
        ("gone", 404),
        ("missing", 404),
        ("locked", 503),
        ("broken", 500),
    ],
)
def test_a_refusal_on_a_page_is_a_page(how: str, status: int):
    response = program().get(f"/refusing/{how}/")
    assert (response.status_code, response["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert b"never shown" not in response.content and b"secret reason" not in response.content


def test_the_refused_page_says_why_and_leads_back():
    response = program().get("/refusing/full/", headers={"Referer": "http://testserver/events/?page=2"})
    assert "All places are taken." in response.content.decode()
    assert 'href="/events/?page=2"' in response.content.decode()


@pytest.mark.parametrize(
    "referer", ["http://evil.example/x", "http://testserver//evil.example/", "http://testserver/\\evil", ""]
)
def test_the_way_back_never_leaves_the_site(referer: str):
    request = RequestFactory().get("/", headers={"Host": "testserver", "Referer": referer})
    assert problems.back_of(request) == "/"


def test_no_token_no_write_by_cookie_alone():
    member = make_member()
    page, api = Client(enforce_csrf_checks=True), Client(enforce_csrf_checks=True)
    page.force_login(member)
    api.force_login(member)
    assert page.post("/form/").status_code == 403
    assert problem_in(api.post("/api/v1/rooms/", {}, content_type="application/json"))["code"] == "csrf"


def test_an_error_page_that_cannot_be_drawn_is_a_bare_one(monkeypatch: pytest.MonkeyPatch):
    def fail(*_args: Any, **_kwargs: Any) -> HttpResponse:
        raise OperationalError("no database")

    monkeypatch.setattr(problems, "render", fail)
    response = program().get("/refusing/broken/")
    assert response.status_code == 500
    assert b"<h1>Something broke on our side." in response.content


def test_details_speak_the_readers_language():
    """The catalogue may lack a text; what is asked is that the reader's language was on while it was said."""
    response = program().get("/api/v1/nothing/", headers={"Accept-Language": "de"})
    assert response["Content-Language"] == "de"


def test_answers_for_one_person_are_kept_out_of_caches():
    member = make_member()
    browser = Client()
    browser.force_login(member)
    assert program(member).get("/api/v1/rooms/")["Cache-Control"] == "private, no-store"
    assert program(member).get("/api/v1/nothing/")["Cache-Control"] == "private, no-store"
    assert browser.get("/api/v1/rooms/")["Cache-Control"] == "private, no-store"
    assert browser.get("/page/")["Cache-Control"] == "private, no-store"
    assert "Cache-Control" not in program().get("/api/v1/echo/")


def test_a_read_of_a_known_version_is_304():
    client = program(make_member())
    first = client.get("/api/v1/rooms/7/")
    assert first["ETag"] == '"7"'
    again = client.get("/api/v1/rooms/7/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/api/v1/rooms/8/", headers={"If-None-Match": first["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 428, "precondition_required"),
        ("*", 428, "precondition_required"),
        ('"6"', 412, "stale"),
        ('"x"', 412, "stale"),
        ('"7", "8"', 412, "stale"),
        ('"' + "9" * 40 + '"', 412, "stale"),
        ('"7"', 200, None),
        ('W/"7"', 200, None),
    ],
)
def test_a_change_names_the_version_it_saw(header: str | None, status: int, code: str | None):
    headers = {} if header is None else {"If-Match": header}
    response = program(make_member()).patch(
        "/api/v1/rooms/7/", {}, content_type="application/json", headers=headers
    )
    assert response.status_code == status
    if code:
        assert problem_in(response)["code"] == code
