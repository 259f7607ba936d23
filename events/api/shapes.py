"""What the API reads and answers about events: one shape each, as interface.md fixes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.drainage import set_override
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from community.api import InterestField
from community.models import Centre, Circle, Member, Place
from events import questions, rescheduling, seats, series, ticket_types
from events.forms import DEFAULT_ZONE, find_town
from events.holidays import COUNTRIES
from events.hosting import Plan, Recurrence
from events.models import Event, Registration, Series
from events.models.details import Details
from realtime import fields, ids

YEAR = 366 * 24 * 60  # minutes
LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")


def reader_of(request: Request) -> Member | None:
    """Who asks, if anybody signed in."""
    return request.user if isinstance(request.user, Member) else None


def member_of(request: Request) -> Member:
    """Who asks, where the view lets only members in."""
    return cast("Member", request.user)


def at(moment: datetime | None) -> str | None:
    """RFC 3339 with the moment's own offset; UTC as Z."""
    if moment is None:
        return None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z" if moment.tzinfo is UTC else "+00:00")


@extend_schema_field(fields.ID_SCHEMA)
class IdField(serializers.Field):  # type: ignore[type-arg]
    """An id as the API writes it; the number behind it within."""

    def to_internal_value(self, data: Any) -> int:
        try:
            return ids.decode(data if isinstance(data, str) else "")
        except ValueError:
            raise serializers.ValidationError(_("This is no id.")) from None

    def to_representation(self, value: int) -> str:
        return ids.encode(value)


@extend_schema_field(fields.WALL_TIME_SCHEMA)
class LocalTimeField(serializers.Field):  # type: ignore[type-arg]
    """Wall time without an offset, `2027-06-01T19:00:00`; with `lenient` also the forms of iCalendar."""

    def __init__(self, *, lenient: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lenient = lenient
        if lenient:
            set_override(self, "field", fields.ICAL_TIME_SCHEMA)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or not (self.lenient or LOCAL.fullmatch(data)):
            raise serializers.ValidationError(_("Wall time without offset, like 2027-06-01T19:00:00."))
        if self.lenient:
            return data  # read once the zone is known
        try:
            return datetime.fromisoformat(data)
        except ValueError:
            raise serializers.ValidationError(_("There is no such time.")) from None

    def to_representation(self, value: Any) -> str:
        return str(value)


class VenueIn(serializers.Serializer[Any]):
    """Where. `place` is the id of a town, or its name; a town outside the region is kept as text."""

    name = fields.Text(max_length=160, required=False, allow_blank=True)
    place = fields.Text(max_length=120, required=False, allow_null=True, allow_blank=True)
    address = fields.Text(max_length=200, required=False, allow_null=True, allow_blank=True)

    def validate_place(self, text: str | None) -> Place | str | None:
        if text and text.isascii() and text.isdigit():
            place = Place.objects.filter(pk=int(text[:18])).first()
            if place is None:
                raise serializers.ValidationError(_("There is no such place."))
            return place
        return (find_town(text) or text.strip()) if text else None


class QuestionIn(serializers.Serializer[Any]):
    """What a host asks who comes."""

    id = fields.Text(max_length=16, required=False, allow_blank=True, default="")
    text = fields.Text(max_length=questions.MAX_TEXT)
    kind = serializers.ChoiceField(questions.KINDS, required=False, default="text")
    options = serializers.ListField(
        child=fields.Text(max_length=questions.MAX_TEXT),
        required=False,
        default=list,
        max_length=questions.MAX_OPTIONS,
    )
    is_required = fields.Flag(required=False, default=False)
    is_sensitive = fields.Flag(required=False, default=False)


class TicketTypeIn(serializers.Serializer[Any]):
    """A kind of ticket. With its `id` it is the same one by another name or size; without, a new one."""

    id = fields.Text(max_length=16, required=False, allow_blank=True, default="")
    name = fields.Text(max_length=ticket_types.MAX_NAME)
    capacity = fields.Whole(
        min_value=1, max_value=ticket_types.MAX_PLACES, required=False, allow_null=True, default=None
    )


class EventIn(serializers.Serializer[Any]):
    """An event as a host writes it. PATCH takes any of these fields."""

    title = fields.Text(max_length=160)
    description = fields.Text(max_length=8000, required=False, allow_blank=True)
    language = fields.Language(required=False)
    starts_at = LocalTimeField()
    ends_at = LocalTimeField(required=False, allow_null=True)
    timezone = fields.Text(max_length=40, required=False)
    all_day = fields.Flag(required=False)
    doors_at = LocalTimeField(required=False, allow_null=True)
    registration_opens_at = LocalTimeField(required=False, allow_null=True)
    registration_closes_at = LocalTimeField(required=False, allow_null=True)
    changes_until = LocalTimeField(required=False, allow_null=True)
    by_approval = fields.Flag(required=False)
    asks_again = fields.Flag(required=False)
    venue = VenueIn(required=False)
    capacity = fields.Whole(min_value=1, max_value=1_000_000, required=False, allow_null=True)
    visibility = serializers.ChoiceField(Details.Visibility.choices, required=False)
    circle = IdField(required=False, allow_null=True)
    waiting_list = serializers.ChoiceField(Details.WaitingList.choices, required=False, allow_null=True)
    centre = fields.Text(max_length=60, required=False, allow_null=True)
    partner_centres = serializers.ListField(child=fields.Text(max_length=60), required=False, max_length=20)
    languages = serializers.ListField(child=fields.Language(), required=False, max_length=20)
    needs_language = fields.Language(required=False, allow_null=True)
    needs_level = serializers.ChoiceField(Details.Level.choices, required=False, allow_null=True)
    interests = serializers.ListField(child=InterestField(), required=False, max_length=20)
    for_families = fields.Flag(required=False)
    min_age = fields.Whole(min_value=0, max_value=18, required=False, allow_null=True)
    max_age = fields.Whole(min_value=0, max_value=18, required=False, allow_null=True)
    step_free = fields.Flag(required=False)
    childcare = fields.Flag(required=False)
    questions = serializers.ListField(child=QuestionIn(), required=False, max_length=questions.AT_MOST)
    ticket_types = serializers.ListField(
        child=TicketTypeIn(), required=False, max_length=ticket_types.AT_MOST
    )
    is_free = fields.Flag(required=False)
    price = fields.Text(max_length=200, required=False, allow_blank=True)

    def validate_timezone(self, name: str) -> str:
        try:
            series.zone_named(name)
        except ValidationError as refused:
            raise serializers.ValidationError(refused.messages) from None
        return name

    def validate_circle(self, pk: int | None) -> Circle | None:
        if pk is None:
            return None
        found = Circle.objects.open_to(member_of(self.context["request"])).filter(pk=pk).first()
        if found is None:
            raise serializers.ValidationError(_("There is no such circle."))
        return found

    def validate_centre(self, name: str | None) -> Centre | None:
        return centre_named(name) if name else None

    def validate_partner_centres(self, names: list[str]) -> list[Centre]:
        return [centre_named(name) for name in names]

    def validate_questions(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            return questions.written(map(questions.of_row, rows))
        except ValidationError as refused:
            raise serializers.ValidationError(refused.messages) from None

    def validate_ticket_types(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            return ticket_types.written(map(ticket_types.of_row, rows))
        except ValidationError as refused:
            raise serializers.ValidationError(refused.messages) from None

    def plan(self, event: Event | None = None) -> Plan:
        """What the verbs of hosting take: only what was sent, with our defaults for a new one."""
        said = dict(self.validated_data)
        venue, price = said.pop("venue", None), said.pop("price", None)
        before = {name: said.pop(name) for name in BEFORE if name in said}
        for name in Recurrence.__annotations__:
            said.pop(name, None)
        plan: dict[str, Any] = said
        plan |= {name: said[name] or "" for name in ("needs_language", "needs_level") if name in said}
        if event is None:
            plan.setdefault("timezone", DEFAULT_ZONE)
        if venue is not None:
            plan |= {
                ours: venue[name] or ""
                for name, ours in (("name", "venue"), ("address", "address"))
                if name in venue
            }
            if "place" in venue:
                place = venue["place"]
                plan |= {
                    "place": place if isinstance(place, Place) else None,
                    "town": place if isinstance(place, str) else "",
                }
        if price is not None:
            language = said.get("language") or (
                event.language if event else member_of(self.context["request"]).language
            )
            plan |= {"price_note": {language: price} if price else {}, "is_free": not price}
        start = said.get("starts_at") or (
            event and event.local_start and event.local_start.replace(tzinfo=None)
        )
        return cast("Plan", plan | _minutes_before(start or None, before))


BEFORE = {  # what is said as a wall time and kept as minutes before the start, so that it moves along
    "doors_at": (
        "doors_minutes",
        7 * 24 * 60,
        gettext_lazy("Doors open before the beginning, at most a week."),
    ),
    "registration_opens_at": ("opens_before", YEAR, gettext_lazy("Before the beginning, at most a year.")),
    "registration_closes_at": ("closes_before", YEAR, gettext_lazy("Before the beginning, at most a year.")),
    "changes_until": ("fixed_before", YEAR, gettext_lazy("Before the beginning, at most a year.")),
}


def _minutes_before(start: datetime | None, said: dict[str, datetime | None]) -> dict[str, int | None]:
    """The wall times of `BEFORE` as minutes before a start. Raises serializers.ValidationError."""
    found: dict[str, int | None] = {}
    for name, moment in said.items():
        ours, limit, refusal = BEFORE[name]
        if moment is None and name != "doors_at":
            found[ours] = None
        if moment is None or start is None:
            continue
        minutes = (start - moment) // timedelta(minutes=1)
        if not 0 <= minutes <= limit:
            raise serializers.ValidationError({name: [refusal]})
        found[ours] = minutes
    return found


def centre_named(name: str) -> Centre:
    """A centre by id or slug. Raises serializers.ValidationError."""
    try:
        found = Centre.objects.filter(pk=ids.decode(name)).first()
    except ValueError:
        found = None
    found = found or Centre.objects.filter(slug=name).first()
    if found is None:
        raise serializers.ValidationError(_("There is no such centre."))
    return found


ENDS = ("this", "following")


class CancelIn(serializers.Serializer[Any]):
    """Why it is called off; of a meetup, `following` ends it: this date and all after it."""

    reason = fields.Text(max_length=500, required=False, allow_blank=True, allow_null=True)
    scope = serializers.ChoiceField(choices=ENDS, default="this")


class RestoreIn(serializers.Serializer[Any]):
    """What comes back: this event, or with `following` all dates that were called off together with it."""

    scope = serializers.ChoiceField(choices=ENDS, default="this")


class RuleIn(serializers.Serializer[Any]):
    """How it recurs: RFC 5545."""

    rrule = fields.Text(max_length=500, required=False, allow_blank=True)
    rdates = serializers.ListField(
        child=LocalTimeField(lenient=True), required=False, max_length=series.MAX_DATES
    )
    exdates = serializers.ListField(
        child=LocalTimeField(lenient=True), required=False, max_length=series.MAX_DATES
    )
    skip_holidays = serializers.ListField(child=serializers.ChoiceField(sorted(COUNTRIES)), required=False)

    def recurrence(self, zone: str, start: datetime) -> Recurrence:
        """The fields that were sent, their times read on the wall clock of `zone`."""
        said = self.validated_data
        found = {name: said[name] for name in ("rrule", "skip_holidays") if name in said}
        for name in ("rdates", "exdates"):
            if name in said:
                found[name] = [_wall_time(name, text, zone, start) for text in said[name]]
        return cast("Recurrence", found)


def _wall_time(name: str, text: str, zone: str, start: datetime) -> datetime:
    """A single date on the wall clock of `zone`. Raises ValidationError by the field it was sent in."""
    try:
        return series.wall_time(text, zone, start.time())
    except ValidationError as refused:
        raise ValidationError({name: refused.messages}) from refused


class SeriesIn(RuleIn, EventIn):
    """A meetup: what an event has, and how it recurs."""


@extend_schema_field(SeriesIn(partial=True))
class ChangesField(serializers.DictField):
    """Those fields of a meetup that become another; SeriesIn reads them."""


class SeriesChangeIn(serializers.Serializer[Any]):
    """A change of a meetup: of one date, of it and all following, or of all."""

    sent_whole = True

    scope = serializers.ChoiceField(rescheduling.SCOPES)
    occurrence = IdField(required=False, allow_null=True)
    changes = ChangesField(required=False, default=dict)
    dry_run = fields.Flag(required=False)
    reason = fields.Text(max_length=500, required=False, allow_blank=True, default="")

    def changes_of(self, meetup: Series) -> tuple[Plan, Recurrence]:
        """What was sent, as the verb takes it: facts of the event, and the rule."""
        data = SeriesIn(data=self.validated_data["changes"], partial=True, context=self.context)
        data.is_valid(raise_exception=True)
        plan = data.plan()
        if "timezone" not in data.validated_data:
            plan.pop("timezone", None)
        return plan, data.recurrence(plan.get("timezone", meetup.timezone), meetup.starts_at)


class PreviewIn(RuleIn):
    """A rule to look at. Nothing is saved; the start may be past."""

    starts_at = LocalTimeField(lenient=True)
    timezone = fields.Text(max_length=40, required=False, default=DEFAULT_ZONE)
    limit = fields.Whole(min_value=1, max_value=1000, required=False, default=10)

    def rule(self) -> series.Rule:
        zone = self.validated_data["timezone"]
        series.zone_named(zone)
        start = series.wall_time(self.validated_data["starts_at"], zone)
        return series.Rule(start=start, timezone=zone, **self.recurrence(zone, start))


def events_data(request: Request, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Events as the API answers them. Two queries for any number, after `for_list` with interests."""
    places = seats.places_of(events)
    mine = seats.mine_of(reader_of(request), events)
    return [_event_data(request, event, places[event.pk], mine.get(event.pk)) for event in events]


def _event_data(
    request: Request, event: Event, places: seats.Places, mine: Registration | None
) -> dict[str, Any]:
    reader = reader_of(request)
    in_room = event.room_id is not None and (
        mine is not None or (reader is not None and reader.pk == event.host_id)
    )
    return {
        "id": event.public_id,
        "url": request.build_absolute_uri(event.get_absolute_url()),
        "title": event.title,
        "description": event.description,
        "language": event.language,
        "translations": event.translations,
        "starts_at": at(event.local_start),
        "ends_at": at(event.local_end),
        "starts_at_utc": at(event.starts_at and event.starts_at.astimezone(UTC)),
        "doors_at": at(event.doors_at and event.doors_at.astimezone(event.zone)),
        "registration_opens_at": at(event.opens_at and event.opens_at.astimezone(event.zone)),
        "registration_closes_at": at(event.closes_at and event.closes_at.astimezone(event.zone)),
        "changes_until": at(event.fixed_at and event.fixed_at.astimezone(event.zone)),
        "by_approval": event.by_approval,
        "asks_again": event.asks_again,
        "timezone": event.timezone,
        "all_day": event.all_day,
        "venue": {
            "name": event.venue,
            "place": str(event.place_id) if event.place_id else event.town or None,
            "town": event.place.name if event.place else event.town,
            "address": event.address,
        },
        "capacity": places.capacity,
        "places": asdict(places),
        "state": event.state,
        "cancel_reason": event.cancel_reason,
        "visibility": event.visibility,
        "circle": ids.encode(event.circle_id) if event.circle_id else None,
        "waiting_list": event.waiting_list,
        "centre": event.centre.public_id,
        "host": {"id": event.host.public_id, "name": str(event.host)},
        "languages": event.languages,
        "needs_language": event.needs_language or None,
        "needs_level": event.needs_level or None,
        "interests": [interest.slug for interest in event.interests.all()],
        "for_families": event.for_families,
        "min_age": event.min_age,
        "max_age": event.max_age,
        "step_free": event.step_free,
        "childcare": event.childcare,
        "questions": event.questions,
        "ticket_types": [asdict(one) for one in seats.by_type(event)],
        "is_free": event.is_free,
        "price": event.price,
        "series": ids.encode(event.series_id) if event.series_id else None,
        "occurrence": event.original_start or None,
        "room": ids.encode(event.room_id) if event.room_id and in_room else None,
        "mine": {"id": mine.public_id, "status": mine.state, "party_size": mine.party_size} if mine else None,
        "version": event.version,
    }


def series_data(request: Request, meetup: Series, events: Sequence[Event]) -> dict[str, Any]:
    """A meetup with its coming dates."""
    return {
        "id": meetup.public_id,
        "url": request.build_absolute_uri(
            events[0].get_absolute_url() if events else reverse("api_series", args=[meetup.pk])
        ),
        "title": meetup.title,
        "description": meetup.description,
        "starts_at": at(series.moment(meetup.starts_at, meetup.timezone)),
        "timezone": meetup.timezone,
        "minutes": meetup.minutes,
        "rrule": meetup.rrule,
        "rdates": meetup.rdates,
        "exdates": meetup.exdates,
        "skip_holidays": meetup.skip_holidays,
        "capacity": meetup.capacity,
        "occurrences": [
            {
                "event": event.public_id,
                "url": request.build_absolute_uri(event.get_absolute_url()),
                "starts_at": at(event.local_start),
                "state": event.state,
            }
            for event in events
        ],
        "version": meetup.version,
    }
