"""The API's description."""

from typing import Any

import pytest
import yaml
from django.test import Client
from drf_spectacular.validation import validate_schema

from tests.factories import make_member

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]


@pytest.fixture
def schema() -> Any:
    response = Client().get("/api/v1/schema/")
    assert response.status_code == 200
    return response.json()


def test_it_is_openapi_and_valid(schema: Any):
    assert schema["openapi"] == "3.1.1"
    assert schema["info"]["title"] == "Euregio Circles"
    validate_schema(schema)


def test_it_comes_as_yaml_on_request_and_in_any_language():
    response = Client().get(
        "/api/v1/schema/", headers={"Accept": "application/yaml", "Accept-Language": "de"}
    )
    assert yaml.safe_load(response.content)["openapi"] == "3.1.1"


def test_every_operation_tells_its_problems(schema: Any):
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            assert {"400", "406", "429"} <= set(answers), path
            for status, answer in answers.items():
                if status >= "400":
                    assert answer["content"]["application/problem+json"]["schema"] == {
                        "$ref": "#/components/schemas/Problem"
                    }


def test_writes_and_closed_doors_tell_theirs(schema: Any):
    post = schema["paths"]["/api/v1/rooms/"]["post"]
    assert {"401", "403", "409", "413", "415", "422"} <= set(post["responses"])
    assert [parameter["name"] for parameter in post["parameters"]] == ["Idempotency-Key"]
    patch = schema["paths"]["/api/v1/rooms/{id}/"]["patch"]
    assert {"404", "412", "428"} <= set(patch["responses"])
    assert "401" not in schema["paths"]["/api/v1/echo/"]["get"]["responses"]


def test_lists_tell_their_pages(schema: Any):
    listing = schema["paths"]["/api/v1/places/"]["get"]
    assert {"cursor", "limit"} == {parameter["name"] for parameter in listing["parameters"]}
    reference = listing["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    page = schema["components"]["schemas"][reference.rsplit("/", 1)[1]]
    assert page["required"] == ["next", "previous", "results"]


def test_it_tells_both_ways_to_sign_in(schema: Any):
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "session"}
    assert schema["paths"]["/api/v1/rooms/"]["get"]["security"] == [{"bearer": []}, {"session": []}]


def test_it_may_be_cached_by_everybody():
    client = Client()
    client.force_login(make_member())
    assert "public" in client.get("/api/v1/schema/")["Cache-Control"]


def test_the_readable_page_loosens_styles_and_no_scripts():
    response = Client().get("/api/docs/")
    assert response.status_code == 200
    policy = response["Content-Security-Policy"]
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "script-src 'self';" in policy
    page = response.content.decode()
    assert "<script>" not in page and "http" not in page.replace("http-equiv", "")
