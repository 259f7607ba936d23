"""Limits: so many requests a minute for a member, or for an address that is nobody's yet.

A counter in the shared cache for this window and the one before it: two small operations a request, the same
for every process. When the cache is down nobody is locked out: the limits are open (sign-in has its own).
"""

from __future__ import annotations

import ipaddress
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from community.models import Member
from realtime import clock

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which itself reads this module from the settings

log = logging.getLogger(__name__)

WINDOW_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
CACHE_REST_S = 5.0  # how long a cache that failed is left alone: each try may cost its time-out
_cache_asked_again_at = 0.0


def address_of(request: HttpRequest) -> str:
    """The client's address: what the configured number of proxies vouch for, never more of X-Forwarded-For.

    IPv6 as its /64, because one household has that many addresses.
    """
    address = str(request.META.get("REMOTE_ADDR") or "")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if api_settings.NUM_PROXIES and forwarded != [""]:
        address = forwarded[-min(api_settings.NUM_PROXIES, len(forwarded))].strip()
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address[:60]
    if isinstance(known, ipaddress.IPv6Address):
        return str(known.ipv4_mapped or ipaddress.ip_network((known, 64), strict=False).network_address)
    return str(known)


class RateThrottle(ABC, BaseThrottle):
    """A sliding window over two counters. The rate is DEFAULT_THROTTLE_RATES[scope], as "600/min"."""

    scope: ClassVar[str]
    seconds_left: float = 1.0

    @abstractmethod
    def whose(self, request: Request) -> str | None:
        """Who is counted; None counts nobody."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Whether this request is within the limit. Counts it either way. No database query."""
        who = self.whose(request)
        rate = api_settings.DEFAULT_THROTTLE_RATES.get(self.scope)
        if who is None or not rate:
            return True
        most, _slash, period = str(rate).partition("/")
        used = count(f"{self.scope}:{who}", WINDOW_S[period[0]])
        if used is None or used <= int(most):
            return True
        self.seconds_left = WINDOW_S[period[0]] * (1 - int(most) / used) + 1
        return False

    def wait(self) -> float:
        """Seconds until it is worth trying again, for Retry-After."""
        return self.seconds_left


def count(name: str, window_s: int) -> float | None:
    """Count one more for `name`; how many there were in the last `window_s` seconds. None: the cache does not answer."""
    global _cache_asked_again_at
    now = clock.now().timestamp()
    if now < _cache_asked_again_at:
        return None
    window, into = divmod(now, window_s)
    this, last = f"rate:{name}:{window:.0f}", f"rate:{name}:{window - 1:.0f}"
    try:
        cache.add(this, 0, timeout=2 * window_s)
        here = cache.incr(this)
        before = cache.get(last, 0)
    except (OSError, RedisError, ValueError) as wrong:
        if not isinstance(wrong, ValueError):  # ValueError: the counter ran out between add and incr
            _cache_asked_again_at = now + CACHE_REST_S
            log.warning("cache down, limits are open: %s", wrong)
        return None
    return float(here + before * (1 - into / window_s))


class MemberThrottle(RateThrottle):
    """Per member, over all their devices and tokens."""

    scope = "member"

    def whose(self, request: Request) -> str | None:
        return str(request.user.pk) if isinstance(request.user, Member) else None


class AddressThrottle(RateThrottle):
    """Per address, for requests of nobody we know: a whole centre behind one address stays free once signed in."""

    scope = "address"

    def whose(self, request: Request) -> str | None:
        return None if isinstance(request.user, Member) else address_of(request._request)
