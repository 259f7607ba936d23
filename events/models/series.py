"""A recurring meetup: the rule, from which its occurrences are made as events."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from events.models.details import Details


class Series(Details):
    """A rule of RFC 5545 in local wall time. Its occurrences are rows of Event; the past never changes."""

    start_date = models.DateField(help_text="Local date of DTSTART.")
    start_time = models.TimeField(help_text="Local wall time of DTSTART.")
    minutes = models.PositiveIntegerField(
        null=True, blank=True, help_text="Length; empty: the end is not known."
    )
    rrule = models.CharField(max_length=500, blank=True, help_text="RFC 5545 §3.3.10, without the name.")
    rdates = models.JSONField(default=list, blank=True, help_text="Local times, 2027-06-01T19:00:00")
    exdates = models.JSONField(default=list, blank=True, help_text="Local times left out")
    skip_holidays = models.JSONField(
        default=list, blank=True, help_text="Countries whose public holidays are left out"
    )
    made_until = models.DateField(null=True, blank=True, help_text="Occurrences exist as rows up to here.")
    cut_from = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, db_index=False, related_name="+"
    )
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "series"

    @property
    def starts_at(self) -> datetime:
        """DTSTART: local wall time without a zone (the zone is `timezone`)."""
        return datetime.combine(self.start_date, self.start_time)
