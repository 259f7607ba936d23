"""What somebody asks the host of an event, and what the host says: to them, or to everybody."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from community.models import Member
from events.models.event import Event
from realtime import clock
from realtime.ids import WithId
from realtime.models import Block


class InquiryQuerySet(models.QuerySet["Inquiry"]):
    def unanswered(self) -> InquiryQuerySet:
        """Those that nobody has answered."""
        return self.filter(answered_at=None)

    def waiting(self) -> InquiryQuerySet:
        """Those that wait for the host: not answered, and not put aside."""
        return self.unanswered().filter(put_aside_at=None)

    def heard_by(self, reader: Member) -> InquiryQuerySet:
        """Those of nobody from whom a block keeps the reader apart. No query of its own."""
        asker = OuterRef("member")
        apart = Q(blocker=reader, blocked=asker) | Q(blocked=reader, blocker=asker)
        return self.exclude(Exists(Block.objects.filter(apart)))


class Inquiry(WithId):
    """One question of a member to who runs an event. Not what a host asks: that is in events/questions.py."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="inquiries")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    text = models.CharField(max_length=500)
    language = models.CharField(max_length=12, help_text="BCP 47 code of the question.")
    asked_at = models.DateTimeField(default=clock.now)
    answer = models.CharField(max_length=2000, blank=True)
    answer_language = models.CharField(max_length=12, blank=True, help_text="BCP 47 code of the answer.")
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    answered_at = models.DateTimeField(null=True, blank=True)
    put_aside_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when the host means to say nothing."
    )
    is_public = models.BooleanField(
        default=False, help_text="Question and answer stand on the event's page, the asker unnamed."
    )

    objects = InquiryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="an_answer_says_something",
                condition=Q(answered_at=None, answer="", is_public=False)
                | Q(answered_at__isnull=False) & ~Q(answer=""),
            ),
        ]

    def __str__(self) -> str:
        return f"question about {self.event_id}"

    @property
    def answer_seen(self) -> str:
        """What tells one state of the answer from another, for who looked at it before changing it."""
        return hashlib.sha256(f"{self.is_public} {self.answer}".encode()).hexdigest()[:16]
