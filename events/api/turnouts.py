"""How many came, over the API: rates over several people, for who hosts."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events import turnout
from events.api.answers import EventTurnoutAnswer, HostTurnoutAnswer
from events.api.shapes import member_of
from events.turnout import Turnout


class EventTurnout(APIView):
    """How many of those expected came to an event."""

    @extend_schema(responses=EventTurnoutAnswer, operation_id="events_turnout")
    def get(self, request: Request, pk: int) -> Response:
        """For who runs the event, after it, where its door was used; and of its series. Never of fewer than five people."""
        of_event, of_series = turnout.of_event(member_of(request), pk)
        return Response({"event": _data(of_event), "series": _data(of_series)})


class HostTurnout(APIView):
    """How many of those expected came to what the caller hosts."""

    @extend_schema(responses=HostTurnoutAnswer, operation_id="turnout")
    def get(self, request: Request) -> Response:
        """Over the last twelve months. Never of fewer than five people."""
        together, several = turnout.of_host(member_of(request))
        series = [
            {"id": one.public_id, "title": one.text("title"), **(_data(found) or {})}
            for one, found in several
        ]
        return Response({"all": _data(together), "series": series})


def _data(found: Turnout | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "expected": found.expected,
        "came": found.came,
        "missing_per_cent": found.missing,
        "events": found.events,
    }
