"""The API does what its description says: schemathesis asks every operation, as three people, in every way it can think of."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode

from community import places
from events import gates
from realtime import ids
from tests.config.small_region import ROLES, Region, make_region, patient

pytestmark = pytest.mark.django_db

MAX_EXAMPLES = 8
"""How often each operation is asked with values that are made up; beside them come the limits of every field."""


@pytest.fixture(scope="module")
def region(django_db_setup: None, django_db_blocker: Any) -> Iterator[Region]:
    """One region for all tests here: what a request does is undone after it, the region itself at the end."""
    ends = (
        request_started,
        request_finished,
    )  # at which a server closes connections: not inside a test's transaction
    for signal in ends:
        signal.disconnect(close_old_connections)
    with django_db_blocker.unblock():
        yield make_region()
        call_command("flush", interactive=False)
        places.load_places()
        places.load_interests()
    for signal in ends:
        signal.connect(close_old_connections)


def make_sense(case: Case, region: Region) -> None:
    """Put in what no description can say: ids and names of what is there, times to come, a version that is right."""
    kind = case.operation.path.split("/")[3]
    if "id" in case.path_parameters:
        case.path_parameters["id"] = ids.encode(region.known[kind])
    case.query.pop(
        "cursor", None
    )  # signed, so nobody makes one up: tests of pages follow those they were given
    case.query |= {name: value for name, value in region.names.items() if name in case.query}
    if "km" in case.query:
        case.query["near"] = region.names["near"]
    if isinstance(case.body, dict):
        case.body = sensible(case.body, region.names)
        if kind == "gates":  # good for two minutes, and once
            case.body["pairing"] = gates.pair(region.manager, region.events[3].pk)
        if kind == "check-ins":
            case.body |= {"event": region.events[3].public_id, "gate": "Front"}
    if any(header.name == "If-Match" for header in case.operation.headers):
        case.headers["If-Match"] = '"1"'


def sensible(body: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """A body of fields that are described, those that name something with a name that is known; what it lacks it lacks."""
    found = {name: names.get(name, value) if value is not None else None for name, value in body.items()}
    for name in ("venue", "changes", "guest"):
        if isinstance(found.get(name), dict):
            found[name] = sensible(found[name], names)
    if found.get("visibility") == "circle":
        found["circle"] = names["circle"]
    if "scope" in found:
        found["occurrence"] = names["occurrence"]
        if found["scope"] == "this" and isinstance(found.get("changes"), dict):  # a rule is for several dates
            rule = {"rrule", "rdates", "exdates", "skip_holidays"}
            found["changes"] = {name: value for name, value in found["changes"].items() if name not in rule}
    return {name: value for name, value in found.items() if name in DESCRIBED}


def described() -> Any:
    """The description, as anybody gets it."""
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "generation": {"deterministic": True, "allow-x00": False, "max-examples": MAX_EXAMPLES},
            "checks": {  # what our API promises where schemathesis has its own idea: no If-Match, or one that is no tag
                "missing_required_header": {"expected-statuses": [400, 401, 403, 404, 428]},
                "negative_data_rejection": {
                    "expected-statuses": [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428]
                },
            },
        }
    )
    raw = SchemaGenerator().get_schema(request=None, public=True)
    found = schemathesis.openapi.from_dict(raw, config=config)
    found.app = get_wsgi_application()
    return found


schema = described()
DESCRIBED = {
    name
    for shape in schema.raw_schema["components"]["schemas"].values()
    for name in shape.get("properties", {})
}


def test_the_description_is_valid_and_made_without_a_warning_or_a_query(tmp_path: Path):
    with CaptureQueriesContext(connection) as queries:
        call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))
    assert not queries.captured_queries


as_described = settings(
    max_examples=MAX_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@schema.parametrize()
@as_described
def test_every_operation_answers_as_described(case: Case, region: Region):
    """Each request three times: signed out (where that is let in), as a member, as a manager."""
    for role in ROLES:
        if role == "stranger" and not lets_strangers_in(case.operation.definition.raw):
            continue
        cache.clear()  # no limit of so many a minute shall answer instead
        patient()
        with transaction.atomic():
            if case.meta and case.meta.generation.mode is GenerationMode.POSITIVE:
                make_sense(case, region)
            case.call_and_validate(headers=region.headers(role))
            transaction.set_rollback(True)


def lets_strangers_in(operation: dict[str, Any]) -> bool:
    return {} in operation["security"]


def test_every_other_operation_asks_a_stranger_to_sign_in(region: Region):
    for path, operations in schema.raw_schema["paths"].items():
        for method, operation in operations.items():
            if not lets_strangers_in(operation):
                body = {} if "requestBody" in operation else None
                answer = Client().generic(
                    method.upper(),
                    path.replace("{id}", ids.encode(region.known.get(path.split("/")[3], 1))),
                    json.dumps(body) if body is not None else "",
                    content_type="application/json",
                )
                assert (answer.status_code, answer["WWW-Authenticate"][:6]) == (401, "Bearer"), (method, path)
                assert answer["Content-Type"] == "application/problem+json"
