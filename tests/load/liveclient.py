"""The client of the live benchmarks: thousands of sockets in one process (uvloop and picows), told what to do line by line.

A child of live.py. Each line of its standard input is one command as JSON, each line it prints the answer. It counts
every entry at every socket, however they came: an `entry` frame is one, a `sync` frame as many as it holds; what is
missing, doubled or out of order; and the CPU time of the servers and its own, since above 0.9 of a core it is the
client that was measured. A text of 200 bytes carries the time it was sent and who sent it, so that one clock
times every delivery.

Frames that many sockets get alike are read once and then known by their bytes; otherwise no client would be fast
enough to see how fast a server is.
"""

import asyncio
import gc
import itertools
import json
import re
import secrets
import sys
import time
from array import array
from collections import Counter
from typing import Any, NamedTuple

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

MARK = "##"  # no @: that would be looked up as somebody's name
A_MARK = re.compile(rf"{MARK}(\d{{16}})(\d{{4}}) ")
TEXT_BYTES = 200
ACK_EVERY, ACK_S = 32, 5.0
SILENCE_S, DRAIN_S = 2.0, 20.0
KNOWN = 4096  # frames remembered by their bytes
now_ns = time.perf_counter_ns

type Command = dict[str, Any]


class Seen(NamedTuple):
    """What a frame brought: entries first..last of a room (0: the peer counts none), and the marks in them."""

    room: str
    first: int
    last: int
    count: int
    marks: list[tuple[int, int]]  # when it was sent, and by which poster
    is_answer: bool  # a `sync` that was asked for
    has_more: bool


def marks_of(text: str) -> list[tuple[int, int]]:
    """(ns, poster) of each marked text in a frame."""
    return [(int(ns), int(poster)) for ns, poster in A_MARK.findall(text)]


def cpu_s(pid: int) -> float:
    """The CPU time of a process and all its threads, to the microsecond: /proc/PID/stat only knows 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)


class Tally:
    """What was delivered since the last time it was emptied."""

    def __init__(self) -> None:
        self.delivered = self.posted = self.answered = self.refused = 0
        self.doubled = self.gaps = self.resyncs = 0
        self.times = array("q")
        self.last_ns = 0


class Crowd:
    """All sockets of this process, on one server or several."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.tally = Tally()
        self.known: dict[bytes, Seen | Command] = {}
        self.is_posting = self.is_timing = False
        self.is_acking = True
        self.closed: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self.pids: list[int] = []
        self.kept: dict[str, dict[int, str]] | None = None  # by room and seq, while a log is said again
        self.keys = itertools.count()
        self.family = f"{secrets.token_hex(4)}-0000-4000-8000"

    def text(self, poster: int) -> str:
        """200 bytes that say when and by whom."""
        return f"{MARK}{now_ns():016d}{poster:04d} ".ljust(TEXT_BYTES, "abcdefgh"[poster % 8])

    def read(self, payload: bytes) -> Seen | Command:
        """What a frame says, whoever got it first."""
        text = payload.decode()
        frame = json.loads(text)
        kind = frame.get("type")
        seen: Seen | Command = frame
        if self.kept is not None and kind in {"entry", "sync"}:
            for entry in frame.get("entries", [frame]):
                self.kept.setdefault(frame["room"], {})[entry["seq"]] = entry["body"]["text"]
        if kind == "entry":
            seq = frame["seq"]
            seen = Seen(frame["room"], seq, seq, 1, marks_of(text), False, False)
        elif kind == "sync":
            seqs = [entry["seq"] for entry in frame["entries"]]
            if seqs != list(range(frame["after"] + 1, frame["after"] + 1 + len(seqs))):
                self.problems["a sync with a gap"] += 1
            last = seqs[-1] if seqs else frame["after"]
            first = frame["after"] + 1
            more = bool(frame.get("more"))
            seen = Seen(frame["room"], first, last, len(seqs), marks_of(text), "ref" in frame, more)
        elif kind is None:
            seen = Seen("", 0, 0, 1, marks_of(text), False, False)
        if isinstance(seen, Seen):
            if len(self.known) > KNOWN:
                self.known.clear()
            self.known[payload] = seen
        return seen


class Socket(WSListener):
    """One member's socket. `last` is dense by room: what does not follow it is a gap or doubled."""

    def __init__(self, crowd: Crowd, number: int, plan: Command) -> None:
        self.crowd, self.number, self.plan = crowd, number, plan
        self.last: dict[str, int] = {}
        self.acked: dict[str, int] = {}
        self.due: dict[str, int] = {}  # at which seq to acknowledge next: not everybody at once
        self.asked: set[str] = set()
        self.transport: WSTransport | None = None
        self.poster = -1
        self.room = ""
        self.is_ready = asyncio.get_running_loop().create_future()
        self.is_welcome = False
        self.left = set(plan.get("watch", ()))

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        if "watch" not in self.plan:
            return self.ready()
        hello = {"type": "hello", "v": 1, "client": f"{self.crowd.family}-{self.number:012x}"}
        self.say(hello | {"watch": self.plan["watch"], "cursors": self.plan.get("cursors", {})})
        return None

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.transport = None
        self.crowd.closed["at all"] += 1
        if not self.is_ready.done():
            self.is_ready.set_exception(ConnectionError("closed"))

    def ready(self) -> None:
        if not self.is_ready.done():
            self.is_ready.set_result(None)

    def say(self, frame: Command) -> None:
        if self.transport is not None:
            self.transport.send(WSMsgType.TEXT, json.dumps(frame).encode())

    def post(self) -> None:
        """Say one marked text."""
        crowd = self.crowd
        crowd.tally.posted += 1
        if not self.room:
            return self.say({"message": crowd.text(self.poster)})
        return self.post_to(self.room, crowd.text(self.poster))

    def post_to(self, room: str, text: str) -> None:
        """Say this in a room."""
        key = f"{self.crowd.family}-{next(self.crowd.keys):012x}"
        self.say({"type": "send", "ref": 1, "room": room, "key": key, "text": text})

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            if frame.msg_type == WSMsgType.CLOSE:
                self.crowd.closed[str(frame.get_close_code())] += 1
                transport.disconnect()
            return
        payload = frame.get_payload_as_bytes()
        seen = self.crowd.known.get(payload) or self.crowd.read(payload)
        if isinstance(seen, Seen):
            self.take(seen)
        else:
            self.obey(seen)

    def take(self, seen: Seen) -> None:
        """Entries: count them, time them, acknowledge them, and post the next if one was my own."""
        crowd = self.crowd
        tally = crowd.tally
        if seen.room:
            last = self.last.get(seen.room, 0)
            if seen.first != last + 1 and not self._fits(seen, last):
                return
            if seen.last > last:
                self.last[seen.room] = seen.last
            if seen.last >= self.due.get(seen.room, 0) and crowd.is_acking:
                self.acked[seen.room] = seen.last
                self.due[seen.room] = seen.last + ACK_EVERY
                self.say({"type": "ack", "rooms": {seen.room: seen.last}})
            if seen.is_answer or seen.room in self.left:
                self._answered(seen)
        tally.delivered += seen.count
        if crowd.is_timing:
            now = now_ns()
            tally.last_ns = now
            for sent, _poster in seen.marks:
                tally.times.append(now - sent)
        if self.poster >= 0 and crowd.is_posting and not self.plan.get("by_ok"):
            for _sent, poster in seen.marks:
                if poster == self.poster:
                    self.post()

    def _fits(self, seen: Seen, last: int) -> bool:
        """Count what does not follow. False: nothing of it is new, or something is missing before it."""
        tally = self.crowd.tally
        if seen.first > last + 1:
            tally.gaps += 1
            self._ask(seen.room)
            return False
        tally.doubled += min(seen.last, last) - seen.first + 1
        tally.delivered -= min(seen.last, last) - seen.first + 1
        return True

    def _ask(self, room: str) -> None:
        """Behind: ask for what follows, once."""
        if room not in self.asked:
            self.asked.add(room)
            self.say({"type": "sync", "ref": 1, "room": room, "after": self.last.get(room, 0)})

    def _answered(self, seen: Seen) -> None:
        self.asked.discard(seen.room)
        if seen.has_more:
            return self._ask(seen.room)
        return self._caught_up(seen.room)

    def _caught_up(self, room: str) -> None:
        self.left.discard(room)
        if self.is_welcome and not self.left:
            self.ready()

    def obey(self, frame: Command) -> None:
        """Every other frame."""
        tally = self.crowd.tally
        match frame["type"]:
            case "ok":
                tally.answered += 1
                if self.plan.get("by_ok") and self.crowd.is_posting:
                    self.post()
            case "welcome":
                self.is_welcome = True
                for room in self.left:
                    self._starts(room, self.plan.get("cursors", {}).get(room, [0, 0])[1])
                self._caught_up("")
            case "reset":
                self._starts(frame["room"], frame["head"])
                if frame["reason"] != "new":
                    self.crowd.problems[f"reset {frame['reason']}"] += 1
                self._caught_up(frame["room"])
            case "head" if frame["seq"] > self.last.get(frame["room"], 0):
                tally.resyncs += frame["room"] not in self.asked
                self._ask(frame["room"])
            case "error":
                tally.refused += 1
                self.crowd.problems[f"error {frame['code']}"] += 1
                if self.poster >= 0 and self.crowd.is_posting:
                    asyncio.get_running_loop().call_later(0.1, self.post)

    def _starts(self, room: str, seq: int) -> None:
        self.last[room] = self.acked[room] = seq
        self.due[room] = seq + 1 + self.number % ACK_EVERY

    def acknowledge(self) -> None:
        """What has waited for five seconds."""
        rooms = {room: seq for room, seq in self.last.items() if seq > self.acked.get(room, 0)}
        if rooms:
            self.acked |= rooms
            self.say({"type": "ack", "rooms": rooms})


# -------------------------------------------------------------------------------------------- what it is told


async def connect(crowd: Crowd, command: Command) -> Command:
    """Open sockets by these plans, at most `at_once` at a time, until each is where it wanted to be."""
    plans, failed = iter(enumerate(command["plans"], len(crowd.sockets))), Counter[str]()
    opened: list[Socket] = []
    crowd.pids = command["pids"]

    async def some() -> None:
        for number, plan in plans:
            socket = Socket(crowd, number, plan)
            try:
                await open_socket(socket, command.get("within", 60.0))
            except Exception as wrong:
                failed[repr(wrong)[:120]] += 1
            else:
                opened.append(socket)

    before = _snap(crowd)
    await asyncio.gather(*(some() for _one in range(command["at_once"])))
    answer = _between(before, _snap(crowd), len(opened))
    entries = crowd.tally.delivered
    if command.get("leave"):
        for socket in opened:
            if socket.transport is not None:
                socket.transport.send_close(1000)
        await asyncio.sleep(0.3)
        for socket in opened:
            if socket.transport is not None:
                socket.transport.disconnect()
    else:
        crowd.sockets += sorted(opened, key=lambda socket: socket.number)  # a place is that of its plan
    return answer | {"opened": len(opened), "failed": failed, "entries": entries}


async def open_socket(socket: Socket, within: float) -> None:
    """One handshake, and for the product hello and all that it is answered with."""
    plan = socket.plan
    async with asyncio.timeout(within):
        await ws_connect(
            lambda: socket,
            plan["url"],
            extra_headers=plan.get("headers", {}),
            websocket_handshake_timeout=within,
            read_buffer_init_size=4096,
        )
        await socket.is_ready


async def saturate(crowd: Crowd, command: Command) -> Command:
    """Closed loop: each poster has `in_flight` of its own on the way and posts the next when one comes back."""
    posters = _posters(crowd, command)
    crowd.tally, crowd.is_posting = Tally(), True
    for socket in posters * command["in_flight"]:
        socket.post()
    await asyncio.sleep(command.get("warm", 0.4))
    before = _snap(crowd)
    await asyncio.sleep(command["seconds"])
    after = _snap(crowd)
    crowd.is_posting = False
    return _between(before, after) | await _drain(crowd, command)


async def burst(crowd: Crowd, command: Command) -> Command:
    """Each poster posts once; how long until everybody has all of it. For who is too slow for a loop."""
    posters = _posters(crowd, command)
    crowd.tally, crowd.is_timing = Tally(), True
    before = _snap(crowd)
    for socket in posters:
        socket.post()
    drained = await _drain(crowd, command)
    after = _snap(crowd)
    after["at"] = crowd.tally.last_ns / 1e9
    crowd.is_timing = False
    return _between(before, after) | drained


async def pace(crowd: Crowd, command: Command) -> Command:
    """Open loop: `a_second` messages, evenly spaced, in turn from each poster. The time of every delivery."""
    posters = _posters(crowd, command)
    crowd.tally, crowd.is_timing = Tally(), True
    before = _snap(crowd)
    every, start = 1 / command["a_second"], time.perf_counter()
    for number in range(max(3, int(command["a_second"] * command["seconds"]))):
        wait = start + number * every - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        posters[number % len(posters)].post()
    after = _snap(crowd)
    drained = await _drain(crowd, command)
    crowd.is_timing = False
    times = sorted(crowd.tally.times)
    at = {f"p{p}": times[min(len(times) - 1, len(times) * p // 100)] / 1e6 for p in (50, 99)} if times else {}
    return _between(before, after) | drained | at


async def replay(crowd: Crowd, command: Command) -> Command:
    """Open loop: `lines` of [second, place, room, text], each said at its time. Afterwards: whose words are not in the
    log as they were said, in their order.
    """
    crowd.tally, crowd.is_timing, crowd.kept = Tally(), True, {}
    said: dict[tuple[str, str], list[str]] = {}
    before, start = _snap(crowd), time.perf_counter()
    for at, place, room, text in command["lines"]:
        wait = start + at - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        mark = f"{MARK}{now_ns():016d}{place:04d} "
        crowd.tally.posted += 1
        crowd.sockets[place].post_to(room, mark + text)
        said.setdefault((room, mark[18:22]), []).append(text)
    after = _snap(crowd)
    drained = await _drain(crowd, command)
    times, heard = sorted(crowd.tally.times), dict[tuple[str, str], list[str]]()
    for room, entries in crowd.kept.items():
        for _seq, text in sorted(entries.items()):
            heard.setdefault((room, text[18:22]), []).append(text[23:])
    crowd.is_timing, crowd.kept = False, None
    wrong = sum(heard.get(who) != texts for who, texts in said.items())
    at = {f"p{p}": times[min(len(times) - 1, len(times) * p // 100)] / 1e6 for p in (50, 99)} if times else {}
    return _between(before, after) | drained | at | {"wrong": wrong, "voices": len(said)}


async def lone(crowd: Crowd, command: Command) -> Command:
    """One message, and the server's CPU time until everybody had it and a moment after. In a quiet second.

    `acks` False: nothing is acknowledged from here on, which the window allows 64 messages of a room.
    """
    crowd.is_acking = command.get("acks", True)
    poster = _posters(crowd, command)[0]
    crowd.tally, crowd.is_timing = Tally(), True
    before = _snap(crowd)
    poster.post()
    drained = await _drain(crowd, command, 0.002)
    await asyncio.sleep(command.get("after", 0.02))
    answer = _between(before, _snap(crowd)) | drained
    crowd.is_timing = False
    return answer | {"ms": max(crowd.tally.times, default=0) / 1e6}


async def idle(crowd: Crowd, command: Command) -> Command:
    """Nothing, for a while."""
    before = _snap(crowd)
    await asyncio.sleep(command["seconds"])
    return _between(before, _snap(crowd)) | {"open": sum(one.transport is not None for one in crowd.sockets)}


def _posters(crowd: Crowd, command: Command) -> list[Socket]:
    """The sockets that post, by their place, and the room each posts to ("" at a peer)."""
    for socket in crowd.sockets:
        socket.poster = -1
    found = []
    for number, (place, room) in enumerate(command["posters"]):
        socket = crowd.sockets[place]
        socket.poster, socket.room = number, room
        found.append(socket)
    return found


async def _drain(crowd: Crowd, command: Command, step: float = 0.01) -> Command:
    """Wait until everybody has everything, or nothing has come for two seconds; then what is missing."""
    tally, hearers = crowd.tally, command["hearers"]
    ends, seen, since = time.monotonic() + DRAIN_S, -1, time.monotonic()
    while tally.delivered < (tally.posted - tally.refused) * hearers and time.monotonic() < ends:
        if tally.delivered != seen:
            seen, since = tally.delivered, time.monotonic()
        if time.monotonic() - since > SILENCE_S:
            break
        await asyncio.sleep(step)
    expected = (tally.posted - tally.refused) * hearers
    numbers = {name: getattr(tally, name) for name in ("posted", "refused", "doubled", "gaps", "resyncs")}
    return numbers | {
        "lost": max(0, expected - tally.delivered),
        "surplus": max(0, tally.delivered - expected),
        "closed": sum(crowd.closed.values()),
        "problems": dict(crowd.problems),
    }


def _snap(crowd: Crowd) -> dict[str, float]:
    tally = crowd.tally
    counted = {"delivered": tally.delivered, "answered": tally.answered}
    servers = {f"server {number}": cpu_s(pid) for number, pid in enumerate(crowd.pids)}
    return {"at": time.perf_counter(), "mine": time.process_time()} | counted | servers


def _between(before: dict[str, float], after: dict[str, float], done: int = 0) -> Command:
    """Rates and shares between two moments."""
    gone = {name: after[name] - before[name] for name in before}
    seconds = gone["at"] or 1e-9
    servers = [gone[name] for name in gone if name.startswith("server")]
    return {
        "seconds": seconds,
        "delivered": gone["delivered"],
        "rate": gone["delivered"] / seconds,
        "answers": gone["answered"] / seconds,
        "done": done / seconds,
        "cpu": servers,
        "busy": sum(servers) / seconds,
        "client": gone["mine"] / seconds,
    }


async def _acknowledge(crowd: Crowd) -> None:
    """A tenth of the sockets every half second: what they have heard and not yet acknowledged."""
    for part in itertools.cycle(range(10)):
        await asyncio.sleep(ACK_S / 10)
        for socket in crowd.sockets[part::10] if crowd.is_acking else ():
            socket.acknowledge()


async def main() -> None:
    crowd = Crowd()
    acknowledging = asyncio.create_task(_acknowledge(crowd))
    verbs = {verb.__name__: verb for verb in (connect, saturate, burst, pace, replay, lone, idle)}
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        answer = await verbs[command.pop("verb")](crowd, command)
        gc.collect()
        gc.freeze()
        print(json.dumps(answer), flush=True)
    acknowledging.cancel()


if __name__ == "__main__":
    gc.disable()  # between commands only: a pause would be taken for the server's
    uvloop.run(main())
