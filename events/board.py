"""What a door looks like now: counts for the board, the list of guests, the log that gates follow."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.utils.translation import gettext as _

from events import questions, ticket_types, tickets
from events.models import Attendee, Event, Gate, Registration, Scan
from events.models.registration import COMING
from events.truth import CONFLICT, UNDO_WITHIN, Fact, Standing, Truth, truth
from realtime import clock, ids

LAST = 8
LOG_PAGE = 2000


@dataclass(frozen=True, slots=True)
class GateLine:
    """A gate on the board: how much it scanned, and when last."""

    gate: Gate
    scans: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Board:
    """Counts of one door. `arrived`: attendees let in at least once; `inside`: bodies inside now."""

    expected: int
    arrived: int
    inside: int
    parties: int
    parties_arrived: int
    conflicts: int
    refused: int
    cursor: int
    gates: list[GateLine]

    def counts(self) -> dict[str, int]:
        """For the API and the scanner."""
        names = ("expected", "arrived", "inside", "parties", "parties_arrived", "conflicts", "refused")
        return {name: getattr(self, name) for name in names}


def scans_of(event: Event) -> QuerySet[Scan]:
    """All scans of the door with their gates, as they were stored. One query."""
    return Scan.objects.filter(event=event).select_related("gate").order_by("order")


def truth_of(scans: list[Scan]) -> Truth:
    """What those scans say, gates that are no longer trusted left out. No query."""
    return truth(
        map(Fact.of, scans),
        {scan.gate_id: scan.gate.distrust_from for scan in scans if scan.gate.distrust_from},
    )


def board(event: Event, scans: list[Scan] | None = None, coming: tuple[int, int] | None = None) -> Board:
    """The counts of now. Two queries; one less for each that is at hand (`coming`: people and parties expected)."""
    scans = list(scans_of(event)) if scans is None else scans
    told = truth_of(scans)
    people, parties = _coming(event) if coming is None else coming
    last = {scan.gate_id: scan for scan in scans}
    counted = Counter(scan.gate_id for scan in scans)
    return Board(
        expected=people,
        arrived=told.attended,
        inside=told.inside,
        parties=parties,
        parties_arrived=len({party for (party, _slot), one in told.standing.items() if one.first}),
        conflicts=sum(
            any(one.status == CONFLICT for one in slots.values()) for slots in told.outcomes.values()
        ),
        refused=sum(scan.is_refused for scan in scans),
        cursor=scans[-1].order if scans else 0,
        gates=[GateLine(scan.gate, counted[gate], scan.received_at) for gate, scan in last.items()],
    )


def _coming(event: Event) -> tuple[int, int]:
    sums = event.registrations.filter(state__in=COMING).aggregate(
        people=Sum("party_size"), parties=Count("pk")
    )
    return sums["people"] or 0, sums["parties"]


@dataclass(frozen=True, slots=True)
class Guest:
    """One attendee on the list; `twice` when somebody else came in on the same place."""

    name: str
    slot: int
    is_child: bool
    age: int | None
    inside: bool
    at: datetime | None
    gate: str
    by: Fact | None
    twice: bool
    ticket: str  # the name of their kind of ticket, where the event has several

    @property
    def bitmap(self) -> int:
        """Of their one slot."""
        return 1 << self.slot


@dataclass(frozen=True, slots=True)
class PartyLine:
    """One party on the list of guests."""

    registration: Registration
    title: str
    guests: list[Guest]
    answers: list[tuple[str, str]]  # (question, answer)

    @property
    def is_unpaid(self) -> bool:
        """Their ticket is not paid yet."""
        return self.registration.state == Registration.State.AWAITING_PAYMENT

    @property
    def last_name(self) -> str:
        """By what a list on paper is sorted: the last word."""
        return (self.title.split() or [""])[-1].casefold()

    @property
    def arrived(self) -> int:
        """How many of them were let in."""
        return sum(1 for guest in self.guests if guest.at)

    @property
    def missing(self) -> int:
        """How many are not inside now."""
        return sum(1 for guest in self.guests if not guest.inside)

    @property
    def undoable(self) -> Fact | None:
        """The newest admission of the party that can still be undone now."""
        latest = max((guest.by for guest in self.guests if guest.by), key=lambda fact: fact.at, default=None)
        return latest if latest and clock.now() <= latest.at + UNDO_WITHIN else None

    @property
    def to_admit(self) -> int:
        """Bitmap of those not inside."""
        return sum(1 << guest.slot for guest in self.guests if not guest.inside)

    def fits(self, words: str) -> bool:
        """Every word is somewhere in the party's names."""
        names = " ".join([self.title, *(guest.name for guest in self.guests)]).casefold()
        return all(word in names for word in words.casefold().split())

    @property
    def has_conflict(self) -> bool:
        """Somebody came in twice."""
        return any(guest.twice for guest in self.guests)


def parties_of(event: Event, scans: list[Scan], states: Collection[str] = COMING) -> list[PartyLine]:
    """Everybody who has a ticket (or is in one of `states`), party by party, by name. One query, whatever their number; two
    where the host asks something.
    """
    told = truth_of(scans)
    gate_names = {scan.gate_id: scan.gate.name for scan in scans}
    rows = Attendee.objects.filter(event=event, is_live=True, registration__state__in=states)
    rows = rows.select_related("registration__member", "member", "child").order_by("registration", "slot")
    answers, kinds = questions.lines_of(event), ticket_types.names(event)
    found: dict[int, PartyLine] = {}
    for row in rows:
        owner = row.registration
        line = found.setdefault(owner.pk, PartyLine(owner, owner.holder, [], answers.get(owner.pk, [])))
        one = told.standing.get((owner.pk, row.slot), Standing())
        line.guests.append(_guest(row, one, gate_names, kinds.get(row.ticket_type, "")))
    return sorted(found.values(), key=lambda line: (line.title.casefold(), line.registration.pk))


def name_of(row: Attendee) -> str:
    """What the door calls an attendee. No query when member and child are at hand."""
    return str(row.member or row.child or row.name or _("Guest"))


def name_at_door(row: Attendee, kinds: Mapping[str, str]) -> str:
    """What a gate reads: the name, and the kind of ticket where the event has several (`kinds`: their names). No query."""
    kind = kinds.get(row.ticket_type)
    return f"{name_of(row)} · {kind}" if kind else name_of(row)


def _guest(row: Attendee, one: Standing, gate_names: dict[int, str], ticket: str) -> Guest:
    scan = one.by or one.first
    return Guest(
        name=name_of(row),
        slot=row.slot,
        is_child=row.child_id is not None,
        age=row.age,
        inside=one.inside,
        at=one.first.at if one.first else None,
        gate=gate_names.get(scan.gate, "") if scan else "",
        by=one.by,
        twice=one.bodies > 1,
        ticket=ticket,
    )


def door_log(event: Event, since: int, cards_since: datetime | None = None) -> dict[str, Any]:
    """What a gate needs to work by itself: keys, revoked serials, cards, the scans after `since`, counts.

    `cards_since` leaves out the cards of registrations unchanged since then. At most six queries, whatever the
    numbers; times are aware (UTC). At most 2,000 scans at once: `more` says that there are others.
    """
    scans = list(scans_of(event))
    told = truth_of(scans)
    fresh = [scan for scan in scans if scan.order > since][:LOG_PAGE]
    now = board(event, scans)
    parties = Registration.objects.filter(event=event).prefetch_related(
        "attendees__member", "attendees__child"
    )
    rows = list(parties.order_by("pk"))
    return {
        "cursor": fresh[-1].order if fresh else max(since, 0) if since <= now.cursor else now.cursor,
        "more": bool(fresh) and fresh[-1].order < now.cursor,
        "keys": tickets.public_keys(event),
        "min_serials": {row.public_id: row.min_serial for row in rows if row.min_serial > 1},
        "cards": [_card(event, row) for row in rows if row.is_coming and _is_fresh(row, cards_since)],
        "scans": [scan_data(scan, told) for scan in fresh],
        "counts": now.counts(),
        "walk_in_lease": None,
    }


def _is_fresh(row: Registration, since: datetime | None) -> bool:
    return since is None or row.changed_at >= since


def scan_data(scan: Scan, told: Truth) -> dict[str, Any]:
    """A scan of the log. A refused one names no registration: it decides nothing."""
    return {
        "cursor": scan.order,
        "id": str(scan.pk),
        "gate": scan.gate.name,
        "gate_id": scan.gate.public_id,
        "kind": scan.kind,
        "registration": ids.encode(scan.registration_id) if scan.registration_id else None,
        "slots": [slot for slot in range(16) if scan.slots >> slot & 1],
        "undoes": str(scan.undoes) if scan.undoes else None,
        "at": scan.at,
        "suspect": scan.is_suspect,
        "forced": scan.is_forced,
        "supervised": scan.is_supervised,
        "refused": scan.is_refused,
        "reason": scan.reason or None,
        "undone": scan.pk in told.undone,
    }


def _card(event: Event, row: Registration) -> dict[str, Any]:
    """The sealed card of a party: names and state, for the gate that is shown its QR. The attendees are prefetched."""
    kinds = ticket_types.names(event)
    people = [[one.slot, name_at_door(one, kinds)] for one in row.attendees.all() if one.is_live]
    content = {"registration": row.public_id, "version": row.version, "state": row.state, "people": people}
    plain = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    return tickets.sealed_card(tickets.ticket_of(row, event), plain) | {"version": row.version}


def etag_of(data: dict[str, Any]) -> str:
    """A strong entity tag of what is told, with its quotes (RFC 9110 §8.8.3)."""
    return f'"{hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:32]}"'
