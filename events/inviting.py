"""Inviting: who runs an event asks people to come, each once, and sees who comes, who said no, who has not answered.

An invitation is for one date: who is asked to a language table on Tuesdays says yes or no to one evening, and a standing
right with a mail for every date to come would be a list nobody can leave. The next date is two clicks: “who came to”.

A row is written at once, its mail by the sweep: so five hundred are no long wait, a draft invites when it is published, and
no mail goes out for an hour that has changed. Whether a mail goes out is never shown: who hears nothing of the host, does
not want to be invited, or has an account, looks like everybody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from community.models import Circle, CircleMembership, Member
from events import bells
from events.access import event_for, may_run, run_invitation_for
from events.addresses import read
from events.models import Attendee, Event, Invitation, Registration
from events.models.event import hosted_by
from events.models.registration import COMING, FORGOTTEN, UNDECIDED
from events.telling import INVITED_KINDS
from realtime import blocks, clock, ids
from realtime.models import Mail

AT_MOST = 500  # of one event
A_DAY = 500  # by one host, whatever the event
STATES = ("open", "coming", "waiting", "declined", "withdrawn")
TO_THINK = timedelta(days=1)
PAST = timedelta(days=365)  # so long one may ask again who came
Via = Invitation.Via


@dataclass(frozen=True)
class Asked:
    """An invitation as who runs the event sees it. `status`: open, coming, waiting, declined or withdrawn."""

    row: Invitation
    name: str
    email: str
    status: str

    @property
    def may_be_asked_again(self) -> bool:
        """They have not answered, were asked only once so far, and had a day to think."""
        is_new = self.row.invited_at > clock.now() - TO_THINK
        return self.status == "open" and self.row.again_at is None and not is_new


@transaction.atomic
def invite_addresses(member: Member, event_id: int, text: str, language: str = "") -> int:
    """Invite whoever has these addresses; how many are new. `language`: of mails to who is not known here.

    Raises Event.DoesNotExist, PermissionDenied, ValidationError: `emails` (none, or some that are none), closed (it is over,
    called off, or has no date), full (`AT_MOST`), too_fast (`A_DAY`).
    """
    event = _event_to_fill(member, event_id)
    found, wrong = read(text)
    if wrong:
        shown = ", ".join(one[:60] for one in wrong[:3])
        raise ValidationError({"emails": _("We could not read this: %(text)s") % {"text": shown}})
    if not found:
        raise ValidationError({"emails": _("Write at least one e-mail address.")})
    own = {member.email.lower()}
    rows = [
        Invitation(email=one.email, name=one.name, language=language or event.language, via=Via.ADDRESS)
        for one in found
        if one.email not in own
    ]
    return _write(member, event, rows)


@transaction.atomic
def invite_circle(member: Member, event_id: int, circle_id: int) -> int:
    """Invite who is in a circle the member is in; how many are new. Raises as `invite_addresses`, and on `circle`."""
    event = _event_to_fill(member, event_id)
    if not circles_of(member).filter(pk=circle_id).exists():
        raise ValidationError({"circle": _("There is no such circle.")})
    people = Member.objects.filter(
        circle_memberships__circle=circle_id, circle_memberships__state=CircleMembership.State.IN
    )
    apart = blocks.unheard_by([member.pk])[member.pk]  # whom the circle's own page does not show
    return _write(member, event, _named(people.exclude(pk__in=apart), Via.CIRCLE, {member.pk, event.host_id}))


@transaction.atomic
def invite_past(member: Member, event_id: int, past_id: int) -> int:
    """Invite who came to an earlier event of the member; how many are new. Raises as `invite_addresses`, and on `past`."""
    event = _event_to_fill(member, event_id)
    if not past_events(member).filter(pk=past_id).exists():
        raise ValidationError({"past": _("There is no such event.")})
    came = Registration.objects.filter(event=past_id, state__in=COMING)
    named = Attendee.objects.filter(registration__in=came, is_live=True, member__isnull=False)
    people = Member.objects.filter(Q(pk__in=came.values("member")) | Q(pk__in=named.values("member")))
    guests = came.filter(member=None).exclude(guest_email__endswith=FORGOTTEN)
    rows = _named(people, Via.PAST, {member.pk, event.host_id})
    rows += [
        Invitation(email=one.guest_email, name=one.guest_name, language=one.language, via=Via.PAST)
        for one in guests.order_by("pk")
    ]
    return _write(member, event, rows)


def circles_of(member: Member) -> QuerySet[Circle]:
    """The circles whose members the member may invite: those they are in. For a query, by name."""
    inside = CircleMembership.objects.filter(member=member, state=CircleMembership.State.IN).values("circle")
    return Circle.objects.filter(pk__in=inside, closed_at=None).order_by("name", "pk")


def past_events(member: Member) -> QuerySet[Event]:
    """The events of the last year the member hosted and somebody came to, the last first. For a query."""
    since = clock.now() - PAST
    gone = Event.objects.filter(hosted_by(member), state=Event.State.PUBLISHED)
    gone = gone.filter(starts_at__gte=since, starts_at__lt=clock.now())
    return gone.filter(pk__in=Registration.objects.filter(state__in=COMING).values("event")).order_by(
        "-starts_at", "pk"
    )


@transaction.atomic
def withdraw(member: Member, invitation_id: int) -> Event:
    """The invitation opens nothing any more; a mail that has not left never leaves. Who comes already still does.

    Twice is once. Gives the event. Raises Invitation.DoesNotExist unless the member runs it.
    """
    event = _run_by(member, run_invitation_for(member, invitation_id).event_id)
    if event.invitations.filter(pk=invitation_id, withdrawn_at=None).update(withdrawn_at=clock.now()):
        take_back(event, invitation_id)
        for kind in INVITED_KINDS:
            bells.unring(event, f"{kind}:{event.public_id}:{ids.encode(invitation_id)}")
    return event


@transaction.atomic
def restore(member: Member, invitation_id: int) -> Event:
    """An invitation that was withdrawn stands again; only who never got its mail gets one. Raises and gives as `withdraw`."""
    event = _run_by(member, run_invitation_for(member, invitation_id).event_id)
    event.invitations.filter(pk=invitation_id).update(withdrawn_at=None)
    return event


@transaction.atomic
def ask_again(member: Member, event_id: int) -> int:
    """Once more a mail to who has not answered within a day, once each; how many. Again: nobody.

    Raises Event.DoesNotExist, PermissionDenied, ValidationError closed.
    """
    event = _event_to_fill(member, event_id)
    left = [one.row.pk for one in asked_to(event, member) if one.may_be_asked_again]
    now = clock.now()
    return event.invitations.filter(pk__in=left, again_at=None).update(again_at=now, mail_at=now)


def asked_to(event: Event, reader: Member) -> list[Asked]:
    """Who was invited and what came of it, the first first, as `rows_for` and `seen_by` say. Five queries for any number."""
    return seen_by(reader, event, rows_for(event, reader).order_by("invited_at", "pk"))


def rows_for(event: Event, reader: Member) -> QuerySet[Invitation]:
    """The invitations to an event that somebody who runs it may see: of a circle nobody whom a block keeps apart. One query,
    and one for what it gives.
    """
    apart = blocks.unheard_by([reader.pk])[reader.pk]
    return event.invitations.exclude(via=Via.CIRCLE, member__in=apart).select_related("member")


def seen_by(reader: Member, event: Event, rows: Iterable[Invitation]) -> list[Asked]:
    """What somebody who runs the event sees of its invitations: an address only who typed it. Three queries for any number."""
    states = States(event)
    found = []
    for row in rows:
        typed = row.via == Via.ADDRESS and row.invited_by_id == reader.pk
        name = str(row.member) if row.member_id else row.name
        if not name and not typed:
            name = _("Somebody invited by mail")
        found.append(Asked(row, name, row.email if typed else "", states.of(row)))
    return found


class States:
    """Who comes to an event and who waits or asks, by member and by address: to say of any invitation what came of it."""

    def __init__(self, event: Event) -> None:
        """Three queries at most."""
        self.by_member: dict[int, str] = {}
        self.by_email: dict[str, str] = {}
        parties = event.registrations.filter(state__in=(*COMING, *UNDECIDED)).order_by("pk")
        said = {row.pk: (row, "coming" if row.is_coming else "waiting") for row in parties}
        for row, state in said.values():
            if row.member_id:
                self.by_member[row.member_id] = state
            else:
                self.by_email[row.guest_email] = state
        named = Attendee.objects.filter(registration__in=said, is_live=True, member__isnull=False)
        for member_id, registration_id in named.values_list("member", "registration"):
            assert member_id is not None
            self.by_member.setdefault(member_id, said[registration_id][1])
        for address, user_id in known_addresses(self.by_member):
            self.by_email.setdefault(address, self.by_member[user_id])

    def of(self, row: Invitation) -> str:
        """What came of one invitation."""
        if row.withdrawn_at is not None:
            return "withdrawn"
        state = self.by_member.get(row.member_id) if row.member_id else self.by_email.get(row.email)
        return state or ("declined" if row.declined_at else "open")


def known_addresses(member_ids: Iterable[int]) -> list[tuple[str, int]]:
    """The confirmed addresses of these members, in lower case, each with whose it is. One query."""
    rows = EmailAddress.objects.filter(user__in=list(member_ids), verified=True)
    return [(email.lower(), user) for email, user in rows.values_list("email", "user")]


def take_back(event: Event, *invitation_ids: int) -> int:
    """Mails that have not left are written anew by the sweep, as things are then: of these invitations, or of all. Event locked.

    How many. Three queries.
    """
    waiting = Mail.objects.filter(
        kind__in=INVITED_KINDS, state=Mail.State.QUEUED, claim__contains=f":{event.public_id}:"
    )
    mine = {
        mail.pk: (mail.kind, ids.decode(mail.claim.rpartition(":")[2]))
        for mail in waiting.select_for_update()
    }
    mine = {pk: one for pk, one in mine.items() if not invitation_ids or one[1] in invitation_ids}
    Mail.objects.filter(pk__in=mine).delete()
    first = [row for kind, row in mine.values() if kind == INVITED_KINDS[0]]
    Invitation.objects.filter(pk__in=first).update(mailed_at=None)
    return Invitation.objects.filter(pk__in=[row for _kind, row in mine.values()]).update(mail_at=clock.now())


def _run_by(member: Member, event_id: int) -> Event:
    event = event_for(member, event_id, lock=True)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can invite people to it."))
    return event


def _event_to_fill(member: Member, event_id: int) -> Event:
    """The event, locked: of two who invite the same people at once the second finds them invited."""
    event = _run_by(member, event_id)
    if event.starts_at is None:
        raise ValidationError(_("Give it a date, then you can invite people."), code="closed")
    if event.state == Event.State.CANCELLED:
        raise ValidationError(_("This event is called off."), code="closed")
    if event.is_over:
        raise ValidationError(_("This event is over."), code="closed")
    return event


def _named(people: QuerySet[Member], via: str, but: set[int]) -> list[Invitation]:
    found = people.filter(is_active=True).exclude(pk__in=but).order_by("pk").distinct()
    return [Invitation(member=one, language=one.language, via=via) for one in found]


def _write(member: Member, event: Event, rows: Sequence[Invitation]) -> int:
    """Write those who are not invited yet; who was withdrawn is invited again, without another mail. Event locked."""
    now = clock.now()
    there = {_whom(row): row for row in event.invitations.all()}
    new: dict[tuple[int | None, str], Invitation] = {}
    for row in rows:
        if _whom(row) not in there:
            new.setdefault(_whom(row), row)
    back = [there[_whom(row)].pk for row in rows if _whom(row) in there]
    event.invitations.filter(pk__in=back).update(withdrawn_at=None)
    if len(there) + len(new) > AT_MOST:
        left = max(0, AT_MOST - len(there))
        text = _("An event invites 500 people at most; %(n)d can still be added.")
        raise ValidationError(text % {"n": left}, code="full")
    Member.objects.select_for_update().only("pk").get(pk=member.pk)  # at two events at once, too
    today = Invitation.objects.filter(invited_by=member, invited_at__gt=now - timedelta(days=1)).count()
    if today + len(new) > A_DAY:
        raise ValidationError(
            _("That was a lot of invitations for one day. Go on tomorrow."), code="too_fast"
        )
    for row in new.values():
        row.event, row.invited_by, row.invited_at, row.mail_at = event, member, now, now
    Invitation.objects.bulk_create(new.values(), ignore_conflicts=True)
    return Invitation.objects.filter(pk__in=[row.pk for row in new.values()]).count()


def _whom(row: Invitation) -> tuple[int | None, str]:
    return row.member_id, row.email
