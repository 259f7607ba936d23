"""Wishes: what members want written to the logs of rooms, together in one short transaction.

The rooms are locked before anything is looked up, because what is looked up before the lock may be stale under it: a
key that another request has just used, a right that has just ended. Under the lock everybody's keys and rights are
looked up at once, so that sixteen who write at the same moment cost one commit and not sixteen, be it in one room or
in sixteen.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, connection, transaction
from django.utils.translation import gettext_lazy as _

from realtime import blocks, marks, rooms, statements
from realtime.models import Entry, Room
from realtime.statements import Seat

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


type Asked = tuple[int, Wish]  # the room, and what is wanted there


class Busy(Exception):  # noqa: N818 - it is no error: the wish is asked again
    """Another transaction holds the room, and nobody waited for it."""


def write(room_id: int, wish: Wish) -> Written:
    """One wish. Raises what `write_all` gives."""
    outcome = write_all([(room_id, wish)])[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def write_all(asked: Sequence[Asked], *, waits: bool = True) -> list[Outcome]:
    """These wishes, each with its room, in this order in one transaction; what became of each, a "no" as its exception.

    About six statements for any number of messages in any number of rooms, some more for each other wish. A batch that
    the database refuses is tried again one by one, so that nobody pays for another's. `waits`: not so, the outcome in a
    room that somebody else holds is `Busy`. Raises OperationalError (then nothing is written).
    """
    try:
        return _write_together(asked, waits)
    except (IntegrityError, DataError):
        if len(asked) == 1:
            raise
    outcomes: list[Outcome] = []
    for one in asked:
        try:
            outcomes += _write_together([one], waits)
        except Exception as wrong:
            outcomes.append(wrong)
    return outcomes


def write_where_free(asked: Sequence[Asked]) -> list[Outcome]:
    """As `write_all`, waiting for nobody: one room that is held must not hold up the others."""
    return write_all(asked, waits=False)


def _write_together(asked: Sequence[Asked], waits: bool) -> list[Outcome]:
    is_outermost = not connection.in_atomic_block
    with contextlib.ExitStack() as with_the_commit, transaction.atomic():
        found = statements.look_up(
            {room_id for room_id, _wish in asked},
            {(room_id, wish.member.pk) for room_id, wish in asked},
            {(room_id, wish.member.pk, wish.key) for room_id, wish in asked},
            waits=waits,
        )
        batch = _Batch(found, asked, Room.DoesNotExist if waits else Busy)
        outcomes = [batch.outcome_of(*one) for one in asked]
        if is_outermost:  # else an error must be known before the savepoint is given up
            with_the_commit.enter_context(statements.at_once())
        batch.finish()
    return outcomes


class _Batch:
    """The wishes of one transaction, with what they need looked up under its locks: of all rooms and members at once."""

    def __init__(self, found: statements.Found, asked: Sequence[Asked], nowhere: type[Exception]) -> None:
        """`nowhere`: what is said of a room that is not there, or in which the member has no seat."""
        self.pens = {room.pk: rooms.Pen(room) for room in found.rooms}
        self.known, self.seats, self.nowhere = found.known, found.seats, nowhere
        self.read: dict[tuple[int, int], Seat] = {}
        self.named: dict[int, list[tuple[int, marks.Named]]] = {}
        self.names: dict[int, marks.Named] = {}
        self.answered: dict[tuple[int, int], int | None] = {}
        self.pairs: dict[int, set[int]] = {}
        messages: dict[int, list[Message]] = {}
        for room_id, wish in asked:
            if isinstance(wish, Message):
                messages.setdefault(room_id, []).append(wish)
        for room in found.rooms:
            self._look_up(room, messages.get(room.pk, []))
        is_apart_asked = self.pairs or self.answered
        self.apart = blocks.unheard_by({wish.member.pk for _room, wish in asked}) if is_apart_asked else {}

    def _look_up(self, room: Room, messages: list[Message]) -> None:
        """Whom these messages name and whom they answer; in a direct room, who its two are. No query for most."""
        named = marks.named_in(room, [marks.Naming(m.member.pk, m.text, m.mentions) for m in messages])
        self.names |= zip(map(id, messages), named, strict=True)
        if seqs := {message.reply_to for message in messages if message.reply_to is not None}:
            there = Entry.objects.filter(room=room, seq__in=seqs, kind=Kind.MESSAGE, removed_at=None)
            self.answered |= {(room.pk, seq): author for seq, author in there.values_list("seq", "author")}
        if room.kind == Room.Kind.DIRECT:
            self.pairs[room.pk] = set(room.participants.values_list("member", flat=True))

    def outcome_of(self, room_id: int, wish: Wish) -> Outcome:
        if room_id not in self.pens:
            return self.nowhere()
        try:
            return self._written(self.pens[room_id], wish)
        except (*NO, Busy) as no:
            return no

    def _written(self, pen: rooms.Pen, wish: Wish) -> Written:
        place = pen.room.pk, wish.member.pk
        known = self.known.get((*place, wish.key))
        if known is not None:
            if not wish.is_same(known):
                raise ValidationError(_("This key was already used for something else."), code="key_reused")
            return known, True
        if place not in self.seats:
            raise self.nowhere
        apart = self.apart.get(wish.member.pk, frozenset())
        if pen.room.closed_at is not None or self.pairs.get(pen.room.pk, set()) & apart:
            raise ValidationError(_("This conversation is closed. You can still read it."), code="closed")
        if isinstance(wish, Message):
            entry = self._say(pen, wish, apart)
        else:
            assert wish.write is not None
            pen.flush()  # it may be about what was said just before
            entry = wish.write(pen.room)
        if entry.key != wish.key:
            return entry, True
        self.known[*place, wish.key] = entry
        return entry, False

    def _say(self, pen: rooms.Pen, wish: Message, apart: blocks.Unheard) -> Entry:
        if wish.reply_to is not None and self.answered.get((pen.room.pk, wish.reply_to), 0) in {0, *apart}:
            raise Entry.DoesNotExist
        named = self.names[id(wish)]
        entry = pen.append(
            Kind.MESSAGE,
            wish.member,
            named,
            text=wish.text,
            language=wish.language,
            key=wish.key,
            target=wish.reply_to,
        )
        self.named.setdefault(pen.room.pk, []).append((entry.seq, named))
        place = pen.room.pk, wish.member.pk
        seat = self.seats[place]
        if seat.read_n == entry.n - 1:  # who had read everything has read their own words too
            self.seats[place] = self.read[place] = Seat(seat.pk, entry.seq, entry.n)
        return entry

    def finish(self) -> None:
        """Write what was appended, who is named in it and who has read it."""
        rooms.flush(self.pens.values(), self.read.values())
        for room_id, named in self.named.items():
            marks.name_all(self.pens[room_id].room, named)
