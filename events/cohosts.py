"""Hosting together: name who runs an event, or all dates of a meetup, with you; thank them; step down."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils.translation import gettext as _

from community import audit
from community.models import Member
from events import bells, gates
from events.access import event_for, may_lead, may_lead_series, may_run
from events.models import Attendee, CoHost, Event, GatePairing, Series
from events.models.event import hosted_by
from events.owning import must_own
from realtime import clock, notify, rooms


def hosts_of(event: Event) -> list[Member]:
    """Its host, then who hosts it with them, each once. One query."""
    others = [row.member for row in CoHost.objects.at(event).select_related("member")]
    return list({member.pk: member for member in [event.host, *others]}.values())


@transaction.atomic
def name(member: Member, event_id: int, who: str, *, every_date: bool = False) -> CoHost:
    """Let somebody run this event, or with `every_date` its whole series, too; they are told. Twice is once.

    Whom one may name is as at the door (`gates.person_for`). Raises Event.DoesNotExist, PermissionDenied for who only
    hosts it with others, ValidationError on `who`: nobody, more than one, or its host.
    """
    event = _lead_by(member, event_id)
    series = event.series if every_date else None
    if series is not None and not may_lead_series(member, series):
        raise PermissionDenied(_("Only the host and the centre's staff can do this."))
    person = gates.person_for(member, event, who)
    if person.pk == event.host_id:
        raise ValidationError({"who": _("They host this event already.")})
    place = {"series": series} if series else {"event": event}
    row, is_new = CoHost.objects.get_or_create(**place, member=person, defaults={"named_by": member})
    if is_new:
        audit.record(
            audit.Action.ROLE_GRANTED,
            actor=member,
            subject=person,
            centre=event.centre,
            target=f"co-host {event.public_id}",
        )
        for here in _with_room(row):
            assert here.room is not None
            rooms.enter(here.room, person)
        _tell(row, event, member)
    return row


@transaction.atomic
def dismiss(member: Member, event_id: int, cohost_id: int) -> None:
    """Somebody no longer hosts with you, from this moment on. Twice is once.

    Raises Event.DoesNotExist, PermissionDenied for who only hosts it with others, or the series' host alone may.
    """
    event = _lead_by(member, event_id)
    row = CoHost.objects.at(event).select_related("member", "series").filter(pk=cohost_id).first()
    if row is None:
        return
    if row.series is not None and not may_lead_series(member, row.series):
        raise PermissionDenied(_("Only the host and the centre's staff can do this."))
    _end(member, event, row)


@transaction.atomic
def step_down(member: Member, event_id: int) -> int:
    """The member no longer hosts this event with others, nor its series. How often they were named. Raises Event.DoesNotExist."""
    event = event_for(member, event_id, lock=True)
    rows = list(CoHost.objects.at(event).select_related("member").filter(member=member))
    for row in rows:
        _end(member, event, row)
    return len(rows)


@transaction.atomic
def take_out(member: Member, event_id: int, centre_id: int) -> bool:
    """A partner centre no longer runs this event, nor the rest of its series; whether it did. By who owns it, or of that centre.

    Raises Event.DoesNotExist, PermissionDenied.
    """
    event = event_for(member, event_id, lock=True)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can change it."))
    must_own(member, event, {"partner_centres": list(event.partner_centres.exclude(pk=centre_id))})
    dates = Event.objects.filter(pk=event_id)
    if event.series_id is not None:
        Series.partner_centres.through.objects.filter(series=event.series_id, centre=centre_id).delete()
        dates = Event.objects.upcoming().filter(series=event.series_id)
    shared = list(dates.filter(partner_centres=centre_id).values_list("pk", flat=True))
    Event.partner_centres.through.objects.filter(event__in=shared, centre=centre_id).delete()
    Event.objects.filter(pk__in=shared).update(version=F("version") + 1, updated_at=clock.now())
    return bool(shared)


def _lead_by(member: Member, event_id: int) -> Event:
    event = event_for(member, event_id, lock=True)
    if not may_lead(member, event):
        raise PermissionDenied(_("Only the host and the centre's staff can do this."))
    return event


def _with_room(row: CoHost) -> list[Event]:
    """The events of a co-host that have a conversation, in ascending id: one, or those of the series still to come."""
    if row.series_id is not None:
        events = Event.objects.upcoming().filter(series=row.series_id)
    else:
        events = Event.objects.filter(cohosts=row)
    return list(events.filter(room__isnull=False).select_related("room").order_by("room"))


def _end(actor: Member, event: Event, row: CoHost) -> None:
    """Take the right, and what hangs on it: codes that make phones gates, conversations, and whatever is open."""
    here = _with_room(row)
    row.delete()
    GatePairing.objects.filter(made_by=row.member, used_at=None).delete()
    comes = Attendee.objects.filter(event__in=here, member=row.member, is_live=True)
    stays = set(comes.values_list("event", flat=True))
    hosts = Event.objects.filter(hosted_by(row.member), pk__in=[one.pk for one in here])
    stays |= set(hosts.values_list("pk", flat=True))
    for one in here:
        if one.room is not None and one.pk not in stays:
            rooms.leave(one.room, row.member)
    rooms.sign_out(
        row.member_id, "no longer hosts"
    )  # what is open hears no more; a page comes back by itself
    audit.record(
        audit.Action.ROLE_WITHDRAWN,
        actor=actor,
        subject=row.member,
        centre=event.centre,
        target=f"co-host {event.public_id}",
    )


def _tell(row: CoHost, event: Event, namer: Member) -> None:
    claim = f"event_cohost:{event.public_id}:{row.pk}:{row.member.public_id}"
    bells.ring_member(row.member, event, "event_cohost", claim, "event")
    notify.put(
        "event_cohost",
        to=row.member.email,
        language=row.member.language,
        claim=claim,
        context={
            "event": event,
            "person": row.member,
            "namer": namer,
            "every_date": row.series_id is not None,
            "event_url": f"{settings.PUBLIC_URL}{event.get_absolute_url()}",
            "hosts_url": f"{settings.PUBLIC_URL}{reverse('event_hosts', args=[event.pk])}",
        },
        member=row.member,
    )
