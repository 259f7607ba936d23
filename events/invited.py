"""Being invited: the mail, what its key opens, come, “no, thank you”, and to be asked no more by a centre.

The key of the mail is good for the page of the event, also without an account, and for the answers, until the invitation is
withdrawn or its event long past. The same is open to a member whose address or name is on the list, once signed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from community.models import Centre, Member
from events import bells, guests
from events.models import Attendee, Event, Invitation, InvitationStop, Registration
from events.models.invitation import theirs
from events.models.registration import Guest
from events.party import Person
from events.questions import Given
from events.registration import NOTHING
from events.seats import mine_of
from events.telling import INVITED, INVITED_KINDS
from realtime import blocks, clock, keys, notify
from realtime.models import MailedKey

BATCH = 100  # mails of one event in one transaction
KEY_LASTS = timedelta(days=90)  # after the event, should it move; the row is gone long before


def send_due() -> int:
    """The sweep: mail who was invited, or is asked once more. Any number may run at once. How many mails.

    What is a draft, or called off, waits; what is over is mailed to nobody.
    """
    due = Invitation.objects.filter(mail_at__lte=clock.now(), withdrawn_at=None)
    due = due.filter(event__state=Event.State.PUBLISHED)
    return sum(_send_of(pk) for pk in list(due.values_list("event", flat=True).distinct().order_by("event")))


@transaction.atomic
def _send_of(event_id: int) -> int:
    """One batch of one event, its row locked as every verb that moves it does."""
    event = (
        Event.objects.select_for_update(of=("self",))
        .select_related("place", "centre", "host")
        .get(pk=event_id)
    )
    if event.state != Event.State.PUBLISHED:
        return 0
    due = event.invitations.filter(mail_at__lte=clock.now(), withdrawn_at=None)
    rows = list(due.select_related("member", "invited_by").order_by("mail_at", "pk")[:BATCH])
    return sum(_send(row, event) for row in rows if _claim(row))


def _claim(row: Invitation) -> bool:
    """Take a mail that is due: of several sweeps exactly one gets it."""
    return Invitation.objects.filter(pk=row.pk, mail_at=row.mail_at).update(mail_at=None) == 1


def _send(row: Invitation, event: Event) -> bool:
    """Write one mail, if whom it is for is there to get it. Event locked."""
    row.event = event
    member, first = person_of(row), row.mailed_at is None
    email = member.email if row.member_id and member else row.email
    if event.is_over or row.declined_at is not None or _is_quiet(row, member):
        return False
    if first:
        Invitation.objects.filter(pk=row.pk).update(mailed_at=clock.now())
    if _knows(row, member, first=first):
        return False
    kind = INVITED_KINDS[not first]
    inviter = row.invited_by or event.host
    key = keys.make(INVITED, row.pk, member=member, expires_at=(event.over_at or clock.now()) + KEY_LASTS)
    url = f"{settings.PUBLIC_URL}{reverse('invitation', args=[row.pk])}?key={key}"
    claim = f"{kind}:{event.public_id}:{row.public_id}"
    if member is not None:
        bells.ring_member(member, event, INVITED_KINDS[0], claim, "event")
    notify.put(
        kind,
        to=email,
        language=member.language if member else row.language,
        claim=claim,
        context={
            "event": event,
            "inviter": inviter,
            "name": member.display_name if member else row.name,
            "centre": event.centre,
            "url": url,
            "no_url": f"{url}&do=no",
        },
        member=member,
    )
    return True


def person_of(row: Invitation) -> Member | None:
    """Whose the invitation is, as far as we know: who was named, or has confirmed the address. At most one query."""
    if row.member_id is not None:
        return row.member
    known = EmailAddress.objects.filter(email__iexact=row.email, verified=True, user__is_active=True)
    found = known.select_related("user").first()
    return found.user if found is not None and isinstance(found.user, Member) else None


def _is_quiet(row: Invitation, member: Member | None) -> bool:
    """They hear nothing of who invites, or do not want to be invited by this centre. Three queries at most."""
    event, mine = row.event, Q(email=row.email) & ~Q(email="")
    if member is not None and not member.is_active:
        return True
    if member is not None:
        hosts = {event.host_id, row.invited_by_id or event.host_id}
        if hosts & blocks.unheard_by([member.pk])[member.pk]:
            return True
        mine |= theirs(member)
    return InvitationStop.objects.filter(mine, centre=event.centre_id).exists()


def _knows(row: Invitation, member: Member | None, *, first: bool) -> bool:
    """They come already, or another invitation told them as much: of a circle and by address. Three queries at most."""
    parties = row.event.registrations.live()
    if mine_of(member, [row.event]) or (row.email and parties.filter(guest_email=row.email).exists()):
        return True
    if member is None:
        return False
    told = Q(mailed_at__isnull=False) if first else Q(again_at__isnull=False, mail_at=None)
    others = row.event.invitations.exclude(pk=row.pk).filter(theirs(member))
    return others.filter(told | Q(declined_at__isnull=False)).exists()


def open_to(member: Any, now: Any = None) -> QuerySet[Invitation]:
    """What the member was invited to and has not answered, the next first. For a query."""
    made = Registration.objects.filter(member=member).values("event")  # each from the member's own few rows
    named = Attendee.objects.filter(member=member, is_live=True).values("event")
    rows = (
        Invitation.objects.to(member).standing().filter(declined_at=None, event__state=Event.State.PUBLISHED)
    )
    rows = rows.filter(event__in=Event.objects.upcoming(now).values("pk"))
    rows = rows.exclude(event__in=made).exclude(event__in=named)
    return rows.select_related("event__place", "event__centre", "invited_by").order_by(
        "event__starts_at", "pk"
    )


def to_event(member: Member | None, event: Event) -> Invitation | None:
    """The member's invitation to an event; None when there is none that stands. At most one query."""
    if member is None:
        return None
    rows = Invitation.objects.to(member).standing().filter(event=event)
    return rows.select_related("invited_by").order_by("declined_at", "pk").first()


def by_key(invitation_id: int, secret: str) -> Invitation:
    """The invitation that the key of a mail opens. Two queries. Raises MailedKey.DoesNotExist. Changes nothing."""
    keys.find(INVITED, invitation_id, secret)
    rows = Invitation.objects.standing().exclude(event__state=Event.State.DRAFT)
    rows = rows.select_related("event__place", "event__centre", "event__host", "member", "invited_by")
    row = rows.filter(pk=invitation_id).first()
    if row is None:
        raise MailedKey.DoesNotExist
    return row


@transaction.atomic
def come(
    invitation_id: int,
    secret: str,
    name: str,
    language: str,
    others: Sequence[str | Person] = (),
    given: Given = NOTHING,
    ticket: str = "",
) -> Registration:
    """Who was invited by address comes without an account: the mail has shown that the address is theirs.

    If it is a member's, so is the party. Raises MailedKey.DoesNotExist, ValidationError as `guests.ask` and `guests.confirm`.
    """
    event_id = by_key(invitation_id, secret).event_id
    Event.objects.select_for_update().only("pk").get(pk=event_id)
    row = by_key(invitation_id, secret)  # as it is under the lock
    if not row.email:
        raise ValidationError(_("Sign in to come along"), code="closed")
    return guests.come(row.event, Guest(name, row.email, language), others, given, ticket)


def party_of(row: Invitation) -> Registration | None:
    """What who was invited has there by now: they come, ask or wait. At most three queries."""
    member = person_of(row)
    theirs = Q(member=member) if member else Q(guest_email=row.email)
    live = row.event.registrations.live().exclude(state=Registration.State.UNCONFIRMED)
    return live.filter(theirs).first()


@transaction.atomic
def decline(row: Invitation) -> None:
    """No, thank you: they hear no more of this event. Coming after all stays open to them. Twice is once.

    Raises ValidationError closed for who comes or waits: that is cancelled, not declined.
    """
    if party_of(row) is not None:
        text = _("You are registered for this event. If you cannot come, please cancel that.")
        raise ValidationError(text, code="closed")
    _of_person(row).filter(declined_at=None).update(declined_at=clock.now(), mail_at=None)


@transaction.atomic
def stop(row: Invitation) -> None:
    """No, thank you, and the centre of this event invites them no more. Twice is once."""
    if party_of(row) is None:
        decline(row)
    member = person_of(row)
    whom = {"member": member} if member else {"email": row.email}
    InvitationStop.objects.get_or_create(centre=row.event.centre, **whom)


@transaction.atomic
def allow(row: Invitation) -> None:
    """The centre may invite them again. Twice is once."""
    member = person_of(row)
    mine = Q(email=row.email) & ~Q(email="")
    InvitationStop.objects.filter(
        mine | theirs(member) if member else mine, centre=row.event.centre_id
    ).delete()


def stopped_by(member: Any) -> QuerySet[Centre]:
    """The centres that may not invite the member, by name. For a query."""
    stops = InvitationStop.objects.filter(theirs(member)).values("centre")
    return Centre.objects.filter(pk__in=stops).order_by("name", "pk")


def stop_centre(member: Member, centre_id: int) -> None:
    """As `stop`, of a centre. Twice is once. Raises Centre.DoesNotExist."""
    InvitationStop.objects.get_or_create(centre=Centre.objects.get(pk=centre_id), member=member)


def allow_centre(member: Member, centre_id: int) -> None:
    """As `allow`, of a centre. Twice is once."""
    InvitationStop.objects.filter(theirs(member), centre=centre_id).delete()


def _of_person(row: Invitation) -> QuerySet[Invitation]:
    """All invitations of the same person to the same event."""
    member = person_of(row)
    same = Q(pk=row.pk) | theirs(member) if member else Q(pk=row.pk)
    return Invitation.objects.filter(same, event=row.event_id)
