"""Who was asked to come to an event, and who does not want to be asked by a centre."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from community.models import Centre
from events.models.event import Event, addresses_of
from realtime import clock
from realtime.ids import WithId


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def to(self, member: Any) -> InvitationQuerySet:
        """Those that reach the member: by name, or at an address that is known to be theirs. No query of its own."""
        return self.filter(theirs(member))

    def standing(self) -> InvitationQuerySet:
        """Those that were mailed and not withdrawn: they open their event."""
        return self.filter(withdrawn_at=None, mailed_at__isnull=False)


class Invitation(WithId):
    """Somebody a host asks to come: a member, or an address, whoever has it. It counts from its mail on."""

    class Via(models.TextChoices):
        ADDRESS = "address"
        CIRCLE = "circle"
        PAST = "past"

    event = models.ForeignKey(Event, models.CASCADE, related_name="invitations")
    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+"
    )
    email = models.EmailField(blank=True, help_text="In lower case; empty for a member who was named.")
    name = models.CharField(max_length=60, blank=True, help_text="As who invites wrote it.")
    language = models.CharField(max_length=12, default="en")
    via = models.CharField(max_length=7, choices=Via)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    invited_at = models.DateTimeField(default=clock.now)
    mail_at = models.DateTimeField(null=True, blank=True, help_text="When its next mail is due.")
    mailed_at = models.DateTimeField(null=True, blank=True)
    again_at = models.DateTimeField(null=True, blank=True, help_text="When they were asked once more.")
    declined_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["event", "email"], condition=~Q(email=""), name="one_invitation_an_address"
            ),
            models.UniqueConstraint(fields=["event", "member"], name="one_invitation_a_member"),
            models.CheckConstraint(
                name="somebody_is_invited", condition=Q(member__isnull=False) | ~Q(email="")
            ),
        ]
        indexes = [
            models.Index(fields=["mail_at"], condition=Q(mail_at__isnull=False), name="invitations_due"),
            models.Index(fields=["email"], name="invitations_to_an_address"),
            models.Index(fields=["invited_by", "invited_at"], name="invitations_by_a_host"),
        ]

    def __str__(self) -> str:
        return f"{self.member_id or self.name} to {self.event_id}"


class InvitationStop(models.Model):
    """Somebody whom a centre's events do not invite any more."""

    centre = models.ForeignKey(Centre, models.CASCADE, related_name="+")
    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+"
    )
    email = models.EmailField(blank=True, help_text="Of who has no account; in lower case.")
    since = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["email", "centre"], condition=~Q(email=""), name="an_address_stops_once"
            ),
            models.UniqueConstraint(fields=["centre", "member"], name="a_member_stops_once"),
            models.CheckConstraint(name="somebody_stops", condition=Q(member__isnull=False) | ~Q(email="")),
        ]

    def __str__(self) -> str:
        return f"{self.member_id or 'an address'} not by {self.centre_id}"


def theirs(member: Any) -> Q:
    """What names the member, or one of their addresses. For a query of either table."""
    return Q(member=member) | Q(email__in=addresses_of(member))
