"""The one table of the roof: answers that were given, kept so that a repeated request gets the same."""

from django.db import models

from community.models import Member
from realtime import clock


class IdempotentAnswer(models.Model):
    """The answer to one creating POST, written in the same transaction as its effect."""

    actor = models.ForeignKey(Member, models.CASCADE, related_name="+")
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300)
    key = models.UUIDField(help_text="Idempotency-Key, made by the client.")
    digest = models.CharField(
        max_length=64, help_text="SHA-256 of the body: another body with the same key is refused."
    )
    status = models.PositiveSmallIntegerField(default=0, help_text="0 while the first request is under way.")
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["actor", "method", "path", "key"], name="one_answer_a_key")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.key}"
