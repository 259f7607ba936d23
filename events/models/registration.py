"""Registration: a place at an event for a party, and the people of the party."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from community.models.households import Child
from events.models.event import ASKED_FROM, ASKED_LAST, Event, Pool
from realtime import clock
from realtime.ids import WithId
from realtime.prepared import ID, prepared
from realtime.sealing import SealedJSON

LIVE = ("unconfirmed", "requested", "confirmed", "awaiting_payment", "waiting", "offered")
FORGOTTEN = "@erased.invalid"  # ends the address of a guest of whom nothing is left
NOWHERE = "@by-hand.invalid"  # ends the address of a party that has none: a registration must name somebody
UNDECIDED = ("requested", "waiting", "offered")  # those who have asked and do not come yet
SEATED = ("unconfirmed", "confirmed", "awaiting_payment", "offered")  # those who hold places
IN_LINE = ("waiting", "offered")  # who waits, and who is being asked
COMING = ("confirmed", "awaiting_payment")  # those who have a ticket


@dataclass(frozen=True)
class Guest:
    """Somebody without an account: who they say they are, and an address that is theirs once they followed its mail."""

    display_name: str
    email: str
    language: str

    def __str__(self) -> str:
        return self.display_name


class RegistrationQuerySet(models.QuerySet["Registration"]):
    def live(self) -> RegistrationQuerySet:
        """Neither cancelled, declined nor expired."""
        return self.filter(state__in=LIVE)

    def reachable(self) -> RegistrationQuerySet:
        """Those of whom somebody can be written to."""
        return self.exclude(guest_email__endswith=NOWHERE)


class Registration(WithId):
    """One party at one event, made by a member or by a guest who confirmed an address."""

    class State(models.TextChoices):
        UNCONFIRMED = "unconfirmed"
        REQUESTED = "requested"
        CONFIRMED = "confirmed"
        AWAITING_PAYMENT = "awaiting_payment"
        WAITING = "waiting"
        OFFERED = "offered"
        DECLINED = "declined"
        EXPIRED = "expired"
        CANCELLED = "cancelled"

    event = models.ForeignKey(Event, models.PROTECT, related_name="registrations")
    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+"
    )
    guest_email = models.EmailField(blank=True)
    guest_name = models.CharField(max_length=60, blank=True)
    language = models.CharField(max_length=12, default="en")
    state = models.CharField(max_length=16, choices=State)
    party_size = models.PositiveSmallIntegerField(help_text="Live attendees.")
    gave_back = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Places of the party that it gave back when it became smaller."
    )
    next_slot = models.PositiveSmallIntegerField(default=0, help_text="A slot is never used again.")
    serial = models.PositiveIntegerField(default=1, help_text="Serial of tickets drawn now.")
    min_serial = models.PositiveIntegerField(default=1, help_text="Tickets with a lower serial are revoked.")
    queued_at = models.DateTimeField(null=True, blank=True)
    passed_over = models.PositiveSmallIntegerField(
        default=0, help_text="Times that a smaller party went first."
    )
    more = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="So many more would come with a confirmed party: it waits for their places.",
    )
    wanted = models.JSONField(
        null=True, blank=True, help_text="Who they are: [{name, member, child, age}], ids as numbers."
    )
    offer_expires_at = models.DateTimeField(null=True, blank=True)
    still_coming_at = models.DateTimeField(
        null=True, blank=True, help_text="When they last said that they still come."
    )
    turned_down_at = models.DateTimeField(
        null=True, blank=True, help_text="When who runs the event said no to it."
    )
    moved_to = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        help_text="The registration that this party has on another date instead.",
    )
    created_at = models.DateTimeField(default=clock.now)
    changed_at = models.DateTimeField(default=clock.now)
    version = models.PositiveIntegerField(default=1)

    seated: list[Attendee]  # while a verb that has just written them still holds this row

    objects = RegistrationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["event", "member"], condition=Q(state__in=LIVE), name="one_live_registration_each"
            ),
            models.UniqueConstraint(
                fields=["event", "guest_email"],
                condition=Q(state__in=LIVE) & ~Q(guest_email=""),
                name="one_live_registration_a_guest",
            ),
            models.CheckConstraint(
                name="somebody_registered", condition=Q(member__isnull=False) | ~Q(guest_email="")
            ),
            models.CheckConstraint(
                name="parties_of_one_to_twelve",
                condition=~Q(state__in=LIVE) | Q(party_size__gte=1, party_size__lte=12),
            ),
        ]
        indexes = [
            models.Index(fields=["member", "state"], name="registrations_of_a_member"),
            models.Index(
                fields=["moved_to"], condition=Q(moved_to__isnull=False), name="registrations_moved"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member or self.guest_name} at {self.event}"

    @property
    def has_places(self) -> bool:
        """It holds places now. A guest's that is not confirmed holds them only if it did not have to queue up."""
        return self.state in SEATED and not (self.state == self.State.UNCONFIRMED and self.queued_at)

    @property
    def is_open(self) -> bool:
        """The party comes or has asked, and its event is still to be or goes on."""
        event = self.event
        takes_place = event.state == Event.State.PUBLISHED and not event.is_over
        return takes_place and (self.state in UNDECIDED or self.is_coming)

    @property
    def is_changeable(self) -> bool:
        """Who made it can still change or cancel it."""
        return self.is_open and not (self.is_coming and self.event.is_fixed)

    @property
    def is_asked_again(self) -> bool:
        """The host wants to know now whether they still come: not of who has just said that they do."""
        event, now = self.event, clock.now()
        if not event.is_asking_again or event.starts_at is None:
            return False
        return any(self.created_at <= event.starts_at - before <= now for before in (ASKED_FROM, ASKED_LAST))

    @property
    def would_wait(self) -> bool:
        """A guest's that is not confirmed, and for which there is no room: with the confirmation it stands in the line."""
        total = self.event.total if self.queued_at and not self.event.by_approval else None
        return total is not None and total.left is not None and total.left < self.party_size

    @property
    def places_wanted(self) -> int:
        """How many places it stands in the line for; 0 when it does not."""
        if self.state == self.State.WAITING:
            return self.party_size
        return self.more if self.state == self.State.CONFIRMED else 0

    @property
    def has_no_address(self) -> bool:
        """Written down by hand for somebody who gave none: who runs the event speaks for it."""
        return self.member_id is None and self.guest_email.endswith(NOWHERE)

    @property
    def guest(self) -> Guest | None:
        """Who made it without an account; None for a member's, one without an address, and one whose guest is forgotten."""
        if self.member_id or self.guest_email.endswith((FORGOTTEN, NOWHERE)):
            return None
        return Guest(self.guest_name, self.guest_email, self.language)

    @property
    def holder(self) -> str:
        """The name of who made it. At most one query."""
        return str(self.member or self.guest_name or _("a guest"))

    @property
    def is_coming(self) -> bool:
        """The party comes, so there is a ticket."""
        return self.state in COMING

    @property
    def live(self) -> list[Attendee]:
        """The party as it is now, by slot. One query with their accounts; none when it was prefetched or just written."""
        if hasattr(self, "seated"):
            return self.seated
        if "attendees" in getattr(self, "_prefetched_objects_cache", {}):
            return [one for one in self.attendees.all() if one.is_live]
        found = _live(registration=self.pk)
        for attendee in found:
            attendee.registration = self
        return found


@prepared(registration=ID)
def _live(*, registration: Any) -> QuerySet[Attendee]:
    rows = Attendee.objects.filter(registration=registration, is_live=True)
    return rows.select_related("member").order_by("slot")


class Reminder(models.Model):
    """That a party was reminded of an hour, or asked about it: written with its mail, so that nobody gets two."""

    class Kind(models.TextChoices):
        DAY = "day"
        FIRST = "first"
        LAST = "last"

    registration = models.ForeignKey(Registration, models.CASCADE, related_name="reminders")
    kind = models.CharField(max_length=5, choices=Kind)
    starts_at = models.DateTimeField(help_text="The hour it was about: one that moves is another.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["registration", "kind", "starts_at"], name="reminded_once_of_an_hour"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.registration_id}"


class Attendee(models.Model):
    """One person of a party, in one slot of the ticket."""

    registration = models.ForeignKey(Registration, models.CASCADE, related_name="attendees")
    event = models.ForeignKey(Event, models.PROTECT, related_name="+")
    slot = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=60, blank=True)
    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    child = models.ForeignKey(Child, models.SET_NULL, null=True, blank=True, related_name="+")
    age = models.PositiveSmallIntegerField(null=True, blank=True)
    ticket_type = models.CharField(
        max_length=16,
        blank=True,
        default="",
        db_default="",
        help_text="Which kind of ticket, where the event has several.",
    )
    is_live = models.BooleanField(default=True)

    class Meta:
        ordering = ["slot"]
        constraints = [
            models.UniqueConstraint(fields=["registration", "slot"], name="one_attendee_a_slot"),
            models.UniqueConstraint(
                fields=["event", "child"], condition=Q(is_live=True), name="a_child_comes_once"
            ),
            models.UniqueConstraint(
                fields=["event", "member"], condition=Q(is_live=True), name="a_member_comes_once"
            ),
            models.CheckConstraint(name="sixteen_slots_a_ticket", condition=Q(slot__lt=16)),
        ]

    def __str__(self) -> str:
        return self.name or f"slot {self.slot}"


class Answers(models.Model):
    """What a party answered to the host's questions: sealed, and gone 14 days after the event."""

    registration = models.OneToOneField(
        Registration, models.CASCADE, primary_key=True, related_name="answers"
    )
    given = SealedJSON(null=True, help_text="{question id: answer}")
    agreed = models.JSONField(
        default=dict, help_text="{id of a question about health or diet: since when it may be kept}"
    )
    key = models.CharField(max_length=16, help_text="Which secret sealed it.")
    written_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"answers of {self.registration_id}"


class Claim(models.Model):
    """How many places of one pool a registration holds."""

    registration = models.ForeignKey(Registration, models.CASCADE, related_name="claims")
    pool = models.ForeignKey(Pool, models.CASCADE, related_name="claims")
    n = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["registration", "pool"], name="one_claim_a_pool"),
            models.CheckConstraint(name="a_claim_holds_something", condition=Q(n__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.n} of {self.pool_id}"
