"""Pages by key: which rows come after one, so that rows that come or go meanwhile shift nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, Q


@dataclass(frozen=True)
class Finder:
    """A list that finds the rows of a page itself, by a prepared statement, where others give a queryset.

    `find(ordering=, key=, most=)` gives at most so many rows in this order after `key`, from the beginning for None.
    """

    model: type[Model]
    find: Callable[..., list[Any]]


def after(ordering: Sequence[str], key: Sequence[Any]) -> Q:
    """Rows that come after `key` (values, or their places in a statement) in `ordering`: (a > x) or (a = x and (b > y or …)).

    The first column's bound is said once more for all, so that an index on it is used.
    """
    if len(ordering) != len(key):
        raise ValueError("a cursor of another list")
    condition = Q()
    for name, value in reversed(list(zip(ordering, key, strict=True))):
        column, compare = (name[1:], "lt") if name.startswith("-") else (name, "gt")
        beyond = Q((f"{column}__{compare}", value))
        condition = beyond | (Q((column, value)) & condition) if condition else beyond
    column, compare = (ordering[0][1:], "lte") if ordering[0].startswith("-") else (ordering[0], "gte")
    return Q((f"{column}__{compare}", key[0])) & condition
