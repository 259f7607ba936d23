"""What is measured: servers as children on loopback, on a database of their own, ended by their own process."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from services import free_port

ROOT = Path(__file__).resolve().parents[2]
LOAD = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
START_S = 30.0


def environment(var: Path, database_url: str, **more: str) -> dict[str, str]:
    """Of a child: its own var/, no limits, nothing that leads out."""
    outward = {"REDIS_URL", "EMAIL_URL", "PUBLIC_URL"}
    inherited = {name: value for name, value in os.environ.items() if name not in outward}
    ours = {"VAR_DIR": str(var), "DATABASE_URL": database_url, "RATE_LIMITS": "0", "DEMO": "1"}
    return inherited | ours | {"PYTHONPATH": f"{LOAD}:{ROOT}"} | more


def gunicorn(application: str, port: int) -> list[str]:
    """One worker with four threads: one core, as in the table of goals."""
    options = ["--workers", "1", "--threads", "4", "--worker-connections", "2000", "--backlog", "4096"]
    bind = [
        "--bind",
        f"127.0.0.1:{port}",
        "--keep-alive",
        "30",
        "--log-level",
        "error",
        "--no-control-socket",
    ]
    return [str(BIN / "gunicorn"), application, *bind, *options]


@contextlib.contextmanager
def serving(
    command: list[str], port: int, env: dict[str, str], ready: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The server `command` starts, once `ready` answers on `port`. Raises RuntimeError when it does not."""
    with (Path(env["VAR_DIR"]) / f"server-{port}.log").open("wb") as log:
        child = subprocess.Popen(
            command, cwd=ROOT, env=env | {"PORT": str(port)}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}{ready}", child)
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_for(url: str, child: subprocess.Popen[bytes]) -> None:
    """Ask until it answers, whatever it answers."""
    ends = time.monotonic() + START_S
    while time.monotonic() < ends and child.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own child
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.01)
    raise RuntimeError(f"no answer from {url}")


def memory_mib(pid: int) -> float:
    """What a process and its children hold in memory (RSS)."""
    pids, kib = [pid], 0
    while pids:
        one = pids.pop()
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{one}/status").read_text()
            kib += int(status.split("VmRSS:")[1].split()[0])
            pids += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return kib / 1024


def port() -> int:
    return free_port()
