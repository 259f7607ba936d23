"""Rows of gatherings: events and series, places and parties, the door."""

from events.models.details import Details
from events.models.door import DoorHelper, Gate, GatePairing, Scan
from events.models.event import Event, Pool
from events.models.feed import CalendarFeed
from events.models.partner import PartnerCalendar, PartnerDate
from events.models.registration import Attendee, Claim, Registration
from events.models.series import Series

__all__ = [
    "Attendee",
    "CalendarFeed",
    "Claim",
    "Details",
    "DoorHelper",
    "Event",
    "Gate",
    "GatePairing",
    "PartnerCalendar",
    "PartnerDate",
    "Pool",
    "Registration",
    "Scan",
    "Series",
]
