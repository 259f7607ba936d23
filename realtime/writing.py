"""Wishes: what members want written to the log of one room, together in one short transaction.

The room is locked before anything is looked up, because what is looked up before the lock may be stale under it: a
key that another request has just used, a right that has just ended. Under the lock everybody's keys and rights are
looked up at once, so that sixteen who write at the same moment cost one commit and not sixteen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from realtime import blocks, marks, rooms
from realtime.models import Entry, Participant, Room

Kind = Entry.Kind
NO = (ValidationError, PermissionDenied, ObjectDoesNotExist)

type Written = tuple[Entry, bool]  # the entry, and whether it was there before
type Outcome = Written | Exception


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants to write, right in form. `is_same` says of an entry with the same key whether it is this
    one; `write` gets the locked room and writes it, or raises one of `NO` having written nothing.
    """

    member: Any
    key: UUID
    is_same: Callable[[Entry], bool]
    write: Callable[[Room], Entry] | None = None


@dataclass(frozen=True, kw_only=True)
class Message(Wish):
    """A new message: many of them are written by the same statements."""

    text: str
    language: str = ""
    reply_to: int | None = None
    mentions: frozenset[int] = frozenset()


def write(room_id: int, wish: Wish) -> Written:
    """One wish. Raises what `write_all` gives."""
    outcome = write_all(room_id, [wish])[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def write_all(room_id: int, wishes: Sequence[Wish]) -> list[Outcome]:
    """These wishes in this order in one transaction; what became of each, a "no" as its exception.

    About six statements for any number of messages, some more for each other wish. A batch that the database refuses
    is tried again one by one, so that nobody pays for another's. Raises OperationalError (then nothing is written).
    """
    try:
        return _write_together(room_id, wishes)
    except (IntegrityError, DataError):
        if len(wishes) == 1:
            raise
    except Room.DoesNotExist as nowhere:
        return [nowhere for _wish in wishes]
    outcomes: list[Outcome] = []
    for wish in wishes:
        try:
            outcomes += _write_together(room_id, [wish])
        except Exception as wrong:
            outcomes.append(wrong)
    return outcomes


def _write_together(room_id: int, wishes: Sequence[Wish]) -> list[Outcome]:
    with transaction.atomic():
        batch = _Batch(rooms.lock(room_id), wishes)
        outcomes = [batch.outcome_of(wish) for wish in wishes]
        batch.finish()
    return outcomes


class _Batch:
    """The wishes of one transaction, with what they need looked up under its lock."""

    def __init__(self, room: Room, wishes: Sequence[Wish]) -> None:
        self.room = room
        self.pen = rooms.Pen(room)
        authors = {wish.member.pk for wish in wishes}
        keyed = Entry.objects.filter(room=room, author__in=authors, key__in=[wish.key for wish in wishes])
        self.known = {(entry.author_id, entry.key): entry for entry in keyed.select_related("author")}
        here = Participant.objects.filter(room=room, member__in=authors, left_seq=None)
        self.here = {participant.member_id: participant for participant in here}
        self.read: dict[int, Participant] = {}
        self.named: list[tuple[int, marks.Named]] = []
        messages = [wish for wish in wishes if isinstance(wish, Message)]
        self.names = dict(zip(map(id, messages), self._names(messages), strict=True))
        self.answered = self._answered({m.reply_to for m in messages if m.reply_to is not None})
        is_pair = room.kind == Room.Kind.DIRECT
        self.apart = blocks.unheard_by(authors) if is_pair or self.answered else {}
        self.pair = set(room.participants.values_list("member", flat=True)) if is_pair else set()

    def _names(self, messages: list[Message]) -> list[marks.Named]:
        return marks.named_in(self.room, [marks.Naming(m.member.pk, m.text, m.mentions) for m in messages])

    def _answered(self, seqs: set[int]) -> dict[int, int | None]:
        """By seq of a message that is there to be replied to: its author."""
        if not seqs:
            return {}
        there = Entry.objects.filter(room=self.room, seq__in=seqs, kind=Kind.MESSAGE, removed_at=None)
        return dict(there.values_list("seq", "author"))

    def outcome_of(self, wish: Wish) -> Outcome:
        try:
            return self._written(wish)
        except NO as no:
            return no

    def _written(self, wish: Wish) -> Written:
        known = self.known.get((wish.member.pk, wish.key))
        if known is not None:
            if not wish.is_same(known):
                raise ValidationError(_("This key was already used for something else."), code="key_reused")
            return known, True
        if wish.member.pk not in self.here:
            raise Room.DoesNotExist
        apart = self.apart.get(wish.member.pk, frozenset())
        if self.room.closed_at is not None or self.pair & apart:
            raise ValidationError(_("This conversation is closed. You can still read it."), code="closed")
        if isinstance(wish, Message):
            entry = self._say(wish, apart)
        else:
            assert wish.write is not None
            self.pen.flush()  # it may be about what was said just before
            entry = wish.write(self.room)
        if entry.key != wish.key:
            return entry, True
        self.known[wish.member.pk, wish.key] = entry
        return entry, False

    def _say(self, wish: Message, apart: blocks.Unheard) -> Entry:
        if wish.reply_to is not None and self.answered.get(wish.reply_to, 0) in {0, *apart}:
            raise Entry.DoesNotExist
        named = self.names[id(wish)]
        entry = self.pen.append(
            Kind.MESSAGE,
            wish.member,
            named,
            text=wish.text,
            language=wish.language,
            key=wish.key,
            target=wish.reply_to,
        )
        self.named.append((entry.seq, named))
        reader = self.here[wish.member.pk]
        if reader.read_n == entry.n - 1:  # who had read everything has read their own words too
            reader.read_seq, reader.read_n = entry.seq, entry.n
            self.read[reader.pk] = reader
        return entry

    def finish(self) -> None:
        """Write what was appended, who is named in it and who has read it."""
        self.pen.flush()
        marks.name_all(self.room, self.named)
        if len(self.read) == 1:
            for reader in self.read.values():
                Participant.objects.filter(pk=reader.pk).update(
                    read_seq=reader.read_seq, read_n=reader.read_n
                )
        elif self.read:
            Participant.objects.bulk_update(self.read.values(), ["read_seq", "read_n"])
