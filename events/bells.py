"""Which of what people are told rings the bell, where that leads, and what of it may do without a mail."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from community.models import Member
from events.models import Event, Registration
from realtime import bell
from realtime.bell import Group
from realtime.models import Notification

SUBJECT = "event"


@dataclass(frozen=True)
class Bell:
    """`group`: whose mails a member may do without. None: who missed the mail would lose a place, or stand before a closed
    door, so it always goes, too. `is_of_party`: it leads to the party's page, not to the event's.
    """

    group: Group | None = None
    is_of_party: bool = True


BELLS = {
    "event_reminder": Bell(Group.REMINDERS),
    "event_still": Bell(Group.REMINDERS),
    "event_changed": Bell(Group.CHANGES),
    "event_elsewhere": Bell(),  # another time or place
    "event_moved": Bell(),  # their party, to another date
    "event_called_off": Bell(is_of_party=False),
    "event_restored": Bell(),
    "event_offered": Bell(),
    "event_offer_ended": Bell(Group.CHANGES, is_of_party=False),
    "event_yes": Bell(),  # of who runs it, to a party that asked
    "event_turned_down": Bell(is_of_party=False),
    "event_grown": Bell(Group.CHANGES),
    "event_letter": Bell(Group.LETTERS),
}
REMINDERS = ("event_reminder", "event_still")
OPEN = (
    *REMINDERS,
    "event_offered",
    "event_request",
)  # what is over as soon as the party has ended or decided


def find(member: Member, ids: Collection[int]) -> Mapping[int, Event]:
    """For `bell.register`: those of these events that the member may see. One query."""
    return {event.pk: event for event in Event.objects.visible_to(member).filter(pk__in=ids)}


def rings(kind: str, person: Any, said: Mapping[str, Any]) -> bool:
    """Whether the bell of this person rings: of a member, and of none in `silent`, who did it themselves or are kept from
    its writer by a block.
    """
    return kind in BELLS and isinstance(person, Member) and person.pk not in said.get("silent", ())


def is_mailed(kind: str, member: Member) -> bool:
    """Whether what rings the member's bell comes by mail, too."""
    group = BELLS[kind].group
    return group is None or bell.is_mailed(member, group)


def note(
    registration: Registration, kind: str, member: Member, claim: str, said: Mapping[str, Any]
) -> Notification:
    """What rings the member's bell, of a party. No query."""
    event = registration.event
    page = reverse("registration", args=[registration.pk])
    held_until: datetime | None = said.get("held_until")
    return bell.note(
        member,
        kind,
        claim,
        page if BELLS[kind].is_of_party else event.get_absolute_url(),
        subject=(SUBJECT, event.pk),
        about=said.get("writer"),
        said={"text": said["text"]} if kind == "event_letter" else {},
        held_until=held_until,
    )


def ring_member(member: Member, event: Event, kind: str, claim: str, page: str) -> None:
    """Ring for one member what is about the event, not about a party: that somebody asks, an answer, an invitation. One query."""
    bell.ring([bell.note(member, kind, claim, reverse(page, args=[event.pk]), subject=(SUBJECT, event.pk))])


def unring(event: Event, claim: str) -> None:
    """What rang by this claim is not so any more. One query, two when it had rung."""
    bell.take_back(bell.about(SUBJECT, event.pk).filter(claim=claim))


def settle(registration: Registration, *kinds: str) -> None:
    """What was still open between this party and its event is not any more. One query, two when something was."""
    rows = bell.about(SUBJECT, registration.event_id, *(kinds or OPEN))
    bell.take_back(rows.filter(claim__contains=f":{registration.public_id}:"))


def take_back(event: Event, *kinds: str) -> None:
    """Of everybody, what is no longer true of this event. One query, two when there is something."""
    bell.take_back(bell.about(SUBJECT, event.pk, *kinds))


def seen(member: Member | None, event_id: int) -> None:
    """The member has opened a page of the event. No query for who has nothing unread."""
    if member is not None:
        bell.seen(member, SUBJECT, event_id)
