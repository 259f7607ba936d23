"""The door over the API: gates pair, follow the door's log, and send what they scanned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpResponse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from events import board, checkin, gates, tickets
from events.access import event_for, may_door, registration_for
from events.api.answers import CheckInsAnswer, DoorLogAnswer, GateAnswer
from events.api.shapes import IdField, at, member_of
from events.checkin import DeviceClock, Reading
from events.models import Event, Gate, Registration, Scan
from realtime import clock, fields, ids

MOST_SCANS = 500
SLOTS = 16
FAR_MS = 10 * 366 * 86_400_000  # a clock that is ten years off is no clock


SINCE = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1, "default": 0}


class AtGate:
    """Who asks with a gate's token: a device at one door, nobody by name."""

    is_authenticated: ClassVar[bool] = True
    is_active: ClassVar[bool] = True
    pk: ClassVar[None] = None

    def __init__(self, gate: Gate) -> None:
        self.gate = gate


class GateAuthentication(BaseAuthentication):
    """`Authorization: Bearer ecg_…`: a gate's token, good for its own event's door. Stands first in the door's views."""

    def authenticate(self, request: Request) -> tuple[AtGate, Gate] | None:
        """(the device, its gate); None for any other token. Raises AuthenticationFailed when it was closed. One query."""
        scheme, _blank, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip().startswith(gates.TOKEN_PREFIX):
            return None
        gate = gates.gate_for_token(token.strip())
        if gate is None:
            raise exceptions.AuthenticationFailed(
                _("This gate was closed. Pair the phone again with the host's code.")
            )
        return AtGate(gate), gate

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Euregio Circles"'


class GateScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API's description names a gate's token."""

    target_class = GateAuthentication
    name = "gate"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "The token of a paired gate (ecg_…)."}


_members = cast("list[type[BaseAuthentication]]", api_settings.DEFAULT_AUTHENTICATION_CLASSES)


class DoorView(APIView):
    """Open to members and to gates. A gate is not throttled: it is known, and a queue must drain."""

    authentication_classes = [GateAuthentication, *_members]

    def get_throttles(self) -> list[BaseThrottle]:
        return [] if isinstance(self.request.auth, Gate) else list(super().get_throttles())


class PairingIn(serializers.Serializer[Any]):
    """What a phone sends that has scanned the host's pairing QR."""

    pairing = fields.Text(max_length=200)
    name = fields.Text(max_length=gates.NAME_LENGTH, required=False, allow_blank=True, default="")


class CloseIn(serializers.Serializer[Any]):
    """From when on nothing counts that the gate scanned; absent: all of it counts."""

    distrust_from = fields.Moment(required=False, allow_null=True, default=None, default_timezone=UTC)


class ClockIn(serializers.Serializer[Any]):
    """How far the device's clock is behind the server's, and how long it took to ask."""

    offset_ms = fields.Whole(
        required=False, allow_null=True, default=None, min_value=-FAR_MS, max_value=FAR_MS
    )
    rtt_ms = fields.Whole(required=False, allow_null=True, default=None)


class ScanIn(serializers.Serializer[Any]):
    """One scan."""

    id = fields.Uuid()
    code = fields.Text(
        required=False, allow_null=True, allow_blank=True, default="", max_length=2000, trim_whitespace=False
    )
    ticket = fields.Text(
        required=False, allow_null=True, allow_blank=True, default="", max_length=200, trim_whitespace=False
    )
    proof = fields.Text(
        required=False, allow_null=True, allow_blank=True, default="", max_length=200, trim_whitespace=False
    )
    slots = serializers.ListField(
        child=fields.Whole(min_value=0, max_value=SLOTS - 1),
        required=False,
        allow_null=True,
        default=None,
        max_length=SLOTS,
    )
    kind = serializers.ChoiceField(Scan.Kind.choices, required=False, default=Scan.Kind.IN)
    undoes = fields.Uuid(required=False, allow_null=True, default=None)
    scanned_at = fields.Moment(required=False, allow_null=True, default=None, default_timezone=UTC)
    decision = serializers.ChoiceField(
        ["admitted", "refused"], required=False, allow_null=True, allow_blank=True, default=""
    )
    reason = fields.Text(required=False, allow_null=True, allow_blank=True, default="", max_length=40)
    forced = fields.Flag(required=False, default=False)


class CheckInsIn(serializers.Serializer[Any]):
    """An upload. `event` and `gate` (a name) come from members; a gate's token says both by itself."""

    event = IdField(required=False)
    gate = fields.Text(required=False, max_length=gates.NAME_LENGTH)
    clock = ClockIn(required=False, allow_null=True, default=None)
    scans = serializers.ListField(
        child=serializers.JSONField(allow_null=True), min_length=1, max_length=MOST_SCANS
    )


class Gates(APIView):
    """A phone becomes a gate. Who holds the pairing code needs no account."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes = [AllowAny]

    @extend_schema(request=PairingIn, responses={201: GateAnswer}, operation_id="gates_pair")
    def post(self, request: Request) -> Response:
        """The gate and its token, shown this once. The pairing code works once, for two minutes."""
        data = PairingIn(data=request.data)
        data.is_valid(raise_exception=True)
        gate, token = gates.open_gate(data.validated_data["pairing"], data.validated_data["name"])
        told = {"token": token, "event": gate.event.public_id, "gate": gate.public_id, "name": gate.name}
        return Response(told, status=status.HTTP_201_CREATED)


class GateDetail(APIView):
    """One gate."""

    @extend_schema(request=CloseIn, responses={204: None}, operation_id="gates_close")
    def delete(self, request: Request, pk: int) -> Response:
        """Close it; with `distrust_from` its scans from then on count for nothing. A second time changes only that."""
        data = CloseIn(data=request.data)
        data.is_valid(raise_exception=True)
        gates.close_gate(member_of(request), pk, data.validated_data["distrust_from"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class CheckIns(DoorView):
    """Scans arrive, one or a queue of them."""

    @extend_schema(request=CheckInsIn, responses={200: CheckInsAnswer}, operation_id="check_ins")
    def post(self, request: Request) -> Response:
        """Store the scans and answer each with the truth of now. A bad scan never fails the others."""
        data = CheckInsIn(data=request.data)
        data.is_valid(raise_exception=True)
        asked = data.validated_data
        shown = [_reading(item) for item in asked["scans"]]
        readings = [one for one in shown if isinstance(one, Reading)]
        device = DeviceClock((asked["clock"] or {}).get("offset_ms"))
        if isinstance(request.auth, Gate):
            told = checkin.record(request.auth, readings, device)
        else:
            _needs(asked, "event", "gate")
            told = checkin.record_as(member_of(request), asked["event"], asked["gate"], readings, device)
        answers = iter(told.answers)
        results = [
            _answer_data(told.event, next(answers))
            if isinstance(one, Reading)
            else {"id": one, "status": "refused", "reason": "unknown", "slots": []}
            for one in shown
        ]
        return Response(
            {"server_time": _moment(told.event, told.server_time), "cursor": told.cursor, "results": results}
        )


class DoorLog(DoorView):
    """What a gate follows."""

    versioned = True

    @extend_schema(
        parameters=[
            OpenApiParameter("since", SINCE, description="The cursor of the last answer."),
            OpenApiParameter("cards_since", OpenApiTypes.DATETIME),
        ],
        responses={200: DoorLogAnswer},
        operation_id="door_log",
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Keys, revoked serials, sealed cards, the scans after `since`, counts, times. 304 when nothing changed."""
        event = self._event(pk)
        told = board.door_log(event, _since(request), _cards_since(request)) | {"event": event_data(event)}
        tag = board.etag_of(told)
        headers = {"ETag": tag, "Cache-Control": "private, no-store"}
        if tag in request.headers.get("If-None-Match", ""):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        for scan in told["scans"]:
            scan["at"] = _moment(event, scan["at"])
        return Response(told | {"server_time": _moment(event, clock.now())}, headers=headers)

    def _event(self, pk: int) -> Event:
        gate = self.request.auth
        if isinstance(gate, Gate):
            if gate.event_id != pk:
                raise Event.DoesNotExist
            return gate.event
        event = event_for(member_of(self.request), pk)
        if not may_door(member_of(self.request), event):
            raise exceptions.PermissionDenied(_("The door is for the host and those who help there."))
        return event


class TicketPicture(APIView):
    """A ticket's QR, for programs."""

    @extend_schema(responses={(200, "image/svg+xml"): OpenApiTypes.STR}, operation_id="registrations_qr")
    def get(self, request: Request, pk: int) -> HttpResponse:
        """The QR as an SVG. 404 for a registration without places."""
        row = registration_for(member_of(request), pk)
        if not row.is_coming or row.event.starts_at is None:
            raise Registration.DoesNotExist
        return HttpResponse(tickets.svg(tickets.code_of(row)), content_type="image/svg+xml")


_scan = ScanIn()


def _reading(item: Any) -> Reading | str:
    """A scan as the rules know it; a bad one only as its id, to be answered under."""
    try:
        said = _scan.run_validation(item)
    except serializers.ValidationError:
        return str(item.get("id", ""))[:64] if isinstance(item, Mapping) else ""
    return Reading(
        id=UUID(str(said["id"])),
        kind=said["kind"],
        scanned_at=said["scanned_at"],
        code=said["code"] or "",
        ticket=said["ticket"] or "",
        proof=said["proof"] or "",
        slots=None if said["slots"] is None else sum(1 << slot for slot in set(said["slots"])),
        undoes=said["undoes"],
        decision=said["decision"] or "",
        reason=said["reason"] or "",
        forced=said["forced"],
    )


def _needs(asked: Mapping[str, Any], *names: str) -> None:
    missing = {name: [gettext_lazy("This field is required.")] for name in names if not asked.get(name)}
    if missing:
        raise serializers.ValidationError(missing)


def _moment(event: Event, moment: datetime) -> str:
    """RFC 3339 to the millisecond, with the offset of the event's zone."""
    return moment.astimezone(event.zone).isoformat(timespec="milliseconds")


def _answer_data(event: Event, answer: checkin.Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"id": str(answer.id), "status": answer.status}
    if answer.reason:
        told["reason"] = answer.reason
    told["at"] = _moment(event, answer.at) if answer.at else None
    told["slots"] = [_slot_data(event, slot) for slot in answer.slots]
    return told


def _slot_data(event: Event, slot: checkin.SlotAnswer) -> dict[str, Any]:
    told: dict[str, Any] = {"slot": slot.slot, "status": slot.status, "name": slot.name}
    if slot.winner:
        told["winner"] = {
            "scan": str(slot.winner.id),
            "gate": slot.winner_gate,
            "gate_id": ids.encode(slot.winner.gate),
            "at": _moment(event, slot.winner.at),
        }
    return told


def event_data(event: Event) -> dict[str, Any]:
    """The event as a gate needs it: its times, and the rules by which a gate decides alone."""

    def local(moment: datetime | None) -> str | None:
        return at(moment and moment.astimezone(event.zone))

    return {
        "id": event.public_id,
        "title": event.text("title"),
        "state": event.state,
        "timezone": event.timezone,
        "starts_at": local(event.starts_at),
        "ends_at": local(event.ends_at),
        "doors_at": local(event.doors_at),
        "closes_at": local(event.over_at and event.over_at + checkin.CLOSES_AFTER),
        "rules": {"undo_within_s": 120, "future_s": 5},
        "version": event.version,
    }


def _since(request: Request) -> int:
    text = request.query_params.get("since", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise serializers.ValidationError({"since": [_("This is no cursor.")]})
    return int(text)


def _cards_since(request: Request) -> datetime | None:
    text = request.query_params.get("cards_since", "")
    try:
        moment = parse_datetime(text) if text else None
    except ValueError:
        moment = None
    if text and (moment is None or moment.tzinfo is None):
        raise serializers.ValidationError({"cards_since": [_("A time with its offset, please.")]})
    return moment
