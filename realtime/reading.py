"""What was said, as its reader may hear it: the log, and messages in their present state.

Who is in the room is checked in the statement that reads. What a reader hears nothing of, because one of two has
blocked the other, is a stub with its number and no more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from realtime import blocks, frames, ids, marks, rooms
from realtime.models import Entry, Room
from realtime.prepared import ID, prepared

MAX_PAGE = 100
MAX_HISTORY = 50
Kind = Entry.Kind


@dataclass(frozen=True)
class Page:
    """A contiguous piece of a log, or messages in their present state. `more`: the log goes on after it."""

    rows: list[dict[str, Any]]
    more: bool


def entries(member: Any, room_id: int, after: int, limit: int = MAX_PAGE) -> Page:
    """The log after `after`, ascending, at most 100 entries. At most five queries. Raises Room.DoesNotExist."""
    rooms.room_for(member, room_id)
    limit = max(1, min(limit, MAX_PAGE))
    rows = _log_after(member=member.pk, room=room_id, after=after, most=limit + 1)
    return Page(_as_frames(member, room_id, rows[:limit]), more=len(rows) > limit)


def history(
    member: Any,
    room_id: int,
    before: int = frames.MAX_SEQ,
    limit: int = MAX_HISTORY,
    after: int | None = None,
) -> Page:
    """Messages before `before` in their present state, newest first, at most 50. `more`: older ones exist.

    With `after`: those right after it instead, still newest first; `more`: newer ones exist. At most five queries.
    Raises Room.DoesNotExist.
    """
    rooms.room_for(member, room_id)
    limit = max(1, min(limit, MAX_HISTORY))
    if after is None:
        rows = _said_before(member=member.pk, room=room_id, before=before, most=limit + 1)
    else:
        rows = _said_after(member=member.pk, room=room_id, after=after, most=limit + 1)
    is_more = len(rows) > limit
    found = rows[:limit] if after is None else rows[:limit][::-1]
    return Page(_as_frames(member, room_id, found), more=is_more)


def log(room_id: int, after: int, limit: int) -> list[frames.Parcel]:
    """The log for the hubs, who check rights themselves, entry by entry. At most three queries."""
    rows = list(
        Entry.objects.filter(room=room_id, seq__gt=after).select_related("author").order_by("seq")[:limit]
    )
    signs, named = _reactions(room_id, rows), marks.named_at(room_id, rows)
    return [frames.Parcel.of(row, signs.get(row.seq), named.get(row.seq)) for row in rows]


def message_for(moderator: Any, room: Room, seq: int) -> Entry:
    """A message that is still there, with its author, for who looks after the room.

    Raises Entry.DoesNotExist, PermissionDenied. At most three queries.
    """
    if not rooms.may_moderate(moderator, room):
        raise PermissionDenied(_("Only who looks after this room can hide a message of others."))
    messages = Entry.objects.filter(room=room, kind=Kind.MESSAGE, removed_at=None)
    return messages.select_related("author").get(seq=seq)


def frame_of(entry: Entry) -> dict[str, Any]:
    """One entry as its frame shows it to its author, in its present state. At most two queries."""
    signs, named = _reactions(entry.room_id, [entry]), marks.named_at(entry.room_id, [entry])
    return frames.entry(entry, signs.get(entry.seq), named.get(entry.seq))


def _heard_by(member: Any, room: Any) -> QuerySet[Entry]:
    """Entries of the room, as long as the member is in it: checked in the statement that reads them."""
    is_here = Q(room__participants__member=member, room__participants__left_seq=None)
    return Entry.objects.filter(is_here, room=room).select_related("author")


@prepared(member=ID, room=ID, after=ID)
def _log_after(*, member: Any, room: Any, after: Any, most: int) -> QuerySet[Entry]:
    return _heard_by(member, room).filter(seq__gt=after).order_by("seq")[:most]


@prepared(member=ID, room=ID, before=ID)
def _said_before(*, member: Any, room: Any, before: Any, most: int) -> QuerySet[Entry]:
    said = _heard_by(member, room).filter(kind=Kind.MESSAGE, seq__lt=before)
    return said.order_by("-seq")[:most]


@prepared(member=ID, room=ID, after=ID)
def _said_after(*, member: Any, room: Any, after: Any, most: int) -> QuerySet[Entry]:
    said = _heard_by(member, room).filter(kind=Kind.MESSAGE, seq__gt=after)
    return said.order_by("seq")[:most]


def _as_frames(member: Any, room_id: int, rows: list[Entry]) -> list[dict[str, Any]]:
    if not rows:
        return []
    unheard = blocks.unheard_by([member.pk])[member.pk]
    signs, named = _reactions(room_id, rows, unheard), marks.named_at(room_id, rows)
    room = ids.encode(room_id)
    return [
        frames.hidden(room, row.seq, row.n)
        if row.author_id in unheard
        else frames.entry(row, signs.get(row.seq), _heard(named.get(row.seq, []), unheard))
        for row in rows
    ]


def _heard(named: list[frames.Person], unheard: blocks.Unheard) -> list[frames.Person]:
    return [one for one in named if ids.decode(one["id"]) not in unheard] if unheard else named


def _reactions(
    room_id: int, rows: Iterable[Entry], unheard: blocks.Unheard = frozenset()
) -> dict[int, frames.Reactions]:
    """By message: emoji and who put it there, from the log. One query when any of them was ever changed."""
    changed = [row.seq for row in rows if row.kind == Kind.MESSAGE and row.rev != row.seq]
    if not changed:
        return {}
    signed = Entry.objects.filter(room=room_id, kind=Kind.REACTION, target__in=changed).order_by("seq")
    found: dict[int, dict[str, dict[int, None]]] = {}
    for seq, emoji, on, author in signed.values_list("target", "emoji", "on", "author"):
        if seq is None or author is None or author in unheard:
            continue
        people = found.setdefault(seq, {}).setdefault(emoji, {})
        people.pop(author, None)
        if on:
            people[author] = None
    return {
        seq: {emoji: [ids.encode(pk) for pk in people] for emoji, people in signs.items() if people}
        for seq, signs in found.items()
    }
