"""Between an id and an object of an event: who may see it is asked where it is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, Q, QuerySet

from community.models import Member
from events.models import CoHost, DoorHelper, Event, Inquiry, Invitation, Registration, Series
from events.models.event import at_desk_of, run_by
from events.models.invitation import theirs
from realtime import keys
from realtime.ids import decode
from realtime.models import Participant
from realtime.prepared import ID, prepared


def event_for(member: Member | None, event_id: int, *, lock: bool = False) -> Event:
    """The event, if `member` (None: signed out) may see it. One query, one more with `lock`, and one where not everybody may.

    With `lock` its row stays locked until the transaction ends: every verb that changes places or the
    event begins so. Raises Event.DoesNotExist, whether it is hidden or not there.
    """
    if lock:
        hold(event_id)
    for event in _event(event=event_id):
        if event.is_open_to(member) or _is_visible(reader=member and member.pk, event=event_id):
            return event
    raise Event.DoesNotExist


def hold(event_id: int) -> None:
    """Lock the event's row until the transaction ends. One query. Raises Event.DoesNotExist."""
    if not _row(event=event_id):
        raise Event.DoesNotExist


@prepared(event=ID)
def _row(*, event: Any) -> QuerySet[Event, int]:
    return Event.objects.select_for_update().filter(pk=event).values_list("pk", flat=True)


@prepared(event=ID)
def _event(*, event: Any) -> QuerySet[Event]:
    return Event.objects.filter(pk=event).select_related("place", "centre", "host")


@prepared(reader=ID, event=ID)
def _is_visible(*, reader: Any, event: Any) -> QuerySet[Event, int]:
    return Event.objects.visible_to(reader).filter(pk=event).values_list("pk", flat=True)


def _with_event() -> QuerySet[Registration]:
    return Registration.objects.select_related(
        "event__place", "event__centre", "event__host", "member", "answers"
    )


def registration_of_key(action: str, registration_id: int, secret: str) -> Registration:
    """The registration that the key of a mail is good for. Two queries. Raises MailedKey.DoesNotExist. Changes nothing."""
    keys.find(action, registration_id, secret)
    return _with_event().get(pk=registration_id)


def registration_for(member: Member, registration_id: int, *, lock: bool = False) -> Registration:
    """The registration, if it is the member's, names the member, or is for an event the member runs.

    With `lock` the event's row is locked first, then the registration's: the order every verb keeps.
    Raises Registration.DoesNotExist. Two queries, four with `lock`; one more for those who run the event.
    """
    found = _with_event()
    if lock:
        hold(Registration.objects.values_list("event", flat=True).get(pk=registration_id))
        Registration.objects.select_for_update().only("pk").get(pk=registration_id)
    registration = found.get(pk=registration_id)
    if (
        registration.member_id == member.pk
        or is_named(member, registration)
        or may_run(member, registration.event)
    ):
        return registration
    raise Registration.DoesNotExist


def invitation_for(member: Member, invitation_id: int) -> Invitation:
    """The invitation that reaches the member and stands. Raises Invitation.DoesNotExist. One query."""
    rows = Invitation.objects.standing().exclude(event__state=Event.State.DRAFT)
    return (
        rows.select_related("event__centre", "event__host", "member")
        .filter(theirs(member))
        .get(pk=invitation_id)
    )


def run_invitation_for(member: Member, invitation_id: int) -> Invitation:
    """The invitation to an event the member runs. Raises Invitation.DoesNotExist. Two queries at most."""
    row = Invitation.objects.select_related("event").get(pk=invitation_id)
    if not may_run(member, row.event):
        raise Invitation.DoesNotExist
    return row


def inquiry_for(member: Member, inquiry_id: int, *, lock: bool = False) -> Inquiry:
    """The question, if the member may read it: their own, one to an event they run, or one that is published where they see it.

    Raises Inquiry.DoesNotExist. Three queries at most; with `lock` its row stays locked until the transaction ends.
    """
    rows = Inquiry.objects.select_related("event__centre", "event__host", "member", "answered_by")
    row = (rows.select_for_update(of=("self",)) if lock else rows).get(pk=inquiry_id)
    if row.member_id == member.pk:
        return row
    hears = Inquiry.objects.heard_by(member).filter(pk=row.pk)
    if may_run(member, row.event) and (row.is_public or hears.exists()):
        return row
    if row.is_public and Event.objects.visible_to(member).filter(pk=row.event_id).exists():
        return row
    raise Inquiry.DoesNotExist


def series_for(member: Member, series_id: int, *, lock: bool = False) -> Series:
    """The series, if the member may see one of its occurrences or runs it. Raises Series.DoesNotExist."""
    found = Series.objects.select_related("place", "centre", "host")
    if lock:
        Series.objects.select_for_update().only("pk").get(pk=series_id)
    series = found.get(pk=series_id)
    if may_run_series(member, series) or Event.objects.visible_to(member).filter(series=series).exists():
        return series
    raise Series.DoesNotExist


def is_named(member: Member, registration: Registration) -> bool:
    """The member is one of the party. One query."""
    return registration.attendees.filter(member=member, is_live=True).exists()


def may_run(member: Member | None, event: Event) -> bool:
    """The member may change the event: who hosts it, or staff of its centre or of a partner centre. At most one query."""
    if member is None:
        return False
    return event.host_id == member.pk or Event.objects.filter(run_by(member), pk=event.pk).exists()


def may_lead(member: Member, event: Event) -> bool:
    """The member may say who hosts the event: its host, or staff as in `may_run`. At most one query."""
    return event.host_id == member.pk or Event.objects.filter(_desk_of(member), pk=event.pk).exists()


def may_run_series(member: Member, series: Series) -> bool:
    """As `may_run`, for a series: who hosts one date of it alone may not. At most two queries."""
    return may_lead_series(member, series) or CoHost.objects.filter(series=series, member=member).exists()


def may_lead_series(member: Member, series: Series) -> bool:
    """As `may_lead`, for a series."""
    if series.host_id == member.pk:
        return True
    partners = Series.partner_centres.through.objects.values("series")
    return Series.objects.filter(at_desk_of(member, partners), pk=series.pk).exists()


def may_door(member: Member | None, event: Event) -> bool:
    """The member may stand at the door: who runs the event, or was named for its door. At most two queries."""
    if member is None:
        return False
    return may_run(member, event) or DoorHelper.objects.filter(event=event, member=member).exists()


def may_moderate(member: Member, room_id: int) -> bool:
    """The member looks after an event's room: who runs the event. One query."""
    return bool(_run_at(member=member.pk, room=room_id))


@prepared(member=ID, room=ID)
def _run_at(*, member: Any, room: Any) -> QuerySet[Event, int]:
    return Event.objects.filter(run_by(member), room=room).values_list("pk", flat=True)


def rooms_run_by(member: Any) -> QuerySet[Event, int | None]:
    """The ids of the rooms of the events the member runs: their key, or its place in a statement."""
    return Event.objects.filter(run_by(member), room__isnull=False).values_list("room", flat=True)


def _desk_of(member: Any) -> Q:
    return at_desk_of(member, Event.partner_centres.through.objects.values("event"))


@dataclass(frozen=True)
class Standing:
    """What a reader is to an event: `may_run`, `may_door`, `may_lead`, and whether they are in its room or stepped out of it."""

    runs: bool
    at_door: bool
    in_room: bool
    has_stepped_out: bool = False
    leads: bool = False


NOBODY = Standing(runs=False, at_door=False, in_room=False)


def standings(member: Any, event: Any) -> dict[str, Exists]:
    """What `standing_from` is made of, for a query: of a member at an event, rows, keys or their places in a statement."""
    seats = Participant.objects.filter(room__in=Event.objects.filter(pk=event).values("room"), member=member)
    return {
        "runs": Exists(Event.objects.filter(run_by(member), pk=event)),
        "leads": Exists(Event.objects.filter(_desk_of(member) | Q(host=member), pk=event)),
        "helps": Exists(DoorHelper.objects.filter(event=event, member=member)),
        "is_in": Exists(seats.filter(left_seq=None)),
        "is_out": Exists(seats.filter(out=Participant.Out.OWN)),
    }


def standing_from(found: Mapping[str, Any]) -> Standing:
    """What the reader is, from what a query with `standings` found. No query."""
    runs, in_room, is_out = (bool(found[name]) for name in ("runs", "is_in", "is_out"))
    return Standing(runs, runs or bool(found["helps"]), in_room, is_out, bool(found["leads"]))


def may_follow(member: Member, topic: str) -> bool:
    """Whether the member may hear how full an event is, live: `event:<id>`. Two queries."""
    event = _named_by(member, topic)
    return event is not None


def may_follow_door(member: Member, topic: str) -> bool:
    """Whether the member may watch a door's counts, live: `door:<id>`. At most four queries."""
    event = _named_by(member, topic)
    return event is not None and may_door(member, event)


def _named_by(member: Member, topic: str) -> Event | None:
    try:
        return event_for(member, decode(topic.partition(":")[2]))
    except (ValueError, Event.DoesNotExist):
        return None
