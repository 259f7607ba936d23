"""The judge: from what the clients noted and what the database holds, every way in which they do not agree.

Pure functions over plain rows: nothing here asks a server or a database. A violation is named for what it breaks:

- log: seqs are not dense, or n is not the number of messages so far
- lost, doubled: a key that was acknowledged is not in the log, or more than once
- acknowledged: it is there and not at the seq that was said
- unanswered: something that was sent again and again was neither acknowledged nor refused
- refused: a key that was refused was in the log already; or refused though nothing spoke against it
- order: a client's view is not one contiguous slice, or an entry came that is not the log's
- gap: a line that was live left something out
- rights: something was heard that was written after the member had left
- state: what a client shows of a message is not what it is
- unread: a number of unread messages that a count does not give
- late: a client whose line stood missed an entry for longer than it may
- behind: a client never caught up
- line: the server closed or answered in a way that it never should
- restart: a server that was restarted in order was missed by somebody
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from chaos import Fault
from talker import Op, Talker
from view import View

LATE_S, END_S = 2.0, 10.0
ONLY_AFTER_THE_PERSON_ACTS = {4001, 4009, 4400, 4403, 4406}
NEVER = {"key_reused", "bad_field", "too_long", "closed", "slow_mode"}


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as the database has it; `at` on the clock of the checker."""

    seq: int
    n: int
    kind: str
    author: str
    key: str
    at: float
    target: int | None
    text: str
    emoji: str
    on: bool | None
    is_removed: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A member in a room at the end."""

    is_in: bool
    read_seq: int
    read_n: int


@dataclass
class Truth:
    """What the database holds at the end. `history`: messages as a reader gets them: text, reactions, by seq."""

    rooms: dict[str, list[Row]]
    heads: dict[str, tuple[int, int]]
    standings: dict[tuple[str, str], Standing]  # room, member
    history: dict[str, dict[int, tuple[str | None, dict[str, list[str]]]]]
    last_welcome: dict[str, dict[str, Any]]  # member → welcome after everything


@dataclass(frozen=True)
class Violation:
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass
class Verdict:
    violations: list[Violation] = field(default_factory=list)
    acknowledged: int = 0
    deliveries: int = 0
    worst_wait_s: float = 0.0  # while everything stood
    worst_wait_without_redis_s: float = 0.0  # the same, with trouble of the bus no excuse
    worst_ok_s: float = 0.0
    worst_silence: str = ""
    worst_silence_s: float = 0.0  # from one line of a client to being live again on the next

    def counts(self) -> Counter[str]:
        return Counter(violation.kind for violation in self.violations)


def judge(
    truth: Truth,
    talkers: list[Talker],
    pages: list[tuple[str, Op]],
    faults: list[Fault],
    late_s: float = LATE_S,
) -> Verdict:
    """Everything at once. `pages`: what members wrote by page, without a socket of their own."""
    verdict = Verdict()
    by_seq = {room: {row.seq: row for row in rows} for room, rows in truth.rooms.items()}
    presence = {room: Presence.of(rows) for room, rows in truth.rooms.items()}
    found: list[Violation] = [*log_is_dense(truth), *history_is_the_log(truth)]
    ops = pages + [(talker.me, op) for talker in talkers for op in talker.ops]
    found += acknowledged_is_kept(truth, ops)
    found += refused_is_not(truth, ops, presence)
    for talker in talkers:
        found += line_was_civil(talker)
        for room, view in talker.views.items():
            name = f"{talker.name} in {room}"
            found += view_is_contiguous(name, view)
            found += heard_is_the_log(name, view, by_seq[room])
            found += rights_end_at_an_entry(name, talker.me, view, presence[room])
            found += state_is_history(name, view, truth.history[room])
            found += has_caught_up(name, view, truth.heads[room], truth.standings.get((room, talker.me)))
            verdict.deliveries += sum(heard.is_new for heard in view.heard)
        found += numbers_are_counts(talker, by_seq)
    found += unread_is_a_count(truth)
    waits = Waits(faults, ops, late_s)
    for talker in talkers:
        for room, view in talker.views.items():
            found += waits.judge(talker, room, view, by_seq[room])
    verdict.worst_silence_s, verdict.worst_silence = max(silences(talkers, waits.began), default=(0.0, ""))
    verdict.worst_wait_s, verdict.worst_wait_without_redis_s = waits.worst, waits.worst_without_redis
    verdict.acknowledged = sum(bool(op.oks) for _me, op in ops)
    verdict.worst_ok_s = max((op.oks[0][0] - op.made_at for _me, op in ops if op.oks), default=0.0)
    verdict.violations = found
    return verdict


# ------------------------------------------------------------------------------------------------ the log


def log_is_dense(truth: Truth) -> Iterator[Violation]:
    """seq 1, 2, 3 … head; n counts messages; time does not run back by more than clocks may."""
    for room, rows in truth.rooms.items():
        seqs = [row.seq for row in rows]
        if seqs != list(range(1, len(rows) + 1)):
            gap = next((number for number, seq in enumerate(seqs, 1) if number != seq), len(rows))
            yield Violation("log", f"{room}: {len(rows)} entries, not dense at {gap}")
        n = 0
        for row in rows:
            n += row.kind == "message"
            if row.n != n:
                yield Violation("log", f"{room}#{row.seq}: n is {row.n}, {n} messages were said")
                break
        if truth.heads[room] != (seqs[-1] if seqs else 0, n):
            yield Violation(
                "log", f"{room}: head and n are {truth.heads[room]}, the log ends at {seqs[-1:]}, {n}"
            )


def history_is_the_log(truth: Truth) -> Iterator[Violation]:
    """What a reader gets of each message is what its changes in the log make of it."""
    for room, rows in truth.rooms.items():
        shown: dict[int, tuple[str | None, dict[str, list[str]]]] = {}
        for row in rows:
            if row.kind == "message":
                shown[row.seq] = (None if row.is_removed else row.text, {})
            elif row.target in shown:
                text, reactions = shown[row.target]
                if row.kind == "edit" and text is not None and not row.is_removed:
                    shown[row.target] = (row.text, reactions)
                elif row.kind == "delete":
                    shown[row.target] = (None, {})
                elif row.kind == "reaction" and text is not None:
                    people = [who for who in reactions.get(row.emoji, []) if who != row.author]
                    people += [row.author] if row.on else []
                    signs = {sign: who for sign, who in reactions.items() if sign != row.emoji}
                    shown[row.target] = (text, signs | ({row.emoji: people} if people else {}))
        for seq in sorted(shown.keys() | truth.history[room].keys()):
            if shown.get(seq) != truth.history[room].get(seq):
                text = f"{room}: {seq} is shown as {truth.history[room].get(seq)}, the log makes it {shown.get(seq)}"
                yield Violation("state", text)


def acknowledged_is_kept(truth: Truth, ops: list[tuple[str, Op]]) -> Iterator[Violation]:
    """Each acknowledged key once, at the seq and n that were said, each time it was said."""
    places: defaultdict[tuple[str, str, str], list[Row]] = defaultdict(list)
    by_seq = {(room, row.seq): row for room, rows in truth.rooms.items() for row in rows}
    for room, rows in truth.rooms.items():
        for row in rows:
            if row.key:
                places[room, row.author, row.key].append(row)
    for me, op in ops:
        rows = places[op.room, me, op.key]
        name = f"{op.frame['type']} {op.key} of {me} in {op.room}"
        if len(rows) > 1:
            yield Violation("doubled", f"{name} is in the log {len(rows)} times")
        if not op.oks and not op.error:
            yield Violation("unanswered", name)
        for _at, seq, n, is_known in op.oks:
            row = rows[0] if rows else None
            if row is None and op.frame["type"] == "react" and is_known:
                row = by_seq.get((op.room, seq))  # it was so already: the entry that made it so
                if row is None or (row.kind, row.target, row.emoji, row.on, row.author) != (
                    "reaction",
                    op.frame["seq"],
                    op.frame["emoji"],
                    op.frame["on"],
                    me,
                ):
                    yield Violation("acknowledged", f"{name} was said to be {seq}, which is {row}")
            elif row is None:
                yield Violation("lost", f"{name} was acknowledged as {seq} and is not in the log")
            elif (row.seq, row.n) != (seq, n):
                yield Violation(
                    "acknowledged", f"{name} was acknowledged as {seq}, {n}; it is {row.seq}, {row.n}"
                )


class Presence:
    """When each member was in a room, by seq and by time."""

    def __init__(self) -> None:
        self.turns: defaultdict[str, list[tuple[int, float, bool]]] = defaultdict(list)  # seq, at, in

    @classmethod
    def of(cls, rows: list[Row]) -> "Presence":
        presence = cls()
        for row in rows:
            if row.kind in {"join", "leave"}:
                presence.turns[row.author].append((row.seq, row.at, row.kind == "join"))
        return presence

    def was_out(self, member: str, since: float, until: float) -> bool:
        """Whether they were out at any time of these."""
        is_out = False
        for _seq, at, is_in in self.turns[member]:
            if at > until:
                break
            if is_out and at >= since:
                return True
            is_out = not is_in
            if is_out and at >= since:
                return True
        return is_out

    def left_before(self, member: str, at: float) -> int:
        """The seq of the last time they left before that moment. Behind a line that stood still an older copy of
        a frame may wait, and count when they are back: what was refused meanwhile is then said after all."""
        return max(
            (seq for seq, left_at, is_in in self.turns[member] if not is_in and left_at <= at), default=0
        )

    def may_hear(self, member: str, seq: int, at: float) -> bool:
        """An entry is heard by who was in the room when it was written, or came back before hearing it."""
        turns = self.turns[member]
        before = [turn for turn in turns if turn[0] < seq]
        if not before or before[-1][2]:
            return True
        return any(is_in and joined_at <= at for joined, joined_at, is_in in turns if joined >= seq)


def refused_is_not(
    truth: Truth, ops: list[tuple[str, Op]], presence: dict[str, Presence]
) -> Iterator[Violation]:
    """What was refused for good is not there, and there was a reason."""
    keys = {(room, row.author, row.key): row for room, rows in truth.rooms.items() for row in rows if row.key}
    removed = {
        (room, row.target): row.at
        for room, rows in truth.rooms.items()
        for row in rows
        if row.kind == "delete"
    }
    for me, op in ops:
        if not op.error:
            continue
        name = f"{op.frame['type']} {op.key} of {me} in {op.room}"
        row = keys.get((op.room, me, op.key))
        if row is not None and row.seq < presence[op.room].left_before(me, op.ended_at):
            yield Violation("refused", f"{name} was refused ({op.error}) and is in the log")
        if op.error in NEVER and not (op.error == "bad_field" and op.frame["type"] == "react"):
            yield Violation("refused", f"{name}: {op.error}")
        target = op.frame.get("seq") or op.frame.get("reply_to")
        is_gone = (op.room, target) in removed
        if (
            op.error == "not_found"
            and not is_gone
            and not presence[op.room].was_out(me, op.made_at, op.ended_at)
        ):
            yield Violation("refused", f"{name}: not found, though the member was in the room all the time")


# ------------------------------------------------------------------------------------------------ clients


def view_is_contiguous(name: str, view: View) -> Iterator[Violation]:
    """What counted as news is each slice from its first to its last, in order, once."""
    news = [heard.seq for heard in view.heard if heard.is_new]
    wanted = [seq for first, last in view.slices for seq in range(first, last + 1)]
    if news != wanted:
        yield Violation("order", f"{name}: {len(news)} entries are not the slices {view.slices}")


def heard_is_the_log(name: str, view: View, rows: dict[int, Row]) -> Iterator[Violation]:
    """Every entry that came, also twice, is the log's own: kind, author, key, n and target."""
    for heard in view.heard:
        row = rows.get(heard.seq)
        if row is None:
            yield Violation("order", f"{name}: heard {heard}, which is not in the log")
        elif heard.kind == "hidden":
            if heard.n != row.n or heard.author or heard.key:
                yield Violation(
                    "order", f"{name}: heard {heard}, hidden, though it tells more or other than seq and n"
                )
        elif (heard.kind, heard.author, heard.key, heard.n, heard.target) != (
            row.kind,
            row.author,
            row.key,
            row.n,
            (row.target or 0) if row.kind in {"edit", "delete", "reaction"} else 0,
        ):
            yield Violation("order", f"{name}: heard {heard}, the log has {row}")


def rights_end_at_an_entry(name: str, me: str, view: View, presence: Presence) -> Iterator[Violation]:
    for heard in view.heard:
        if not presence.may_hear(me, heard.seq, heard.at):
            yield Violation("rights", f"{name}: heard {heard.kind} {heard.seq} after having left")


def state_is_history(
    name: str, view: View, history: dict[int, tuple[str | None, dict[str, list[str]]]]
) -> Iterator[Violation]:
    """What the client shows is what the database says of each message; of rooms it is still in."""
    if not view.is_in:
        return
    for seq, message in view.messages.items():
        shown = (message.text, message.reactions)
        if shown != history.get(seq):
            yield Violation("state", f"{name}: shows {seq} as {shown}, it is {history.get(seq)}")


def has_caught_up(
    name: str, view: View, head: tuple[int, int], standing: Standing | None
) -> Iterator[Violation]:
    is_in = standing is not None and standing.is_in
    if view.is_in != is_in:
        yield Violation("behind", f"{name}: {'is' if is_in else 'is not'} in the room and does not know")
    elif is_in and view.last != head[0]:
        yield Violation("behind", f"{name}: stands at {view.last} of {head[0]}")


def line_was_civil(talker: Talker) -> Iterator[Violation]:
    for _at, code in talker.closes:
        if code in ONLY_AFTER_THE_PERSON_ACTS:
            yield Violation("line", f"{talker.name}: closed with {code}")
    for gap in talker.gaps:
        yield Violation("gap", f"{talker.name}: a live line left something out in {gap}")
    for frame in talker.torn:
        yield Violation(
            "order", f"{talker.name}: a sync in {frame['room']} after {frame['after']} is not contiguous"
        )
    for _at, frame in talker.resets:
        epoch, last = frame["had"]
        if frame["reason"] != "new" or frame["unasked"]:
            yield Violation("line", f"{talker.name}: reset {frame['reason']} at {epoch}, {last}")


# ------------------------------------------------------------------------------------------------ numbers


def _counts(rows: dict[int, Row], seq: int) -> int:
    return rows[seq].n if seq in rows else 0


def numbers_are_counts(talker: Talker, by_seq: dict[str, dict[int, Row]]) -> Iterator[Violation]:
    """Every welcome and every read of the run: n and read are what a count gives at that place of the log."""
    for _at, welcome in talker.welcomes:
        for room, here in welcome["rooms"].items():
            rows, (read_seq, read_n) = by_seq[room], here["read"]
            if (here["n"], read_n) != (_counts(rows, here["head"]), _counts(rows, read_seq)):
                yield Violation("unread", f"{talker.name} in {room}: welcomed with {here}")
    for read in talker.reads:
        if read["n"] != _counts(by_seq[read["room"]], read["seq"]):
            yield Violation("unread", f"{talker.name}: {read} is not what a count gives")


def unread_is_a_count(truth: Truth) -> Iterator[Violation]:
    """At the end, after everybody said that they have read everything: the database and a last welcome."""
    for (room, member), standing in truth.standings.items():
        counted = sum(row.kind == "message" for row in truth.rooms[room] if row.seq <= standing.read_seq)
        if standing.read_n != counted:
            yield Violation("unread", f"{member} in {room}: read_n {standing.read_n}, counted {counted}")
    for member in sorted({member for _room, member in truth.standings} - truth.last_welcome.keys()):
        yield Violation("behind", f"{member}: was not welcomed at the end")
    for member, welcome in truth.last_welcome.items():
        mine = {room for (room, who), standing in truth.standings.items() if who == member and standing.is_in}
        if set(welcome["rooms"]) != mine:
            yield Violation(
                "unread", f"{member}: welcomed to {sorted(welcome['rooms'])}, is in {sorted(mine)}"
            )
            continue
        for room, here in welcome["rooms"].items():
            head, n = truth.heads[room]
            if (here["head"], here["n"]) != (head, n) or here["read"] != [head, n]:
                yield Violation(
                    "unread", f"{member} in {room}: {here} at the end, the room is at {head}, {n}"
                )


# ---------------------------------------------------------------------------------------------------- time


def silences(talkers: list[Talker], began: float) -> Iterator[tuple[float, str]]:
    """How long each client was without each room that it was in: between two lines, and while it asked."""
    for talker in talkers:
        for room, view in talker.views.items():
            for before, after in pairwise(view.spans):
                if before.is_cut:
                    text = f"{talker.name} in {room} from {before.until - began:.1f} to {after.since - began:.1f}, then on {after.server}"
                    yield after.since - before.until, text


def restart_was_not_noticed(
    talkers: list[Talker], slowest_end_s: float, longest_silence_s: float
) -> Iterator[Violation]:
    """A server that is asked to end says goodbye and has gone within ten seconds, and nobody is long without a line."""
    if slowest_end_s > END_S:
        yield Violation("restart", f"a server took {slowest_end_s:.1f} s to end")
    for seconds, text in silences(talkers, 0.0):
        if seconds > longest_silence_s:
            yield Violation("restart", f"{text}: {seconds:.1f} s without a line")
    for talker in talkers:
        for _at, code in talker.closes:
            if code not in {1000, 4012}:
                yield Violation("restart", f"{talker.name}: closed with {code}, without a goodbye")


class Waits:
    """How long who was connected waited for what was committed, with the time left out in which something was harmed."""

    def __init__(self, faults: list[Fault], ops: list[tuple[str, Op]], late_s: float) -> None:
        self._late_s = late_s
        self.began = min((fault.since for fault in faults), default=0.0)
        self.worst = self.worst_without_redis = 0.0
        self._by_target: defaultdict[str, list[Fault]] = defaultdict(list)
        for fault in sorted(faults, key=lambda fault: fault.since):
            self._by_target[fault.target].append(fault)
        self._written_through = {op.key: op.server for _me, op in ops}

    def judge(self, talker: Talker, room: str, view: View, rows: dict[int, Row]) -> Iterator[Violation]:
        starts = [span.since for span in view.spans]
        for heard in view.heard:
            row = rows.get(heard.seq)
            if row is None or not heard.is_new or heard.at - row.at < 0.1:
                continue
            first = max(0, bisect_right(starts, row.at) - 1)
            for span in view.spans[first : bisect_right(starts, heard.at)]:
                until = min(span.until, heard.at)
                since = max(row.at, span.since)
                targets = ["database", "checker", talker.name, f"server {span.server}"]
                wait = until - self._blameless_until(row, since, until, targets)
                without_redis = wait
                wait = until - self._blameless_until(row, since, until, [*targets, "redis"])
                self.worst = max(self.worst, wait)
                self.worst_without_redis = max(self.worst_without_redis, without_redis)
                if wait > self._late_s or without_redis > self._late_s + 1:
                    text = f"{talker.name} in {room} missed {row.kind} {row.seq} for {wait:.2f} s ({without_redis:.2f} s)"
                    yield Violation(
                        "late",
                        f"{text} at {self._when(until)} from server {span.server}{self._around(since, until)}"
                        + self._meanwhile(talker, room, since, until),
                    )

    def _when(self, at: float) -> str:
        return f"{at - self.began:.2f}"

    def _around(self, since: float, until: float) -> str:
        """What else happened then, to be read by people."""
        faults = [fault for of_one in self._by_target.values() for fault in of_one]
        near = [
            f"{fault.target} {fault.kind} {self._when(fault.since)} to {self._when(fault.until)}"
            for fault in faults
            if fault.since < until and fault.until > since - 3 and not fault.kind.startswith("line")
        ]
        return "; ".join(["", *near])

    def _meanwhile(self, talker: Talker, room: str, since: float, until: float) -> str:
        """What the client asked and heard of the room then."""
        near = [
            (at, text) for at, where, text in talker.notes if since - 4 < at <= until and where in {room, ""}
        ]
        return "; ".join(["", *(f"{self._when(at)} {text}" for at, text in near[-30:])])

    def _blameless_until(self, row: Row, since: float, until: float, targets: Iterable[str]) -> float:
        """The end of the last harm in this time, or its beginning. The writer's own server may have stood still
        between the writing of the row and its commit."""
        for target in targets:
            for fault in self._by_target[target]:
                if fault.since < until and fault.until > since:
                    since = min(until, fault.until)
        server = f"server {self._written_through.get(row.key, 0)}"
        for fault in self._by_target[server]:
            if fault.since < row.at + 1 and fault.until > row.at:
                since = max(since, min(until, fault.until))
        return since
