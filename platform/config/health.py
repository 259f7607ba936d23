"""For those who run it: is the process up, may it be sent people, and what does it count."""

import hmac
import ipaddress
import threading
from collections import Counter

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis
from redis.exceptions import RedisError

from realtime.models import Mail

draining = threading.Event()  # set by the server when it is about to stop: no new people, please

_FORWARDING = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_VIA",
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_guard = threading.Lock()
_requests: Counter[tuple[str, int]] = Counter()
_seconds: dict[str, float] = {}
_migrated = threading.Event()


def count(method: str, status: int, seconds: float) -> None:
    """One request was answered. Called for each; takes a microsecond and touches no database."""
    method = method if method in _METHODS else "other"  # a client must not be able to invent series
    with _guard:
        _requests[method, status] += 1
        _seconds[method] = _seconds.get(method, 0.0) + seconds


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process can answer at all. No query."""
    return JsonResponse({"status": "up"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database answers and has every migration; 503 otherwise and while draining. The bus is only reported."""
    database = _database()
    is_ready = database == "up" and not draining.is_set()
    body = {
        "status": "ready" if is_ready else "draining" if draining.is_set() else "not ready",
        "database": database,
        "bus": _bus(),
    }
    return JsonResponse(body, status=200 if is_ready else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _migrated.is_set():
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                return "behind"
            _migrated.set()  # a running process never goes back behind its own migrations
    except DatabaseError:
        return "down"
    return "up"


def _bus() -> str:
    """The bus loses liveness, never a message: worth knowing, no reason to send people away."""
    if not settings.REDIS_URL:
        return "in-process"
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=0.2, socket_connect_timeout=0.2) as bus:
            bus.ping()
    except (OSError, RedisError):
        return "down"
    return "up"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Counters in Prometheus' text format, for METRICS_TOKEN or this machine itself. One query."""
    if not _may_measure(request):
        raise Http404
    with _guard:
        answered, seconds = sorted(_requests.items()), sorted(_seconds.items())
    lines = [
        "# HELP circles_requests_total Requests answered by this process.",
        "# TYPE circles_requests_total counter",
    ]
    lines += [f'circles_requests_total{{method="{m}",status="{s}"}} {n}' for (m, s), n in answered]
    lines += [
        "# HELP circles_request_seconds_total Time spent on them.",
        "# TYPE circles_request_seconds_total counter",
    ]
    lines += [f'circles_request_seconds_total{{method="{method}"}} {spent:.6f}' for method, spent in seconds]
    lines += ["# HELP circles_mails_waiting Mails in the outbox.", "# TYPE circles_mails_waiting gauge"]
    waiting = Mail.objects.filter(state__in=[Mail.State.QUEUED, Mail.State.SENDING]).count()
    lines += [f"circles_mails_waiting {waiting}"]
    lines += ["# HELP circles_draining 1 while no new people are taken.", "# TYPE circles_draining gauge"]
    lines += [f"circles_draining {int(draining.is_set())}", ""]
    return HttpResponse("\n".join(lines), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_measure(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        sent = request.META.get("HTTP_AUTHORIZATION", "").encode()
        if hmac.compare_digest(sent, f"Bearer {settings.METRICS_TOKEN}".encode()):
            return True
    if any(name in request.META for name in _FORWARDING):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
