"""Households: adults who both agreed, and children without accounts."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from community.models.members import Member
from realtime import clock
from realtime.ids import WithId
from realtime.models import Room

FIRST_BIRTH_YEAR = 1990  # a guard against typing errors only; a child is whoever a parent says


class Household(WithId):
    """People who live together and come to events as one party."""

    created_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return " & ".join(str(adult.member) for adult in self.adults.select_related("member").order_by("pk"))


class HouseholdAdult(models.Model):
    """An adult of a household: a member is in one at most, and only by their own consent."""

    household = models.ForeignKey(Household, models.CASCADE, related_name="adults")
    member = models.OneToOneField(Member, models.CASCADE, related_name="home")
    joined_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return str(self.member)


class HouseholdRoom(models.Model):
    """Where the two adults of a household talk, as long as they are two: who comes after one of them has another."""

    household = models.OneToOneField(Household, models.CASCADE, primary_key=True, related_name="+")
    room = models.OneToOneField(Room, models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"room of {self.household_id}"


class HouseholdInvitation(WithId):
    """One adult asks another to be one household; nothing is linked until the other agrees."""

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        DECLINED = "declined"
        WITHDRAWN = "withdrawn"

    inviter = models.ForeignKey(Member, models.CASCADE, related_name="household_invitations")
    email = models.EmailField()
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(default=clock.now)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["inviter"], condition=Q(state="open"), name="one_open_invitation_each"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.inviter} → {self.email}"


class Child(WithId):
    """A child: a first name or nickname and a birth year, seen by the household and by the door of an event."""

    household = models.ForeignKey(Household, models.CASCADE, related_name="children")
    nickname = models.CharField(max_length=40)
    birth_year = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["birth_year", "nickname"]
        verbose_name_plural = "children"
        constraints = [
            models.CheckConstraint(
                name="birth_year_of_a_child",
                condition=Q(birth_year__gte=FIRST_BIRTH_YEAR, birth_year__lte=2100),
            ),
            models.CheckConstraint(name="children_have_a_name", condition=~Q(nickname="")),
        ]

    def __str__(self) -> str:
        return self.nickname
