"""The door: record what gates scanned, once and for good, and say what is true of it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from community.models import Member
from events import gates, tickets
from events.models import Event, Gate, Registration, Scan
from events.tickets import Ticket, Unreadable
from events.truth import ADMITTED, CONFLICT, Fact, Outcome, Standing, Truth, slots_in, truth
from realtime import clock as time
from realtime import live
from realtime.prepared import ID, IDS, prepared

FUTURE = timedelta(seconds=5)
CLOSES_AFTER = timedelta(hours=2)
ALREADY = "already_admitted"
REFUSED = "refused"
REASONS = (
    "unknown",
    "wrong_event",
    "cancelled",
    "unpaid",
    "not_yet",
    "too_late",
    "revoked",
    "forged",
    "id_reused",
)
IN_FRAME = 40  # scans told one by one on the live topic; a larger upload only says that there is more
State = Registration.State

# Of the event that is locked for a scan: what a door never reads, and what is long.
UNREAD = (
    "title",
    "description",
    "translations",
    "search",
    "languages",
    "price_note",
    "address",
    "venue",
    "note",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One scan as a gate sends it: a `code`, or `ticket` and `proof` from its queue. `slots`: bitmap, None for all."""

    id: UUID
    kind: str = Scan.Kind.IN
    scanned_at: datetime | None = None
    code: str = ""
    ticket: str = ""
    proof: str = ""
    slots: int | None = None
    undoes: UUID | None = None
    decision: str = ""
    reason: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """How far a gate's clock is behind the server's, in milliseconds; None when it never asked."""

    offset_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SlotAnswer:
    """What became of one place. `winner` is the scan that made that attendee inside, and its gate's name."""

    slot: int
    status: str
    name: str = ""
    winner: Fact | None = None
    winner_gate: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gate is told about one scan."""

    id: UUID
    status: str
    reason: str = ""
    at: datetime | None = None
    slots: Sequence[SlotAnswer] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answers in the order of the readings; `cursor` is the door log's newest order."""

    event: Event
    server_time: datetime
    cursor: int
    answers: Sequence[Answer]


@dataclass(slots=True)
class Party:
    """What the door needs of a registration: names by slot (a child's nickname too) and the places still live."""

    state: str
    min_serial: int
    live: int = 0
    names: dict[int, str] = field(default_factory=dict)


def record(
    gate: Gate, readings: Sequence[Reading], clock: DeviceClock, *, by: Member | None = None
) -> Recorded:
    """Store what a paired gate scanned and answer each scan with the truth of now.

    Serialised by the event's row. A scan that is known already (same id, same content) is not stored again.
    Four queries for any number of scans (parties, scans, lock, insert); nothing is raised for a bad scan.
    """

    def locked() -> Gate:
        for event in _locked(event=gate.event_id):
            gate.event = event
            return gate
        raise Event.DoesNotExist

    return _record(locked, readings, clock, by)


@prepared(event=ID)
def _locked(*, event: Any) -> QuerySet[Event]:
    return Event.objects.select_for_update().defer(*UNREAD).filter(pk=event)


def record_as(
    member: Member, event_id: int, name: str, readings: Sequence[Reading], clock: DeviceClock
) -> Recorded:
    """As `record`, for a member's own page at the door, as the gate of that name.

    The right, the gate and the lock are one query; at its first use a few more. Raises Event.DoesNotExist,
    PermissionDenied unless the member may stand at the door.
    """
    mine = Gate.objects.of(member).filter(event=event_id, name=name).select_related("event")

    def locked() -> Gate | None:
        return mine.select_for_update(of=("event",)).first()

    try:
        return _record(locked, readings, clock, member)
    except Gate.DoesNotExist:
        gates.own_gate(member, event_id, name)
        return _record(locked, readings, clock, member)


def _record(
    locked: Callable[[], Gate | None], readings: Sequence[Reading], clock: DeviceClock, by: Member | None
) -> Recorded:
    read = [_read(reading) for reading in readings]
    for is_last_try in (False, True):
        try:
            with transaction.atomic():
                gate = locked()
                if gate is None:
                    raise Gate.DoesNotExist
                return _Door(gate, clock, by, read).take()
        except (
            IntegrityError
        ):  # the same scan id was stored for another event at this very moment: now it is known
            if is_last_try:
                raise
    raise AssertionError("two tries, each answers or raises")


@dataclass(frozen=True, slots=True)
class _Read:
    """A reading, and what its code turned out to be: a ticket, or the reason why not."""

    reading: Reading
    ticket: Ticket | None = None
    reason: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the content: a genuine ticket sent as a code or from the queue is the same scan."""
        one = self.reading
        ticket = self.ticket.text if self.ticket else [one.code, one.ticket, one.proof]
        moment = one.scanned_at.timestamp() if one.scanned_at else None
        said = [ticket, one.kind, one.slots, str(one.undoes), one.decision, one.reason, one.forced, moment]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _read(reading: Reading) -> _Read:
    """Check the signature. Done before the lock: it is the slow part, and it needs no row."""
    if reading.kind == Scan.Kind.UNDO and not (reading.code or reading.ticket):
        return _Read(reading)
    try:
        ticket = (
            tickets.read_queued(reading.ticket, reading.proof)
            if reading.ticket
            else tickets.read(reading.code)
        )
    except Unreadable as wrong:
        return _Read(reading, reason=wrong.reason)
    if max(ticket.event, ticket.registration) >= 2**63:  # signed by us, yet no row can be called so
        return _Read(reading, reason="unknown")
    return _Read(reading, ticket)


@prepared(event=ID, ids=IDS, parties=IDS, undone=IDS)
def _scans(*, event: Any, ids: Any, parties: Any, undone: Any) -> QuerySet[Scan]:
    theirs = Q(registration__among=parties)
    if undone is not None:
        of_undone = Scan.objects.filter(pk__among=undone, event=event)
        theirs |= Q(registration__in=of_undone.values("registration"))
    early = Q(registration=None, kind=Scan.Kind.UNDO)  # came before what they undo
    newest = Q(order=Scan.objects.filter(event=event).order_by("-order").values("order")[:1])
    rows = Scan.objects.filter(Q(pk__among=ids) | Q(event=event) & (theirs | early | newest))
    return rows.select_related("gate")


class _Door:
    """One upload at one door, its event's row locked."""

    def __init__(self, gate: Gate, clock: DeviceClock, by: Member | None, read: Sequence[_Read]) -> None:
        self.gate, self.event, self.clock, self.by, self.read = gate, gate.event, clock, by, read
        self.now = time.now()
        self.supervises = bool(getattr(gate, "supervises", False))
        mine = {one.ticket.registration for one in read if one.ticket and one.ticket.event == self.event.pk}
        self.scans: dict[UUID, Scan] = {}
        self.by_party: dict[int | None, list[Scan]] = defaultdict(list)
        for scan in self._stored(mine):
            self._keep(scan)
        self.parties = _parties(self.event, mine | {party for party in self.by_party if party})
        self.head = self.first = max(
            (scan.order for rows in self.by_party.values() for scan in rows), default=0
        )
        self.new: list[Scan] = []

    def _keep(self, scan: Scan) -> None:
        self.scans[scan.pk] = scan
        if scan.event_id == self.event.pk:
            self.by_party[scan.registration_id].append(scan)

    def _stored(self, registrations: set[int]) -> list[Scan]:
        """In one query: these scans if known, what they undo, all scans of these parties, and the newest of the log."""
        ids = [one.reading.id for one in self.read]
        undone = [one.reading.undoes for one in self.read if one.reading.undoes]
        return _scans(event=self.event.pk, ids=[*ids, *undone], parties=registrations, undone=undone or None)

    def take(self) -> Recorded:
        """Store what is new, tell those who watch, answer."""
        before = self._truth()
        answers = [self._answer(one) for one in self.read]
        Scan.objects.bulk_create(self.new)
        if self.new:
            after = self._truth()
            change = {"arrived": after.attended - before.attended, "inside": after.inside - before.inside}
            live.publish(f"door:{self.event.public_id}", self._news(answers) | {"change": change})
        return Recorded(self.event, self.now, self.head, answers)

    def _news(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """For the board and the other gates: a hint, and the newest scans without any name."""
        fresh = {scan.pk for scan in self.new}
        told = [
            {"id": str(one.id), "status": one.status, "reason": one.reason}
            for one in answers
            if one.id in fresh
        ]
        news: dict[str, Any] = {"cursor": self.head, "after": self.first, "gate": self.gate.name}
        return news | ({"scans": told} if len(told) <= IN_FRAME else {})

    def _truth(self, party: int | None = None) -> Truth:
        """Of one party, or of all that are loaded."""
        rows = (
            [*self.by_party[party], *self.by_party[None]]
            if party
            else [one for rows in self.by_party.values() for one in rows]
        )
        return truth(
            map(Fact.of, rows),
            {one.gate_id: one.gate.distrust_from for one in rows if one.gate.distrust_from},
        )

    def _answer(self, one: _Read) -> Answer:
        reading = one.reading
        scan = self.scans.get(reading.id)
        if scan is None:
            scan = self._store(one)
        elif scan.digest != one.digest or scan.event_id != self.event.pk:
            return Answer(reading.id, REFUSED, "id_reused")
        return self._told(scan, self._asked(one, scan))

    def _store(self, one: _Read) -> Scan:
        reading, ticket = one.reading, one.ticket
        here = ticket is not None and ticket.event == self.event.pk and ticket.registration in self.parties
        at, is_suspect = self._moment(reading)
        self.head += 1
        scan = Scan(
            pk=reading.id,
            event=self.event,
            order=self.head,
            gate=self.gate,
            by=self.by,
            kind=reading.kind,
            registration_id=ticket.registration if ticket and here else None,
            serial=ticket.serial if ticket and here else None,
            slots=self._bitmap(reading, ticket) if ticket and here else 0,
            undoes=reading.undoes,
            at=at,
            received_at=self.now,
            is_suspect=is_suspect,
            is_forced=reading.forced,
            is_supervised=self.supervises,
            digest=one.digest,
        )
        if reading.kind == Scan.Kind.UNDO:
            self._judge_undo(scan)
        else:
            self._judge(scan, one, here)
        self._keep(scan)
        self.new.append(scan)
        return scan

    def _moment(self, reading: Reading) -> tuple[datetime, bool]:
        """(when it was scanned, by the server's clock; whether that had to be guessed)."""
        if reading.scanned_at is None or self.clock.offset_ms is None:
            return self.now, True
        try:
            at = reading.scanned_at + timedelta(milliseconds=self.clock.offset_ms)
        except OverflowError:
            return self.now, True
        is_paired = self.gate.digest is not None
        if at > self.now + FUTURE or (is_paired and at < self.gate.paired_at):
            return self.now, True
        return at, False

    def _bitmap(self, reading: Reading, ticket: Ticket) -> int:
        return ticket.slots if reading.slots is None else ticket.slots & reading.slots

    def _judge_undo(self, scan: Scan) -> None:
        """Whether it counts is for `truth` to say; an undo of what is not known yet waits for it."""
        target = self.scans.get(scan.undoes) if scan.undoes else None
        if target is not None and target.event_id == self.event.pk:
            scan.registration_id, scan.slots = target.registration_id, target.slots
        elif scan.undoes is None:
            scan.is_refused, scan.reason = True, "unknown"

    def _judge(self, scan: Scan, one: _Read, here: bool) -> None:
        """Decide a scan, or take the gate's word for it: then no flag changes what happened."""
        reading, ticket = one.reading, one.ticket
        reason = one.reason or ("" if ticket and ticket.event == self.event.pk else "wrong_event")
        if not reason and (not here or not scan.slots):
            reason = "unknown"
        if reading.decision == REFUSED:
            scan.is_refused, scan.reason = (
                True,
                reason or (reading.reason if reading.reason in REASONS else ""),
            )
        elif reason:
            scan.is_refused, scan.reason = True, reason
        elif ticket and reading.decision != ADMITTED and not reading.forced:
            self._decide(scan, ticket)

    def _decide(self, scan: Scan, ticket: Ticket) -> None:
        """The server's own yes or no, now: only places that are live and not inside are admitted."""
        party = self.parties[ticket.registration]
        if scan.kind == Scan.Kind.OUT:
            return
        scan.reason = _reason(self.event, party, ticket, self.now) or (
            "" if scan.slots & party.live else "revoked"
        )
        if scan.reason:
            scan.is_refused = True
            return
        standing = self._truth(ticket.registration).standing
        free = sum(
            1 << slot
            for slot in slots_in(scan.slots & party.live)
            if not _of(standing, ticket.registration, slot).inside
        )
        if free:
            scan.slots = free
        else:
            scan.is_refused = True  # without a reason: everybody is in already

    def _asked(self, one: _Read, scan: Scan) -> int:
        """The places a scan asked for that are, or were, somebody's."""
        party = self.parties.get(scan.registration_id or 0)
        if one.ticket is None or party is None:
            return scan.slots
        return scan.slots | self._bitmap(one.reading, one.ticket) & party.live

    def _told(self, scan: Scan, asked: int) -> Answer:
        """What is true of a stored scan now."""
        if scan.kind == Scan.Kind.UNDO:
            return Answer(
                scan.pk, REFUSED if scan.is_refused else self._undo_status(scan), scan.reason, scan.at
            )
        if scan.is_refused and (scan.reason or not scan.registration_id):
            return Answer(scan.pk, REFUSED, scan.reason, scan.at)
        told = self._truth(scan.registration_id)
        slots = [self._slot(told, scan, slot) for slot in slots_in(asked)]
        if scan.pk in told.undone:
            return Answer(scan.pk, "undone", "", scan.at, slots)
        return Answer(scan.pk, _summary({slot.status for slot in slots}), "", scan.at, slots)

    def _undo_status(self, undo: Scan) -> str:
        """undone, or refused when it came too late or from a gate that may not; what is unknown waits as undone."""
        target = self.scans.get(undo.undoes) if undo.undoes else None
        return (
            "undone" if target is None or target.pk in self._truth(undo.registration_id).undone else REFUSED
        )

    def _slot(self, told: Truth, scan: Scan, slot: int) -> SlotAnswer:
        party = self.parties.get(scan.registration_id or 0)
        name = party.names.get(slot, "") if party else ""
        outcome = told.outcomes.get(scan.pk, {}).get(slot)
        if outcome is None and scan.pk in told.undone:
            outcome = Outcome("undone")
        elif outcome is None:
            standing = _of(told.standing, scan.registration_id or 0, slot)
            outcome = Outcome(ALREADY, standing.by or standing.first) if standing.first else Outcome(REFUSED)
        gate = self.scans[outcome.winner.id].gate.name if outcome.winner else ""
        return SlotAnswer(slot, outcome.status, name, outcome.winner, gate)


def _of(standing: dict[tuple[int, int], Standing], registration: int, slot: int) -> Standing:
    return standing.get((registration, slot)) or Standing()


def _summary(statuses: set[str]) -> str:
    """One word for a party: all alike, or what needs a look first."""
    if len(statuses) == 1:
        return statuses.pop()
    if CONFLICT in statuses:
        return CONFLICT
    if ADMITTED in statuses:
        return "partly"
    return next((status for status in (ALREADY, "left", "not_inside") if status in statuses), REFUSED)


def _reason(event: Event, party: Party, ticket: Ticket, now: datetime) -> str:
    """Why the server says no to a genuine ticket of this event; empty when it does not."""
    if (
        party.state in (State.CANCELLED, State.DECLINED, State.EXPIRED)
        or event.state == Event.State.CANCELLED
    ):
        return "cancelled"
    if ticket.serial < party.min_serial:
        return "revoked"
    if party.state == State.AWAITING_PAYMENT:
        return "unpaid"
    if party.state != State.CONFIRMED:
        return "unknown"
    if event.doors_at is None or now < event.doors_at:
        return "not_yet"
    return "too_late" if event.over_at and now > event.over_at + CLOSES_AFTER else ""


def _parties(event: Event, registrations: Iterable[int]) -> dict[int, Party]:
    """The parties of this event among those ids. One query, none without ids."""
    found: dict[int, Party] = {}
    wanted = list(registrations)
    rows = _seats(event=event.pk, parties=wanted) if wanted else ()
    for pk, state, min_serial, slot, is_live, name, member, child in rows:
        party = found.setdefault(pk, Party(state, min_serial))
        if slot is not None:
            party.names[slot] = member or child or name or _("Guest")
            party.live |= (1 << slot) if is_live else 0
    return found


@prepared(event=ID, parties=IDS)
def _seats(*, event: Any, parties: Any) -> QuerySet[Registration, tuple[Any, ...]]:
    columns = ("pk", "state", "min_serial", "attendees__slot", "attendees__is_live", "attendees__name")
    rows = Registration.objects.filter(pk__among=parties, event=event)
    return rows.values_list(*columns, "attendees__member__display_name", "attendees__child__nickname")
