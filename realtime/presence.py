"""Presence: who of those who wish it to be seen is here now, room by room, over all processes.

Each process says over the bus who is at its own sockets: when that changes, and every half minute again, so that a
process which came later or missed a word knows it too and one that died is forgotten. What is lost costs a little
truth for half a minute and nothing else; none of it is kept.
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from realtime import frames, ids, rooms
from realtime.lines import Line
from realtime.models import Entry, Showing

MAX_NAMED = 100  # above it only the number is told
REFRESH_S, FORGET_S = 30.0, 75.0

type People = dict[int, str]


def show(member: Any, is_shown: bool) -> None:
    """Whether others may see that the member is here and writing; sockets that are open heed it. Idempotent."""
    if is_shown == choice_of(member):
        return
    Showing.objects.update_or_create(member=member, defaults={"is_shown": is_shown})
    rooms.tell_hubs(member, Entry.Kind.SHOW, on=is_shown)


def choice_of(member: Any) -> bool | None:
    """What the member chose; None: nothing yet, and so nothing is shown. One query."""
    return Showing.objects.filter(member=member.pk).values_list("is_shown", flat=True).first()


@dataclass(frozen=True)
class _Word:
    """What one process last said of a room."""

    people: People
    count: int
    at: float


class Presence:
    """What this process knows of who is where. It asks nothing of the database."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._said: dict[int, tuple[frozenset[int], float]] = {}
        self._heard: defaultdict[int, dict[str, _Word]] = defaultdict(dict)
        self._told: dict[int, tuple[int, frozenset[int]]] = {}

    def words(self, lines: Iterable[Line]) -> dict[int, str]:
        """What must be said to all processes now, by room."""
        now = monotonic()
        here: defaultdict[int, People] = defaultdict(dict)
        for line in lines:
            if line.shown_as and line.is_open:
                for room_id in line.watches:
                    here[room_id][line.member_id] = line.shown_as
        words = {}
        for room_id in here.keys() | self._said.keys():
            people = here.get(room_id, {})
            before, at = self._said.get(room_id, (frozenset(), 0.0))
            if people.keys() == before and now - at < REFRESH_S:
                continue
            self._said[room_id] = frozenset(people), now
            if not people:
                del self._said[room_id]
            named = {} if len(people) > MAX_NAMED else {str(pk): name for pk, name in people.items()}
            words[room_id] = json.dumps({"from": self._process, "count": len(people), "people": named})
        return words

    def hear(self, room_id: int, text: str) -> None:
        """A word of a process, this one's too."""
        said = json.loads(text)
        people = {int(pk): name for pk, name in said["people"].items()}
        self._heard[room_id][said["from"]] = _Word(people, said["count"], monotonic())

    def changes(self) -> list[int]:
        """The rooms whose listeners must be told anew. What was not said again for long is forgotten."""
        now = monotonic()
        changed = []
        for room_id, words in list(self._heard.items()):
            for process, word in list(words.items()):
                if not word.count or now - word.at > FORGET_S:
                    del words[process]
            count, people = self._in(room_id)
            told, told_people = self._told.get(room_id, (0, frozenset()))
            # In a crowd one more or less is no news.
            is_news = people.keys() != told_people or abs(count - told) > told // 20
            if is_news:
                self._told[room_id] = count, frozenset(people)
                changed.append(room_id)
            if not words:
                del self._heard[room_id]
                self._told.pop(room_id, None)
        return changed

    def _in(self, room_id: int) -> tuple[int, People]:
        """How many are here, and who, when they are few."""
        people: People = {}
        unnamed = 0
        for word in self._heard.get(room_id, {}).values():
            people |= word.people
            unnamed += word.count if not word.people else 0
        count = len(people) + unnamed
        return count, {} if count > MAX_NAMED else people

    def frame(self, room_id: int, unheard: frozenset[int] = frozenset()) -> str:
        """The `presence` frame, without those of whom the reader hears nothing."""
        count, people = self._in(room_id)
        heard = [frames.person(pk, name) for pk, name in people.items() if pk not in unheard]
        frame: dict[str, Any] = {"type": "presence", "room": ids.encode(room_id)}
        return frames.dumps(frame | {"count": count - len(people) + len(heard), "members": heard})

    def concerns(self, room_id: int, unheard: frozenset[int]) -> bool:
        """Whether anybody is named there of whom this reader hears nothing."""
        return bool(unheard) and not unheard.isdisjoint(self._in(room_id)[1])

    def is_known(self, room_id: int) -> bool:
        """Whether anybody is here to be told of."""
        return room_id in self._told
