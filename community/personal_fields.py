"""The one registry of what is kept about people. The privacy page, the export and the sweeps are made from it.

Each model of the house is declared once, each of its fields either with a purpose (why it is kept, on what ground,
who sees it, how long, who receives it) or with the reason why it says nothing about a person. Upper floors add
theirs in `AppConfig.ready()`; a test fails on a field that nobody declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from django.db.models import Model, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

type Text = str | Promise


class Basis(Enum):
    """The ground of GDPR article 6 (1) on which something is kept."""

    CONSENT = "a"
    CONTRACT = "b"
    LAW = "c"
    INTEREST = "f"


@dataclass(frozen=True, eq=False)
class Purpose:
    """One line of the privacy page. `how_long` may hold %(days)d or %(years)d, which is `kept`; `sweep` is what then forgets it."""

    what: Text
    why: Text
    basis: Basis
    who: Text
    how_long: Text
    kept: timedelta | None = None
    sweep: Callable[[], int] | None = None
    recipient: Text = ""

    @property
    def retention(self) -> str:
        """How long it is kept, in the language of the page."""
        days = self.kept.days if self.kept else 0
        return str(self.how_long) % {"days": days, "years": days // 365}


class Neutral(Enum):
    """Why a field says nothing about a person."""

    KEY = "the number of a row"
    LINK = "ties rows together: says whose or of what a row is"
    COUNT = "counts, orders or versions"
    SHARED = "about a gathering, a circle or a town, written for others"
    SITE = "about the site itself"


type Rows = Callable[[int], QuerySet[Any]]


@dataclass(frozen=True, eq=False)
class Table:
    """What a model keeps. `rows(member id)` are those an export shows; `shown` says what it puts for a field that
    only points elsewhere, or beside the fields; `withheld` are keys and digests, which open doors and tell nothing.
    """

    model: type[Model]
    fields: Mapping[str, Purpose | Neutral]
    rows: Rows | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """How the export calls it."""
        return str(self.model._meta.model_name)

    @property
    def personal(self) -> dict[str, Purpose]:
        """The fields that say something about somebody."""
        return {name: what for name, what in self.fields.items() if isinstance(what, Purpose)}

    @property
    def paths(self) -> dict[str, str]:
        """What an export shows of a row: name → lookup."""
        own = {name: self.shown.get(name, name) for name in self.personal if name not in self.withheld}
        return {name: path for name, path in self.shown.items() if name not in self.personal} | own


def table(
    model: type[Model],
    fields: Mapping[Purpose | Neutral, str],
    rows: Rows | None = None,
    shown: Mapping[str, str] | None = None,
    withheld: str = "",
) -> Table:
    """A declaration: the names of the fields stand in one text behind what they are kept for."""
    each = {name: what for what, names in fields.items() for name in names.split()}
    return Table(model, each, rows, shown or {}, frozenset(withheld.split()))


_tables: dict[type[Model], Table] = {}
_LAST = (99, 0)


def add(*tables: Table) -> None:
    """Declare tables. Said again, it replaces what was said of a model before."""
    for one in tables:
        _tables[one.model] = one


def tables() -> list[Table]:
    """All declarations: in the order of the page, those that hold nothing personal at the end."""
    return sorted(_tables.values(), key=lambda one: min(map(_place, one.personal.values()), default=_LAST))


def purposes() -> list[Purpose]:
    """What personal fields are kept for, each once, in the order of the page."""
    seen = {purpose: None for one in tables() for purpose in one.personal.values()}
    return sorted(seen, key=_place)


def _place(purpose: Purpose) -> tuple[int, int]:
    return _ORDER.get(purpose, _LAST)


def sweeps() -> Iterator[Callable[[], int]]:
    """What forgets when its time has come: each once."""
    yield from {purpose.sweep: None for purpose in purposes() if purpose.sweep}


_ORDER: dict[Purpose, tuple[int, int]] = {}


def in_order(rank: int, *listed: Purpose) -> None:
    """These purposes stand on the page in this order, before those of a higher rank."""
    for place, purpose in enumerate(listed):
        _ORDER[purpose] = (rank, place)


# What several floors say alike

WITH_ACCOUNT = _("As long as you have an account")
UNTIL_CHANGED = _("Until you change or delete it")
ONLY_YOU = _("You")
