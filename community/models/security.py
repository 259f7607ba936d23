"""The security log: who was granted, signed in, exported, agreed or looked, and when. Kept for 90 days."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from community.models.members import Member
from community.models.places import Centre
from realtime import clock

WHAT = {  # targets that mean something to people
    "staff": _("Staff of a centre"),
    "manager": _("Manager of a centre"),
    "host": _("Host"),
    "door": _("Door"),
    "people": _("People"),
    "events": _("Events"),
    "guests": _("Guests"),
}


class SecurityRecord(models.Model):
    """One thing that happened. Append-only; it holds no text that anybody wrote and no address."""

    class Action(models.TextChoices):
        SIGNED_IN = "signed_in", _("signed in")
        SIGNED_OUT = "signed_out", _("signed out")
        SESSIONS_ENDED = "sessions_ended", _("all sessions ended")
        LOCK_ADDED = "lock_added", _("added a second lock")  # a passkey or an authenticator app
        LOCK_REMOVED = "lock_removed", _("removed a second lock")
        ADDRESS_CHANGED = "address_changed", _("changed the address")
        CONSENTED = "consented", _("agreed to the terms")
        TOKEN_ISSUED = "token_issued", _("made a key for a program")
        TOKEN_REVOKED = "token_revoked", _("revoked a key for a program")
        ROLE_GRANTED = "role_granted", _("granted a role")
        ROLE_WITHDRAWN = "role_withdrawn", _("withdrew a role")
        EXPORTED = "exported", _("downloaded data")
        LOOKED = "looked", _("looked at the person")  # staff opened what only staff may see
        CORRECTED = "corrected", _("corrected the address")
        RESENT = "resent", _("dealt with a ticket or mail")
        HIDDEN = "hidden", _("hid a message")
        ERASURE_ASKED = "erasure_asked", _("asked to be erased")
        ERASURE_WITHDRAWN = "erasure_withdrawn", _("decided to stay")
        ERASED = "erased", _("erased")

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

    @property
    def what(self) -> str:
        """What it was about, for people: which role, which list. Empty where a kind or an id says nothing to them."""
        return str(WHAT.get(self.target.partition(" ")[0], ""))
