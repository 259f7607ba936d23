"""A call-off that can still be taken back, and what it ended: gone when it is final."""

from __future__ import annotations

from django.db import models

from events.models.event import Event
from events.models.registration import Registration


class CallOff(models.Model):
    """The last time somebody called this event off. After `until` it is final, and the row goes."""

    event = models.OneToOneField(Event, models.CASCADE, related_name="+")
    version = models.PositiveIntegerField(help_text="Of the event, called off: as the mails name it.")
    until = models.DateTimeField(db_index=True)
    told_at = models.DateTimeField(help_text="When the mails about it may leave.")
    undone_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"call-off of {self.event_id}"


class EndedParty(models.Model):
    """A registration as it was when its event was called off."""

    call_off = models.ForeignKey(CallOff, models.CASCADE, related_name="parties")
    registration = models.OneToOneField(Registration, models.CASCADE, related_name="+")
    state = models.CharField(max_length=16, choices=Registration.State)
    version = models.PositiveIntegerField()
    min_serial = models.PositiveIntegerField()
    slots = models.PositiveIntegerField(help_text="Bitmap of the places of who came.")
    claims = models.JSONField(default=dict, help_text="{pool: places}")

    def __str__(self) -> str:
        return f"{self.registration_id}, {self.state}"
