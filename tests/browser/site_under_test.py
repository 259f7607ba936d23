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
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, str(ROOT / "platform/manage.py")]
START_S = 60


def environment(var: Path, **more: str) -> dict[str, str]:
    """This one's, with everything that could lead out of the test taken away."""
    ours = {
        "VAR_DIR": str(var),
        "DEMO": "1",
        "RATE_LIMITS": "0",
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "EMAIL_URL": "",
    }
    return {**os.environ, **{name: value for name, value in ours.items() if value}, **more} | {
        name: "" for name, value in ours.items() if not value and name in os.environ
    }


def make_template(var: Path) -> Path:
    """Migrate, fill, collect: once for all modules."""
    for command in (
        ["collectstatic", "--noinput", "-v0"],
        ["migrate", "--noinput", "-v0"],
        ["demo", "--quiet"],
    ):
        done = subprocess.run(
            [*MANAGE, *command], env=environment(var), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"manage.py {command[0]}:\n{done.stdout}{done.stderr}"
    return var


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Site:
    """One server. `clock` moves its time, `stop` and `start` restart it on the same data and port."""

    children: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, template: Path, var: Path) -> None:
        shutil.copytree(template, var, ignore=shutil.ignore_patterns("static"))
        (var / "static").symlink_to(template / "static")
        self.var, self.port = var, free_port()
        self.url = f"http://localhost:{self.port}"
        self._log = var / "server.log"
        (var / "clock").write_text("0")

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        more = {"PORT": str(self.port), "PUBLIC_URL": self.url, "CLOCK_FILE": str(self.var / "clock")}
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
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(20)

    def travel(self, seconds: float) -> None:
        """The server's clock goes this far ahead of the real one (from the start, not from the last journey)."""
        (self.var / "clock").write_text(str(seconds))
