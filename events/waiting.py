"""The waiting list: a line of parties, and offers that hold the places that became free until somebody answers.

A freed place is offered in the transaction that freed it, so nobody new gets past who waits. An offer holds its places
for a day, nearer to the start for a quarter of the time that is left, and ends by itself: the sweep gives the places on.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from community.models import Child, Member
from events import bells, pools, ticket_types
from events.access import registration_for, registration_of_key
from events.models import Event, Registration
from events.party import sit_down, there, wanted_by
from events.seats import line_of, people_waiting
from events.telling import ANSWER, announce, tell
from realtime import clock, keys
from realtime.models import MailedKey

log = logging.getLogger(__name__)

PASSED_OVER_AT_MOST = 3
OFFER_HOLDS, OFFER_HOLDS_AT_LEAST = timedelta(hours=24), timedelta(minutes=30)
State = Registration.State


def offer_until(event: Event, now: datetime) -> datetime:
    """Until when (UTC) an offer made now holds its places: a day, at most a quarter of what is left to the start but at
    least half an hour, and never past the start.
    """
    assert event.starts_at is not None, "only events with a date are registered for"
    holds = max(OFFER_HOLDS_AT_LEAST, min(OFFER_HOLDS, (event.starts_at - now) / 4))
    return min(event.starts_at, now + holds)


def next_in(event: Event) -> datetime:
    """The moment (UTC) by which somebody stands last in the line, whatever the clock says. Event locked. One query."""
    last = line_of(event).aggregate(last=Max("queued_at"))["last"]
    return max(clock.now(), last + timedelta(microseconds=1)) if last else clock.now()


def must_fit_one_day(event: Event, needed: Counter[int]) -> None:
    """Raises ValidationError full for a party that is larger than all the places there are: it would wait for ever, and
    hold up whoever stands behind it. Event locked.
    """
    for pool in pools.beyond(event, needed):
        name = ticket_types.names(event).get(pool.name, "")
        said = {"n": pool.capacity, "name": name}
        if name:
            text = ngettext(
                "There is only %(n)d “%(name)s” ticket in all: your party never fits. Make it smaller.",
                "There are only %(n)d “%(name)s” tickets in all: your party never fits. Make it smaller.",
                pool.capacity or 0,
            )
        else:
            text = ngettext(
                "There is only %(n)d place in all: your party never fits. Make it smaller.",
                "There are only %(n)d places in all: your party never fits. Make it smaller.",
                pool.capacity or 0,
            )
        raise ValidationError(text % said, code="full")


def move_up(event: Event, present: Registration | None = None) -> list[Registration]:
    """Offer free places to the line by the event's rule, until the event begins. Event locked.

    Strict: in order; who does not fit holds up those behind. Who fits first: a party that does not fit is passed
    over, at most three times; after that it holds up those behind. Held up is who needs the places that it lacks: where
    there are kinds of tickets, who waits for one kind does not stand in the way of another. `present` is asking at this moment and needs no
    offer: their places are theirs at once.
    """
    moved: list[Registration] = []
    too_large: list[tuple[Registration, set[int]]] = []
    kept: set[int] = set()  # pools of which nobody further down gets a place
    now = clock.now()
    for registration in _line(event) if event.starts_at and event.starts_at > now else ():
        total = event.total
        if total is None or total.left == 0 or total.pk in kept:
            break
        needed = wants(registration)
        short = pools.lacking(event, needed)
        if kept & needed.keys():
            continue
        if short or not pools.take(event, needed):
            if event.waiting_list == Event.WaitingList.FIT and registration.passed_over < PASSED_OVER_AT_MOST:
                too_large.append((registration, short))
            else:
                kept |= short
            continue
        for earlier, lacks in too_large:
            if lacks & needed.keys():  # somebody behind them goes first
                earlier.passed_over += 1
                earlier.save(update_fields=["passed_over"])
                kept |= lacks if earlier.passed_over >= PASSED_OVER_AT_MOST else set()
        if registration.more:
            _grow(registration)
        elif registration == present:
            pools.claim(registration)
            _confirm(registration)
        else:
            pools.claim(registration)
            registration.state, registration.offer_expires_at = State.OFFERED, offer_until(event, now)
            pools.touch(registration)
            tell(registration, "event_offered")
        moved.append(registration)
    return moved


def _line(event: Event) -> Iterable[Registration]:
    """Who waits, the first first, but for parties that no longer fit whoever goes, since there are fewer places by now: they
    hold nobody up. One query, two where somebody waits; one more where there are kinds of tickets.
    """
    rows = line_of(event).select_related("member").order_by("queued_at", "pk")
    if event.ticket_types:
        rows = rows.prefetch_related("attendees")
    for row in rows:
        pools.pools_of(event)  # read once, under the lock
        row.event = event
        needed = wants(row) + (pools.need_of(row) if row.more else Counter())
        if not pools.beyond(event, needed):
            yield row


def wants(registration: Registration) -> Counter[int]:
    """The places for which a party stands in the line. No query in `_line`."""
    if registration.more and registration.event.ticket_types:
        return pools.need(registration.event, wanted_by(registration))
    if registration.more:
        return Counter({pool.pk: registration.more for pool in pools.pools_of(registration.event)})
    return pools.need_of(registration)


def is_behind(event: Event, needed: Counter[int], waiting: int | None = None) -> bool:
    """Somebody who waits goes before a newcomer who needs these places; `waiting`: how many people wait, if that is known.

    Where there are kinds of tickets, those who wait for a kind that is full hold up who needs that kind, and nobody else.
    Event locked. One query unless `waiting` is known; where somebody waits two more, with kinds of tickets three.
    """
    waiting = people_waiting(event) if waiting is None else waiting
    if not waiting or not event.ticket_types:
        return bool(waiting) and any(True for _row in _line(event))
    return any(pools.lacking(event, wants(row)) & needed.keys() for row in _line(event))


def _grow(registration: Registration) -> None:
    """A party that comes gets the places it waited for, already taken: its others join it, but for who comes otherwise by now or is gone."""
    event, people = registration.event, wanted_by(registration)
    known = set(there(event, people).values_list("member", "child"))
    members = {one.member_id for one in people if one.member_id}
    children = {one.child_id for one in people if one.child_id}
    here = set(Member.objects.filter(pk__in=members, is_active=True).values_list("pk", flat=True))
    still = set(Child.objects.filter(pk__in=children).values_list("pk", flat=True))
    joining = [
        one
        for one in people
        if (not one.member_id or one.member_id in here)
        and (not one.child_id or one.child_id in still)
        and (not (one.member_id or one.child_id) or (one.member_id, one.child_id) not in known)
    ]
    pools.shift(event, wants(registration), pools.need(event, joining))
    sit_down(registration, joining, registration.next_slot)
    registration.next_slot += len(joining)
    registration.party_size += len(joining)
    registration.passed_over = 0
    registration.save(update_fields=["next_slot", "passed_over"])
    pools.want_no_more(registration)
    vars(registration).pop("_prefetched_objects_cache", None)  # the party is another by now
    pools.claim_anew(registration)
    pools.touch(registration)
    pools.enter(registration)
    tell(registration, "event_party", rings="event_grown")


def _confirm(registration: Registration) -> None:
    registration.state, registration.offer_expires_at = State.CONFIRMED, None
    pools.touch(registration)
    pools.enter(registration)


@transaction.atomic
def accept(member: Member, registration_id: int) -> Registration:
    """Take the places that are offered. A second time changes nothing.

    Raises Registration.DoesNotExist, PermissionDenied for anybody but who registered, ValidationError: closed (nothing
    is offered), too_late (the offer has ended).
    """
    return take_offer(_to_answer(member, registration_id))


def take_offer(registration: Registration) -> Registration:
    """As `accept`, whoever answers for the party. Event and registration locked."""
    if registration.state == State.CONFIRMED:
        return registration
    if registration.state != State.OFFERED:
        raise ValidationError(_("Nothing is offered to you here any more."), code="closed")
    if registration.offer_expires_at is None or registration.offer_expires_at <= clock.now():
        raise ValidationError(_("This offer has ended. You can queue up again."), code="too_late")
    _confirm(registration)
    bells.settle(registration, "event_offered")
    tell(registration, "event_accepted")
    announce(registration.event)
    return registration


@transaction.atomic
def decline(member: Member, registration_id: int) -> Registration:
    """Leave the places that are offered to the next in line. A second time changes nothing. Raises as `accept`."""
    return leave_offer(_to_answer(member, registration_id))


def leave_offer(registration: Registration) -> Registration:
    """As `decline`, whoever answers for the party. Event and registration locked."""
    if registration.state in {State.DECLINED, State.EXPIRED}:
        return registration
    if registration.state != State.OFFERED:
        raise ValidationError(_("Nothing is offered to you here any more."), code="closed")
    bells.settle(registration)
    pools.release(registration, State.DECLINED)
    move_up(registration.event)
    announce(registration.event)
    return registration


def _to_answer(member: Member, registration_id: int) -> Registration:
    registration = registration_for(member, registration_id, lock=True)
    if registration.member_id != member.pk:
        raise PermissionDenied(_("Only who registered can answer."))
    return registration


def offer_by_key(registration_id: int, secret: str) -> Registration:
    """The registration whose offer the key of a mail may answer. Raises MailedKey.DoesNotExist, also when it was answered
    elsewhere. Changes nothing.
    """
    registration = registration_of_key(ANSWER, registration_id, secret)
    if registration.state != State.OFFERED:
        raise MailedKey.DoesNotExist
    return registration


def accepted_by_key(registration_id: int, secret: str) -> Registration | None:
    """The party that said yes with this key, and comes; None for any other. Two queries at most."""
    if not keys.was_used(ANSWER, registration_id, secret):
        return None
    row = Registration.objects.select_related("event__place", "member").filter(pk=registration_id).first()
    return row if row is not None and row.is_coming else None


@transaction.atomic
def answer_by_key(registration_id: int, secret: str, *, accepts: bool) -> Registration:
    """As `accept` or `decline`, for who holds the key of a mail, used up by it. Raises MailedKey.DoesNotExist too."""
    member = keys.use(ANSWER, registration_id, secret).member
    assert member is not None, "made for who registered"
    return (accept if accepts else decline)(member, registration_id)


def expire_offers() -> int:
    """The sweep: offers whose time is over end, and their places go on. Returns how many.

    One transaction an event, its row locked as every verb does, so that an answer comes before or after, never between.
    """
    due = Registration.objects.filter(state=State.OFFERED, offer_expires_at__lte=clock.now())
    return each_of(set(due.values_list("event", flat=True)), _expire_at)


def each_of(events: Iterable[int], work: Callable[[int], int]) -> int:
    """Do this at each event, in order; where one fails the others are done all the same. The sum of what each returns."""
    done = 0
    for event_id in sorted(events):
        try:
            done += work(event_id)
        except Exception:  # its rows are still due, and it is seen in the log
            log.exception("a sweep failed at event %s", event_id)
    return done


@transaction.atomic
def _expire_at(event_id: int) -> int:
    event = Event.objects.select_for_update(of=("self",)).get(pk=event_id)
    due = event.registrations.filter(state=State.OFFERED, offer_expires_at__lte=clock.now())
    ended = list(due.select_related("member", "event").order_by("offer_expires_at", "pk"))
    for registration in ended:
        registration.event = event
        bells.settle(registration)
        tell(registration, "event_offer_ended")
        pools.release(registration, State.EXPIRED)
    move_up(event)
    announce(event)
    return len(ended)
