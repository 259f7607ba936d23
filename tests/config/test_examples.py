"""The examples of the API's page really run: each is sent as it stands there, and answered as it stands there.

They are in platform/config/examples.json, with answers this API gave. `EXAMPLES=write` sends them and writes what came.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from config import schema as description
from events import gates
from events.tickets import code_of
from realtime import ids
from tests.config.small_region import Region, make_region

pytestmark = pytest.mark.django_db

FILE = Path(description.__file__).with_name("examples.json")
OPERATIONS: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["operations"]


def known_in(region: Region) -> dict[str, str]:
    """What the examples call by name, here and now."""
    return {
        **{f"{kind} id": ids.encode(pk) for kind, pk in region.known.items()},
        "event still to come": region.events[1].public_id,
        "event": region.events[3].public_id,
        "event to move to": region.events[2].public_id,
        "event called off": region.called_off.public_id,
        "offered registration": region.offered.public_id,
        "somebody": region.asked.asker.public_id,
        "code": code_of(region.registrations[1]),
        "pairing": gates.pair(region.manager, region.events[3].pk),
    }


@pytest.fixture
def examples(clock: Any) -> dict[str, Any]:
    """The examples with the names of a region that is there, and the region."""
    region = make_region()
    text = FILE.read_text()
    here = known_in(region)
    for name, then in json.loads(text)["known"].items():
        text = text.replace(json.dumps(then), json.dumps(here[name]))
    return {**json.loads(text), "region": region, "known": here}


@pytest.fixture
def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """By operationId: method, path, and what the description says of it."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def send(example: dict[str, Any], method: str, path: str, region: Region) -> Any:
    headers = {**region.headers(example["as"]), **({"If-Match": '"1"'} if example.get("version") else {})}
    return Client(headers=headers).generic(
        method,
        path.replace("{id}", example.get("id", "")),
        json.dumps(example["body"]) if "body" in example else "",
        content_type="application/json",
        query_params=example.get("query"),
    )


def test_every_operation_has_an_example(operations: dict[str, Any]):
    assert set(OPERATIONS) == set(operations)
    for name, (_method, _path, operation) in operations.items():
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["examples"], name
        answer = operation["responses"][str(OPERATIONS[name]["status"])]
        if "application/json" in answer.get("content", {}):
            assert answer["content"]["application/json"]["examples"], name


def test_every_example_runs(examples: dict[str, Any], operations: dict[str, Any]):
    region, written = examples["region"], json.loads(FILE.read_text())
    for name, example in examples["operations"].items():
        method, path, _operation = operations[name]
        with transaction.atomic():
            answer = send(example, method, path, region)
            transaction.set_rollback(True)
        if os.environ.get("EXAMPLES") == "write":
            written["operations"][name] |= anew(answer, written["known"], examples["known"])
            continue
        assert answer.status_code == example["status"], (name, answer.content[:500])
        if "answer" in example:
            assert_alike(answer.json(), example["answer"], name)
    if os.environ.get("EXAMPLES") == "write":
        FILE.write_text(json.dumps(written, ensure_ascii=False, indent=2) + "\n")


def anew(answer: Any, then: dict[str, str], here: dict[str, str]) -> dict[str, Any]:
    """Status and body of an answer, what it names called as in the file."""
    if answer.get("Content-Type") != "application/json":
        return {"status": answer.status_code}
    text = answer.content.decode()
    for name, word in then.items():
        text = text.replace(here[name], word)
    return {"status": answer.status_code, "answer": json.loads(text)}


def assert_alike(got: Any, told: Any, where: str) -> None:
    """The same fields with values of the same kind; a list may be longer, and what may be null is so at times."""
    if got is None or told is None:
        return
    assert type(got) is type(told), where
    if isinstance(got, dict):
        assert set(got) == set(told), where
        for name in got:
            assert_alike(got[name], told[name], f"{where}.{name}")
    elif isinstance(got, list) and told:
        assert got, where
        assert_alike(got[0], told[0], f"{where}[0]")
