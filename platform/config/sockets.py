"""The one socket of the site, /ws/: where it is, and who is at its other end.

A browser shows its session cookie and must come from a page of ours: Origin is compared as a whole, because a
cookie is sent along from any page of the world. A program shows `Authorization: Bearer` and needs no Origin.
"""

from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from community import sign_ins
from community.models import ApiToken, Member
from config import locks, sessions, wire
from config.session_store import SessionStore
from realtime import clock
from realtime.callers import tokens_are_checked_by
from realtime.socket import Socket
from realtime.threads import Together

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
    member, session_key, token = None, "", ""
    if is_program:
        token = ApiToken.digest_of(secret.strip())
        member = await _by_token.ask(token)
    elif cookie := session_cookie(headers.get("cookie", "")):
        member = await _by_session.ask(cookie)
        session_key = cookie if member else ""
    here = scope | {"user": member, "session_key": session_key, "token": token, "wire": wire.wire_of(send)}
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


def session_cookie(cookies: str) -> str:
    """The session's key in a Cookie header, "" where there is none."""
    try:
        cookie = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def members_of_sessions(session_keys: list[str]) -> list[Member | None]:
    """Who each session belongs to; None where it is over or nobody's. Two queries for any number.

    What is not plainly right here, such as a session that an older SECRET_KEY has signed, is left to Django, one by one.
    """
    kept = Session.objects.filter(pk__in=session_keys, expire_date__gt=clock.now())
    found = {row.pk: SessionStore(row.pk).decode(row.session_data) for row in kept}
    ids = {said[SESSION_KEY] for said in found.values() if str(said.get(SESSION_KEY)).isdecimal()}
    members = sign_ins.with_standing(Member.objects.filter(pk__in=ids, is_active=True))
    by_id = {str(member.pk): member for member in members}
    return [_member(key, found[key], by_id) if key in found else None for key in session_keys]


def _member(session_key: str, said: dict[str, Any], by_id: Mapping[str, Member]) -> Member | None:
    member = by_id.get(str(said.get(SESSION_KEY)))
    is_plain = (
        member is not None
        and said.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS
        and constant_time_compare(said.get(HASH_SESSION_KEY, ""), member.get_session_auth_hash())
    )
    if not is_plain:
        return member_of_session(session_key)
    assert member is not None
    return None if sessions.is_over(said, member) or locks.lacks_lock(member) else member


def member_of_session(session_key: str) -> Member | None:
    """Who a session belongs to, as Django finds it for a page. Two queries."""
    request = HttpRequest()
    request.session = SessionStore(session_key)
    user = get_user(request)  # checks the session's hash too
    if not isinstance(user, Member) or sessions.is_over(request.session, user) or locks.lacks_lock(user):
        return None
    return user


# When a server is back, its sockets come all at once: they share the questions.
_by_session: Together[str, Member | None] = Together(members_of_sessions)
_by_token: Together[str, Member | None] = Together(sign_ins.members_for_digests)
