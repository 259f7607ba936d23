"""Rows of gatherings: events and series, places and parties, the door."""

from events.models.calloff import CallOff, EndedParty
from events.models.cohost import CoHost
from events.models.details import Details
from events.models.door import DoorHelper, Gate, GatePairing, Scan
from events.models.event import Event, Pool
from events.models.feed import CalendarFeed
from events.models.inquiry import Inquiry
from events.models.invitation import Invitation, InvitationStop
from events.models.partner import PartnerCalendar, PartnerDate
from events.models.registration import Answers, Attendee, Claim, Registration, Reminder
from events.models.series import Series

__all__ = [
    "Answers",
    "Attendee",
    "CalendarFeed",
    "CallOff",
    "Claim",
    "CoHost",
    "Details",
    "DoorHelper",
    "EndedParty",
    "Event",
    "Gate",
    "GatePairing",
    "Inquiry",
    "Invitation",
    "InvitationStop",
    "PartnerCalendar",
    "PartnerDate",
    "Pool",
    "Registration",
    "Reminder",
    "Scan",
    "Series",
]
