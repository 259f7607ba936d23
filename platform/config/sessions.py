"""How long a session lasts: an idle and an absolute limit, shorter for who can open what is other people's.

A session is stamped when somebody signs in; one without a stamp is over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.auth import logout
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from community import audit, sign_ins
from community.models import Member, Role
from config.authentication import bearer_secret
from realtime import clock, rooms

SINCE, SEEN = "since", "seen"  # in the session: seconds since 1970
OVER = "session over"


@dataclass(frozen=True)
class Limits:
    """A session ends `idle` after the last request, and `absolute` after signing in, whatever happened between.

    Not every request is written down: only one every `written`, so that reading pages costs no write.
    """

    idle: timedelta
    absolute: timedelta
    written: timedelta


MEMBER = Limits(timedelta(days=30), sign_ins.SESSION_KEPT, timedelta(hours=1))
TEAM = Limits(timedelta(hours=12), timedelta(days=7), timedelta(minutes=5))


def limits_of(member: Member) -> Limits:
    """The limits for this member's sessions. No query for who is signed in."""
    return TEAM if sign_ins.is_team(member) else MEMBER


def is_over(session: SessionBase | Mapping[str, Any], member: Member) -> bool:
    """Whether the session has reached one of its limits, or was never stamped."""
    now, limits = clock.now().timestamp(), limits_of(member)
    since, seen = session.get(SINCE, 0), session.get(SEEN, 0)
    return bool(now - since > limits.absolute.total_seconds() or now - seen > limits.idle.total_seconds())


def on_sign_in(sender: Any, request: HttpRequest, user: Any, **_given: Any) -> None:
    """Stamp a session that begins, and put it on record. Django calls it whichever way somebody came in."""
    now = clock.now().timestamp()
    request.session[SINCE] = request.session[SEEN] = now
    audit.record(audit.Action.SIGNED_IN, actor=user)


class SessionLimits:
    """Behind AuthenticationMiddleware: a session over its limits is ended, and the request goes on as nobody's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if bearer_secret(request) is None and isinstance(request.user, Member):
            if is_over(request.session, request.user):
                _end(request, request.user)
            else:
                _stamp(request.session, request.user)
        return self.get_response(request)


def _end(request: HttpRequest, member: Member) -> None:
    key = request.session.session_key
    logout(request)
    UserSession.objects.filter(session_key=key).delete()
    if key:
        rooms.sign_out(member.pk, OVER, key)


def _stamp(session: SessionBase, member: Member) -> None:
    """Write down that the session is in use; at most one write every few minutes."""
    now = clock.now().timestamp()
    if now - session.get(SEEN, 0) > limits_of(member).written.total_seconds():
        session[SEEN] = now
        UserSession.objects.filter(session_key=session.session_key).update(last_seen_at=clock.now())


def end_over() -> int:
    """The sweep: end the sessions over their limits, so that a socket somebody left open closes, too. Returns how many."""
    roles = Role.objects.filter(member=OuterRef("user"))
    listed = UserSession.objects.annotate(is_team=Exists(roles) | Q(user__is_staff=True))
    now = clock.now()
    over = listed.filter(_past(MEMBER, now) | (Q(is_team=True) & _past(TEAM, now)))
    ended = list(over.order_by("pk")[:1000])
    for session in ended:
        session.end()
        rooms.sign_out(session.user_id, OVER, session.session_key)
    return len(ended)


def _past(limits: Limits, now: datetime) -> Q:
    return Q(created_at__lt=now - limits.absolute) | Q(last_seen_at__lt=now - limits.idle - limits.written)
