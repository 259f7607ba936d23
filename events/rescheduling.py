"""Changing a meetup: this date, this and all following, or all that are still to come. The past stays as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from community.models import Member
from events import hosting, rhythm, rules, series
from events.access import may_run, may_run_series, series_for
from events.hosting import Change, Plan, Recurrence
from events.models import CoHost, Event, Series
from events.owning import centre_for, must_own, tell_partners
from events.series import Occurrence, Rule
from realtime import clock, rooms

SCOPES = ("this", "following", "all")


@dataclass(frozen=True)
class Affected:
    """What a change does to one date: changed, moved, added, called_off, restored (an earlier rule had called it off) or kept
    (it was changed by itself before).

    `was` is when it began before, `told` what those who come hear.
    """

    event: Event
    registrations: int
    change: str
    was: datetime | None = None
    told: Sequence[Change] = ()


@dataclass(frozen=True)
class Which:
    """Which dates a change is for: this, following or all, seen from the event with the id `occurrence`.

    `seen` is the version in which that event was seen; `reason` goes to who registered for a date that falls away.
    """

    scope: str
    occurrence: int | None = None
    seen: int | None = None
    reason: str = ""


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

    `following` makes a series of its own from its occurrence on. A new rule keeps the dates both rules have, moves
    those that have a near one in the same rhythm, and calls off the others; where somebody registered for one of these,
    `reason` must be said. What an earlier rule called off comes back with a rule that has it again, as new and with nobody
    registered; what a person called off stays so. A date on which nothing becomes different is not named. With `dry_run` everything is tried and
    rolled back. Raises Series.DoesNotExist, Event.DoesNotExist, PermissionDenied, ValidationError (stale, or by field).
    """
    if which.scope not in SCOPES:
        raise ValidationError({"scope": _("Choose this, following or all.")})
    with transaction.atomic():
        meetup = series_for(member, series_id, lock=True)
        if not _may_change(member, meetup, which):
            raise PermissionDenied(_("Only who hosts the event can change it."))
        if version is not None and version != meetup.version:
            raise ValidationError(_("The series was changed meanwhile. Look at it again."), code="stale")
        if which.scope == "this":
            found = _change_this(member, meetup, which, changes, recurrence or {})
        else:
            found = _change_many(member, meetup, which, changes, recurrence or {})
        people = sum(one.registrations for one in found if one.change == "called_off")
        if people and not which.reason.strip() and not dry_run:
            raise ValidationError(
                {"reason": _("Say why: somebody is registered for a date that falls away.")}
            )
        if dry_run:
            transaction.set_rollback(True)
    return found


def _may_change(member: Member, meetup: Series, which: Which) -> bool:
    """One date is changed by who runs it, more by who runs the meetup."""
    if which.scope == "this" and which.occurrence is not None:
        event = meetup.occurrences.filter(pk=which.occurrence).first()
        if event is not None:
            return may_run(member, event)
    return may_run_series(member, meetup)


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
                wanted = {row.pk for row in cast("list[Any]", value)}
                same = wanted - {event.centre_id} == set(rows)  # it is no partner of itself
            case _:
                same = value == getattr(event, name)
        if not same:
            found[name] = value
    if {"starts_at", "ends_at"} & found.keys():  # a start alone would take its end along
        found |= {name: plan[name] for name in ("starts_at", "ends_at") if name in plan}
    return cast("Plan", found)


def published_again(host: Member, plan: Plan, rule: Rule | None, *, is_draft: bool = False) -> Event | None:
    """What this plan would only repeat: made by the host within the last hour, from the same words, hour and rule (None: once).

    Who goes back in the browser and sends a form again does not want it twice. One query; a few more for what looks alike.
    """
    state = Event.State.DRAFT if is_draft else Event.State.PUBLISHED
    since, start = clock.now() - timedelta(hours=1), series.moment(plan["starts_at"], plan["timezone"])
    lately = Event.objects.filter(host=host, state=state, created_at__gt=since)
    alike = lately.filter(title=plan["title"], starts_at=start.astimezone(UTC))
    for event in alike.select_related("series", "place", "circle", "centre").order_by("pk"):
        as_ruled = series.rule_of(event.series) if event.series else None
        other = differences(event, plan)
        ours = {
            name
            for name in ("questions", "ticket_types")
            if _unnamed(plan, name) == _unnamed(vars(event), name)
        }
        if as_ruled == rule and other.keys() <= ours:
            return event
    return None


def _unnamed(said: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Questions or kinds of tickets without the ids that they get each time they are written."""
    return [{key: value for key, value in row.items() if key != "id"} for row in said.get(name, ())]


def recurrence_from(event: Event) -> Recurrence:
    """How the meetup of an event goes on from this date: its rule, and the single dates still to come with it."""
    meetup = event.series
    assert meetup is not None, "a date of a meetup"
    at = datetime.fromisoformat(event.original_start)
    rule = series.rule_of(meetup)
    return Recurrence(
        rrule=series.counted_from(rule, at),
        rdates=[day for day in rule.rdates if day >= at and (meetup.rrule or day != at)],
        exdates=[day for day in rule.exdates if day >= at],
        skip_holidays=list(rule.skip_holidays),
    )


def new_recurrence(event: Event, said: Recurrence, scope: str, day: datetime) -> Recurrence:
    """Of a recurrence as a form says it from `event` on, begun on `day`, only what differs from the present one.

    For `all`, a number of times is counted from the next date, and single dates before this one stay.
    """
    meetup = event.series
    assert meetup is not None, "a date of a meetup"
    known, found = recurrence_from(event), Recurrence()
    at, zone = datetime.fromisoformat(event.original_start), meetup.timezone
    if rhythm.meaning(said["rrule"], day, zone) != rhythm.meaning(known["rrule"], at, zone):
        found["rrule"] = said["rrule"]
        if scope == "all":
            ahead = meetup.occurrences.filter(starts_at__gt=clock.now())
            found["rrule"] = rhythm.counting(
                said["rrule"], ahead.filter(original_start__lt=event.original_start).count()
            )
    present = series.rule_of(meetup)
    for name, all_of_them in (("rdates", present.rdates), ("exdates", present.exdates)):
        now, then = said[name], known[name]  # type: ignore[literal-required]
        if {wall.date() for wall in now} != {wall.date() for wall in then}:
            earlier = [wall for wall in all_of_them if wall not in then] if scope == "all" else []
            found[name] = [*earlier, *now]  # type: ignore[literal-required]
    if set(said["skip_holidays"]) != set(known["skip_holidays"]):
        found["skip_holidays"] = said["skip_holidays"]
    return found


def _change_this(
    member: Member, meetup: Series, which: Which, changes: Plan, recurrence: Recurrence
) -> list[Affected]:
    if recurrence:
        raise ValidationError(
            {"scope": _("A rule is for several dates: choose this and all following, or all.")}
        )
    event = _pivot(meetup, which)
    was = event.starts_at
    changes = differences(event, changes)
    if not changes:
        return []
    if event.state == Event.State.CANCELLED:
        raise ValidationError(_("This event is called off."), code="closed")
    event.is_changed = True
    told = hosting.apply(event, changes, member)
    meetup.version += 1
    meetup.save(update_fields=["version"])
    return [_affected(event, _kind(event, was, changes), was, told)]


def _change_many(
    member: Member, meetup: Series, which: Which, changes: Plan, recurrence: Recurrence
) -> list[Affected]:
    pivot = _pivot(meetup, which) if which.scope == "following" or which.occurrence else _next(meetup)
    if which.scope == "following":
        meetup = split(meetup, pivot)
    if which.scope == "all":
        pivot = _next(meetup) if pivot.starts_at is None or pivot.starts_at <= clock.now() else pivot
    move = _move_of(pivot, changes)
    details = cast(
        "Plan", {name: value for name, value in changes.items() if name not in {"starts_at", "ends_at"}}
    )
    before = series.rule_of(meetup)
    must_own(member, meetup, changes)
    if (centre := changes.get("centre")) is not None and centre.pk != meetup.centre_id:
        meetup.centre = centre_for(member, centre)
    hosting.write(meetup, details, member)
    tell_partners(member, meetup, pivot, hosting.link(meetup, details))
    _reschedule(meetup, move, pivot if which.scope == "following" else _next(meetup), recurrence)
    series.check(series.rule_of(meetup))
    meetup.version += 1
    meetup.updated_at = clock.now()
    meetup.save()
    _move_names(meetup, before, move)
    found, stay, added = list[Affected](), _future(meetup), list[Event]()
    if recurrence:
        found, stay, added = _follow_new_rule(meetup, which.reason)
    found += [one for event in stay if (one := _apply(event, meetup, details, member))]
    until = (max(clock.now().date(), meetup.start_date)) + series.HORIZON
    added += series.make_occurrences(meetup, until)
    found += [_affected(event, "added") for event in added]
    return sorted(found, key=lambda one: (one.event.starts_at or clock.now(), one.event.pk))


def _apply(event: Event, meetup: Series, details: Plan, member: Member) -> Affected | None:
    """Write on one date what is new for it; None when nothing is."""
    if event.is_changed:
        return _affected(event, "kept", event.starts_at)
    was = event.starts_at
    changes = differences(event, details)
    start = datetime.fromisoformat(event.original_start)
    begins = series.moment(start, meetup.timezone)
    ends = series.ends_after(start, meetup.minutes, meetup.timezone) if meetup.minutes else None
    if (begins, ends) != (event.starts_at, event.ends_at):
        changes["starts_at"] = start
        changes["ends_at"] = start + timedelta(minutes=meetup.minutes) if meetup.minutes else None
    if not changes:
        return None
    told = hosting.apply(event, changes, member)
    return _affected(event, _kind(event, was, changes), was, told)


def _kind(event: Event, was: datetime | None, changes: Plan) -> str:
    return "moved" if event.starts_at != was or "ends_at" in changes else "changed"


def _reschedule(meetup: Series, move: _Move | None, first: Event, recurrence: Recurrence) -> None:
    """Put a new time and a new rule on the series. A new rule counts from `first` on."""
    if move is not None:
        start = meetup.starts_at + move.by
        if "rrule" not in recurrence:
            by = start.date() - meetup.start_date
            meetup.rrule = series.until_moved(series.moved(meetup.rrule, by), move.by, by)
        meetup.start_date, meetup.start_time, meetup.minutes = start.date(), start.time(), move.minutes
        meetup.rdates = [_shifted(day, move.by) for day in meetup.rdates]
        meetup.exdates = [_shifted(day, move.by) for day in meetup.exdates]
    if recurrence:
        begins = datetime.fromisoformat(first.original_start) + (move.by if move else timedelta())
        if "rrule" in recurrence:
            meetup.start_date, meetup.start_time = begins.date(), begins.time()
        hosting.write_recurrence(meetup, recurrence)


def _move_names(meetup: Series, before: Rule, move: _Move | None) -> None:
    """Every date still to come is named by the time it will have, also those changed by themselves or called off.

    Two statements: on the way no two of them may have one name. Raises ValidationError when one would be over.
    """
    now = clock.now().astimezone(ZoneInfo(meetup.timezone)).replace(tzinfo=None)
    ahead = Q(starts_at__gt=clock.now()) | Q(original_start__gt=now.isoformat(timespec="seconds"))
    rows = list(meetup.occurrences.filter(ahead).select_for_update().order_by("pk"))
    walls = {event.pk: datetime.fromisoformat(event.original_start) for event in rows}
    by = move.by if move else timedelta()
    goes = rhythm.followed(walls.values(), before, series.rule_of(meetup), by)
    moving = [event for event in rows if goes[walls[event.pk]] != walls[event.pk]]
    for number, event in enumerate(moving):
        if goes[walls[event.pk]] <= now:
            raise ValidationError({"starts_at": _("This day has passed.")})
        event.original_start = f"~{number}"
    Event.objects.bulk_update(moving, ["original_start"])
    for event in moving:
        event.original_start = goes[walls[event.pk]].isoformat(timespec="seconds")
    Event.objects.bulk_update(moving, ["original_start"])


def _follow_new_rule(meetup: Series, reason: str) -> tuple[list[Affected], list[Event], list[Event]]:
    """What becomes of the dates under a new rule: those called off, those that stay, and new ones."""
    until = datetime.combine(meetup.made_until or meetup.start_date, series.LAST_MINUTE)
    wanted = {one.written.date(): one for one in series.occurrences(series.rule_of(meetup), until=until)}
    called_off, stay = list[Affected](), list[Event]()
    for event in _future(meetup):
        one = wanted.pop(datetime.fromisoformat(event.original_start).date(), None)
        if one is None and not event.is_changed:
            called_off.append(_affected(event, "called_off", event.starts_at))
            hosting.strike(event, reason)
        else:
            stay.append(event)
    back = _come_back(meetup, {one.name: one for one in wanted.values()})
    Event.objects.filter(pk__in=[one.event.pk for one in called_off]).update(fell_away=True)
    there = set(meetup.occurrences.values_list("original_start", flat=True))
    new = [one for one in wanted.values() if one.starts_at > clock.now() and one.name not in there]
    return [*called_off, *back], stay, series.add(meetup, new)


def _come_back(meetup: Series, wanted: Mapping[str, Occurrence]) -> list[Affected]:
    """Dates that an earlier rule called off and this one has again take place, as the series is now. Some queries for each."""
    now, found = clock.now(), list[Affected]()
    gone = meetup.occurrences.filter(state=Event.State.CANCELLED, fell_away=True, original_start__in=wanted)
    for event in gone.select_for_update().order_by("pk"):
        one = wanted[event.original_start]
        if one.starts_at <= now:
            continue
        was, fresh = event.title, series.event_of(meetup, one)
        for name in (*series.COPIED, "starts_at", "ends_at", "previous_start", "search"):
            setattr(event, name, getattr(fresh, name))
        event.state, event.cancel_reason, event.fell_away = Event.State.PUBLISHED, "", False
        event.version += 1
        event.sequence += 1
        event.updated_at = now
        event.save()
        hosting.set_capacity(event, meetup.capacity)
        event.interests.set(meetup.interests.all())
        event.partner_centres.set(meetup.partner_centres.all())
        if event.room is not None and event.title != was:
            rooms.rename(event.room, event.title, event.titles)
        found.append(_affected(event, "restored"))
    return found


def split(meetup: Series, pivot: Event) -> Series:
    """A series of its own from `pivot` on; the old one ends before it. Nothing to split before the first date. Series locked."""
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
    rest.version, rest.cut_from = 1, meetup
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


def rejoin(rest: Series) -> Series:
    """Take a `split` back: the dates of `rest` belong again to the series it was cut from, whose rule goes on as it did.

    Where one of the two was changed since they stay two. The series of the dates. Rest locked.
    """
    if rest.cut_from_id is None:
        return rest
    first = Series.objects.select_for_update().get(pk=rest.cut_from_id)
    if first.ended_at is None or not _go_together(first, rest):
        return rest
    parts, ended = rules.parts_of(rest.rrule), series.rule_of(first)
    if "COUNT" in parts:
        parts["COUNT"] = str(int(parts["COUNT"]) + sum(1 for _day in series.by_rule(ended, rest.starts_at)))
    first.rrule = rules.joined(parts)
    first.rdates, first.exdates = first.rdates + rest.rdates, first.exdates + rest.exdates
    first.made_until, first.ended_at = rest.made_until, None
    first.version += 1
    first.save()
    rest.occurrences.update(series=first)
    rest.delete()
    return first


def _go_together(first: Series, rest: Series) -> bool:
    """The second is still what was cut off the first: in the same rhythm, hour, zone and length, with the same words."""
    rhythms = [
        {name: value for name, value in rules.parts_of(one.rrule).items() if name not in {"UNTIL", "COUNT"}}
        for one in (first, rest)
    ]
    same = ("start_time", "minutes", "skip_holidays", *series.COPIED)
    return rhythms[0] == rhythms[1] and all(getattr(first, name) == getattr(rest, name) for name in same)


def _pivot(meetup: Series, which: Which) -> Event:
    """The named date of this series, locked, as it was seen.

    Raises ValidationError without a name or when it is stale, Event.DoesNotExist for another's.
    """
    if which.occurrence is None:
        raise ValidationError({"occurrence": _("Say which date.")})
    event = meetup.occurrences.select_for_update().get(pk=which.occurrence)
    if which.seen is not None and which.seen != event.version:
        raise ValidationError(_("The event was changed meanwhile. Look at it again."), code="stale")
    return event


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


def _affected(
    event: Event, change: str, was: datetime | None = None, told: Sequence[Change] = ()
) -> Affected:
    return Affected(event, event.registrations.live().count(), change, was, told)
