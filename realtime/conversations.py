"""A member's conversations: the list by what needs them, quiet, stepping out and coming back."""

from collections.abc import Collection
from typing import Any, cast

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from realtime import rooms
from realtime.models import Block, Entry, Participant, Room
from realtime.prepared import ID, IDS, prepared


def of(member: Any, only: Collection[int] | None = None) -> list[Any]:
    """The member's rooms by what needs them: mentions first, then what is unread, then the newest, where nothing was said yet below; muted ones last.

    Participants with `room` (its title as this member knows it), `unread` and `last`, the newest message they may see.
    `only` narrows it to these room ids. Two queries.
    """
    rows = [titled(row) for row in _with_last(member=member.pk, only=only)]
    said = {message.pk: message for message in _said(entries=[row.last_id for row in rows if row.last_id])}
    for row in rows:
        row.last = said.get(row.last_id)
    rows.sort(
        key=lambda row: (row.last is not None, row.last.at if row.last else row.room.created_at), reverse=True
    )
    return sorted(rows, key=_how_quiet)


@prepared(member=ID, only=IDS)
def _with_last(*, member: Any, only: Any) -> QuerySet[Any]:
    here = participations(member)
    if only is not None:
        here = here.filter(room__among=only)
    unheard = Block.objects.filter(_either(OuterRef("author"), OuterRef(OuterRef("member"))))
    newest = Entry.objects.filter(~Exists(unheard), room=OuterRef("room"), kind=Entry.Kind.MESSAGE)
    last = Subquery(newest.order_by("-seq").values("pk")[:1])
    return here.annotate(unread=F("room__n") - F("read_n"), last_id=last)


@prepared(entries=IDS)
def _said(*, entries: Any) -> QuerySet[Entry]:
    return Entry.objects.filter(pk__among=entries).select_related("author")


def unread_of(member: Any, most: int) -> list[Any]:
    """The rooms with something new for the member, mentions first, at most so many; of muted ones only those with mentions.

    One query.
    """
    return [titled(row) for row in _with_unread(member=member.pk, most=most)]


@prepared(member=ID)
def _with_unread(*, member: Any, most: int) -> QuerySet[Any]:
    rows: Any = participations(member).annotate(unread=F("room__n") - F("read_n"))
    new = rows.filter(Q(muted=True, named__gt=0) | Q(muted=False, unread__gt=0))
    return cast("QuerySet[Any]", new.order_by("-named", "-unread", "pk")[:most])


def _how_quiet(row: Any) -> int:
    if row.named:
        return 0
    return 3 if row.muted else 2 - bool(row.unread)


def _either(one: Any, other: Any) -> Q:
    """A block of one by the other, or the other way round."""
    return Q(blocker=one, blocked=other) | Q(blocker=other, blocked=one)


def _present(member: Any) -> QuerySet[Participant]:
    """Where the member is now, but for direct rooms with somebody from whom a block keeps them apart."""
    return Participant.objects.filter(rooms.not_apart(), member=member, left_seq=None)


def participations(member: Any) -> QuerySet[Participant]:
    """Where the member is now, with `room` and what `titled` needs."""
    others = Participant.objects.filter(room=OuterRef("room"), room__kind=Room.Kind.DIRECT)
    other = others.exclude(member=OuterRef("member")).values("member__display_name")
    here = rooms.with_mentions(_present(member)).select_related("room")
    return here.annotate(other=Subquery(other[:1]))


def titled(row: Any) -> Any:
    """A row of `participations` whose room has the title its reader knows it by: a direct one is called after the other.

    Only this row in memory is changed. No query.
    """
    row.room.title = title_of(row.room, row.other or "")
    return row


def title_of(room: Room, other: str) -> str:
    """What a reader calls the room, who is in it with somebody called `other`."""
    if room.kind == Room.Kind.DIRECT:
        return other or _("Somebody who has left")
    return room.name


def here(member: Any, room_id: int) -> Any:
    """The member's own row in a room they are in, `titled`. One query. Raises Room.DoesNotExist."""
    row = participations(member).filter(room=room_id).first()
    if row is None:
        raise Room.DoesNotExist
    return titled(row)


def unread_total(member: Any) -> int:
    """Messages the member has not read, over all rooms; of a muted one only those that name them. No query for who is signed in on a page."""
    known = getattr(member, "unread_chat", None)
    if known is None:
        [known] = _unread(member=member.pk)
    return int(known)


@prepared(member=ID)
def _unread(*, member: Any) -> QuerySet[Any, int]:
    members = get_user_model()._default_manager.filter(pk=member)
    return members.values_list(unread_here(), flat=True)


def unread_here() -> Coalesce:
    """On a query of members: `unread_total` of each. It comes with who is signed in, so the head of a page costs nothing."""
    here = rooms.with_mentions(_present(OuterRef("pk"))).order_by()
    unread = Case(When(muted=True, then=F("named")), default=F("room__n") - F("read_n"))
    return Coalesce(Subquery(here.values("member").annotate(total=Sum(unread)).values("total")), 0)


# ------------------------------------------------------------------------------------- by their own wish


def step_out(member: Any, room_id: int) -> None:
    """Leave a conversation and stay in what it belongs to: a way back stays open. A second time nothing happens.

    Raises Room.DoesNotExist (never in it), ValidationError (cannot_leave) where somebody would be left talking to
    nobody: a household's room is left with the household, a direct one is muted or blocked. A closed one can go.
    """
    room = Room.objects.filter(participants__member=member.pk).get(pk=room_id)
    if room.closed_at is None and room.kind == Room.Kind.HOUSEHOLD:
        text = _("This conversation belongs to your household: you leave it when you leave the household.")
        raise ValidationError(text, code="cannot_leave")
    if room.closed_at is None and room.kind == Room.Kind.DIRECT:
        text = _("The two of you keep this conversation. Mute it to have quiet, or block the other person.")
        raise ValidationError(text, code="cannot_leave")
    with transaction.atomic():
        rooms.unseat(rooms.lock(room_id), member, rooms.STEPPED_OUT, Participant.Out.OWN)


def come_back(member: Any, room_id: int) -> None:
    """Come back into a room one stepped out of. Who is in it: nothing happens. Raises Room.DoesNotExist."""
    with transaction.atomic():
        locked = rooms.lock(room_id)
        mine = Participant.objects.filter(room=locked, member=member.pk)
        if mine.filter(left_seq=None).exists():
            return
        if not mine.filter(out=Participant.Out.OWN).exists():
            raise Room.DoesNotExist
        rooms.seat(locked, [member])


def mute(member: Any, room_id: int, muted: bool) -> None:
    """Whether the room's unread messages are counted apart, quietly. Raises Room.DoesNotExist. Two queries."""
    room = rooms.room_for(member, room_id)
    Participant.objects.filter(room=room, member=member.pk).update(muted=muted)
