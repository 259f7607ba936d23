"""Blocks: two members who hear nothing of each other, whichever of them wished it.

Both are told nothing. What one writes reaches the other as a `hidden` stub, so that the numbers of the log stay
dense. The control log carries each block, in order, to every hub.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from realtime import bell, rooms
from realtime.models import Block, Entry, Mention, Notification
from realtime.prepared import IDS, prepared

type Unheard = frozenset[int]


def block(member: Any, other_id: int, room_id: int = 0) -> bool:
    """The two hear nothing of each other from this commit on. False when it was so already. Idempotent.

    `room_id`: the direct room of the two, which neither of them is in any more. Raises ValueError when it is the member
    themselves, IntegrityError when there is nobody of that id.
    """
    if other_id == member.pk:
        raise ValueError("nobody blocks themselves")
    with transaction.atomic():
        _row, is_new = Block.objects.get_or_create(blocker=member, blocked_id=other_id)
        if is_new:
            _forget_mentions(member.pk, other_id)
            _forget_mentions(other_id, member.pk)
            of_each_other = Q(member=member, about=other_id) | Q(member=other_id, about=member)
            bell.take_back(Notification.objects.filter(of_each_other))
            rooms.tell_hubs(member, Entry.Kind.BLOCK, text=f"{other_id} {room_id}", on=True)
    return is_new


def _forget_mentions(author_id: int, named_id: int) -> None:
    by = Entry.objects.filter(room=OuterRef("room"), seq=OuterRef("seq"), author=author_id)
    Mention.objects.filter(Exists(by), member=named_id).delete()


def unblock(member: Any, other_id: int) -> bool:
    """Take one's own block away; the other's, if there is one, still holds. False when there was none."""
    with transaction.atomic():
        is_gone = bool(Block.objects.filter(blocker=member, blocked=other_id).delete()[0])
        if is_gone:
            rooms.tell_hubs(member, Entry.Kind.BLOCK, text=str(other_id), on=False)
    return is_gone


def of(member: Any) -> QuerySet[Block]:
    """Whom the member has blocked, the newest first, with `blocked` loaded."""
    return Block.objects.filter(blocker=member).select_related("blocked").order_by("-pk")


def unheard_by(member_ids: Collection[int]) -> dict[int, Unheard]:
    """Of each of these members, whom they hear nothing of: whom they block and who blocks them. One query."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    for blocker, blocked in _blocks_of(members=list(member_ids)):
        found[blocker].add(blocked)
        found[blocked].add(blocker)
    return {member_id: frozenset(found.get(member_id, ())) for member_id in member_ids}


@prepared(members=IDS)
def _blocks_of(*, members: Any) -> QuerySet[Block, tuple[int, int]]:
    blocks = Block.objects.filter(Q(blocker__among=members) | Q(blocked__among=members))
    return blocks.values_list("blocker", "blocked")


def apart_from(one: Any, other: Any) -> Exists:
    """A block of either by the other, for a query: rows, keys, columns or places in a statement."""
    return Exists(Block.objects.filter(Q(blocker=one, blocked=other) | Q(blocker=other, blocked=one)))


def are_apart(one_id: int, other_id: int) -> bool:
    """Whether either has blocked the other. One query."""
    pairs = Q(blocker=one_id, blocked=other_id) | Q(blocker=other_id, blocked=one_id)
    return Block.objects.filter(pairs).exists()
