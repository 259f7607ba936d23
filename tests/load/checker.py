"""The proof that talk never loses a line: many clients write and read while everything under them is killed.

`make soak MINUTES=20` runs it long, `make test` a few seconds, on SQLite with one server and on PostgreSQL and Redis
with two. What is harmed and when comes from SEED; the machine decides what that meets. Afterwards everything is
healed, everybody has 20 s to catch up, and proof.py compares what each client noted with the database.

    python tests/load/checker.py --stack postgres --seconds 60 --seed 7
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOAD = Path(__file__).resolve().parent
ROOT = LOAD.parents[1]
sys.path[:0] = [str(LOAD), str(LOAD.parent), str(ROOT)]

import broken  # noqa: E402
import django  # noqa: E402 - the folders first
import proof  # noqa: E402
import services  # noqa: E402
from chaos import Chaos, Fault, Site, World, plans  # noqa: E402
from faults import Proxy  # noqa: E402
from talker import WELCOME_S, Op, Talker, uuid_of  # noqa: E402

MANAGE = ROOT / "platform/manage.py"
CATCH_UP_S = 20.0
STALL_S = 0.25
READ_S = 6.0


@dataclass
class Stack:
    """The servers under the sites, and the environment that leads to them."""

    env: dict[str, str]
    folder: Path
    redis: services.Server | None = None
    postgres: services.Server | None = None


@contextlib.contextmanager
def stack(kind: str) -> Iterator[Stack]:
    """A database of its own, and for postgres a bus; gone afterwards."""
    memory = Path("/dev/shm")
    parent = os.environ.get("VAR_DIR") or (memory if os.access(memory, os.W_OK) else None)
    with contextlib.ExitStack() as all_of_it:
        folder = Path(
            all_of_it.enter_context(tempfile.TemporaryDirectory(prefix="circles-checker-", dir=parent))
        )
        outward = {"REDIS_URL", "EMAIL_URL", "PUBLIC_URL", "DATABASE_URL", "DEMO", "PORT"}
        env = {name: value for name, value in os.environ.items() if name not in outward}
        env |= {"VAR_DIR": str(folder), "RATE_LIMITS": "0", "SECRET_KEY": secrets.token_hex(32)}
        env |= {"DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": f"{LOAD}:{LOAD.parent}:{ROOT}"}
        # A server is started again and again: it need not compile its modules each time.
        env |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(ROOT / "var/bytecode")}
        if kind == "sqlite":
            yield Stack(env, folder)
            return
        services.programs()
        user = services.other_user()
        home = all_of_it.enter_context(services.a_folder(user))
        postgres = all_of_it.enter_context(services.postgresql(home, user, outlives_kills=True))
        redis = all_of_it.enter_context(services.redis_server(home, user))
        env |= {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
        yield Stack(env, folder, redis, postgres)


@dataclass
class Run:
    """One run of the checker."""

    options: argparse.Namespace
    stack: Stack
    hands: Any  # checker_world, which needs Django
    rng: random.Random
    faults: list[Fault] = field(default_factory=list)
    talkers: list[Talker] = field(default_factory=list)
    pages: list[tuple[str, Op]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    is_calm: bool = False

    def own(self, name: str) -> random.Random:
        """Everybody has dice of their own: what one does does not change what comes to another."""
        return random.Random(f"{self.options.seed} {name}")

    async def run(self) -> proof.Verdict:
        """Start, harm, heal, catch up, judge."""
        people, rooms = await asyncio.to_thread(
            self.hands.make_people, self.options.members, self.options.rooms
        )
        async with contextlib.AsyncExitStack() as proxies:
            sites = await self._start_sites(proxies)
            world = World(sites, self.talkers, self.stack.redis, self._redis_proxy, self.stack.postgres)
            self.world = world
            chaos = Chaos(world, self.own("chaos"), self.options.pace, only_lines=self.options.only_lines)
            self.faults = chaos.faults
            try:
                lives = await self._bring_in(people, rooms, sites, proxies)
                await self._harm(chaos, people, rooms)
                await self._catch_up(rooms)
                await self._read_everything()
                for task in lives:
                    task.cancel()
                await asyncio.gather(*lives, return_exceptions=True)
                offset = time.monotonic() - time.time()
                truth = await asyncio.to_thread(self.hands.truth, rooms, offset)
                await self._last_welcome(people, truth)
            finally:
                for site in sites:
                    await asyncio.to_thread(site.kill)
        verdict = proof.judge(truth, self.talkers, self.pages, self.faults, self.options.late)
        if self.options.rolling:
            longest = (
                self.options.late + 1 if self.stack.redis else CATCH_UP_S
            )  # one alone has to start again
            verdict.violations += proof.restart_was_not_noticed(
                self.talkers, self.figures["slowest_end_s"], longest
            )
        return verdict

    world: World = field(default_factory=lambda: World([], []))
    _redis_proxy: Proxy | None = None
    _lives: Sequence[asyncio.Task[None]] = ()

    async def _start_sites(self, proxies: contextlib.AsyncExitStack) -> list[Site]:
        env = self.stack.env
        if self.stack.redis is not None:
            head, _colon, port = self.stack.redis.url.rpartition(":")
            self._redis_proxy = await proxies.enter_async_context(Proxy([int(port)]))
            env = env | {"REDIS_URL": f"{head}:{self._redis_proxy.port}"}
        program = [str(LOAD / "broken.py"), self.options.broken] if self.options.broken else [str(MANAGE)]
        command = [sys.executable, *program, "serve", "--no-sweeps"]
        sites = [
            Site(command, env, self.stack.folder / f"site{number}.log")
            for number in range(1 if self.stack.redis is None else 2)
        ]
        await asyncio.gather(*(asyncio.to_thread(site.start) for site in sites))
        return sites

    async def _bring_in(
        self, people: Sequence[Any], rooms: list[str], sites: list[Site], proxies: contextlib.AsyncExitStack
    ) -> list[asyncio.Task[None]]:
        """A socket for each member, two for every third; returns when all are live in every room."""
        ports, unready = [site.port for site in sites], self.world.unready
        for number, person in enumerate(people):
            for socket in range(2 if number % 3 == 0 else 1):
                name = f"m{number}{'ab'[socket]}"
                dice = self.own(f"line {name}")
                proxy = Proxy(
                    ports,
                    order=lambda targets, dice=dice: sorted(  # type: ignore[misc]
                        dice.sample(list(targets), len(targets)), key=unready.__contains__
                    ),
                    plan=plans(self.own(f"plan {name}"), lambda: self.is_calm),
                )
                await proxies.enter_async_context(proxy)
                talker = Talker(name, person.name, person.token, rooms, proxy, self.own(name))
                if socket:
                    talker.twin, self.talkers[-1].twin = self.talkers[-1], talker
                self.talkers.append(talker)
        self.is_calm = True
        lives = [asyncio.create_task(talker.live()) for talker in self.talkers]
        async with asyncio.timeout(CATCH_UP_S):
            while not all(view.is_live for talker in self.talkers for view in talker.views.values()):
                await asyncio.sleep(0.05)
        self.is_calm = self.options.rolling
        self._lives = lives
        return lives

    async def _harm(self, chaos: Chaos, people: Sequence[Any], rooms: list[str]) -> None:
        """The time of trouble: everybody talks, some come and go, and the ground shakes."""
        talking = [
            *(asyncio.create_task(talker.talk(self.options.pause)) for talker in self.talkers),
            asyncio.create_task(self._move(people, rooms)),
            asyncio.create_task(self._write_pages(people, rooms)),
            asyncio.create_task(self._watch_own_pulse()),
        ]
        try:
            if self.options.rolling:
                await self._restart_in_turn(chaos)
            else:
                await chaos.run(self.options.seconds)
        finally:
            self.is_calm = True
            *talking, pulse = talking
            for task in talking:
                task.cancel()
            results = await asyncio.gather(*talking, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result
            self._pulse = pulse

    _pulse: asyncio.Task[None] | None = None

    async def _restart_in_turn(self, chaos: Chaos) -> None:
        """As an operator does: one server after the other ends by SIGTERM and comes back, while everybody talks."""
        health = asyncio.create_task(chaos.watch_health())
        ends = time.monotonic() + self.options.seconds
        slowest = 0.0
        while time.monotonic() < ends:
            for site in chaos.world.sites:
                await asyncio.sleep(self.options.pace)
                slowest = max(slowest, await chaos.restart_site(site))
        await asyncio.sleep(self.options.pace)
        self.figures["slowest_end_s"] = slowest
        health.cancel()

    async def _watch_own_pulse(self) -> None:
        """When this program itself did not come to its turn, nobody else is to blame."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            after = time.monotonic()
            if after - before > STALL_S:
                self.faults.append(Fault("checker", "checker stalled", before, after))

    async def _move(self, people: Sequence[Any], rooms: list[str]) -> None:
        """Members leave, are removed and come back; two thirds of them are in a room at any time."""
        dice, out = self.own("moves"), set[tuple[str, int]]()
        while True:
            await asyncio.sleep(dice.uniform(0.2, 1.0) * self.options.pace)
            room, number = dice.choice(rooms), dice.randrange(len(people))
            if (room, number) in out:
                out.discard((room, number))
                work = asyncio.to_thread(self.hands.enter, room, people[number])
            elif sum(where == room for where, _who in out) < len(people) // 3:
                out.add((room, number))
                reason = dice.choice(["", "not kind"])
                work = asyncio.to_thread(self.hands.leave, room, people[number], reason)
            else:
                continue
            await asyncio.shield(work)

    async def _write_pages(self, people: Sequence[Any], rooms: list[str]) -> None:
        """What is written without a socket, as by a page: from a process of its own."""
        dice = self.own("pages")
        while True:
            await asyncio.sleep(dice.uniform(0.1, 0.5) * self.options.pace)
            person, room, key = dice.choice(people), dice.choice(rooms), uuid_of(dice)
            op = Op(
                key, room, {"type": "send", "room": room, "key": key, "text": "by page"}, time.monotonic()
            )
            answer = await asyncio.shield(asyncio.to_thread(self.hands.post, room, person, "by page", key))
            op.ended_at = time.monotonic()
            if answer is None:
                op.error = "not_found"
            else:
                op.oks.append((op.ended_at, *answer))
            self.pages.append((person.name, op))

    async def _catch_up(self, rooms: list[str]) -> None:
        """Until everybody has everything, or the time is over: then the judge says who has not."""
        began = time.monotonic()
        while time.monotonic() - began < self.options.patience:
            for life in self._lives:
                if life.done():
                    life.result()  # a mistake of ours: raises
            heads, inside = (
                await asyncio.to_thread(self.hands.heads, rooms),
                await asyncio.to_thread(self.hands.inside),
            )
            behind = [
                talker
                for talker in self.talkers
                if talker.outbox
                or any(
                    view.is_in != ((room, talker.me) in inside)
                    or (view.is_in and (view.last != heads[room][0] or not view.is_live))
                    for room, view in talker.views.items()
                )
            ]
            if not behind:
                break
            await asyncio.sleep(0.1)
        self.figures["catch_up_s"] = time.monotonic() - began

    async def _read_everything(self) -> None:
        """Everybody says so, and the servers write it down."""
        began = time.monotonic()
        for talker in self.talkers:
            for view in talker.views.values():
                view.read = 0  # what was said before may have died with a server
            await talker.read_all()
        while time.monotonic() - began < min(READ_S, self.options.patience) and await asyncio.to_thread(
            self.hands.unread
        ):
            await asyncio.sleep(0.2)
        self.figures["read_written_s"] = time.monotonic() - began
        await asyncio.sleep(0.1)
        if self._pulse is not None:
            self._pulse.cancel()

    async def _last_welcome(self, people: Sequence[Any], truth: proof.Truth) -> None:
        """One more socket for each member: what is unread?"""
        first = {talker.me: talker for talker in reversed(self.talkers)}

        async def ask(talker: Talker) -> None:
            life = asyncio.create_task(talker.live())
            known = len(talker.welcomes)
            with contextlib.suppress(TimeoutError):  # the judge misses it
                async with asyncio.timeout(WELCOME_S):
                    while len(talker.welcomes) == known:
                        await asyncio.sleep(0.01)
                truth.last_welcome[talker.me] = talker.welcomes[-1][1]
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

        await asyncio.gather(*(ask(first[person.name]) for person in people))


def report(run: Run, verdict: proof.Verdict, seconds: float) -> dict[str, Any]:
    """What is printed at the end, and kept with --out."""
    kinds: dict[str, int] = {}
    for fault in run.faults:
        kinds[fault.kind] = kinds.get(fault.kind, 0) + 1
    return {
        "stack": run.options.stack,
        "seed": run.options.seed,
        "seconds": round(run.options.seconds, 1),
        "seconds_in_all": round(seconds, 1),
        "clients": len(run.talkers),
        "sockets": sum(talker.sockets for talker in run.talkers),
        "faults": dict(sorted(kinds.items())),
        "acknowledged": verdict.acknowledged,
        "deliveries": verdict.deliveries,
        "told_to_try_again": {
            kind: sum(
                "retry_after" in frame and str(frame.get("ref", "?"))[:1] == kind[:1]
                for talker in run.talkers
                for _at, frame in talker.errors
            )
            for kind in ("sync", "watch")
        },
        "violations": dict(verdict.counts()),
        "worst_wait_s": round(verdict.worst_wait_s, 2),
        "worst_wait_with_redis_down_s": round(verdict.worst_wait_without_redis_s, 2),
        "worst_silence_s": round(verdict.worst_silence_s, 2),
        "worst_silence": verdict.worst_silence,
        "worst_acknowledgement_s": round(verdict.worst_ok_s, 2),
        **{name: round(value, 2) for name, value in run.figures.items()},
        "timeline": [
            f"{fault.target}: {fault.kind} {fault.since:.2f} to {fault.until:.2f}"
            for fault in run.faults
            if verdict.violations and not fault.kind.startswith("line")
        ],
        "examples": list({str(violation)[:40]: str(violation) for violation in verdict.violations}.values())[
            :30
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--members", type=int, default=9)
    parser.add_argument("--rooms", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between what one socket writes")
    parser.add_argument(
        "--pace", type=float, default=1.0, help="of trouble: about its pauses and lengths in seconds"
    )
    parser.add_argument(
        "--late", type=float, default=proof.LATE_S, help="how long nobody may miss an entry while all stands"
    )
    parser.add_argument("--migrate", action="store_true", help="make the tables by migrations")
    parser.add_argument("--broken", choices=sorted(broken.BROKEN), help="a log with this mistake")
    parser.add_argument("--only-lines", action="store_true", help="harm the clients' lines alone")
    parser.add_argument("--rolling", action="store_true", help="no harm: servers are restarted in turn")
    parser.add_argument("--patience", type=float, default=CATCH_UP_S, help="to catch up in at the end")
    parser.add_argument("--out", type=Path, help="keep the figures as JSON")
    options = parser.parse_args()
    began = time.monotonic()
    print(f"checker: {options.stack}, {options.seconds:g} s, seed {options.seed}", flush=True)
    with stack(options.stack) as found:
        os.environ.update(found.env)
        django.setup()
        for name in ("security", "psycopg.pool", "realtime.bus"):  # what it does to them is no news here
            logging.getLogger(name).setLevel(logging.ERROR)
        import checker_world  # noqa: PLC0415 - its models need Django set up on this database

        checker_world.make_tables(
            by_migrations=options.migrate, without=broken.LOOSENED.get(options.broken, "")
        )
        run = Run(options, found, checker_world, random.Random(options.seed))
        verdict = asyncio.run(run.run())
        figures = report(run, verdict, time.monotonic() - began)
        if verdict.violations:
            for log in sorted(found.folder.glob("site*.log")):
                print(f"── {log.name}\n{log.read_text(errors='replace')[-6000:]}")
    print(json.dumps(figures, indent=1, ensure_ascii=False), flush=True)
    if options.out:
        options.out.write_text(json.dumps(figures, ensure_ascii=False))
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
