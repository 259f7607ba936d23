"""JSON as it comes from outside, taken strictly: what is odd is a 400 here and no surprise further in."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from config.problems import TooLarge

MAX_DEPTH = 16
MAX_DIGITS = 30
LARGEST = 2**63


class Odd(ValueError):
    """JSON that is valid to some readers and that we do not take (RFC 8259 §4, §6, §8.2, §9)."""


class StrictJSONParser(BaseParser):
    """`application/json`: one object in UTF-8, at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The object in the body. Raises ParseError (400) or TooLarge (413)."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 1_048_576
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge
        try:
            return strict_object(raw)
        except Odd as odd:
            raise ParseError(str(odd), "malformed") from odd


def strict_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises Odd with a text for people."""
    try:
        text = raw.decode()
        found = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
        )
    except Odd:
        raise
    except RecursionError as wrong:
        raise Odd(_("This JSON is nested too deeply.")) from wrong
    except ValueError as wrong:  # no UTF-8, no JSON
        raise Odd(_("This is not valid JSON.")) from wrong
    if not isinstance(found, dict):
        raise Odd(_("Send one JSON object."))
    if text.count("{") + text.count("[") > MAX_DEPTH or "\\u" in text:
        _look_inside(found)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Odd(_("A name appears twice in one JSON object."))
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS or abs(int(digits)) > LARGEST:
        raise Odd(_("A number is too large."))
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if sum(map(str.isdigit, digits)) > MAX_DIGITS or not math.isfinite(number) or abs(number) > LARGEST:
        raise Odd(_("A number is too large."))
    return number


def _constant(name: str) -> Any:
    raise Odd(_("NaN and Infinity are not JSON numbers."))


def _look_inside(found: Any) -> None:
    """Depth and strings, without recursion. NUL and lone surrogates come only as \\u escapes: cheap to rule out before."""
    left = [(found, 1)]
    while left:
        value, depth = left.pop()
        if isinstance(value, str):
            if "\0" in value or not is_unicode(value):
                raise Odd(_("A text holds a character that no text can hold."))
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise Odd(_("This JSON is nested too deeply."))
            inside = [*value, *value.values()] if isinstance(value, dict) else value
            left.extend((below, depth + 1) for below in inside)


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
