"""Fields of the API, taken strictly: a text is a JSON string, a number a number. What the schema says is what is read.

REST framework's own read `5` as a text, `"yes"` as true and `"7"` as a number: a program that sends those has a
mistake in it, and is told so.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from realtime import ids
from realtime.frames import LANGUAGE_TAG

LANGUAGE_SCHEMA = {"type": "string", "pattern": f"^{LANGUAGE_TAG.pattern}$", "maxLength": 12}
# 13 base32 characters hold 65 bits: the first is at most p and the last one even, as ids.decode wants it.
ID_SCHEMA = {"type": "string", "pattern": "^[a-p][a-z2-7]{11}[acegikmoqsuwy246]$"}
# What no pattern can say has a format of its own: a program finds values for it in the lists of the API.
TOWN_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 120, "format": "town"}
INTEREST_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 50, "format": "interest"}
WALL_TIME_SCHEMA = {
    "type": "string",
    "format": "wall-time",
    "pattern": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$",
}
ICAL_TIME_SCHEMA = {
    "type": "string",
    "format": "ical-time",
    "pattern": r"^\d{4}-?\d\d-?\d\d([T ]\d\d:?\d\d(:?\d\d)?)?Z?$",
}
WHEN_SCHEMA = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}, {"maxLength": 0}]}
POINT_SCHEMA = {"type": "string", "format": "point", "pattern": r"^-?\d{1,2}(\.\d+)?,-?\d{1,3}(\.\d+)?$"}
KM_SCHEMA = {"type": "number", "exclusiveMinimum": 0, "maximum": 500}


def or_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter whose empty value means that nothing was asked."""
    return {"type": "string", "anyOf": [schema, {"type": "string", "maxLength": 0}]}


class Text(serializers.CharField):
    """A JSON string."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Language(serializers.RegexField):
    """A BCP 47 code."""

    default_error_messages = {"invalid": _("This is no language code.")}

    def __init__(self, **given: Any) -> None:
        super().__init__(rf"^{LANGUAGE_TAG.pattern}\Z", max_length=12, trim_whitespace=False, **given)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON number without a fraction."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float) or data != int(data):
            self.fail("invalid")
        return int(data)


class Flag(serializers.BooleanField):
    """true or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Uuid(serializers.UUIDField):
    """A UUID as text."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class Moment(serializers.DateTimeField):
    """A moment with its offset (RFC 3339). Where its zone is left out, the field's own is meant."""

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str):
            self.fail("invalid", format="RFC 3339")
        return super().to_internal_value(value)


class PublicId(Text):
    """The 13 characters that name a row; in code its primary key. What names none is read as 0, which is nobody's:
    what is not there and what is not yours look alike.
    """

    def to_internal_value(self, data: Any) -> Any:
        try:
            return ids.decode(super().to_internal_value(data))
        except ValueError:
            return 0


class Named(serializers.Field[Any, Any, Any, Any]):
    """Read as the whole thing; written as the one text that names it. `written` is the schema of that text."""

    written: ClassVar[dict[str, Any]]
    shown: ClassVar[type[serializers.Serializer[Any]]]

    def to_representation(self, value: Any) -> dict[str, Any]:
        return dict(self.shown(value).data)


def is_language(text: str) -> bool:
    """Whether `text` is a BCP 47 code, as far as we use them."""
    return len(text) <= 12 and LANGUAGE_TAG.fullmatch(text) is not None


YES = {"1": True, "true": True, "0": False, "false": False, "": False}
YES_SCHEMA = {"type": "string", "enum": [*YES]}


def asked_for(query: Mapping[str, str], name: str) -> bool:
    """Whether a switch of the query (`?family=1`) is on. Raises rest_framework's ValidationError for what is neither."""
    try:
        return YES[query.get(name, "")]
    except KeyError:
        raise serializers.ValidationError({name: [_("1 or 0.")]}) from None
