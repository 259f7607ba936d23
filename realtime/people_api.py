"""People of talk for programs: quiet, leaving and coming back, asking somebody to talk, blocks."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime import blocks, conversations, direct, fields, ids
from realtime.models import Block, TalkRequest


class TalkSerializer(serializers.Serializer[Any]):
    """`asked`: wait, whatever becomes of it; `open`: the room of the two is there."""

    state = serializers.ChoiceField(choices=["asked", "open"])
    room = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)


def _talk(room_id: int | None) -> dict[str, Any]:
    if room_id is None:
        return {"state": "asked", "room": None, "url": None}
    public = ids.encode(room_id)
    return {"state": "open", "room": public, "url": f"{settings.PUBLIC_URL}/chat/{public}/"}


class Talk(APIView):
    """Direct talk with somebody."""

    @extend_schema(
        request=None,
        responses={
            201: TalkSerializer,
            200: OpenApiResponse(TalkSerializer, "There is a room of the two already."),
        },
        operation_id="talk_ask",
    )
    def post(self, request: Request, pk: int) -> Response:
        """Ask somebody you share a room with to talk. 429 `too_fast`: too many of your requests wait for an answer."""
        talk = direct.ask(request.user, pk)
        return Response(_talk(talk.room_id), status=201 if talk.room_id is None else 200)


class TalkRequestSerializer(serializers.Serializer[TalkRequest]):
    """Somebody asks you to talk."""

    id = serializers.CharField(source="public_id")
    member = serializers.SerializerMethodField()
    name = serializers.CharField(source="asker.display_name")
    asked_at = serializers.DateTimeField()

    def get_member(self, row: TalkRequest) -> str:
        return ids.encode(row.asker_id)


class TalkRequests(generics.ListAPIView[TalkRequest]):
    """Who asks you to talk and waits for your answer."""

    serializer_class = TalkRequestSerializer
    queryset = TalkRequest.objects.none()
    ordering = ("asked_at", "pk")

    def get_queryset(self) -> QuerySet[TalkRequest]:
        return direct.requests_to(self.request.user)


class TalkAccept(APIView):
    """A request to talk, answered with yes."""

    @extend_schema(request=None, responses=TalkSerializer, operation_id="talk_accept")
    def post(self, request: Request, pk: int) -> Response:
        """Say yes: the room of the two. Again: the same room. 409 `closed`: declined, or older than thirty days."""
        return Response(_talk(direct.accept(request.user, pk).pk))


class TalkDecline(APIView):
    """A request to talk, answered with no."""

    @extend_schema(request=None, responses={204: None}, operation_id="talk_decline")
    def post(self, request: Request, pk: int) -> Response:
        """Say no: who asked is told nothing. Again: nothing happens."""
        direct.decline(request.user, pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Me(APIView):
    """Yourself in a room."""

    @extend_schema(request=None, responses={204: None}, operation_id="rooms_come_back")
    def put(self, request: Request, pk: int) -> Response:
        """Come back into a conversation you stepped out of. Who is in it: nothing happens."""
        conversations.come_back(request.user, pk)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={204: None}, operation_id="rooms_step_out")
    def delete(self, request: Request, pk: int) -> Response:
        """Step out of a conversation and stay in what it belongs to. 409 `cannot_leave`: a household's, a direct one."""
        conversations.step_out(request.user, pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


class BlockSerializer(serializers.Serializer[Block]):
    """Somebody you have blocked."""

    member = serializers.SerializerMethodField()
    name = serializers.CharField(source="blocked.display_name")
    since = serializers.DateTimeField(source="created_at")

    def get_member(self, row: Block) -> str:
        return ids.encode(row.blocked_id)


class NewBlockSerializer(serializers.Serializer[Any]):
    member = fields.PublicId(help_text="Id of the member to block.")


class Blocks(generics.ListAPIView[Block]):
    """Whom you have blocked."""

    serializer_class = BlockSerializer
    queryset = Block.objects.none()
    ordering = ("-pk",)

    def get_queryset(self) -> QuerySet[Block]:
        return blocks.of(self.request.user)

    @extend_schema(
        request=NewBlockSerializer,
        responses={201: BlockSerializer},
        operation_id="blocks_create",
    )
    def post(self, request: Request) -> Response:
        """Block somebody you have met here: you two hear nothing of each other. They are not told. Again: the same block."""
        form = NewBlockSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        other_id = form.validated_data["member"]
        direct.block(request.user, other_id)
        row = blocks.of(request.user).get(blocked=other_id)
        return Response(BlockSerializer(row).data, status=201)


class BlockDetail(APIView):
    """One block of yours, named by the member."""

    @extend_schema(request=None, responses={204: None}, operation_id="blocks_end")
    def delete(self, request: Request, pk: int) -> Response:
        """Take the block away. There is none: nothing happens."""
        direct.unblock(request.user, pk)
        return Response(status=status.HTTP_204_NO_CONTENT)
