"""The six people of the demo whom a visitor may be with one click."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from community.models import Member, Place

CONTENT = Path(__file__).parent / "demo"
ORDER = ("member", "partner", "host", "door", "manager", "partner_staff")


@dataclass(frozen=True)
class DemoPerson:
    """A card of the demo page: who it is, what they do, and the account behind it."""

    key: str
    name: str
    role: str
    about: str
    place: Place | None
    member: Member


@cache
def content(name: str) -> list[dict[str, Any]]:
    """One of the demo's content files: people, households, centres, circles or events."""
    rows: list[dict[str, Any]] = json.loads((CONTENT / f"{name}.json").read_text("utf-8"))
    return rows


def role_label(key: str) -> str:
    """What the person is there to show, in the language of the page."""
    labels = {
        "member": _("Member"),
        "partner": _("Partner"),
        "host": _("Host"),
        "door": _("Door volunteer"),
        "manager": _("Manager of the centre"),
        "partner_staff": _("Staff of the partner centre"),
    }
    return labels[key]


def demo_people() -> list[DemoPerson]:
    """The six demo people that exist in this database, in a fixed order. Two queries."""
    chosen = {row["demo"]: row for row in content("people") if row.get("demo")}
    emails = [row["email"] for row in chosen.values()]
    members = {m.email: m for m in Member.objects.filter(email__in=emails).select_related("profile__lives")}
    people = []
    for key in ORDER:
        member = members.get(chosen[key]["email"])
        if member is not None:
            profile = member.profile
            people.append(
                DemoPerson(key, member.display_name, role_label(key), profile.about, profile.lives, member)
            )
    return people
