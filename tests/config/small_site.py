"""A site of a few views, enough to see what the roof does around any view."""

import threading
from typing import Any, ClassVar

from django.contrib.auth import get_user
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import include, path
from django.utils import timezone, translation
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from community.models import Member, Place
from community.sign_ins import issue_token
from config import api, health
from realtime import problems
from realtime.models import Room

REFUSALS: dict[str, Exception] = {
    "full": ValidationError("All places are taken.", code="full"),
    "fields": ValidationError({"title": ["Too short.", "No title."]}),
    "invalid": ValidationError("That will not do.", code="odd"),
    "rest": serializers.ValidationError({"party": [{}, {"age": ["Not a number."]}]}),
    "forbidden": PermissionDenied("Only the host may."),
    "gone": Room.DoesNotExist(),
    "missing": Http404("secret reason"),
    "locked": OperationalError("database is locked"),
    "conflict": problems.Conflict("closed", "It is over."),
    "broken": RuntimeError("never shown"),
}


class Rooms(APIView):
    """Creates one room a POST; how it ends is told by the body."""

    at_work: ClassVar[threading.Event | None] = None  # set when a view has written
    go_on: ClassVar[threading.Event | None] = None  # waited for after that

    def get(self, request: Request) -> Response:
        return Response({"count": Room.objects.count(), "me": request.user.email})

    def post(self, request: Request) -> Response:
        room = Room.objects.create(kind=Room.Kind.DIRECT, title=request.data.get("title", "none"))
        if Rooms.at_work and Rooms.go_on:
            Rooms.at_work.set()
            Rooms.go_on.wait(10)
        if refusal := request.data.get("refusal"):
            raise REFUSALS[refusal]
        return Response({"id": room.public_id}, status=201, headers={"Location": f"/rooms/{room.public_id}/"})


class OneRoom(APIView):
    versioned = True

    def get(self, request: Request, pk: int) -> Response:
        return Response({"n": pk}, headers={"ETag": problems.etag(pk)})

    def patch(self, request: Request, pk: int) -> Response:
        if problems.expected_version(request) != pk:
            raise problems.PreconditionFailed
        return Response({"n": pk + 1})


class Refusing(APIView):
    permission_classes = [AllowAny]

    def get(self, request: Request, how: str) -> Response:
        raise REFUSALS[how]


class Echo(APIView):
    permission_classes = [AllowAny]

    def get(self, request: Request) -> Response:
        return Response({"language": translation.get_language()})

    def post(self, request: Request) -> Response:
        return Response(request.data)


class PlaceLine(serializers.ModelSerializer[Place]):
    class Meta:
        model = Place
        fields = ("id", "name", "population")


class Places(ListAPIView[Place]):
    queryset = Place.objects.all()
    serializer_class = PlaceLine
    permission_classes = [AllowAny]
    ordering = ("-population", "pk")


def reader(request: HttpRequest) -> HttpResponse:
    """A page that tells what it knows of its reader."""
    zone = timezone.get_current_timezone_name()
    who = get_user(request)
    return JsonResponse({"language": translation.get_language(), "zone": zone, "member": str(who)})


def refusing(request: HttpRequest, how: str) -> HttpResponse:
    raise REFUSALS[how]


def accepting(request: HttpRequest, **_given: Any) -> HttpResponse:
    return HttpResponse("ok")


handler400 = "config.problems.bad_request"
handler403 = "config.problems.forbidden"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"

v1 = [
    path("rooms/", Rooms.as_view()),
    path("rooms/<int:pk>/", OneRoom.as_view()),
    path("refusing/<str:how>/", Refusing.as_view()),
    path("echo/", Echo.as_view()),
    path("places/", Places.as_view()),
    path("schema/", api.schema, name="api_schema"),
]
urlpatterns = [
    path("", accepting, name="home"),
    path("page/", reader),
    path("refusing/<str:how>/", refusing),
    path("form/", accepting),
    path("welcome/<int:step>/", accepting, name="welcome"),
    path("accounts/login/", accepting, name="account_login"),
    path("language/", accepting, name="set_language"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("api/v1/", include(v1)),
    path("api/docs/", api.docs, name="api_docs"),
]


def program(member: Member | None = None, **headers: str) -> Client:
    """A client that sends the member's token, and lets no exception of a view through to the test."""
    if member is not None:
        headers["Authorization"] = f"Bearer {issue_token(member, 'test')}"
    return Client(headers=headers, raise_request_exception=False)
