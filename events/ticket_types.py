"""Kinds of tickets: each with a number of places of its own, inside the places of the event.

They are written on the event or the meetup, as questions are; what is taken of each stands in a pool of the event, whose
name is the id of the kind. Who comes to an event with kinds has one of them; to an event without, none.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from events.models.details import Details

AT_MOST = 6
MAX_NAME = 60
MAX_PLACES = 1_000_000


@dataclass(frozen=True)
class TicketType:
    """One kind: what it is called, and how many places there are of it (None: as many as the event has)."""

    id: str
    name: str
    capacity: int | None = None


def of(event: Details) -> list[TicketType]:
    """The kinds of an event, in the host's order; none where every place is like the others. No query."""
    return [of_row(one) for one in event.ticket_types]


def of_row(one: Mapping[str, Any]) -> TicketType:
    """A kind as a row keeps it, or as a program wrote it."""
    return TicketType(one.get("id") or "", one["name"], one.get("capacity"))


def written(types: Iterable[TicketType]) -> list[dict[str, Any]]:
    """Kinds as a row keeps them, checked; one without an id is new. Raises ValidationError by `ticket_types`."""
    rows = []
    for one in types:
        name = " ".join(one.name.split())
        if not name or len(name) > MAX_NAME:
            raise ValidationError({"ticket_types": _("A kind of ticket has a name of 1 to 60 characters.")})
        if one.capacity is not None and not 1 <= one.capacity <= MAX_PLACES:
            raise ValidationError(
                {"ticket_types": _("“%(name)s” needs at least one place.") % {"name": name}}
            )
        rows.append(asdict(TicketType(one.id or secrets.token_hex(4), name, one.capacity)))
    if len(rows) > AT_MOST:
        raise ValidationError({"ticket_types": _("Six kinds of tickets at most.")})
    for said in ("id", "name"):
        if len({row[said].casefold() for row in rows}) < len(rows):
            raise ValidationError({"ticket_types": _("Each kind of ticket needs a name of its own.")})
    return rows


def names(event: Details) -> dict[str, str]:
    """What each kind is called, by its id. No query."""
    return {one.id: one.name for one in of(event)}


def chosen(event: Details, said: Sequence[str]) -> list[str]:
    """The ids of the kinds that were chosen, by id or by name, one for each person; where there is one kind, it is that.

    Raises ValidationError of `party` for who chose none, or one that is not there.
    """
    types = of(event)
    if not types:
        return [""] * len(said)
    known = {one.name.casefold(): one.id for one in types} | {one.id: one.id for one in types}
    found = [
        known.get(text)
        or known.get(text.casefold())
        or (types[0].id if len(types) == 1 and not text else None)
        for text in said
    ]
    if None in found:
        raise ValidationError({"party": _("Choose a ticket for everybody who comes.")})
    return [one or "" for one in found]
