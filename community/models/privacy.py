"""What people asked us to do with their data: a copy of it, and to be forgotten."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from community.models.members import Member
from realtime import clock
from realtime.ids import WithId


class Erasure(models.Model):
    """Somebody asked to be forgotten. No relation to the member: the row outlives them, so that a restored backup
    can be made to forget them again; all it holds is a random number and three moments.
    """

    member_id = models.BigIntegerField(unique=True)
    asked_at = models.DateTimeField(default=clock.now)
    due_at = models.DateTimeField(db_index=True)
    reminded_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"erasure due {self.due_at:%Y-%m-%d}"


class Export(WithId):
    """A copy of all that is kept about a member: asked for, being made by the sweep, ready for a week."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    member = models.ForeignKey(Member, models.CASCADE, related_name="exports")
    state = models.CharField(max_length=7, choices=State, default=State.QUEUED)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Per cent.")
    language = models.CharField(max_length=12, default="en")
    asked_at = models.DateTimeField(default=clock.now)
    claimed_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of the file.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["member"], condition=~Q(state="failed"), name="one_live_export_each"
            ),
            models.CheckConstraint(
                name="progress_is_per_cent", condition=Q(progress__gte=0, progress__lte=100)
            ),
        ]

    def __str__(self) -> str:
        return f"export {self.state}"


class ExportPart(models.Model):
    """A piece of the file, in order. In the database, where each process finds it and each erasure reaches it."""

    export = models.ForeignKey(Export, models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="one_part_a_number")]

    def __str__(self) -> str:
        return f"part {self.number}"
