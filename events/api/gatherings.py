"""Events and series over the API: find, publish, change, call off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, cast

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.permissions import IsAuthenticatedOrReadOnly
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from community.models import Interest, Place
from community.models.places import towns_within
from events import ending, finding, hosting, rescheduling, undoing
from events.access import event_for, series_for
from events.api.answers import EventAnswer, PreviewAnswer, SeriesAnswer, SeriesChangeAnswer
from events.api.shapes import (
    CancelIn,
    EventIn,
    PreviewIn,
    RestoreIn,
    SeriesChangeIn,
    SeriesIn,
    at,
    events_data,
    member_of,
    reader_of,
    series_data,
)
from events.finding import Wanted
from events.forms import find_town
from events.models import Event, Series
from events.preview import preview
from realtime import fields, ids
from realtime.keyset import Finder
from realtime.problems import etag, expected_version

NEAR_KM, FURTHEST_KM = 20.0, 500.0
FILTERS = [
    OpenApiParameter(
        "from", fields.WHEN_SCHEMA, description="RFC 3339 or a date; without it, what is not over yet"
    ),
    OpenApiParameter("to", fields.WHEN_SCHEMA, description="RFC 3339, or a date with the whole of that day"),
    OpenApiParameter("near", fields.or_empty(fields.POINT_SCHEMA), description="lat,lon in degrees"),
    OpenApiParameter("km", fields.KM_SCHEMA, description="how far from `near` or `place`"),
    OpenApiParameter(
        "place", fields.or_empty(fields.TOWN_SCHEMA), description="a town's id or any of its names"
    ),
    OpenApiParameter("interest", fields.or_empty(fields.INTEREST_SCHEMA), description="slug or id"),
    OpenApiParameter("language", fields.or_empty(fields.LANGUAGE_SCHEMA), description="BCP 47"),
    OpenApiParameter("circle", fields.or_empty(fields.ID_SCHEMA), description="id"),
    OpenApiParameter("family", fields.YES_SCHEMA, description="1: for families"),
    OpenApiParameter("free", fields.YES_SCHEMA, description="1: free of charge"),
    OpenApiParameter("q", str, description="words"),
]


class EventList(generics.ListAPIView[Event]):
    """What is on, and a new event."""

    permission_classes = [IsAuthenticatedOrReadOnly]
    ordering = ("starts_at", "pk")

    @extend_schema(parameters=FILTERS, responses=EventAnswer(many=True), operation_id="events_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Published events the caller may see, the next first. Five queries for any number."""
        find = partial(finding.page_of, reader_of(request), wanted(request.query_params))
        page: Any = self.paginate_queryset(cast("Any", Finder(Event, find)))
        return self.get_paginated_response(events_data(request, page))

    @extend_schema(request=EventIn, responses={201: EventAnswer}, operation_id="events_create")
    def post(self, request: Request) -> Response:
        """Publish a single event."""
        data = EventIn(data=request.data, context={"request": request})
        data.is_valid(raise_exception=True)
        event = hosting.publish(member_of(request), data.plan())
        return _event(request, event.pk, status.HTTP_201_CREATED)


class EventDetail(APIView):
    """One event."""

    versioned = True
    permission_classes = [IsAuthenticatedOrReadOnly]

    @extend_schema(responses=EventAnswer, operation_id="events_read")
    def get(self, request: Request, pk: int) -> Response:
        """Everything about it; `mine` is the caller's registration."""
        return _event(request, pk)

    @extend_schema(request=EventIn(partial=True), responses=EventAnswer, operation_id="events_change")
    def patch(self, request: Request, pk: int) -> Response:
        """Change the fields that are sent. Who registered is told what matters."""
        event = event_for(member_of(request), pk)
        version = expected_version(request)
        data = EventIn(data=request.data, partial=True, context={"request": request})
        data.is_valid(raise_exception=True)
        hosting.change(member_of(request), pk, data.plan(event), version)
        return _event(request, pk)


class EventCancel(APIView):
    """Calling an event off."""

    @extend_schema(request=CancelIn, responses=EventAnswer, operation_id="events_cancel")
    def post(self, request: Request, pk: int) -> Response:
        """Everybody who registered is told `reason`. A second time changes nothing."""
        data = CancelIn(data=request.data)
        data.is_valid(raise_exception=True)
        reason = data.validated_data.get("reason") or ""
        verb = ending.end_from if data.validated_data["scope"] == "following" else hosting.call_off
        verb(member_of(request), pk, reason)
        return _event(request, pk)


class EventRestore(APIView):
    """Taking a call-off back."""

    @extend_schema(
        parameters=[RestoreIn], request=None, responses={200: EventAnswer}, operation_id="events_restore"
    )
    def post(self, request: Request, pk: int) -> Response:
        """Within ten minutes: the event and everybody's places are as they were. A second time changes nothing.

        409: closed (it is not called off), too_late.
        """
        data = RestoreIn(data=request.query_params)
        data.is_valid(raise_exception=True)
        verb = ending.go_on if data.validated_data["scope"] == "following" else undoing.restore
        verb(member_of(request), pk)
        return _event(request, pk)


class SeriesPreview(APIView):
    """The dates of a rule."""

    @extend_schema(request=PreviewIn, responses=PreviewAnswer, operation_id="series_preview")
    def post(self, request: Request) -> Response:
        """The first `limit` dates with what is special about them. Nothing is saved."""
        data = PreviewIn(data=request.data)
        data.is_valid(raise_exception=True)
        found, more = preview(data.rule(), data.validated_data["limit"], host=member_of(request))
        return Response(
            {
                "occurrences": [{"starts_at": at(one.starts_at), "notes": one.notes} for one in found],
                "more": more,
            }
        )


class SeriesList(APIView):
    """New meetups."""

    @extend_schema(request=SeriesIn, responses={201: SeriesAnswer}, operation_id="series_create")
    def post(self, request: Request) -> Response:
        """Publish a meetup; its dates of the next twelve months are events at once."""
        data = SeriesIn(data=request.data, context={"request": request})
        data.is_valid(raise_exception=True)
        plan = data.plan()
        recurrence = data.recurrence(plan["timezone"], plan["starts_at"])
        meetup = hosting.publish_series(member_of(request), plan, recurrence)
        return _series(request, meetup.pk, status.HTTP_201_CREATED)


class SeriesDetail(APIView):
    """One meetup."""

    versioned = "unless dry"

    @extend_schema(responses=SeriesAnswer, operation_id="series_read")
    def get(self, request: Request, pk: int) -> Response:
        """The rule and its coming dates."""
        return _series(request, pk)

    @extend_schema(request=SeriesChangeIn, responses=SeriesChangeAnswer, operation_id="series_change")
    def patch(self, request: Request, pk: int) -> Response:
        """What becomes of each date that becomes different. With `dry_run` nothing is saved, and If-Match may be left out.

        Where somebody is registered for a date that falls away, `reason` must be said; they are told it.
        """
        member = member_of(request)
        meetup = series_for(member, pk)
        data = SeriesChangeIn(data=request.data, context={"request": request})
        is_right = data.is_valid()
        is_dry = is_right and data.validated_data.get("dry_run", False)
        version = None if is_dry and "If-Match" not in request.headers else expected_version(request)
        data.is_valid(raise_exception=True)
        plan, recurrence = data.changes_of(meetup)
        said = data.validated_data
        which = rescheduling.Which(said["scope"], said.get("occurrence"), reason=said["reason"])
        affected = rescheduling.change_series(
            member, pk, which, plan, recurrence=recurrence, version=version, dry_run=is_dry
        )
        answer = [
            {
                "event": one.event.public_id,
                "starts_at": at(one.event.local_start),
                "was": at(one.was and one.was.astimezone(one.event.zone)),
                "registrations": one.registrations,
                "change": one.change,
            }
            for one in affected
        ]
        fresh = Series.objects.get(pk=pk)
        return Response({"affected": answer, "version": fresh.version}, headers={"ETag": etag(fresh.version)})


def _event(request: Request, pk: int, code: int = status.HTTP_200_OK) -> Response:
    event = event_for(reader_of(request), pk)
    return Response(
        events_data(request, [event])[0],
        status=code,
        headers={"ETag": etag(event.version)} | _location(request, event, code),
    )


def _location(request: Request, event: Event, code: int) -> dict[str, str]:
    return (
        {"Location": request.build_absolute_uri(event.get_absolute_url())}
        if code == status.HTTP_201_CREATED
        else {}
    )


def _series(request: Request, pk: int, code: int = status.HTTP_200_OK) -> Response:
    member = member_of(request)
    meetup = series_for(member, pk)
    events = list(Event.objects.visible_to(member).filter(series=meetup).upcoming()[:400])
    return Response(series_data(request, meetup, events), status=code, headers={"ETag": etag(meetup.version)})


def wanted(asked: Mapping[str, str]) -> Wanted:
    """What the query of a list asks for. Raises serializers.ValidationError by parameter. At most four queries."""
    until = _moment("to", asked["to"], at_end=True) if asked.get("to") else None
    language = asked.get("language", "")
    if language and not fields.is_language(language):
        raise serializers.ValidationError({"language": [_("This is no language code.")]})
    try:
        circle = ids.decode(asked["circle"]) if asked.get("circle") else None
    except ValueError:
        raise serializers.ValidationError({"circle": [_("This is no id.")]}) from None
    return Wanted(
        since=_moment("from", asked["from"]) if asked.get("from") else None,
        before=until and until + timedelta.resolution,  # `to` itself is still in it
        shows_past=bool(asked.get("from")),
        towns=_towns(asked),
        interest=_interest(asked["interest"]).pk if asked.get("interest") else None,
        language=language,
        circle=circle,
        for_families=fields.asked_for(asked, "family"),
        is_free=fields.asked_for(asked, "free"),
        words=asked.get("q", "")[:200],
    )


def _towns(asked: Mapping[str, str]) -> tuple[int, ...] | None:
    """The towns that are near or meant; None: wherever it is."""
    towns: tuple[int, ...] | None = None
    try:
        km = float(asked.get("km") or NEAR_KM)
        if not 0 < km <= FURTHEST_KM:
            raise ValueError
    except ValueError:
        raise serializers.ValidationError({"km": [_("A number of kilometres, at most 500.")]}) from None
    if asked.get("near"):
        try:
            lat, lon = (float(part) for part in asked["near"].split(","))
            if not (-90 <= lat <= 90 and -180 <= lon <= 180):
                raise ValueError
        except ValueError:
            raise serializers.ValidationError({"near": [_("lat,lon in degrees, like 50.93,5.34.")]}) from None
        towns = towns_within(lat, lon, km)
    if asked.get("place"):
        text = asked["place"]
        place = (
            Place.objects.filter(pk=int(text[:18])).first()
            if text.isascii() and text.isdigit()
            else find_town(text)
        )
        if place is None:
            raise serializers.ValidationError({"place": [_("There is no such place.")]})
        meant = towns_within(place.lat, place.lon, km) if asked.get("km") else (place.pk,)
        towns = meant if towns is None else tuple(set(towns) & set(meant))
    return towns


def _interest(text: str) -> Interest:
    found = Interest.objects.filter(slug=text).first()
    if found is None:
        try:
            found = Interest.objects.filter(pk=ids.decode(text)).first()
        except ValueError:
            found = None
    if found is None:
        raise serializers.ValidationError({"interest": [_("There is no such interest.")]})
    return found


def _moment(name: str, text: str, *, at_end: bool = False) -> datetime:
    """A moment (UTC) from RFC 3339, or a day from its first or to its last moment on the reader's clock."""
    try:
        if len(text) == 10:
            day = datetime.combine(date.fromisoformat(text), time.max if at_end else time())
            return timezone.make_aware(day).astimezone(UTC)
        moment = parse_datetime(text.replace(" ", "+"))
        if moment is None:
            raise ValueError
        return (moment if moment.tzinfo else timezone.make_aware(moment)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise serializers.ValidationError(
            {name: [_("A date or a moment like 2027-06-01T19:00:00+02:00.")]}
        ) from None
