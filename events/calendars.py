"""Events as iCalendar (RFC 5545): one event, a circle's, a centre's, a member's own; and in mails."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import lru_cache
from urllib.parse import urlsplit

import icalendar
from django.conf import settings
from django.core import signing
from django.db.models import F
from django.utils.translation import gettext as _
from icalendar.parser import Contentline, Parameters

from community.models import Centre, Circle, Member
from events import zones
from events.models import CalendarFeed, Event, Registration
from events.models.event import EventQuerySet, hosted_by
from events.models.registration import COMING, Guest
from realtime import clock
from realtime.ids import decode

PRODUCT = "-//Euregio Circles//EN"
FEED_LIMIT = 500
FEED_PAST = timedelta(days=60)
_SALT = "calendar"
_STAMP = re.compile(r"(?m)^DTSTAMP:\w+")


# What a calendar says of an event: `_component` reads nothing else.
SAID = (
    "pk", "title", "language", "description", "venue", "address", "town", "timezone", "all_day", "starts_at", "ends_at",
    "state", "sequence", "created_at", "updated_at",
)  # fmt: skip
SAID_BESIDE = ("place__name", "centre__name", "centre__email")


@dataclass(frozen=True)
class Feed:
    """A calendar to be asked for: its name and its events. Nothing is read before it has to be."""

    name: str
    events: EventQuerySet

    def etag(self) -> str:
        """The validator of what `content` would give, far cheaper. One query."""
        return _tag(self.name, self.events.values_list(*SAID, *SAID_BESIDE))

    def content(self) -> tuple[bytes, str]:
        """The calendar file and its validator. One query."""
        rows = list(self.events)
        return _calendar(self.name, rows), _tag(self.name, map(_said, rows))


def _said(event: Event) -> tuple[object, ...]:
    place = event.place.name if event.place else None
    return (*(getattr(event, name) for name in SAID), place, event.centre.name, event.centre.email)


def _tag(name: str, rows: Iterable[tuple[object, ...]]) -> str:
    """A strong validator (RFC 9110 §8.8.3): the same events give the same one."""
    said = repr((settings.PUBLIC_URL, PRODUCT, name, [tuple(map(str, row)) for row in rows]))
    return f'"{hashlib.sha256(said.encode()).hexdigest()[:32]}"'


def feed_of(event: Event) -> Feed:
    """One event, to be asked for again and again."""
    return Feed(event.title, Event.objects.filter(pk=event.pk).select_related("place", "centre"))


def invitation(event: Event, *, cancelled: bool = False) -> str:
    """The event as it goes along with a mail (RFC 5546), before it is `addressed`: REQUEST, or CANCEL, which takes it out of a calendar.

    REQUEST, though everybody who gets it has said yes already: of PUBLISH, programs make an entry that no later mail
    changes or takes away. Written once for everybody: five hundred who register at once get one and the same. A date
    of a meetup is an event with a UID of its own, as in every feed: a RECURRENCE-ID would name it by a time that moves.
    """
    centre, place = event.centre, event.place.name if event.place else ""
    said = (event.version, event.sequence, event.updated_at, event.starts_at, event.ends_at, event.state)
    return _invitation(event, cancelled, (*said, event.title, centre.name, centre.email, place))


@lru_cache(maxsize=256)
def _invitation(event: Event, cancelled: bool, _said: tuple[object, ...]) -> str:
    return _calendar("", [event], method="CANCEL" if cancelled else "REQUEST").decode()


def addressed(text: str, person: Member | Guest) -> str:
    """An invitation to one person, who has said yes on the page: no answer is asked for. It counts from now on. No query.

    A newer one of the same SEQUENCE counts by its DTSTAMP: who gives their place back and comes again has it again.
    """
    answer = {} if "\r\nMETHOD:CANCEL\r\n" in text else {"PARTSTAT": "ACCEPTED", "RSVP": "FALSE"}
    name = "".join(sign for sign in str(person) if sign.isprintable())
    said = Parameters({"CN": name, "CUTYPE": "INDIVIDUAL", "ROLE": "REQ-PARTICIPANT", **answer})
    line = Contentline.from_parts("ATTENDEE", said, f"mailto:{person.email}").to_ical().decode()
    text = _STAMP.sub(f"DTSTAMP:{clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}", text)
    return text.replace("END:VEVENT", f"{line}\r\nEND:VEVENT", 1)


def of_circle(circle: Circle) -> Feed:
    """What anybody may know of a circle's events, from two months ago on."""
    return Feed(circle.name, _feed().visible_to(None).filter(circle=circle)[:FEED_LIMIT])


def of_centre(centre: Centre) -> Feed:
    """What anybody may know of a centre's events and those it is a partner of."""
    partner = Event.partner_centres.through.objects.filter(centre=centre).values("event")
    both = _feed().visible_to(None)
    return Feed(centre.name, (both.filter(centre=centre) | both.filter(pk__in=partner))[:FEED_LIMIT])


def of_member(member: Member) -> Feed:
    """The events the member comes to or hosts."""
    comes = Registration.objects.filter(
        attendees__member=member, attendees__is_live=True, state__in=COMING
    ).values("event")
    made = Registration.objects.filter(member=member, state__in=COMING).values("event")
    # Called off, it stays in the feed as CANCELLED: left out, some calendars would keep the old entry for ever.
    called_off = Registration.objects.filter(member=member, event__state=Event.State.CANCELLED).values(
        "event"
    )
    mine = _feed().exclude(state=Event.State.DRAFT)
    found = (
        mine.filter(hosted_by(member))
        | mine.filter(pk__in=comes)
        | mine.filter(pk__in=made)
        | mine.filter(pk__in=called_off)
    )
    return Feed(_("My events"), found[:FEED_LIMIT])


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


def _feed() -> EventQuerySet:
    since = clock.now() - FEED_PAST
    return (
        Event.objects.filter(starts_at__gte=since)
        .select_related("place", "centre")
        .order_by("starts_at", "pk")
    )


def _calendar(name: str, events: Iterable[Event], *, method: str = "PUBLISH") -> bytes:
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    if name:
        calendar.add("x-wr-calname", name)
        calendar.add("refresh-interval", timedelta(hours=6), parameters={"VALUE": "DURATION"})
    rows = [event for event in events if event.starts_at is not None]
    for zone in sorted({event.timezone for event in rows if not event.all_day}):
        calendar.add_component(zones.component(zone))
    for event in rows:
        calendar.add_component(_component(event, method))
    return bytes(calendar.to_ical())


def _component(event: Event, method: str) -> icalendar.Event:
    start, end = event.local_start, event.local_end
    assert start is not None
    row = icalendar.Event()
    row.add("uid", f"{event.public_id}@{urlsplit(settings.PUBLIC_URL).hostname}")
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
    where = ", ".join(
        part for part in (event.venue, event.address, event.place.name if event.place else event.town) if part
    )
    if where:
        row.add("location", where)
    if event.description:
        row.add("description", event.description, parameters={"LANGUAGE": event.language})
    row.add("url", f"{settings.PUBLIC_URL}{event.get_absolute_url()}")
    row.add("organizer", f"mailto:{event.centre.email}", parameters={"CN": event.centre.name})
    return row
