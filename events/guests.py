"""Guests without an account: a party is asked for with a name and an address, and comes once its mail was followed.

Whoever holds the key of such a mail is the guest: it opens their page until the event is over. Whether an address is
known here is never shown: the answer on the page is always the same, and what is so stands in the mail. (How many places
are taken is public, held ones too: whoever watches it closely may see that a party of a new address was added.)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Sum
from django.utils.translation import gettext as _

from community.models import Member
from events import calendars, pools, questions
from events.access import event_for, registration_of_key
from events.models import Answers, Attendee, EndedParty, Event, Registration
from events.models.details import Details
from events.models.registration import LIVE, Guest
from events.party import Person, by_name, sit_down
from events.questions import Given
from events.registration import (
    NOTHING,
    TOLD,
    end,
    must_be_changeable,
    must_be_open,
    must_not_be_fixed,
    must_not_be_turned_down,
    must_take_place,
    no_room,
    reseat,
    stay_away,
)
from events.seats import people_waiting
from events.telling import GUEST, announce, ask_host, tell, whose
from events.waiting import each_of, is_behind, leave_offer, move_up, must_fit_one_day, next_in, take_offer
from realtime import clock
from realtime.ids import new_id
from realtime.models import Mail, MailedKey

HOLDS = timedelta(minutes=15)  # so long an address may take to say that it is theirs
SHARE = 10  # one place in so many is held at most for parties that have not said so yet
MAILS_AN_HOUR = 3  # to one address: it may be somebody else's
AT_ONCE = 200  # parties of one event that have not confirmed yet
KINDS = ("guest_confirm", "guest_again")
State = Registration.State


@transaction.atomic
def ask(
    event_id: int,
    guest: Guest,
    others: Sequence[str | Person] = (),
    given: Given = NOTHING,
    ticket: str = "",
) -> None:
    """A party of a guest and others by name: a mail goes to the address, and nobody comes before its link was followed.

    `ticket` is the guest's own, where the event has kinds of them.

    The places are held for `HOLDS`, as long as no more than one in `SHARE` are so; beyond that they are taken with the
    confirmation. Raises Event.DoesNotExist (also where it is not for everybody), ValidationError closed, too_late, full,
    too_fast, or with errors of `party`. Whatever the address is, the answer is the same. Asked twice, it is one party: until
    it is confirmed as it was asked for last, then as it is.
    """
    event = event_for(None, event_id, lock=True)
    people, fits = _checked(event, guest, others, given, ticket)
    if event.registrations.filter(state=State.UNCONFIRMED).count() >= AT_ONCE:
        raise ValidationError(
            _("A lot of people ask at this moment. Try again in a few minutes."), code="too_fast"
        )
    email = guest.email.strip().lower()
    if _has_enough(email):
        return
    again = f":{clock.now():%Y%m%d%H%M%S%f}"
    known = party_of(event, email)
    if known is not None and known.state != State.UNCONFIRMED:
        _send_again(event, known, again)
        return
    row = (
        _written_anew(event, known, guest, others, given, ticket)
        if known
        else _written(event, guest, people, given, fits=fits)
    )
    tell(row, "guest_confirm", calendar=calendars.no_invitation, again=again)
    if known is not None:
        move_up(event)
    announce(event)


def party_of(event: Event, email: str) -> Registration | None:
    """The live party in the name of who has this address, be it a guest's or a member's. One query."""
    theirs = Q(guest_email=email) | Q(member__email__iexact=email, member__is_active=True)
    return event.registrations.live().select_related("member").filter(theirs).first()


def _written_anew(
    event: Event, known: Registration, guest: Guest, others: Sequence[str | Person], given: Given, ticket: str
) -> Registration:
    """The party as it was asked for last, in place of one that nobody confirmed: the same links open it. Event locked."""
    known.event, pk = event, known.pk
    _forget(known)
    people, fits = _checked(event, guest, others, given, ticket)
    return _written(event, guest, people, given, fits=fits, pk=pk)


def come(
    event: Event,
    guest: Guest,
    others: Sequence[str | Person] = (),
    given: Given = NOTHING,
    ticket: str = "",
) -> Registration:
    """A party of a guest whose address is known to be theirs: as `ask` and `confirm` in one, whoever may see the event.
    Event locked.

    Who has a party there gets it as it is. Raises ValidationError as `ask` and `confirm`, but not too_fast.
    """
    row = party_of(event, guest.email)
    if row is None:
        people, fits = _checked(event, guest, others, given, ticket)
        row = _written(event, guest, people, given, fits=fits)
    elif row.state == State.UNCONFIRMED:
        row = _written_anew(event, row, guest, others, given, ticket)
    row.event = event
    return _confirmed(row) if row.state == State.UNCONFIRMED else row


def _checked(
    event: Event, guest: Guest, others: Sequence[str | Person], given: Given, ticket: str
) -> tuple[list[Person], bool]:
    """The party, if it may ask: it is open, and there is room (True) or a line. Raises ValidationError as `ask`."""
    must_be_open(event)
    people = _party(event, guest, others, ticket)
    questions.checked(event, given)
    needed, waiting = pools.need(event, people), people_waiting(event)
    fits = not is_behind(event, needed, waiting) and not pools.lacking(event, needed)
    if not (fits or event.waiting_list or event.by_approval):
        raise no_room(event, needed, waiting)
    must_fit_one_day(event, needed)
    return people, fits


def _written(
    event: Event, guest: Guest, people: Sequence[Person], given: Given, *, fits: bool, pk: int | None = None
) -> Registration:
    """The party as it is before its address is confirmed, with this id: where it fits it holds places, if there are some to hold."""
    n, needed, left = len(people), pools.need(event, people), event.total.left if event.total else None
    row = Registration(
        pk=pk or new_id(),
        event=event,
        guest_email=guest.email.strip().lower(),
        guest_name=people[0].name,
        language=guest.language,
        state=State.UNCONFIRMED,
        party_size=n,
        next_slot=n,
    )
    pending = event.registrations.filter(state=State.UNCONFIRMED, queued_at=None)
    held = pending.aggregate(n=Sum("party_size"))["n"] or 0
    may_hold = left is None or held + n <= max(1, (event.capacity or 0) // SHARE)
    holds = fits and may_hold and not event.by_approval and pools.take(event, needed)
    row.queued_at = None if holds else clock.now()
    row.save(force_insert=True)
    row.seated = sit_down(row, people, 0)
    questions.keep(row, given)
    if holds:
        pools.claim(row)
    return row


@transaction.atomic
def send_again(event_id: int, email: str) -> None:
    """Who lost the mail with their link gets it once more, also when it is full or registration has closed.

    A party of an address that belongs to an account gets the way to its own page. Whatever the address is, the answer is
    the same. Raises Event.DoesNotExist, also where it is not for everybody.
    """
    event = event_for(None, event_id, lock=True)
    address = email.strip().lower()
    if event.is_over or not address or _has_enough(address):
        return
    known = party_of(event, address)
    if known is not None:
        _send_again(event, known, f":{clock.now():%Y%m%d%H%M%S%f}")


def _has_enough(email: str) -> bool:
    """So many mails went to this address lately that one more is no help. One query."""
    lately = Mail.objects.filter(kind__in=KINDS, to=email, created_at__gt=clock.now() - timedelta(hours=1))
    return lately.count() >= MAILS_AN_HOUR


def _send_again(event: Event, known: Registration, again: str) -> None:
    """The mail with the way to a party's page, to who made it alone."""
    known.event = event
    only = {whose(known.member)} if known.member else None
    tell(
        known,
        KINDS[known.state != State.UNCONFIRMED],
        calendar=calendars.no_invitation,
        again=again,
        only=only,
    )


def of_key(registration_id: int, secret: str) -> Registration:
    """The party that a guest's key opens. Two queries. Raises MailedKey.DoesNotExist. Changes nothing."""
    row = registration_of_key(GUEST, registration_id, secret)
    if row.event.visibility != Details.Visibility.PUBLIC and row.state == State.UNCONFIRMED:
        raise MailedKey.DoesNotExist
    return row


@transaction.atomic
def confirm(registration_id: int, secret: str) -> Registration:
    """The address is theirs: the party comes, or asks, or stands in the line. A second time changes nothing.

    If the address is a member's, the party is the member's from now on. Raises MailedKey.DoesNotExist, ValidationError
    full (nothing was held, and it became full meanwhile), closed, too_late.
    """
    row = _locked(registration_id, secret)
    return _confirmed(row) if row.state == State.UNCONFIRMED else row


def _confirmed(row: Registration) -> Registration:
    """As `confirm`, of a party that is not confirmed yet. Event locked."""
    event = row.event
    must_take_place(event)
    _must_not_come_already(row)
    needed, held = pools.need_of(row), row.has_places
    row.queued_at = None
    if event.by_approval and not held:
        email = row.guest_email
        must_not_be_turned_down(event, Q(guest_email=email) | Q(member__email__iexact=email))
        row.state, row.queued_at = State.REQUESTED, next_in(event)
    elif held or (not is_behind(event, needed) and pools.take(event, needed)):
        row.state = State.CONFIRMED
    elif event.waiting_list:
        must_fit_one_day(event, needed)
        row.state, row.queued_at = State.WAITING, next_in(event)
    else:
        raise no_room(event, needed)
    row.save(update_fields=["queued_at"])
    pools.touch(row)
    if row.state == State.CONFIRMED and not held:
        pools.claim(row)
    _adopt_if_known(row)
    if (
        row.state == State.WAITING
        and event.waiting_list == Event.WaitingList.FIT
        and row in move_up(event, row)
    ):
        row.refresh_from_db()
    tell(row, TOLD[State(row.state)])
    if row.state == State.REQUESTED:
        ask_host(row)
    announce(event)
    return row


def _must_not_come_already(row: Registration) -> None:
    """Nobody comes twice: who has an account with this address and is in a party there already. At most three queries."""
    owner = owner_of(row.guest_email)
    if owner is not None and (
        row.event.registrations.live().filter(member=owner).exists()
        or Attendee.objects.filter(event=row.event, member=owner, is_live=True).exists()
    ):
        text = _(
            "You are already registered for this event. Sign in to see your ticket, and to change who comes."
        )
        raise ValidationError(text, code="already_registered")


@transaction.atomic
def change(
    registration_id: int,
    secret: str,
    names: Sequence[str | Person],
    given: Given | None = None,
    ticket: str = "",
) -> Registration:
    """Make the party the guest and these others, with `ticket` as in `ask`. Raises MailedKey.DoesNotExist, and ValidationError as `change_party`."""
    row = _locked(registration_id, secret)
    must_be_changeable(row)
    if given is not None:
        questions.keep(row, given)
    return reseat(row, _party(row.event, row.guest or Guest("", "", ""), names, ticket))


@transaction.atomic
def cancel(registration_id: int, secret: str) -> Registration:
    """Give the places back. A second time changes nothing. Raises MailedKey.DoesNotExist, and ValidationError as `cancel`."""
    row = _locked(registration_id, secret)
    if row.state == State.UNCONFIRMED:
        _forget(row)
        move_up(row.event)
        announce(row.event)
        return row
    if row.state in (State.CANCELLED, State.DECLINED, State.EXPIRED):
        if row.state == State.CANCELLED:
            stay_away(row)
        return row
    must_take_place(row.event)
    must_not_be_fixed(row)
    return end(row)


@transaction.atomic
def answer(registration_id: int, secret: str, *, accepts: bool) -> Registration:
    """Yes or no to places that are offered. Raises MailedKey.DoesNotExist, and ValidationError as `accept`."""
    row = _locked(registration_id, secret)
    return take_offer(row) if accepts else leave_offer(row)


@transaction.atomic
def still(registration_id: int, secret: str) -> Registration:
    """The guest still comes. Raises MailedKey.DoesNotExist, ValidationError closed, too_late."""
    row = _locked(registration_id, secret)
    if not row.is_coming:
        raise ValidationError(_("This registration is no longer open."), code="closed")
    must_take_place(row.event)
    row.still_coming_at = clock.now()
    row.save(update_fields=["still_coming_at"])
    return row


def adopt(member: Member) -> int:
    """Parties made with an address that is now the member's are theirs; how many. Those they come to already stay.

    One transaction each, its event locked first as in every verb.
    """
    address = EmailAddress.objects.filter(user=member, verified=True, email__iexact=member.email)
    if not address.exists():
        return 0
    ended = EndedParty.objects.filter(registration=OuterRef("pk"))  # a call-off that can still be taken back
    found = Registration.objects.filter(guest_email=member.email.lower()).exclude(Exists(ended))
    found = found.exclude(state=State.UNCONFIRMED).order_by("pk")  # its link brings it here
    return sum(_adopt_one(member, pk) for pk in list(found.values_list("pk", flat=True)))


def expire() -> int:
    """The sweep: of a party whose address was not confirmed in time nothing is left, and its places go on. How many."""
    due = Registration.objects.filter(state=State.UNCONFIRMED, created_at__lte=clock.now() - HOLDS)
    return each_of(set(due.values_list("event", flat=True)), _expire_at)


@transaction.atomic
def _expire_at(event_id: int) -> int:
    event = Event.objects.select_for_update(of=("self",)).get(pk=event_id)
    due = event.registrations.filter(state=State.UNCONFIRMED, created_at__lte=clock.now() - HOLDS)
    ended = list(due.order_by("pk"))
    for row in ended:
        row.event = event
        _forget(row)
    move_up(event)
    announce(event)
    return len(ended)


def _forget(row: Registration) -> None:
    """Nobody said that the address is theirs: places back, and not even a name is kept. Event locked."""
    event = row.event
    if row.has_places:
        pools.give_back(event, pools.need_of(row))
    row.delete()


def _party(event: Event, guest: Guest, others: Sequence[str | Person], ticket: str) -> list[Person]:
    named = [one if isinstance(one, Person) else Person(one) for one in others]
    return by_name(event, Person(guest.display_name, ticket_type=ticket), named)


def _locked(registration_id: int, secret: str) -> Registration:
    """The party that the key opens, its event locked and then itself. Raises MailedKey.DoesNotExist."""
    event_id = of_key(registration_id, secret).event_id
    Event.objects.select_for_update().only("pk").get(pk=event_id)
    Registration.objects.select_for_update().only("pk").filter(pk=registration_id).first()
    try:
        row = of_key(registration_id, secret)
    except Registration.DoesNotExist:
        raise MailedKey.DoesNotExist from None
    if row.member_id is not None:  # it is in an account now, and so is what can be done with it
        raise MailedKey.DoesNotExist
    return row


def forget_unconfirmed(event: Event) -> None:
    """Of parties that nobody confirmed yet nothing is left. Event locked."""
    for row in event.registrations.filter(state=State.UNCONFIRMED).order_by("pk"):
        row.event = event
        _forget(row)


def forget(email: str) -> None:
    """Whoever had this address goes for good: parties made with it end, and nobody is named in them. Safe to run twice."""
    rows = Registration.objects.filter(guest_email__iexact=email)
    for pk, event_id in list(rows.order_by("pk").values_list("pk", "event")):
        with transaction.atomic():
            event = (
                Event.objects.select_for_update(of=("self",)).select_related("host", "room").get(pk=event_id)
            )
            row = rows.filter(pk=pk).first()
            if row is None:
                continue
            row.event = event
            if row.state == State.UNCONFIRMED:
                _forget(row)
            elif row.state in LIVE and not event.is_over:
                pools.release(row)
            Attendee.objects.filter(registration=pk).update(name="", age=None)
            Answers.objects.filter(registration=pk).delete()
            move_up(event)
            announce(event)


def owner_of(email: str) -> Member | None:
    """Whose address it is, of members who confirmed it. One query."""
    found = EmailAddress.objects.filter(email__iexact=email, verified=True).select_related("user").first()
    return found.user if found is not None and isinstance(found.user, Member) else None


def make_way(event: Event, email: str) -> None:
    """A party that was asked for with this address and not confirmed goes: another takes its place. Event locked.

    Raises ValidationError already_registered where one has been. One query, more when there is one.
    """
    known = event.registrations.live().filter(guest_email=email).first()
    if known is None:
        return
    if known.state != State.UNCONFIRMED:
        raise ValidationError(
            _("%(name)s is already registered for this event.") % {"name": known.guest_name},
            code="already_registered",
        )
    known.event = event
    _forget(known)
    move_up(event)


def _adopt_if_known(row: Registration) -> None:
    owner = owner_of(row.guest_email)
    if owner is not None and owner.is_active:
        _adopt(owner, row)


@transaction.atomic
def _adopt_one(member: Member, registration_id: int) -> int:
    event_id = Registration.objects.values_list("event", flat=True).filter(pk=registration_id).first()
    if event_id is None:
        return 0
    event = Event.objects.select_for_update(of=("self",)).select_related("host").get(pk=event_id)
    row = Registration.objects.select_for_update().filter(pk=registration_id, member=None).first()
    if row is None:
        return 0
    row.event = event
    return int(_adopt(member, row))


def _adopt(member: Member, row: Registration) -> bool:
    """Make a guest's party the member's, unless the member is at that event already. Event locked."""
    event = row.event
    others = event.registrations.live().exclude(pk=row.pk).filter(member=member)
    named = Attendee.objects.filter(event=event, member=member, is_live=True)
    if others.exists() or named.exists():
        return False
    row.member, row.guest_email, row.guest_name = member, "", ""
    row.save(update_fields=["member", "guest_email", "guest_name"])
    mine = row.attendees.filter(is_live=True).order_by("slot").first()
    if mine is not None and mine.slot == 0:
        Attendee.objects.filter(pk=mine.pk).update(member=member)
    vars(row).pop("seated", None)
    pools.touch(row)
    if row.is_coming:
        pools.enter(row)
    return True
