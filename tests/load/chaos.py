"""What happens to the servers, the bus, the database and the network of the checker, at random and noted."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from urllib.request import urlopen

import services
from faults import Link, Plan, Proxy
from talker import Talker

START_S = 30.0
DRAIN_S = 30.0
HEALTH_S = 0.2


class Site:
    """One server process of ours: `start`, `kill`, `freeze`, `thaw`, `end` (as an operator does, with SIGTERM)."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.port = services.free_port()
        self._command = [*command, "--port", str(self.port)]
        self._env = env | {"PUBLIC_URL": f"http://localhost:{self.port}"}
        self._log = log
        self._child: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        return f"server {self.port}"

    def start(self) -> None:
        """Returns when it takes connections. Raises RuntimeError with its log when it does not."""
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._child.stdout is not None
        if not self._child.stdout.readline().startswith("Ready"):
            raise RuntimeError(f"a server did not start:\n{self._log.read_text(errors='replace')[-3000:]}")

    def is_ready(self) -> bool:
        """What /readyz says."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def tell(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    def kill(self) -> None:
        self.tell(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(10)

    def end(self) -> int:
        """SIGTERM, and its exit code. Raises subprocess.TimeoutExpired when it takes longer than it may."""
        assert self._child is not None
        self.tell(signal.SIGTERM)
        return self._child.wait(DRAIN_S)

    def processes(self) -> list[int]:
        return [] if self._child is None or self._child.poll() is not None else [self._child.pid]


def family(pid: int) -> list[int]:
    """A process and all that come from it, itself first."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            found += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return found


def tell_all(pid: int, number: signal.Signals) -> None:
    """A signal to a process and its children (PostgreSQL has one for each connection)."""
    for one in family(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, number)


@dataclass
class Fault:
    """What was harmed, how, and from when to when nobody is to blame for it."""

    target: str
    kind: str
    since: float
    until: float = float("inf")


@dataclass
class World:
    """All that can be harmed."""

    sites: list[Site]
    talkers: list[Talker]
    redis: services.Server | None = None
    redis_proxy: Proxy | None = None
    postgres: services.Server | None = None
    unready: set[int] = field(default_factory=set)  # ports that say so: nobody new is sent there


@dataclass
class Chaos:
    """Harms the world until cancelled; then everything is healed again. `pace_s`: how often, and how long it lasts."""

    world: World
    rng: random.Random
    pace_s: float
    only_lines: bool = False
    faults: list[Fault] = field(default_factory=list)
    _busy: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def counts(self) -> Counter[str]:
        return Counter(fault.kind for fault in self.faults)

    # ------------------------------------------------------------------------------------------- when

    async def run(self, seconds: float) -> None:
        """For so long; returns when all is healed. Raises what went wrong in starting something again."""
        ends = monotonic() + seconds
        network = asyncio.create_task(self._network(ends))
        bag: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        while (now := monotonic()) < ends and not self.only_lines:
            bag = bag or self._a_bag()
            free = [one for one in bag if one[0] not in self._busy]
            if free and len(self._busy) < 3:
                target, harm = free[0]
                bag.remove(free[0])
                self._busy.add(target)
                task = asyncio.create_task(self._do(target, harm, ends))
                self._tasks.add(task)
            await asyncio.sleep(min(self.rng.uniform(0.3, 1.7) * self.pace_s, max(0.0, ends - now)))
        await network
        await asyncio.gather(*self._tasks)

    async def _do(self, target: str, harm: Callable[[], Awaitable[None]], ends: float) -> None:
        """Harm it, then leave it in peace for a while: something must also go well."""
        try:
            await harm()
            peace = self._a_while() * (3 if target.startswith("server") else 1)
            await asyncio.sleep(max(0.0, min(peace, ends - monotonic())))
        finally:
            self._busy.discard(target)

    def _a_bag(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Each kind of harm once, in random order: a short run sees them all."""
        world = self.world
        site = self.rng.choice(world.sites)
        other = self.rng.choice(world.sites)
        bag: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            (site.name, lambda: self._kill_site(site)),
            (other.name, lambda: self._freeze_site(other)),
        ]
        if world.redis is not None and world.redis_proxy is not None:
            redis, proxy = world.redis, world.redis_proxy
            bag += [
                ("redis", lambda: self._kill(redis, "redis", signal.SIGKILL)),
                ("redis", lambda: self._freeze(redis, "redis")),
                ("redis", lambda: self._half_open_redis(proxy)),
                ("redis", lambda: self._cut_redis(proxy)),
            ]
        if world.postgres is not None:
            postgres = world.postgres
            bag += [
                ("database", lambda: self._kill(postgres, "database", signal.SIGQUIT)),
                ("database", lambda: self._freeze(postgres, "database")),
            ]
        self.rng.shuffle(bag)
        return bag

    @contextlib.contextmanager
    def _noted(self, target: str, kind: str) -> Iterator[Fault]:
        fault = Fault(target, kind, monotonic())
        self.faults.append(fault)
        try:
            yield fault
        finally:
            fault.until = monotonic()

    def _a_while(self) -> float:
        return self.rng.uniform(0.4, 1.6) * self.pace_s

    # ---------------------------------------------------------------------------------------- processes

    async def _kill_site(self, site: Site) -> None:
        with self._noted(site.name, "server killed"):
            await asyncio.to_thread(site.kill)
            await asyncio.sleep(self._a_while() / 2)
            await asyncio.to_thread(site.start)

    async def _freeze_site(self, site: Site) -> None:
        with self._noted(site.name, "server frozen"):
            site.tell(signal.SIGSTOP)
            try:
                await asyncio.sleep(self._a_while())
            finally:
                site.tell(signal.SIGCONT)

    async def watch_health(self) -> None:
        """What a load balancer does: ask each server whether it is ready. Until cancelled."""
        while True:
            for site in self.world.sites:
                is_ready = await asyncio.to_thread(site.is_ready)
                (self.world.unready.discard if is_ready else self.world.unready.add)(site.port)
            await asyncio.sleep(HEALTH_S)

    async def restart_site(self, site: Site) -> float:
        """As an operator: SIGTERM, wait until it has gone, start again. Gives how long it took to go."""
        with self._noted(site.name, "server restarted"):
            began = monotonic()
            await asyncio.to_thread(site.end)
            took = monotonic() - began
            await asyncio.to_thread(site.start)
        return took

    async def _kill(self, server: services.Server, target: str, how: signal.Signals) -> None:
        assert server.child is not None
        with self._noted(target, f"{target} killed"):
            server.tell(how)
            await asyncio.to_thread(server.child.wait, 30)
            await asyncio.sleep(self._a_while() / 2)
            await asyncio.to_thread(server.start)

    async def _freeze(self, server: services.Server, target: str) -> None:
        assert server.child is not None
        pid = server.child.pid
        with self._noted(target, f"{target} frozen"):
            tell_all(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(self._a_while())
            finally:
                tell_all(pid, signal.SIGCONT)

    # ------------------------------------------------------------------------------------------ network

    async def _half_open_redis(self, proxy: Proxy) -> None:
        with self._noted("redis", "redis half open"):
            links = list(proxy.links)
            for link in links:
                link.half_open()
            await asyncio.sleep(self._a_while())
            for link in links:
                link.cut()

    async def _cut_redis(self, proxy: Proxy) -> None:
        with self._noted("redis", "redis cut"):
            for link in list(proxy.links):
                link.reset() if self.rng.random() < 0.5 else link.cut()

    async def _network(self, ends: float) -> None:
        """One client after the other has trouble with its line."""
        tasks = []
        while monotonic() < ends:
            await asyncio.sleep(self.rng.uniform(0.1, 0.5) * self.pace_s)
            talker = self.rng.choice(self.world.talkers)
            harm = self.rng.choice(["cut", "reset", "half open", "delay", "no reader"])
            tasks.append(asyncio.create_task(self._harm_line(talker, harm)))
        await asyncio.gather(*tasks)

    async def _harm_line(self, talker: Talker, harm: str) -> None:
        for link in list(talker.proxy.links):
            with self._noted(talker.name, f"line: {harm}"):
                await self._harm_link(link, harm)

    async def _harm_link(self, link: Link, harm: str) -> None:
        if harm == "cut":
            link.cut()
        elif harm == "reset":
            link.reset()
        elif harm == "half open":
            link.half_open()
            await asyncio.sleep(self._a_while())
            link.cut()
        elif harm == "delay":
            link.delay_s = self.rng.uniform(0.05, 0.4)
            await asyncio.sleep(2 * self._a_while())
            link.delay_s = 0.0
        else:
            link.stop_reading()
            await asyncio.sleep(self._a_while())
            link.stop_reading(on=False)


def plans(rng: random.Random, is_calm: Callable[[], bool]) -> Callable[[], Plan]:
    """What is to happen to each new line of a client: mostly nothing."""

    def plan() -> Plan:
        dice = rng.random()
        if is_calm() or dice < 0.6:
            return Plan()
        if dice < 0.8:
            return Plan(reset_after=rng.randint(100, 60_000))
        return Plan(tiny_window=True) if dice < 0.9 else Plan(delay_s=rng.uniform(0.01, 0.1))

    return plan
