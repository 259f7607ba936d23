"""A release may be put on while the one before it still runs: no migration takes away, locks or refuses what that needs.

The rules are in docs/operations.md. A migration that must break one says why in `downtime = "…"`. A library reads
the SQL for some of this, but knows no batches, and not this Django yet: here the operations themselves are read.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import NOT_PROVIDED, Field

from realtime.migrating import AddIndexOnline

OURS = {"house", "events", "community", "realtime"}
TAKES_AWAY = (
    migrations.RemoveField,
    migrations.RenameField,
    migrations.RenameModel,
    migrations.DeleteModel,
    migrations.AlterModelTable,
    migrations.AlterUniqueTogether,
    migrations.AlterOrderWithRespectTo,
)
HARMLESS = {*Field.non_db_attrs, "default", "null", "max_length", "db_default", "on_delete", "to"}
SCHEMA_ONLY_STATE = (migrations.AlterModelOptions, migrations.AlterModelManagers)
LAZY = {"all", "filter", "exclude", "order_by", "select_related", "prefetch_related"}


class Lint:
    """Reads one migration, given the state it starts from."""

    def __init__(self, migration: Any, state: ProjectState) -> None:
        self.migration, self.state, self.app = migration, state, migration.app_label
        self.fresh: set[str] = set()  # tables this migration makes itself: nobody uses them yet

    def faults(self) -> Iterator[str]:
        """What is wrong, a line each. A waiver must be a sentence; it covers the whole migration."""
        waiver = getattr(self.migration, "downtime", "")
        found = [] if self.migration.initial else list(self._of_all(self.migration.operations))
        if waiver and len(waiver.split()) < 5:
            yield "downtime must say why, in a sentence"
        if waiver and not found:
            yield "downtime is allowed for nothing"
        yield from [] if waiver else found

    def _of_all(self, operations: Iterable[Operation]) -> Iterator[str]:
        operations = list(operations)
        code = [each for each in operations if isinstance(each, migrations.RunPython)]
        if code and len(code) < len(operations):
            yield "code and schema in one migration: a table stays locked while the code runs"
        online = [each for each in operations if isinstance(each, AddIndexOnline)]
        if online and len(online) < len(operations):
            yield "AddIndexOnline needs a migration of its own"
        if (online or code) and self.migration.atomic:
            yield "needs atomic = False: else everything stays locked to the end"
        for operation in operations:
            yield from self._of(operation)
            operation.state_forwards(self.app, self.state)

    def _of(self, operation: Operation) -> Iterator[str]:
        name = str(getattr(operation, "model_name", getattr(operation, "name", ""))).lower()
        match operation:
            case migrations.CreateModel():
                self.fresh.add(name)
            case migrations.SeparateDatabaseAndState():
                yield from self._separate(operation)
            case migrations.RunPython():
                yield from of_code(operation)
            case migrations.RunSQL():
                yield "RunSQL cannot be read by this test"
            case _ if name in self.fresh:
                return
            case migrations.AddField():
                yield from self._added(operation)
            case migrations.AlterField():
                yield from self._altered(operation)
            case AddIndexOnline():
                return
            case migrations.AddIndex():
                yield f"{operation.index.name}: an index locks writers out; AddIndexOnline does not"
            case migrations.AddConstraint():
                yield f"{operation.constraint.name}: a constraint reads the table locked, and the release before may break it"
            case _ if isinstance(operation, TAKES_AWAY):
                yield f"{operation.describe()}: the release before still uses it"

    def _added(self, operation: migrations.AddField) -> Iterator[str]:
        field = operation.field
        if field.many_to_many:
            return  # a table of its own
        if not field.null and field.db_default is NOT_PROVIDED:
            yield f"{operation.name}: the release before leaves it out; null=True or db_default"
        if field.unique or field.db_index:
            yield f"{operation.name}: its index locks writers out; db_index=False, then AddIndexOnline"

    def _altered(self, operation: migrations.AlterField) -> Iterator[str]:
        old: Any = self.state.models[self.app, operation.model_name_lower].fields[operation.name]
        new: Any = operation.field
        if old.null and not new.null:
            yield f"{operation.name}: NOT NULL reads the table locked, and the release before may leave it empty"
        if (old.max_length or 0) > (new.max_length or 1 << 30):
            yield f"{operation.name}: shorter than what is in it"
        if old.db_default is not NOT_PROVIDED and new.db_default is NOT_PROVIDED and not new.null:
            yield f"{operation.name}: the release before relies on its db_default"
        if _in_the_database(old) != _in_the_database(new):
            yield f"{operation.name}: another type rewrites the table; add a column beside it"

    def _separate(self, operation: migrations.SeparateDatabaseAndState) -> Iterator[str]:
        """What the database does is looked at; a column only taken out of the code must do without being written."""
        emptied = {
            (each.model_name_lower, each.name)
            for each in operation.database_operations
            if isinstance(each, migrations.AlterField)
            and (each.field.null or each.field.db_default is not NOT_PROVIDED)
        }
        for gone in operation.state_operations:
            if isinstance(gone, migrations.RemoveField):
                field = self.state.models[self.app, gone.model_name_lower].fields[gone.name]
                needs_value = not field.null and field.db_default is NOT_PROVIDED and not field.many_to_many
                if needs_value and (gone.model_name_lower, gone.name) not in emptied:
                    yield f"{gone.name}: nobody writes it any more, and it must not be empty: make it null=True beside"
        for each in operation.database_operations:
            yield from self._of(each)


def _in_the_database(field: Any) -> tuple[str, dict[str, Any]]:
    _name, path, _args, words = field.deconstruct()
    return path, {key: value for key, value in words.items() if key not in HARMLESS}


def of_code(operation: migrations.RunPython) -> Iterator[str]:
    """What is wrong with the code of a migration: no way back, or a whole table at once."""
    if operation.reverse_code is None:
        yield "RunPython has no way back (RunPython.noop, where there is nothing to undo)"
    tree = ast.parse(textwrap.dedent(inspect.getsource(operation.code)))
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.comprehension) and _last_call(node.iter) in LAZY:
            yield f"loads a whole table: {ast.unparse(node.iter)}; .iterator()"
        if isinstance(node, ast.Call) and _last_call(node) in {"update", "delete"}:
            of = ast.unparse(node.func.value)  # type: ignore[attr-defined] # _last_call has seen it
            if of.endswith((".objects", ".all()")):
                yield f"one statement for a whole table: {of}; in batches of keys"


def _last_call(node: ast.AST) -> str:
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def every_migration() -> Iterator[tuple[str, Any, ProjectState]]:
    """The name of each of our migrations, itself, and the state it starts from, in the order they are applied."""
    loader = MigrationLoader(None)
    state, seen = ProjectState(), set()
    for leaf in sorted(loader.graph.leaf_nodes()):
        for key in loader.graph.forwards_plan(leaf):
            if key in seen:
                continue
            seen.add(key)
            migration = loader.graph.nodes[key]
            if key[0] in OURS:
                yield ".".join(key), migration, state.clone()
            state = migration.mutate_state(state, preserve=False)


def test_no_migration_stops_the_release_before_it():
    found = [
        f"{name}: {fault}"
        for name, migration, state in every_migration()
        for fault in Lint(migration, state).faults()
    ]
    assert not found, "docs/operations.md, “Migrations without downtime”"


# Witnesses: each rule sees what it is there for.


def whole_table(apps: Any, _editor: Any) -> None:
    for row in apps.of("events", "Stall").objects.filter(name=""):
        row.save()


def one_statement(apps: Any, _editor: Any) -> None:
    apps.of("events", "Stall").objects.update(name="")


def in_batches(apps: Any, _editor: Any) -> None:
    stalls = apps.of("events", "Stall").objects
    for pk in stalls.filter(name="").values_list("pk", flat=True).iterator(chunk_size=500):
        stalls.filter(pk=pk).update(name="?")


def of(*operations: Operation, **given: Any) -> Any:
    """A later migration of events, where there is a stall."""
    body = {"operations": list(operations)} | given
    return type("Migration", (migrations.Migration,), body)("0099_later", "events")


def stalls() -> ProjectState:
    state = ProjectState()
    columns = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=20)),
        ("size", models.IntegerField(null=True)),
        ("open", models.BooleanField(db_default=True)),
    ]
    state.add_model(ModelState("events", "Stall", columns))
    return state


def back(*_given: Any) -> None:
    """Nothing to undo."""


INDEX = models.Index(fields=["name"], name="stalls_by_name")
CHECK = models.CheckConstraint(condition=~models.Q(name=""), name="stalls_have_a_name")
NEW_TABLE = migrations.CreateModel("Tent", [("id", models.BigAutoField(primary_key=True))])


@pytest.mark.parametrize(
    ("operations", "given", "fault"),
    [
        ([migrations.RemoveField("stall", "size")], {}, "release before still uses it"),
        ([migrations.RenameField("stall", "size", "metres")], {}, "release before still uses it"),
        ([migrations.RenameModel("Stall", "Stand")], {}, "release before still uses it"),
        ([migrations.DeleteModel("Stall")], {}, "release before still uses it"),
        ([migrations.AlterModelTable("stall", "stands")], {}, "release before still uses it"),
        ([migrations.AddField("stall", "n", models.IntegerField(default=0))], {}, "leaves it out"),
        ([migrations.AddField("stall", "n", models.IntegerField(null=True, db_index=True))], {}, "AddIndexOnline"),
        ([migrations.AddField("stall", "n", models.ForeignKey("events.Stall", models.CASCADE, null=True))], {}, "AddIndexOnline"),
        ([migrations.AlterField("stall", "size", models.IntegerField())], {}, "NOT NULL"),
        ([migrations.AlterField("stall", "name", models.CharField(max_length=9))], {}, "shorter"),
        ([migrations.AlterField("stall", "open", models.BooleanField())], {}, "relies on its db_default"),
        ([migrations.AlterField("stall", "name", models.IntegerField())], {}, "rewrites the table"),
        ([migrations.AlterField("stall", "name", models.CharField(max_length=20, unique=True))], {}, "rewrites the table"),
        ([migrations.AddIndex("stall", INDEX)], {}, "AddIndexOnline does not"),
        ([AddIndexOnline("stall", INDEX)], {}, "atomic = False"),
        ([AddIndexOnline("stall", INDEX), NEW_TABLE], {"atomic": False}, "migration of its own"),
        ([migrations.AddConstraint("stall", CHECK)], {}, "reads the table locked"),
        ([migrations.RunSQL("SELECT 1", "")], {}, "cannot be read"),
        ([migrations.RunPython(in_batches, back)], {}, "atomic = False"),
        ([migrations.RunPython(in_batches)], {"atomic": False}, "no way back"),
        ([migrations.RunPython(whole_table, back)], {"atomic": False}, "loads a whole table"),
        ([migrations.RunPython(one_statement, back)], {"atomic": False}, "one statement for a whole table"),
        ([migrations.RunPython(in_batches, back), NEW_TABLE], {"atomic": False}, "code and schema"),
        ([migrations.SeparateDatabaseAndState([migrations.RemoveField("stall", "size")])], {}, "still uses it"),
        ([migrations.SeparateDatabaseAndState([], [migrations.RemoveField("stall", "name")])], {}, "must not be empty"),
        ([migrations.RemoveField("stall", "size")], {"downtime": "because"}, "must say why"),
        ([NEW_TABLE], {"downtime": "It is needed for some reason."}, "allowed for nothing"),
    ],
    ids=range(27),
)  # fmt: skip
def test_a_migration_that_stops_the_release_before_it_is_seen(operations, given, fault: str):
    found = list(Lint(of(*operations, **given), stalls()).faults())
    assert any(fault in line for line in found), found


@pytest.mark.parametrize(
    ("operations", "given"),
    [
        ([NEW_TABLE, migrations.AddField("tent", "n", models.IntegerField(default=0, db_index=True))], {}),
        ([NEW_TABLE, migrations.AddIndex("tent", models.Index(fields=["id"], name="x"))], {}),
        ([migrations.AddField("stall", "n", models.IntegerField(null=True))], {}),
        ([migrations.AddField("stall", "n", models.IntegerField(default=0, db_default=0))], {}),
        ([migrations.AddField("stall", "n", models.ManyToManyField("events.Stall"))], {}),
        ([migrations.AlterField("stall", "name", models.CharField(max_length=90, help_text="Shown."))], {}),
        ([migrations.AlterField("stall", "name", models.CharField(max_length=20, null=True))], {}),
        ([AddIndexOnline("stall", INDEX)], {"atomic": False}),
        ([migrations.RunPython(in_batches, back)], {"atomic": False}),
        (
            [
                migrations.SeparateDatabaseAndState(
                    [migrations.AlterField("stall", "name", models.CharField(max_length=20, null=True))],
                    [migrations.RemoveField("stall", "name")],
                )
            ],
            {},
        ),
        ([migrations.AlterModelOptions("stall", {"ordering": ["name"]})], {}),
        (
            [migrations.RemoveField("stall", "size")],
            {"downtime": "Version 1.4 was the last one that read it."},
        ),
        ([migrations.RemoveField("stall", "size")], {"initial": True}),
    ],
    ids=range(13),
)
def test_a_migration_that_may_run_meanwhile_is_left_alone(operations, given):
    assert list(Lint(of(*operations, **given), stalls()).faults()) == []


@pytest.mark.django_db(transaction=True)
def test_an_index_is_added_online_again_after_a_failure_and_taken_away():
    """On PostgreSQL without a lock, which only works outside a transaction; on SQLite as any other."""
    before = ProjectState()
    before.add_model(
        ModelState(
            "events", "Stall", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())]
        )
    )
    after = before.clone()
    operation = AddIndexOnline("stall", INDEX)
    operation.state_forwards("events", after)
    model = before.apps.get_model("events", "Stall")

    def indexes() -> set[str]:
        with connection.cursor() as cursor:
            return set(connection.introspection.get_constraints(cursor, model._meta.db_table))

    with connection.schema_editor() as editor:
        editor.create_model(model)
    try:
        times = (
            2 if connection.vendor == "postgresql" else 1
        )  # a first try that failed leaves an index behind
        for _again in range(times):
            with connection.schema_editor(atomic=False) as editor:
                operation.database_forwards("events", editor, before, after)
        assert "stalls_by_name" in indexes()
        with connection.schema_editor(atomic=False) as editor:
            operation.database_backwards("events", editor, after, before)
        assert "stalls_by_name" not in indexes()
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(model)
