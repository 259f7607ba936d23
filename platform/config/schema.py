"""What every operation of the API has in common, said once for the OpenAPI document.

The floors' api.py files describe only their own success; problems, Idempotency-Key, If-Match and the two ways to
sign in are added here.
"""

from typing import Any, cast

import uritemplate
from django.utils.functional import Promise
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
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
    "422": "`key_reused`: this Idempotency-Key came with another body.",
    "428": "If-Match is missing.",
    "429": "Too fast; Retry-After says when to come back.",
}
ALWAYS = ("400", "406", "429")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class AutoSchema(SpectacularSchema):
    """drf-spectacular's, with what the house promises for every operation."""

    def get_override_parameters(self) -> list[Any]:
        """Headers: Idempotency-Key on POST, If-Match on PATCH, If-None-Match on reads of one thing."""
        parameters = [*super().get_override_parameters()]
        if self.method == "POST":
            text = "Makes sending again safe for seven days: the same key gives the first answer again."
            parameters.append(_header("Idempotency-Key", OpenApiTypes.UUID, text))
        elif self.method == "PATCH":
            parameters.append(_header("If-Match", OpenApiTypes.STR, "The ETag of the version you saw."))
        elif self.method == "GET" and uritemplate.variables(self.path):
            parameters.append(
                _header("If-None-Match", OpenApiTypes.STR, "The ETag you hold: 304 while it is still right.")
            )
        return parameters

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

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        if direction != "response":
            return bodies
        for status in self._problem_statuses():
            if status not in bodies:
                bodies[status] = self._problem(status)
        if self.method == "GET" and uritemplate.variables(self.path):
            bodies.setdefault("304", {"description": "Not changed since the version in If-None-Match."})
        return dict(sorted(bodies.items()))

    def _problem_statuses(self) -> list[str]:
        statuses = [*ALWAYS]
        if not any(isinstance(permission, AllowAny) for permission in self.view.get_permissions()):
            statuses += ["401", "403"]
        if uritemplate.variables(self.path):
            statuses.append("404")
        if self.method in WRITES:
            statuses += ["403", "409"]
        if self.method in WRITES - {"DELETE"}:
            statuses += ["413", "415"]
        if self.method == "POST":
            statuses.append("422")
        if self.method == "PATCH":
            statuses += ["412", "428"]
        return statuses

    def _problem(self, status: str) -> dict[str, Any]:
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            "Problem", ResolvedComponent.SCHEMA, schema=PROBLEM, object="Problem"
        )
        self.registry.register_on_missing(component)
        answer = OpenApiResponse(response=component.ref, description=WHEN[status])
        found = self._get_response_for_code(answer, status, [CONTENT_TYPE])  # type: ignore[no-untyped-call]
        return cast(dict[str, Any], found)


def _header(name: str, kind: OpenApiTypes, text: str) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, required=False, description=text)


def _plain(view: GenericAPIView[Any]) -> bool:
    return type(view).get_serializer_class is GenericAPIView.get_serializer_class


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


def plain_texts(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """A postprocessing hook: texts that are still waiting for a language become plain, so that JSON can hold them."""
    if isinstance(result, Promise):
        return str(result)
    if isinstance(result, dict):
        return {key: plain_texts(value, generator, request, public) for key, value in result.items()}
    if isinstance(result, list):
        return [plain_texts(value, generator, request, public) for value in result]
    return result
