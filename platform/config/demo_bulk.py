"""Rows in bulk for the demo's crowd: straight into the table, past the making of a model instance for each.

PostgreSQL takes them by COPY, SQLite by executemany: some 30 µs a row on two million rows, of which most are three
numbers and a time, where bulk_create took 75. Whoever calls keeps the rules: constraints are checked, verbs are not.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import connection, models

CONVERTED = (models.DateTimeField, models.JSONField, models.UUIDField)  # others are what the driver takes


def write(model: type[models.Model], names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert `rows`, each the values of the fields `names` (of a foreign key: the id); other fields get their default.

    One statement. A primary key that is not counted by the database must be among the names.
    """
    fields = [model._meta.get_field(name) for name in names]
    rest = [
        field
        for field in model._meta.concrete_fields
        if field.name not in names and not isinstance(field, models.AutoField)
    ]
    constant = tuple(_value(field)(field.get_default()) for field in rest)
    columns = [str(field.column) for field in (*fields, *rest)]  # type: ignore[union-attr]
    odd = [(i, _value(field)) for i, field in enumerate(fields) if isinstance(field, CONVERTED)]
    ready = [
        _prepared(row, odd) + constant for row in rows
    ]  # before COPY begins: making a row may ask the database
    _send(model._meta.db_table, columns, ready)


def _value(field: Any) -> Callable[[Any], Any]:
    return lambda value: field.get_db_prep_save(value, connection)


def _prepared(row: tuple[Any, ...], odd: list[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    if not odd:
        return row
    values = list(row)
    for i, value in odd:
        if values[i] is not None:
            values[i] = value(values[i])
    return tuple(values)


def _send(table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    quote = connection.ops.quote_name
    into = f"{quote(table)} ({', '.join(quote(column) for column in columns)})"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {into} VALUES ({marks})", rows)  # noqa: S608 - names of our own columns
