"""Talk: say, change, remove, react, read. Each is one short transaction on the room's log.

The room is locked before anything is looked up, because what is looked up before the lock may be stale under
it: a key that another request has just used, a right that has just ended.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _

from realtime import bus, frames, ids, notify, rooms
from realtime.models import Entry, Participant, Room

MAX_TEXT = 4000
MAX_REASON = 200
MAX_PAGE = 100
MAX_HISTORY = 50
FORGET_AT_ONCE = 2_000  # entries in one transaction: a room is never held for long
Kind = Entry.Kind


@dataclass(frozen=True)
class Page:
    """A contiguous piece of a log, or messages in their present state. `more`: the log goes on after it."""

    rows: list[dict[str, Any]]
    more: bool


# ------------------------------------------------------------------------------------------------- write


def post(
    member: Any, room_id: int, text: str, key: UUID, reply_to: int | None = None, language: str = ""
) -> tuple[Entry, bool]:
    """Say something. The same key with the same words gives the same entry again, and True.

    Raises Room.DoesNotExist, Entry.DoesNotExist (no such message to reply to) and ValidationError
    (bad_field, too_long, key_reused, closed). Six statements.
    """
    words, tongue = clean(text), _language(language)

    def is_same(known: Entry) -> bool:
        return (
            known.kind == Kind.MESSAGE
            and known.target == reply_to
            and (known.text == words or _was_changed(known))
        )

    def say(room: Room, here: Participant) -> Entry:
        if reply_to is not None:
            _message(room, reply_to)
        entry = rooms.append(
            room, Kind.MESSAGE, member, text=words, language=tongue, key=key, target=reply_to
        )
        if here.read_n == entry.n - 1:  # who had read everything has read their own words too
            Participant.objects.filter(pk=here.pk).update(read_seq=entry.seq, read_n=entry.n)
        return entry

    return _once(member, room_id, key, is_same, say)


def edit(member: Any, room_id: int, seq: int, text: str, key: UUID) -> tuple[Entry, bool]:
    """Change one's own message. Raises as `post`; PermissionDenied for somebody else's."""
    words = clean(text)

    def is_same(known: Entry) -> bool:
        return (
            known.kind == Kind.EDIT
            and known.target == seq
            and (known.text == words or known.removed_at is not None)
        )

    def change(room: Room, here: Participant) -> Entry:
        message = _own_message(member, room, seq)
        entry = rooms.append(room, Kind.EDIT, member, text=words, key=key, target=seq)
        Entry.objects.filter(pk=message.pk).update(text=words, rev=entry.seq)
        return entry

    return _once(member, room_id, key, is_same, change)


def delete(member: Any, room_id: int, seq: int, key: UUID) -> tuple[Entry, bool]:
    """Remove one's own message: its words and those of its edits are gone with this commit; its place stays."""

    def is_same(known: Entry) -> bool:
        return known.kind == Kind.DELETE and known.target == seq

    def remove(room: Room, here: Participant) -> Entry:
        _own_message(member, room, seq)
        return _remove(room, seq, member, key)

    return _once(member, room_id, key, is_same, remove)


def hide(moderator: Any, room_id: int, seq: int, key: UUID, reason: str) -> tuple[Entry, bool]:
    """Remove somebody's message as who looks after the room: as `delete`, with the reason in the log.

    The author gets a mail with the reason, without the words. Raises as `post`; PermissionDenied for who does not
    look after the room; ValidationError without a reason.
    """
    why = " ".join(reason.split())
    if len(why) > MAX_REASON:
        text = _("A reason can have %(limit)s characters at most.")
        raise ValidationError(
            {"reason": ValidationError(text, params={"limit": MAX_REASON})}, code="too_long"
        )
    if not why:
        raise ValidationError({"reason": _("Say why: the author is told.")}, code="required")

    def is_same(known: Entry) -> bool:
        return known.kind == Kind.DELETE and known.target == seq

    def remove(room: Room, here: Participant) -> Entry:
        message = message_for(moderator, room, seq)
        entry = _remove(room, seq, moderator, key, why)
        if message.author is not None and message.author.pk != moderator.pk:
            _tell_author(message.author, room, entry, why)
        return entry

    return _once(moderator, room_id, key, is_same, remove)


def _remove(room: Room, seq: int, member: Any, key: UUID, reason: str = "") -> Entry:
    """The entry that a message is gone, its words and those of its edits blanked in the same transaction."""
    entry = rooms.append(room, Kind.DELETE, member, key=key, target=seq, reason=reason)
    gone = {"text": "", "removed_at": entry.at}
    Entry.objects.filter(room=room, seq=seq).update(rev=entry.seq, **gone)
    Entry.objects.filter(room=room, kind=Kind.EDIT, target=seq).update(**gone)
    return entry


def _tell_author(author: Any, room: Room, entry: Entry, reason: str) -> None:
    notify.mail(
        "message_hidden",
        to=author.email,
        language=author.language,
        claim=f"message_hidden:{room.public_id}:{entry.seq}",
        context={"room": room, "reason": reason},
        member=author,
    )


def react(member: Any, room_id: int, seq: int, emoji: str, on: bool, key: UUID) -> tuple[Entry, bool]:
    """Put an emoji on a message, or take it off. What is already so gives the entry that made it so, and True."""
    sign = _emoji(emoji)

    def is_same(known: Entry) -> bool:
        return known.kind == Kind.REACTION and (known.target, known.emoji, known.on) == (seq, sign, on)

    def mark(room: Room, here: Participant) -> Entry:
        message = _message(room, seq)
        mine = Entry.objects.filter(room=room, kind=Kind.REACTION, target=seq, author=member.pk, emoji=sign)
        last = mine.order_by("-seq").first()
        if last is not None and last.on == on:
            return last
        if last is None and not on:
            raise frames.bad_field("on")
        entry = rooms.append(room, Kind.REACTION, member, emoji=sign, on=on, key=key, target=seq)
        Entry.objects.filter(pk=message.pk).update(rev=entry.seq)
        return entry

    return _once(member, room_id, key, is_same, mark)


def forget(member_id: int) -> None:
    """Take the words of a member who goes out of every room: messages, edits and reactions. Idempotent.

    Each entry keeps its place and its number and loses its author; what was said before counts as removed. The log
    says so with one `forget` entry for every 2,000, upon which an open page reads the room anew: a `delete` for each
    message would be as long as all they ever wrote.
    """
    theirs = Entry.objects.filter(author=member_id).exclude(room__kind=Room.Kind.CONTROL)
    for room_id in set(theirs.order_by().values_list("room", flat=True).distinct()):
        while _forget_some(member_id, room_id):
            pass


@transaction.atomic
def _forget_some(member_id: int, room_id: int) -> bool:
    """The oldest 2,000 entries of the member in a room; False when there were none. Eight statements."""
    room = rooms.lock(room_id)
    theirs = Entry.objects.filter(room=room, author=member_id)
    numbers = list(theirs.order_by("seq").values_list("seq", flat=True)[:FORGET_AT_ONCE])
    if not numbers:
        return False
    entry = rooms.append(room, Kind.FORGET, None)
    some = theirs.filter(seq__lte=numbers[-1])
    reactions = some.filter(kind=Kind.REACTION).values_list("target", flat=True)
    marked = [target for target in reactions if target is not None]
    Entry.objects.filter(room=room, kind=Kind.MESSAGE, seq__in=marked).update(rev=entry.seq)
    some.filter(kind__in=[Kind.MESSAGE, Kind.EDIT], removed_at=None).update(text="", removed_at=entry.at)
    some.filter(kind=Kind.MESSAGE).update(rev=entry.seq)
    some.update(author=None, key=None, text="", language="", emoji="")
    return True


def _once(
    member: Any,
    room_id: int,
    key: UUID,
    is_same: Callable[[Entry], bool],
    write: Callable[[Room, Participant], Entry],
) -> tuple[Entry, bool]:
    """Lock the room, then: is the key known, may they write here, write. (entry, whether it was there before)."""
    with transaction.atomic():
        room = rooms.lock(room_id)
        known = Entry.objects.filter(room=room, author=member.pk, key=key).select_related("author").first()
        if known is not None:
            if not is_same(known):
                raise ValidationError(_("This key was already used for something else."), code="key_reused")
            return known, True
        here = Participant.objects.filter(room=room, member=member.pk, left_seq=None).first()
        if here is None:
            raise Room.DoesNotExist
        if room.closed_at is not None:
            raise ValidationError(_("This conversation is closed. You can still read it."), code="closed")
        entry = write(room, here)
        return entry, entry.key != key


def clean(text: object) -> str:
    """The words of a message: NFC, 1 to 4,000 code points, no NUL, not blank. Raises ValidationError."""
    try:
        words = frames.clean_text(text)
    except ValueError as wrong:
        raise frames.bad_field("text") from wrong
    if len(words) > MAX_TEXT:
        raise ValidationError(
            _("A message can have %(limit)s characters at most."), code="too_long", params={"limit": MAX_TEXT}
        )
    if not _is_seen(words):
        raise ValidationError(_("Please write something first."), code="bad_field")
    return words


def _is_seen(words: str) -> bool:
    """Whether anything of it shows: not only spaces, controls and invisible marks."""
    return any(unicodedata.category(character)[0] not in "ZC" for character in words)


def _language(tag: object) -> str:
    try:
        return frames.language(tag)
    except ValueError as wrong:
        raise frames.bad_field("language") from wrong


def _emoji(text: object) -> str:
    """One emoji: a short run of signs, no letters or spaces. Raises ValidationError."""
    try:
        sign = frames.clean_text(text)
    except ValueError as wrong:
        raise frames.bad_field("emoji") from wrong
    is_sign = any(ord(character) > 0x203B for character in sign)
    if not is_sign or len(sign) > 16 or any(unicodedata.category(character)[0] in "LZ" for character in sign):
        raise frames.bad_field("emoji")
    return sign


def _message(room: Room, seq: int) -> Entry:
    """A message that is still there. Raises Entry.DoesNotExist."""
    return Entry.objects.get(room=room, seq=seq, kind=Kind.MESSAGE, removed_at=None)


def _own_message(member: Any, room: Room, seq: int) -> Entry:
    message = _message(room, seq)
    if message.author_id != member.pk:
        raise PermissionDenied(_("Only who wrote a message can change it."))
    return message


def _was_changed(message: Entry) -> bool:
    """Whether its first words are no longer there to compare with."""
    edits = Entry.objects.filter(room=message.room_id, kind=Kind.EDIT, target=message.seq)
    return message.removed_at is not None or (message.rev != message.seq and edits.exists())


# -------------------------------------------------------------------------------------------------- read


def entries(member: Any, room_id: int, after: int, limit: int = MAX_PAGE) -> Page:
    """The log after `after`, ascending, at most 100 entries. At most three queries. Raises Room.DoesNotExist."""
    rooms.room_for(member, room_id)
    limit = max(1, min(limit, MAX_PAGE))
    log = _heard_by(member, room_id).filter(seq__gt=after).order_by("seq")
    rows = list(log[: limit + 1])
    return Page(_as_frames(room_id, rows[:limit]), more=len(rows) > limit)


def history(member: Any, room_id: int, before: int = frames.MAX_SEQ, limit: int = MAX_HISTORY) -> Page:
    """Messages before `before` in their present state, newest first, at most 50. `more`: older ones exist.

    At most three queries. Raises Room.DoesNotExist.
    """
    rooms.room_for(member, room_id)
    limit = max(1, min(limit, MAX_HISTORY))
    messages = _heard_by(member, room_id).filter(kind=Kind.MESSAGE, seq__lt=before).order_by("-seq")
    rows = list(messages[: limit + 1])
    return Page(_as_frames(room_id, rows[:limit]), more=len(rows) > limit)


def log(room_id: int, after: int, limit: int) -> list[frames.Parcel]:
    """The log for the hubs, who check rights themselves, entry by entry. At most two queries."""
    rows = list(
        Entry.objects.filter(room=room_id, seq__gt=after).select_related("author").order_by("seq")[:limit]
    )
    marks = _reactions(room_id, rows)
    return [frames.Parcel.of(row, marks.get(row.seq)) for row in rows]


def message_for(moderator: Any, room: Room, seq: int) -> Entry:
    """A message that is still there, with its author, for who looks after the room.

    Raises Entry.DoesNotExist, PermissionDenied. At most three queries.
    """
    if not rooms.may_moderate(moderator, room):
        raise PermissionDenied(_("Only who looks after this room can hide a message of others."))
    messages = Entry.objects.filter(room=room, kind=Kind.MESSAGE, removed_at=None)
    return messages.select_related("author").get(seq=seq)


def frame_of(entry: Entry) -> dict[str, Any]:
    """One entry as its frame shows it, in its present state. At most one query."""
    return _as_frames(entry.room_id, [entry])[0]


def _heard_by(member: Any, room_id: int) -> QuerySet[Entry]:
    """Entries of the room, as long as the member is in it: checked in the statement that reads them."""
    is_here = Q(room__participants__member=member.pk, room__participants__left_seq=None)
    return Entry.objects.filter(is_here, room=room_id).select_related("author")


def _as_frames(room_id: int, rows: list[Entry]) -> list[dict[str, Any]]:
    marks = _reactions(room_id, rows)
    return [frames.entry(row, marks.get(row.seq)) for row in rows]


def _reactions(room_id: int, rows: Iterable[Entry]) -> dict[int, frames.Reactions]:
    """By message: emoji and who put it there, from the log. One query when any of them was ever changed."""
    changed = [row.seq for row in rows if row.kind == Kind.MESSAGE and row.rev != row.seq]
    if not changed:
        return {}
    marks = Entry.objects.filter(room=room_id, kind=Kind.REACTION, target__in=changed).order_by("seq")
    found: dict[int, dict[str, dict[int, None]]] = {}
    for seq, emoji, on, author in marks.values_list("target", "emoji", "on", "author"):
        if seq is None or author is None:
            continue
        people = found.setdefault(seq, {}).setdefault(emoji, {})
        people.pop(author, None)
        if on:
            people[author] = None
    return {
        seq: {emoji: [ids.encode(pk) for pk in people] for emoji, people in signs.items() if people}
        for seq, signs in found.items()
    }


# ---------------------------------------------------------------------------------------------- mark read


def mark_read(member: Any, room_id: int, seq: int) -> None:
    """The member has read up to `seq` (never back, never past the head). Raises Room.DoesNotExist."""
    rooms.room_for(member, room_id)
    mark_all_read([(member.pk, room_id, seq)])


def mark_all_read(reads: Collection[tuple[int, int, int]]) -> None:
    """(member, room, seq) of many members in one transaction; who is not in the room is left out.

    In a fixed order, so that two writers never wait for each other.
    """
    with transaction.atomic():
        for member_id, room_id, seq in sorted(reads):
            here = Participant.objects.filter(member=member_id, room=room_id, left_seq=None, read_seq__lt=seq)
            reached = Entry.objects.filter(room=OuterRef("room"), seq__lte=seq).order_by("-seq")
            if here.update(
                read_seq=Subquery(reached.values("seq")[:1]), read_n=Subquery(reached.values("n")[:1])
            ):
                here = Participant.objects.filter(member=member_id, room=room_id)
                read_seq, read_n = here.values_list("read_seq", "read_n").get()
                frame = {"type": "read", "room": ids.encode(room_id), "seq": read_seq, "n": read_n}
                parcel = frames.Parcel(0, read_n, "read", member_id, frames.dumps(frame))
                transaction.on_commit(
                    partial(bus.publish, rooms.channel(room_id), parcel.pack()), robust=True
                )
