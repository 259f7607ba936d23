"""Who is in a room, as one of them may see it: searched, a page at a time."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Max, QuerySet

from realtime import blocks, direct
from realtime.direct import Between
from realtime.models import Entry, Participant, Room

PAGE_SIZE = 50
LONGEST_WORDS = 100


@dataclass(frozen=True)
class Person:
    """Somebody in the room, and how the reader stands with them."""

    member: Any
    is_me: bool
    talk: Between


@dataclass(frozen=True)
class Page:
    """Some of the people, by name."""

    people: list[Person]
    number: int
    more: bool


def present_in(room: Room, viewer: Any) -> QuerySet[Participant]:
    """Who is in the room now, as `viewer` may see them: nobody who is suspended or kept apart from them by a block.

    With `member` loaded. One query now, one when it is read.
    """
    here = Participant.objects.filter(room=room, left_seq=None, member__is_active=True)
    return here.exclude(member__in=blocks.unheard_by([viewer.pk])[viewer.pk]).select_related("member")


def page_of(room: Room, viewer: Any, words: str = "", number: int = 1) -> Page:
    """The people of a room whose name holds every word, by name. Four queries, however many there are.

    A number beyond the last page gives the last but empty one: `people` is empty then.
    """
    found = present_in(room, viewer)
    for word in words[:LONGEST_WORDS].split()[:6]:
        found = found.filter(member__display_name__icontains=word)
    ordered = found.order_by("member__display_name", "member")
    rows = list(ordered[(number - 1) * PAGE_SIZE : number * PAGE_SIZE + 1])
    shown = [row.member for row in rows[:PAGE_SIZE]]
    talks = direct.between(viewer, [member.pk for member in shown])
    people = [Person(one, one.pk == viewer.pk, talks.get(one.pk, direct.NOTHING)) for one in shown]
    return Page(people, number, len(rows) > PAGE_SIZE)


def person_in(room: Room, viewer: Any, member_id: int) -> Any:
    """Somebody else who is in the room, as `viewer` may see them. Two queries. Raises DoesNotExist of a member."""
    row = present_in(room, viewer).filter(member=member_id).exclude(member=viewer.pk).first()
    if row is None:
        raise get_user_model().DoesNotExist
    return row.member


def person_to_report(room: Room, viewer: Any, member_id: int) -> Any:
    """As `person_in`, and of those whom `viewer` has blocked also who has left. Three queries at most."""
    blocked = blocks.of(viewer).filter(blocked=member_id).first()
    if blocked and Participant.objects.filter(room=room, member=member_id).exists():
        return blocked.blocked
    return person_in(room, viewer, member_id)


def rooms_to_report_in(member: Any, others: Collection[int]) -> dict[int, int]:
    """For each of these people the room of the member in which they last wrote, or one that both are or were in.

    Two queries.
    """
    mine = Room.objects.of(member.pk).values("pk")
    found = dict(Participant.objects.filter(room__in=mine, member__in=others).values_list("member", "room"))
    said = Entry.objects.filter(room__in=mine, author__in=others, kind=Entry.Kind.MESSAGE)
    for author, room, _at in said.values_list("author", "room").annotate(at=Max("at")).order_by("at"):
        found[author] = room
    return found


def taken_out_of(room: Room) -> list[Any]:
    """The members who were taken out and may not come in, by name. One query."""
    out = Participant.objects.filter(room=room, out=Participant.Out.REMOVED).select_related("member")
    return [row.member for row in out.order_by("member__display_name", "member")[:200]]
