"""Who asks: a Bearer token (programs) or the session cookie (pages, then with CSRF)."""

from typing import Any, cast

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from community.models import Member
from community.models.members import TOKEN_PREFIX
from community.sign_ins import member_for_token

_UNKNOWN: Any = object()


class CsrfRefused(exceptions.PermissionDenied):
    """403: a cookie alone is no proof that the member meant it."""

    default_detail = _("With the session cookie, send the CSRF token too (header X-CSRFToken).")
    default_code = "csrf"


def bearer_secret(request: HttpRequest) -> str | None:
    """The token a program sends in `Authorization: Bearer TOKEN` (RFC 6750 §2.1); None when another or no scheme is used.

    A page is opened by its session alone: there the header is nothing, and lifts nothing that a session is held to.
    """
    if not request.path_info.startswith("/api/"):
        return None
    scheme, _blank, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def actor_of(request: HttpRequest) -> Member | None:
    """The active member who asks, by token if one is sent, else by session; None for anybody else.

    Remembered on the request: whoever asks first pays at most one query for a token, two for a session.
    It does not look at CSRF: only CookieAuthentication lets a member through to a view.
    """
    known = getattr(request, "_actor", _UNKNOWN)
    if known is _UNKNOWN:
        secret = bearer_secret(request)
        known = _by_session(request) if secret is None else _by_token(secret)
        request._actor = known  # type: ignore[attr-defined]
    return cast(Member | None, known)


def known_actor(request: HttpRequest) -> Member | None:
    """Who asks, if somebody has found out before. No query."""
    known = getattr(request, "_actor", None) or getattr(request, "_cached_user", None)
    return known if isinstance(known, Member) else None


def _by_token(secret: str) -> Member | None:
    """Tokens of other kinds (a gate's) are known by how they begin: no query is spent on them."""
    return member_for_token(secret) if secret.startswith(TOKEN_PREFIX) else None


def _by_session(request: HttpRequest) -> Member | None:
    user = getattr(request, "user", None)
    return user if isinstance(user, Member) and user.is_active else None


class BearerAuthentication(BaseAuthentication):
    """First in the list, so that a refusal is a 401 that names the scheme (RFC 9110 §11.6.1)."""

    def authenticate(self, request: Request) -> tuple[Member, None] | None:
        """The member of the token; None without one. Raises AuthenticationFailed for a token that opens nothing."""
        if bearer_secret(request._request) is None:
            return None
        member = actor_of(request._request)
        if member is None:
            raise exceptions.AuthenticationFailed(_("This token is not known, or it was revoked."))
        return member, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Euregio Circles"'


class CookieAuthentication(SessionAuthentication):
    """The session cookie, with CSRF for everything that writes."""

    def authenticate(self, request: Request) -> tuple[Member, None] | None:
        """The member of the session; None without one. Raises CsrfRefused for a write without the token."""
        member = actor_of(request._request)
        if member is None:
            return None
        try:
            self.enforce_csrf(request)
        except exceptions.PermissionDenied as wrong:
            raise CsrfRefused from wrong
        return member, None
