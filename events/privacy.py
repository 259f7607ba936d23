"""What this floor forgets: of a member who goes, and of everybody when an event is long past."""

from datetime import timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext, gettext_lazy, override

from community import households, members
from community.models import Member, Role
from community.privacy import Duty
from events import guests, hosting, registration
from events.models import (
    Answers,
    Attendee,
    CoHost,
    EndedParty,
    Event,
    Gate,
    GatePairing,
    Inquiry,
    Invitation,
    InvitationStop,
    PartnerCalendar,
    Registration,
    Series,
)
from events.models.registration import FORGOTTEN
from realtime import clock, notify, rooms
from realtime.ids import encode

NAMES_KEPT = timedelta(days=365)
ANSWERS_KEPT = timedelta(days=14)
INVITATIONS_KEPT = timedelta(days=14)
INQUIRIES_KEPT = timedelta(days=14)
PAIRING_KEPT = timedelta(days=1)
PASSES_ON = gettext_lazy("The manager of its centre becomes its host.")
STAYS = gettext_lazy("Who hosts it with you becomes its host.")
CALLED_OFF = gettext_lazy("It is called off: its centre has nobody who could take it over.")


def duties(member: Member) -> list[Duty]:
    """The coming events the member hosts, and what becomes of each. At most two queries more than there are centres."""
    beside = Q(event=OuterRef("pk")) | Q(series=OuterRef("series"))
    others = CoHost.objects.filter(beside, member__is_active=True).exclude(member=member)
    coming = Event.objects.filter(host=member, state=Event.State.PUBLISHED).upcoming()
    shared = set(coming.filter(Exists(others)).values_list("pk", flat=True))
    heirs: dict[int, Member | None] = {}
    found = []
    for event in coming:
        if event.pk in shared:
            found.append(Duty(event.text("title"), event.get_absolute_url(), STAYS))
            continue
        if event.centre_id not in heirs:
            heirs[event.centre_id] = _heir(event.centre_id, member)
        becomes = PASSES_ON if heirs[event.centre_id] else CALLED_OFF
        found.append(Duty(event.text("title"), event.get_absolute_url(), becomes))
    return found


def forget(member: Member) -> None:
    """A member goes for good: their places are free, their names gone, their events somebody else's. Idempotent."""
    _give_back(member)
    guests.forget(member.email)
    _forget_invitations(member)
    _hand_on(member)
    with transaction.atomic():
        _make_nameless(member)


def forget_names() -> int:
    """The sweep: a year after an event nobody's name or age is left of its parties. Returns how many names went."""
    since = clock.now() - NAMES_KEPT
    past = Event.objects.filter(Q(ends_at__lt=since) | Q(ends_at=None, starts_at__lt=since)).values("pk")
    _unname_guests(Registration.objects.filter(event__in=past, member=None))
    Gate.objects.filter(event__in=past).exclude(name="").update(name="")
    Registration.objects.filter(event__in=past, wanted__isnull=False).update(more=0, wanted=None)
    named = Attendee.objects.filter(event__in=past).exclude(name="", age=None)
    return named.update(name="", age=None)


def forget_answers() -> int:
    """The sweep: 14 days after an event nothing is left of what its host asked. Returns how many parties had answered."""
    since = clock.now() - ANSWERS_KEPT
    past = Event.objects.filter(Q(ends_at__lt=since) | Q(ends_at=None, starts_at__lt=since)).values("pk")
    return Answers.objects.filter(registration__event__in=past).delete()[0]


def forget_invitations() -> int:
    """The sweep: 14 days after an event nobody is left of whom it invited, and no address. Returns how many."""
    since = clock.now() - INVITATIONS_KEPT
    past = Event.objects.filter(Q(ends_at__lt=since) | Q(ends_at=None, starts_at__lt=since)).values("pk")
    return Invitation.objects.filter(event__in=past).delete()[0]


def forget_inquiries() -> int:
    """The sweep: 14 days after an event nothing is left of what was asked about it. Returns how many questions."""
    since = clock.now() - INQUIRIES_KEPT
    past = Event.objects.filter(Q(ends_at__lt=since) | Q(ends_at=None, starts_at__lt=since)).values("pk")
    return Inquiry.objects.filter(event__in=past).delete()[0]


def forget_pairings() -> int:
    """The sweep: codes that made a phone a gate go a day after they ran out. Returns how many. One query."""
    return GatePairing.objects.filter(expires_at__lt=clock.now() - PAIRING_KEPT).delete()[0]


def _heir(centre_id: int, member: Member) -> Member | None:
    """Who takes over what the member hosted: the manager of the centre, else somebody of its staff. One query."""
    desk = Role.objects.filter(centre=centre_id, member__is_active=True).exclude(member=member)
    first = desk.order_by("kind", "granted_at", "pk").select_related("member").first()  # manager < staff
    return first.member if first else None


def _heir_of(beside: QuerySet[CoHost], centre_id: int, member: Member) -> Member | None:
    """Who hosted it with the member, the first named first; else as `_heir`. At most two queries."""
    others = beside.filter(member__is_active=True).exclude(member=member).select_related("member")
    first = others.order_by("named_at", "pk").first()
    return first.member if first else _heir(centre_id, member)


def _give_back(member: Member) -> None:
    """Cancel what is still to come, for the member's whole party; step out of the parties of others."""
    mine = Q(member=member) | Q(attendees__member=member, attendees__is_live=True)
    coming = Registration.objects.live().filter(mine).order_by("pk").distinct()
    for pk in list(coming.values_list("pk", flat=True)):
        try:
            registration.cancel(member, pk, late=True)
        except ValidationError:
            continue  # it is over, or they are in already: nothing to give back, only to be made nameless


def _forget_invitations(member: Member) -> None:
    """What was sent to the member or to an address of theirs; who is invited by them stays so, and hears nothing more of them."""
    addresses = {member.email.lower()}
    addresses |= {
        email.lower() for email in EmailAddress.objects.filter(user=member).values_list("email", flat=True)
    }
    mine = Q(member=member) | Q(email__in=addresses)
    Invitation.objects.filter(mine).delete()
    InvitationStop.objects.filter(mine).delete()


def _hand_on(member: Member) -> None:
    for meetup in Series.objects.filter(host=member):
        heir = _heir_of(CoHost.objects.filter(series=meetup), meetup.centre_id, member)
        ended = {} if heir else {"ended_at": meetup.ended_at or clock.now()}
        Series.objects.filter(pk=meetup.pk).update(host=heir or members.nobody(), **ended)
    for calendar in PartnerCalendar.objects.filter(added_by=member).only("centre"):
        heir = _heir(calendar.centre_id, member)
        stopped = {} if heir else {"is_on": False, "due_at": None}
        PartnerCalendar.objects.filter(pk=calendar.pk).update(added_by=heir or members.nobody(), **stopped)
    passed: dict[Member, list[Event]] = {}
    for pk in list(
        Event.objects.filter(host=member).order_by("starts_at", "pk").values_list("pk", flat=True)
    ):
        with transaction.atomic():
            event, heir = _hand_on_event(member, pk)
        if heir is not None and event.state == Event.State.PUBLISHED and not event.is_over:
            passed.setdefault(heir, []).append(event)
    CoHost.objects.filter(
        Q(event__host=F("member")) | Q(series__host=F("member"))
    ).delete()  # they are the host now
    for heir, events in passed.items():
        notify.mail(
            "event_inherited",
            to=heir.email,
            language=heir.language,
            claim=f"event_inherited:{events[0].public_id}:{events[0].version}:{heir.public_id}",
            context={"events": events, "url": f"{settings.PUBLIC_URL}/events/mine/"},
            member=heir,
        )


def _hand_on_event(member: Member, pk: int) -> tuple[Event, Member | None]:
    """Give one event to the heir, or call it off when there is none; in one transaction. (event as it was, heir)."""
    Event.objects.select_for_update().only("pk").get(pk=pk)
    event = Event.objects.select_related("place", "centre", "host", "room").get(pk=pk)
    heir = _heir_of(CoHost.objects.at(event), event.centre_id, member)
    if heir is None and event.state == Event.State.PUBLISHED and not event.is_over:
        with override(event.language):
            reason = gettext("The host is no longer here.")
        hosting.strike(event, reason)
    Event.objects.filter(pk=pk).update(host=heir or members.nobody(), version=event.version + 1)
    if heir is not None and event.room is not None and not event.is_over:
        rooms.enter(event.room, heir)
    return event, heir


def _make_nameless(member: Member) -> None:
    """Parties of the past keep their size; nobody is named in them by this member, and the member in nobody's."""
    CoHost.objects.filter(member=member).delete()
    mine = Registration.objects.filter(member=member)
    EndedParty.objects.filter(
        registration__in=mine
    ).delete()  # a call-off that is taken back brings nobody back who left
    theirs_to_name = Attendee.objects.filter(Q(member=None) | Q(member=member), registration__in=mine)
    theirs_to_name.update(name="", age=None, child=None)
    mine.update(more=0, wanted=None)
    for row in Registration.objects.filter(more__gt=0).exclude(member=member):
        if any(one.get("member") == member.pk for one in row.wanted or ()):
            Registration.objects.filter(pk=row.pk).update(more=0, wanted=None, queued_at=None)
    Answers.objects.filter(registration__in=mine).delete()
    Attendee.objects.filter(member=member).update(name="", age=None, member=None)
    home = households.of(member)
    if home is not None and len(households.adults_of(home)) == 1:
        Attendee.objects.filter(child__household=home).update(name="", age=None, child=None)
    _unname_guests(mine | Registration.objects.filter(guest_email__iexact=member.email))
    Gate.objects.filter(member=member).update(name="", closed_at=clock.now())


def _unname_guests(rows: QuerySet[Registration]) -> None:
    """A registration must name somebody: these name an address that is none and says nothing."""
    for pk in list(rows.exclude(guest_email__endswith=FORGOTTEN).values_list("pk", flat=True)):
        Registration.objects.filter(pk=pk).update(
            member=None, guest_email=f"{encode(pk)}{FORGOTTEN}", guest_name="", language="en"
        )
