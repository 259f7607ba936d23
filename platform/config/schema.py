"""What every operation of the API has in common, said once for the OpenAPI document.

The floors' api.py files describe only their own success; problems, Idempotency-Key, If-Match and the two ways to
sign in are added here.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import uritemplate
from django.utils.functional import Promise
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, PolymorphicProxySerializer
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny

from config.problems import CONTENT_TYPE

PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `code` is stable and for programs; `detail` is for people, in their language.",
    "required": ["type", "title", "status", "code", "detail", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    },
}
EXAMPLES: dict[str, Any] = json.loads(Path(__file__).with_name("examples.json").read_text())["operations"]
WHEN = {
    "400": "The request is not understood; `errors` names the fields.",
    "401": "No credentials, or none that are known.",
    "403": "May be seen, but not done, by this member.",
    "404": "Not there, or not this member's to see.",
    "405": "The path knows no such method.",
    "406": "JSON is all there is.",
    "409": "Sound, but the present state says no: `full`, `closed`, `already_registered`, `too_late`, `in_progress`, …",
    "412": "Changed since the version in If-Match.",
    "413": "More than one mebibyte.",
    "415": "Send application/json.",
    "411": "Say how long the body is (Content-Length).",
    "422": "`key_reused`: this Idempotency-Key came with another body.",
    "428": "If-Match is missing.",
    "429": "Too fast; Retry-After says when to come back.",
    "503": "Many people do this at once; nothing was changed. Retry-After says when to come back.",
}
ALWAYS = ("400", "406", "429", "503")
COMES_WITH = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}  # header of a status
ETAG = {"type": "string", "pattern": '^(W/)?"[0-9a-f]{1,32}"$'}
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class AutoSchema(SpectacularSchema):
    """drf-spectacular's, with what the house promises for every operation."""

    def get_override_parameters(self) -> list[Any]:
        """Headers: Idempotency-Key on POST; where a view is `versioned`, If-Match on PATCH and If-None-Match on GET."""
        parameters = [*super().get_override_parameters()]
        if self.method == "POST":
            text = "Makes sending again safe for seven days: the same key gives the first answer again."
            parameters.append(_header("Idempotency-Key", OpenApiTypes.UUID, text))
        elif self.method == "PATCH" and self._versioned:
            text = "The ETag of the version you saw."
            parameters.append(_header("If-Match", ETAG, text, required=self._versioned is True))
        elif self.method == "GET" and self._versioned:
            parameters.append(
                _header("If-None-Match", OpenApiTypes.STR, "The ETag you hold: 304 while it is still right.")
            )
        return parameters

    @property
    def _versioned(self) -> bool | str:
        """What the view says of itself: True, or "unless dry" where a try needs no If-Match."""
        return cast("bool | str", getattr(self.view, "versioned", False))

    def _get_serializer(self) -> Any:
        """A view without a serializer answers a free object: said here, so that small views need no decorator."""
        described = ("serializer_class", "get_serializer", "get_serializer_class")
        if not isinstance(self.view, GenericAPIView) and not any(
            hasattr(self.view, name) for name in described
        ):
            return OpenApiTypes.OBJECT if self.method != "DELETE" else None
        if isinstance(self.view, GenericAPIView) and self.view.serializer_class is None and _plain(self.view):
            return OpenApiTypes.OBJECT if self.method != "DELETE" else None
        return super()._get_serializer()  # type: ignore[no-untyped-call]

    def _get_request_for_media_type(self, serializer: Any, direction: Any = "request") -> Any:
        """What PATCH takes is a part of the whole, but where the serializer says that it is `sent_whole`."""
        method = self.method
        if getattr(serializer, "sent_whole", False):
            self.method = "PUT"
        try:
            schema, is_required = super()._get_request_for_media_type(serializer, direction)  # type: ignore[no-untyped-call]
            return schema, is_required or isinstance(serializer, PolymorphicProxySerializer)
        finally:
            self.method = method

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        if direction != "response":
            return bodies
        for status in self._problem_statuses():
            if status not in bodies:
                bodies[status] = self._problem(status)
        if self.method == "GET" and self._versioned:
            bodies["304"] = {"description": "Not changed since the version in If-None-Match."}
        if self._versioned and "200" in bodies:
            bodies["200"]["headers"] = {"ETag": {"schema": ETAG, "required": True}}
        return dict(sorted(bodies.items()))

    def _problem_statuses(self) -> list[str]:
        statuses = [*ALWAYS]
        if not any(isinstance(permission, AllowAny) for permission in self.view.get_permissions()):
            statuses += ["401", "403"]
        if uritemplate.variables(self.path) or self.method == "POST":
            statuses.append("404")
        if self.method in WRITES:
            statuses += ["403", "409"]
        if self.method in WRITES - {"DELETE"}:
            statuses += ["411", "413", "415"]
        if self.method == "POST":
            statuses.append("422")
        if self.method == "PATCH" and self._versioned:
            statuses += ["412", "428"]
        return statuses

    def _problem(self, status: str) -> dict[str, Any]:
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            "Problem", ResolvedComponent.SCHEMA, schema=PROBLEM, object="Problem"
        )
        self.registry.register_on_missing(component)
        answer = OpenApiResponse(response=component.ref, description=WHEN[status])
        found = self._get_response_for_code(answer, status, [CONTENT_TYPE])  # type: ignore[no-untyped-call]
        if header := COMES_WITH.get(status):
            found["headers"] = {header: {"schema": {"type": "string"}, "required": True}}
        return cast(dict[str, Any], found)


def _header(name: str, kind: Any, text: str, *, required: bool = False) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, required=required, description=text)


def _plain(view: GenericAPIView[Any]) -> bool:
    return type(view).get_serializer_class is GenericAPIView.get_serializer_class


class TextScheme(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Where blanks are cut off and something must be left, a text of blanks alone is none."""

    target_class = "realtime.fields.Text"

    def map_serializer_field(self, auto_schema: SpectacularSchema, direction: Any) -> Any:
        found = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)  # type: ignore[no-untyped-call]
        if isinstance(found.get("type"), list):
            found["type"] = "string"  # who asks adds "null" once more
        if direction == "request" and self.target.trim_whitespace and not self.target.allow_blank:
            found["pattern"] = r"\S"
        return found


class EitherWayScheme(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Fields that are written as a name and read as the whole thing."""

    target_class = "realtime.fields.Named"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: SpectacularSchema, direction: Any) -> Any:
        if direction == "request":
            return deepcopy(self.target.written)  # who asks writes "or null" into it
        return auto_schema._map_serializer(self.target.shown, direction)  # type: ignore[no-untyped-call]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "config.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class CookieScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "config.authentication.CookieAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "session"}


def with_examples(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """A postprocessing hook: to each operation its example from examples.json, request and answer."""
    for methods in result["paths"].values():
        for operation in methods.values():
            if example := EXAMPLES.get(operation["operationId"]):
                _illustrate(operation, example)
    return result


def _illustrate(operation: dict[str, Any], example: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["example"] = example["id"]
        elif parameter["name"] in example.get("query", {}):
            parameter["example"] = example["query"][parameter["name"]]
        elif parameter["name"] == "If-Match" and example.get("version"):
            parameter["example"] = '"1"'
    answer = operation["responses"].get(str(example.get("status")), {})
    for said, name in ((operation.get("requestBody", {}), "body"), (answer, "answer")):
        if name in example and "application/json" in said.get("content", {}):
            said["content"]["application/json"]["examples"] = {"example": {"value": example[name]}}


def plain_texts(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """A postprocessing hook: texts that are still waiting for a language become plain, so that JSON can hold them."""
    if isinstance(result, Promise):
        return str(result)
    if isinstance(result, dict):
        return {key: plain_texts(value, generator, request, public) for key, value in result.items()}
    if isinstance(result, list):
        return [plain_texts(value, generator, request, public) for value in result]
    return result
