"""What those who come are told: a mail to each of a party, and to open pages how full the event is."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.urls import reverse

from community.models import Member
from events import bells, calendars
from events.models import Event, Registration
from events.models.registration import Guest
from events.pools import pools_of, read_anew
from events.seats import people_waiting
from realtime import bell, clock, keys, live, notify

CANCEL, ANSWER = "registration.cancel", "registration.answer"  # what the key in a mail is good for
STILL = "registration.still"  # yes or no to “still coming?”
GUEST = "registration.guest"  # the same, any number of times: a guest has no other way in
INVITED = "invitation"  # see the event, answer, come: any number of times, as long as the invitation stands
INVITED_KINDS = ("event_invited", "event_invited_again")
GUEST_READS = timedelta(days=1)  # after the event
WITH_CANCEL_LINK = {
    "event_registered",
    "event_accepted",
    "event_waiting",
    "event_asked",
    "event_moved",
    "event_reminder",
}
WITH_ANSWER_LINK = {"event_offered", "event_restored"}


def people_of(registration: Registration) -> list[Member | Guest]:
    """Who hears of it: who registered, and every member named in the party. One query at most."""
    people = {attendee.member for attendee in registration.live} | {registration.member}
    known = sorted((person for person in people if person is not None), key=lambda person: person.pk)
    guest = registration.guest
    return [*known, *([guest] if guest else [])]


def whose(person: Member | Guest) -> str:
    """What names a person in the claim of a mail."""
    return person.public_id if isinstance(person, Member) else "guest"


def claim_of(kind: str, registration: Registration, versions: tuple[int, int], person: Member | Guest) -> str:
    """What makes a mail the only one of its kind: to whom, of which version of the registration and of its event."""
    of_party, of_event = versions
    return f"{kind}:{registration.public_id}:{of_party}:{of_event}:{whose(person)}"


def tell(
    registration: Registration,
    kind: str,
    *,
    calendar: Callable[[str], str] | None = None,
    again: str = "",
    only: Collection[str] | None = None,
    rings: str = "",
    **context: Any,
) -> None:
    """Mail `kind` to who registered and to every member named in the party, each once a version, in their language.

    `calendar` gives an invitation in a language, before it is addressed; without it, who comes gets the one of the event.
    `again` makes it another mail than the one of that version before; `only` says who gets it, as `whose` names them.
    Where `bells` knows it (as `rings`, when that is another word for it), the bell rings, too, and by the member's wish no
    mail goes.
    """
    bell_kind, notes = rings or kind, []
    event = registration.event
    versions = registration.version, event.version
    if calendar is None:
        own = partial(calendars.invitation, event)
        calendar = own if registration.is_coming else calendars.no_invitation
    said = {"event": event, "registration": registration, "attendees": registration.live}
    for person in people_of(registration):
        if only is not None and whose(person) not in only:
            continue
        member = person if isinstance(person, Member) else None
        claim = claim_of(kind, registration, versions, person) + again
        if member is not None and bells.rings(bell_kind, member, context):
            notes.append(bells.note(registration, bell_kind, member, claim, context))
            if not bells.is_mailed(bell_kind, member):
                continue
        notify.put(
            kind,
            to=person.email,
            language=person.language,
            claim=claim,
            context=said | _links(kind, registration, member) | {"person": person} | context,
            member=member,
            calendar=calendars.addressed(calendar(person.language), person),
        )
    bell.ring(notes)


def out_of_calendars(registration: Registration) -> Callable[[str], str]:
    """What takes the event out of the calendars of a party that comes, as `calendar` of `tell`; of no other's."""
    if not registration.is_coming:
        return calendars.no_invitation
    return partial(calendars.invitation, registration.event, cancelled=True)


def _links(kind: str, registration: Registration, member: Member | None) -> dict[str, Any]:
    """The addresses that stand in a mail of this kind to a member of the party, or to its guest (None). At most two queries."""
    event = registration.event
    is_mine = member is None or member.pk == registration.member_id
    page = f"{settings.PUBLIC_URL}{reverse('registration', args=[registration.pk])}"
    url = page if member else guest_url(registration)
    is_asked = kind in WITH_ANSWER_LINK and registration.state == Registration.State.OFFERED
    keyed = {
        "cancel_url": (kind in WITH_CANCEL_LINK and event.over_at is not None, _cancel_url),
        "still_url": (kind == "event_still", _still_url),
        "answer_url": (is_asked, _answer_url),
    }
    is_for_all = (
        event.visibility == Event.Visibility.PUBLIC
    )  # of any other a guest sees no page but their own
    return {
        "is_mine": is_mine,
        "registration_url": url,
        "event_url": f"{settings.PUBLIC_URL}{event.get_absolute_url()}" if member or is_for_all else url,
        **{
            name: (made(registration) if member else url) if stands and is_mine else ""
            for name, (stands, made) in keyed.items()
        },
    }


def guest_url(registration: Registration) -> str:
    """The address of a guest's own page: whoever has it is the guest, until a day after the event. One query."""
    over_at = registration.event.over_at or clock.now()
    key = keys.make(GUEST, registration.pk, expires_at=max(over_at, clock.now()) + GUEST_READS)
    return f"{settings.PUBLIC_URL}{reverse('registration_guest', args=[registration.pk])}?key={key}"


def ask_host(registration: Registration) -> None:
    """Tell the host that a party would like to come. Two queries."""
    event = registration.event
    claim = f"event_request:{registration.public_id}:{registration.version}"
    bells.ring_member(event.host, event, "event_request", claim, "guests")
    notify.put(
        "event_request",
        to=event.host.email,
        language=event.host.language,
        claim=claim,
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


def _still_url(registration: Registration) -> str:
    """The link in a mail by which one says that one still comes, or not. One query."""
    event = registration.event
    key = keys.make(
        STILL, registration.pk, member=registration.member, expires_at=event.starts_at or clock.now()
    )
    return f"{settings.PUBLIC_URL}{reverse('registration_still', args=[registration.pk])}?key={key}"


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
        read_anew(event)
    pools_of(event)
    pool = event.total
    state = {
        "taken": pool.taken if pool else 0,
        "capacity": pool.capacity if pool else event.capacity,
        "waiting": waiting,
    }
    live.publish(f"event:{event.public_id}", state)
