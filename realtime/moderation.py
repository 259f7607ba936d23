"""Keeping order: who looks after a room takes somebody out of it, says why to them alone, and lets them in again."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.translation import gettext as _

from realtime import notify, rooms
from realtime.models import Participant, Room


def room_to_moderate(moderator: Any, room_id: int) -> Room:
    """The room, for who is in it and looks after it. Raises Room.DoesNotExist, PermissionDenied. At most three queries."""
    room = rooms.room_for(moderator, room_id)
    if not rooms.may_moderate(moderator, room):
        raise PermissionDenied(_("Only who looks after this room can do that."))
    return room


def remove(moderator: Any, room_id: int, member_id: int, reason: str) -> None:
    """Take somebody out of a room one looks after: as `take_out`."""
    take_out(room_to_moderate(moderator, room_id), member_id, reason)


@transaction.atomic
def take_out(room: Room, member_id: int, reason: str) -> None:
    """Take somebody out of a room and of what it belongs to, until they are let in again: from this entry of the log on
    they hear nothing. They get a mail with the reason; the log only says that they were removed.

    Whoever calls has asked whether this may be done. A second time nothing happens. Raises DoesNotExist of a member
    (never in the room), PermissionDenied for who looks after it, too, ValidationError on `reason`.
    """
    why = rooms.reason_of(reason, _("Say why: they are told."))
    member = (
        get_user_model()
        .objects.filter(pk__in=Participant.objects.filter(room=room, member=member_id).values("member"))
        .get()
    )
    if rooms.may_moderate(member, room):
        raise PermissionDenied(_("They look after this room, too. Ask your centre."))
    rooms.follow_removal(
        room, member
    )  # first: who leaves by themselves locks what the room belongs to first, too
    locked = rooms.lock(room.pk)
    if rooms.take_out(locked, member):
        notify.mail(
            "participant_removed",
            to=member.email,
            language=member.language,
            claim=f"participant_removed:{room.public_id}:{locked.head}",
            context={"room": room, "reason": why},
            member=member,
        )


def readmit(moderator: Any, room_id: int, member_id: int) -> None:
    """Let somebody come in again who was taken out; they get a mail. Nobody was: nothing happens.

    Raises Room.DoesNotExist, PermissionDenied.
    """
    room = room_to_moderate(moderator, room_id)
    with transaction.atomic():
        if not rooms.readmit(room.pk, member_id):
            return
        member = get_user_model().objects.get(pk=member_id)
        notify.mail(
            "participant_readmitted",
            to=member.email,
            language=member.language,
            claim=f"participant_readmitted:{room.public_id}:{room.head}:{member.public_id}",
            context={"room": room},
            member=member,
        )
