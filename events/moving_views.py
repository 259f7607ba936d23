"""The page on which a party moves to another date."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from events import ages, moving, seats
from events.access import may_run, registration_for
from events.models import Event
from events.views import member_of
from realtime import ids

MOST = 40


@login_required
@require_http_methods(["GET", "POST"])
def registration_move(request: HttpRequest, pk: int) -> HttpResponse:
    """Choose where the party goes. At most twelve queries for any number of dates."""
    member = member_of(request)
    row = registration_for(member, pk)
    is_mine = row.member_id == member.pk
    if not is_mine and not may_run(member, row.event):
        raise PermissionDenied(_("Only who registered can change the party."))
    status = 200
    chosen = _chosen(request) if request.method == "POST" else None
    if chosen is not None and "sure" in request.POST:
        try:
            new = moving.move(member, pk, chosen)
        except ValidationError as refused:
            messages.error(request, refused.messages[0])
            status = 409
        else:
            if is_mine:
                messages.success(request, _("You come on another date now. This is your new ticket."))
                return redirect("registration", new.pk)
            if new.has_no_address:
                messages.success(
                    request, _("They come on another date now. Tell them, and show this new ticket.")
                )
                return redirect("registration", new.pk)
            messages.success(request, _("They come on another date now, and are told by mail."))
            return redirect("guests", row.event_id)
    events = list(moving.targets(member, row).for_list()[:MOST]) if moving.is_movable(row) else []
    places = seats.places_of(events)
    runs = may_run(member, row.event)
    choices = [
        (event, runs or _is_open(event), _has_room(places[event.pk], row.party_size)) for event in events
    ]
    series, asked = row.event.series_id, next((event for event in events if event.pk == chosen), None)
    children = row.attendees.filter(is_live=True, age__isnull=False).select_related("child").order_by("slot")
    context = {
        "nav": "events",
        "registration": row,
        "event": row.event,
        "is_mine": is_mine,
        "choices": [one for one in choices if series and one[0].series_id == series],
        "others": [one for one in choices if not series or one[0].series_id != series],
        "asked": asked,
        "left_out": ages.left_out(asked, children) if asked else [],
        "ages": ages.for_whom(asked) if asked else "",
    }
    return render(request, "events/move.html", context, status=status)


def _is_open(event: Event) -> bool:
    """Who comes may move there without asking anybody."""
    return not (event.is_not_open_yet or event.is_closed or event.by_approval)


def _has_room(places: seats.Places, n: int) -> bool:
    return not places.waiting and (places.left is None or places.left >= n)


def _chosen(request: HttpRequest) -> int:
    try:
        return ids.decode(request.POST.get("event", ""))
    except ValueError:
        raise Event.DoesNotExist from None
