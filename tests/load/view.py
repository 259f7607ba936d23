"""What a client knows of a room: one contiguous slice of its log after the other, and the messages as it shows them."""

from dataclasses import dataclass, field
from typing import Any

type Frame = dict[str, Any]


@dataclass(slots=True)
class Heard:
    """One entry as it came, whether it was news or not."""

    at: float
    seq: int
    n: int
    kind: str
    author: str
    key: str
    target: int
    is_new: bool


@dataclass(slots=True)
class Message:
    """A message as the client shows it now."""

    author: str
    text: str | None
    rev: int
    reactions: dict[str, list[str]]


@dataclass(slots=True)
class Span:
    """A time in which the server owed this client every entry of a room."""

    since: float
    until: float
    server: int
    is_cut: bool = False  # it ended with the line, not with the member's leaving


@dataclass
class View:
    """One room as one client knows it."""

    epoch: int = 0
    last: int = -1  # -1: no cursor
    is_in: bool = True
    heard: list[Heard] = field(default_factory=list)
    slices: list[list[int]] = field(default_factory=list)  # [first, last] of each contiguous piece
    spans: list[Span] = field(default_factory=list)
    is_live: bool = False
    messages: dict[int, Message] = field(default_factory=dict)
    changes: list[Frame] = field(
        default_factory=list
    )  # of this slice: history that was read before them may come after
    asked: str = ""  # ref of the sync that is on its way
    asked_at: float = 0.0
    begins: int = 0  # how often it was asked to begin anew, without a cursor
    acked: int = 0
    acked_at: float = 0.0
    read: int = 0

    # ------------------------------------------------------------------------------------- the reducer

    def begin(self, epoch: int, head: int) -> None:
        """Anew from `head`: nothing known before counts."""
        self.epoch, self.last = epoch, head
        self.slices.append([head + 1, head])
        self.messages.clear()
        self.changes.clear()

    def take(self, entry: Frame, now: float) -> bool:
        """The next entry. False: there is a gap before it."""
        seq, body = entry["seq"], entry["body"] or {}
        author = (entry.get("author") or {}).get("id", "")
        is_next = self.last >= 0 and seq == self.last + 1
        note = Heard(
            now, seq, entry["n"], entry["kind"], author, entry.get("key", ""), body.get("seq", 0), is_next
        )
        self.heard.append(note)
        if not is_next:
            return seq <= self.last
        self.last = self.slices[-1][1] = seq
        if entry["kind"] == "message":
            self.show(entry)
        elif entry["kind"] in {"edit", "delete", "reaction"}:
            self.changes.append(entry)
            self.change(entry)
        return True

    def show(self, entry: Frame) -> None:
        """A message in the state it had when it was read."""
        known, body = self.messages.get(entry["seq"]), entry["body"]
        if known is not None and known.rev >= entry["rev"]:
            return
        text = None if body is None else body["text"]
        reactions = (
            {} if body is None else {sign: list(who) for sign, who in body.get("reactions", {}).items()}
        )
        author = (entry.get("author") or {}).get("id", "")
        self.messages[entry["seq"]] = Message(author, text, entry["rev"], reactions)

    def change(self, entry: Frame) -> None:
        """A change of a message: it counts when it is newer than what is shown."""
        body = entry["body"]
        message = self.messages.get(body["seq"])
        if message is None or entry["seq"] <= message.rev:
            return
        message.rev = entry["seq"]
        if entry["kind"] == "edit":
            message.text = body["text"] if message.text is not None else None
        elif entry["kind"] == "delete":
            message.text, message.reactions = None, {}
        else:
            people = [who for who in message.reactions.get(body["emoji"], []) if who != entry["author"]["id"]]
            if body["on"]:
                people.append(entry["author"]["id"])
            message.reactions[body["emoji"]] = people
            if not people:
                del message.reactions[body["emoji"]]
