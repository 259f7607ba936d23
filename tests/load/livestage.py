"""What the live benchmarks stand on: databases of their own, servers on one core, the client and the databases on the other."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import services
import sites

PYTHON = sys.executable
SERVER_CORE, CLIENT_CORE = 0, 1
NO_QUERY = re.compile(r"(BEGIN|COMMIT|ROLLBACK|SET|SHOW|DEALLOCATE|SAVEPOINT|RELEASE)\b")


@dataclass(frozen=True)
class Server:
    """A server that is up."""

    port: int
    pid: int

    def plan(self, cookie: str = "", watch: list[str] | None = None, **more: Any) -> dict[str, Any]:
        """How a client opens a socket here: at a peer without more, at the product as a browser does."""
        here = f"ws://127.0.0.1:{self.port}"
        if watch is None:
            return {"url": f"{here}/"}
        origin = f"http://127.0.0.1:{self.port}"
        headers = {"Cookie": cookie, "Origin": origin, "Sec-WebSocket-Protocol": "circles.v1"}
        return {"url": f"{here}/ws/", "headers": headers, "watch": watch} | more


class Child:
    """A child that is told what to do line by line and answers each with a line."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._child = subprocess.Popen(
            command, cwd=sites.ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def line(self, line: str) -> str:
        """Raises RuntimeError when the child has died."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        if not (answer := self._child.stdout.readline()):
            raise RuntimeError("a child of the benchmark has ended; its words are above")
        return answer

    def ask(self, verb: str, **command: Any) -> dict[str, Any]:
        """What the client (liveclient.py) answers to a command."""
        return dict(json.loads(self.line(json.dumps({"verb": verb} | command))))

    def end(self) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@dataclass
class Stage:
    """Where files are, and what is running."""

    var: Path
    folder: Path
    postgresql: str
    redis: str
    says: Any

    @property
    def databases(self) -> dict[str, str]:
        """Both, by the name people know them by."""
        return {"SQLite": "", "PostgreSQL": self.postgresql}

    def env(self, url: str, **more: str) -> dict[str, str]:
        return sites.environment(self.var, url, DJANGO_SETTINGS_MODULE="config.settings", **more)

    def prepare(self, url: str, *sizes: int) -> dict[str, Any]:
        """A fresh database with the people and rooms of all figures, made on the servers' core: none is up yet."""
        env = self.env(url)
        migrate = [PYTHON, "platform/manage.py", "migrate", "--noinput", "-v0"]
        subprocess.run(pinned(migrate), cwd=sites.ROOT, env=env, check=True)
        script = [PYTHON, str(sites.LOAD / "liveprepare.py"), "region", *map(str, sizes)]
        command = pinned(script)
        made = subprocess.run(command, cwd=sites.ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
        return dict(json.loads(made.stdout.splitlines()[-1]))

    @contextlib.contextmanager
    def product(self, url: str, redis: str = "") -> Iterator[Server]:
        """The product in one process under daphne, without the sweeps, on the servers' core."""
        port = sites.port()
        command = [PYTHON, "platform/manage.py", "serve", "--no-sweeps", "--port", str(port)]
        env = self.env(url, PUBLIC_URL=f"http://127.0.0.1:{port}") | ({"REDIS_URL": redis} if redis else {})
        with sites.serving(pinned(command), port, env, "/healthz") as child:
            try:
                yield Server(port, child.pid)
            finally:
                log = (self.var / f"server-{port}.log").read_text(errors="replace")
                if "Traceback" in log or "rror" in log:
                    self.says(f"  !! the server has said {log.count('Traceback')} errors:\n{log[-1500:]}")

    @contextlib.contextmanager
    def peer(self, name: str) -> Iterator[Server]:
        """One of livepeers.py, on the servers' core."""
        port = sites.port()
        command = [PYTHON, str(sites.LOAD / "livepeers.py"), name, str(port)]
        with sites.serving(pinned(command), port, sites.environment(self.var, ""), "/") as child:
            yield Server(port, child.pid)

    @contextlib.contextmanager
    def client(self) -> Iterator[Child]:
        """A process full of sockets, on the clients' core."""
        child = Child([PYTHON, str(sites.LOAD / "liveclient.py")], self.env(""))
        try:
            yield child
        finally:
            child.end()

    @contextlib.contextmanager
    def bare(self, url: str) -> Iterator[Child]:
        """The bare loop of commits on a database, on the servers' core."""
        child = Child(pinned([PYTHON, str(sites.LOAD / "liveprepare.py"), "bare"]), self.env(url))
        try:
            yield child
        finally:
            child.end()

    @contextlib.contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Every statement that connections made from here on send to PostgreSQL, once the block is over."""
        log, name = self.folder / "PostgreSQL.log", urlsplit(self.postgresql).path.strip("/")
        size, found = log.stat().st_size, list[str]()
        with psycopg.connect(self.postgresql, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")
            try:
                yield found
            finally:
                connection.execute(f'ALTER DATABASE "{name}" RESET log_statement')
        with log.open(errors="replace") as lines:
            lines.seek(size)
            said = (re.search(r"LOG:  (?:statement|execute [^:]*): (.*)", line) for line in lines)
            found += [one[1] for one in said if one and not NO_QUERY.match(one[1])]


def pinned(command: list[str]) -> list[str]:
    """The command on the servers' core, where there are two and a way to say so."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(SERVER_CORE), *command] if taskset and (os.cpu_count() or 1) > 1 else command


@contextlib.contextmanager
def staged(says: Any) -> Iterator[Stage]:
    """PostgreSQL that really writes, Redis, and this process with all its children on the clients' core."""
    before = os.sched_getaffinity(0)
    user = services.other_user()
    with contextlib.ExitStack() as all_of_it:
        if {SERVER_CORE, CLIENT_CORE} <= before:
            os.sched_setaffinity(0, {CLIENT_CORE})
            all_of_it.callback(os.sched_setaffinity, 0, before)
        var = Path(all_of_it.enter_context(tempfile.TemporaryDirectory(prefix="circles-live-")))
        folder = all_of_it.enter_context(services.a_folder(user))
        postgresql = all_of_it.enter_context(services.postgresql(folder, user, durable=True)).url
        redis = all_of_it.enter_context(services.redis_server(folder, user)).url
        yield Stage(var, folder, postgresql, redis, says)
