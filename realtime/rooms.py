"""Rooms: open one, let members in and out, and the log that everything in a room is written to.

An entry's `seq` is dense and equals the order of commits: whoever writes locks the room row first and holds it
until the commit. Joins, leaves and sign-outs are entries too, so that rights change at a place in the log.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from realtime import bus, clock, frames, statements
from realtime.frames import Parcel, Word
from realtime.models import Block, DirectTalk, Entry, Mention, Participant, Room, Showing, Site
from realtime.prepared import ID, IDS, keys_of, prepared

CHANNEL = "circles:room:"
MAX_REASON = 200
STEPPED_OUT, REMOVED = "stepped out", "removed"  # reasons as the log has them: everybody in the room reads it

type MayModerate = Callable[[Any, int], bool]  # (member, id of the room)
type LookedAfter = Callable[[Any], QuerySet[Any]]  # a member's key → ids of the rooms they are named for
_moderators: dict[str, list[MayModerate]] = {}
_keepers: dict[str, list[LookedAfter]] = {}


def moderated_by(kind: Room.Kind, may_moderate: MayModerate, looked_after: LookedAfter) -> None:
    """A floor above says who looks after its rooms, and which these are for a member: called once a kind, when the apps
    are ready.
    """
    _moderators.setdefault(kind, []).append(may_moderate)
    _keepers.setdefault(kind, []).append(looked_after)


def may_moderate(member: Any, room: Room) -> bool:
    """The member may hide what others write in this room. At most two queries."""
    return any(asks(member, room.pk) for asks in _moderators.get(room.kind, []))


def looked_after(member: Any) -> Q:
    """Of rows with `room`: those in rooms the member (their key) is in and looks after by name, as a host does."""
    kept = Q(pk__in=[])
    for asks in (ask for known in _keepers.values() for ask in known):
        kept |= Q(room__in=asks(member))
    return kept & Q(room__in=Room.objects.of(member).values("pk"))


type Follow = Callable[[Any, int], None]  # (member, id of the room)
_followers: dict[str, list[Follow]] = {}


def when_removed(kind: Room.Kind, follow: Follow) -> None:
    """A floor above takes who is removed from a room out of what it belongs to: called once a kind, as `moderated_by`."""
    _followers.setdefault(kind, []).append(follow)


def follow_removal(room: Room, member: Any) -> None:
    """Take somebody out of what the room belongs to, in the transaction that takes them out of the room."""
    for follow in _followers.get(room.kind, []):
        follow(member, room.pk)


def reason_of(text: str, missing: str | Promise) -> str:
    """Why somebody who looks after a room does something there, on one line. Raises ValidationError, in the words of
    `missing` when there is none.
    """
    why = " ".join(text.split())
    if not why:
        raise ValidationError({"reason": missing}, code="required")
    if len(why) > MAX_REASON:
        too_long = _("A reason can have %(limit)s characters at most.") % {"limit": MAX_REASON}
        raise ValidationError({"reason": too_long}, code="too_long")
    return why


def channel(room_id: int) -> str:
    """Where a room is heard on the bus."""
    return f"{CHANNEL}{room_id}"


type Titles = Mapping[str, str]  # by language


def open(kind: Room.Kind, title: str, link: str = "", titles: Titles | None = None) -> Room:  # noqa: A001 - rooms.open reads as it is meant
    """A new, empty room. `link` is the path of the page it belongs to; `titles`: its title in other languages."""
    return Room.objects.create(kind=kind, title=title[:120], link=link, titles=_short(titles))


def rename(room: Room, title: str, titles: Titles | None = None) -> None:
    """Give the room another title."""
    Room.objects.filter(pk=room.pk).update(title=title[:120], titles=_short(titles))


def _short(titles: Titles | None) -> dict[str, str] | None:
    return {language: title[:120] for language, title in titles.items() if title} if titles else None


def close(room: Room) -> None:
    """Nobody may write here any more; who is in it may still read."""
    Room.objects.filter(pk=room.pk, closed_at=None).update(closed_at=clock.now())


def reopen(room: Room) -> None:
    """It may be written in again."""
    Room.objects.filter(pk=room.pk).update(closed_at=None)


def room_for(member: Any, room_id: int, *, lock: bool = False) -> Room:
    """The room, when the member is in it now. One query. Raises Room.DoesNotExist: not there and not yours look alike."""
    if lock:
        return Room.objects.of(member.pk).select_for_update(of=("self",)).get(pk=room_id)
    for room in _room_of(member=member.pk, room=room_id):
        return room
    raise Room.DoesNotExist


@prepared(member=ID, room=ID)
def _room_of(*, member: Any, room: Any) -> QuerySet[Room]:
    return Room.objects.of(member).filter(pk=room)


def lock(room_id: int) -> Room:
    """The room's row, held until the transaction ends: the first statement of whoever writes to the log.

    Raises Room.DoesNotExist. On SQLite the transaction itself (BEGIN IMMEDIATE) is the lock.
    """
    for room in _row(room=room_id):
        return room
    raise Room.DoesNotExist


@prepared(room=ID)
def _row(*, room: Any) -> QuerySet[Room]:
    return Room.objects.select_for_update().filter(pk=room)


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
        where = {"room_id": room.pk, "seq": room.head, "n": room.n, "rev": room.head, "at": clock.now()}
        entry = statements.entry(author, where | {"kind": kind} | fields)
        self._entries.append(entry)
        self._named.append(named or [])
        return entry

    def flush(self) -> None:
        """Write what was appended, and tell the hubs once it is committed."""
        with statements.at_once():
            flush([self])

    def take(self) -> list[tuple[Entry, list[frames.Person]]]:
        """What was appended and is not written yet; whoever takes it writes it."""
        taken = list(zip(self._entries, self._named, strict=True))
        self._entries, self._named = [], []
        return taken


def flush(pens: Collection[Pen], readers: Collection[statements.Seat] = ()) -> None:
    """Write what was appended to these rooms and how far these have read, and tell the hubs once it is committed. Three
    statements at most.
    """
    appended = {pen.room: taken for pen in pens if (taken := pen.take())}
    if not appended and not readers:
        return
    statements.append(appended, [entry for taken in appended.values() for entry, _named in taken], readers)
    words = {
        channel(room.pk): Word(Parcel.of(entry, named=named) for entry, named in taken)
        for room, taken in appended.items()
    }
    transaction.on_commit(partial(bus.publish, words), robust=True)


def append(room: Room, kind: Entry.Kind, author: Any, **fields: Any) -> Entry:
    """Write the next entry of a room locked in this transaction, and tell the hubs once it is committed."""
    pen = Pen(room)
    entry = pen.append(kind, author, **fields)
    pen.flush()
    return entry


def enter(room: Room, member: Any) -> None:
    """Let a member in; who is in already stays as they are, and so does who stepped out or was taken out.

    What was said before counts as read.
    """
    enter_all(room.pk, [member])


def enter_all(room_id: int, members: Sequence[Any]) -> None:
    """As `enter`, several in this order. Five queries for any number, two when there is nobody new."""
    with transaction.atomic(savepoint=False):
        locked = lock(room_id)
        settled = set(_settled(room=room_id, members=keys_of(members)))
        new = list({member.pk: member for member in members if member.pk not in settled}.values())
        if new:
            seat(locked, new)


@prepared(room=ID, members=IDS)
def _settled(*, room: Any, members: Any) -> QuerySet[Participant, int]:
    decided = Q(left_seq=None) | ~Q(out="")
    return Participant.objects.filter(decided, room=room, member__among=members).values_list(
        "member", flat=True
    )


def seat(locked: Room, members: Sequence[Any]) -> None:
    """Write that they join, and make them participants, also those who were here before and left."""
    pen = Pen(locked)
    joins = [pen.append(Entry.Kind.JOIN, member) for member in members]
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
        update_fields=["joined_seq", "left_seq", "out", "read_seq", "read_n"],
    )


def leave(room: Room, member: Any, reason: str = "") -> None:
    """Take a member out of a room that is theirs no more: they hear nothing written after this entry.

    Who had stepped out cannot come back by themselves now. Who was never in it: nothing happens.
    """
    with transaction.atomic():
        locked = lock(room.pk)
        if not unseat(locked, member, reason, ""):
            stepped_out = Participant.objects.filter(room=locked, member=member.pk, out=Participant.Out.OWN)
            stepped_out.update(out="")


def unseat(locked: Room, member: Any, reason: str, out: str) -> bool:
    """Write that a member leaves, at a place in the log; False when they are not in it."""
    here = Participant.objects.filter(room=locked, member=member.pk, left_seq=None)
    if not here.update(left_seq=locked.head + 1, out=out):
        return False
    append(locked, Entry.Kind.LEAVE, member, reason=reason[:MAX_REASON])
    return True


def take_out(locked: Room, member: Any) -> bool:
    """Take a member out for good, in a room locked in this transaction; False when they are not in it and could not come back.

    The log says that they were removed, and not why.
    """
    if unseat(locked, member, REMOVED, Participant.Out.REMOVED):
        return True
    stepped_out = Participant.objects.filter(room=locked, member=member.pk, out=Participant.Out.OWN)
    return stepped_out.update(out=Participant.Out.REMOVED) == 1


def readmit(room_id: int, member_id: int) -> bool:
    """Who was taken out may come in again; False when nobody of that id was. One query."""
    out = Participant.objects.filter(room=room_id, member=member_id, out=Participant.Out.REMOVED)
    return out.update(out="") == 1


def is_shut_out(member: Any, room_id: int) -> bool:
    """Whether the member was taken out of the room and not let in again. One query."""
    out = Participant.objects.filter(room=room_id, member=member.pk, out=Participant.Out.REMOVED)
    return out.exists()


def not_apart() -> Q:
    """Of participants: all but those in a direct room with somebody from whom a block keeps them apart."""
    one, other = OuterRef("first"), OuterRef("second")
    blocks = Block.objects.filter(Q(blocker=one, blocked=other) | Q(blocker=other, blocked=one))
    return ~Q(Exists(DirectTalk.objects.filter(Exists(blocks), room=OuterRef("room"))))


class Here(NamedTuple):
    """How a member stands in a room they are in. `mentions`: how many messages they have not read name them."""

    head: int
    n: int
    read_seq: int
    read_n: int
    mentions: int
    muted: bool


@dataclass(frozen=True)
class Standing:
    """What a socket must know of its member: how they stand in each of their rooms, and whether they are shown."""

    rooms: dict[int, Here]
    is_shown: bool


def standing_of(member_ids: Collection[int]) -> dict[int, Standing]:
    """Where each of these members stands. Two queries, and no object for each of their rooms: after a restart this
    is most of the work for who comes back.
    """
    here: Any = with_mentions(Participant.objects.filter(not_apart(), member__in=member_ids, left_seq=None))
    found: defaultdict[int, dict[int, Here]] = defaultdict(dict)
    for member, room, *numbers in here.values_list(
        "member", "room", "room__head", "room__n", "read_seq", "read_n", "named", "muted"
    ):
        found[member][room] = Here(*numbers)
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
    return next(iter(_epochs()), 1)


@prepared()
def _epochs() -> QuerySet[Site, int]:
    return Site.objects.filter(pk=1).values_list("epoch", flat=True)


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
    tell_hubs(_member(member_id), Entry.Kind.SIGN_OUT, reason=reason[:MAX_REASON], text=word)


def suspend(member_id: int, reason: str) -> None:
    """End all of the member's sockets for good (close code 4403)."""
    tell_hubs(_member(member_id), Entry.Kind.SUSPEND, reason=reason[:MAX_REASON])


def tell_hubs(member: Any, kind: Entry.Kind, **fields: Any) -> None:
    """Write to the control log what every hub must heed, in this order, even when the bus is down."""
    with transaction.atomic():
        append(lock(control().pk), kind, member, **fields)


def _member(member_id: int) -> Any:
    return get_user_model().objects.get(pk=member_id)
