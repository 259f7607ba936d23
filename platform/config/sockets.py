"""The one socket of the site, /ws/: where it is, and who is at its other end.

A browser shows its session cookie and must come from a page of ours: Origin is compared as a whole, because a
cookie is sent along from any page of the world. A program shows `Authorization: Bearer` and needs no Origin.
"""

from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from community.models import ApiToken, Member
from community.sign_ins import member_for_token
from config import direct, locks, sessions
from config.session_store import SessionStore
from realtime.hub import tokens_are_checked_by
from realtime.socket import Socket
from realtime.threads import in_thread

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of all WebSockets. Elsewhere than at /ws/, or from a foreign page: 403."""
    headers = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
    scheme, _blank, secret = headers.get("authorization", "").partition(" ")
    is_program = scheme.lower() == "bearer"
    if scope["path"] != f"/{settings.SOCKET_PATH}" or not (is_program or comes_from_us(headers)):
        await receive()
        await send({"type": "websocket.close"})
        return
    session_key = token = ""
    if is_program:
        member, token = await in_thread(member_for_token)(secret.strip()), ApiToken.digest_of(secret.strip())
    else:
        member, session_key = await in_thread(member_of_session)(headers.get("cookie", ""))
    wire = direct.wire_of(send)
    here = scope | {"user": member, "session_key": session_key, "token": token, "wire": wire}
    await Socket(here, send).run(receive)


def revoked(digests: set[str]) -> set[str]:
    """Those of these tokens, named by their digest, that open nothing any more. One query."""
    valid = ApiToken.objects.filter(digest__in=digests, revoked_at=None)
    return digests - set(valid.values_list("digest", flat=True))


tokens_are_checked_by(revoked)


def comes_from_us(headers: Mapping[str, str]) -> bool:
    """Whether Origin (RFC 6454 §7) is exactly ours: PUBLIC_URL, or on a private machine any of its names."""
    origin = headers.get("origin", "")
    if origin == settings.PUBLIC_URL:
        return True
    if not settings.IS_LOOPBACK:
        return False
    try:
        here, host = urlsplit(origin), urlsplit(f"//{headers.get('host', '')}")
        ports = {urlsplit(settings.PUBLIC_URL).port or 80}
        if host.hostname in LOOPBACK:
            ports.add(host.port or 80)
        is_exact = origin == f"{here.scheme}://{here.netloc}" and "@" not in here.netloc
        return is_exact and here.scheme == "http" and here.hostname in LOOPBACK and (here.port or 80) in ports
    except ValueError:  # an Origin or Host that is no address
        return False


def member_of_session(cookies: str) -> tuple[Member | None, str]:
    """Who the session cookie belongs to, and its key. (None, "") when signed out. Two queries."""
    try:
        cookie = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        cookie = None
    if cookie is None:
        return None, ""
    request = HttpRequest()
    request.session = SessionStore(cookie.value)
    user = get_user(request)  # checks the session's hash too, as for pages
    if not isinstance(user, Member) or sessions.is_over(request.session, user) or locks.lacks_lock(user):
        return None, ""
    return user, request.session.session_key or ""
