"""A TCP proxy that harms what passes through it: what networks do, on command.

Each connection through it is a Link. A link can be cut, reset, held half open, slowed down, or no longer read
from; what is to happen to the next connection can be laid down before it comes (`Proxy.plan`).
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

PIECE = 65_536
TINY_WINDOW = 2_048
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close without waiting, which sends RST


@dataclass(frozen=True)
class Plan:
    """What is to happen to a connection from its first byte on."""

    reset_after: int | None = None  # bytes from the server
    delay_s: float = 0.0  # each way
    tiny_window: bool = False  # towards the server: it soon cannot write


class Link:
    """One connection through the proxy. Its verbs never wait and never raise."""

    def __init__(self, plan: Plan) -> None:
        self.delay_s = plan.delay_s
        self.is_half_open = False
        self.is_open = True
        self._reset_after = plan.reset_after
        self._from_server = 0
        self._reading = asyncio.Event()
        self._reading.set()
        self._writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        """Close both ends, in order (FIN)."""
        self.is_open = False
        self._reading.set()
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        """Close both ends at once (RST): what was on its way is gone."""
        self.is_open = False
        self._reading.set()
        for writer in self._writers:
            with contextlib.suppress(OSError, AttributeError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()

    def half_open(self, on: bool = True) -> None:
        """Swallow what comes, both ways, and stay open: the network is gone and nobody says so."""
        self.is_half_open = on

    def stop_reading(self, on: bool = True) -> None:
        """Take nothing more from the server: its buffers fill."""
        if on:
            self._reading.clear()
        else:
            self._reading.set()

    async def join(
        self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], upstream: socket.socket
    ) -> None:
        """Pass bytes on until one end closes."""
        server = await asyncio.open_connection(sock=upstream, limit=PIECE)
        self._writers = [client[1], server[1]]
        if not self.is_open:  # cut before it was joined
            return self.cut()
        ways = [
            asyncio.create_task(self._pass(client[0], server[1], from_server=False)),
            asyncio.create_task(self._pass(server[0], client[1], from_server=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            if self.is_open:
                self.cut()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while self.is_open:
                if from_server:
                    await self._reading.wait()
                piece = await reader.read(PIECE)
                if not piece:
                    if self.is_half_open:  # nor does its end come through
                        await asyncio.Event().wait()
                    return
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.is_half_open:
                    continue
                if from_server and self._reset_after is not None:
                    left = self._reset_after - self._from_server
                    self._from_server += len(piece)
                    if len(piece) >= left:
                        writer.write(piece[:left])
                        return self.reset()
                writer.write(piece)
                await writer.drain()


class Proxy:
    """Listens on a port of its own and joins each connection with one of the targets that answers.

    `order` gives, for a new connection, the targets in the order they are tried, as nginx would.
    """

    def __init__(
        self,
        targets: Sequence[int],
        order: Callable[[Sequence[int]], Sequence[int]] = list,
        plan: Callable[[], Plan] = Plan,
    ) -> None:
        self.targets = targets
        self.links: set[Link] = set()
        self.port = 0
        self.reached = 0  # the port that the latest connection was joined with
        self.is_shut = False  # refuses whoever comes
        self._order = order
        self._plan = plan
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._come, "127.0.0.1", 0, limit=PIECE)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        plan = self._plan()
        link = Link(plan)
        self.links.add(link)
        try:
            upstream = None if self.is_shut else await self._reach(plan)
            if upstream is not None:
                await link.join((reader, writer), upstream)
        except (OSError, asyncio.CancelledError):
            link.is_open = False
        finally:
            self.links.discard(link)
            self._tasks.discard(task)
            writer.close()

    async def _reach(self, plan: Plan) -> socket.socket | None:
        """A socket to the first target that takes it."""
        loop = asyncio.get_running_loop()
        for port in self._order(self.targets):
            upstream = socket.socket()
            upstream.setblocking(False)
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if plan.tiny_window:  # counts only when set before it connects
                upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_WINDOW)
            try:
                await loop.sock_connect(upstream, ("127.0.0.1", port))
            except OSError:
                upstream.close()
                continue
            self.reached = port
            return upstream
        return None
