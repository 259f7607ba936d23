"""The site as a child process: started on a copy of the demo region, stopped, started again."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from pyrage.x25519 import Identity

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, str(ROOT / "platform/manage.py")]
START_S = 60
# The demo has an event this evening: for the site it is ten in the morning, whenever the tests run.
MORNING = datetime.now(ZoneInfo("Europe/Brussels")).replace(hour=10, minute=0, second=0, microsecond=0)


def environment(var: Path, **more: str) -> dict[str, str]:
    """This one's, with everything that could lead out of the test taken away."""
    outward = {"DATABASE_URL", "REDIS_URL", "EMAIL_URL"}
    inherited = {name: value for name, value in os.environ.items() if name not in outward}
    ours = {"VAR_DIR": str(var), "CLOCK_FILE": str(var / "clock"), "DEMO": "1", "RATE_LIMITS": "0"}
    return inherited | ours | more


def set_clock(var: Path, moment: datetime) -> None:
    """For what runs on this var/ it is `moment` now, and time goes on from there."""
    (var / "clock").write_text(str((moment - datetime.now(UTC)).total_seconds()))


def make_template(var: Path) -> Path:
    """The region as a backup of it was restored on another machine: what these tests find is found after the worst day."""
    first = var / "first"
    first.mkdir()
    key, backup, key_file = Identity.generate(), first / "region.age", first / "backup.key"
    key_file.write_text(str(key))
    for folder in (first, var):
        set_clock(folder, MORNING)
        manage(folder, "migrate", "--noinput", "-v0")
    manage(first, "demo", "--quiet")
    manage(first, "backup", str(backup), "--key", str(key.to_public()))
    manage(var, "restore", str(backup), "--key", str(key_file))
    shutil.rmtree(first)
    manage(var, "collectstatic", "--noinput", "-v0")
    return var


def manage(var: Path, *command: str) -> None:
    """Run one of manage.py's commands on this var/; the test run ends with what it said when it fails."""
    done = subprocess.run(
        [*MANAGE, *command], env=environment(var), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"manage.py {command[0]}:\n{done.stdout}{done.stderr}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Site:
    """One server. `travel` moves its time, `stop` and `start` restart it on the same data and port."""

    children: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, template: Path, var: Path) -> None:
        shutil.copytree(template, var, ignore=shutil.ignore_patterns("static"))
        (var / "static").symlink_to(template / "static")
        self.var, self.port = var, free_port()
        self.url = f"http://localhost:{self.port}"
        self._log = var / "server.log"
        self._read = 0
        self.complaints: list[str] = []

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _trouble(self) -> list[str]:
        """Its early end, and errors logged since the last start. (What stopping itself breaks off is no error.)"""
        ended = (
            [f"the server ended by itself ({self.child.returncode})"] if self.child.poll() is not None else []
        )
        fresh = self.log[self._read :]
        return [*ended, *([fresh[-6000:]] if ended or "Traceback" in fresh else [])]

    def start(self) -> None:
        self._read = len(self.log) if self._log.exists() else 0
        more = {"PORT": str(self.port), "PUBLIC_URL": self.url}
        with self._log.open("ab") as log:
            self.child = subprocess.Popen(
                [*MANAGE, "serve"], env=environment(self.var, **more), stdout=log, stderr=subprocess.STDOUT
            )
        self.children.append(self.child)
        ends = time.monotonic() + START_S
        while time.monotonic() < ends:
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                try:
                    self.child.wait(0.05)
                    break
                except subprocess.TimeoutExpired:
                    continue
        raise RuntimeError(f"the server did not start:\n{self.log[-4000:]}")

    def stop(self) -> None:
        self.complaints += self._trouble()
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(20)

    def change(self, python: str) -> None:
        """Change rows as no page can, with the server running: one line for manage.py's shell."""
        manage(self.var, "shell", "-c", python)

    def travel(self, moment: datetime) -> None:
        """For this server it is `moment` now."""
        set_clock(self.var, moment)
