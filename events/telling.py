"""What those who come are told: a mail to each of a party, and to open pages how full the event is."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse

from events import calendars
from events.models import Event, Registration
from events.pools import pools_of
from events.seats import people_waiting
from realtime import clock, keys, live, notify

CANCEL, ANSWER = "registration.cancel", "registration.answer"  # what the key in a mail is good for
WITH_CANCEL_LINK = {"event_registered", "event_accepted", "event_waiting", "event_asked"}


def tell(
    registration: Registration, kind: str, *, calendar: str | None = None, again: str = "", **context: Any
) -> None:
    """Mail `kind` to who registered and to every member named in the party, each once a version, in their language.

    `calendar` is an invitation before it is addressed; without it, who comes gets the one of the event. `again` makes it
    another mail than the one of that version before.
    """
    event = registration.event
    attendees = registration.live
    people = {attendee.member for attendee in attendees if attendee.member} | {registration.member}
    path = reverse("registration", args=[registration.pk])
    if calendar is None:
        calendar = calendars.invitation(event) if registration.is_coming else ""
    may_cancel = kind in WITH_CANCEL_LINK and registration.event.over_at is not None
    for person in sorted((p for p in people if p is not None), key=lambda p: p.pk):
        notify.put(
            kind,
            to=person.email,
            language=person.language,
            claim=f"{kind}:{registration.public_id}:{registration.version}:{event.version}:{person.public_id}{again}",
            context={
                "event": event,
                "registration": registration,
                "attendees": attendees,
                "person": person,
                "is_mine": person.pk == registration.member_id,
                "event_url": f"{settings.PUBLIC_URL}{event.get_absolute_url()}",
                "registration_url": f"{settings.PUBLIC_URL}{path}",
                "cancel_url": _cancel_url(registration)
                if may_cancel and person == registration.member
                else "",
                "answer_url": _answer_url(registration)
                if kind == "event_offered" and person == registration.member
                else "",
                **context,
            },
            member=person,
            calendar=calendars.addressed(calendar, person) if calendar else "",
        )


def ask_host(registration: Registration) -> None:
    """Mail the host that a party would like to come. One query."""
    event = registration.event
    notify.put(
        "event_request",
        to=event.host.email,
        language=event.host.language,
        claim=f"event_request:{registration.public_id}:{registration.version}",
        context={
            "event": event,
            "registration": registration,
            "attendees": registration.live,
            "url": f"{settings.PUBLIC_URL}{reverse('guests', args=[event.pk])}",
        },
        member=event.host,
    )


def _cancel_url(registration: Registration) -> str:
    """The link in a mail by which places are given back without signing in. One query."""
    event = registration.event
    key = keys.make(
        CANCEL, registration.pk, member=registration.member, expires_at=event.over_at or clock.now()
    )
    return f"{settings.PUBLIC_URL}{reverse('registration_cancel', args=[registration.pk])}?key={key}"


def _answer_url(registration: Registration) -> str:
    """The link in a mail by which an offer is accepted or declined without signing in. One query."""
    assert registration.offer_expires_at is not None, "only offers are answered"
    key = keys.make(
        ANSWER, registration.pk, member=registration.member, expires_at=registration.offer_expires_at
    )
    return f"{settings.PUBLIC_URL}{reverse('registration_offer', args=[registration.pk])}?key={key}"


def announce(event: Event, waiting: int | None = None) -> None:
    """After the commit, those who look at the event see how full it is. A hint: the page knows the truth.

    Two queries; none when how many wait is known (`waiting`) and the pools were read under the lock.
    """
    if waiting is None:
        waiting = people_waiting(event)
        vars(event).pop("totals", None)
    pool = next(iter(pools_of(event)), None)
    state = {
        "taken": pool.taken if pool else 0,
        "capacity": pool.capacity if pool else event.capacity,
        "waiting": waiting,
    }
    live.publish(f"event:{event.public_id}", state)
