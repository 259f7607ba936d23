"""Every verb of the log, and every way in which frames reach a client, in any order that Hypothesis thinks of."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from realtime import chat, ids, marks, reading, rooms
from realtime.models import Entry, Participant
from tests.factories import make_circle, make_member

LOAD = str(Path(__file__).resolve().parents[1] / "load")
if LOAD not in sys.path:
    sys.path.append(LOAD)

from view import View  # noqa: E402 - the client that the checker proves everything with

EMOJI = ["👍", "🎉"]
TEXTS = ["hello", "tot straks", "à demain"]
NO = (ValidationError, PermissionDenied, ObjectDoesNotExist)
Kind = Entry.Kind
who = st.integers(0, 2)
texts, signs, places = st.sampled_from(TEXTS), st.sampled_from(EMOJI), st.integers(1, 12)


@dataclass
class Said:
    """What the log should hold at one place."""

    kind: str
    author: int
    n: int
    key: UUID | None = None
    target: int = 0
    text: str | None = None
    reactions: dict[str, list[int]] = field(default_factory=dict)


class LogMachine(RuleBasedStateMachine):
    """The verbs of the log beside the simplest thing that does the same: a list. Member 0 looks after the room."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.members = [make_member() for _ in range(3)]
        self.room = make_circle(*self.members[1:], host=self.members[0]).room
        self.log: list[Said] = []
        self.inside = {0, 1, 2}
        self.read = {0: (0, 0), 1: (0, 0), 2: (0, 0)}
        self.done: list[tuple[int, Callable[[UUID], Any], UUID, int]] = []  # who, what, key, seq

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    # ------------------------------------------------------------------------------------------- the model

    @property
    def n(self) -> int:
        return self.log[-1].n if self.log else 0

    def message(self, seq: int) -> Said | None:
        """A message that is there and was not removed."""
        said = self.log[seq - 1] if seq <= len(self.log) else None
        return said if said is not None and said.kind == Kind.MESSAGE and said.text is not None else None

    def write(self, author: int, verb: Callable[[UUID], Any], *, may: bool, said: Said) -> bool:
        """Do it; it must come out as the model says. True: it is now in the log."""
        said.key = uuid4()
        try:
            with transaction.atomic():
                entry, is_known = verb(said.key)
        except NO:
            assert not may or author not in self.inside
            return False
        assert may
        assert author in self.inside
        assert (entry.seq, entry.n, is_known) == (len(self.log) + 1, said.n, False)
        self.log.append(said)
        self.done.append((author, verb, said.key, entry.seq))
        return True

    # ----------------------------------------------------------------------------------------------- verbs

    @rule(author=who, text=texts)
    def post(self, author: int, text: str) -> None:
        said = Said(Kind.MESSAGE, author, self.n + 1, text=text)
        read_n = self.read[author][1]
        verb = lambda key: chat.post(self.members[author], self.room.pk, text, key)  # noqa: E731
        if self.write(author, verb, may=True, said=said) and read_n == said.n - 1:
            self.read[author] = (len(self.log), said.n)

    @rule(author=who, seq=places, text=texts)
    def edit(self, author: int, seq: int, text: str) -> None:
        message = self.message(seq)
        may = message is not None and message.author == author
        verb = lambda key: chat.edit(self.members[author], self.room.pk, seq, text, key)  # noqa: E731
        if self.write(author, verb, may=may, said=Said(Kind.EDIT, author, self.n, target=seq)):
            assert message is not None
            message.text = text

    @rule(author=who, seq=places)
    def delete(self, author: int, seq: int) -> None:
        message = self.message(seq)
        may = message is not None and message.author == author
        verb = lambda key: chat.delete(self.members[author], self.room.pk, seq, key)  # noqa: E731
        self.remove(author, verb, message, may=may, seq=seq)

    @rule(author=who, seq=places)
    def hide(self, author: int, seq: int) -> None:
        message = self.message(seq)
        may = message is not None and author == 0
        verb = lambda key: chat.hide(self.members[author], self.room.pk, seq, key, "unkind")  # noqa: E731
        self.remove(author, verb, message, may=may, seq=seq)

    def remove(
        self, author: int, verb: Callable[[UUID], Any], message: Said | None, *, may: bool, seq: int
    ) -> None:
        if self.write(author, verb, may=may, said=Said(Kind.DELETE, author, self.n, target=seq)):
            assert message is not None
            message.text, message.reactions = None, {}

    @rule(author=who, seq=places, emoji=signs, on=st.booleans())
    def react(self, author: int, seq: int, emoji: str, on: bool) -> None:
        message = self.message(seq)
        people = message.reactions.get(emoji, []) if message is not None else []
        before = [
            place
            for place, said in enumerate(self.log, 1)
            if (said.kind, said.author, said.target, said.text) == (Kind.REACTION, author, seq, emoji)
        ]
        verb = lambda key: chat.react(self.members[author], self.room.pk, seq, emoji, on, key)  # noqa: E731
        if message is not None and author in self.inside and before and (author in people) == on:
            entry, is_known = verb(uuid4())  # it is so already: the entry that made it so
            assert (entry.seq, is_known) == (before[-1], True)
            return
        said = Said(Kind.REACTION, author, self.n, target=seq, text=emoji)
        may = message is not None and (on or bool(before))
        if self.write(author, verb, may=may, said=said):
            assert message is not None
            left = [one for one in people if one != author]
            message.reactions[emoji] = [*left, author] if on else left

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def say_it_again(self, data: st.DataObject) -> None:
        _author, verb, key, seq = data.draw(st.sampled_from(self.done))
        entry, is_known = verb(key)
        assert (entry.seq, is_known) == (seq, True)

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def use_a_key_for_something_else(self, data: st.DataObject) -> None:
        author, _verb, key, _seq = data.draw(st.sampled_from(self.done))
        with pytest.raises(ValidationError) as no, transaction.atomic():
            chat.react(self.members[author], self.room.pk, 99, "🚲", True, key)
        assert no.value.code == "key_reused"

    @rule(member=who)
    def enter(self, member: int) -> None:
        rooms.enter(self.room, self.members[member])
        if member not in self.inside:
            self.inside.add(member)
            self.log.append(Said(Kind.JOIN, member, self.n))
            self.read[member] = (len(self.log), self.n)

    @rule(member=who, reason=st.sampled_from(["", "unkind"]))
    def leave(self, member: int, reason: str) -> None:
        rooms.leave(self.room, self.members[member], reason)
        if member in self.inside:
            self.inside.discard(member)
            self.log.append(Said(Kind.LEAVE, member, self.n))

    @rule(member=who, seq=st.integers(0, 20))
    def mark_read(self, member: int, seq: int) -> None:
        try:
            marks.mark_read(self.members[member], self.room.pk, seq)
        except ObjectDoesNotExist:
            assert member not in self.inside
            return
        assert member in self.inside
        reached = min(seq, len(self.log))
        if reached > self.read[member][0]:
            self.read[member] = (reached, self.log[reached - 1].n)

    # ------------------------------------------------------------------------------------- what always holds

    @invariant()
    def the_log_is_the_list(self) -> None:
        found = list(
            Entry.objects.filter(room=self.room)
            .order_by("seq")
            .values_list("seq", "n", "kind", "author", "key")
        )
        assert found == [
            (seq, said.n, said.kind, self.members[said.author].pk, said.key)
            for seq, said in enumerate(self.log, 1)
        ]
        assert rooms.heads([self.room.pk]) == {self.room.pk: (len(self.log), self.n)}

    @invariant()
    def history_is_the_list_as_it_is_now(self) -> None:
        wanted = {
            seq: (
                said.text,
                {
                    sign: [self.name(one) for one in people]
                    for sign, people in said.reactions.items()
                    if people
                },
            )
            for seq, said in enumerate(self.log, 1)
            if said.kind == Kind.MESSAGE
        }
        for number, member in enumerate(self.members):
            if number not in self.inside:
                for read in (reading.history, lambda *who: reading.entries(*who, 0)):
                    with pytest.raises(ObjectDoesNotExist):
                        read(member, self.room.pk)
                continue
            shown = {}
            for message in reading.history(member, self.room.pk).rows:
                body = message["body"]
                shown[message["seq"]] = (body["text"], body.get("reactions", {})) if body else (None, {})
            assert shown == wanted

    @invariant()
    def unread_is_a_recount(self) -> None:
        for here in Participant.objects.filter(room=self.room, left_seq=None):
            number = [member.pk for member in self.members].index(here.member_id)
            assert (here.read_seq, here.read_n) == self.read[number]
            counted = sum(said.kind == Kind.MESSAGE for said in self.log[here.read_seq :])
            assert self.n - here.read_n == counted

    def name(self, member: int) -> str:
        return ids.encode(self.members[member].pk)


@pytest.mark.django_db
def test_the_verbs_of_the_log_do_what_a_list_would_do() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    few = settings(max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(LogMachine, settings=few)


# ------------------------------------------------------------------------------------------------ the client


class ClientMachine(RuleBasedStateMachine):
    """A client's view of a room, fed with entries and syncs late, twice, out of order or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[dict[str, Any]] = []
        self.state: dict[int, tuple[str | None, int, dict[str, list[str]]]] = {}
        self.on_the_way: list[list[dict[str, Any]]] = []  # an entry is a sync of one
        self.view = View()
        self.view.begin(1, 0)

    def write(self, kind: str, body: dict[str, Any], author: str = "ana") -> int:
        seq = len(self.log) + 1
        n = sum(entry["kind"] == "message" for entry in self.log) + (kind == "message")
        entry = {"seq": seq, "n": n, "kind": kind, "author": {"id": author}, "rev": seq, "body": body}
        self.log.append(entry)
        self.on_the_way.append([entry])
        return seq

    def served(self, entry: dict[str, Any]) -> dict[str, Any]:
        """As the server gives an entry now: a message in its present state."""
        if entry["kind"] != "message":
            return entry
        text, rev, reactions = self.state[entry["seq"]]
        body = None if text is None else {"text": text, "reactions": {s: [*w] for s, w in reactions.items()}}
        return entry | {"rev": rev, "body": body}

    @rule(text=texts)
    def say(self, text: str) -> None:
        seq = self.write("message", {"text": text})
        self.state[seq] = (text, seq, {})

    def living(self, seq: int) -> bool:
        return seq in self.state and self.state[seq][0] is not None

    @rule(seq=places, text=texts)
    def change(self, seq: int, text: str) -> None:
        if self.living(seq):
            rev = self.write("edit", {"seq": seq, "text": text})
            self.state[seq] = (text, rev, self.state[seq][2])

    @rule(seq=places)
    def take_back(self, seq: int) -> None:
        if self.living(seq):
            self.state[seq] = (None, self.write("delete", {"seq": seq}), {})

    @rule(seq=places, emoji=signs, author=st.sampled_from(["ana", "bo"]), on=st.booleans())
    def react(self, seq: int, emoji: str, author: str, on: bool) -> None:
        if not self.living(seq):
            return
        text, _rev, reactions = self.state[seq]
        people = [one for one in reactions.get(emoji, []) if one != author] + ([author] if on else [])
        others = {sign: names for sign, names in reactions.items() if sign != emoji}
        rev = self.write("reaction", {"seq": seq, "emoji": emoji, "on": on}, author)
        self.state[seq] = (text, rev, others | ({emoji: people} if people else {}))

    @rule(limit=st.integers(1, 5))
    def ask(self, limit: int) -> None:
        """A sync from where the client is, answered with the state of now; who knows when it comes."""
        after = self.view.last
        self.on_the_way.append([self.served(entry) for entry in self.log[after : after + limit]])

    @rule(before=st.integers(1, 15))
    def read_history(self, before: int) -> None:
        """Older messages as they are now; nothing of it moves the cursor."""
        for seq in self.state:
            if seq < before:
                self.view.show(self.served(self.log[seq - 1]))
        for change in self.view.changes:
            self.view.change(change)

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), is_last=st.booleans())
    def arrive(self, data: st.DataObject, is_last: bool) -> None:
        frame = data.draw(st.sampled_from(self.on_the_way))
        for entry in frame:
            self.view.take(entry, 0.0)
        if is_last:
            self.on_the_way.remove(frame)

    @invariant()
    def the_view_is_one_slice(self) -> None:
        news = [heard.seq for heard in self.view.heard if heard.is_new]
        assert news == list(range(1, self.view.last + 1))
        assert self.view.slices == [[1, self.view.last]]

    def teardown(self) -> None:
        """Whatever came before: after everything that is missing, it shows what the log says."""
        for entry in self.log[self.view.last :]:
            assert self.view.take(self.served(entry), 0.0)
        shown = {seq: (one.text, one.reactions) for seq, one in self.view.messages.items()}
        assert shown == {seq: (text, reactions) for seq, (text, _rev, reactions) in self.state.items()}


def test_a_client_ends_where_the_log_is_however_frames_reach_it() -> None:
    many = settings(max_examples=80, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(ClientMachine, settings=many)
