"""Rows of people: members, where they live, what they like, whom they live with, their circles, what they asked for."""

from community.models.circles import Circle, CircleMembership
from community.models.households import Child, Household, HouseholdAdult, HouseholdInvitation, HouseholdRoom
from community.models.members import ApiToken, Consent, Member, Profile, Role
from community.models.places import Centre, Interest, Place, PlaceName, Postcode
from community.models.privacy import Erasure, Export, ExportPart
from community.models.security import SecurityRecord

__all__ = [
    "ApiToken",
    "Centre",
    "Child",
    "Circle",
    "CircleMembership",
    "Consent",
    "Erasure",
    "Export",
    "ExportPart",
    "Household",
    "HouseholdAdult",
    "HouseholdInvitation",
    "HouseholdRoom",
    "Interest",
    "Member",
    "Place",
    "PlaceName",
    "Postcode",
    "Profile",
    "Role",
    "SecurityRecord",
]
