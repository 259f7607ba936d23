"""What is on: the events a reader may see, narrowed to what they look for, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from community.models import Member
from community.models.places import fold
from events.models import Event, Pool
from events.models.event import EventQuerySet
from realtime import clock
from realtime.keyset import after
from realtime.prepared import ID, IDS, MOMENT, TEXT, WORDS, Kind, keys_of, prepared

# What a card shows: texts and questions of a whole page of events would be read and taken apart for nothing.
ON_A_CARD = (
    *("title", "translations", "language", "starts_at", "ends_at", "timezone", "all_day", "state", "town"),
    *("languages", "for_families", "step_free", "place__name", "place__lat", "place__lon"),
)

ASKED: dict[str, Kind] = {  # what of a list is a value in its statement
    "reader": ID,
    "now": MOMENT,
    "since": MOMENT,
    "before": MOMENT,
    "towns": IDS,
    "interest": ID,
    "language": TEXT,
    "words": WORDS,
    "circle": ID,
}


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for; None and empty narrow nothing."""

    since: datetime | None = None  # without it: what is not over yet
    before: datetime | None = None
    towns: tuple[int, ...] | None = None  # ids
    interest: int | None = None  # id
    language: str = ""  # BCP 47
    is_free: bool = False
    for_families: bool = False
    words: str = ""
    circle: int | None = None  # id
    is_new: bool = False  # only what the reader has not registered for
    shows_past: bool = False  # from `since` on, also what is over

    def values(self) -> dict[str, Any]:
        """What of it stands in a statement as a value."""
        return {
            "since": self.since,
            "before": self.before,
            "towns": self.towns,
            "interest": self.interest,
            "language": f'"{self.language}"' if self.language else None,
            "words": tuple(fold(self.words).split()),
            "circle": self.circle,
        }


def listed(reader: Member | None, wanted: Wanted, *, most: int, skip: int = 0) -> list[Event]:
    """Published events that fit, in order of time, with what a card shows. Two queries, one when nothing is found."""
    found = _listed(**_asked(reader, wanted), is_new=wanted.is_new, most=most, skip=skip)
    with_pools(found)
    return found


def page_of(
    reader: Member | None, wanted: Wanted, *, ordering: tuple[str, ...], key: list[Any] | None, most: int
) -> list[Event]:
    """What fits, also when it was called off, with all that a program is told: at most so many in this order after `key`,
    the values of `ordering` (starts_at and pk, either way round). Three queries, one when nothing is found.
    """
    starts_at, pk = key or (None, None)
    return _page(**_asked(reader, wanted), ordering=ordering, starts_at=starts_at, pk=pk, most=most)


def _asked(reader: Member | None, wanted: Wanted) -> dict[str, Any]:
    return wanted.values() | {
        "reader": reader and reader.pk,
        "now": None if wanted.shows_past else clock.now(),
        "shows_past": wanted.shows_past,
        "is_free": wanted.is_free,
        "for_families": wanted.for_families,
    }


def with_pools(events: list[Event]) -> None:
    """Give each of these events its pools, so that `Event.total` asks nothing. One query, none without events."""
    for event in events:
        event.all_pools = []
    here = {event.pk: event for event in events}
    for pool in _pools(events=keys_of(events)) if events else ():
        here[pool.event_id].all_pools.append(pool)


def matching(events: EventQuerySet, wanted: Wanted) -> EventQuerySet:
    """`events` narrowed to what somebody looks for. No query of its own."""
    return narrowed(events, **wanted.values(), is_free=wanted.is_free, for_families=wanted.for_families)


def narrowed(events: EventQuerySet, **given: Any) -> EventQuerySet:
    """`events` narrowed to `given`, as `Wanted.values` says it, and to `is_free` and `for_families`. No query of its own."""
    if given["since"] is not None:
        events = events.filter(starts_at__gte=given["since"])
    if given["before"] is not None:
        events = events.filter(starts_at__lt=given["before"])
    if given["towns"] is not None:
        events = events.filter(place__among=given["towns"])
    if given["interest"] is not None:
        likes = Event.interests.through.objects.filter(interest=given["interest"])
        events = events.filter(pk__in=likes.values("event"))
    if given["language"] is not None:
        events = events.speaking(given["language"])
    if given["circle"] is not None:
        events = events.filter(circle=given["circle"])
    if given["is_free"]:
        events = events.filter(is_free=True)
    if given["for_families"]:
        events = events.filter(for_families=True)
    return events.holding(given["words"])


@prepared(**ASKED)
def _listed(
    *, reader: Any, now: Any, shows_past: bool, is_new: bool, most: int, skip: int, **given: Any
) -> QuerySet[Event]:
    shown = Event.objects.visible_to(reader).filter(state=Event.State.PUBLISHED)
    if is_new:
        shown = shown.exclude(registrations__member=reader)
    events = shown.order_by("starts_at", "pk") if shows_past else shown.upcoming(now)
    return narrowed(events, **given).select_related("place").only(*ON_A_CARD)[skip : skip + most]


@prepared(**ASKED, starts_at=MOMENT, pk=ID)
def _page(
    *,
    reader: Any,
    now: Any,
    shows_past: bool,
    ordering: Any,
    starts_at: Any,
    pk: Any,
    most: int,
    **given: Any,
) -> QuerySet[Event]:
    shown = Event.objects.visible_to(reader).filter(starts_at__isnull=False).exclude(state=Event.State.DRAFT)
    found = narrowed(shown if shows_past else shown.upcoming(now), **given)
    if starts_at is not None:
        found = found.filter(after(ordering, (starts_at, pk)))
    return found.order_by(*ordering).for_list().prefetch_related("interests")[:most]


@prepared(events=IDS)
def _pools(*, events: Any) -> QuerySet[Pool]:
    return Pool.objects.filter(event__among=events).order_by("pk")
