"""Hosting: publish a single event or a meetup, change it, call it off. Everybody concerned hears of it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypedDict, cast

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from community.models import Centre, Circle, CircleMembership, Interest, Member, Place
from events import (
    bells,
    calendars,
    guests,
    inviting,
    pools,
    questions,
    registration,
    reminding,
    series,
    ticket_types,
    undoing,
)
from events.access import event_for, may_lead, may_run
from events.holidays import COUNTRIES
from events.models import Event, Pool, Registration, Series
from events.models.details import Details
from events.owning import centre_for, must_own, tell_partners
from events.telling import announce, tell
from events.waiting import move_up
from realtime import clock, rooms


class Plan(TypedDict, total=False):
    """What a host says of an event or a meetup. Times are wall time of `timezone`, without zone."""

    title: str
    description: str
    language: str
    starts_at: datetime
    ends_at: datetime | None
    timezone: str
    all_day: bool
    venue: str
    address: str
    place: Place | None
    town: str
    capacity: int | None
    visibility: str
    circle: Circle | None
    waiting_list: str | None
    centre: Centre | None
    partner_centres: list[Centre]
    languages: list[str]
    needs_language: str
    needs_level: str
    interests: list[Interest]
    for_families: bool
    min_age: int | None
    max_age: int | None
    step_free: bool
    childcare: bool
    is_free: bool
    price_note: dict[str, str]
    doors_minutes: int
    by_approval: bool
    asks_again: bool
    opens_before: int | None
    closes_before: int | None
    fixed_before: int | None
    questions: list[dict[str, Any]]
    ticket_types: list[dict[str, Any]]


class Recurrence(TypedDict, total=False):
    """How a meetup recurs: RFC 5545 rule, single dates more and less, countries whose holidays are left out."""

    rrule: str
    rdates: list[datetime]
    exdates: list[datetime]
    skip_holidays: list[str]


@dataclass(frozen=True)
class Change:
    """One thing that is different now, for a mail: its name, and how it was and is (text, or a moment)."""

    label: str | Promise
    old: Any
    new: Any

    @property
    def is_moment(self) -> bool:
        """Both sides are moments, to be shown on the event's clock."""
        return isinstance(self.old or self.new, datetime)


SCALARS = [
    "title",
    "description",
    "language",
    "timezone",
    "all_day",
    "venue",
    "address",
    "place",
    "town",
    "capacity",
    "visibility",
    "circle",
    "waiting_list",
    "languages",
    "needs_language",
    "needs_level",
    "for_families",
    "min_age",
    "max_age",
    "step_free",
    "childcare",
    "is_free",
    "price_note",
    "doors_minutes",
    "by_approval",
    "asks_again",
    "opens_before",
    "closes_before",
    "fixed_before",
]
TOLD = {  # what people plan by: a change of these is mailed; of a description or a tag it is not
    "title": gettext_lazy("Title"),
    "starts_at": gettext_lazy("Begins"),
    "ends_at": gettext_lazy("Ends"),
    "venue": gettext_lazy("Venue"),
    "address": gettext_lazy("Address"),
    "place": gettext_lazy("Town"),
    "town": gettext_lazy("Town"),
    "price": gettext_lazy("Price"),
}


AHEAD = timedelta(days=5 * 365)
WHEN_AND_WHERE = ("starts_at", "ends_at", "venue", "address", "place", "town")


@transaction.atomic
def publish(host: Member, plan: Plan, *, is_draft: bool = False) -> Event:
    """A single event, open for registration at once, or a draft that only who runs it sees.

    Raises PermissionDenied for who is no host; ValidationError by field (centre, circle, ends_at, timezone, and
    closes_before or fixed_before when that moment has passed).
    """
    event = Event(host=host, centre=centre_for(host, plan.get("centre")))
    if is_draft:
        event.state = Event.State.DRAFT
    write(event, plan, host)
    set_times(event, plan)
    event.search = event.searchable()
    event.save(force_insert=True)
    partners = link(event, plan)
    Pool.objects.bulk_create(pools.made_for([event]))
    if not is_draft:
        event.must_leave_time()
        tell_partners(host, event, event, partners)
    return event


@transaction.atomic
def publish_draft(member: Member, event_id: int) -> Event:
    """Open a draft for registration. Published already: nothing happens.

    Raises Event.DoesNotExist, PermissionDenied, ValidationError: starts_at when it has no date or is over, closes_before and
    fixed_before when that has passed, closed when it is called off.
    """
    event = _to_run(member, event_id)
    if event.state == Event.State.PUBLISHED:
        return event
    if event.state == Event.State.CANCELLED:
        raise ValidationError(_("This event is called off."), code="closed")
    if event.starts_at is None:
        raise ValidationError({"starts_at": _("Say when it begins.")})
    if event.is_over:
        raise ValidationError({"starts_at": _("This day has passed.")})
    event.must_leave_time()
    event.state = Event.State.PUBLISHED
    event.version += 1
    event.updated_at = clock.now()
    event.save(update_fields=["state", "version", "updated_at"])
    tell_partners(member, event, event, event.partner_centres.all())
    return event


@transaction.atomic
def copy(member: Member, event_id: int) -> Event:
    """A draft with everything that is said of an event but when it is, and without who came.

    Raises Event.DoesNotExist, PermissionDenied for who does not run it or is no host.
    """
    event = event_for(member, event_id)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can change it."))
    draft = Event(state=Event.State.DRAFT)
    for name in series.COPIED:
        setattr(draft, name, getattr(event, name))
    draft.host, draft.centre = member, centre_for(member, None)
    if draft.circle is not None and not _is_in(member, draft.circle):
        draft.circle, draft.visibility = None, Details.Visibility.CENTRE
    draft.search = draft.searchable()
    draft.save(force_insert=True)
    draft.interests.set(event.interests.all())
    draft.partner_centres.set(event.partner_centres.exclude(pk=draft.centre_id))
    Pool.objects.bulk_create(pools.made_for([draft]))
    return draft


@transaction.atomic
def discard(member: Member, event_id: int) -> None:
    """Throw a draft away. Raises Event.DoesNotExist, PermissionDenied, ValidationError closed: it was published."""
    event = _to_run(member, event_id)
    if not may_lead(member, event):
        raise PermissionDenied(_("Only the host and the centre's staff can do this."))
    if event.state != Event.State.DRAFT or event.registrations.exists():
        raise ValidationError(_("Only a draft can be thrown away. Call the event off."), code="closed")
    bells.take_back(event)
    event.delete()


def _to_run(member: Member, event_id: int) -> Event:
    event = event_for(member, event_id, lock=True)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can change it."))
    return event


@transaction.atomic
def publish_series(host: Member, plan: Plan, recurrence: Recurrence) -> Series:
    """A meetup with its events for the next twelve months.

    Raises PermissionDenied for who is no host; ValidationError by field, for a rule that is empty, too
    dense or cannot be read too.
    """
    meetup = Series(host=host, centre=centre_for(host, plan.get("centre")))
    write(meetup, plan, host)
    start = plan["starts_at"]
    must_be_near(start, plan.get("ends_at"))
    meetup.start_date, meetup.start_time = start.date(), start.time()
    meetup.minutes = length(plan)
    write_recurrence(meetup, recurrence)
    series.check(series.rule_of(meetup))
    meetup.save(force_insert=True)
    partners = link(meetup, plan)
    dates = series.make_occurrences(meetup, (max(clock.now().date(), start.date()) + series.HORIZON))
    if dates:
        tell_partners(host, meetup, dates[0], partners)
    return meetup


@transaction.atomic
def change(member: Member, event_id: int, changes: Plan, version: int | None = None) -> Event:
    """Change what `changes` names. Who registered is told of a new title, time, place or price, old and new.

    Raises Event.DoesNotExist, PermissionDenied, ValidationError with code stale (another `version`), closed
    (called off), or by field: the capacity goes no lower than what is taken.
    """
    event = _to_run(member, event_id)
    if event.state == Event.State.CANCELLED:
        raise ValidationError(_("This event is called off."), code="closed")
    if version is not None and version != event.version:
        raise ValidationError(_("The event was changed meanwhile. Look at it again."), code="stale")
    if event.series_id is not None:
        event.is_changed = True
    apply(event, changes, member)
    return event


@transaction.atomic
def call_off(member: Member, event_id: int, reason: str = "") -> Event:
    """Call an event off: everybody who registered or waits is told why; all places are free. Once only.

    For ten minutes `undoing.restore` takes it back; the mails wait as long, unless the event begins soon.

    Raises Event.DoesNotExist, PermissionDenied, ValidationError too_late.
    """
    event = event_for(member, event_id, lock=True)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can call it off."))
    if event.state == Event.State.CANCELLED:
        return event
    if event.is_over:
        raise ValidationError(_("This event is over."), code="too_late")
    strike(event, reason, may_undo=True)
    return event


def apply(event: Event, changes: Plan, member: Member) -> list[Change]:
    """Write `changes` on a locked event and tell who registered. Returns what was told."""
    before = _told(event)
    had_title, had_start = event.title, event.starts_at
    must_own(member, event, changes)
    write(event, changes, member)
    if "centre" in changes and changes["centre"] is not None and changes["centre"].pk != event.centre_id:
        event.centre = centre_for(member, changes["centre"])
    set_times(event, changes)
    if event.state == Event.State.PUBLISHED and event.starts_at != had_start:
        event.previous_start = had_start
    if "capacity" in changes:
        set_capacity(event, changes["capacity"])
    if "ticket_types" in changes:
        pools.write_types(event)
    event.search = event.searchable()
    event.version += 1
    event.updated_at = clock.now()
    now = _told(event)
    told = [
        Change(label, before[name], now[name]) for name, label in TOLD.items() if before[name] != now[name]
    ]
    if before["starts_at"] != now["starts_at"]:
        reminding.take_back(event)
        bells.take_back(event, *bells.REMINDERS)
    if told:
        inviting.take_back(event)
    event.sequence += bool(told)
    event.save()
    partners = link(event, changes)
    if event.state == Event.State.PUBLISHED and (event.is_changed or event.series_id is None):
        tell_partners(member, event, event, partners)  # of all dates of a series the series tells
    if event.room is not None and event.title != had_title:
        rooms.rename(event.room, event.title, event.titles)
    if told and not event.is_over:
        moved = any(before[name] != now[name] for name in WHEN_AND_WHERE)
        bells.take_back(event, "event_changed", "event_elsewhere")  # the page they led to says it all now
        concerned = event.registrations.live().exclude(state=Registration.State.UNCONFIRMED)
        for row in concerned.select_related("member").order_by("pk"):
            row.event = event
            tell(row, "event_changed", rings="event_elsewhere" if moved else "", changes=told)
    move_up(event)
    announce(event)
    return told


def strike(event: Event, reason: str, *, may_undo: bool = False) -> None:
    """Call a locked event off, whoever decided it; with `may_undo` it can be taken back for a while."""
    event.state = Event.State.CANCELLED
    event.cancel_reason = reason.strip()[:500]
    event.version += 1
    event.sequence += 1
    event.updated_at = clock.now()
    event.save(update_fields=["state", "cancel_reason", "version", "sequence", "updated_at"])
    reminding.take_back(event)
    inviting.take_back(event)
    guests.forget_unconfirmed(event)
    rows = list(event.registrations.live().select_related("member").order_by("pk"))
    told_at = undoing.told_at(event) if may_undo else None
    for row in rows:
        row.event = event
        calendar = partial(calendars.invitation, event, cancelled=True)
        reason = event.cancel_reason
        tell(row, undoing.TOLD, calendar=calendar, reason=reason, held_until=told_at)
    if may_undo:
        undoing.remember(event, rows, told_at)
    else:
        bells.take_back(event, *bells.OPEN)
    registration.release_all(event)


def write(row: Details, plan: Mapping[str, Any] | Plan, host: Member) -> None:
    """Put the plain fields of a plan on an event or a series, checked. Raises ValidationError by field."""
    said = cast("Mapping[str, Any]", plan)
    for name in SCALARS:
        if name in said:
            setattr(row, name, said[name])
    if "ticket_types" in said:
        row.ticket_types = ticket_types.written(map(ticket_types.of_row, said["ticket_types"]))
    if "questions" in said:
        row.questions = questions.written(map(questions.of_row, said["questions"]))
    series.zone_named(row.timezone)
    if not row.title.strip():
        raise ValidationError({"title": _("Give it a title.")})
    if row.min_age is not None and row.max_age is not None and row.max_age < row.min_age:
        raise ValidationError({"max_age": _("The eldest is younger than the youngest.")})
    opens, closes = row.opens_before, row.closes_before
    if opens is not None and closes is not None and closes >= opens:
        raise ValidationError({"closes_before": _("Registration would close before it opens.")})
    if bool(row.needs_language) != bool(row.needs_level):  # a level is one of a language
        row.needs_level = Details.Level.A1 if row.needs_language else ""
    if row.visibility == Details.Visibility.CIRCLE and row.circle is None:
        raise ValidationError({"circle": _("Choose the circle it is for.")})
    if "circle" in said and row.circle is not None and not _is_in(host, row.circle):
        raise ValidationError({"circle": _("You can only publish for a circle you are in.")})
    if not row.language:
        row.language = host.language


def _is_in(member: Member, circle: Circle) -> bool:
    inside = CircleMembership.objects.filter(circle=circle, member=member, state=CircleMembership.State.IN)
    return inside.exists()


def set_times(event: Event, plan: Plan) -> None:
    """Start and end from wall time. An end is after its start. Raises ValidationError by field."""
    if not {"starts_at", "ends_at", "timezone"} & plan.keys():
        return
    start = plan["starts_at"] if "starts_at" in plan else _wall(event.local_start)
    end = plan["ends_at"] if "ends_at" in plan else _wall(event.local_end)
    if start is None:
        raise ValidationError({"starts_at": _("Say when it begins.")})
    must_be_near(start, end)
    if "starts_at" in plan and "ends_at" not in plan and event.starts_at and event.ends_at:
        event.ends_at = series.moment(start, event.timezone).astimezone(UTC) + (
            event.ends_at - event.starts_at
        )
    else:
        event.ends_at = series.moment(end, event.timezone).astimezone(UTC) if end else None
    event.starts_at = series.moment(start, event.timezone).astimezone(UTC)
    if event.ends_at is not None and event.ends_at <= event.starts_at:
        raise ValidationError({"ends_at": _("The end is before the beginning.")})


def must_be_near(*moments: datetime | None) -> None:
    """Nobody plans five years ahead: it is a slip of the finger. Raises ValidationError starts_at."""
    far = clock.now().date() + AHEAD
    if any(moment and not (moment.year >= series.EARLIEST and moment.date() <= far) for moment in moments):
        raise ValidationError({"starts_at": _("This date is too far away.")})


def set_capacity(event: Event, capacity: int | None) -> None:
    """Set the number of places, never lower than what is taken. Event locked. Raises ValidationError."""
    pool = Pool.objects.filter(event=event, kind=Pool.Kind.TOTAL)
    fits = pool if capacity is None else pool.filter(taken__lte=capacity)
    if not fits.update(capacity=capacity):
        taken = pool.values_list("taken", flat=True).first() or 0
        text = _("%(taken)d places are taken already: it cannot be fewer.") % {"taken": taken}
        raise ValidationError({"capacity": text})
    event.capacity = capacity
    pools.read_anew(event)


def length(plan: Plan) -> int | None:
    """Minutes of wall clock from start to end; None when the end is not known. Raises ValidationError."""
    end = plan.get("ends_at")
    if end is None:
        return None
    minutes = (end - plan["starts_at"]) // timedelta(minutes=1)
    if minutes <= 0:
        raise ValidationError({"ends_at": _("The end is before the beginning.")})
    return minutes


def write_recurrence(meetup: Series, recurrence: Recurrence) -> None:
    """Put the rule on a series; what `recurrence` does not name stays. Raises ValidationError."""
    if "rrule" in recurrence:
        meetup.rrule = recurrence["rrule"].strip().upper().removeprefix("RRULE:")
    if "rdates" in recurrence:
        meetup.rdates = sorted(day.isoformat(timespec="seconds") for day in recurrence["rdates"])
    if "exdates" in recurrence:
        meetup.exdates = sorted(day.isoformat(timespec="seconds") for day in recurrence["exdates"])
    if "skip_holidays" in recurrence:
        if not set(recurrence["skip_holidays"]) <= COUNTRIES.keys():
            raise ValidationError({"skip_holidays": _("Holidays are known of BE, NL and DE-NW.")})
        meetup.skip_holidays = sorted(set(recurrence["skip_holidays"]))


def _wall(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=None)


def _told(event: Event) -> dict[str, Any]:
    """What people plan by, as it would be shown."""
    said = {name: getattr(event, name, "") for name in TOLD if name not in {"place", "price"}}
    prices = cast("dict[str, str]", event.price_note)
    price = gettext_lazy("free") if event.is_free else next(iter(prices.values()), "")
    return said | {"place": event.place.name if event.place else "", "price": price}


def link(row: Event | Series, plan: Plan) -> list[Centre]:
    """Write the interests and partner centres that a plan names; the centres that are new among these."""
    if "interests" in plan:
        row.interests.set(plan["interests"])
    if "partner_centres" not in plan:
        return []
    present = set(row.partner_centres.values_list("pk", flat=True))
    wanted = [centre for centre in plan["partner_centres"] if centre.pk != row.centre_id]
    row.partner_centres.set(wanted)
    return [centre for centre in wanted if centre.pk not in present]
