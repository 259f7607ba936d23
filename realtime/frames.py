"""Frames: one small form for each kind a client may send, and the text of each kind the server sends.

A frame is one JSON object. What is not JSON at all raises BrokenFrame (the socket closes with 4400); a field
that is missing or wrong raises ValidationError (the socket answers `error`). Unknown fields are ignored.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from realtime import ids
from realtime.models import Entry

MAX_FRAME_BYTES = 65_536
MAX_DEPTH = 16
MAX_SEQ = 2**63 - 1
MAX_WATCHED = 32
MAX_TOPICS = 16
MAX_MENTIONS = 20
LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


class BrokenFrame(ValueError):
    """Not one JSON object of at most 64 KiB and 16 levels."""


def loads(text: str) -> dict[str, Any]:
    """The JSON object in `text`. Raises BrokenFrame, never anything else, whatever the text."""
    if len(text) > MAX_FRAME_BYTES or len(text.encode(errors="replace")) > MAX_FRAME_BYTES:
        raise BrokenFrame("too large")
    try:
        value = _decoder.decode(text)
    except (ValueError, RecursionError) as wrong:
        raise BrokenFrame("not JSON") from wrong
    may_be_deep = text.count("{") + text.count("[") > MAX_DEPTH
    if not isinstance(value, dict) or (may_be_deep and _is_deeper(value, MAX_DEPTH)):
        raise BrokenFrame("not an object of at most 16 levels")
    return value


def dumps(frame: Mapping[str, Any]) -> str:
    """A frame as text, without a needless byte."""
    return _encoder.encode(frame)


def dumps_value(value: str | int) -> str:
    """A bare value as JSON text."""
    return _encoder.encode(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON (RFC 8259 §6)")


# Made once: with an argument json.loads and json.dumps make one each time.
_decoder = json.JSONDecoder(parse_constant=_no_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value.values())
    return isinstance(value, list) and (levels == 0 or any(_is_deeper(item, levels - 1) for item in value))


# ------------------------------------------------------------------------------------ what a client sends


def bad_field(name: str) -> ValidationError:
    """What a wrong field is answered with."""
    return ValidationError(
        _("This field is missing or not right: %(field)s"), code="bad_field", params={"field": name}
    )


def room_id(value: object) -> int:
    """The primary key of a room named by its 13 characters. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("not an id")
    return ids.decode(value)


def seq(value: object) -> int:
    """A place in a log, 0 meaning before the first entry. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEQ:
        raise ValueError("not a seq")
    return value


def uuid(value: object) -> UUID:
    """A key made by the client. Raises ValueError."""
    if not isinstance(value, str) or len(value) > 45:
        raise ValueError("not a UUID")
    return UUID(value)


def clean_text(value: object) -> str:
    """Text without NUL and lone surrogates, composed (NFC). Raises ValueError."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not text")
    value.encode()  # UnicodeEncodeError (a ValueError) where a surrogate stands alone
    return unicodedata.normalize("NFC", value)


def language(value: object) -> str:
    """A BCP 47 tag (its form, not its meaning) of at most 12 characters, or nothing. Raises ValueError."""
    if not isinstance(value, str) or len(value) > 12 or (value and not LANGUAGE_TAG.fullmatch(value)):
        raise ValueError("not a language tag")
    return value


def _ref(value: object) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > 64:
        raise ValueError("not a ref")
    return clean_text(value) if isinstance(value, str) else value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _cursor(value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("not a cursor")
    return seq(value[0]), seq(value[1])


def _rooms(value: object) -> list[int]:
    if not isinstance(value, list) or len(value) > MAX_WATCHED:
        raise ValueError("too many rooms")
    return list(dict.fromkeys(room_id(item) for item in value))


def _members(value: object) -> list[int]:
    if not isinstance(value, list) or len(value) > MAX_MENTIONS:
        raise ValueError("too many members")
    return list(dict.fromkeys(room_id(item) for item in value))


def _by_room[T](read: Callable[[object], T]) -> Callable[[object], dict[int, T]]:
    def reader(value: object) -> dict[int, T]:
        if not isinstance(value, dict) or len(value) > 1000:
            raise ValueError("not rooms")
        return {room_id(name): read(item) for name, item in value.items()}

    return reader


def _add(value: object) -> dict[int, tuple[int, int] | None]:
    rooms = _by_room(lambda item: None if item is None else _cursor(item))(value)
    if len(rooms) > MAX_WATCHED:
        raise ValueError("too many rooms")
    return rooms


def _topics(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_TOPICS:
        raise ValueError("too many topics")
    topics = [clean_text(item) for item in value]
    if any(len(topic) > 80 for topic in topics):
        raise ValueError("not a topic")
    return list(dict.fromkeys(topics))


def _reads(read: Callable[[object], Any], **more: Any) -> Any:
    return field(metadata={"read": read}, **more)


@dataclass(frozen=True, kw_only=True)
class Form:
    """A frame from a client, its fields read and checked."""

    ref: str | int | None = _reads(_ref, default=None)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Form":
        """The form in a JSON object. Raises ValidationError (bad_field)."""
        values: dict[str, Any] = {}
        for name, read, is_needed in _readers(cls):
            value = raw.get(name)
            if value is not None:
                try:
                    values[name] = read(value)
                except (ValueError, RecursionError) as wrong:
                    raise bad_field(name) from wrong
            elif is_needed:
                raise bad_field(name)
        return cls(**values)


type Reader = tuple[
    str, Callable[[object], Any], bool
]  # a field's name, how it is read, whether it must be there


_known: dict[type, tuple[Reader, ...]] = {}


def _readers(form: type[Form]) -> tuple[Reader, ...]:
    """The fields of a form, looked up once."""
    if form not in _known:
        _known[form] = tuple(
            (item.name, item.metadata["read"], item.default is MISSING and item.default_factory is MISSING)
            for item in fields(form)
        )
    return _known[form]


@dataclass(frozen=True, kw_only=True)
class Hello(Form):
    v: int = _reads(seq)
    client: UUID = _reads(uuid)
    cursors: dict[int, tuple[int, int]] = _reads(_by_room(_cursor), default_factory=dict)
    watch: list[int] = _reads(_rooms, default_factory=list)


@dataclass(frozen=True, kw_only=True)
class WatchMore(Form):
    add: dict[int, tuple[int, int] | None] = _reads(_add, default_factory=dict)
    drop: list[int] = _reads(_rooms, default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Follow(Form):
    topics: list[str] = _reads(_topics)


@dataclass(frozen=True, kw_only=True)
class InRoom(Form):
    room: int = _reads(room_id)


@dataclass(frozen=True, kw_only=True)
class Send(InRoom):
    key: UUID = _reads(uuid)
    text: str = _reads(clean_text)
    reply_to: int | None = _reads(seq, default=None)
    language: str = _reads(language, default="")
    mentions: list[int] = _reads(_members, default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Delete(InRoom):
    key: UUID = _reads(uuid)
    seq: int = _reads(seq)


@dataclass(frozen=True, kw_only=True)
class Edit(Delete):
    text: str = _reads(clean_text)


@dataclass(frozen=True, kw_only=True)
class React(Delete):
    emoji: str = _reads(clean_text)
    on: bool = _reads(_flag, default=True)


@dataclass(frozen=True, kw_only=True)
class Sync(InRoom):
    after: int = _reads(seq)


@dataclass(frozen=True, kw_only=True)
class History(InRoom):
    before: int = _reads(seq, default=MAX_SEQ)
    after: int | None = _reads(seq, default=None)
    limit: int = _reads(seq, default=50)


@dataclass(frozen=True, kw_only=True)
class Read(InRoom):
    seq: int = _reads(seq)


@dataclass(frozen=True, kw_only=True)
class Ack(Form):
    rooms: dict[int, int] = _reads(_by_room(seq))


@dataclass(frozen=True, kw_only=True)
class Typing(InRoom):
    pass


FORMS: dict[str, type[Form]] = {
    "hello": Hello,
    "watch": WatchMore,
    "follow": Follow,
    "send": Send,
    "edit": Edit,
    "delete": Delete,
    "react": React,
    "sync": Sync,
    "history": History,
    "read": Read,
    "ack": Ack,
    "typing": Typing,
}


# --------------------------------------------------------------------------------- what the server sends


type Reactions = dict[str, list[str]]
type Person = dict[str, str]  # {"id", "name"}


def person(member_id: int, name: str) -> Person:
    """How a frame names somebody."""
    return {"id": ids.encode(member_id), "name": name}


def body(entry: Entry, reactions: Reactions, named: list[Person]) -> dict[str, Any] | None:
    """What an entry says, by kind; of a message its present state, None once it was removed."""
    match entry.kind:
        case Entry.Kind.MESSAGE if entry.removed_at:
            return None
        case Entry.Kind.MESSAGE:
            said = {"text": entry.text, "language": entry.language, "reply_to": entry.target}
            more = {"reactions": reactions, "mentions": named}
            return said | {name: value for name, value in more.items() if value}
        case Entry.Kind.EDIT:
            changed = {"seq": entry.target, "text": None if entry.removed_at else entry.text}
            return changed | ({"mentions": named} if named else {})
        case Entry.Kind.REACTION:
            return {"seq": entry.target, "emoji": entry.emoji, "on": entry.on}
        case Entry.Kind.DELETE:
            return {"seq": entry.target}
        case Entry.Kind.LEAVE:
            return {"reason": entry.reason}
    return {}


def hidden(room: str, seq: int, n: int) -> dict[str, Any]:
    """The stub of an entry whose author its reader hears nothing of: a place in the log and no more."""
    return {"type": "entry", "room": room, "seq": seq, "n": n, "kind": "hidden"}


def entry(
    row: Entry, reactions: Reactions | None = None, named: list[Person] | None = None
) -> dict[str, Any]:
    """An `entry` frame. `row.author` must be loaded: no query is made here."""
    author = row.author
    frame = {
        "type": "entry",
        "room": ids.encode(row.room_id),
        "seq": row.seq,
        "n": row.n,
        "kind": row.kind,
        "author": person(author.pk, author.display_name) if author else None,
        "at": row.at.isoformat(),
        "body": body(row, reactions or {}, named or []),
    }
    if row.key:
        frame["key"] = str(row.key)
    if row.kind == Entry.Kind.MESSAGE:
        frame["rev"] = row.rev
    return frame


def notification(unread: int, what: str) -> str:
    """How many notifications are unread now; `what` is the JSON of the one that came, `{}` when there are only fewer."""
    return f'{{"type":"notification","unread":{unread}{"," if what != "{}" else ""}{what[1:]}'


def reset(room_id: int, epoch: int, head: int, reason: str | None) -> str:
    """A client's state of a room is of no use any more: it begins anew at `head`."""
    room = ids.encode(room_id)
    return dumps({"type": "reset", "room": room, "epoch": epoch, "head": head, "reason": reason})


class Parcel(NamedTuple):
    """What a room tells every hub: one entry with its frame ready to be sent, or a hint that belongs to no log.

    `seq` is 0 for hints (`read`, `typing`, `presence`). `member` is whom it concerns: the author, the reader.
    """

    seq: int
    n: int
    kind: str
    member: int
    frame: str

    @classmethod
    def of(
        cls, row: Entry, reactions: Reactions | None = None, named: list[Person] | None = None
    ) -> "Parcel":
        """An entry on its way. What the control log says stays between servers: its frame is the bare word."""
        control = {Entry.Kind.SIGN_OUT, Entry.Kind.SUSPEND, Entry.Kind.BLOCK, Entry.Kind.SHOW}
        frame = _word(row) if row.kind in control else dumps(entry(row, reactions, named))
        return cls(row.seq, row.n, row.kind, row.author_id or 0, frame)


def _word(row: Entry) -> str:
    """What the control log says of an entry: a session's digest, whom somebody blocks, nothing of who is shown; "-" before it: no more."""
    return f"-{row.text}" if row.on is False else row.text


class Word(tuple[Parcel, ...]):
    """What is said of one room at once on the bus. As text, for other processes, each parcel is two lines: JSON has no
    bare line break.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(f"{p.seq} {p.n} {p.kind} {p.member}\n{p.frame}" for p in self)

    @classmethod
    def of(cls, text: str) -> "Word":
        """The word with this text. Raises ValueError when it is none of ours."""
        lines = text.split("\n")
        parcels = []
        for head, frame in zip(lines[::2], lines[1::2], strict=True):
            number, n, kind, member = head.split(" ")
            parcels.append(Parcel(int(number), int(n), kind, int(member), frame))
        return cls(parcels)


def joined(room: str, epoch: int, after: int, entries: Iterable[str], *, more: bool = False) -> str:
    """A `sync` frame of entries that are text already. Not `more`: the room is live from its end on."""
    flags = f'"more":{str(more).lower()},"live":{str(not more).lower()}'
    head = f'{{"type":"sync","room":"{room}","epoch":{epoch},"after":{after},"entries":['
    return f"{head}{','.join(entries)}],{flags}}}"


def as_heard(parcel: Parcel, room: str, unheard: Collection[int]) -> str:
    """The frame of an entry as a reader gets it who hears nothing of these: a stub when one of them wrote it, else
    without them in reactions and mentions.
    """
    if parcel.member in unheard:
        return dumps(hidden(room, parcel.seq, parcel.n))
    frame = parcel.frame
    strangers = {ids.encode(member_id) for member_id in unheard}
    if not any(stranger in frame for stranger in strangers):
        return frame
    row = json.loads(frame)
    said = row.get("body") or {}
    if "reactions" in said:
        marks = {
            sign: [one for one in who if one not in strangers] for sign, who in said["reactions"].items()
        }
        said["reactions"] = {sign: who for sign, who in marks.items() if who}
    if "mentions" in said:
        said["mentions"] = [one for one in said["mentions"] if one["id"] not in strangers]
    return dumps(row)
