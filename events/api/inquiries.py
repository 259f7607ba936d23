"""Questions to a host over the API: ask, take back, answer to one or to everybody."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.permissions import IsAuthenticatedOrReadOnly
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events import inquiries
from events.access import event_for, may_run
from events.api.answers import Id
from events.api.shapes import at, member_of, reader_of
from events.models import Inquiry
from realtime import fields, ids


class AskIn(serializers.Serializer[Any]):
    """A question to who runs the event."""

    text = fields.Text(max_length=inquiries.MAX_TEXT)


class AnswerIn(serializers.Serializer[Any]):
    """An answer; `public`: question and answer stand on the event's page, the asker unnamed."""

    text = fields.Text(max_length=inquiries.MAX_ANSWER)
    public = fields.Flag(required=False, default=False)


class AsideIn(serializers.Serializer[Any]):
    """Whether a question waits for no answer any more; unsaid, it stays as it is."""

    aside = fields.Flag(required=False)


class InquiryAnswer(serializers.Serializer[Any]):
    """A question. `mine`: the caller asked it. `member` and `name` say who did, to who runs the event alone."""

    id = Id()
    event = Id()
    text = serializers.CharField()
    language = serializers.CharField()
    asked_at = serializers.DateTimeField()
    answer = serializers.CharField()
    answer_language = serializers.CharField()
    answered_at = serializers.DateTimeField(allow_null=True)
    put_aside_at = serializers.DateTimeField(allow_null=True)
    public = serializers.BooleanField()
    mine = serializers.BooleanField()
    member = Id(allow_null=True)
    name = serializers.CharField()


class EventInquiries(generics.ListAPIView[Inquiry]):
    """What is asked about an event."""

    permission_classes = [IsAuthenticatedOrReadOnly]
    ordering = ("asked_at", "pk")

    @extend_schema(responses=InquiryAnswer(many=True), operation_id="inquiries_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Published questions and the caller's own; for who runs the event all of them. The first first."""
        rows = cast("list[Inquiry]", self.paginate_queryset(self.get_queryset()))
        return self.get_paginated_response([_data(request, row, runs=self.runs) for row in rows])

    def get_queryset(self) -> QuerySet[Inquiry]:
        reader = reader_of(self.request)
        event = event_for(reader, self.kwargs["pk"])
        self.runs = may_run(reader, event)
        return inquiries.shown_to(reader, event, runs=self.runs)

    @extend_schema(request=AskIn, responses={201: InquiryAnswer}, operation_id="inquiries_create")
    def post(self, request: Request, pk: int) -> Response:
        """Ask who runs it. The same text while it waits for an answer is one question. 409: closed, too_many. 429: too_fast."""
        event_for(member_of(request), pk)
        data = AskIn(data=request.data)
        data.is_valid(raise_exception=True)
        row = inquiries.ask(member_of(request), pk, data.validated_data["text"])
        return Response(_data(request, row, runs=False), status=status.HTTP_201_CREATED)


class InquiryDetail(APIView):
    """One question."""

    @extend_schema(request=None, responses={204: None}, operation_id="inquiries_withdraw")
    def delete(self, request: Request, pk: int) -> Response:
        """Who asked takes it back, while nobody has answered (409 `closed`). Nothing of it stays."""
        inquiries.withdraw(member_of(request), pk)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=AsideIn, responses=InquiryAnswer, operation_id="inquiries_put_aside")
    def patch(self, request: Request, pk: int) -> Response:
        """Who runs the event puts it aside, or takes it up again. Twice is once. 409 `closed`: it is answered."""
        member = member_of(request)
        row = inquiries.to_answer(member, pk)
        data = AsideIn(data=request.data)
        data.is_valid(raise_exception=True)
        if "aside" in data.validated_data:
            row = inquiries.put_aside(member, pk, aside=data.validated_data["aside"])
        return Response(_data(request, row, runs=True))


class InquiryReply(APIView):
    """The answer to a question."""

    @extend_schema(request=AnswerIn, responses=InquiryAnswer, operation_id="inquiries_answer")
    def put(self, request: Request, pk: int) -> Response:
        """Answer, or put an answer right; with `public` off it leaves the event's page. Who asked is told once."""
        member = member_of(request)
        inquiries.to_answer(member, pk)
        data = AnswerIn(data=request.data)
        data.is_valid(raise_exception=True)
        said = data.validated_data
        row = inquiries.answer(member, pk, said["text"], public=said["public"])
        return Response(_data(request, row, runs=True))


def _data(request: Request, row: Inquiry, *, runs: bool) -> dict[str, Any]:
    reader = reader_of(request)
    return {
        "id": row.public_id,
        "event": ids.encode(row.event_id),
        "text": row.text,
        "language": row.language,
        "asked_at": at(row.asked_at),
        "answer": row.answer,
        "answer_language": row.answer_language,
        "answered_at": at(row.answered_at),
        "put_aside_at": at(row.put_aside_at),
        "public": row.is_public,
        "mine": reader is not None and row.member_id == reader.pk,
        "member": row.member.public_id if runs else None,
        "name": str(row.member) if runs else "",
    }
