"""A partner's calendar that a centre takes events from, and each of its dates with the event it became."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from community.models.places import Centre
from events.models.event import Event
from realtime import clock
from realtime.ids import WithId


class PartnerCalendar(WithId):
    """An iCalendar file of somebody else: read again from its address, or given once as a file."""

    centre = models.ForeignKey(Centre, models.PROTECT, related_name="+")
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    name = models.CharField(max_length=80)
    language = models.CharField(max_length=12, help_text="BCP 47 code of what it says")
    url = models.CharField(max_length=1000, blank=True, help_text="Empty: it came as a file.")
    content = models.BinaryField(help_text="The file as it came last, without who is invited.")
    version = models.PositiveIntegerField(default=1, help_text="One more for each other content.")
    etag = models.CharField(max_length=200, blank=True)
    last_modified = models.CharField(max_length=200, blank=True)
    is_on = models.BooleanField(default=False, help_text="Somebody looked at what it brings and wants it.")
    created_at = models.DateTimeField(default=clock.now)
    read_at = models.DateTimeField(null=True, blank=True, help_text="When it was last got and read in full.")
    tried_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="When the sweep reads it next.")
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    error = models.CharField(max_length=20, blank=True, help_text="Why the last try failed: a code.")
    error_status = models.PositiveIntegerField(default=0, help_text="The number the server answered with.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["centre", "url"], condition=~Q(url=""), name="one_calendar_an_address"
            )
        ]
        indexes = [models.Index(fields=["due_at"], name="partner_calendars_due")]

    def __str__(self) -> str:
        return self.name


class PartnerDate(models.Model):
    """One date of a partner's calendar. Without an event somebody threw its draft away: it does not come again."""

    calendar = models.ForeignKey(PartnerCalendar, models.CASCADE, related_name="dates")
    uid = models.CharField(max_length=255)
    recurrence = models.CharField(max_length=19, blank=True, help_text="RECURRENCE-ID on the wall clock.")
    event = models.OneToOneField(Event, models.SET_NULL, null=True, blank=True, related_name="partner_date")
    url = models.CharField(max_length=500, blank=True, help_text="Where the partner tells of it.")
    said = models.JSONField(default=dict, help_text="What the calendar said when it was last taken over.")
    offer = models.JSONField(default=dict, blank=True, help_text="What it says now and the event does not.")
    gone = models.CharField(
        max_length=9, blank=True, help_text="vanished or cancelled there; empty: it is there"
    )
    is_open = models.BooleanField(default=False, help_text="Somebody has to decide.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["calendar", "uid", "recurrence"], name="one_date_a_calendar_brings"
            )
        ]

    def __str__(self) -> str:
        return f"{self.uid} {self.recurrence}".strip()
