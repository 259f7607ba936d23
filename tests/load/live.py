"""The live figures of `make bench`: fan-out, lone messages, latency, commits, handshakes, memory, a return, two processes.

The product and its peers (livepeers.py) are up at the same time and take turns; each round gives one ratio, their
median counts. One process under daphne, RATE_LIMITS=0, committed before it is sent, session cookie and Origin checked,
every commit on the disk. What is lost, doubled or out of order makes a figure a miss, however fast. LIVE_N,
LIVE_WIDE, LIVE_BACK and LIVE_LINES make it smaller; LIVE="back pair" measures only these of floor, wide, back, pair and
replay.
"""

import contextlib
import json
import os
import statistics
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from zlib import crc32

import psycopg
import sites
from livestage import Child, Server, Stage, staged

ROUNDS = int(os.environ.get("ROUNDS", "3"))
N = int(os.environ.get("LIVE_N", "1000"))
WIDE = int(os.environ.get("LIVE_WIDE", "5000"))
BACK = int(os.environ.get("LIVE_BACK", "2000"))
POSTERS, IN_FLIGHT, LONE = 8, 4, 5
READERS, SPEED, SILENCE_S = 500, 100, 10.0
LINES = int(os.environ.get("LIVE_LINES", "400"))  # of each log; they have 1,200
CHATS = sites.ROOT.parent / "shared/data/chat"
PART = "Live"

type Answer = dict[str, Any]
type Board = Any  # bench.Bench: `add` a figure


def live(bench: Board, says: Any) -> None:
    """All of it."""
    began = time.perf_counter()
    with staged(says) as stage:
        sizes = (max(WIDE, BACK, 2 * N), N, BACK)
        made = {name: stage.prepare(url, *sizes) for name, url in stage.databases.items()}

        def told(what: str) -> None:
            says(f"   · {what} ({time.perf_counter() - began:.0f} s)")

        acts: dict[str, Callable[[], None]] = {
            "floor": lambda: on_the_floor(bench, stage, made, told),
            "wide": lambda: wide(bench, stage, made["PostgreSQL"]),
            "back": lambda: back(bench, stage, made["PostgreSQL"]),
            "pair": lambda: pair(bench, stage, made["PostgreSQL"]),
            "replay": lambda: replay(bench, stage, made),
        }
        for name in os.environ.get("LIVE", "").split() or acts:
            told(name)
            acts[name]()


def median(numbers: Iterable[float]) -> float:
    return statistics.median(list(numbers))


def faults(answers: Iterable[Answer]) -> tuple[int, str]:
    """How many deliveries were not as they should be, and the words for a note."""
    answers = list(answers)
    names = ("lost", "doubled", "surplus", "gaps", "refused", "closed")
    numbers = {name: sum(int(one.get(name, 0)) for one in answers) for name in names}
    numbers["closed"] = max((int(one.get("closed", 0)) for one in answers), default=0)
    wrong = sum(numbers.values())
    text = ", ".join(f"{n} {name}" for name, n in numbers.items() if n) or "0 lost, doubled or out of order"
    resyncs = sum(int(one.get("resyncs", 0)) for one in answers)
    problems = {name: n for one in answers for name, n in one.get("problems", {}).items()}
    return wrong, text + (f", {resyncs} resyncs" if resyncs else "") + (f", {problems}" if problems else "")


def shares(answers: list[Answer]) -> str:
    """Who was busy: the server should be the limit, and not the client."""
    client, server = median(one["client"] for one in answers), median(one["busy"] for one in answers)
    limit = "; the client was the limit" if client > 0.9 else ""
    return f"server {server:.2f}, client {client:.2f} of a core{limit}"


def each_us(answer: Answer) -> float:
    """Server CPU time by delivery, in µs."""
    return 1e6 * sum(answer["cpu"]) / max(1, answer["delivered"])


# ------------------------------------------------------------------------------------------------ one process


class Target:
    """A server with its thousand sockets, and what it has shown so far."""

    def __init__(self, name: str, server: Server, client: Child, plans: list[Answer], room: str) -> None:
        self.name, self.server, self.client, self.room = name, server, client, room
        self.posters = [[place, room] for place in range(POSTERS)]
        opened = client.ask("connect", plans=plans, at_once=32, pids=[server.pid])
        if opened["opened"] != len(plans):
            raise RuntimeError(f"{name}: {opened['opened']} of {len(plans)} came in: {opened['failed']}")
        self.full: list[Answer] = []
        self.half: list[Answer] = []
        self.alone: list[Answer] = []

    def ask(self, verb: str, **command: Any) -> Answer:
        return self.client.ask(verb, hearers=N, **{"posters": self.posters} | command)


def on_the_floor(bench: Board, stage: Stage, made: dict[str, Answer], told: Any) -> None:
    """Everything for which one room of a thousand and its peers stand side by side."""
    with contextlib.ExitStack() as up:
        targets = {}
        for name in ("raw", "daphne", "tutorial"):
            server, client = up.enter_context(stage.peer(name)), up.enter_context(stage.client())
            targets[name] = Target(name, server, client, [server.plan()] * N, "")
        for name, url in stage.databases.items():
            server, client = up.enter_context(stage.product(url)), up.enter_context(stage.client())
            cookies, room = made[name]["cookies"][:N], made[name]["cast"]
            targets[name] = Target(
                name, server, client, [server.plan(cookie, [room]) for cookie in cookies], room
            )
        told("a thousand sockets each")
        full(bench, targets)
        told("lone messages")
        lone(bench, targets)
        told("half load")
        half(bench, targets)
        for name, url in stage.databases.items():
            told(f"commits, {name}")
            commits(bench, stage, (name, url), targets[name].server, made[name])
        told("handshakes")
        handshakes(bench, stage, targets, made)


OURS = ("SQLite", "PostgreSQL")


def full(bench: Board, targets: dict[str, Target]) -> None:
    """Deliveries a second when 8 posters never pause; of ASGI peers in bursts of one message each."""
    for _round in range(ROUNDS):
        for name, target in targets.items():
            if name not in ("raw", *OURS):  # they hear nothing while they send
                target.full.append(target.ask("burst"))
            else:
                target.full.append(target.ask("saturate", in_flight=IN_FLIGHT, seconds=1.2, warm=0.4))
    for name, target in targets.items():
        rate, us = median(one["rate"] for one in target.full), median(map(each_us, target.full))
        wrong, note = faults(target.full)
        note = f"{note}; {shares(target.full)}"
        if name not in OURS:
            what = {"raw": "raw picows", "daphne": "bare daphne", "tutorial": "Channels tutorial, in memory"}[
                name
            ]
            bench.add(PART, f"peer: {what}", f"{rate:,.0f} deliveries/s, {us:.1f} µs each", "", None, note)
            continue
        by_raw = _ratio(target.full, targets["raw"].full)
        by_tutorial = _ratio(target.full, targets["tutorial"].full)
        bench.add(
            PART,
            f"deliveries, {N} in a room, 8 posters, {name}",
            f"{rate:,.0f}/s, {by_raw:.2f} × raw, {by_tutorial:.0f} × tutorial, {us:.1f} µs each",
            "0.6 × raw, 15 × tutorial (aim 2 × raw)",
            by_raw >= 0.6 and by_tutorial >= 15 and not wrong,
            note,
        )


def _ratio(ours: list[Answer], theirs: list[Answer], name: str = "rate") -> float:
    return median(one[name] / max(other[name], 1e-9) for one, other in zip(ours, theirs, strict=True))


def lone(bench: Board, targets: dict[str, Target]) -> None:
    """A message a second, to each in turn; its cost until everybody has it, and of everything in that time."""
    compared = [targets[name] for name in ("raw", "daphne", *OURS)]
    began, before = time.perf_counter(), {one.name: _clock(one) for one in compared}
    for number in range(LONE):
        for place, target in enumerate(compared):
            wait = began + number + place / len(compared) - time.perf_counter()
            time.sleep(max(0.0, wait))
            target.alone.append(target.ask("lone"))
    spent = {one.name: _clock(one) - before[one.name] for one in compared}
    costs = {one.name: median(map(each_us, one.alone)) for one in compared}
    for name in OURS:
        ratio = median(
            each_us(one) / each_us(raw)
            for one, raw in zip(targets[name].alone, targets["raw"].alone, strict=True)
        )
        wrong, note = faults(targets[name].alone)
        whole = 1e6 * spent[name] / (LONE * N)
        last = median(one["ms"] for one in targets[name].alone)
        bench.add(
            PART,
            f"CPU of a lone message, {name}",
            f"{costs[name]:.1f} µs a delivery, {ratio:.1f} × raw ({costs['raw']:.1f} µs)",
            "4 × raw (aim 2 ×)",
            ratio <= 4 and not wrong,
            f"{note}; bare daphne {costs['daphne']:.1f} µs; with acknowledgements and the idle second {whole:.1f} µs;"
            f" the last has it after {last:.0f} ms",
        )


def _clock(target: Target) -> float:
    return time.clock_gettime((~target.server.pid << 3) | 2)


def half(bench: Board, targets: dict[str, Target]) -> None:
    """The time from saying to hearing at half of what each has shown above."""
    compared = [targets[name] for name in ("raw", *OURS)]
    for _round in range(ROUNDS):
        for target in compared:
            a_second = median(one["rate"] for one in target.full) / N / 2
            target.half.append(target.ask("pace", a_second=max(1.0, a_second), seconds=1.5))
    raw = targets["raw"].half
    for name in OURS:
        ours = targets[name].half
        wrong, note = faults(ours)
        p50, p99 = (median(one[p] for one in ours) for p in ("p50", "p99"))
        ratio = _ratio(ours, raw, "p99")
        theirs = " / ".join(f"{median(one[p] for one in raw):.0f}" for p in ("p50", "p99"))
        bench.add(
            PART,
            f"p50 / p99 at half load, {N} in a room, {name}",
            f"{p50:.0f} / {p99:.0f} ms, p99 {ratio:.1f} × raw ({theirs} ms)",
            "p99 5 × raw (aim 2 ×)",
            ratio <= 5 and not wrong,
            f"{note}; {shares(ours)}",
        )


def commits(bench: Board, stage: Stage, database: tuple[str, str], server: Server, made: Answer) -> None:
    """Messages acknowledged a second from 16 posters, each waiting for its `ok`, beside the bare loop."""
    name, url = database
    ways = {"one room": [made["together"]] * 16, "16 rooms": made["apart"]}
    answers: dict[str, list[Answer]] = {way: [] for way in ways}
    loops, singles = [], []
    with contextlib.ExitStack() as up:
        bare = up.enter_context(stage.bare(url))
        clients = {way: up.enter_context(stage.client()) for way in ways}
        for way, rooms in ways.items():
            plans = [
                server.plan(cookie, [room], by_ok=True)
                for cookie, room in zip(made["cookies"][:16], rooms, strict=True)
            ]
            clients[way].ask("connect", plans=plans, at_once=16, pids=[server.pid])
        for _round in range(ROUNDS):
            loops.append(float(bare.line(f"{made['bare'][0]} 16 0.6")))
            for way, rooms in ways.items():
                posters, hearers = list(enumerate(rooms)), 16 if way == "one room" else 1
                asked = {"posters": posters, "hearers": hearers, "in_flight": 1, "seconds": 1.0, "warm": 0.3}
                answers[way].append(clients[way].ask("saturate", **asked))
            singles.append(float(bare.line(f"{made['bare'][0]} 1 0.4")))
    for way, results in answers.items():
        ratio = median(one["answers"] / loop for one, loop in zip(results, loops, strict=True))
        wrong, note = faults(results)
        bench.add(
            PART,
            f"committed messages, 16 posters in {way}, {name}",
            f"{median(one['answers'] for one in results):,.0f}/s, {ratio:.2f} × bare loop ({median(loops):,.0f}/s)",
            "0.5 × bare group commits (aim 0.8 ×)",
            ratio >= 0.5 and not wrong,
            f"{note}; {shares(results)}; the bare loop one by one {median(singles):,.0f}/s",
        )


def handshakes(bench: Board, stage: Stage, targets: dict[str, Target], made: dict[str, Answer]) -> None:
    """Sockets opened a second, each answered; then closed again."""
    count = min(200, N)
    results: dict[str, list[Answer]] = {name: [] for name in ("daphne", *OURS)}
    with contextlib.ExitStack() as up:
        for _round in range(ROUNDS):
            for name, found in results.items():
                server = targets[name].server
                plans = [server.plan()] * count
                if name in OURS:
                    cookies = made[name]["cookies"][:count]
                    plans = [server.plan(cookie, [made[name]["cast"]]) for cookie in cookies]
                client = up.enter_context(stage.client())
                found.append(client.ask("connect", plans=plans, at_once=32, pids=[server.pid], leave=True))
    floor = results["daphne"]
    for name in OURS:
        ratio = _ratio(results[name], floor, "done")
        missing = sum(count - one["opened"] for one in (*results[name], *floor))
        bench.add(
            PART,
            f"handshakes with session, Origin and hello, {name}",
            f"{median(one['done'] for one in results[name]):,.0f}/s, {ratio:.2f} × bare daphne"
            f" ({median(one['done'] for one in floor):,.0f}/s)",
            "0.3 × bare daphne (aim 0.5 ×)",
            ratio >= 0.3 and not missing,
            f"one room watched; {missing} failed; by CPU time {_each_ms(results[name]) / _each_ms(floor):.1f} × the floor's"
            f" {_each_ms(floor):.1f} ms; {shares(results[name])}",
        )


def _each_ms(results: list[Answer]) -> float:
    """Server CPU time by handshake."""
    return median(1000 * sum(one["cpu"]) / max(1, one["opened"]) for one in results)


# -------------------------------------------------------------------------------------------- wide, back, pair


def wide(bench: Board, stage: Stage, made: Answer) -> None:
    """5,000 sockets in ten rooms each: what they weigh, and what a message costs by the size of its room."""
    with stage.product(stage.postgresql) as server, stage.client() as client:
        sizes = {int(size): room for size, room in made["sizes"].items() if int(size) < WIDE}
        plans = []
        for place, cookie in enumerate(made["cookies"][:WIDE]):
            small = [room for size, room in sizes.items() if place < size]
            plans.append(server.plan(cookie, made["wide"] + small))
        first = client.ask("connect", plans=plans[:100], at_once=32, pids=[server.pid])
        empty = sites.memory_mib(server.pid)
        opened = client.ask("connect", plans=plans[100:], at_once=32, pids=[server.pid])
        rest = client.ask("idle", seconds=1.5)
        kib = 1024 * (sites.memory_mib(server.pid) - empty) / max(1, opened["opened"])
        missing = WIDE - first["opened"] - opened["opened"]
        bench.add(
            PART,
            f"memory of an idle connection in 10 rooms, {WIDE:,}",
            f"{kib:.0f} KiB",
            "40 KiB (aim 25 KiB)",
            kib <= 40 and not missing and rest["open"] == WIDE,
            f"RSS; {missing} failed {opened['failed'] or ''}; idle they take {rest['busy']:.2f} of a core;"
            f" opened at {opened['done']:.0f}/s",
        )
        if not missing:
            by_size(bench, client, sizes | {WIDE: made["wide"][0]})


def by_size(bench: Board, client: Child, rooms: dict[int, str]) -> None:
    """A lone message to rooms of 1, 100, 1,000 and 5,000 members, in turns."""
    found: dict[int, list[Answer]] = {size: [] for size in rooms}
    for _round in range(4 * ROUNDS):
        for size, room in rooms.items():
            found[size].append(client.ask("lone", posters=[[0, room]], hearers=size, after=0.03, acks=False))
    # The least, not the median: what the server does each second for 5,000 idle sockets falls into some of them.
    cost = {size: min(1e6 * sum(one["cpu"]) for one in some) for size, some in found.items()}
    each = {size: (cost[size] - cost[1]) / (size - 1) for size in rooms if size > 1}
    wrong, note = faults(one for some in found.values() for one in some)
    middle = each[sorted(each)[len(each) // 2]]
    off = max(abs(one / middle - 1) for one in each.values())
    whole = " / ".join(f"{cost[size] / size:.1f}" for size in each)
    bench.add(
        PART,
        f"CPU by delivery in rooms of {' / '.join(f'{size:,}' for size in each)}",
        f"{' / '.join(f'{one:.1f}' for one in each.values())} µs, ± {100 * off:.0f} %",
        "± 20 %",
        off <= 0.2 and not wrong,
        f"{note}; least of {4 * ROUNDS} each, less what one message to oneself costs ({cost[1] / 1000:.1f} ms); with it {whole} µs",
    )


def back(bench: Board, stage: Stage, made: Answer) -> None:
    """2,000 at once at a server that has just started, each with cursors of three rooms and 20 entries missed in each."""
    count, rooms = len(made["back"]), made["back"]
    cursor = [made["epoch"], made["after"]]
    with (
        stage.statements() as statements,
        stage.product(stage.postgresql) as server,
        stage.client() as client,
    ):
        plans = []
        for place, cookie in enumerate(made["cookies"][:BACK]):
            watch = [rooms[(place - third) % count] for third in range(3)]
            plans.append(server.plan(cookie, watch, cursors=dict.fromkeys(watch, cursor)))
        with psycopg.connect(stage.postgresql, autocommit=True) as mine:  # where its statements begin
            mine.execute("SELECT 'they come'")
        answer = client.ask("connect", plans=plans, at_once=BACK, pids=[server.pid])
        with psycopg.connect(stage.postgresql, autocommit=True) as mine:
            mine.execute("SELECT 'they are here'")
    ours = statements[statements.index("SELECT 'they come'") + 1 : statements.index("SELECT 'they are here'")]
    allowed, missing = 2 * BACK + 3 * count, BACK - answer["opened"]
    entries = BACK * 3 * 20 - int(answer["entries"])
    bench.add(
        PART,
        f"{BACK:,} come back at once after a restart, PostgreSQL",
        f"all caught up in {answer['seconds']:.1f} s, {len(ours):,} queries for {BACK:,} sockets and {count} rooms",
        f"10 s, ≤ {allowed:,} queries (aim 3 s)",
        answer["seconds"] <= 10 and len(ours) <= allowed and not missing and not entries,
        f"{missing} failed {answer['failed'] or ''}, {entries} entries missing; {sum(answer['cpu']):.1f} s of CPU time;"
        f" {shares([answer])}",
    )
    shapes = Counter(" ".join(one.split()[:1] + one.split("FROM")[-1].split()[:1]) for one in ours)
    stage.says(f"      queries: {shapes.most_common(8)}")


def pair(bench: Board, stage: Stage, made: Answer) -> None:
    """Two processes joined by Redis, a thousand sockets at each: what a delivery costs beside one process alone."""
    alone, both = [], []
    with contextlib.ExitStack() as up:
        servers = [up.enter_context(stage.product(stage.postgresql, stage.redis)) for _one in range(2)]
        client = up.enter_context(stage.client())
        pids = [server.pid for server in servers]
        plans = []
        for place, cookie in enumerate(made["cookies"][: 2 * N]):
            watch = [made["pair"], made["single"]] if place < N else [made["pair"]]
            plans.append(servers[place >= N].plan(cookie, watch))
        opened = client.ask("connect", plans=plans, at_once=32, pids=pids)
        together = [[place + side * N, made["pair"]] for place in range(POSTERS // 2) for side in (0, 1)]
        for _round in range(ROUNDS):
            asked = {"in_flight": IN_FLIGHT, "seconds": 1.2, "warm": 0.4}
            posters = [[place, made["single"]] for place in range(POSTERS)]
            alone.append(client.ask("saturate", posters=posters, hearers=N, **asked))
            both.append(client.ask("saturate", posters=together, hearers=2 * N, **asked))
    kept = [
        min(one["cpu"][0] / one["delivered"] / (cpu / (two["delivered"] / 2)) for cpu in two["cpu"])
        for one, two in zip(alone, both, strict=True)
    ]
    wrong, note = faults((*alone, *both))
    missing = 2 * N - opened["opened"]
    rates = [median(one["rate"] for one in some) for some in (alone, both)]
    bench.add(
        PART,
        f"two processes with Redis, {N} sockets at each",
        f"each keeps {median(kept):.2f} of its single rate ({rates[0]:,.0f}/s alone)",
        "0.85 (aim 0.95)",
        median(kept) >= 0.85 and not wrong and not missing,
        f"by CPU time, since both share one core: {rates[1]:,.0f}/s together there; no nginx, each port direct;"
        f" {note}; {shares(both)}",
    )


# -------------------------------------------------------------------------------------------------- replay


def logs() -> list[list[Answer]]:
    """Real conversations, where they are at hand."""
    return [
        [line for line in map(json.loads, path.read_text().splitlines()) if line["text"].strip()][-LINES:]
        for path in sorted(CHATS.glob("*.jsonl"))
        if path.name != "phrases.jsonl"
    ]


def replay(bench: Board, stage: Stage, made: dict[str, Answer]) -> None:
    """Real logs, each in its room at a hundred times its speed, all at once before 500 who watch all of them.

    A silence of more than ten seconds is one of ten.
    """
    found = logs()
    if not found:
        stage.says("      no conversations here: nothing is said again")
        return
    for name, url in stage.databases.items():
        with stage.product(url) as server, stage.client() as client:
            rooms = made[name]["wide"][: len(found)]
            plans = [server.plan(cookie, rooms) for cookie in made[name]["cookies"][:READERS]]
            client.ask("connect", plans=plans, at_once=32, pids=[server.pid])
            lines = sorted(
                (one for room, log in zip(rooms, found, strict=False) for one in _hurried(room, log)),
                key=lambda one: float(one[0]),
            )
            answer = client.ask("replay", lines=lines, hearers=len(plans))
        wrong, note = faults([answer])
        bench.add(
            PART,
            f"{len(rooms)} real logs again, {SPEED} × as fast, {READERS} readers, {name}",
            f"{len(lines):,} messages in {answer['seconds']:.0f} s, {answer['delivered']:,.0f} deliveries,"
            f" p50 / p99 {answer['p50']:.0f} / {answer['p99']:.0f} ms",
            "0 lost, doubled, out of order or changed",
            not wrong and not answer["wrong"],
            f"{note}; {answer['wrong']} of {answer['voices']} voices not word for word; {shares([answer])}",
        )


def _hurried(room: str, log: list[Answer]) -> Iterable[tuple[float, int, str, str]]:
    """(second, place of who says it, room, text) of each line."""
    at, before = 0.0, None
    for line in log:
        now = datetime.fromisoformat(line["ts"])
        if before is not None:
            at += min((now - before).total_seconds(), SILENCE_S) / SPEED
        before = now
        text = unicodedata.normalize("NFC", line["text"].replace("\0", "")).strip()
        yield at, crc32(f"{room}{line['user']}".encode()) % READERS, room, text
