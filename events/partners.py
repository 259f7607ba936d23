"""Calendars of partners: add one, look at what it brings, bring it in as drafts, read it again, decide what differs.

Nothing is fetched or read inside a transaction. What was got is kept without who is invited; a reading is written
only to the content it was made from, under the lock of its calendar, so that no date ever comes twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from community.models import Centre, Member, Place, Role
from events import fetching, hosting, merging, reader
from events.hosting import Plan
from events.merging import Changes, Summary
from events.models import Event, PartnerCalendar, PartnerDate
from realtime import clock

AHEAD = timedelta(days=183)  # dates come as drafts so far before they are
EVERY = timedelta(hours=6)
AFTER_A_FAILURE, AT_MOST = timedelta(hours=1), timedelta(hours=24)
CLAIMED = timedelta(minutes=10)  # one sweep at a time reads a calendar
MOST = 20  # calendars of a centre
# Who is invited is nobody's business here: these properties are left out before a file is kept.
OF_PEOPLE = re.compile(
    rb"^(?:ATTENDEE|ORGANIZER|CONTACT|COMMENT)[;:].*\r?\n(?:[ \t].*(?:\r?\n|\Z))*",
    re.IGNORECASE | re.MULTILINE,
)
WORDS = {
    "address": gettext_lazy("This is not an address we can ask. It begins with https:// and has no password or unusual port in it."),
    "private": gettext_lazy("This address leads into a private network."),
    "name": gettext_lazy("There is no server of this name."),
    "refused": gettext_lazy("The server does not answer as it should."),
    "encoding": gettext_lazy("The server does not answer as it should."),
    "tls": gettext_lazy("The server could not prove that it is the one of this name."),
    "redirects": gettext_lazy("The address sends us on too often."),
    "status": gettext_lazy("The server answers with error %(status)d."),
    "slow": gettext_lazy("It takes too long."),
    "large": gettext_lazy("The calendar is larger than 2 MB."),
    "many": gettext_lazy("There is too much in this calendar."),
    "unreadable": gettext_lazy("This is no calendar file (.ics), or it is damaged."),
}  # fmt: skip


@dataclass(frozen=True)
class Overview:
    """A calendar in a list: how many dates came from it, how many somebody has to decide, what is wrong with it."""

    calendar: PartnerCalendar
    dates: int
    open: int
    trouble: str


def words_of(code: str, status: int = 0) -> str:
    """Why a calendar could not be read, for people."""
    return str(WORDS.get(code, WORDS["refused"])) % {"status": status}


def calendars_of(centre: Centre) -> QuerySet[PartnerCalendar]:
    """The centre's calendars by name, without their content."""
    return PartnerCalendar.objects.filter(centre=centre).defer("content").order_by("name", "pk")


def overview(centre: Centre) -> list[Overview]:
    """The centre's calendars by name, and how they are. One query."""
    rows = calendars_of(centre).annotate(
        opened=Count("dates", filter=Q(dates__is_open=True)), came=Count("dates")
    )
    return [Overview(row, row.came, row.opened, trouble_of(row)) for row in rows]


def trouble_of(calendar: PartnerCalendar) -> str:
    """Why it could not be read the last time, for people; empty when it could."""
    return words_of(calendar.error, calendar.error_status) if calendar.error else ""


def calendar_for(staff: Member, calendar_id: int, *, lock: bool = False) -> PartnerCalendar:
    """The calendar, if it is of a centre where the member has a role. One query.

    Raises PartnerCalendar.DoesNotExist: not there and not yours look alike.
    """
    mine = PartnerCalendar.objects.filter(centre__in=Role.objects.filter(member=staff).values("centre"))
    return (mine.select_for_update() if lock else mine).get(pk=calendar_id)


def open_dates(calendar: PartnerCalendar) -> QuerySet[PartnerDate]:
    """The calendar's dates that somebody has to decide, the next first."""
    return calendar.dates.filter(is_open=True).select_related("event").order_by("event__starts_at", "pk")


def add(
    staff: Member,
    centre: Centre,
    said: dict[str, str],
    content: bytes | None = None,
    *,
    loopback: bool = False,
) -> PartnerCalendar:
    """A calendar of `name` and `language`, from its `url` or as a file. It brings nothing before `bring_in`.

    Raises PermissionDenied for who is no staff of the centre; ValidationError by field for what cannot be got or read.
    """
    if not Role.objects.filter(member=staff, centre=centre).exists():
        raise PermissionDenied(_("The desk is for the staff of a centre."))
    if PartnerCalendar.objects.filter(centre=centre).count() >= MOST:
        raise ValidationError(_("These are as many calendars as a centre can have. Remove one first."))
    known = fetching.Known()
    url = "" if content is not None else said["url"]
    try:
        if content is None:
            url = fetching.checked(url, loopback=loopback)
            if PartnerCalendar.objects.filter(centre=centre, url=url).exists():
                raise ValidationError({"url": _("Your centre reads this calendar already.")})
            found = fetching.fetch(url, loopback=loopback)
            content, known = found.content or b"", found.known
        _reading(content, centre.place.time_zone)
    except (fetching.Unreachable, reader.Refused) as no:
        text = words_of(no.code, getattr(no, "status", 0))
        raise ValidationError({"url" if url else "file": text}, code=no.code) from no
    now = clock.now()
    calendar = PartnerCalendar(
        centre=centre, added_by=staff, name=said["name"], language=said["language"], url=url
    )
    calendar.content, calendar.etag, calendar.last_modified = (
        _without_people(content),
        known.etag,
        known.last_modified,
    )
    calendar.tried_at = calendar.read_at = now
    try:
        with transaction.atomic():
            calendar.save(force_insert=True)
    except IntegrityError as twice:
        raise ValidationError({"url": _("Your centre reads this calendar already.")}) from twice
    return calendar


def preview(calendar: PartnerCalendar) -> Changes:
    """What bringing in would do now. Nothing is saved. Three queries and a third of a second. Raises ValidationError."""
    since = clock.now()
    reading = _read(calendar, since)
    return merging.compare(calendar, reading, since, since + AHEAD)


def bring_in(staff: Member, calendar_id: int) -> Summary:
    """Save what the calendar brings, and from now on what it will bring.

    Raises PartnerCalendar.DoesNotExist, ValidationError: it cannot be read, or is another one by now (stale).
    """
    calendar = calendar_for(staff, calendar_id)
    since = clock.now()
    found = _save(calendar, _read(calendar, since), since, switch_on=True)
    if found is None:
        raise ValidationError(_("The calendar was read anew meanwhile. Look at it again."), code="stale")
    return found


def give_file(staff: Member, calendar_id: int, content: bytes) -> PartnerCalendar:
    """A newer file in the place of the one before. It brings nothing before `bring_in`.

    Raises PartnerCalendar.DoesNotExist, ValidationError: it cannot be read, or the calendar has an address (invalid).
    """
    calendar = calendar_for(staff, calendar_id)
    if calendar.url:
        raise ValidationError(_("This calendar is read from its address."), code="invalid")
    try:
        _reading(content, calendar.centre.place.time_zone)
    except reader.Refused as no:
        raise ValidationError({"file": words_of(no.code)}, code=no.code) from no
    with transaction.atomic():
        calendar = calendar_for(staff, calendar_id, lock=True)
        calendar.content, calendar.version, calendar.is_on = (
            _without_people(content),
            calendar.version + 1,
            False,
        )
        calendar.tried_at = calendar.read_at = clock.now()
        calendar.save()
    return calendar


def read_again(staff: Member, calendar_id: int, *, loopback: bool = False) -> Summary:
    """Ask the address anew and save what it brings, without waiting for the sweep.

    Raises PartnerCalendar.DoesNotExist, ValidationError: why it could not be read; that is kept, too.
    """
    calendar = calendar_for(staff, calendar_id)
    found = _refresh(calendar, loopback=loopback)
    if isinstance(found, str):
        raise ValidationError(found, code="unreachable")
    return found


def read_due(*, loopback: bool = False) -> int:
    """The sweep: calendars whose time has come are read, each by one sweep at a time. Returns how many."""
    now, done = clock.now(), 0
    due = (
        PartnerCalendar.objects.filter(due_at__lte=now, is_on=True).defer("content").order_by("due_at", "pk")
    )
    for one in list(due[:50]):
        mine = PartnerCalendar.objects.filter(pk=one.pk, due_at=one.due_at, is_on=True)
        if mine.update(due_at=clock.now() + CLAIMED):
            _refresh(PartnerCalendar.objects.get(pk=one.pk), loopback=loopback)
            done += 1
    return done


@transaction.atomic
def remove(staff: Member, calendar_id: int) -> int:
    """Read a calendar no more. Its drafts that nobody here has touched go with it: how many. The rest stays.

    Raises PartnerCalendar.DoesNotExist.
    """
    calendar = calendar_for(staff, calendar_id, lock=True)
    merging.lock(calendar)
    dates = calendar.dates.select_related("event")
    untouched = [date.event.pk for date in dates if date.event and merging.is_untouched(date)]
    calendar.delete()
    Event.objects.filter(pk__in=untouched).delete()
    return len(untouched)


@transaction.atomic
def take_over(staff: Member, calendar_id: int, date_id: int) -> None:
    """What the calendar says of a date, the event says from now on; who registered is told, as of any change.

    Raises PartnerCalendar.DoesNotExist, PartnerDate.DoesNotExist, PermissionDenied, ValidationError.
    """
    date = _open_date(staff, calendar_id, date_id)
    assert date.event is not None
    offer = {name: date.offer[name] for name in merging.GROUPS if name in date.offer}
    hosting.change(staff, date.event.pk, _plan_of(date.event, offer, date.offer.get("zone", "")))
    _settle(date, said=date.said | offer)


@transaction.atomic
def leave(staff: Member, calendar_id: int, date_id: int) -> None:
    """The event stays as it is, whatever the calendar says now; it is asked about again when that changes.

    Raises PartnerCalendar.DoesNotExist, PartnerDate.DoesNotExist.
    """
    date = _open_date(staff, calendar_id, date_id)
    _settle(date, said=date.said | {name: date.offer[name] for name in merging.GROUPS if name in date.offer})


@transaction.atomic
def call_off(staff: Member, calendar_id: int, date_id: int) -> None:
    """A date that is gone there does not take place here either: who registered is told, a draft is thrown away.

    Raises PartnerCalendar.DoesNotExist, PartnerDate.DoesNotExist, PermissionDenied, ValidationError.
    """
    date = _open_date(staff, calendar_id, date_id)
    if not date.gone:
        raise ValidationError(_("It is still in the calendar."), code="invalid")
    assert date.event is not None
    if date.event.state == Event.State.DRAFT:
        hosting.discard(staff, date.event.pk)
        date.event = None
    else:
        hosting.call_off(staff, date.event.pk, "")
    _settle(date, said=date.said)


def differences(date: PartnerDate) -> list[hosting.Change]:
    """What somebody has to decide about a date: how the event is, and how it is in the calendar. At most two queries."""
    found: list[hosting.Change] = []
    event = date.event
    if event is None:
        return found
    here = merging.present(event)
    for group in ("title", "description"):
        if group in date.offer:
            found.append(
                hosting.Change(hosting.TOLD.get(group, _("Description")), here[group], date.offer[group])
            )
    if "when" in date.offer:
        for name, old, new in zip(("starts_at", "ends_at"), here["when"], date.offer["when"], strict=False):
            if old != new:
                found.append(hosting.Change(hosting.TOLD[name], _moment(old), _moment(new)))
    if "where" in date.offer and date.offer["where"][0] != event.venue:
        found.append(hosting.Change(hosting.TOLD["venue"], event.venue, date.offer["where"][0]))
    if "where" in date.offer and date.offer["where"][1] != event.place_id:
        new_place = Place.objects.filter(pk=date.offer["where"][1]).first()
        found.append(hosting.Change(hosting.TOLD["place"], event.place, new_place))
    return found


# Reading


def _reading(content: bytes, zone: str, since: datetime | None = None) -> reader.Reading:
    since = since or clock.now()
    return reader.read_apart(content, since, since + AHEAD, zone)


def _read(calendar: PartnerCalendar, since: datetime) -> reader.Reading:
    try:
        return _reading(bytes(calendar.content), calendar.centre.place.time_zone, since)
    except reader.Refused as no:
        raise ValidationError(words_of(no.code), code=no.code) from no


def _without_people(content: bytes) -> bytes:
    return OF_PEOPLE.sub(b"", content)


def _refresh(calendar: PartnerCalendar, *, loopback: bool) -> Summary | str:
    """Get what the address gives and save it when the calendar is on; else why not, in words. No transaction is open."""
    if not calendar.url:
        return _saved(calendar)
    known = fetching.Known(calendar.etag, calendar.last_modified)
    try:
        got = fetching.fetch(calendar.url, known, loopback=loopback)
        content = bytes(calendar.content) if got.content is None else _without_people(got.content)
        since = clock.now()
        reading = _reading(content, calendar.centre.place.time_zone, since)
    except (fetching.Unreachable, reader.Refused) as no:
        return _failed(calendar, no.code, getattr(no, "status", 0))
    rows = PartnerCalendar.objects.filter(pk=calendar.pk, version=calendar.version)
    version = calendar.version + (content != bytes(calendar.content))
    got_now = {"etag": got.known.etag, "last_modified": got.known.last_modified, "content": content}
    if rows.update(version=version, **got_now):
        calendar.version = version
        _was_read(calendar)
        return (_save(calendar, reading, since) if calendar.is_on else None) or Summary()
    return Summary()  # somebody else read it at the same time


def _saved(calendar: PartnerCalendar) -> Summary | str:
    """Of a file: nothing to get, but its later dates come near."""
    since = clock.now()
    try:
        reading = _read(calendar, since)
    except ValidationError as no:
        return _failed(calendar, str(no.code))
    PartnerCalendar.objects.filter(pk=calendar.pk).update(due_at=clock.now() + AT_MOST)
    return _save(calendar, reading, since) or Summary()


def _was_read(calendar: PartnerCalendar) -> None:
    now = clock.now()
    due = now + EVERY if calendar.is_on else None
    fine = {"read_at": now, "tried_at": now, "failures": 0, "error": "", "error_status": 0}
    PartnerCalendar.objects.filter(pk=calendar.pk).update(due_at=due, **fine)


def _failed(calendar: PartnerCalendar, code: str, status: int = 0) -> str:
    """Keep why, and wait longer each time: an hour, two, four … a day."""
    now = clock.now()
    wait = min(AFTER_A_FAILURE * 2 ** min(calendar.failures, 10), AT_MOST)
    PartnerCalendar.objects.filter(pk=calendar.pk).update(
        tried_at=now,
        failures=F("failures") + 1,
        error=code,
        error_status=status,
        due_at=now + wait if calendar.is_on else None,
    )
    return words_of(code, status)


@transaction.atomic
def _save(
    calendar: PartnerCalendar, reading: reader.Reading, since: datetime, *, switch_on: bool = False
) -> Summary | None:
    """Write what a reading brings; None when the calendar's content is another one by now."""
    rows = PartnerCalendar.objects.select_for_update().defer("content")
    locked = rows.filter(pk=calendar.pk, version=calendar.version).first()
    if locked is None:
        return None
    if switch_on:
        wait = EVERY if locked.url else AT_MOST
        PartnerCalendar.objects.filter(pk=locked.pk).update(is_on=True, due_at=clock.now() + wait)
    merging.lock(locked)
    return merging.save(locked, merging.compare(locked, reading, since, since + AHEAD))


def _open_date(staff: Member, calendar_id: int, date_id: int) -> PartnerDate:
    calendar = calendar_for(staff, calendar_id, lock=True)
    return calendar.dates.select_related("event__place").get(pk=date_id, is_open=True, event__isnull=False)


def _settle(date: PartnerDate, said: dict[str, Any]) -> None:
    date.said, date.offer, date.is_open = said, {}, False
    date.save()


def _plan_of(event: Event, offer: dict[str, Any], zone: str) -> Plan:
    """What a date says, as a host would say it."""
    plan: dict[str, Any] = {name: offer[name] for name in ("title", "description") if name in offer}
    if "when" in offer:
        draft = Event(place=None)
        merging.write(draft, {"when": offer["when"]}, zone or event.timezone)
        start, end = draft.local_start, draft.local_end
        plan |= {
            "starts_at": start and start.replace(tzinfo=None),
            "ends_at": end and end.replace(tzinfo=None),
            "timezone": draft.timezone,
            "all_day": draft.all_day,
        }
    if "where" in offer:
        venue, place = offer["where"]
        plan |= {"venue": venue, "place": Place.objects.filter(pk=place).first() if place else None}
        plan |= {"town": ""} if place else {}
    return cast("Plan", plan)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
