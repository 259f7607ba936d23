"""Calendars as addresses: of an event, a circle, a centre, and a member's own."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from community.models import Centre, Circle
from events import calendars
from events.access import event_for
from events.models import Event
from events.views import member_of, reader_of


@login_required
@require_POST
def calendar_new_address(request: HttpRequest) -> HttpResponse:
    """Another address for the reader's own calendar, for when the old one got into other hands."""
    calendars.new_feed(member_of(request))
    messages.success(request, _("Your calendar has a new address. The old one opens nothing any more."))
    return redirect("my_events")


@require_GET
def event_ics(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One event as a calendar file, in the reader's language."""
    event = event_for(reader_of(request), pk)
    if event.starts_at is None:
        raise Event.DoesNotExist
    return _calendar(request, calendars.feed_of(event, (get_language() or "")[:2]), f"{event.public_id}.ics")


@require_GET
def circle_ics(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The public events of a circle, to subscribe to."""
    circle = Circle.objects.open_to(reader_of(request)).get(slug=slug)
    return _calendar(request, calendars.of_circle(circle), f"{slug}.ics")


@require_GET
def centre_ics(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The public events of a centre, to subscribe to."""
    return _calendar(request, calendars.of_centre(Centre.objects.get(slug=slug)), f"{slug}.ics")


@require_GET
def member_ics(request: HttpRequest, token: str) -> HttpResponseBase:
    """A member's own events. Whoever knows the address may read it: that is how calendar programs subscribe."""
    response = _calendar(
        request, calendars.of_member(calendars.member_for_feed(token)), "euregio-circles.ics"
    )
    response["Cache-Control"] = "private, no-cache"
    return response


def _calendar(request: HttpRequest, feed: calendars.Feed, name: str) -> HttpResponseBase:
    """The feed, or 304 for who has it already. One query, two for who has another one."""
    known = request.headers.get("If-None-Match", "")
    tags = [part.strip().removeprefix("W/") for part in known.split(",") if part.strip()]
    response: HttpResponse
    if tags and (tag := feed.etag()) in tags:
        response = HttpResponse(status=304)
    else:
        content, tag = feed.content()
        response = HttpResponse(content, content_type="text/calendar; charset=utf-8")
        response["Content-Disposition"] = f'inline; filename="{name}"'
    response["ETag"] = tag
    return response
