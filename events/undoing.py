"""A call-off can be taken back for ten minutes: the event comes again with exactly the parties that it ended.

Its mails wait as long, so that nobody is told of a slip of the finger; where it begins within hours they leave at once,
for somebody may be on the way. Who was told is told once more that it takes place after all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from community.models import Member
from events import bells, reminding
from events.access import event_for, may_run
from events.models import Answers, Attendee, CallOff, Claim, EndedParty, Event, Pool, Registration
from events.telling import ANSWER, announce, claim_of, people_of, tell, whose
from events.waiting import move_up, offer_until
from realtime import bell, clock, keys, notify

LASTS = timedelta(minutes=10)
ON_THE_WAY = timedelta(hours=3)
BATCH = 200
TOLD = "event_called_off"
State = Registration.State


def told_at(event: Event) -> datetime | None:
    """Until when what tells of a call-off is held back: as long as it can be taken back; None when the event begins soon."""
    now = clock.now()
    far = event.starts_at is not None and event.starts_at - now > ON_THE_WAY
    return now + LASTS if far else None


def remember(event: Event, rows: Sequence[Registration], held_until: datetime | None) -> None:
    """Write down what a call-off of a locked event is about to end: these live parties, who have just been written to.

    Their mails wait until then, if at all, as their bells do already. Six queries, one more for each party.
    """
    now = clock.now()
    CallOff.objects.filter(event=event).delete()
    call_off = CallOff.objects.create(
        event=event, version=event.version, until=now + LASTS, told_at=held_until or now
    )
    slots, claims = Counter[int](), dict[int, dict[str, int]]()
    for party, slot in Attendee.objects.filter(event=event, is_live=True).values_list("registration", "slot"):
        slots[party] |= 1 << slot
    for claim in Claim.objects.filter(registration__in=[row.pk for row in rows]):
        claims.setdefault(claim.registration_id, {})[str(claim.pool_id)] = claim.n
    EndedParty.objects.bulk_create(
        EndedParty(
            call_off=call_off,
            registration=row,
            state=row.state,
            version=row.version,
            min_serial=row.min_serial,
            slots=slots[row.pk],
            claims=claims.get(row.pk, {}),
        )
        for row in rows
    )
    if held_until is not None:
        told = [
            claim_of(TOLD, row, (row.version, event.version), person)
            for row in rows
            for person in people_of(row)
        ]
        notify.hold(told, held_until)


def open_for(event: Event) -> CallOff | None:
    """The call-off of this event that can still be taken back. One query; none unless it is called off."""
    if event.state != Event.State.CANCELLED or event.is_over:
        return None
    return CallOff.objects.filter(event=event, until__gt=clock.now(), undone_at=None).first()


@transaction.atomic
def restore(member: Member, event_id: int) -> Event:
    """Take a call-off back: event, parties, places, line and tickets are as they were; offers get a fresh term.

    A second time changes nothing. Raises Event.DoesNotExist, PermissionDenied, ValidationError: closed (it is not called
    off), too_late (that was more than ten minutes ago, or its time is over).
    """
    event = event_for(member, event_id, lock=True)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can change it."))
    call_off = CallOff.objects.filter(event=event).first()
    if event.state == Event.State.PUBLISHED and call_off is not None and call_off.undone_at:
        return event
    if event.state != Event.State.CANCELLED:
        raise ValidationError(_("This event is not called off."), code="closed")
    if event.fell_away:
        text = _(
            "The rule of its series no longer has this date. Change the rule so that it has it, and it comes back."
        )
        raise ValidationError(text, code="closed")
    if call_off is None or call_off.undone_at or call_off.until <= clock.now():
        raise ValidationError(_("This can no longer be undone: everybody has been told."), code="too_late")
    if event.is_over:
        raise ValidationError(_("This event is over."), code="too_late")
    event.state, event.cancel_reason = Event.State.PUBLISHED, ""
    event.version += 1
    event.sequence += 1
    event.updated_at = clock.now()
    event.save(update_fields=["state", "cancel_reason", "version", "sequence", "updated_at"])
    reminding.give_again(event)
    ended = call_off.parties.select_related("registration__member").order_by("registration")
    rows = _come_back(event, ended)
    _say(call_off, ended, rows)
    call_off.parties.all().delete()
    CallOff.objects.filter(pk=call_off.pk).update(undone_at=clock.now())
    move_up(event)  # who is gone for good since then left places free
    announce(event)
    return event


def kept_its_hour(event: Event) -> bool:
    """A date of a series that took place at another hour when it was called off than its series has now. At most one query."""
    if event.series is None or event.is_changed or event.local_start is None:
        return False
    return event.local_start.replace(tzinfo=None) != datetime.fromisoformat(event.original_start)


def _come_back(event: Event, ended: QuerySet[EndedParty]) -> list[Registration]:
    """The parties as they were, in places, line and room, but for those that said meanwhile that they do not come: these stay
    cancelled. All of them. Event locked. Five queries, one more for each pool and batch.
    """
    was = {one.registration_id: one for one in ended}
    seated: dict[int, list[Attendee]] = {}
    for attendee in Attendee.objects.filter(registration__in=was).select_related("member").order_by("slot"):
        if was[attendee.registration_id].slots >> attendee.slot & 1:
            seated.setdefault(attendee.registration_id, []).append(attendee)
    for one in was.values():
        one.registration.event, one.registration.seated = event, seated.get(one.registration_id, [])
    back = [one for one in was.values() if one.state != State.CANCELLED]
    live = [attendee.pk for one in back for attendee in one.registration.seated]
    Attendee.objects.filter(pk__in=live).update(is_live=True)
    taken, claims, rows = Counter[int](), [], []
    for one in back:
        row = one.registration
        row.state, row.min_serial = State(one.state), one.min_serial
        row.offer_expires_at = _fresh_term(row) if row.state == State.OFFERED else None
        row.version += 1
        row.changed_at = clock.now()
        rows.append(row)
        for pool, n in one.claims.items():
            taken[int(pool)] += n
            claims.append(Claim(registration=row, pool_id=int(pool), n=n))
    for pk in sorted(taken):
        Pool.objects.filter(pk=pk).update(taken=F("taken") + taken[pk])
    Claim.objects.bulk_create(claims, BATCH)
    fields = ["state", "min_serial", "offer_expires_at", "version", "changed_at"]
    Registration.objects.bulk_update(rows, fields, BATCH)
    return [one.registration for one in was.values()]


def _fresh_term(row: Registration) -> datetime:
    """Until when the places are held now; the key in the mail that offered them is good as long. One query."""
    until = offer_until(row.event, clock.now())
    keys.extend(ANSWER, row.pk, until)
    return until


def _say(call_off: CallOff, ended: QuerySet[EndedParty], rows: list[Registration]) -> None:
    """Mails of the call-off that have not left never leave, no bell tells of it; whom one of them may have reached hears
    that it takes place after all.
    """
    versions = {one.registration_id: (one.version, call_off.version) for one in ended}
    claims = {
        claim_of(TOLD, row, versions[row.pk], person): (row, whose(person))
        for row in rows
        for person in people_of(row)
    }
    told: dict[int, set[str]] = {}
    for claim in notify.withdraw(claims) | bell.withdraw(claims):
        row, person = claims[claim]
        told.setdefault(row.pk, set()).add(person)
    for row in rows:
        if row.pk in told and row.state != State.CANCELLED:
            tell(row, "event_restored", only=told[row.pk])


def let_go() -> int:
    """The sweep: a call-off whose ten minutes are over is final, and what it ended is forgotten. Returns how many.

    One transaction an event, its row locked as `restore` does: who takes it back finds all of it or nothing.
    """
    over = CallOff.objects.filter(until__lte=clock.now()).values_list("event", flat=True)
    return sum(map(_let_go_of, sorted(over)))


@transaction.atomic
def _let_go_of(event_id: int) -> int:
    Event.objects.select_for_update().only("pk").get(pk=event_id)
    over = CallOff.objects.filter(event=event_id, until__lte=clock.now())
    if over.filter(undone_at=None).exists():
        Answers.objects.filter(registration__event=event_id).delete()  # nobody comes any more
        bell.take_back(bell.about(bells.SUBJECT, event_id, *bells.OPEN))
    return int(over.delete()[0] > 0)
