"""Circles: members round an interest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef, Q

from community.models.members import Member
from community.models.places import Interest, Place, fold, translated
from realtime import clock
from realtime.ids import WithId
from realtime.models import Room


class CircleQuerySet(models.QuerySet["Circle"]):
    def open_to(self, member: Any) -> CircleQuerySet:
        """Circles the member may know of: all but those by invitation they are not in."""
        known = Q(closed_at=None) & ~Q(join=Circle.Join.INVITE)
        if member is not None:
            mine = CircleMembership.objects.filter(circle=OuterRef("pk"), member=member, state="in")
            known |= Q(Exists(mine))
        return self.filter(known)

    def for_list(self) -> CircleQuerySet:
        """With what a card shows, in this one query."""
        return self.select_related("interest", "place")

    def matching(self, words: str) -> CircleQuerySet:
        """Circles with every word of `words` in their name or description, accents and case aside."""
        return self.holding(fold(words).split())

    def holding(self, words: Iterable[Any]) -> CircleQuerySet:
        """Circles with all of these words, folded already, in their name or description."""
        found = self
        for word in words:
            found = found.filter(search__holds=word)
        return found


class Circle(WithId):
    """Members round an interest, with a room of their own."""

    class Join(models.TextChoices):
        OPEN = "open"
        REQUEST = "request"
        INVITE = "invite"

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=80)
    description = models.TextField(max_length=2000)
    language = models.CharField(max_length=12)
    translations = models.JSONField(default=dict, blank=True, help_text="{language: {name, description}}")
    search = models.TextField(blank=True, editable=False, help_text="Name and description, folded.")
    interest = models.ForeignKey(Interest, models.SET_NULL, null=True, blank=True, related_name="circles")
    place = models.ForeignKey(Place, models.SET_NULL, null=True, blank=True, related_name="circles")
    join = models.CharField(max_length=8, choices=Join, default=Join.OPEN)
    room = models.OneToOneField(Room, models.PROTECT, related_name="+")
    size = models.PositiveIntegerField(default=0, help_text="Members in it now.")
    created_at = models.DateTimeField(default=clock.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    objects = CircleQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(name="circle_size_is_real", condition=Q(size__gte=0))]
        indexes = [models.Index(fields=["-size", "id"], name="circles_by_size")]

    def __str__(self) -> str:
        return self.name

    def text(self, field: str, language: str | None = None) -> str:
        """`field` (name or description) in the reader's language where somebody translated it, else as written."""
        return translated(self.translations, field, language) or str(getattr(self, field))


class CircleMembership(models.Model):
    """A member in a circle, or asking to be."""

    class State(models.TextChoices):
        IN = "in"
        ASKED = "asked"

    circle = models.ForeignKey(Circle, models.CASCADE, related_name="memberships")
    member = models.ForeignKey(Member, models.CASCADE, related_name="circle_memberships")
    is_host = models.BooleanField(default=False)
    state = models.CharField(max_length=5, choices=State, default=State.IN)
    since = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["circle", "member"], name="one_membership_a_circle")]
        indexes = [
            models.Index(fields=["member", "state"], name="circles_i_am_in"),
            models.Index(fields=["circle", "state", "-is_host", "since", "id"], name="circle_hosts_first"),
        ]

    def __str__(self) -> str:
        return f"{self.member} in {self.circle}"
