"""The socket's part of docs/access.md: every frame a client can send, and every live topic, as everybody it names."""

import re
from typing import Any
from uuid import uuid4

import pytest

from realtime import frames, live
from realtime.threads import in_thread as in_db
from tests.access_world import COLUMNS, World, make_world
from tests.test_access import TABLE, filled

from .sockets import Tab, cookie

ROW = re.compile(r"^\| `(?P<frame>\w+)(?: (?P<topic>\S+))?` \| frame \|(?P<cells>.*)\|$", re.M)
SAYS_NOTHING = {"read", "ack", "typing"}
LAST = ["member"]  # whose message the others try to change


def rows() -> dict[tuple[str, str], list[str]]:
    """{(frame, topic): a cell for each column} of the table."""
    found = ROW.finditer(TABLE.read_text(encoding="utf-8"))
    return {(m["frame"], m["topic"] or ""): [cell.strip() for cell in m["cells"].split("|")] for m in found}


def form_of(kind: str, topic: str, world: World) -> dict[str, Any]:
    """A frame of that kind about the world's room and message, right in every field."""
    room, seq = world.things["room"], int(world.things["seq"])
    about = {"ref": str(uuid4()), "room": room, "key": str(uuid4()), "seq": seq}
    return {
        "watch": {"ref": about["ref"], "add": {room: None}},
        "follow": {"ref": about["ref"], "topics": [filled(topic, world.things)]},
        "send": about | {"text": "Hello"},
        "edit": about | {"text": "Hello again"},
        "react": about | {"emoji": "👍", "on": True},
        "sync": about | {"after": 0},
        "ack": {"rooms": {room: seq}},
    }.get(kind, about)


async def answer(tab: Tab, kind: str, topic: str, world: World) -> str:
    """What somebody gets for a frame, as the table writes it."""
    form = form_of(kind, topic, world)
    await tab.send(type=kind, **form)
    if kind in SAYS_NOTHING:
        return "yes" if world.things["room"] in tab.welcome["rooms"] else "–"
    refused = ""
    while True:
        frame = await tab.next("ok", "error", "sync", "history", "reset")
        if frame["type"] == "error":
            refused = str(frame["code"])
        if kind == "watch" or (
            frame.get("ref") == form["ref"] and (kind != "follow" or frame["type"] == "ok")
        ):
            return refused or "yes"


@pytest.mark.django_db(transaction=True)
async def test_everybody_gets_from_the_socket_what_the_table_says():
    world = await in_db(make_world)()
    given: dict[tuple[str, str], dict[str, str]] = {row: {} for row in rows()}
    for column in [c for c in COLUMNS if c not in {"out", *LAST}] + LAST:
        tab = await Tab.watching(world.people[column])
        for kind, topic in given:
            found = "yes" if kind == "hello" else await answer(tab, kind, topic, world)
            given[kind, topic][column] = found
        await tab.leave()
    told = {row: ["4001", *(cells[column] for column in COLUMNS[1:])] for row, cells in given.items()}
    assert told == rows()


@pytest.mark.django_db(transaction=True)
async def test_nobody_is_closed_with_sign_in():
    tab = Tab(cookie("nobody"))
    await tab.wire.connect(5)
    assert await tab.closed() == 4001


def test_every_frame_and_topic_has_a_row():
    known = rows()
    assert {kind for kind, _topic in known} == set(frames.FORMS)
    topics = {topic.partition(":")[0] for _kind, topic in known if topic}
    assert topics == {name for name, rule in live._rules.items() if rule.__module__.startswith("events")}
