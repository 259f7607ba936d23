"""Servers of their own for the socket tests: daphne children on the same database as the test."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

READY_WITHIN_S = 30


class Server:
    """A daphne child. `stop` ends it as a restart does, `start` brings it back on the same port."""

    def __init__(self, var: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ws/"
        self._var = var
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "daphne",
            "-b",
            "127.0.0.1",
            "-p",
            str(self.port),
            "config.asgi:application",
        ]
        self._child = subprocess.Popen(
            command, env=os.environ | self._environment(), stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            assert self._child.poll() is None, "the server did not start"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the server did not answer")

    def stop(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait(10)

    def _environment(self) -> dict[str, str]:
        """The test's own database and secrets, under the names a server knows them by."""
        given = {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "VAR_DIR": str(self._var),
            "SECRET_KEY": settings.SECRET_KEY,
            "PUBLIC_URL": f"http://localhost:{self.port}",
            "REDIS_URL": settings.REDIS_URL,
            "RATE_LIMITS": "0",
        }
        name = str(connection.settings_dict["NAME"])
        if connection.vendor == "sqlite":
            here = self._var / "circles.sqlite3"
            if not here.is_symlink():
                here.symlink_to(name)
            return given
        return given | {
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        }


@pytest.fixture
def serve(transactional_db: None, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Start servers: `serve()` gives a running one; all end with the test."""
    servers: list[Server] = []

    def one_more() -> Server:
        var = tmp_path / f"server{len(servers)}"
        var.mkdir()
        server = Server(var)
        servers.append(server)
        server.start()
        return server

    yield one_more
    for server in servers:
        server.stop()
