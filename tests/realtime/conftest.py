"""Servers of their own for the socket tests: daphne children on the same database as the test."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection


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
        command = [sys.executable, str(settings.ROOT / "platform/manage.py"), "serve", "--no-sweeps"]
        self._child = subprocess.Popen(
            [*command, "--port", str(self.port)],
            env=os.environ | self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._child.stdout is not None
        assert self._child.stdout.readline().startswith("Ready"), "the server did not start"

    def stop(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait(10)

    def ask_to_end(self) -> None:
        """As whoever runs it does before an upgrade."""
        assert self._child is not None
        self._child.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Until it has ended by itself."""
        assert self._child is not None
        self._child.wait(15)

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
