"""manage.py serve: the whole site in one process: pages, API, sockets (daphne) and the sweeps beside them."""

from typing import Any

from daphne.server import Server
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from config import jobs

BACKLOG = 4096  # daphne's 50 refuses a room that comes back at once


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

        connections.close_all()
        end_sweeps = None if options["no_sweeps"] else jobs.start_thread()

        def ready() -> None:
            self.stdout.write(f"Ready: {settings.PUBLIC_URL}/")
            if settings.DEMO:
                self.stdout.write(f"Sign in as one of six demo people: {settings.PUBLIC_URL}/demo/")
            self.stdout.flush()

        server = Server(  # type: ignore[no-untyped-call]
            application=application,
            endpoints=[f"tcp:port={options['port']}:interface={options['host']}:backlog={BACKLOG}"],
            ready_callable=ready,
            websocket_timeout=-1,
            application_close_timeout=5,
            proxy_forwarded_address_header="X-Forwarded-For" if settings.PROXY_COUNT else None,
            server_name="circles",
        )
        try:
            server.run()  # type: ignore[no-untyped-call]
        finally:
            if end_sweeps:
                end_sweeps()
