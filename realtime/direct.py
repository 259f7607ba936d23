"""Direct talk: one member asks another they share a room with; a room of the two opens when the other agrees.

Who asks learns of a yes only. Declined, unanswered and blocked look alike to them, and for thirty days the same
question is the same request: no second mail, no second answer.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from realtime import bell, blocks, clock, notify, rooms
from realtime.models import DirectTalk, Notification, Participant, Room, TalkRequest
from realtime.prepared import ID, MOMENT, prepared

ASKED_FOR = timedelta(days=30)
MOST_OPEN = 5  # of one member, whatever became of them, so that the number tells nothing
State = TalkRequest.State


@dataclass(frozen=True)
class Between:
    """How two members stand, as one of them may know it: the room they have, or that this one has asked."""

    room_id: int | None = None
    is_asked: bool = False


NOTHING = Between()


def between(member: Any, other_ids: Collection[int]) -> dict[int, Between]:
    """How the member stands with each of these. Two queries for any number."""
    found = {asked: Between(is_asked=True) for asked in _pending(member, other_ids)}
    pairs = DirectTalk.objects.filter(
        Q(first=member.pk, second__in=other_ids) | Q(second=member.pk, first__in=other_ids)
    )
    for first, second, room_id in pairs.values_list("first", "second", "room"):
        found[second if first == member.pk else first] = Between(room_id=room_id)
    return found


def _pending(member: Any, other_ids: Collection[int]) -> list[int]:
    mine = TalkRequest.objects.filter(asker=member.pk, asked__in=other_ids, asked_at__gt=_of_late())
    return list(mine.exclude(state=State.ACCEPTED).values_list("asked", flat=True))


def _of_late() -> datetime:
    return clock.now() - ASKED_FOR


def requests_to(member: Any) -> QuerySet[TalkRequest]:
    """Who waits for the member's answer, the longest waiting first, with `asker` loaded."""
    return _waiting_for(member.pk, _of_late())


def first_requests_to(member: Any, most: int) -> list[TalkRequest]:
    """As `requests_to`, at most so many. One query."""
    return _first_waiting(member=member.pk, since=_of_late(), most=most)


@prepared(member=ID, since=MOMENT)
def _first_waiting(*, member: Any, since: Any, most: int) -> QuerySet[TalkRequest]:
    return _waiting_for(member, since)[:most]


def _waiting_for(member: Any, since: Any) -> QuerySet[TalkRequest]:
    waiting = TalkRequest.objects.filter(asked=member, state=State.OPEN, asker__is_active=True)
    return waiting.filter(asked_at__gt=since).select_related("asker").order_by("asked_at", "pk")


def share_a_room(member: Any, other_id: int) -> QuerySet[Any]:
    """The other member, active, when both are in some room now. One query when read."""
    met = Exists(_rooms_shared_with(member))
    return get_user_model().objects.filter(met, pk=other_id, is_active=True).exclude(pk=member.pk)


def _rooms_shared_with(member: Any) -> QuerySet[Participant]:
    mine = Participant.objects.filter(member=member.pk, left_seq=None).values("room")
    return Participant.objects.filter(member=OuterRef("pk"), left_seq=None, room__in=mine)


@transaction.atomic
def ask(member: Any, other_id: int) -> Between:
    """Ask somebody to talk. Who has asked the member already is answered with a yes by it; who has a room with them
    gets that. Where a block keeps them apart the answer is the same as for everybody, and nobody hears of it.

    Raises DoesNotExist of a member (nobody they share a room with) and ValidationError too_fast: too many requests are
    on their way. At most twelve statements.
    """
    other = share_a_room(member, other_id).get()
    _lock(member.pk, other_id)
    are_apart = blocks.are_apart(member.pk, other_id)
    known = between(member, [other_id]).get(other_id, NOTHING)
    if known.is_asked or (known.room_id and not are_apart):
        return known
    if not are_apart and requests_to(member).filter(asker=other_id).exists():
        return Between(room_id=_open(member, other_id).pk)
    lately = TalkRequest.objects.filter(asker=member.pk, asked_at__gt=_of_late())
    if lately.exclude(state=State.ACCEPTED).count() >= MOST_OPEN:
        text = _(
            "You have asked %(n)d people already. Give them time to answer before you ask somebody else."
        )
        raise ValidationError(text, code="too_fast", params={"n": MOST_OPEN})
    now = clock.now()
    state = State.DECLINED if are_apart else State.OPEN
    request, _is_new = TalkRequest.objects.update_or_create(
        asker=member, asked=other, defaults={"state": state, "asked_at": now, "answered_at": None}
    )
    if not are_apart:
        claim = f"talk:{request.pk}:{now:%Y%m%d}:asked"
        _tell("talk_asked", other, member, claim, "/chat/", ("talk", request.pk))
    return Between(is_asked=True)


def _lock(*member_ids: int) -> None:
    """Hold both members' rows: who asks the other at the same moment waits, and then finds the request."""
    rows = get_user_model().objects.select_for_update().filter(pk__in=member_ids)
    list(rows.order_by("pk").values_list("pk"))


def request_for(member: Any, request_id: int) -> TalkRequest:
    """A request to the member, answered or not, with `asker`. Raises TalkRequest.DoesNotExist."""
    theirs = TalkRequest.objects.filter(asked=member.pk, asker__is_active=True).select_related("asker")
    return theirs.get(pk=request_id)


@transaction.atomic
def accept(member: Any, request_id: int) -> Room:
    """Say yes: the room of the two, open for both; the asker gets a mail. A second time: the same room.

    Raises TalkRequest.DoesNotExist; ValidationError closed when it was declined or is older than thirty days.
    """
    asker_id = request_for(member, request_id).asker_id
    _lock(member.pk, asker_id)
    request = request_for(member, request_id)
    is_open = request.state == State.OPEN and request.asked_at > clock.now() - ASKED_FOR
    if not is_open and request.state != State.ACCEPTED:
        raise ValidationError(_("This request is no longer open."), code="closed")
    return _open(member, asker_id)


@transaction.atomic
def decline(member: Any, request_id: int) -> None:
    """Say no: the asker is told nothing. Again, or answered before: nothing happens. Raises TalkRequest.DoesNotExist."""
    request = request_for(member, request_id)
    TalkRequest.objects.filter(pk=request.pk, state=State.OPEN).update(
        state=State.DECLINED, answered_at=clock.now()
    )
    bell.take_back(bell.about("talk", request.pk))


# ------------------------------------------------------------------------------------------------- blocking


def may_block(member: Any, other_id: int) -> Any:
    """The other, when the member has met them here: in a room, or by a request either way. One query.

    Raises DoesNotExist of a member: nobody of that id and nobody one knows of look alike.
    """
    asked = TalkRequest.objects.filter(
        Q(asker=OuterRef("pk"), asked=member.pk) | Q(asker=member.pk, asked=OuterRef("pk"))
    )
    blocked = blocks.of(member).filter(blocked=OuterRef("pk"))
    met = Q(Exists(_rooms_shared_with(member))) | Q(Exists(asked)) | Q(Exists(blocked))
    return get_user_model().objects.filter(met, pk=other_id, is_active=True).exclude(pk=member.pk).get()


@transaction.atomic
def block(member: Any, other_id: int) -> None:
    """The two hear nothing of each other any more: requests between them are over, their room is closed and in neither's
    list. The other is told nothing. Again: nothing happens. Raises DoesNotExist of a member.
    """
    other = may_block(member, other_id)
    _lock(member.pk, other_id)
    room = _room_of_pair(member.pk, other_id)
    blocks.block(member, other.pk, room.pk if room else 0)
    both = Q(asker=member.pk, asked=other_id) | Q(asker=other_id, asked=member.pk)
    TalkRequest.objects.filter(both, state=State.OPEN).update(state=State.DECLINED, answered_at=clock.now())
    if room is not None:
        rooms.close(room)


@transaction.atomic
def unblock(member: Any, other_id: int) -> None:
    """Take the member's own block away: unless the other has one, too, their room is there again. Idempotent."""
    _lock(member.pk, other_id)
    blocks.unblock(member, other_id)
    room = _room_of_pair(member.pk, other_id)
    if room is not None and not blocks.are_apart(member.pk, other_id):
        rooms.reopen(room)


def _room_of_pair(one_id: int, other_id: int) -> Room | None:
    first, second = sorted((one_id, other_id))
    pair = DirectTalk.objects.filter(first=first, second=second).select_related("room").first()
    return pair.room if pair else None


# ------------------------------------------------------------------------------------------------- the room


def _open(member: Any, other_id: int) -> Room:
    """The one room of the two, both in it, every request between them answered; who asked gets a mail. Both locked."""
    first, second = sorted((member.pk, other_id))
    known = _room_of_pair(first, second)
    room = known or rooms.open(Room.Kind.DIRECT, "direct")
    other = get_user_model().objects.get(pk=other_id)
    if known is None:
        DirectTalk.objects.create(room=room, first_id=first, second_id=second)
        link = f"/chat/{room.public_id}/"
        _tell("talk_accepted", other, member, f"talk:{room.pk}:opened", link, ("room", room.pk))
    rooms.enter_all(room.pk, [other, member])
    both = TalkRequest.objects.filter(Q(asker=first, asked=second) | Q(asker=second, asked=first))
    bell.take_back(Notification.objects.filter(subject="talk", subject_id__in=both.values("pk")))
    both.update(state=State.ACCEPTED, answered_at=clock.now())
    return room


def forget_old() -> int:
    """The sweep: what was asked more than thirty days ago is forgotten; rooms stay. Returns how many. One query."""
    return TalkRequest.objects.filter(asked_at__lt=clock.now() - ASKED_FOR).delete()[0]


def forget(member_id: int) -> None:
    """A member goes for good: rooms of two with them are closed, and mails that name them to the other are gone.

    Two queries, and one more for each of these.
    """
    pairs = DirectTalk.objects.filter(Q(first=member_id) | Q(second=member_id)).values_list("room", flat=True)
    Room.objects.filter(pk__in=pairs, closed_at=None).update(closed_at=clock.now())
    asked = TalkRequest.objects.filter(Q(asker=member_id) | Q(asked=member_id)).values_list("pk", flat=True)
    for pk in [*pairs, *asked]:
        notify.take_back(f"talk:{pk}:")


def _tell(kind: str, to: Any, about: Any, claim: str, path: str, subject: tuple[str, int]) -> None:
    bell.ring([bell.note(to, kind, claim, path, subject=subject, about=about)])
    if not bell.is_mailed(to, bell.Group.TALK):
        return
    notify.put(
        kind,
        to=to.email,
        language=to.language,
        claim=claim,
        context={"name": about.display_name, "url": f"{settings.PUBLIC_URL}{path}"},
        member=to,
    )
