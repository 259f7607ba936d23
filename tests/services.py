"""PostgreSQL and Redis of their own for tests and development: started on free ports, gone afterwards.

As a program it runs them until stopped (`make services`). They listen on 127.0.0.1 only, with a password made
for this run. PostgreSQL refuses to run as root, so for root they belong to another user, in a short folder that
this user can reach; otherwise they live under var/. Nothing here is durable (fsync is off): only for tests.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

ROOT = Path(__file__).resolve().parent.parent
START_S = 30


class Missing(Exception):
    """A program is not on this machine; the text says which package brings it."""


@dataclass(frozen=True)
class Services:
    """Where they listen, as settings.py wants to hear it."""

    database_url: str
    redis_url: str

    @property
    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}


def binary(name: str, package: str) -> str:
    """The path of a program, on PATH or (Debian's PostgreSQL is not) in the newest /usr/lib/postgresql. Raises Missing."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: -int(p.parts[-3]))
    if newest_first:
        return str(newest_first[0])
    if found := shutil.which(name):
        return found
    raise Missing(f"{name} (apt install {package})")


def programs() -> dict[str, str]:
    """The programs needed. Raises Missing with the first that is not there."""
    postgres = {name: binary(name, "postgresql") for name in ("initdb", "postgres")}
    return {**postgres, "redis-server": binary("redis-server", "redis-server")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def other_user() -> str | None:
    """Whom the servers belong to when we are root: postgres if there is one, else nobody."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def start(command: list[str], folder: Path, user: str | None, log: Path) -> subprocess.Popen[bytes]:
    """A child in `folder`, as `user`, that does not hear our Ctrl-C: we end it ourselves, in order."""
    group = pwd.getpwnam(user).pw_gid if user else None
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            user=user,
            group=group,
            extra_groups=[] if user else None,
            start_new_session=True,
        )


@dataclass
class Server:
    """One of them, running: it can be frozen, killed and started again on the same port and the same data."""

    name: str
    url: str
    command: list[str]
    folder: Path
    user: str | None
    not_yet: type[BaseException]  # what `ask` raises until it answers
    ask: Callable[[], object]
    child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self, first: Callable[[], object] | None = None) -> None:
        """Start it and wait until it answers; raises RuntimeError with its log when it died or took too long."""
        self.child = start(self.command, self.folder, self.user, self.log)
        ask, ends = first or self.ask, time.monotonic() + START_S
        while time.monotonic() < ends:
            try:
                ask()
                return
            except self.not_yet:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.child.wait(0.05)
                    break
        raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def tell(self, number: signal.Signals) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(number)

    def stop(self, how: signal.Signals) -> None:
        if self.child is not None:
            self.tell(signal.SIGCONT)  # a frozen one hears nothing
            stop(self.child, how)


def stop(child: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if child.poll() is None:
        child.send_signal(how)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def a_folder(user: str | None) -> Iterator[Path]:
    """A folder of their own that is gone at the end, whatever happens. Socket and data paths stay short."""
    parent = None if user else ROOT / "var"
    if parent:
        parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="circles-services-", dir=parent))
    try:
        if user:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, connect_timeout=2, autocommit=True)


def make_database(url: str) -> None:
    with connect(f"{url}/postgres") as connection:
        connection.execute("CREATE DATABASE circles")


def answers(url: str) -> None:
    with connect(url) as connection:
        connection.execute("SELECT 1")


@contextlib.contextmanager
def postgresql(
    folder: Path, user: str | None, *, durable: bool = False, outlives_kills: bool = False
) -> Iterator[Server]:
    """A fresh PostgreSQL in `folder`. `durable`: a commit is on the disk, as in production; `outlives_kills`: what it
    committed is still there after a kill of its own, though not after one of the machine.
    """
    need = programs()
    password, port, log = secrets.token_hex(12), free_port(), folder / "initdb.log"
    word = folder / "password"
    word.write_text(password)
    word.chmod(0o600)
    if user:
        shutil.chown(word, user)
    made = [need["initdb"], "-D", "data", "-U", "circles", "--pwfile=password", "--auth=scram-sha-256"]
    making = start([*made, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"], folder, user, log)
    try:
        failed = making.wait(120)
    finally:
        stop(making, signal.SIGTERM)
    if failed:
        raise RuntimeError(f"initdb failed:\n{log.read_text(errors='replace')}")
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "port": str(port),
        "max_connections": "200",
    }
    if not durable:
        commits = "on" if outlives_kills else "off"
        settings |= {"fsync": "off", "synchronous_commit": commits, "full_page_writes": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    url = f"postgres://circles:{password}@127.0.0.1:{port}"
    server = Server(
        name="PostgreSQL",
        url=f"{url}/circles",
        command=[need["postgres"], "-D", "data", *options],
        folder=folder,
        user=user,
        not_yet=psycopg.OperationalError,
        ask=lambda: answers(f"{url}/circles"),
    )
    try:
        server.start(first=lambda: make_database(url))
        yield server
    finally:
        server.stop(signal.SIGINT)  # "fast": ends connections, not the data


@contextlib.contextmanager
def redis_server(folder: Path, user: str | None) -> Iterator[Server]:
    """A fresh Redis in `folder`, with 64 numbered databases and nothing on disk."""
    password, port = secrets.token_hex(12), free_port()
    config = folder / "redis.conf"  # not on the command line, where everybody can read it
    config.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndatabases 64\ndir {folder}\n'
    )
    config.chmod(0o600)
    if user:
        shutil.chown(config, user)
    url = f"redis://:{password}@127.0.0.1:{port}"
    with redis.Redis.from_url(url) as client:
        server = Server(
            name="Redis",
            url=url,
            command=[programs()["redis-server"], str(config)],
            folder=folder,
            user=user,
            not_yet=redis.ConnectionError,
            ask=client.ping,
        )
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGTERM)


@contextlib.contextmanager
def running() -> Iterator[Services]:
    """Both servers, or those DATABASE_URL and REDIS_URL name. Raises Missing before anything is started."""
    given = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    if all(given):
        yield Services(*given)
        return
    programs()
    user = other_user()
    with a_folder(user) as folder, contextlib.ExitStack() as both:
        database_url = given[0] or both.enter_context(postgresql(folder, user)).url
        yield Services(database_url, given[1] or both.enter_context(redis_server(folder, user)).url)


def main() -> None:
    """Run both until Ctrl-C or SIGTERM, and say how to use them."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    try:
        with running() as services:
            for name, url in services.environment.items():
                print(f"export {name}={url}")
            print("Until Ctrl-C. In another terminal: the two lines above, then `make run`.", flush=True)
            ended.wait()
    except Missing as program:
        sys.exit(f"Missing: {program}")


if __name__ == "__main__":
    main()
