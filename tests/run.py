"""What `make test`, `make check` and `make browser` run, one after the other, with what each took.

Whatever this machine cannot run is named at the end together with how to get it; with CI=true it is a failure.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import services

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv/bin"
PYTHON = str(BIN / "python")
MANAGE = [PYTHON, "platform/manage.py"]
IN_CI = os.environ.get("CI") == "true"
CHROMIUMS = ["chromium", "chromium-browser", "google-chrome", "chrome"]


@dataclass
class Report:
    """What ran, how long and how it ended; what could not run, and why."""

    ran: list[tuple[str, float, bool]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def run(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        """Run one step in the open. It fails the whole, but does not keep the next ones from running."""
        print(f"\n── {name} {'─' * max(2, 74 - len(name))}", flush=True)
        began = time.monotonic()
        ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **(environment or {})}, check=False)
        self.ran.append((name, time.monotonic() - began, ended.returncode == 0))

    def leave_out(self, name: str, why: str) -> None:
        print(f"\n── {name}: not here ──\n{why}", flush=True)
        self.left_out.append((name, why))

    def close(self) -> int:
        """Print the sum; gives the exit code."""
        print(f"\n{'═' * 78}")
        for name, seconds, well in self.ran:
            print(f"  {'ok    ' if well else 'FAILED'}  {name:<54} {seconds:7.1f} s")
        for name, why in self.left_out:
            print(f"  NOT RUN {name}: {why}")
        print(f"          {'in all':<54} {sum(seconds for _, seconds, _ in self.ran):7.1f} s", flush=True)
        failed = not all(well for _, _, well in self.ran)
        return int(failed or bool(self.left_out and IN_CI))


@contextlib.contextmanager
def a_var_folder() -> Iterator[dict[str, str]]:
    """An environment whose var/ is new, empty and gone afterwards; in memory where the machine has that."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    folder = tempfile.mkdtemp(prefix="circles-tests-", dir=memory if roomy else None)
    try:
        yield {"VAR_DIR": folder}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unit_tests(report: Report) -> None:
    """Everything but the browser: on the embedded default, then on PostgreSQL and Redis. What measures time runs alone."""
    together = ["-m", "not alone", "-n", os.environ.get("WORKERS", "auto")]

    def run(name: str, environment: dict[str, str]) -> None:
        for what, how in (("Tests", together), ("Talk under fire", ["-m", "alone"])):
            with a_var_folder() as var:
                report.run(f"{what} {name}", [PYTHON, "-m", "pytest", "-q", *how], {**var, **environment})

    run("on SQLite, in one process", {"DATABASE_URL": "", "REDIS_URL": ""})
    name = "on PostgreSQL and Redis"
    try:
        with services.running() as found:
            run(name, found.environment)
    except services.Missing as program:
        report.leave_out(f"Tests {name}", f"missing: {program}")


def browser_tests(report: Report) -> None:
    """The main job in a real Chromium against a real server."""
    name = "Tests in the browser"
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if not chromium:
        report.leave_out(name, "missing: a Chromium (apt install chromium; or CHROMIUM=path)")
        return
    if not (ROOT / "node_modules/axe-core/axe.min.js").exists():
        report.leave_out(
            name, "missing: the browser parts (a connection to the npm registry, without NODE=0)"
        )
        return
    with a_var_folder() as var:
        command = [PYTHON, "-m", "pytest", "-q", "-c", "tests/browser/pytest.ini", "tests/browser"]
        report.run(name, command, {**var, "CHROMIUM": chromium, "DATABASE_URL": "", "REDIS_URL": ""})


def checks(report: Report) -> None:
    """What needs no test to be seen."""
    templates = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "templates").rglob("*.html"))
    with a_var_folder() as var:
        report.run("Style", [str(BIN / "ruff"), "check", "--quiet", "."])
        report.run("Format", [str(BIN / "ruff"), "format", "--quiet", "--check", "."])
        report.run("Templates", [str(BIN / "djade"), "--check", "--target-version", "6.1", *templates])
        report.run("Types", [str(BIN / "mypy"), "--no-error-summary"], var)
        report.run("Imports run downhill", [str(BIN / "lint-imports"), "--no-cache"])
        report.run("System check", [*MANAGE, "check", "--fail-level", "WARNING"], var)
        report.run("Migrations are complete", [*MANAGE, "makemigrations", "--check", "--dry-run"], var)
        report.run("Translations are complete", [*MANAGE, "words", "check"], var)
        report.run("Lock files", [PYTHON, "-m", "pytest", "-q", "tests/test_house.py", "-k", "lock"], var)


def main() -> int:
    report = Report()
    what = sys.argv[1:]
    if "check" in what:
        checks(report)
    if "test" in what:
        unit_tests(report)
    if "test" in what or "browser" in what:
        browser_tests(report)
    return report.close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
