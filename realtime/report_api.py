"""Reports for programs: make one, read one's own."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from realtime import fields, frames, ids, reports
from realtime.models import Complaint


class ReportSerializer(serializers.Serializer[Complaint]):
    """What you reported, and whether it was dealt with; not how."""

    id = serializers.SerializerMethodField()
    room = serializers.SerializerMethodField()
    seq = serializers.IntegerField(source="report.seq", allow_null=True)
    member = serializers.SerializerMethodField()
    reason = serializers.ChoiceField(choices=[*reports.REASONS])
    text = serializers.CharField()
    at = serializers.DateTimeField()
    state = serializers.SerializerMethodField()

    def get_id(self, row: Complaint) -> str:
        return row.report.public_id

    def get_room(self, row: Complaint) -> str:
        return ids.encode(row.report.room_id)

    def get_member(self, row: Complaint) -> str:
        return ids.encode(row.report.about_id)

    @extend_schema_field({"type": "string", "enum": ["open", "dealt_with"]})
    def get_state(self, row: Complaint) -> str:
        return "open" if row.report.decided_at is None else "dealt_with"


class _NewReportSerializer(serializers.Serializer[Any]):
    room = fields.PublicId(help_text="Id of the room, which you are in.")
    reason = serializers.ChoiceField(choices=[*reports.REASONS])
    text = fields.Text(required=False, allow_blank=True, default="", max_length=reports.MAX_TEXT)


class NewMessageReportSerializer(_NewReportSerializer):
    """A message of the room."""

    seq = fields.Whole(min_value=1, max_value=frames.MAX_SEQ)


class NewPersonReportSerializer(_NewReportSerializer):
    """A person of the room, when no message is meant."""

    member = fields.PublicId(help_text="Id of the person.")


NEW = [NewMessageReportSerializer, NewPersonReportSerializer]


class Reports(generics.ListAPIView[Complaint]):
    """What you reported."""

    serializer_class = ReportSerializer
    queryset = Complaint.objects.none()
    ordering = ("-at", "-pk")

    def get_queryset(self) -> QuerySet[Complaint]:
        return reports.of_reporter(self.request.user)

    @extend_schema(
        request=PolymorphicProxySerializer("NewReport", NEW, resource_type_field_name=None),
        responses={201: ReportSerializer},
        operation_id="reports_create",
    )
    def post(self, request: Request) -> Response:
        """Report a message or a person. Reported before and not dealt with yet: your report is changed."""
        form = NEW["seq" not in request.data](data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        how = (asked["reason"], asked["text"])
        if "seq" in asked:
            made = reports.report_message(request.user, asked["room"], asked["seq"], *how)
        else:
            made = reports.report_person(request.user, asked["room"], asked["member"], *how)
        return Response(ReportSerializer(made).data, status=201)


class ReportDetail(generics.RetrieveAPIView[Complaint]):
    """One thing you reported."""

    serializer_class = ReportSerializer
    queryset = Complaint.objects.none()
    lookup_field = "report"
    lookup_url_kwarg = "pk"

    def get_queryset(self) -> QuerySet[Complaint]:
        return reports.of_reporter(self.request.user)
