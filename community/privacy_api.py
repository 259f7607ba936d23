"""One's own data for programs: ask for a copy, see how far it is, take it along."""

from typing import cast

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from community import exports
from community.models import Export, Member
from community.privacy_views import file_of


def _me(request: Request) -> Member:
    return cast(Member, request.user)


class AskedSerializer(serializers.Serializer[Export]):
    """What was asked for, to be looked at under `jobs/`."""

    job = serializers.CharField(source="public_id")


class JobSerializer(serializers.Serializer[Export]):
    """How far it is; `url` is there when it is done."""

    id = serializers.CharField(source="public_id")
    state = serializers.ChoiceField(choices=Export.State.choices)
    progress = serializers.IntegerField()
    url = serializers.SerializerMethodField()

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_url(self, export: Export) -> str | None:
        if export.state != Export.State.DONE:
            return None
        path = f"/api/v1/jobs/{export.public_id}/file/"
        return str(cast("Request", self.context["request"]).build_absolute_uri(path))


class ExportAsked(APIView):
    """A copy of everything about the caller."""

    @extend_schema(request=None, responses={202: AskedSerializer}, operation_id="me_export")
    def post(self, request: Request) -> Response:
        """Ask for it; while one is under way or fresh, it is that one."""
        export = exports.ask(_me(request))
        where = request.build_absolute_uri(f"/api/v1/jobs/{export.public_id}/")
        return Response(AskedSerializer(export).data, status.HTTP_202_ACCEPTED, headers={"Location": where})


class Job(APIView):
    """Something of the caller's that takes a while."""

    @extend_schema(responses=JobSerializer, operation_id="jobs_read")
    def get(self, request: Request, pk: int) -> Response:
        """State and progress in per cent."""
        export = exports.export_for(_me(request), pk)
        return Response(JobSerializer(export, context={"request": request}).data)


class JobFile(APIView):
    """What came of it."""

    @extend_schema(
        responses={(200, "application/zip"): OpenApiResponse(OpenApiTypes.BINARY)}, operation_id="jobs_file"
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """The file: data.json and data.html in a zip, for a week."""
        return file_of(exports.export_for(_me(request), pk))
