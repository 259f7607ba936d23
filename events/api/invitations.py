"""Invitations over the API: who runs an event invites and sees what came of it; who is invited answers."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from community.models import Centre, Member
from events import invited, inviting
from events.access import event_for, invitation_for, may_run
from events.addresses import MAX_TEXT
from events.api.answers import Id
from events.api.shapes import IdField, at, member_of
from events.models import Event, Invitation
from realtime import fields, ids


class InviteIn(serializers.Serializer[Any]):
    """Whom to invite: addresses, a circle the caller is in, who came to an earlier event of theirs. All or nothing; who names nobody invites nobody."""

    emails = serializers.ListField(
        child=fields.Text(max_length=400), required=False, default=list, max_length=inviting.AT_MOST
    )
    circle = IdField(required=False, allow_null=True)
    event = IdField(required=False, allow_null=True)
    language = fields.Language(required=False)

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        if len("\n".join(said["emails"])) > MAX_TEXT:
            raise serializers.ValidationError({"emails": [_("That is too much at once.")]})
        return said


class InvitedAnswer(serializers.Serializer[Any]):
    """`added`: so many are invited who were not before. Whether a mail goes out to somebody is not told."""

    added = serializers.IntegerField()


class AgainAnswer(serializers.Serializer[Any]):
    """`asked`: so many have not answered and get one more mail."""

    asked = serializers.IntegerField()


class InvitationAnswer(serializers.Serializer[Any]):
    """An invitation as who runs the event sees it. `email` is null but for who wrote it down."""

    id = Id()
    event = Id()
    name = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    member = Id(allow_null=True)
    status = serializers.ChoiceField(inviting.STATES)
    invited_at = serializers.DateTimeField()
    asked_again_at = serializers.DateTimeField(allow_null=True)


class MyInvitationAnswer(serializers.Serializer[Any]):
    """An invitation of the caller's that they have not answered."""

    id = Id()
    event = Id()
    url = serializers.URLField()
    title = serializers.CharField()
    starts_at = serializers.DateTimeField(allow_null=True)
    invited_by = serializers.CharField(allow_null=True)


class DeclineIn(serializers.Serializer[Any]):
    """No, thank you. `stop`: the centre of this event shall not invite the caller any more."""

    stop = fields.Flag(required=False, default=False)


class CentreStopAnswer(serializers.Serializer[Any]):
    """A centre that may not invite the caller."""

    id = Id()
    name = serializers.CharField()


class EventInvitations(generics.ListAPIView[Invitation]):
    """Who is invited to an event."""

    ordering = ("invited_at", "pk")

    @extend_schema(responses=InvitationAnswer(many=True), operation_id="invitations_of_event")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """For who runs the event: its invitations, the first first, and what came of each."""
        member, event = member_of(request), _run_by(member_of(request), self.kwargs["pk"])
        rows = cast("list[Invitation]", self.paginate_queryset(inviting.rows_for(event, member)))
        return self.get_paginated_response([_asked(one) for one in inviting.seen_by(member, event, rows)])

    def get_queryset(self) -> QuerySet[Invitation]:
        return Invitation.objects.none()

    @extend_schema(request=InviteIn, responses={201: InvitedAnswer}, operation_id="invitations_create")
    def post(self, request: Request, pk: int) -> Response:
        """Invite people, each once: who is invited already gets no second mail. 409: closed, full. 429: too_fast."""
        member = member_of(request)
        _run_by(member, pk)
        data = InviteIn(data=request.data)
        data.is_valid(raise_exception=True)
        said, n = data.validated_data, 0
        with transaction.atomic():
            if said["emails"]:
                n += inviting.invite_addresses(
                    member, pk, "\n".join(said["emails"]), said.get("language", "")
                )
            if said.get("circle"):
                n += inviting.invite_circle(member, pk, said["circle"])
            if said.get("event"):
                n += inviting.invite_past(member, pk, said["event"])
        return Response({"added": n}, status=status.HTTP_201_CREATED)


class EventInvitationsAgain(APIView):
    """Asking once more."""

    @extend_schema(request=None, responses={200: AgainAnswer}, operation_id="invitations_again")
    def post(self, request: Request, pk: int) -> Response:
        """One more mail to who has not answered, once each. A second time: nobody. 409: closed."""
        return Response({"asked": inviting.ask_again(member_of(request), pk)})


class InvitationList(generics.ListAPIView[Invitation]):
    """To what the caller is invited."""

    ordering = ("event__starts_at", "pk")

    @extend_schema(responses=MyInvitationAnswer(many=True), operation_id="invitations_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The caller's invitations to events to come that they have not answered, the next first."""
        rows = cast("list[Invitation]", self.paginate_queryset(self.get_queryset()))
        return self.get_paginated_response([_mine(request, row) for row in rows])

    def get_queryset(self) -> QuerySet[Invitation]:
        return invited.open_to(member_of(self.request))


class InvitationDetail(APIView):
    """One invitation, for who runs its event."""

    @extend_schema(request=None, responses={204: None}, operation_id="invitations_withdraw")
    def delete(self, request: Request, pk: int) -> Response:
        """Withdraw it. Who comes already still does. A second time changes nothing."""
        inviting.withdraw(member_of(request), pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InvitationRestore(APIView):
    """An invitation that was withdrawn."""

    @extend_schema(request=None, responses={204: None}, operation_id="invitations_restore")
    def post(self, request: Request, pk: int) -> Response:
        """It stands again; nobody gets a second mail. A second time changes nothing."""
        inviting.restore(member_of(request), pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InvitationDecline(APIView):
    """No, thank you."""

    @extend_schema(request=DeclineIn, responses={204: None}, operation_id="invitations_decline")
    def post(self, request: Request, pk: int) -> Response:
        """The caller hears no more of this event; coming after all stays open. A second time changes nothing."""
        row = invitation_for(member_of(request), pk)
        data = DeclineIn(data=request.data)
        data.is_valid(raise_exception=True)
        (invited.stop if data.validated_data["stop"] else invited.decline)(row)
        return Response(status=status.HTTP_204_NO_CONTENT)


class StopList(generics.ListAPIView[Centre]):
    """Centres that may not invite the caller."""

    ordering = ("name", "pk")

    @extend_schema(responses=CentreStopAnswer(many=True), operation_id="invitation_stops_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """By name."""
        rows = cast("list[Centre]", self.paginate_queryset(self.get_queryset()))
        return self.get_paginated_response([{"id": one.public_id, "name": one.name} for one in rows])

    def get_queryset(self) -> QuerySet[Centre]:
        return invited.stopped_by(member_of(self.request))


class StopDetail(APIView):
    """Whether a centre (its id) may invite the caller."""

    @extend_schema(request=None, responses={204: None}, operation_id="invitation_stops_set")
    def put(self, request: Request, pk: int) -> Response:
        """It may not. A second time changes nothing."""
        invited.stop_centre(member_of(request), pk)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={204: None}, operation_id="invitation_stops_unset")
    def delete(self, request: Request, pk: int) -> Response:
        """It may again. A second time changes nothing."""
        invited.allow_centre(member_of(request), pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _run_by(member: Member, pk: int) -> Event:
    event = event_for(member, pk)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can invite people to it."))
    return event


def _asked(one: inviting.Asked) -> dict[str, Any]:
    row = one.row
    return {
        "id": row.public_id,
        "event": ids.encode(row.event_id),
        "name": one.name,
        "email": one.email or None,
        "member": ids.encode(row.member_id) if row.member_id else None,
        "status": one.status,
        "invited_at": at(row.invited_at),
        "asked_again_at": at(row.again_at),
    }


def _mine(request: Request, row: Invitation) -> dict[str, Any]:
    event = row.event
    return {
        "id": row.public_id,
        "event": event.public_id,
        "url": request.build_absolute_uri(event.get_absolute_url()),
        "title": event.title,
        "starts_at": at(event.local_start),
        "invited_by": str(row.invited_by) if row.invited_by else None,
    }
