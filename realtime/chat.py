"""Talk: say, change, remove, react. Each is one short transaction on the room's log, alone or with others' (writing)."""

import re
import unicodedata
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from realtime import blocks, frames, marks, notify, reading, rooms, writing
from realtime.models import Entry, Mention, Room
from realtime.writing import Message, Wish, Written

FILLERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters by their category that nobody sees
BLANK_LINES = re.compile(
    r"\A(?:[^\S\n]*\n)+"
)  # before the first word; a line may begin with spaces, as code does
MAX_TEXT = 4000
NOBODY = "@…"  # where the name of somebody stood who is no longer there
FORGET_AT_ONCE = 2_000  # entries in one transaction: a room is never held for long
Kind = Entry.Kind


def post(
    member: Any, room_id: int, text: str, key: UUID, reply_to: int | None = None, language: str = ""
) -> Written:
    """Say something. The same key with the same words gives the same entry again, and True.

    Raises Room.DoesNotExist, Entry.DoesNotExist (no such message to reply to) and ValidationError
    (bad_field, too_long, key_reused, closed). Six statements, some more to answer somebody or to name them.
    """
    return writing.write(room_id, message(member, text, key, reply_to=reply_to, language=language))


def message(
    member: Any,
    text: str,
    key: UUID,
    *,
    reply_to: int | None = None,
    language: str = "",
    mentions: Collection[int] = (),
) -> Wish:
    """The wish to say something. `mentions`: whom its @names mean, where two have one name. Raises ValidationError."""
    words, tongue = clean(text), _language(language)

    def is_same(known: Entry) -> bool:
        return (
            known.kind == Kind.MESSAGE
            and known.target == reply_to
            and (known.text == words or _was_changed(known))
        )

    return Message(
        member=member,
        key=key,
        is_same=is_same,
        text=words,
        language=tongue,
        reply_to=reply_to,
        mentions=frozenset(mentions),
    )


def edit(member: Any, room_id: int, seq: int, text: str, key: UUID) -> Written:
    """Change one's own message. Raises as `post`; PermissionDenied for somebody else's."""
    return writing.write(room_id, edited(member, seq, text, key))


def edited(member: Any, seq: int, text: str, key: UUID) -> Wish:
    """The wish to change one's own message. Raises ValidationError."""
    words = clean(text)

    def is_same(known: Entry) -> bool:
        return (
            known.kind == Kind.EDIT
            and known.target == seq
            and (known.text == words or known.removed_at is not None)
        )

    def change(room: Room) -> Entry:
        message = _own_message(member, room, seq)
        named = marks.named_in(room, [marks.Naming(member.pk, words)])[0]
        entry = rooms.append(room, Kind.EDIT, member, named=named, text=words, key=key, target=seq)
        Entry.objects.filter(pk=message.pk).update(text=words, rev=entry.seq)
        if named or "@" in message.text:
            marks.name_anew(room, seq, named)
        return entry

    return Wish(member=member, key=key, is_same=is_same, write=change)


def delete(member: Any, room_id: int, seq: int, key: UUID) -> Written:
    """Remove one's own message: its words and those of its edits are gone with this commit; its place stays."""
    return writing.write(room_id, deleted(member, seq, key))


def deleted(member: Any, seq: int, key: UUID) -> Wish:
    """The wish to remove one's own message."""

    def is_same(known: Entry) -> bool:
        return known.kind == Kind.DELETE and known.target == seq

    def remove(room: Room) -> Entry:
        _own_message(member, room, seq)
        return _remove(room, seq, member, key)

    return Wish(member=member, key=key, is_same=is_same, write=remove)


def hide(moderator: Any, room_id: int, seq: int, key: UUID, reason: str) -> Written:
    """Remove somebody's message as who looks after the room: as `delete`, with the reason in the log.

    The author gets a mail with the reason, without the words. Raises as `post`; PermissionDenied for who does not
    look after the room; ValidationError without a reason.
    """
    why = rooms.reason_of(reason, _("Say why: the author is told."))

    def is_same(known: Entry) -> bool:
        return known.kind == Kind.DELETE and known.target == seq

    def remove(room: Room) -> Entry:
        message = reading.message_for(moderator, room, seq)
        entry = _remove(room, seq, moderator, key, why)
        if message.author is not None and message.author.pk != moderator.pk:
            _tell_author(message.author, room, entry, why)
        return entry

    return writing.write(room_id, Wish(member=moderator, key=key, is_same=is_same, write=remove))


def take_down(staff: Any, room_id: int, seq: int, reason: str, key: UUID) -> None:
    """As `hide`, by who need not be in the room and has asked whether they may. One that is gone already stays gone."""
    with transaction.atomic():
        room = rooms.lock(room_id)
        messages = Entry.objects.filter(room=room, seq=seq, kind=Kind.MESSAGE, removed_at=None)
        message = messages.select_related("author").first()
        if message is not None:
            entry = _remove(room, seq, staff, key, reason)
            if message.author is not None and message.author.pk != staff.pk:
                _tell_author(message.author, room, entry, reason)


def _remove(room: Room, seq: int, member: Any, key: UUID, reason: str = "") -> Entry:
    """The entry that a message is gone, its words and those of its edits blanked in the same transaction."""
    entry = rooms.append(room, Kind.DELETE, member, key=key, target=seq, reason=reason)
    gone = {"text": "", "removed_at": entry.at}
    Entry.objects.filter(room=room, seq=seq).update(rev=entry.seq, **gone)
    Entry.objects.filter(room=room, kind=Kind.EDIT, target=seq).update(**gone)
    marks.name_anew(room, seq, [])
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


def react(member: Any, room_id: int, seq: int, emoji: str, on: bool, key: UUID) -> Written:
    """Put an emoji on a message, or take it off. What is already so gives the entry that made it so, and True."""
    return writing.write(room_id, reaction(member, seq, emoji, on, key))


def reaction(member: Any, seq: int, emoji: str, on: bool, key: UUID) -> Wish:
    """The wish to put an emoji on a message, or to take it off. Raises ValidationError."""
    sign = _emoji(emoji)

    def is_same(known: Entry) -> bool:
        return known.kind == Kind.REACTION and (known.target, known.emoji, known.on) == (seq, sign, on)

    def mark(room: Room) -> Entry:
        message = _message(room, seq)
        if message.author_id is not None and blocks.are_apart(member.pk, message.author_id):
            raise Entry.DoesNotExist
        mine = Entry.objects.filter(room=room, kind=Kind.REACTION, target=seq, author=member.pk, emoji=sign)
        last = mine.order_by("-seq").first()
        if last is not None and last.on == on:
            return last
        if last is None and not on:
            raise frames.bad_field("on")
        entry = rooms.append(room, Kind.REACTION, member, emoji=sign, on=on, key=key, target=seq)
        Entry.objects.filter(pk=message.pk).update(rev=entry.seq)
        return entry

    return Wish(member=member, key=key, is_same=is_same, write=mark)


def forget(member_id: int) -> None:
    """Take the words of a member who goes out of every room: messages, edits and reactions. Idempotent.

    Each entry keeps its place and its number and loses its author, and where others named them the name goes; what was said before counts as removed. The log
    says so with one `forget` entry for every 2,000, upon which an open page reads the room anew: a `delete` for each
    message would be as long as all they ever wrote.
    """
    theirs = Entry.objects.filter(author=member_id).exclude(room__kind=Room.Kind.CONTROL)
    for room_id in set(theirs.order_by().values_list("room", flat=True).distinct()):
        while _forget_some(member_id, room_id):
            pass
    for room_id in set(Mention.objects.filter(member=member_id).values_list("room", flat=True)):
        _take_name_out(member_id, room_id)


@transaction.atomic
def _forget_some(member_id: int, room_id: int) -> bool:
    """The oldest 2,000 entries of the member in a room; False when there were none. Nine statements."""
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
    Mention.objects.filter(room=room, seq__in=numbers).delete()
    some.update(author=None, key=None, text="", language="", emoji="")
    return True


@transaction.atomic
def _take_name_out(member_id: int, room_id: int) -> None:
    """Where others named the member, an @ without the name is left. Six statements, and one more for each message."""
    room = rooms.lock(room_id)
    named = Mention.objects.filter(room=room, member=member_id)
    names = dict(named.values_list("seq", "name"))
    about = Q(kind=Kind.MESSAGE, seq__in=names) | Q(kind=Kind.EDIT, target__in=names)
    entry = rooms.append(room, Kind.FORGET, None)
    for said in Entry.objects.filter(about, room=room):
        name = names[said.seq if said.kind == Kind.MESSAGE else said.target or 0]
        said.text = said.text.replace(f"@{name}", NOBODY)
        said.save(update_fields=["text"])
    Entry.objects.filter(room=room, seq__in=names).update(rev=entry.seq)
    named.delete()


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
    return BLANK_LINES.sub("", words).rstrip()


def _is_seen(words: str) -> bool:
    """Whether anything of it shows: not only spaces, controls, fillers and marks on nothing."""
    return any(unicodedata.category(one)[0] not in "ZCM" and one not in FILLERS for one in words)


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
