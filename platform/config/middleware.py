"""What every request passes: strictness and problem documents outside, the reader's language, and "no" as a page."""

from asyncio import CancelledError
from collections.abc import Callable
from time import perf_counter
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation, ValidationError
from django.db import OperationalError, close_old_connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation.trans_real import language_code_re, parse_accept_lang_header

from community import audit
from community.models import Member
from config import health, problems
from config.authentication import actor_of, known_actor

REFUSALS = {401, 403, 404, 429}
GetResponse = Callable[[HttpRequest], HttpResponseBase]


class ProblemMiddleware:
    """Outermost: whatever goes wrong below /api/, before, in or after a view, leaves as a problem document.

    It also refuses what would break later (NUL, oversize bodies), answers If-None-Match, and keeps what was
    made for one person out of every cache.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = perf_counter()
        is_api = problems.is_api(request)
        try:
            odd = _refusal_of(request, is_api)
        except SuspiciousOperation as wrong:  # more fields in the query than we read
            odd = problems.bad_request(request, wrong)
        try:
            response = odd if odd is not None else self.get_response(request)
        except (
            CancelledError
        ):  # the browser left in the middle; Django may never come to give the connection back
            close_old_connections()
            raise
        if is_api:
            response = _as_api(request, response)
        _note_refusal(request, response.status_code)
        if _is_personal(request) and not response.has_header("Cache-Control"):
            response["Cache-Control"] = "private, no-store"
        health.count(request.method or "", response.status_code, perf_counter() - started)
        return response


def _note_refusal(request: HttpRequest, status: int) -> None:
    """A line of the security log for who was turned away from an address that exists. No query."""
    route = request.resolver_match
    if status in REFUSALS and route is not None:
        actor = known_actor(request)
        audit.refused("refused", actor.public_id if actor else "", route.view_name or route.route, status)


def _refusal_of(request: HttpRequest, is_api: bool) -> HttpResponse | None:
    """What is refused unseen: NUL in the path or a cookie (PostgreSQL takes none); of programs, NUL in the query too,
    a body over the limit (413), and one whose length is not said (411): under WSGI it would arrive empty.
    """
    if (
        "\0" in request.path_info
        or (is_api and _holds_nul(request))
        or (
            "\\000" in request.META.get("HTTP_COOKIE", "")
            and any("\0" in value for value in request.COOKIES.values())
        )
    ):
        return problems.bad_request(request)
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = request.META.get("CONTENT_LENGTH") or "0"
    if is_api and length == "0" and "HTTP_TRANSFER_ENCODING" in request.META:
        return problems.problem(411)
    if is_api and limit and length.isdigit() and int(length[:18]) > limit:
        return problems.problem(413)
    return None


def _holds_nul(request: HttpRequest) -> bool:
    if "%00" not in request.META.get("QUERY_STRING", ""):
        return False
    return any("\0" in name or any("\0" in value for value in values) for name, values in request.GET.lists())


def _as_api(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    status = response.status_code
    if status >= 400 and response.get("Content-Type") != problems.CONTENT_TYPE:
        kept = {
            name: response[name]
            for name in ("Allow", "Retry-After", "WWW-Authenticate")
            if response.has_header(name)
        }
        return problems.problem(status, headers=kept)
    is_read = request.method in {"GET", "HEAD"}
    if status in {301, 302} and not is_read:  # the slash is missing: a redirect would lose the body
        return problems.problem(404, detail=_("Every path ends in a slash."))
    tag = response.get("ETag")
    if (
        tag
        and status == 200
        and is_read
        and isinstance(response, HttpResponse)
        and "HTTP_IF_NONE_MATCH" in request.META
    ):
        return get_conditional_response(request, etag=tag, response=response) or response
    return response


def _is_personal(request: HttpRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES or "HTTP_AUTHORIZATION" in request.META


class RefusalMiddleware:
    """A verb's "no" that no view caught: refused (409), forbidden (403), not there (404), busy (503). As a page of the
    site also the 400 for a NUL in the query, which no lookup may meet.

    Http404 and PermissionDenied reach the same pages by themselves, through handler404 and handler403.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not problems.is_api(request) and _holds_nul(request):
            return problems.bad_request(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page or problem for `exception`; None for a fault of ours, which becomes a 500."""
        if isinstance(exception, OperationalError):
            return problems.busy(request) if problems.is_lock_timeout(exception) else None
        if problems.is_api(request):
            return problems.from_exception(exception)
        if isinstance(exception, ValidationError):
            return problems.refused(request, exception)
        if isinstance(exception, ObjectDoesNotExist):
            return problems.not_found(request, exception)
        return None


# What a member sees before the welcome is through. No id of an event or circle leads past it; a ticket is never held up.
_OPEN_PATHS = (
    *("/welcome/", "/places/suggest/", "/accounts/", "/language/", "/gate/", "/demo/", "/offline/"),
    *("/about/", "/privacy/", "/imprint/", "/terms/", "/accessibility/"),
    *("/registrations/", "/api/", "/static/", "/calendar/", "/healthz", "/readyz", "/metrics"),
)
_OPEN_EXACTLY = {"/t", "/sw.js", "/manifest.webmanifest"}


class ReaderMiddleware:
    """The reader's language and time zone, and the way through the welcome for who has just joined."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        reader = actor_of(request)
        language = language_of(request, reader)
        with translation.override(language), timezone.override(_zone_of(reader)):
            request.LANGUAGE_CODE = language
            response = _to_welcome(request, reader) or self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response


def language_of(request: HttpRequest, reader: Member | None) -> str:
    """The best language we have for this reader: profile, then cookie, then Accept-Language, then English."""
    wanted = [reader.language] if reader is not None else []
    wanted.append(request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, ""))
    wanted += [
        code for code, _quality in parse_accept_lang_header(request.META.get("HTTP_ACCEPT_LANGUAGE", ""))
    ]
    for code in wanted:
        if language_code_re.search(code):
            try:
                return translation.get_supported_language_variant(code)
            except LookupError:
                continue
    return settings.LANGUAGE_CODE


def _zone_of(reader: Member | None) -> ZoneInfo:
    try:
        return ZoneInfo(reader.time_zone if reader is not None else settings.TIME_ZONE)
    except (
        ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ):  # a zone this machine does not know, or no zone's name
        return ZoneInfo(settings.TIME_ZONE)


def _to_welcome(request: HttpRequest, reader: Member | None) -> HttpResponse | None:
    """A redirect to the welcome for a member who has not been through it; the page they wanted is kept for after."""
    path = request.path_info
    if reader is None or reader.onboarded_at is not None:
        return None
    if path.startswith(_OPEN_PATHS) or path in _OPEN_EXACTLY or path.endswith(".ics"):
        return None
    if request.method == "GET" and path != "/" and "HTTP_HX_REQUEST" not in request.META:
        request.session["after_welcome"] = request.get_full_path()
    target = reverse("welcome", args=[1])
    if "HTTP_HX_REQUEST" in request.META:  # htmx follows a redirect inside the page: tell the browser itself
        return HttpResponse(status=204, headers={"HX-Redirect": target})
    return redirect(target)
