"""Events as iCalendar (RFC 5545): one event, a circle's, a centre's, a member's own; and in mails."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import icalendar
from django.conf import settings
from django.core import signing
from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import MD5, Cast, Coalesce
from django.utils.translation import gettext as _
from icalendar.parser import Contentline, Parameters

from community.models import Centre, Circle, Member
from community.models.places import translated
from events import zones
from events.models import CalendarFeed, Event, Registration
from events.models.event import EventQuerySet, hosted_by
from events.models.registration import COMING, Guest
from realtime import clock, ids, notify
from realtime.ids import decode
from realtime.prepared import ID, MOMENT, prepared

PRODUCT = "-//Euregio Circles//EN"
FEED_LIMIT = 500
END = b"END:VCALENDAR"
FEED_PAST = timedelta(days=60)
_SALT = "calendar"
_STAMP = re.compile(r"(?m)^DTSTAMP:\w+")


class Said(NamedTuple):
    """What a calendar says of an event, and all it says: `_component` knows nothing else. Times are aware."""

    pk: int
    title: str
    language: str
    description: str
    venue: str
    address: str
    town: str
    timezone: str
    all_day: bool
    starts_at: datetime
    ends_at: datetime | None
    state: str
    sequence: int
    uid_series: int | None
    recurrence_id: str
    created_at: datetime
    updated_at: datetime
    place: str | None
    centre: str
    email: str

    @classmethod
    def of(cls, event: Event, language: str = "") -> Said:
        """Of an event at hand, in a language. No query where `place` and `centre` came with it."""
        own = (getattr(event, name) for name in cls._fields[:-3])
        place = event.place.name if event.place else None
        said = cls._make((*own, place, event.centre.name, event.centre.email))
        return said.in_language(language, event.translations)

    def in_language(self, language: str, translations: dict[str, dict[str, str]]) -> Said:
        """The same with title and description as somebody translated them, where they did; empty: as written."""
        if language not in translations:
            return self
        title, description = (
            translated(translations, name, language) or getattr(self, name)
            for name in ("title", "description")
        )
        return self._replace(title=title, description=description, language=language)


_COLUMNS = (*Said._fields[:-3], "place__name", "centre__name", "centre__email")
_FOR_EVER = {"uid_series", "recurrence_id"}  # they never change: no need to look


@cache
def _digest(language: str) -> MD5:
    """The database tells one state of an event from another by itself: of five hundred come 32 characters each. Side by side
    (Concat puts one into another, which is too deep for SQLite), with what stands in no text between them.
    """
    columns: list[Any] = [name for name in _COLUMNS if name not in _FOR_EVER]
    if language:
        columns.append(KeyTransform(language, "translations"))
    parts = [part for one in columns for part in (Coalesce(Cast(one, TextField()), Value("")), Value("\x1f"))]
    return MD5(Func(*parts, template="%(expressions)s", arg_joiner=" || ", output_field=TextField()))


def _read(events: EventQuerySet, whole: bool, language: str = "") -> QuerySet[Event, Any]:
    """The digests of events for a feed, in order of time, or with `whole` what is said of each, and its digest.

    With a language, their translations come before the digest.
    """
    found = events.filter(starts_at__isnull=False).order_by("starts_at", "pk")
    if not whole:
        return found.values_list(_digest(language), flat=True)[:FEED_LIMIT]
    other = ["translations"] if language else []
    return found.values_list(*_COLUMNS, *other, _digest(language))[:FEED_LIMIT]


@dataclass(frozen=True)
class Feed:
    """A calendar to be asked for: its name, its events, and its reader's language. Nothing is read before it has to be."""

    name: str
    read: Callable[..., list[Any]]  # whole=False: digests; True: a row each
    language: str = ""  # empty: each event in its own

    def etag(self) -> str:
        """The validator of what `content` would give, far cheaper. One query."""
        return self._tag(self.read(whole=False, language=self.language))

    def content(self) -> tuple[bytes, str]:
        """The calendar file and its validator. One query."""
        rows = self.read(whole=True, language=self.language)
        if self.language:
            said = [Said(*row[:-2]).in_language(self.language, row[-2]) for row in rows]
        else:
            said = [Said(*row[:-1]) for row in rows]
        return _calendar(self.name, said), self._tag([row[-1] for row in rows])

    def _tag(self, digests: list[str]) -> str:
        """A strong validator (RFC 9110 §8.8.3): the same events in the same language give the same one."""
        said = "\n".join((settings.PUBLIC_URL, PRODUCT, self.language, self.name, *digests))
        return f'"{hashlib.sha256(said.encode()).hexdigest()[:32]}"'


def feed_of(event: Event, language: str = "") -> Feed:
    """One event, to be asked for again and again."""
    return Feed(event.title, partial(_one, event=event.pk), language)


@prepared(event=ID)
def _one(*, event: Any, whole: bool, language: str) -> QuerySet[Event, Any]:
    return _read(Event.objects.filter(pk=event), whole, language)


def no_invitation(_language: str) -> str:
    """What goes along with a mail to who does not come."""
    return ""


def invitation(event: Event, language: str = "", *, cancelled: bool = False) -> str:
    """The event as it goes along with a mail (RFC 5546), before it is `addressed`: REQUEST, or CANCEL, which takes it out of a calendar.

    REQUEST, though everybody who gets it has said yes already: of PUBLISH, programs make an entry that no later mail
    changes or takes away. Written once for everybody of a language: five hundred who register at once get one and the same.
    """
    centre, place = event.centre, event.place.name if event.place else ""
    said = (event.version, event.sequence, event.updated_at, event.starts_at, event.ends_at, event.state)
    language = language if language in event.translations else ""
    return _invitation(event, language, cancelled, (*said, event.title, centre.name, centre.email, place))


@lru_cache(maxsize=256)
def _invitation(event: Event, language: str, cancelled: bool, _said: tuple[object, ...]) -> str:
    method = "CANCEL" if cancelled else "REQUEST"
    return _calendar("", [Said.of(event, language)], method=method).decode()


def addressed(text: str, person: Member | Guest) -> str:
    """What goes to one person, who has said yes on the page: no answer is asked for. It counts from now on. No query.

    `text` is one invitation or several (RFC 5545 §3.4): where a party moves, the new date and the old one to take out.

    A newer one of the same SEQUENCE counts by its DTSTAMP: who gives their place back and comes again has it again.
    """
    return "".join(_addressed(one, person) for one in notify.objects_of(text))


def _addressed(text: str, person: Member | Guest) -> str:
    answer = {} if "\r\nMETHOD:CANCEL\r\n" in text else {"PARTSTAT": "ACCEPTED", "RSVP": "FALSE"}
    name = "".join(sign for sign in str(person) if sign.isprintable())
    said = Parameters({"CN": name, "CUTYPE": "INDIVIDUAL", "ROLE": "REQ-PARTICIPANT", **answer})
    line = Contentline.from_parts("ATTENDEE", said, f"mailto:{person.email}").to_ical().decode()
    text = _STAMP.sub(f"DTSTAMP:{clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}", text)
    return text.replace("END:VEVENT", f"{line}\r\nEND:VEVENT", 1)


def of_circle(circle: Circle) -> Feed:
    """What anybody may know of a circle's events, from two months ago on."""
    return Feed(circle.name, partial(_of_circle, circle=circle.pk, now=clock.now()))


@prepared(circle=ID, now=MOMENT)
def _of_circle(*, circle: Any, now: Any, whole: bool, language: str) -> QuerySet[Event, Any]:
    return _read(_recent(now).visible_to(None).filter(circle=circle), whole, language)


def of_centre(centre: Centre) -> Feed:
    """What anybody may know of a centre's events and those it is a partner of."""
    return Feed(centre.name, partial(_of_centre, centre=centre.pk, now=clock.now()))


@prepared(centre=ID, now=MOMENT)
def _of_centre(*, centre: Any, now: Any, whole: bool, language: str) -> QuerySet[Event, Any]:
    partner = Event.partner_centres.through.objects.filter(centre=centre).values("event")
    found = _recent(now).visible_to(None).filter(Q(centre=centre) | Q(pk__in=partner))
    return _read(found, whole, language)


def of_member(member: Member) -> Feed:
    """The events the member comes to or hosts, in their language."""
    return Feed(_("My events"), partial(_of_member, member=member.pk, now=clock.now()), member.language)


@prepared(member=ID, now=MOMENT)
def _of_member(*, member: Any, now: Any, whole: bool, language: str) -> QuerySet[Event, Any]:
    rows = Registration.objects.filter(state__in=COMING)
    comes = rows.filter(attendees__member=member, attendees__is_live=True).values("event")
    made = rows.filter(member=member).values("event")
    # Called off, it stays in the feed as CANCELLED: left out, some calendars would keep the old entry for ever.
    off = Registration.objects.filter(member=member, event__state=Event.State.CANCELLED).values("event")
    mine = hosted_by(member) | Q(pk__in=comes) | Q(pk__in=made) | Q(pk__in=off)
    return _read(_recent(now).exclude(state=Event.State.DRAFT).filter(mine), whole, language)


def feed_token(member: Member) -> str:
    """What stands in the address of the member's own feed: signed, so that nobody can make up another's. One query."""
    return _signer(member).sign(member.public_id)


def new_feed(member: Member) -> None:
    """The member's feed gets another address; those given so far open nothing any more. Two queries."""
    CalendarFeed.objects.get_or_create(member=member)
    CalendarFeed.objects.filter(member=member).update(version=F("version") + 1)


def member_for_feed(token: str) -> Member:
    """The member whose feed a token opens. Raises Member.DoesNotExist for any other text. One query, two for a good one."""
    try:
        pk = decode(token.partition(":")[0])
    except ValueError as wrong:
        raise Member.DoesNotExist from wrong
    member = Member.objects.get(pk=pk, is_active=True)
    try:
        _signer(member).unsign(token)  # also by an older SECRET_KEY, until that one is retired
    except signing.BadSignature as wrong:
        raise Member.DoesNotExist from wrong
    return member


def _signer(member: Member) -> signing.Signer:
    """What signs the member's feed as it is now. One query."""
    version = CalendarFeed.objects.filter(member=member).values_list("version", flat=True).first()
    return signing.Signer(salt=f"{_SALT} {version}" if version else _SALT)


def _recent(now: Any) -> EventQuerySet:
    return Event.objects.filter(starts_at__gte=now - FEED_PAST)


def _calendar(name: str, events: Collection[Said], *, method: str = "PUBLISH") -> bytes:
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    if name:
        calendar.add("x-wr-calname", name)
        calendar.add("refresh-interval", timedelta(hours=6), parameters={"VALUE": "DURATION"})
    for zone in sorted({zone for event in events for zone in _zones(event)}):
        calendar.add_component(zones.component(zone))
    head, end = bytes(calendar.to_ical()).rsplit(END, 1)
    return b"".join((head, *(_component(event, method, settings.PUBLIC_URL) for event in events), END, end))


def _zones(event: Said) -> set[str]:
    """The zones whose clocks its lines name."""
    named, _colon, _time = event.recurrence_id.rpartition(":")
    own = set() if event.all_day else {event.timezone}
    return own | {named.removeprefix("TZID=")} if named.startswith("TZID=") else own


def _original(recurrence_id: str) -> date | datetime:
    """The day, or the time on the clock of its zone, that a date of a meetup was made for."""
    named, _colon, when = recurrence_id.rpartition(":")
    if named == "VALUE=DATE":
        return date.fromisoformat(when)
    return datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(named.removeprefix("TZID=")))


@lru_cache(
    maxsize=8192
)  # the same event stands in the feeds of its circle, its centre and everybody who comes
def _component(event: Said, method: str, site: str) -> bytes:
    """The lines of one event.

    A date of a meetup is an instance by itself (RFC 5545 §3.8.4.4), as in the calendar of who was invited to some dates
    alone (RFC 4791 §4.1): the UID is its series', the RECURRENCE-ID the time it was made for. No rule goes out, so there
    is nothing to except from one by EXDATE: what a rule gives differs from program to program, what a date says does
    not. A date that is left out is not there; one that is called off stays and says so.
    """
    zone = ZoneInfo(event.timezone)
    start, end = event.starts_at.astimezone(zone), event.ends_at and event.ends_at.astimezone(zone)
    name = ids.encode(event.pk)
    row = icalendar.Event()
    uid = name if event.uid_series is None else ids.encode(event.uid_series)
    row.add("uid", f"{uid}@{urlsplit(site).hostname}")
    if event.uid_series is not None:
        row.add("recurrence-id", _original(event.recurrence_id))
    row.add("sequence", event.sequence)
    row.add("dtstamp", event.updated_at.astimezone(UTC).replace(microsecond=0))
    row.add("last-modified", event.updated_at.astimezone(UTC).replace(microsecond=0))
    row.add("created", event.created_at.astimezone(UTC).replace(microsecond=0))
    row.add("summary", event.title, parameters={"LANGUAGE": event.language})
    is_off = event.state == Event.State.CANCELLED
    if is_off or method != "CANCEL":  # RFC 5546 §3.2.5: who alone no longer comes is told of no status
        row.add("status", "CANCELLED" if is_off else "CONFIRMED")
    if event.all_day:
        last = (end - timedelta(microseconds=1)).date() if end else start.date()
        row.add("dtstart", start.date())
        row.add("dtend", last + timedelta(days=1))  # §3.6.1: the end is not part of the event
    else:
        row.add("dtstart", start)
        if end is not None:
            row.add("dtend", end)
    where = ", ".join(part for part in (event.venue, event.address, event.place or event.town) if part)
    if where:
        row.add("location", where)
    if event.description:
        row.add("description", event.description, parameters={"LANGUAGE": event.language})
    row.add("url", f"{site}/events/{name}/")
    row.add("organizer", f"mailto:{event.email}", parameters={"CN": event.centre})
    return bytes(row.to_ical())
