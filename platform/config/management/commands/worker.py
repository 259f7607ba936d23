"""manage.py worker: the sweeps in a process of their own (mail, series, clean-up)."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from config import jobs


class Command(BaseCommand):
    help = "Runs the sweeps (mail, series, clean-up) until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("worker: sweeps run")
        jobs.run(stop)
