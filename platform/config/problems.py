"""Every "no" of the site, once per door: a problem document (RFC 9457) below /api/, a page elsewhere."""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    NON_FIELD_ERRORS,
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    ValidationError,
)
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_WHEN_BUSY_S = 1
WHOLE = "non_field_errors"  # the key of what is wrong with no single field

# What a verb's ValidationError says by its code. Codes that are not here are bad input: 400.
STATUS_OF_CODE = {
    **dict.fromkeys(
        [
            "full",
            "closed",
            "already_registered",
            "too_late",
            "too_early",
            "in_progress",
            "cancelled",
            "called_off",
            "already_member",
            "already_linked",
            "already_answered",
            "last_host",
            "cannot_leave",
            "open",
            "used",
            "expired",
            "conflict",
        ],
        409,
    ),
    "stale": 412,
    "not_found": 404,
    "forbidden": 403,
    "key_reused": 422,
    "too_fast": 429,
    "slow_mode": 429,
}
CODE_OF_STATUS = {
    400: "invalid",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    412: "stale",
    411: "length_required",
    413: "too_large",
    415: "unsupported_media_type",
    422: "unprocessable",
    428: "precondition_required",
    429: "throttled",
    500: "error",
    503: "busy",
}
DETAIL_OF_STATUS = {
    400: _("We could not read this request."),
    401: _("Sign in, or send a token."),
    403: _("You may see this, but not do it."),
    404: _("There is nothing here, or it is not yours to see."),
    405: _("That cannot be done here."),
    411: _("Say how long the body is (Content-Length)."),
    413: _("That is too much at once."),
    429: _("That was too fast. Please wait a moment."),
    500: _("Something broke on our side. It is written down and will be looked at."),
    503: _("Many people are doing this at once. Please try again in a moment."),
}


class TooLarge(exceptions.APIException):
    """413: more than we read."""

    status_code = 413
    default_detail = DETAIL_OF_STATUS[413]
    default_code = "too_large"


def problem(
    status: int,
    code: str = "",
    detail: object = "",
    *,
    errors: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """A problem document (RFC 9457 §3). `code` is for programs, `detail` for people in their language."""
    code = code or CODE_OF_STATUS.get(status, "error")
    body = {
        "type": f"urn:problem-type:circles:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": str(detail or DETAIL_OF_STATUS.get(status, HTTPStatus(status).description)),
        "errors": dict(errors or {}),
    }
    return HttpResponse(json.dumps(body), status=status, content_type=CONTENT_TYPE, headers=headers)


def as_problem(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """DRF's exception handler: any known "no" as a problem; None for what nobody expected (it becomes a 500)."""
    return from_exception(exc)


def from_exception(exc: Exception) -> HttpResponse | None:
    """The problem that `exc` is, or None when it is a fault of ours."""
    match exc:
        case exceptions.APIException():
            return _from_api_exception(exc)
        case ValidationError():
            return _from_validation_error(exc)
        case Http404() | ObjectDoesNotExist():
            return problem(404)
        case PermissionDenied():
            return problem(403, detail=str(exc))
        case RequestDataTooBig():
            return problem(413)
        case OperationalError() if is_lock_timeout(exc):
            return problem(503, headers={"Retry-After": str(RETRY_WHEN_BUSY_S)})
    return None


def is_lock_timeout(error: OperationalError) -> bool:
    """Whether the wait for somebody else's lock, or for a free connection, took too long (55P03, 40P01 in PostgreSQL)."""
    state = getattr(error.__cause__, "sqlstate", None)
    is_in_line = type(error.__cause__).__name__ == "PoolTimeout"  # psycopg_pool's own, without a state
    return is_in_line or state in {"55P03", "40P01"} or "database is locked" in str(error)


def _from_api_exception(exc: exceptions.APIException) -> HttpResponse:
    headers: dict[str, str] = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    if isinstance(exc.detail, dict | list):
        errors = _listed(exc.detail)
        return problem(exc.status_code, detail=_first_of(errors), errors=errors, headers=headers)
    return problem(exc.status_code, getattr(exc.detail, "code", ""), exc.detail, headers=headers)


def _from_validation_error(exc: ValidationError) -> HttpResponse:
    if hasattr(exc, "error_dict"):
        errors = {
            WHOLE if name == NON_FIELD_ERRORS else name: texts for name, texts in exc.message_dict.items()
        }
        return problem(400, detail=_first_of(errors), errors=errors)
    code = code_of(exc)
    status = STATUS_OF_CODE.get(code, 400)
    detail = " ".join(exc.messages)
    headers = {"Retry-After": str(RETRY_WHEN_BUSY_S)} if status == 429 else None
    return problem(
        status, code, detail, errors={WHOLE: exc.messages} if status == 400 else None, headers=headers
    )


def code_of(exc: ValidationError) -> str:
    """The code of the first thing a ValidationError says; empty when it has none."""
    if hasattr(exc, "error_dict"):
        return ""
    return str(exc.error_list[0].code or "") if exc.error_list else ""


def _listed(detail: Any, path: str = "") -> dict[str, list[str]]:
    """DRF's nested errors as {"party.1.age": [texts]}: one key a field, as deep as it lies."""
    found: dict[str, list[str]] = {}
    for name, text in _leaves(detail, path):
        found.setdefault(name or WHOLE, []).append(text)
    return found


def _leaves(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(detail, dict):
        for name, below in detail.items():
            if path and name == WHOLE:  # of a thing within the thing: that is its name
                yield from _leaves(below, path)
                continue
            yield from _leaves(below, f"{path}.{name}" if path else str(name))
    elif isinstance(detail, list):
        for index, below in enumerate(detail):
            yield from _leaves(below, f"{path}.{index}" if isinstance(below, dict | list) else path)
    else:
        yield path, str(detail)


def _first_of(errors: Mapping[str, list[str]]) -> str:
    return next(
        (
            f"{texts[0]}" if name == WHOLE else f"{name}: {texts[0]}"
            for name, texts in errors.items()
            if texts
        ),
        "",
    )


# Pages


def is_api(request: HttpRequest) -> bool:
    """Whether a program asks: it gets problem documents whatever goes wrong."""
    return request.path_info.startswith("/api/")


def page(
    request: HttpRequest, template: str, status: int, context: dict[str, Any] | None = None
) -> HttpResponse:
    """An error page. When even that fails (no database, no session yet), a bare one that needs nothing."""
    try:
        return render(request, template, {"status": status, **(context or {})}, status=status)
    except Exception:  # whatever broke the request may break its error page too
        if status >= 500 or hasattr(request, "user"):
            log.exception("error page failed: %s", template)
        text = escape(str(DETAIL_OF_STATUS.get(status, HTTPStatus(status).phrase)))
        back = escape(gettext("Go to the front page"))
        body = (
            f'<!doctype html><html lang="{get_language() or "en"}"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{status} · Euregio Circles</title>'
            f'<h1>{text}</h1><p><a href="/">{back}</a></p></html>'
        )
        return HttpResponse(body, status=status)


def refused(request: HttpRequest, exc: ValidationError) -> HttpResponse:
    """A verb said no to a page: why, and the way back. Context: reasons [str], code, back (a path of this site)."""
    return page(
        request,
        "refused.html",
        409,
        {"reasons": exc.messages, "code": code_of(exc), "back": back_of(request)},
    )


def back_of(request: HttpRequest) -> str:
    """The path the reader came from when it is ours, else the front page."""
    here = f"{request.scheme}://{request.get_host()}/"
    referer = request.META.get("HTTP_REFERER", "")
    path = "/" + referer.removeprefix(here) if referer.startswith(here) else "/"
    return "/" if path.startswith("//") or "\\" in path else path


def csrf_refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW: mostly a page that stood open too long, or cookies that are switched off."""
    text = gettext(
        "This page was open too long, or your browser sends no cookies. Go back, load it again and repeat the step."
    )
    if is_api(request):
        return problem(403, "csrf", text)
    return page(request, "refused.html", 403, {"reasons": [text], "code": "csrf", "back": back_of(request)})


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler400."""
    too_big = isinstance(exception, RequestDataTooBig)
    if is_api(request):
        return problem(413 if too_big else 400)
    status = 413 if too_big else 400
    return page(
        request, "refused.html", status, {"reasons": [DETAIL_OF_STATUS[status]], "code": "", "back": "/"}
    )


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler403."""
    reason = str(exception or "")
    return (
        problem(403, detail=reason) if is_api(request) else page(request, "403.html", 403, {"reason": reason})
    )


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler404. Says nothing about whether the thing exists."""
    return problem(404) if is_api(request) else page(request, "404.html", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500."""
    return problem(500) if is_api(request) else page(request, "500.html", 500)


def busy(request: HttpRequest) -> HttpResponse:
    """The database gave up waiting: nothing was changed, and a moment later it works."""
    reasons = [DETAIL_OF_STATUS[503]]
    answer = (
        problem(503)
        if is_api(request)
        else page(request, "refused.html", 503, {"reasons": reasons, "back": back_of(request)})
    )
    answer["Retry-After"] = str(RETRY_WHEN_BUSY_S)
    return answer
