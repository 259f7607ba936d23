"""Who hosts an event or a meetup together with its host."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from events.models.event import Event
from events.models.series import Series
from realtime import clock


class CoHostQuerySet(models.QuerySet["CoHost"]):
    def at(self, event: Event) -> CoHostQuerySet:
        """Those of this date alone and those of every date of its series, the first named first. No query of its own."""
        of_series = Q(series=event.series_id) if event.series_id else Q(pk__in=[])
        return self.filter(Q(event=event) | of_series).order_by("named_at", "pk")


class CoHost(models.Model):
    """A member whom the host asked to run one event, or all dates of a series, together."""

    event = models.ForeignKey(Event, models.CASCADE, null=True, related_name="cohosts")
    series = models.ForeignKey(Series, models.CASCADE, null=True, related_name="cohosts")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    named_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    named_at = models.DateTimeField(default=clock.now)

    objects = CoHostQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="hosts_an_event_or_a_series",
                condition=Q(event=None, series__isnull=False) | Q(event__isnull=False, series=None),
            ),
            models.UniqueConstraint(fields=["event", "member"], name="hosts_an_event_once"),
            models.UniqueConstraint(fields=["series", "member"], name="hosts_a_series_once"),
        ]

    def __str__(self) -> str:
        return f"{self.member_id} hosts {self.event_id or self.series_id}"
