"""Reminders: the day before, and where the host wants it the question whether one still comes.

Each is claimed once by a row for who, what and which hour, written with its mail: however often the sweep dies, nobody
gets two. An event that moves takes back what has not left, and reminds of its new hour.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from community.models import Member
from events import bells, calendars
from events.access import registration_for, registration_of_key
from events.models import Event, Registration, Reminder
from events.models.event import ASKED_FROM, ASKED_LAST
from events.models.registration import COMING
from events.registration import end, must_take_place
from events.telling import STILL, tell
from realtime import clock, keys
from realtime.models import Mail, MailedKey

LATELY = timedelta(hours=12)  # who registered so shortly before needs no reminder
BATCH = 200  # parties in one transaction
Kind = Reminder.Kind
# How long before the start each is due, and from when on it is too late for it.
WHEN = {
    Kind.DAY: (timedelta(hours=24), timedelta(hours=1)),
    Kind.FIRST: (ASKED_FROM, ASKED_LAST),
    Kind.LAST: (ASKED_LAST, timedelta(hours=1)),
}
MAILS = {Kind.DAY: "event_reminder", Kind.FIRST: "event_still", Kind.LAST: "event_still"}
State = Registration.State


def remind_due() -> int:
    """The sweep: remind and ask whoever is due, party by party. Any number may run at once. How many parties."""
    return sum(_remind_all(kind) for kind in Kind)


def _remind_all(kind: Kind) -> int:
    n = 0
    for event_id in list(_due(kind).values_list("event", flat=True).distinct().order_by("event")):
        while done := _remind(event_id, kind):
            n += done
    return n


def _due(kind: Kind) -> QuerySet[Registration]:
    """Parties that come and are due for it now, and were not reminded of this hour yet. No query of its own."""
    now, (before, too_late) = clock.now(), WHEN[kind]
    rows = Registration.objects.reachable().filter(
        state__in=COMING,
        event__state=Event.State.PUBLISHED,
        event__starts_at__gt=now + too_late,
        event__starts_at__lte=now + before,
        created_at__lte=F("event__starts_at") - before - LATELY,
    )
    if kind != Kind.DAY:
        rows = rows.filter(event__asks_again=True)
    if kind == Kind.LAST:
        answered = Q(still_coming_at__gte=F("event__starts_at") - WHEN[Kind.FIRST][0])
        rows = rows.exclude(answered)
    told = Reminder.objects.filter(
        registration=OuterRef("pk"), kind=kind, starts_at=OuterRef("event__starts_at")
    )
    return rows.exclude(Exists(told))


@transaction.atomic
def _remind(event_id: int, kind: Kind) -> int:
    """One batch of one event, its row locked as every verb that moves it does. How many parties."""
    event = (
        Event.objects.select_for_update(of=("self",))
        .select_related("place", "centre", "host")
        .get(pk=event_id)
    )
    rows = list(_due(kind).filter(event=event).select_related("member").order_by("pk")[:BATCH])
    if not rows or event.starts_at is None:
        return 0
    made = [Reminder(registration=row, kind=kind, starts_at=event.starts_at) for row in rows]
    Reminder.objects.bulk_create(made)
    for row in rows:
        row.event = event
        tell(
            row,
            MAILS[kind],
            calendar=calendars.no_invitation,
            again=f":{event.public_id}:{kind}:{event.starts_at:%Y%m%d%H%M}",
        )
    return len(rows)


def take_back(event: Event) -> int:
    """What has not left of an event that moves or is called off never leaves. Event locked. How many. One query."""
    waiting = Mail.objects.filter(
        kind__in=set(MAILS.values()),
        state__in=[Mail.State.QUEUED, Mail.State.SENDING],
        claim__contains=f":{event.public_id}:",
    )
    return waiting.update(state=Mail.State.DROPPED)


def give_again(event: Event) -> int:
    """A call-off is taken back: what it kept from leaving, of the hour that still holds, leaves after all. Event locked.
    How many. One query.
    """
    kept = Mail.objects.filter(
        kind__in=set(MAILS.values()),
        state=Mail.State.DROPPED,
        claim__contains=f":{event.public_id}:",
        claim__endswith=f":{event.starts_at:%Y%m%d%H%M}",
    )
    return kept.update(state=Mail.State.QUEUED)


@transaction.atomic
def answer(member: Member, registration_id: int, *, comes: bool) -> Registration:
    """Who is asked still comes, or gives the places back after all, whatever the deadline. A second time changes nothing.

    Raises Registration.DoesNotExist, PermissionDenied for anybody but who registered, ValidationError closed (they do
    not come), too_late.
    """
    registration = registration_for(member, registration_id, lock=True)
    if registration.member_id != member.pk:
        raise PermissionDenied(_("Only who registered can answer."))
    return answered(registration, comes=comes)


def answered(registration: Registration, *, comes: bool) -> Registration:
    """As `answer`, whoever answers for the party. Event and registration locked."""
    if not comes and registration.state == State.CANCELLED:
        return registration
    if not registration.is_coming:
        raise ValidationError(_("This registration is no longer open."), code="closed")
    must_take_place(registration.event)
    if not comes:
        return end(registration)
    registration.still_coming_at = clock.now()
    registration.save(update_fields=["still_coming_at"])
    bells.settle(registration, "event_still")
    return registration


def by_key(registration_id: int, secret: str) -> Registration:
    """The party that the key of a mail answers for. Raises MailedKey.DoesNotExist, also when it no longer comes. Changes nothing."""
    registration = registration_of_key(STILL, registration_id, secret)
    if not registration.is_coming:
        raise MailedKey.DoesNotExist
    return registration


def answered_by_key(registration_id: int, secret: str) -> Registration | None:
    """The party that said with this key that it still comes, and does; None for any other. Three queries at most."""
    if not keys.was_used(STILL, registration_id, secret):
        return None
    rows = Registration.objects.select_related("event__place", "member")
    row = rows.filter(pk=registration_id, still_coming_at__isnull=False).first()
    return row if row is not None and row.is_coming else None


@transaction.atomic
def answer_by_key(registration_id: int, secret: str, *, comes: bool) -> Registration:
    """As `answer`, for who holds the key of a mail, which is used up by it. Raises MailedKey.DoesNotExist too."""
    member = keys.use(STILL, registration_id, secret).member
    assert member is not None, "made for who registered"
    return answer(member, registration_id, comes=comes)
