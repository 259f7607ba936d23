"""manage.py serve: the whole site in one process: pages, API, sockets (daphne) and the sweeps beside them.

SIGTERM ends it gently: /readyz says 503 so that nobody new is sent here, each socket is told goodbye and closed, a few
at a time, what was begun is answered, and the process is gone within ten seconds. SIGINT (Ctrl-C) ends it at once.
"""

import asyncio
import ctypes
import signal
import sys
from typing import Any

from daphne.server import Server
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from config import health, jobs
from realtime import hub

BACKLOG = 4096  # daphne's 50 refuses a room that comes back at once
HANDSHAKES_WITHIN_S = (
    30  # of two thousand at once the last waits longer than daphne's 5 s, and would come again
)
# Each of a transaction's statements gives up the interpreter and takes it back, and the loop hands it over only when asked
# for this long: with Python's own 5 ms a message waited 40 ms behind the loop.
SWITCH_S = 0.0005
M_ARENA_MAX, HEAPS = -8, 1  # of glibc's malloc.h
ANSWERS_WITHIN_S = 5.0  # what was begun when the end was asked for


def _share_the_heap() -> None:
    """glibc gives each thread a heap of its own and none back: 5 MiB for threads of which one runs at a time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, HEAPS)


def _heed_signals(server: Server) -> None:
    loop = asyncio.get_event_loop()  # daphne's; it does not run yet
    loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(_end_gently(server)))
    loop.add_signal_handler(signal.SIGINT, server.stop)


async def _end_gently(server: Server) -> None:
    if health.draining.is_set():
        return
    health.draining.set()
    await hub.current().drain()
    waiting = asyncio.get_running_loop().time() + ANSWERS_WITHIN_S
    while any(_is_answering(one) for one in server.connections.values()):
        if asyncio.get_running_loop().time() > waiting:
            break
        await asyncio.sleep(0.05)
    server.stop()  # type: ignore[no-untyped-call]


def _is_answering(connection: dict[str, Any]) -> bool:
    work = connection.get("application_instance")
    return work is not None and not work.done()


class Command(BaseCommand):
    help = (
        "Serves pages, API and sockets on one port; without --no-sweeps also sends mail and does later work."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--no-sweeps", action="store_true", help="a worker process runs them")

    def handle(self, *args: Any, **options: Any) -> None:
        from config.asgi import application  # noqa: PLC0415 - loads every door: only this command needs them

        _share_the_heap()
        connections.close_all()
        sys.setswitchinterval(SWITCH_S)
        end_sweeps = None if options["no_sweeps"] else jobs.start_thread()

        def ready() -> None:
            _heed_signals(server)
            self.stdout.write(f"Ready: {settings.PUBLIC_URL}/")
            if settings.DEMO:
                self.stdout.write(f"Sign in as one of six demo people: {settings.PUBLIC_URL}/demo/")
            self.stdout.flush()

        server = Server(  # type: ignore[no-untyped-call]
            application=application,
            endpoints=[f"tcp:port={options['port']}:interface={options['host']}:backlog={BACKLOG}"],
            ready_callable=ready,
            websocket_timeout=-1,
            websocket_handshake_timeout=HANDSHAKES_WITHIN_S,
            application_close_timeout=5,
            proxy_forwarded_address_header="X-Forwarded-For" if settings.PROXY_COUNT else None,
            server_name="circles",
            signal_handlers=False,
        )
        try:
            server.run()  # type: ignore[no-untyped-call]
        finally:
            if end_sweeps:
                end_sweeps()
