"""Rooms: open one, let members in and out, and the log that everything in a room is written to.

An entry's `seq` is dense and equals the order of commits: whoever writes locks the room row first and holds it
until the commit. Joins, leaves and sign-outs are entries too, so that rights change at a place in the log.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Count, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from realtime import bus, clock, frames, statements
from realtime.frames import Parcel, pack
from realtime.models import Entry, Mention, Participant, Room, Showing, Site

CHANNEL = "circles:room:"

type MayModerate = Callable[[Any, int], bool]  # (member, id of the room)
_moderators: dict[str, list[MayModerate]] = {}


def moderated_by(kind: Room.Kind, may_moderate: MayModerate) -> None:
    """A floor above says who looks after its rooms: called once a kind, when the apps are ready."""
    _moderators.setdefault(kind, []).append(may_moderate)


def may_moderate(member: Any, room: Room) -> bool:
    """The member may hide what others write in this room. At most two queries."""
    return any(asks(member, room.pk) for asks in _moderators.get(room.kind, []))


def channel(room_id: int) -> str:
    """Where a room is heard on the bus."""
    return f"{CHANNEL}{room_id}"


def open(kind: Room.Kind, title: str, link: str = "") -> Room:  # noqa: A001 - rooms.open reads as it is meant
    """A new, empty room. `link` is the path of the page it belongs to."""
    return Room.objects.create(kind=kind, title=title[:120], link=link)


def rename(room: Room, title: str) -> None:
    """Give the room another title."""
    Room.objects.filter(pk=room.pk).update(title=title[:120])


def close(room: Room) -> None:
    """Nobody may write here any more; who is in it may still read."""
    Room.objects.filter(pk=room.pk, closed_at=None).update(closed_at=clock.now())


def room_for(member: Any, room_id: int, *, lock: bool = False) -> Room:
    """The room, when the member is in it now. One query. Raises Room.DoesNotExist: not there and not yours look alike."""
    rooms = Room.objects.of(member.pk)
    return (rooms.select_for_update(of=("self",)) if lock else rooms).get(pk=room_id)


def lock(room_id: int) -> Room:
    """The room's row, held until the transaction ends: the first statement of whoever writes to the log.

    Raises Room.DoesNotExist. On SQLite the transaction itself (BEGIN IMMEDIATE) is the lock.
    """
    return Room.objects.select_for_update().get(pk=room_id)


def lock_all(room_ids: Collection[int], *, waits: bool = True) -> dict[int, Room]:
    """As `lock`, several, always in one order; without those that are not there.

    `waits`: not so, those which another transaction holds are left out, too.
    """
    locked = Room.objects.select_for_update(skip_locked=not waits)
    return {room.pk: room for room in locked.filter(pk__in=room_ids).order_by("pk")}


class Pen:
    """Writes the next entries of a room locked in this transaction: two statements and one word to the hubs for
    any number of them.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self._entries: list[Entry] = []
        self._named: list[list[frames.Person]] = []

    def append(
        self, kind: Entry.Kind, author: Any, named: list[frames.Person] | None = None, **fields: Any
    ) -> Entry:
        """The next entry; it is written by `flush`. `named`: who is mentioned in it. No query."""
        room = self.room
        room.head += 1
        room.n += kind == Entry.Kind.MESSAGE
        numbers = {"seq": room.head, "n": room.n, "rev": room.head}
        entry = Entry(room=room, kind=kind, author=author, at=clock.now(), **numbers, **fields)
        self._entries.append(entry)
        self._named.append(named or [])
        return entry

    def flush(self) -> None:
        """Write what was appended, and tell the hubs once it is committed."""
        flush([self])

    def take(self) -> list[tuple[Entry, list[frames.Person]]]:
        """What was appended and is not written yet; whoever takes it writes it."""
        taken = list(zip(self._entries, self._named, strict=True))
        self._entries, self._named = [], []
        return taken


def flush(pens: Collection[Pen]) -> None:
    """Write what was appended to these rooms, and tell the hubs once it is committed. Two statements."""
    appended = {pen.room: taken for pen in pens if (taken := pen.take())}
    if not appended:
        return
    statements.append(list(appended), [entry for taken in appended.values() for entry, _named in taken])
    for room, taken in appended.items():
        word = pack(Parcel.of(entry, named=named) for entry, named in taken)
        transaction.on_commit(partial(bus.publish, channel(room.pk), word), robust=True)


def append(room: Room, kind: Entry.Kind, author: Any, **fields: Any) -> Entry:
    """Write the next entry of a room locked in this transaction, and tell the hubs once it is committed."""
    pen = Pen(room)
    entry = pen.append(kind, author, **fields)
    pen.flush()
    return entry


def enter(room: Room, member: Any) -> None:
    """Let a member in; who is in already stays as they are. What was said before counts as read."""
    enter_all(room.pk, [member])


def enter_all(room_id: int, members: Sequence[Any]) -> None:
    """As `enter`, several in this order. Five queries for any number, two when all of them are in already."""
    with transaction.atomic(savepoint=False):
        locked = lock(room_id)
        known = Participant.objects.filter(room=locked, member__in=[m.pk for m in members], left_seq=None)
        inside = set(known.values_list("member", flat=True))
        new = list({member.pk: member for member in members if member.pk not in inside}.values())
        if not new:
            return
        pen = Pen(locked)
        joins = [pen.append(Entry.Kind.JOIN, member) for member in new]
        pen.flush()
        Participant.objects.bulk_create(
            [
                Participant(
                    room=locked, member=entry.author, joined_seq=entry.seq, read_seq=entry.seq, read_n=entry.n
                )
                for entry in joins
            ],
            update_conflicts=True,  # who was here before and left
            unique_fields=["room", "member"],
            update_fields=["joined_seq", "left_seq", "read_seq", "read_n"],
        )


def leave(room: Room, member: Any, reason: str = "") -> None:
    """Take a member out: they hear nothing written after this entry. Who is not in it: nothing happens."""
    with transaction.atomic():
        locked = lock(room.pk)
        here = Participant.objects.filter(room=locked, member=member.pk, left_seq=None)
        if here.update(left_seq=locked.head + 1):
            append(locked, Entry.Kind.LEAVE, member, reason=reason[:200])


def of_member(member: Any, only: Collection[int] | None = None) -> list[Any]:
    """The member's rooms, the liveliest first: participants with `room`, `unread`, `named`, `last_at` and `last_text`.

    `only` narrows it to these room ids. One query.
    """
    here = Participant.objects.filter(member=member.pk, left_seq=None).select_related("room")
    if only is not None:
        here = here.filter(room__in=only)
    return list(_with_news(with_mentions(here)).order_by(F("last_at").desc(nulls_last=True), "pk"))


def _with_news(here: QuerySet[Participant]) -> QuerySet[Participant]:
    newest = Entry.objects.filter(room=OuterRef("room"), kind=Entry.Kind.MESSAGE).order_by("-seq")
    return here.annotate(
        unread=F("room__n") - F("read_n"),
        last_at=Subquery(newest.values("at")[:1]),
        last_text=Subquery(newest.values("text")[:1]),
    )


@dataclass(frozen=True)
class Standing:
    """What a socket must know of its member: the rooms they are in, each with its head, and whether they are shown."""

    rooms: dict[int, Participant]
    is_shown: bool


def standing_of(member_ids: Collection[int]) -> dict[int, Standing]:
    """Where each of these members stands. `Participant.named` counts their unread mentions. Two queries."""
    here = Participant.objects.filter(member__in=member_ids, left_seq=None).select_related("room")
    found: defaultdict[int, dict[int, Participant]] = defaultdict(dict)
    for participant in with_mentions(here):
        found[participant.member_id][participant.room_id] = participant
    shown = set(Showing.objects.filter(member__in=member_ids, is_shown=True).values_list("pk", flat=True))
    return {pk: Standing(found.get(pk, {}), pk in shown) for pk in member_ids}


def with_mentions(here: QuerySet[Participant]) -> QuerySet[Participant]:
    """Each with `named`: how many messages they have not read name them."""
    unread = Mention.objects.filter(
        member=OuterRef("member"), room=OuterRef("room"), seq__gt=OuterRef("read_seq")
    )
    counted = unread.order_by().values("room").annotate(count=Count("pk")).values("count")
    return here.annotate(named=Coalesce(Subquery(counted), 0))


def epoch() -> int:
    """The site's epoch: raised by a restore, so that clients read everything anew. One query."""
    return Site.objects.filter(pk=1).values_list("epoch", flat=True).first() or 1


@transaction.atomic
def new_epoch(above: int = 0) -> int:
    """Begin a new epoch, later than the present one and than `above`: clients read everything anew.

    It is never less than the minutes since 1970: the same backup restored twice, on machines that know nothing
    of each other, gives two epochs.
    """
    known = max(epoch(), above)
    fresh = max(known + 1, int(clock.now().timestamp()) // 60)
    Site.objects.update_or_create(pk=1, defaults={"epoch": fresh})
    return fresh


def heads(room_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """(head, n) of these rooms, in one query."""
    return {
        pk: (head, n) for pk, head, n in Room.objects.filter(pk__in=room_ids).values_list("pk", "head", "n")
    }


def control() -> Room:
    """The one log of sign-outs and suspensions that every hub watches; made when it is first needed."""
    return Room.objects.get_or_create(kind=Room.Kind.CONTROL, defaults={"title": "control"})[0]


def session_digest(session_key: str) -> str:
    """How the control log names a session, without holding its key."""
    return hashlib.sha256(session_key.encode()).hexdigest()[:32]


def sign_out(member_id: int, reason: str, session_key: str = "") -> None:
    """End the member's sockets (close code 4001): of one session when its key is given, else all of them."""
    word = session_digest(session_key) if session_key else ""
    tell_hubs(_member(member_id), Entry.Kind.SIGN_OUT, reason=reason[:200], text=word)


def suspend(member_id: int, reason: str) -> None:
    """End all of the member's sockets for good (close code 4403)."""
    tell_hubs(_member(member_id), Entry.Kind.SUSPEND, reason=reason[:200])


def tell_hubs(member: Any, kind: Entry.Kind, **fields: Any) -> None:
    """Write to the control log what every hub must heed, in this order, even when the bus is down."""
    with transaction.atomic():
        append(lock(control().pk), kind, member, **fields)


def _member(member_id: int) -> Any:
    return get_user_model().objects.get(pk=member_id)
