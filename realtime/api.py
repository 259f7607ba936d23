"""Rooms and their logs for programs. What is said here reaches every open socket, as if it came from one."""

from typing import Any, cast

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime import chat, conversations, fields, frames, ids, people, reading, rooms, writing
from realtime.models import Participant


class RoomSerializer(serializers.Serializer[Participant]):
    """A room as its participant sees it: unread messages are `n` minus `read[1]`."""

    id = serializers.CharField(source="room.public_id")
    url = serializers.SerializerMethodField()
    title = serializers.SerializerMethodField()
    kind = serializers.CharField(source="room.kind")
    link = serializers.SerializerMethodField()
    epoch = serializers.SerializerMethodField()
    head = serializers.IntegerField(source="room.head")
    n = serializers.IntegerField(source="room.n")
    read = serializers.SerializerMethodField()
    mentions = serializers.IntegerField(source="named", help_text="Unread messages that name you.")
    muted = serializers.BooleanField()
    closed = serializers.SerializerMethodField()

    def get_title(self, row: Any) -> str:
        return conversations.title_of(row.room, row.other or "")

    def get_url(self, row: Participant) -> str:
        return f"{settings.PUBLIC_URL}/chat/{row.room.public_id}/"

    def get_link(self, row: Participant) -> str | None:
        return f"{settings.PUBLIC_URL}{row.room.link}" if row.room.link else None

    def get_epoch(self, row: Participant) -> int:
        return int(self.context["epoch"])

    def get_read(self, row: Participant) -> list[int]:
        return [row.read_seq, row.read_n]

    def get_closed(self, row: Participant) -> bool:
        return row.room.closed_at is not None


class ParticipantSerializer(serializers.Serializer[Participant]):
    """Somebody who is in the room."""

    id = serializers.SerializerMethodField()
    name = serializers.CharField(source="member.display_name")
    joined = serializers.IntegerField(source="joined_seq")

    def get_id(self, row: Participant) -> str:
        return ids.encode(row.member_id)


class EntrySerializer(serializers.Serializer[dict[str, Any]]):
    """One entry, as the socket's `entry` frame."""

    type = serializers.CharField()
    room = serializers.CharField()
    seq = serializers.IntegerField()
    n = serializers.IntegerField()
    kind = serializers.CharField()
    author = serializers.DictField(child=serializers.CharField(), allow_null=True)
    at = serializers.DateTimeField()
    body = serializers.DictField(allow_null=True)
    key = serializers.UUIDField(required=False)
    rev = serializers.IntegerField(required=False)


class EntriesSerializer(serializers.Serializer[Any]):
    results = EntrySerializer(many=True)
    more = serializers.BooleanField()


class NewMessageSerializer(serializers.Serializer[Any]):
    key = fields.Uuid(help_text="Made by you: sent again with it, the message is the same one.")
    text = fields.Text(trim_whitespace=False, help_text="At most 4,000 code points.")
    reply_to = fields.Whole(required=False, allow_null=True, min_value=1, max_value=frames.MAX_SEQ)
    language = fields.Language(required=False, allow_blank=True, help_text="BCP 47")
    mentions = serializers.ListField(
        child=fields.PublicId(),
        required=False,
        max_length=frames.MAX_MENTIONS,
        help_text="Whom its @names mean.",
    )


class AfterSerializer(serializers.Serializer[Any]):
    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=frames.MAX_SEQ)
    limit = serializers.IntegerField(
        required=False, default=reading.MAX_PAGE, min_value=1, max_value=reading.MAX_PAGE
    )


class BeforeSerializer(serializers.Serializer[Any]):
    before = serializers.IntegerField(
        required=False, default=frames.MAX_SEQ, min_value=0, max_value=frames.MAX_SEQ
    )
    after = serializers.IntegerField(
        required=False, min_value=0, max_value=frames.MAX_SEQ, help_text="Those right after it instead."
    )
    limit = serializers.IntegerField(
        required=False, default=reading.MAX_HISTORY, min_value=1, max_value=reading.MAX_HISTORY
    )


class _Rooms(generics.GenericAPIView[Participant]):
    """Rooms the caller is in."""

    serializer_class = RoomSerializer
    queryset = Participant.objects.none()

    def get_queryset(self) -> QuerySet[Participant]:
        return conversations.participations(self.request.user)

    def get_serializer_context(self) -> dict[str, Any]:
        is_described = getattr(
            self, "swagger_fake_view", False
        )  # then there is nobody to tell, and no database
        return {**super().get_serializer_context(), "epoch": 0 if is_described else rooms.epoch()}


class RoomList(_Rooms, generics.ListAPIView[Participant]):
    """The rooms you are in."""

    ordering = ("pk",)


class QuietSerializer(serializers.Serializer[Any]):
    muted = fields.Flag(
        required=False, help_text="Whether what is new is counted apart, quietly. Who names you gets through."
    )


class RoomDetail(_Rooms, generics.RetrieveAPIView[Participant]):
    """One room you are in."""

    lookup_field = "room"
    lookup_url_kwarg = "pk"

    @extend_schema(request=QuietSerializer, responses=RoomSerializer, operation_id="rooms_change")
    def patch(self, request: Request, pk: int) -> Response:
        """Make the conversation quiet for you, or not quiet any more."""
        conversations.here(request.user, pk)  # not there before not right
        form = QuietSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if "muted" in form.validated_data:
            conversations.mute(request.user, pk, form.validated_data["muted"])
        return self.get(request, pk=pk)


@extend_schema(parameters=[OpenApiParameter("q", str, description="Part of a name.")])
class ParticipantList(generics.ListAPIView[Participant]):
    """Who is in a room you are in."""

    serializer_class = ParticipantSerializer
    queryset = Participant.objects.none()
    ordering = ("pk",)

    def get_queryset(self) -> QuerySet[Participant]:
        room = rooms.room_for(self.request.user, self.kwargs["pk"])
        here = people.present_in(room, self.request.user)
        if sought := self.request.query_params.get("q", "")[:60].replace("\0", "").strip():
            here = here.filter(member__display_name__icontains=sought)
        return here


def _asked(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The checked query of a request. Raises rest_framework's ValidationError."""
    asked = form(data=request.query_params.dict())
    asked.is_valid(raise_exception=True)
    return cast(dict[str, Any], asked.validated_data)


class Entries(APIView):
    """The log of a room."""

    @extend_schema(parameters=[AfterSerializer], responses=EntriesSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Entries after a seq, ascending: what the socket calls sync."""
        page = reading.entries(request.user, pk, **_asked(AfterSerializer, request))
        return Response({"results": page.rows, "more": page.more})

    @extend_schema(
        request=NewMessageSerializer,
        responses={
            201: EntrySerializer,
            200: OpenApiResponse(EntrySerializer, "The key was known: the same message again."),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Say something."""
        form = NewMessageSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        more = {"reply_to": said.get("reply_to"), "language": said.get("language", "")}
        wish = chat.message(
            request.user, said["text"], said["key"], mentions=said.get("mentions", ()), **more
        )
        entry, is_known = writing.write(pk, wish)
        return Response(reading.frame_of(entry), status=200 if is_known else 201)


class History(APIView):
    """What was said in a room."""

    @extend_schema(parameters=[BeforeSerializer], responses=EntriesSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Messages before a seq, or right after one, in their present state, newest first. `more`: others follow."""
        page = reading.history(request.user, pk, **_asked(BeforeSerializer, request))
        return Response({"results": page.rows, "more": page.more})
