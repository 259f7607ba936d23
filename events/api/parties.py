"""Registrations over the API: a party comes, changes, answers an offer, cancels."""

from __future__ import annotations

from typing import Any, cast

from allauth.core import ratelimit
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, prefetch_related_objects
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events import approval, by_hand, guests, moving, registration, reminding, waiting
from events.access import event_for, may_run, registration_for
from events.api.answers import AskedAnswer, RegistrationAnswer
from events.api.party_shapes import (
    AddressIn,
    GuestPartyIn,
    MoveIn,
    NewPartyIn,
    PartyIn,
    StillIn,
    TurnDownIn,
    registration_data,
)
from events.api.shapes import member_of
from events.models import Registration
from events.questions import Given
from realtime.problems import etag, expected_version


class EventRegistrations(generics.ListAPIView[Registration]):
    """Who comes to an event."""

    ordering = ("created_at", "pk")

    @extend_schema(responses=RegistrationAnswer(many=True), operation_id="registrations_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """For who runs the event: its registrations, the first first, without their tickets."""
        rows = cast("list[Registration]", self.paginate_queryset(self.get_queryset()))
        shown = [registration_data(request, row, with_ticket=False) for row in rows]
        return self.get_paginated_response(shown)

    def get_queryset(self) -> QuerySet[Registration]:
        member = member_of(self.request)
        event = event_for(member, self.kwargs["pk"])
        if not may_run(member, event):
            raise PermissionDenied(_("Only who hosts the event sees who comes."))
        return (
            event.registrations.live()
            .select_related("event", "member", "answers")
            .prefetch_related("attendees")
        )

    @extend_schema(
        request=NewPartyIn, responses={201: RegistrationAnswer}, operation_id="registrations_create"
    )
    def post(self, request: Request, pk: int) -> Response:
        """Register a party, all or nothing. 409: full, closed, already_registered, too_late.

        With `guest`, who runs the event (others: 403) puts a party on its list, also while registration is closed. With an
        address it is that guest's, or that member's, who is told by mail; without one the caller changes and cancels it.
        """
        member = member_of(request)
        data = NewPartyIn(data=request.data)
        data.is_valid(raise_exception=True)
        wait = data.validated_data["wait"]
        if guest := data.by_hand():
            first, *others = data.people()
            made = by_hand.add(member, pk, guest, others, ticket=first.ticket_type, wait=wait)
        else:
            made = registration.register(
                member, pk, data.people(), wait=wait, given=data.given() or Given({})
            )
        return _answer(request, made, status.HTTP_201_CREATED)


class RegistrationDetail(APIView):
    """One registration."""

    versioned = True

    @extend_schema(responses=RegistrationAnswer, operation_id="registrations_read")
    def get(self, request: Request, pk: int) -> Response:
        """The party and its ticket."""
        return _registration(request, pk)

    @extend_schema(request=PartyIn, responses=RegistrationAnswer, operation_id="registrations_change")
    def patch(self, request: Request, pk: int) -> Response:
        """Make the party what is sent; it grows only if it fits. One without an address is changed by who runs the event."""
        member = member_of(request)
        row = registration_for(member, pk)
        version = expected_version(request)
        data = PartyIn(data=request.data)
        data.is_valid(raise_exception=True)
        people, wait = data.people(), data.validated_data["wait"]
        if row.has_no_address:
            by_hand.change(member, pk, people, version=version)
        else:
            registration.change_party(member, pk, people, version=version, wait=wait, given=data.given())
        return _registration(request, pk)

    @extend_schema(request=None, responses={204: None}, operation_id="registrations_cancel")
    def delete(self, request: Request, pk: int) -> Response:
        """Cancel; one without an address, by who runs the event. A second time changes nothing."""
        member = member_of(request)
        cancel = by_hand.cancel if registration_for(member, pk).has_no_address else registration.cancel
        cancel(member, pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RegistrationMove(APIView):
    """Another date instead."""

    @extend_schema(request=MoveIn, responses={201: RegistrationAnswer}, operation_id="registrations_move")
    def post(self, request: Request, pk: int) -> Response:
        """The whole party moves to another date of the series, or between two events that the caller runs: a new
        registration with a ticket of its own; the old one is cancelled. 409: full, closed, already_registered, too_late.
        """
        member = member_of(request)
        registration_for(member, pk)
        data = MoveIn(data=request.data)
        data.is_valid(raise_exception=True)
        made = moving.move(member, pk, data.validated_data["event"])
        return _answer(request, made, status.HTTP_201_CREATED)


class OfferAccept(APIView):
    """The places that the waiting list offers: take them."""

    @extend_schema(request=None, responses={200: RegistrationAnswer}, operation_id="registrations_accept")
    def post(self, request: Request, pk: int) -> Response:
        """A second time changes nothing. 409: closed (nothing is offered), too_late (the offer has ended)."""
        waiting.accept(member_of(request), pk)
        return _registration(request, pk)


class OfferDecline(APIView):
    """The places that the waiting list offers: leave them to the next."""

    @extend_schema(request=None, responses={200: RegistrationAnswer}, operation_id="registrations_decline")
    def post(self, request: Request, pk: int) -> Response:
        """A second time changes nothing. 409: closed (nothing is offered)."""
        waiting.decline(member_of(request), pk)
        return _registration(request, pk)


class StillComing(APIView):
    """Where the host asks whether one still comes."""

    @extend_schema(
        request=StillIn, responses={200: RegistrationAnswer}, operation_id="registrations_still_coming"
    )
    def post(self, request: Request, pk: int) -> Response:
        """Still coming; with `comes` false the places are given back, whatever the deadline. A second time changes nothing.
        409: closed (they do not come), too_late.
        """
        member = member_of(request)
        registration_for(member, pk)
        data = StillIn(data=request.data)
        data.is_valid(raise_exception=True)
        reminding.answer(member, pk, comes=data.validated_data["comes"])
        return _registration(request, pk)


class Guests(APIView):
    """Come without an account. Open to everybody: who somebody is, the mail's link says."""

    permission_classes = [AllowAny]

    @extend_schema(request=GuestPartyIn, responses={202: AskedAnswer}, operation_id="guests_ask")
    def post(self, request: Request, pk: int) -> Response:
        """A mail goes to the address, and the party comes once its link was followed. The answer is the same for every
        address, and asked twice it is one party. 409: full, closed, too_late, too_fast.
        """
        event_for(None, pk)
        data = GuestPartyIn(data=request.data)
        data.is_valid(raise_exception=True)
        _must_not_be_too_fast(request)
        first, *others = data.people()
        guests.ask(pk, data.asking(), others, data.given() or Given({}), first.ticket_type)
        return Response({"detail": _("Look into your mail")}, status=status.HTTP_202_ACCEPTED)


class GuestsAgain(APIView):
    """The mail with the link of a guest was lost."""

    permission_classes = [AllowAny]

    @extend_schema(request=AddressIn, responses={202: AskedAnswer}, operation_id="guests_again")
    def post(self, request: Request, pk: int) -> Response:
        """The link goes out again where the address is registered, also when the event is full or registration has closed.
        The answer is the same for every address.
        """
        event_for(None, pk)
        data = AddressIn(data=request.data)
        data.is_valid(raise_exception=True)
        _must_not_be_too_fast(request)
        guests.send_again(pk, data.validated_data["email"])
        return Response({"detail": _("Look into your mail")}, status=status.HTTP_202_ACCEPTED)


def _must_not_be_too_fast(request: Request) -> None:
    """As on the page: so many mails to addresses that somebody typed, and no more. Raises Throttled."""
    if not ratelimit.consume(request._request, action="guest"):
        raise Throttled(wait=3600)


class PartyApprove(APIView):
    """A party that asks to come, where who runs the event says who does: yes."""

    @extend_schema(request=None, responses={200: RegistrationAnswer}, operation_id="registrations_approve")
    def post(self, request: Request, pk: int) -> Response:
        """Confirmed, or in the line when it is full. A second time changes nothing. 409: full, closed, too_late."""
        approval.approve(member_of(request), pk)
        return _registration(request, pk)


class PartyTurnDown(APIView):
    """A party that asks, waits or comes: no."""

    @extend_schema(
        request=TurnDownIn, responses={200: RegistrationAnswer}, operation_id="registrations_turn_down"
    )
    def post(self, request: Request, pk: int) -> Response:
        """Its places go to the next in line. A second time changes nothing. 409: closed, too_late."""
        data = TurnDownIn(data=request.data)
        data.is_valid(raise_exception=True)
        approval.turn_down(member_of(request), pk, data.validated_data["text"])
        return _registration(request, pk)


def _registration(request: Request, pk: int) -> Response:
    row = registration_for(member_of(request), pk)
    prefetch_related_objects([row], "attendees")
    return _answer(request, row)


def _answer(request: Request, row: Registration, code: int = status.HTTP_200_OK) -> Response:
    return Response(registration_data(request, row), status=code, headers={"ETag": etag(row.version)})
