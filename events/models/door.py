"""The door: who may stand at it, the devices that scan, and every scan there ever was."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from community.models import Member
from events.models.event import Event, run_by
from events.models.registration import Registration
from realtime import clock
from realtime.ids import WithId


class DoorHelper(models.Model):
    """A member whom the host asked to help at the door of one event."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="helpers")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    named_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    named_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "member"], name="named_once_for_a_door")]

    def __str__(self) -> str:
        return f"{self.member} at the door of {self.event}"


class GatePairing(models.Model):
    """The QR on the host's screen that makes a phone a gate: used once, within two minutes."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64, unique=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"pairing for {self.event}"


class GateQuerySet(models.QuerySet["Gate"]):
    def of(self, member: Member) -> GateQuerySet:
        """The member's own pages at doors where they may stand now; `supervises` on each: host or staff.

        The same right as `access.may_door`, asked in the query that fetches (and may lock) the gate.
        """
        runs = Q(Exists(Event.objects.filter(run_by(member), pk=OuterRef("event"))))
        helps = Exists(DoorHelper.objects.filter(event=OuterRef("event"), member=member))
        marked = self.annotate(supervises=models.ExpressionWrapper(runs, output_field=models.BooleanField()))
        return marked.filter(runs | Q(helps), member=member, digest=None, closed_at=None)


class Gate(WithId):
    """One scanning device at one event. Its token opens this event's door and nothing else."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="gates")
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001 - a member's own page has no token
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    paired_at = models.DateTimeField(default=clock.now)
    closed_at = models.DateTimeField(null=True)
    distrust_from = models.DateTimeField(null=True)

    objects = GateQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["event", "member", "name"], condition=Q(digest=None), name="one_own_gate_a_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Scan(models.Model):
    """One thing a gate saw. Append-only; what is true is computed from the set of all scans of an event."""

    class Kind(models.TextChoices):
        IN = "in"
        OUT = "out"
        UNDO = "undo"

    id = models.UUIDField(
        primary_key=True, help_text="Made by the gate: uploaded again, it is the same scan."
    )
    event = models.ForeignKey(Event, models.PROTECT, related_name="scans")
    order = models.BigIntegerField(help_text="Cursor of the event's door log: dense, in order of storing.")
    gate = models.ForeignKey(Gate, models.PROTECT, related_name="scans")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    kind = models.CharField(max_length=4, choices=Kind)
    registration = models.ForeignKey(Registration, models.SET_NULL, null=True, related_name="scans")
    serial = models.PositiveIntegerField(null=True)
    slots = models.PositiveIntegerField(default=0, help_text="Bitmap of the places scanned.")
    undoes = models.UUIDField(null=True)
    at = models.DateTimeField(help_text="Device time plus offset, frozen at first storing.")
    received_at = models.DateTimeField(default=clock.now)
    is_suspect = models.BooleanField(default=False)
    is_forced = models.BooleanField(default=False)
    is_supervised = models.BooleanField(
        default=False, help_text="Sent by who ran the event then: may undo other gates' scans."
    )
    is_refused = models.BooleanField(default=False, help_text="The gate, or the server for it, said no.")
    reason = models.CharField(max_length=20, blank=True)
    digest = models.CharField(
        max_length=64, help_text="Of its content: the same id with other content is refused."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "order"], name="one_scan_an_order"),
            models.CheckConstraint(name="slots_fit_a_ticket", condition=Q(slots__gte=0, slots__lt=65536)),
        ]
        indexes = [models.Index(fields=["event", "registration"], name="scans_of_a_registration")]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
