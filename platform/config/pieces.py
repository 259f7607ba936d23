"""Pieces of a page that are written once and shown to many: a card, a search form, the foot of a page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta
from itertools import islice
from threading import Lock
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from realtime import clock

MOST = 8_000_000  # characters; a card has one or two thousand
KEPT = timedelta(hours=1)  # some name people: who was forgotten in the database is soon forgotten here

is_checked = False  # in tests: that what was written once is what would be written now

_known: OrderedDict[Hashable, tuple[SafeString, datetime]] = (
    OrderedDict()
)  # the ones not shown for longest first
_sizes = [0]  # of all that is known
_lock = Lock()


class ChangedPiece(AssertionError):
    """A piece shows something that its key does not name."""


def piece(template: str, key: Hashable, context: dict[str, Any]) -> SafeString:
    """`template` with `context`, written once for each language and `key`.

    `key` must name everything the template shows: then a piece can never be out of date, and nobody has to throw any
    away. It is given neither the request nor the reader. The ones not shown for longest are forgotten, and
    each is written anew after an hour.
    """
    whole, now = (template, get_language(), key), clock.now()
    with _lock:
        found, since = _known.get(whole, (None, now))
        if found is not None:
            _known.move_to_end(whole)
    if found is not None and now - since < KEPT and not is_checked:
        return found
    written = render_to_string(template, context)
    if found is not None and found != written:
        raise ChangedPiece(template, key, found, written)
    with _lock:
        _drop(whole)
        _known[whole] = written, now
        _sizes[0] += len(written)
        for oldest, (_text, since) in list(islice(_known.items(), 8)):
            if _sizes[0] > MOST or now - since >= KEPT:
                _drop(oldest)
    return written


def _drop(whole: Hashable) -> None:
    text, _since = _known.pop(whole, ("", None))
    _sizes[0] -= len(text)


def known() -> int:
    """How many characters are kept."""
    return _sizes[0]


def is_known(template: str, key: Hashable) -> bool:
    """Whether this piece is kept in the language of the page."""
    return (template, get_language(), key) in _known


def forget() -> None:
    """Begin anew."""
    with _lock:
        _known.clear()
        _sizes[0] = 0
