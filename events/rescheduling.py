"""Changing a meetup: this date, this and all following, or all that are still to come. The past stays as it was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from community.models import Member
from events import hosting, series
from events.access import may_run_series, series_for
from events.hosting import Plan, Recurrence
from events.models import CoHost, Event, Pool, Series
from realtime import clock

SCOPES = ("this", "following", "all")


@dataclass(frozen=True)
class Affected:
    """What a change does to one date: changed, moved, added, called_off or kept (it was changed by itself before)."""

    event: Event
    registrations: int
    change: str


@dataclass(frozen=True)
class Which:
    """Which dates a change is for: this, following or all, seen from the event with the id `occurrence`."""

    scope: str
    occurrence: int | None = None


@dataclass(frozen=True)
class _Move:
    """How far the dates move on the wall clock, and how long they take from now on (None: not known)."""

    by: timedelta
    minutes: int | None


def change_series(
    member: Member,
    series_id: int,
    which: Which,
    changes: Plan,
    *,
    recurrence: Recurrence | None = None,
    version: int | None = None,
    dry_run: bool = False,
) -> list[Affected]:
    """Change one, the following or all dates of a meetup; what becomes of each date. Registrations stay with their date.

    `following` makes a series of its own from its occurrence on. A new rule keeps the dates both rules have (an
    event on the same day is moved) and calls off the others. With `dry_run` everything is tried and rolled
    back. Raises Series.DoesNotExist, Event.DoesNotExist, PermissionDenied, ValidationError (stale, or by field).
    """
    if which.scope not in SCOPES:
        raise ValidationError({"scope": _("Choose this, following or all.")})
    with transaction.atomic():
        meetup = series_for(member, series_id, lock=True)
        if not may_run_series(member, meetup):
            raise PermissionDenied(_("Only who hosts the event can change it."))
        if version is not None and version != meetup.version:
            raise ValidationError(_("The series was changed meanwhile. Look at it again."), code="stale")
        if which.scope == "this":
            found = _change_this(member, meetup, which.occurrence, changes)
        else:
            found = _change_many(member, meetup, which, changes, recurrence or {})
        if dry_run:
            transaction.set_rollback(True)
    return found


def differences(event: Event, plan: Plan) -> Plan:
    """Of a whole plan only what differs from the event: so that one field changed in a form changes one field."""
    found: dict[str, Any] = {}
    for name, value in plan.items():
        match name:
            case "starts_at" | "ends_at":
                present = event.local_start if name == "starts_at" else event.local_end
                same = value == (present and present.replace(tzinfo=None))
            case "interests" | "partner_centres":
                rows = getattr(event, name).values_list("pk", flat=True)
                same = {row.pk for row in cast("list[Any]", value)} == set(rows)
            case _:
                same = value == getattr(event, name)
        if not same:
            found[name] = value
    if {"starts_at", "ends_at"} & found.keys():  # a start alone would take its end along
        found |= {name: plan[name] for name in ("starts_at", "ends_at") if name in plan}
    return cast("Plan", found)


def _change_this(member: Member, meetup: Series, occurrence: int | None, changes: Plan) -> list[Affected]:
    event = _pivot(meetup, occurrence)
    moved = "moved" if {"starts_at", "ends_at"} & changes.keys() else "changed"
    event = hosting.change(member, event.pk, changes)
    meetup.version += 1
    meetup.save(update_fields=["version"])
    return [_affected(event, moved)]


def _change_many(
    member: Member, meetup: Series, which: Which, changes: Plan, recurrence: Recurrence
) -> list[Affected]:
    pivot = (
        _pivot(meetup, which.occurrence) if which.scope == "following" or which.occurrence else _next(meetup)
    )
    if which.scope == "following":
        meetup = _split(meetup, pivot)
    if which.scope == "all":
        pivot = _next(meetup) if pivot.starts_at is None or pivot.starts_at <= clock.now() else pivot
    move = _move_of(pivot, changes)
    details = cast(
        "Plan", {name: value for name, value in changes.items() if name not in {"starts_at", "ends_at"}}
    )
    hosting.write(meetup, details, member)
    hosting.link(meetup, details)
    _reschedule(meetup, move, pivot, recurrence)
    series.check(series.rule_of(meetup))
    meetup.version += 1
    meetup.updated_at = clock.now()
    meetup.save()
    found = [_apply(event, details, move, member) for event in _in_moving_order(_future(meetup), move)]
    if recurrence:
        found += _follow_new_rule(meetup)
    until = (max(clock.now().date(), meetup.start_date)) + series.HORIZON
    found += [_affected(event, "added") for event in series.make_occurrences(meetup, until)]
    return sorted(found, key=lambda one: (one.event.starts_at or clock.now(), one.event.pk))


def _apply(event: Event, details: Plan, move: _Move | None, member: Member) -> Affected:
    if event.is_changed:
        return _affected(event, "kept")
    changes = cast("Plan", dict(details))
    if move is not None:
        start = datetime.fromisoformat(event.original_start) + move.by
        event.original_start = start.isoformat(timespec="seconds")
        changes["starts_at"] = start
        changes["ends_at"] = start + timedelta(minutes=move.minutes) if move.minutes else None
    hosting.apply(event, changes, member)
    return _affected(event, "moved" if move is not None else "changed")


def _reschedule(meetup: Series, move: _Move | None, pivot: Event, recurrence: Recurrence) -> None:
    """Put a new time and a new rule on the series. A new rule counts from the pivot on."""
    if move is not None:
        start = meetup.starts_at + move.by
        if move.by.days or start.date() != meetup.start_date:
            meetup.rrule = recurrence.get("rrule") or series.moved(
                meetup.rrule, start.date() - meetup.start_date
            )
        meetup.start_date, meetup.start_time, meetup.minutes = start.date(), start.time(), move.minutes
        meetup.rdates = [_shifted(day, move.by) for day in meetup.rdates]
        meetup.exdates = [_shifted(day, move.by) for day in meetup.exdates]
    if recurrence:
        first = datetime.fromisoformat(pivot.original_start) + (move.by if move else timedelta())
        if "rrule" in recurrence:
            meetup.start_date, meetup.start_time = first.date(), first.time()
        hosting.write_recurrence(meetup, recurrence)


def _follow_new_rule(meetup: Series) -> list[Affected]:
    """Dates the new rule has too stay (on the same day, perhaps at another hour); the others are called off."""
    until = datetime.combine(meetup.made_until or meetup.start_date, series.LAST_MINUTE)
    wanted = {one.written.date(): one for one in series.occurrences(series.rule_of(meetup), until=until)}
    found = []
    for event in _future(meetup):
        one = wanted.get(datetime.fromisoformat(event.original_start).date())
        if one is None and not event.is_changed:
            found.append(_affected(event, "called_off"))
            hosting.strike(event, "")
        wanted.pop(datetime.fromisoformat(event.original_start).date(), None)
    there = set(meetup.occurrences.values_list("original_start", flat=True))
    new = [one for one in wanted.values() if one.starts_at > clock.now() and one.name not in there]
    made = [series.event_of(meetup, one) for one in new]
    Event.objects.bulk_create(made)
    Pool.objects.bulk_create(Pool(event=event, capacity=event.capacity) for event in made)
    series.copy_links(meetup, made)
    return found + [_affected(event, "added") for event in made]


def _split(meetup: Series, pivot: Event) -> Series:
    """A series of its own from `pivot` on; the old one ends before it. Nothing to split before the first date."""
    if not meetup.occurrences.filter(starts_at__lt=pivot.starts_at).exists():
        return meetup
    at = datetime.fromisoformat(pivot.original_start)
    rule = series.rule_of(meetup)
    rest = Series.objects.get(pk=meetup.pk)
    interests, partners = list(meetup.interests.all()), list(meetup.partner_centres.all())
    rest.pk = None
    rest.id = Series._meta.pk.get_default()
    rest._state.adding = True
    start = series.first_from(rule, at)
    rest.start_date, rest.start_time = start.date(), start.time()
    rest.rrule = series.counted_from(rule, start)
    rest.rdates = [day for day in meetup.rdates if datetime.fromisoformat(day) >= at]
    rest.exdates = [day for day in meetup.exdates if datetime.fromisoformat(day) >= at]
    rest.version = 1
    rest.save(force_insert=True)
    rest.interests.set(interests)
    rest.partner_centres.set(partners)
    for row in CoHost.objects.filter(series=meetup):
        CoHost.objects.create(series=rest, member=row.member, named_by=row.named_by, named_at=row.named_at)
    meetup.rrule = series.ended_before(meetup.rrule, at)
    meetup.rdates = [day for day in meetup.rdates if datetime.fromisoformat(day) < at]
    meetup.ended_at = clock.now()
    meetup.version += 1
    meetup.save()
    meetup.occurrences.filter(original_start__gte=pivot.original_start).update(series=rest)
    return rest


def _pivot(meetup: Series, occurrence: int | None) -> Event:
    """The named date of this series, locked. Raises ValidationError without a name, Event.DoesNotExist for another's."""
    if occurrence is None:
        raise ValidationError({"occurrence": _("Say which date.")})
    return meetup.occurrences.select_for_update().get(pk=occurrence)


def _next(meetup: Series) -> Event:
    found = _future(meetup)
    if not found:
        raise ValidationError(_("Every date of this series has passed."), code="too_late")
    return found[0]


def _future(meetup: Series) -> list[Event]:
    """Its dates still to come, locked in ascending id, in order of time."""
    ahead = meetup.occurrences.filter(starts_at__gt=clock.now(), state=Event.State.PUBLISHED)
    locked = ahead.select_for_update().order_by("pk")
    return sorted(locked, key=lambda event: (event.starts_at or clock.now(), event.pk))


def _in_moving_order(events: list[Event], move: _Move | None) -> list[Event]:
    """Moved later, the last goes first: no two dates ever have one name."""
    return events[::-1] if move is not None and move.by > timedelta() else events


def _move_of(pivot: Event, changes: Plan) -> _Move | None:
    if not {"starts_at", "ends_at"} & changes.keys() or pivot.local_start is None:
        return None
    before = pivot.local_start.replace(tzinfo=None)
    end = pivot.local_end and pivot.local_end.replace(tzinfo=None)
    start = changes.get("starts_at", before)
    new_end = changes["ends_at"] if "ends_at" in changes else end and end + (start - before)
    return _Move(start - before, hosting.length(Plan(starts_at=start, ends_at=new_end)))


def _shifted(text: str, by: timedelta) -> str:
    return (datetime.fromisoformat(text) + by).isoformat(timespec="seconds")


def _affected(event: Event, change: str) -> Affected:
    return Affected(event, event.registrations.live().count(), change)
