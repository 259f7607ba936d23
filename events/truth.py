"""What is true at a door: a function of the set of stored scans, whatever their order, batching or repetition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from events.models import Scan

UNDO_WITHIN = timedelta(seconds=120)

ADMITTED = "admitted"
CONFLICT = "recorded_conflict"
LEFT = "left"
NOT_INSIDE = "not_inside"


@dataclass(frozen=True, slots=True)
class Fact:
    """A stored scan, as far as it decides anything. `slots` is a bitmap; `at` is aware."""

    id: UUID
    gate: int
    at: datetime
    kind: str
    registration: int | None
    slots: int
    undoes: UUID | None = None
    is_refused: bool = False
    is_supervised: bool = False

    @classmethod
    def of(cls, scan: Scan) -> Fact:
        """The fact of a row. No query."""
        return cls(
            scan.pk,
            scan.gate_id,
            scan.at,
            scan.kind,
            scan.registration_id,
            scan.slots,
            scan.undoes,
            scan.is_refused,
            scan.is_supervised,
        )


@dataclass(slots=True)
class Standing:
    """Where one attendee stands. `by` is the scan that made them inside; `bodies` may be two after a conflict."""

    inside: bool = False
    first: Fact | None = None
    by: Fact | None = None
    bodies: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scan did to one slot; a conflict names the scan that was there before."""

    status: str
    winner: Fact | None = None


@dataclass(slots=True)
class Truth:
    """`standing` by (registration, slot); `outcomes` of each counted scan by slot; `undone` scans count for nothing."""

    standing: dict[tuple[int, int], Standing] = field(default_factory=dict)
    outcomes: dict[UUID, dict[int, Outcome]] = field(default_factory=dict)
    undone: set[UUID] = field(default_factory=set)

    @property
    def attended(self) -> int:
        """Attendees who were let in at least once."""
        return sum(1 for one in self.standing.values() if one.first)

    @property
    def inside(self) -> int:
        """Bodies inside now."""
        return sum(one.bodies for one in self.standing.values())


def slots_in(bitmap: int) -> list[int]:
    """The slots of a bitmap, ascending."""
    return [slot for slot in range(bitmap.bit_length()) if bitmap >> slot & 1]


def truth(facts: Iterable[Fact], distrust: Mapping[int, datetime] | None = None) -> Truth:
    """What the set of scans says (`distrust`: gate → from when nothing it says counts). Pure; n log n.

    The rules are those of the outside interface, in their order; the numbers below are theirs.
    """
    distrust = distrust or {}
    unique = {fact.id: fact for fact in facts}
    trusted = {
        key: fact
        for key, fact in unique.items()
        if not (fact.gate in distrust and fact.at >= distrust[fact.gate])
    }  # 1
    told = Truth(undone=_undone(trusted))
    counted = [fact for fact in trusted.values() if not fact.is_refused and fact.kind != Scan.Kind.UNDO]  # 1
    for fact in sorted(counted, key=lambda fact: (fact.at, fact.id)):  # 3
        if fact.id in told.undone or fact.registration is None:  # 2
            continue
        told.outcomes[fact.id] = {
            slot: _apply(told.standing.setdefault((fact.registration, slot), Standing()), fact)
            for slot in slots_in(fact.slots)
        }
    return told


def _undone(facts: Mapping[UUID, Fact]) -> set[UUID]:
    """Rule 2: undone within 120 s by the same gate or a supervisor."""
    found = set()
    for undo in facts.values():
        target = facts.get(undo.undoes) if undo.undoes and undo.kind == Scan.Kind.UNDO else None
        if target is None or undo.is_refused or undo.at - target.at > UNDO_WITHIN:
            continue
        if undo.is_supervised or undo.gate == target.gate:
            found.add(target.id)
    return found


def _apply(one: Standing, fact: Fact) -> Outcome:
    """Rule 3 for one slot. Somebody else's body stays counted until it leaves too."""
    was_inside, winner = one.inside, one.by
    if fact.kind == Scan.Kind.OUT:
        one.inside, one.by = False, None
        one.bodies = max(one.bodies - 1, 0)
        return Outcome(LEFT if was_inside else NOT_INSIDE)
    one.bodies += 1
    if was_inside:
        return Outcome(CONFLICT, winner)
    one.inside, one.by = True, fact
    one.first = one.first or fact
    return Outcome(ADMITTED)
