"""The table of access, docs/access.md, is true: every address, method, frame and topic, for everybody it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.urls import get_resolver

from community import roles
from tests.access_world import COLUMNS, World, make_world

TABLE = Path(__file__).resolve().parent.parent / "docs/access.md"
ROW = re.compile(r"^\| `(?P<address>/[^`]*)` \| (?P<method>[A-Z]+) \|(?P<cells>.*)\|$", re.M)
ANSWERS = {"yes", "in", "401", "403", "404"}
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PROBE = "PROPFIND"  # a method nobody has: the answer names those there are


type Row = tuple[str, str, list[str]]  # address, method, a cell for each column


def chapters() -> dict[str, list[Row]]:
    """The rows of the table by the heading they stand under."""
    found: dict[str, list[Row]] = {}
    for chapter in TABLE.read_text(encoding="utf-8").split("\n### ")[1:]:
        rows = ROW.finditer(chapter)
        cells = [
            (row["address"], row["method"], [cell.strip() for cell in row["cells"].split("|")])
            for row in rows
        ]
        found[chapter.partition("\n")[0]] = cells
    return {title: rows for title, rows in found.items() if rows}


def rows() -> list[Row]:
    """All of them."""
    return [row for rows in chapters().values() for row in rows]


def routes(patterns: Any = None, prefix: str = "/") -> Iterator[str]:
    """Every address of the site, as Django has it. One that stands before another of the same path hides it."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern).removeprefix("^")
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern.url_patterns, path)
        else:
            yield path


def shape(address: str) -> str:
    """An address without the names of what varies in it."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "{}", address)


def without_passwords(path: str) -> bool:
    """allauth's pages for passwords: all of them are the one page that is not there (a row of its own)."""
    return not path.startswith("/accounts/password/") or path == "/accounts/password/<path:rest>"


def filled(text: str, names: dict[str, str]) -> str:
    """`{event}` and the like by their ids; what no thing is called stays."""
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), text)


def ask(
    world: World, column: str, method: str, address: str, names: dict[str, str] | None = None
) -> HttpResponse:
    """One request of somebody, with a body that could be right, and whatever it changed taken back."""
    names = names or world.things
    path, is_api = filled(address, names), address.startswith("/api/v1/")
    body = json.loads(filled(json.dumps(world.bodies.get(f"{method} {address}", {})), names))
    kind, content = (JSON, json.dumps(body)) if is_api else (FORM, urlencode(body))
    client = world.program(column) if is_api else world.browser(column)
    with transaction.atomic():
        answer: Any = client.generic(
            method, path, content, kind, headers={"If-Match": '"1"'} if is_api else {}
        )
        transaction.set_rollback(True)
    return answer


def said(answer: HttpResponse) -> str:
    """An answer as the table writes it."""
    if answer.status_code == 302 and answer["Location"].startswith("/accounts/login/"):
        return "in"
    code = str(answer.status_code)
    return code if code in ANSWERS or answer.status_code >= 500 or code == "405" else "yes"


def bare(answer: HttpResponse, path: str) -> bytes:
    """What an answer says, without what differs each time it is said: nonces, CSRF tokens, its own path."""
    text = answer.content.replace(path.encode(), b"")
    return re.sub(rb'nonce="[^"]*"|name="csrfmiddlewaretoken" value="[^"]*"', b"", text)


@pytest.fixture
def world(db: Any) -> World:
    return make_world()


@pytest.mark.parametrize("chapter", chapters())
def test_everybody_gets_what_the_table_says(chapter: str, world: World):
    wrong = []
    for address, method, cells in chapters()[chapter]:
        given = [said(ask(world, column, method, address)) for column in COLUMNS]
        if given != cells:
            wrong.append(f"| `{address}` | {method} | {' | '.join(given)} |  instead of  {' | '.join(cells)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("chapter", chapters())
def test_not_yours_and_not_there_are_the_same_answer(chapter: str, world: World):
    told = []
    for address, method, cells in chapters()[chapter]:
        for column, cell in zip(COLUMNS, cells, strict=True):
            if cell != "404" or "{" not in address:
                continue
            answers = [ask(world, column, method, address, names) for names in (world.things, world.nowhere)]
            paths = [answer.wsgi_request.path for answer in answers]  # type: ignore[attr-defined]
            one, other = (bare(answer, path) for answer, path in zip(answers, paths, strict=True))
            headers = [{**answer.headers, "Content-Length": ""} for answer in answers]
            if one != other or headers[0].keys() != headers[1].keys():
                told.append(f"{column}: {method} {address}")
    assert not told


@pytest.mark.django_db
def test_every_address_and_method_has_a_row(world: World):
    known = {(shape(address), method) for address, method, _cells in rows()}
    missing, there = [], set()
    for path in filter(without_passwords, routes()):
        probe = re.sub(r"<[^>]+>", lambda name: world.example(name[0]), path)
        answer = world.browser("manager").generic(PROBE, probe)
        methods = set(re.findall(r"[A-Z]+", answer.headers.get("Allow", "GET"))) - {"HEAD", "OPTIONS", PROBE}
        there |= {(shape(path), method) for method in methods}
        missing += [f"{path} {method}" for method in sorted(methods) if (shape(path), method) not in known]
    assert not missing
    assert not sorted(known - there), "in the table, but not on the site"


def test_the_table_of_roles_is_the_one_in_the_code():
    names = {task.key: str(task.name) for task in roles.TABLE}
    told = [
        f"| **{task.name}** | {', '.join(names[key] for key in task.granted_by)} | {' '.join(map(str, task.allows))} |"
        for task in roles.TABLE
    ]
    page = TABLE.read_text(encoding="utf-8")
    assert not [line for line in told if line not in page]
