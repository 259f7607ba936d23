"""What an API answers when versions or states do not fit, and how a request says which version it saw.

The classes carry only a status and a code; config.problems turns them into `application/problem+json`.
"""

import re

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.request import Request

# W/ is taken as well: a proxy that compresses weakens the tag on its way out, and the client sends back what it got.
_ONE_TAG = re.compile(r'(?:W/)?"?(\d{1,18})"?')


class PreconditionRequired(APIException):
    """428 (RFC 6585 §3): a change without If-Match could undo somebody else's."""

    status_code = 428
    default_detail = _("Say with If-Match which version you are changing: it is the ETag you were given.")
    default_code = "precondition_required"


class PreconditionFailed(APIException):
    """412 (RFC 9110 §15.5.13): it was changed since the caller read it."""

    status_code = 412
    default_detail = _("It was changed meanwhile. Fetch it again and look before you change it.")
    default_code = "stale"


class Conflict(APIException):
    """409: the request is sound, and the present state says no. `code` tells programs why, `detail` people."""

    status_code = 409
    default_detail = _("That does not fit the present state.")
    default_code = "conflict"

    def __init__(self, code: str = default_code, detail: str | None = None) -> None:
        super().__init__(detail, code)


def etag(version: int) -> str:
    """The strong entity tag of a version number, with its quotes (RFC 9110 §8.8.3)."""
    return f'"{version}"'


def expected_version(request: Request) -> int:
    """The version number that If-Match names.

    Raises PreconditionRequired when there is none (`*` names none), PreconditionFailed when it cannot be
    one of ours. The caller compares it with the locked row and raises PreconditionFailed when they differ.
    """
    header = request.headers.get("If-Match", "").strip()
    if header in {"", "*"}:
        raise PreconditionRequired
    one = _ONE_TAG.fullmatch(header)
    if one is None:
        raise PreconditionFailed
    return int(one[1])
