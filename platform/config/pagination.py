"""Lists in pages by key: a cursor says where the last row stood, so rows that come or go meanwhile shift nothing."""

import uuid
from datetime import date, datetime
from typing import Any

from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from realtime.keyset import Finder, after

MAX_LIMIT = 100
SALT = "list cursor v1"


class KeysetPagination(BasePagination):
    """Pages over the view's `ordering`: names of columns (`-` for descending), never null, the last one unique.

    `limit` (at most 100, more is taken as 100) and `cursor` come from the query. Costs one query a page.
    """

    def paginate_queryset(  # type: ignore[override]
        self, queryset: QuerySet[Any] | Finder, request: Request, view: APIView | None = None
    ) -> list[Any]:
        """The rows of this page. Raises ParseError for a cursor that is not ours or a limit that is no number."""
        self.request = request
        self.ordering = tuple(getattr(view, "ordering", None) or ("pk",))
        self.model = queryset.model._meta.label_lower
        self.limit = self._limit()
        backwards, key = self._cursor()
        ordering = tuple(_turned(name) for name in self.ordering) if backwards else self.ordering
        page = _found(queryset, ordering, key, self.limit + 1)
        more = len(page) > self.limit
        page = page[: self.limit]
        if backwards:
            page.reverse()
        self.has_next = key is not None if backwards else more
        self.has_previous = more if backwards else key is not None
        self.page = page
        return page

    def get_paginated_response(self, data: Any) -> Response:
        """`{next, previous, results}`, the first two absolute URLs or null."""
        links = {
            "next": self._link("n", -1, self.has_next),
            "previous": self._link("p", 0, self.has_previous),
        }
        return Response({**links, "results": data})

    def _limit(self) -> int:
        text = self.request.query_params.get("limit")
        if text is None:
            return int(api_settings.PAGE_SIZE or 20)
        if not (text.isascii() and text.isdigit()) or not int(text[:9]):
            raise ParseError(_("limit must be a whole number from 1 to 100."), "bad_limit")
        return min(int(text[:9]), MAX_LIMIT)

    def _salt(self) -> str:
        return f"{SALT} {self.model} {' '.join(self.ordering)}"

    def _cursor(self) -> tuple[bool, list[Any] | None]:
        """(backwards?, the key to start after) of the query's cursor; (False, None) without one."""
        text = self.request.query_params.get("cursor")
        if text is None:
            return False, None
        try:
            direction, *key = signing.loads(text, salt=self._salt())
            return direction == "p", [_from_json(value) for value in key]
        except (signing.BadSignature, ValueError, TypeError) as wrong:
            raise ParseError(
                _("This cursor is not one of ours: start the list anew."), "bad_cursor"
            ) from wrong

    def _link(self, direction: str, index: int, is_there: bool) -> str | None:
        if not is_there or not self.page:
            return None
        key = [_to_json(_value(self.page[index], name.removeprefix("-"))) for name in self.ordering]
        cursor = signing.dumps([direction, *key], salt=self._salt())
        return replace_query_param(self.request.build_absolute_uri(), "cursor", cursor)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """What a list takes, for the OpenAPI document."""
        limit = {"type": "integer", "minimum": 1, "default": api_settings.PAGE_SIZE}
        text = f"More than {MAX_LIMIT} is taken as {MAX_LIMIT}."
        cursor = {"type": "string", "format": "cursor"}
        return [
            {"name": "cursor", "in": "query", "required": False, "schema": cursor},
            {"name": "limit", "in": "query", "required": False, "schema": limit, "description": text},
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """What a list answers, for the OpenAPI document."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }


def _found(
    rows: QuerySet[Any] | Finder, ordering: tuple[str, ...], key: list[Any] | None, most: int
) -> list[Any]:
    if isinstance(rows, Finder):
        return rows.find(ordering=ordering, key=key, most=most)
    rows = rows.order_by(*ordering)
    return list((rows if key is None else rows.filter(after(ordering, key)))[:most])


def _turned(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _value(row: Any, name: str) -> Any:
    """`name` (with `__` through relations) of a model instance or a dict of `.values()`."""
    for step in [name] if isinstance(row, dict) else name.split("__"):
        row = row[step] if isinstance(row, dict) else getattr(row, step)
    return row.pk if isinstance(row, Model) else row


def _to_json(value: Any) -> Any:
    match value:
        case None:
            raise ImproperlyConfigured("a list is ordered by columns that are never null")
        case datetime():
            return {"at": value.isoformat()}
        case date():
            return {"on": value.isoformat()}
        case uuid.UUID():
            return {"id": str(value)}
    return value


def _from_json(value: Any) -> Any:
    match value:
        case {"at": text}:
            return datetime.fromisoformat(text)
        case {"on": text}:
            return date.fromisoformat(text)
        case {"id": text}:
            return uuid.UUID(text)
    return value
