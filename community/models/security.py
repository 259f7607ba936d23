"""The security log: who was granted, signed in, exported, agreed or looked, and when. Kept for 90 days."""

from __future__ import annotations

from django.db import models

from community.models.members import Member
from community.models.places import Centre
from realtime import clock


class SecurityRecord(models.Model):
    """One thing that happened. Append-only; it holds no text that anybody wrote and no address."""

    class Action(models.TextChoices):
        SIGNED_IN = "signed_in"
        SIGNED_OUT = "signed_out"
        SESSIONS_ENDED = "sessions_ended"
        LOCK_ADDED = "lock_added"  # a passkey, an authenticator app, recovery codes
        LOCK_REMOVED = "lock_removed"
        ADDRESS_CHANGED = "address_changed"
        CONSENTED = "consented"
        TOKEN_ISSUED = "token_issued"
        TOKEN_REVOKED = "token_revoked"
        ROLE_GRANTED = "role_granted"
        ROLE_WITHDRAWN = "role_withdrawn"
        EXPORTED = "exported"
        LOOKED = "looked"  # staff opened what only staff may see of a person
        CORRECTED = "corrected"
        RESENT = "resent"
        HIDDEN = "hidden"
        ERASURE_ASKED = "erasure_asked"
        ERASURE_WITHDRAWN = "erasure_withdrawn"
        ERASED = "erased"

    at = models.DateTimeField(default=clock.now, db_index=True)
    action = models.CharField(max_length=20, choices=Action)
    actor = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    subject = models.ForeignKey(
        Member, models.SET_NULL, null=True, related_name="+", help_text="Whom it concerns."
    )
    centre = models.ForeignKey(Centre, models.SET_NULL, null=True, related_name="+")
    target = models.CharField(max_length=60, blank=True, help_text="What it was about: a kind, an id.")

    class Meta:
        indexes = [models.Index(fields=["subject", "-at"], name="security_of_a_member")]

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()
