"""A load client: HTTP/1.1 over connections that stay open, one request at a time on each.

It counts what was answered, what failed and what never came, and its own share of a core: above 0.9 it was the
client that was measured.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ANSWER_S = 60.0


@dataclass(frozen=True)
class Ask:
    """One request, ready to be written."""

    raw: bytes

    @classmethod
    def of(cls, method: str, path: str, body: bytes = b"", **headers: str) -> "Ask":
        """A request of `path`; header names are written with _ for -."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: keep-alive"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return cls("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


@dataclass
class Result:
    """What a run delivered."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    lost: int = 0
    cpu: float = 0.0
    bodies: list[bytes] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Answers of 500 and more."""
        return sum(n for status, n in self.statuses.items() if status >= 500)

    @property
    def rate(self) -> float:
        return (self.answered - self.failed) / self.seconds

    def ms(self, percent: int) -> float:
        """The time within which so many per cent were answered, in ms."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


class Connection:
    """One keep-alive connection; opened again when the server closes it between two requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)

    async def ask(self, ask: Ask) -> tuple[int, bytes]:
        """The status and body of the answer. Raises OSError or EOFError when none came."""
        for again in (False, True):
            if self.reader is None:
                await self.open()
            assert self.reader is not None
            try:
                self.writer.write(ask.raw)
                head = await self.reader.readuntil(b"\r\n\r\n")
                break
            except (EOFError, ConnectionError):
                self.reader = None
                if again:
                    raise
        status = int(head[9:12])
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            body = await self._chunks()
        else:
            at = lower.find(b"content-length:")
            size = int(lower[at + 15 : lower.index(b"\r\n", at)]) if at >= 0 else 0
            body = await self.reader.readexactly(size) if size else b""
        if b"connection: close" in lower:
            self.close()
        return status, body

    async def _chunks(self) -> bytes:
        assert self.reader is not None
        parts = []
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            part = await self.reader.readexactly(size + 2)
            if not size:
                return b"".join(parts)
            parts.append(part[:-2])

    def close(self) -> None:
        if self.reader is not None:
            self.writer.close()
            self.reader = None


def run(
    port: int, asks: Iterator[Ask], clients: int, seconds: float | None = None, *, keep: bool = False
) -> Result:
    """Send what `asks` gives from so many clients, until it ends or the time is up. `keep`: bodies too."""
    return asyncio.run(_run(port, asks, clients, seconds, keep))


async def _run(port: int, asks: Iterator[Ask], clients: int, seconds: float | None, keep: bool) -> Result:
    result = Result()
    lines = [Connection(port) for _client in range(clients)]
    for line in lines:
        await line.open()
    began, cpu = time.perf_counter(), time.process_time()
    ends = began + seconds if seconds else float("inf")

    async def client(line: Connection) -> None:
        while time.perf_counter() < ends:
            ask = next(asks, None)
            if ask is None:
                return
            sent = time.perf_counter()
            try:
                status, body = await asyncio.wait_for(line.ask(ask), ANSWER_S)
            except (OSError, EOFError, TimeoutError):
                result.lost += 1
                line.close()
                continue
            result.times.append(time.perf_counter() - sent)
            result.statuses[status] += 1
            if keep:
                result.bodies.append(body)

    await asyncio.gather(*(client(line) for line in lines))
    result.seconds = time.perf_counter() - began
    result.cpu = (time.process_time() - cpu) / result.seconds
    for line in lines:
        line.close()
    return result


def median_of(rounds: int, measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _round in range(rounds))
