"""The house keeps its shape: the plan is a test, not a wish."""

import ast
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"realtime": 0, "community": 1, "events": 2, "config": 3}  # from the ground up
FOLDERS = ["realtime", "community", "events", "platform"]
LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 500, 60, 7


def tool(*command: str) -> None:
    """Run a program of the environment; the test fails with what it said."""
    program = Path(sys.executable).with_name(command[0])
    found = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def kept_files() -> list[Path]:
    """Every file that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def product_files() -> list[Path]:
    """The Python of the four floors, without migrations."""
    return sorted(
        path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts
    )


def floor_of(path: Path) -> int:
    """How high a product file stands (platform/ is the roof)."""
    return FLOORS.get(path.relative_to(ROOT).parts[0], FLOORS["config"])


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in product_files():
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, node: ast.expr | ast.stmt) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


# Floors


def test_imports_run_downhill():
    tool("lint-imports", "--no-cache")


def test_the_platform_folder_does_not_hide_pythons_own():
    assert not (ROOT / "platform/__init__.py").exists()
    assert platform.python_version()


def test_tests_are_no_package():
    """tests/events/__init__.py would hide the app of that name."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_relations_downwards_leave_no_accessor_below():
    """A member must not know her registrations: `related_name="+"` on every relation to a lower floor."""
    height = {model: FLOORS.get(model.__module__.split(".")[0], -1) for model in apps.get_models()}
    upward = [
        f"{relation.related_model._meta.label}.{relation.field.name} → {model._meta.label}.{relation.get_accessor_name()}"
        for model, floor in height.items()
        for relation in model._meta.related_objects  # the hidden ones ("+") are not among these
        if floor >= 0 and height.get(relation.related_model, -1) > floor and not relation.hidden
    ]
    assert not upward


def upward_strings(path: Path, tree: ast.Module) -> Iterator[str]:
    """`apps.get_model` anywhere; a string that names a module or model of a floor above."""
    above = {name for name, floor in FLOORS.items() if floor > floor_of(path)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "get_model":
            yield f"{place(path, node)} {ast.unparse(node)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            app, *rest = node.value.split(".")
            if app in above and rest and all(part.isidentifier() for part in rest):
                yield f"{place(path, node)} {node.value!r}"


def test_no_string_reaches_upwards():
    """What the import contract cannot see: a floor above, called by its name."""
    assert not [found for path, tree in trees() for found in upward_strings(path, tree)]


@pytest.mark.parametrize(
    ("code", "upward"),
    [
        ('models.ForeignKey("events.Event", models.CASCADE)', True),
        ('import_module("events.registration")', True),
        ('apps.get_model("community", "Member")', True),
        ('models.ForeignKey("realtime.Room", models.CASCADE)', False),
        ('topic = "events are many."', False),
    ],
)
def test_a_string_upwards_is_recognised(code: str, upward: bool):
    assert bool(list(upward_strings(ROOT / "community/circles.py", ast.parse(code)))) is upward


# Clock

READS_THE_CLOCK = re.compile(
    r"(timezone\.now|datetime\.(now|today|utcnow)|date\.today|time\.(time|time_ns|localtime|gmtime)|timezone\.(localdate|localtime))$"
)


def clock_readings(tree: ast.Module) -> Iterator[ast.expr]:
    """Calls that read the time of day. `localdate(moment)` is only arithmetic; `auto_now` reads it unseen."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if READS_THE_CLOCK.search(name) and not ("local" in name and node.args):
                yield node
            if name.split(".")[-1] == "Now" or any(
                word.arg in {"auto_now", "auto_now_add"} for word in node.keywords
            ):
                yield node
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "timezone.now":
            yield node


def test_the_time_is_read_in_one_place():
    found = [
        place(path, node)
        for path, tree in trees()
        if path.relative_to(ROOT).as_posix() != "realtime/clock.py"
        for node in clock_readings(tree)
    ]
    assert not found, "use realtime.clock.now()"


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("timezone.now()", True),
        ("datetime.now(UTC)", True),
        ("datetime.datetime.now(tz)", True),
        ("date.today()", True),
        ("models.DateTimeField(default=timezone.now)", True),
        ("models.DateTimeField(auto_now_add=True)", True),
        ("timezone.localdate()", True),
        ("timezone.localdate(clock.now())", False),
        ("clock.now()", False),
        ("time.monotonic()", False),
    ],
)
def test_a_clock_is_recognised(code: str, reads: bool):
    assert bool(list(clock_readings(ast.parse(code)))) is reads


# Size


def test_no_file_is_two_rooms():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in product_files()}
    assert not [
        f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > LONGEST_FILE
    ]


def test_functions_are_short_and_narrow():
    found = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                parameters = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
                if lines > LONGEST_FUNCTION or parameters > MOST_PARAMETERS:
                    found.append(f"{place(path, node)} {node.name}: {lines} lines, {parameters} parameters")
    assert not found


def test_nothing_is_left_unfinished():
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|NotImplemented" r"Error|lorem ip" r"sum")
    assert not lines_with(
        marks, [path for path in kept_files() if path.suffix in {".py", ".html", ".js", ".css"}]
    )


def test_every_test_tests():
    """Nothing skipped, nothing expected to fail, nobody sleeping."""
    dodges = re.compile(r"mark\.(sk" r"ip|xf" r"ail)|pytest\.(sk" r"ip|xf" r"ail)\(|time\.sl" r"eep\(")
    tests = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "load" not in path.parts]
    assert not lines_with(dodges, tests)  # a benchmark may wait


def lines_with(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """Where a pattern stands, file:line and the line. Files that are no text are passed over."""
    found = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if pattern.search(text):
            lines = enumerate(text.splitlines(), 1)
            found += [
                f"{path.relative_to(ROOT)}:{n}: {line.strip()[:100]}"
                for n, line in lines
                if pattern.search(line)
            ]
    return found


# Papers


def test_every_setting_is_described():
    named = re.compile(
        r"""(?:os\.environ(?:\.get\(|\[|\.setdefault\()|\b(?:flag|secret)\()\s*["']([A-Z][A-Z0-9_]+)["']"""
    )
    used = {name for path in product_files() for name in named.findall(path.read_text(encoding="utf-8"))}
    used -= {"DJANGO_SETTINGS_MODULE", "PATH", "PYTHONPATH"}
    used -= {
        "PYENV_ROOT",
        "UV_PYTHON_INSTALL_DIR",
        "UV_SYSTEM_CERTS",
        "NODE_EXTRA_CA_CERTS",
    }  # of other programs
    described = set(
        re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs/settings.md").read_text(encoding="utf-8"))
    )
    assert used <= described, sorted(used - described)


def mapped() -> set[str]:
    """The paths in backticks of README's chapter "The house"."""
    house = re.search(
        r"^## The house$(.*?)^## ", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S
    )
    assert house, "README.md has no chapter called “The house”"
    return {name.rstrip("/") for name in re.findall(r"`([\w./-]+)`", house.group(1)) if "/" in name}


def test_the_map_names_every_room():
    """Each file of the product, or the folder it lies in (a folder of its own, not a whole floor)."""
    known = mapped()
    missing = []
    for path in product_files():
        inside = path.relative_to(ROOT)
        rooms = {
            inside.as_posix(),
            *(parent.as_posix() for parent in inside.parents if len(parent.parts) > 1),
        }
        if inside.name not in {"__init__.py", "apps.py"} and not rooms & (known - {"platform/config"}):
            missing.append(inside.as_posix())
    assert not missing


def test_the_map_names_nothing_that_is_gone():
    assert not [name for name in mapped() if not (ROOT / name).exists()]


# What is committed


def test_no_lock_file_holds_an_address():
    locks = [*(ROOT / "requirements").glob("*.txt"), ROOT / "package-lock.json"]
    assert len(locks) >= 3
    assert not lines_with(re.compile(r"://|\bfile:|--(index|extra-index|find-links)"), locks)


def test_every_locked_package_has_its_hash():
    for lock in (ROOT / "requirements").glob("*.txt"):
        for package in re.split(r"\n(?=[a-z0-9])", lock.read_text(encoding="utf-8").strip()):
            assert "--hash=sha256:" in package, f"{lock.name}: {package.splitlines()[0]}"


def test_no_file_names_a_registry_or_a_folder_of_one_machine():
    registries = r"py[p]i\.org|python[h]osted\.|npm[j]s\.(org|com)|deb[i]an\.org"
    folders = r"(?<![\w.:/-])/(root|home/\w+|work|Users/\w+)/"
    assert not lines_with(re.compile(f"{registries}|{folders}"), kept_files())


def test_nothing_fetched_or_made_is_committed():
    made = re.compile(
        r"(\.min\.(js|css)|\.woff2|\.wasm|\.mo|\.pyc|\.sqlite3|/uv\.lock)$|/(node_modules|vendor|staticfiles)/"
    )
    assert not [path for path in kept_files() if made.search(path.as_posix())]


# The tools' own word


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_the_style_is_one():
    tool("ruff", "check", "--quiet", ".")


def test_the_types_hold():
    """Strict. About 25 s the first time, two when nothing changed."""
    tool("mypy", "--no-error-summary")
