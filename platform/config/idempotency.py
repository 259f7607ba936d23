"""Idempotency-Key: a creating POST that is sent again gets the first answer again and does nothing twice.

The row that holds the answer is inserted before the view runs and committed together with what the view did,
so there is no moment in which one exists without the other. Whoever comes second with the same key waits on
the row's unique index (SQLite: in the line of writers) and then finds the answer.
"""

import hashlib
import uuid
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from config.authentication import actor_of
from config.models import IdempotentAnswer
from config.problems import RETRY_WHEN_BUSY_S, is_lock_timeout, problem
from realtime import clock

KEPT_FOR = timedelta(days=7)
KEPT_HEADERS = ("Content-Type", "Location", "ETag")
_LONGEST_PATH = 300


class IdempotencyMiddleware:
    """Innermost: what it wraps in a transaction is the view and nothing else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        header = request.META.get("HTTP_IDEMPOTENCY_KEY")
        if header is None or request.method != "POST" or not request.path_info.startswith("/api/v1/"):
            return self.get_response(request)
        key = _uuid(header)
        if key is None or len(request.path_info) > _LONGEST_PATH:
            return problem(400, "bad_idempotency_key", _("Idempotency-Key must be a UUID."))
        actor = actor_of(request)
        if actor is None:  # nobody to remember it for: the view says 401, or is open to all
            return self.get_response(request)
        asked = IdempotentAnswer(
            actor=actor,
            method="POST",
            path=request.path_info,
            key=key,
            digest=hashlib.sha256(request.body).hexdigest(),
        )
        return first_or_again(asked, lambda: self.get_response(request))


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None


class _Refused(Exception):
    """Carries an answer that must not be remembered out of the transaction, rolling back what led to it."""

    def __init__(self, answer: HttpResponseBase) -> None:
        self.answer = answer


def first_or_again(asked: IdempotentAnswer, effect: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """The remembered answer, else that of `effect`, run in one transaction with the remembering of it.

    An answer that is no success rolls everything back, itself included: the same key may be tried again.
    Again: one query. First: three more than the view's own.
    """
    if (kept := _kept(asked)) is not None:
        return _again(kept, asked)
    has_run = False
    try:
        with transaction.atomic():
            asked.save(force_insert=True)
            has_run = True
            answer = effect()
            if not 200 <= answer.status_code < 300 or not isinstance(answer, HttpResponse):
                raise _Refused(answer)
            asked.status = answer.status_code
            asked.headers = {name: answer[name] for name in KEPT_HEADERS if answer.has_header(name)}
            asked.body = answer.content.decode()
            asked.save(update_fields=["status", "headers", "body"])
        return answer
    except _Refused as refused:
        return refused.answer
    except IntegrityError:
        if has_run:
            raise
        kept = _kept(asked)  # it was under way when we looked, and is done now
        return _in_progress() if kept is None else _again(kept, asked)
    except OperationalError as wrong:
        if not is_lock_timeout(wrong):
            raise
        return _in_progress()


def _kept(asked: IdempotentAnswer) -> IdempotentAnswer | None:
    same = {"actor": asked.actor_id, "method": asked.method, "path": asked.path, "key": asked.key}
    return IdempotentAnswer.objects.filter(**same).first()


def _again(kept: IdempotentAnswer, asked: IdempotentAnswer) -> HttpResponse:
    if kept.digest != asked.digest:
        return problem(422, "key_reused", _("This Idempotency-Key was used for another request."))
    return HttpResponse(
        kept.body, status=kept.status, headers={**kept.headers, "Idempotency-Replayed": "true"}
    )


def _in_progress() -> HttpResponse:
    text = _("The first request with this Idempotency-Key is still under way.")
    return problem(409, "in_progress", text, headers={"Retry-After": str(RETRY_WHEN_BUSY_S)})


def forget_old() -> int:
    """The sweep: forget answers older than seven days. Returns how many. One query."""
    return IdempotentAnswer.objects.filter(created_at__lte=clock.now() - KEPT_FOR).delete()[0]
