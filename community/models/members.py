"""Accounts and what they show: member, profile, consent, roles at a centre, API tokens."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Lower

from community.models.places import Centre, Interest, Place
from realtime import clock
from realtime.ids import WithId

TOKEN_PREFIX = "ec_"  # recognisable by secret scanners and by people


class MemberManager(BaseUserManager["Member"]):
    def create_user(self, email: str, **fields: Any) -> Member:
        """A new member without a password: people sign in with a code or a passkey."""
        member = self.model(email=self.normalize_email(email).lower(), **fields)
        member.set_unusable_password()
        member.save(using=self._db)
        return member

    def get_by_natural_key(self, username: str | None) -> Member:
        return self.get(email__iexact=username)


class Member(AbstractBaseUser, PermissionsMixin, WithId):
    """A person of 18 or older with an account. What others see of them is their profile."""

    email = models.EmailField()
    display_name = models.CharField(max_length=60, blank=True)
    language = models.CharField(max_length=12, default="en")
    time_zone = models.CharField(max_length=40, default="Europe/Brussels")
    channels = models.JSONField(
        default=dict,
        db_default=Value({}, models.JSONField()),
        blank=True,
        help_text="{group: channels beside the bell}; a group that is not named has the usual ones.",
    )
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="Operator: command line only.")
    is_host = models.BooleanField(default=False, help_text="May create events and circles; given by staff.")
    date_joined = models.DateTimeField(default=clock.now)
    onboarded_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[MemberManager] = MemberManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="one_member_an_address"),
            models.CheckConstraint(
                name="onboarded_members_have_a_name", condition=Q(onboarded_at=None) | ~Q(display_name="")
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or "…"


class Profile(models.Model):
    """What a member shows, and the two places their life happens in."""

    member = models.OneToOneField(Member, models.CASCADE, primary_key=True, related_name="profile")
    about = models.TextField(max_length=1000, blank=True)
    about_language = models.CharField(max_length=12, blank=True)
    languages = models.JSONField(default=list, help_text="BCP 47 codes of the languages spoken")
    lives = models.ForeignKey(Place, models.PROTECT, null=True, blank=True, related_name="+")
    works = models.ForeignKey(Place, models.PROTECT, null=True, blank=True, related_name="+")
    centre = models.ForeignKey(Centre, models.SET_NULL, null=True, blank=True, related_name="home_members")
    interests = models.ManyToManyField(Interest, blank=True, related_name="+")

    def __str__(self) -> str:
        return str(self.member)


class Consent(models.Model):
    """What a member agreed to, in which version, and when. Append-only."""

    class Document(models.TextChoices):
        TERMS = "terms"
        PRIVACY = "privacy"
        ADULT = "adult"  # "I am 18 or older"

    member = models.ForeignKey(Member, models.CASCADE, related_name="consents")
    document = models.CharField(max_length=10, choices=Document)
    version = models.CharField(max_length=20)
    language = models.CharField(max_length=12)
    given_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["member", "document", "version"], name="one_consent_a_version")
        ]

    def __str__(self) -> str:
        return f"{self.document} {self.version}"


class Role(models.Model):
    """A member's task at a centre."""

    class Kind(models.TextChoices):
        STAFF = "staff"
        MANAGER = "manager"

    member = models.ForeignKey(Member, models.CASCADE, related_name="roles")
    centre = models.ForeignKey(Centre, models.CASCADE, related_name="roles")
    kind = models.CharField(max_length=10, choices=Kind)
    granted_by = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    granted_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["member", "centre"], name="one_role_a_centre")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.centre}"


class ApiToken(models.Model):
    """A program's key to one member's data. Only its digest is stored."""

    member = models.ForeignKey(Member, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=clock.now)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def new_secret() -> str:
        """A fresh token of 256 random bits, to be shown once."""
        return TOKEN_PREFIX + secrets.token_urlsafe(32)

    @staticmethod
    def digest_of(secret: str) -> str:
        """What is stored of a token: its SHA-256 in hex (the token itself has 256 random bits, so no salt)."""
        return hashlib.sha256(secret.encode()).hexdigest()
