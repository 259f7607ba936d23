"""The bell for programs: what the caller was told, the newest first; read, and taken away."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime import bell, fields
from realtime.bell import Told
from realtime.models import Notification


class NotificationSerializer(serializers.Serializer[Told]):
    """What you were told, in words of your language as it is now. Show a `kind` you do not know by its text."""

    id = serializers.CharField(source="row.public_id")
    url = serializers.SerializerMethodField(help_text="The page it leads to.")
    kind = serializers.CharField(source="row.kind")
    text = serializers.CharField(help_text="What happened, on one line.")
    more = serializers.CharField(help_text="More about it, such as when it is; empty where there is nothing.")
    quote = serializers.CharField(
        help_text="What somebody wrote with it, in their language: a letter, a reason."
    )
    at = serializers.DateTimeField(source="row.created_at")
    read = serializers.SerializerMethodField(help_text="Whether you have read it, or opened its page.")

    def get_url(self, one: Told) -> str:
        return f"{settings.PUBLIC_URL}{one.row.link}"

    def get_read(self, one: Told) -> bool:
        return one.row.read_at is not None


@extend_schema_serializer(many=False)
class NotificationPageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = NotificationSerializer(many=True)
    unread = serializers.IntegerField(help_text="How many you have not read, on all pages.")


class ReadSerializer(serializers.Serializer[Any]):
    read = fields.Flag(
        required=False, help_text="true: you have read it. false changes nothing: what was read stays read."
    )


class Notifications(generics.GenericAPIView[Notification]):
    """Your notifications."""

    serializer_class = NotificationPageSerializer
    queryset = Notification.objects.none()
    ordering = ("-created_at", "-pk")

    def get_queryset(self) -> QuerySet[Notification]:
        return bell.of(self.request.user)

    @extend_schema(responses=NotificationPageSerializer, operation_id="notifications_list")
    def get(self, request: Request) -> Response:
        """What you were told, the newest first, and how many of all you have not read. At most four queries."""
        rows = self.paginate_queryset(self.get_queryset()) or []
        member: Any = request.user
        shown = [NotificationSerializer(one).data for one in bell.told(member, rows)]
        answer = self.get_paginated_response(shown)
        answer.data["unread"] = bell.counts([member.pk])[0]
        return answer


class NotificationsRead(APIView):
    """All of your notifications at once."""

    @extend_schema(request=None, responses={204: None}, operation_id="notifications_read_all")
    def post(self, request: Request) -> Response:
        """You have read everything. Again: nothing happens."""
        bell.read_all(request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class NotificationDetail(APIView):
    """One of your notifications."""

    @extend_schema(
        request=ReadSerializer, responses=NotificationSerializer, operation_id="notifications_read"
    )
    def patch(self, request: Request, pk: int) -> Response:
        """You have read it. Again: nothing happens."""
        row = bell.of(request.user).get(pk=pk)  # not there before not right
        form = ReadSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if form.validated_data.get("read"):
            row = bell.read(request.user, pk)
        return Response(NotificationSerializer(bell.told(request.user, [row])[0]).data)

    @extend_schema(request=None, responses={204: None}, operation_id="notifications_remove")
    def delete(self, request: Request, pk: int) -> Response:
        """Take it away. There is none of that id, or it is not yours: nothing happens."""
        bell.remove(request.user, pk)
        return Response(status=status.HTTP_204_NO_CONTENT)
