"""Makers for the door: a party with its ticket, a gate, a reading of a code."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from community.models import Member
from events import tickets
from events.checkin import Reading
from events.models import Attendee, Event, Gate, Registration
from realtime import clock
from tests.factories import make_event, make_member


def open_event(**given: Any) -> Event:
    """An event whose doors are open: it began a moment ago."""
    return make_event(**{"starts_at": clock.now() - timedelta(minutes=5)} | given)


def party(event: Event, *names: str, member: Member | None = None, **given: Any) -> Registration:
    """A confirmed registration; the first attendee is its member."""
    member = member or make_member()
    size = max(1, len(names))
    least = {"state": "confirmed", "party_size": size, "next_slot": size}
    row = Registration.objects.create(event=event, member=member, **least | given)
    for slot, name in enumerate(names or (str(member),)):
        Attendee.objects.create(
            registration=row, event=event, slot=slot, name=name, member=None if slot else member
        )
    return row


def code(row: Registration) -> str:
    """Its ticket as printed now."""
    return tickets.code_of(Registration.objects.get(pk=row.pk))


def gate(event: Event, name: str = "Front") -> Gate:
    """A paired phone, since yesterday."""
    return Gate.objects.create(
        event=event, name=name, digest=uuid4().hex, paired_at=clock.now() - timedelta(days=1)
    )


def reading(text: str, **given: Any) -> Reading:
    """A scan of a code, now."""
    return Reading(**{"id": uuid4(), "code": text, "scanned_at": clock.now()} | given)
