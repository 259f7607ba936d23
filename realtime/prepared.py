"""Queries that are put together once, and asked again and again with other values.

Django writes a query anew each time it is asked: what a page asks costs more to write than to answer. What nearly every
request asks is therefore written once, by the same managers and conditions as ever:

    @prepared(reader=ID, now=MOMENT)
    def _coming(*, reader: Any, now: Any, most: int) -> QuerySet[Event]:
        return Event.objects.visible_to(reader).upcoming(now)[:most]

    events = _coming(reader=member.pk, now=clock.now(), most=20)

The function is called once for each `most`, the shape of the statement. Instead of a reader and a moment it is given their
places in it, which stand in a condition as an F() does. A value that is None is part of the shape, too, and reaches
the function as None. The function must not look at a clock, a language or anything else that changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, cast
from uuid import UUID

from django.db import connection
from django.db.models import (
    BigIntegerField,
    DateTimeField,
    Expression,
    Field,
    ForeignObject,
    IntegerField,
    Lookup,
    QuerySet,
    TextField,
    UUIDField,
)
from django.db.models.sql import Query, UpdateQuery

MOST_SHAPES = 256
PLAIN = re.compile("[a-z_]{0,20}")  # a constant that can be nothing but itself between quotes

type Kind = Field[Any, Any]


class Ids(BigIntegerField):  # type: ignore[type-arg]
    """Of a value: any number of keys, numbers or UUIDs, for the lookup `among`."""


class Texts(TextField):  # type: ignore[type-arg]
    """Of a value: texts, each in a place of its own. How many there are is part of the shape."""


class Words(Texts):
    """Of a value: words for the lookup `holds`."""


ID, IDS, MOMENT, TEXT, WORDS = BigIntegerField(), Ids(), DateTimeField(), TextField(), Words()
NUMBER, TEXTS = IntegerField(), Texts()

is_checked = False  # in tests: that a function writes what it wrote the first time, each time it is asked


class ChangedStatement(AssertionError):
    """A prepared function looked at something that changes."""


class LostValue(AssertionError):
    """A value stands nowhere in the statement: nobody asked for it, or a lookup that looks at values made text of it."""


class Given(Expression):
    """The place of a value in a statement. Which value it is, is said when the statement is asked."""

    def __init__(
        self, name: str, field: Kind, part: int | None = None, after: timedelta = timedelta()
    ) -> None:
        super().__init__(output_field=field)
        self.name, self.part, self.after = name, part, after

    def __add__(self, other: Any) -> Any:
        """A moment so much later; anything else is added by the database."""
        if isinstance(other, timedelta):
            return Given(self.name, self.output_field, self.part, self.after + other)
        return super().__add__(other)

    def __sub__(self, other: Any) -> Any:
        """A moment so much earlier; anything else is taken away by the database."""
        return self + -other if isinstance(other, timedelta) else super().__sub__(other)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """A placeholder whose parameter is this place itself."""
        return "%s", (self,)

    def parameter(self, values: dict[str, Any]) -> Any:
        """What the database is given for this place."""
        value = values[self.name]
        if isinstance(self.output_field, Ids):
            return _as_parameter(value)
        if self.part is not None:
            part = value[self.part]
            return _pattern(part) if isinstance(self.output_field, Words) else part
        return self.output_field.get_db_prep_value(value + self.after if self.after else value, connection)

    def said(self) -> tuple[Any, ...]:
        """Which value stands here."""
        return self.name, self.part, self.after


@Field.register_lookup
@ForeignObject.register_lookup
class Among(Lookup):
    """`pk__among`: one of these keys, as `in` says it too, but in one statement however many they are.

    Of a query of keys it is the few rows that are looked up by them: what `in` would join may be read from its other end.
    """

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """PostgreSQL plans `= ANY` like the same keys one by one, and a table of them as a hundred unknown rows."""
        left, given = self.process_lhs(compiler, connection)
        if isinstance(self.rhs, Query):
            keys, more = compiler.compile(self.rhs)
            few = f"{left} IN {keys}" if connection.vendor == "sqlite" else f"{left} = ANY(ARRAY{keys})"
            return few, (*given, *more)
        parameter = self.rhs if isinstance(self.rhs, Given) else _as_parameter(self.rhs)
        kind = "uuid" if isinstance(self.lhs.output_field, UUIDField) else "bigint"
        if connection.vendor == "sqlite":
            return f"{left} IN (SELECT value FROM json_each(%s))", (*given, parameter)  # noqa: S608 - columns and %s
        return f"{left} = ANY(%s::{kind}[])", (*given, parameter)


@Field.register_lookup
class Holds(Lookup):
    """`search__holds`: the text has this in it. As `contains`, but what `%` and `_` stand for is said once and not at each row."""

    lookup_name = "holds"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """LIKE with the pattern as its parameter."""
        left, given = self.process_lhs(compiler, connection)
        parameter = self.rhs if isinstance(self.rhs, Given) else _pattern(self.rhs)
        return rf"{left} LIKE %s ESCAPE '\'", (*given, parameter)


def _pattern(word: str) -> str:
    for sign in "\\%_":
        word = word.replace(sign, f"\\{sign}")
    return f"%{word}%"


def _as_parameter(keys: Collection[int | UUID]) -> Any:
    if connection.vendor == "sqlite":
        return json.dumps([key.hex if isinstance(key, UUID) else key for key in keys])
    return f"{{{','.join(map(str, keys))}}}"  # PostgreSQL reads hundreds of keys faster than Python hands them over


def _numbered(sql: str, parameters: Sequence[Any]) -> tuple[bytes, list[Any]]:
    """A statement as PostgreSQL itself reads it, and what stands at each of its numbers.

    What is the same each time stands in it, and a key or a moment has one number however often it is asked about: of
    eighty parameters a page had, a dozen are left. psycopg need not look for them in the text, which it would do each time
    for a long one.
    """
    left, numbers, places = iter(parameters), dict[Any, int](), list[Any]()

    def written(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        place = next(left)
        if not isinstance(place, Given) and (literal := _literal(place)):
            return literal
        once = isinstance(place, Given) and isinstance(
            place.output_field, BigIntegerField | DateTimeField | Ids
        )
        key = place.said() if once else len(places)
        if key not in numbers:
            places.append(place)
            numbers[key] = len(places)
        return f"${numbers[key]}"

    return re.sub("%[%s]", written, sql).encode(), places


def _literal(constant: Any) -> str:
    """A constant as it stands in a statement; empty for what is better given beside it."""
    match constant:
        case bool():
            return "true" if constant else "false"
        case int() if constant >= 0:
            return str(constant)
        case str() if PLAIN.fullmatch(constant):
            return f"'{constant}'"
        case _:
            return ""


@cache
def _numbered_cursor() -> type[Any]:
    from psycopg import RawCursor  # noqa: PLC0415 - SQLite needs no psycopg

    class Numbered(RawCursor[Any]):
        """Asks what it was made to ask; what it is told to is for the log."""

        asks: tuple[bytes, Sequence[Any]]

        def execute(self, query: Any, params: Any = None, **given: Any) -> Any:
            return super().execute(*self.asks, **given)

    return Numbered


class _Written:
    """A statement with the places of its values."""

    def __init__(self, sql: str, parameters: Sequence[Any]) -> None:
        self.sql, self.parameters = sql, parameters
        is_numbered = connection.vendor != "sqlite" and not any(
            isinstance(one, Given) and isinstance(one.output_field, Words) for one in parameters
        )  # how a text is best looked for depends on the text: that is planned each time
        self.numbered = _numbered(sql, parameters) if is_numbered else None

    @contextmanager
    def asked(self, values: dict[str, Any]) -> Iterator[Any]:
        """A cursor with the answer. PostgreSQL keeps the statement planned once this connection has asked it a few times."""
        if self.numbered is None:
            with connection.cursor() as cursor:
                cursor.execute(self.sql, _filled(self.parameters, values))
                yield cursor
            return
        text, places = self.numbered
        connection.ensure_connection()
        own = _numbered_cursor()(connection.connection)
        own.asks = text, _filled(places, values)
        with connection._prepare_cursor(own) as cursor:  # type: ignore[attr-defined]
            cursor.execute(self.sql, ())
            yield cursor


class Statement(_Written):
    """A queryset as it was written for one shape."""

    def __init__(self, queryset: QuerySet[Any, Any]) -> None:
        self.queryset = queryset
        self.compiler = queryset.query.get_compiler(connection=connection)
        super().__init__(*self.compiler.as_sql())
        assert not self.compiler.has_extra_select, "a column that only the order needs would come along"
        columns = [column for column, *_ in self.compiler.select]
        self.converters = list(self.compiler.get_converters(columns).items())

    def ask(self, values: dict[str, Any]) -> list[Any]:
        """The rows for these values, with what was to be fetched beside them."""
        with self.asked(values) as cursor:
            answer = Answer(self, list(cursor.fetchall()))
        query: Any = object.__new__(Query)
        query.__dict__.update(self.queryset.query.__dict__, get_compiler=lambda *_args, **_given: answer)
        return list(self._on(query))

    def _on(self, query: Query) -> QuerySet[Any, Any]:
        """The queryset with another query, not yet asked: as `QuerySet._clone`, which would copy the whole query."""
        asked: Any = type(self.queryset)(model=self.queryset.model, query=query)
        for name in ("_iterable_class", "_prefetch_related_lookups", "_fields", "_fetch_mode"):
            setattr(asked, name, getattr(self.queryset, name))
        return cast("QuerySet[Any, Any]", asked)


class Change(_Written):
    """An update as it was written for one shape: which rows, and what of them becomes what."""

    def __init__(self, rows_and_values: tuple[QuerySet[Any, Any], dict[str, Any]]) -> None:
        rows, values = rows_and_values
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(values)
        super().__init__(*query.get_compiler(connection=connection).as_sql())

    def ask(self, values: dict[str, Any]) -> int:
        """How many rows changed."""
        with self.asked(values) as cursor:
            return int(cursor.rowcount)


def _filled(parameters: Sequence[Any], values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(place.parameter(values) if isinstance(place, Given) else place for place in parameters)


def _said(written: Statement | Change) -> tuple[str, list[Any]]:
    """Its text and its parameters; of a value only its name."""
    return written.sql, [place.said() if isinstance(place, Given) else place for place in written.parameters]


class Answer:
    """What a queryset reads its rows from in place of a compiler, which would ask first."""

    def __init__(self, statement: Statement, rows: list[Any]) -> None:
        self._rows, self._converters = rows, statement.converters
        self.select = statement.compiler.select
        self.klass_info = statement.compiler.klass_info
        self.annotation_col_map = statement.compiler.annotation_col_map

    def execute_sql(self, **_given: Any) -> list[Any]:
        """All rows as they came."""
        return self._rows

    def results_iter(self, results: Any = None, *, tuple_expected: bool = False, **_given: Any) -> Any:
        """All rows with values as the fields want them."""
        rows = self._converted() if self._converters else iter(self._rows)
        return map(tuple, rows) if tuple_expected else rows

    def _converted(self) -> Iterator[list[Any]]:
        for row in map(list, self._rows):
            for at, (converters, column) in self._converters:
                for convert in converters:
                    row[at] = convert(row[at], column, connection)
            yield row


def prepared[**P, Row](
    **kinds: Kind,
) -> Callable[[Callable[P, QuerySet[Any, Row]]], Callable[P, list[Row]]]:
    """Make of a function that returns a queryset one that returns its rows, and is itself called once a shape.

    `kinds` names the arguments that are values and says of which kind they are; the others are the shape. All are given
    by name. One query, and those of what is fetched beside the rows.
    """
    return lambda build: _once_a_shape(build, Statement, kinds)


def changing[**P](
    **kinds: Kind,
) -> Callable[[Callable[P, tuple[QuerySet[Any, Any], dict[str, Any]]]], Callable[P, int]]:
    """As `prepared`, of a function that returns which rows change, and how as `QuerySet.update` takes it: how many did."""
    return lambda build: _once_a_shape(build, Change, kinds)


def _once_a_shape(
    build: Callable[..., Any], write: type[Statement] | type[Change], kinds: dict[str, Kind]
) -> Callable[..., Any]:
    known: dict[Hashable, Statement | Change] = {}

    def ask(**given: Any) -> Any:
        values = {name: given.pop(name) for name in kinds}
        shape = (_sizes(kinds, values), frozenset(given.items()))
        statement = known.get(shape)
        if statement is None or is_checked:
            places = _places(kinds, values)
            written = write(build(**places, **given))
            here = {place.name for place in written.parameters if isinstance(place, Given)}
            if lost := {name for name, place in places.items() if place} - here:
                raise LostValue(build.__qualname__, lost)
            if statement is not None and _said(statement) != _said(written):
                raise ChangedStatement(build.__qualname__, _said(statement), _said(written))
            if len(known) >= MOST_SHAPES:
                known.clear()
            statement = known[shape] = written
        return statement.ask(values)

    return ask


def _sizes(kinds: dict[str, Kind], values: dict[str, Any]) -> tuple[Any, ...]:
    """What of the values belongs to the shape: whether there is one, and how many words."""
    return tuple(
        len(values[name]) if isinstance(kind, Texts) else values[name] is None for name, kind in kinds.items()
    )


def _places(kinds: dict[str, Kind], values: dict[str, Any]) -> dict[str, Any]:
    """What stands for the values while the statement is written."""
    return {
        name: tuple(Given(name, kind, part) for part in range(len(values[name])))
        if isinstance(kind, Texts)
        else (None if values[name] is None else Given(name, kind))
        for name, kind in kinds.items()
    }


def keys_of(rows: Collection[Any]) -> list[int]:
    """The keys of rows, for a value of the kind IDS."""
    return [row.pk for row in rows]
