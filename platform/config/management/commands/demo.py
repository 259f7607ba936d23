"""manage.py demo: fills a database with a living region. Doing it again adds nothing."""

from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from config import demo_crowd, demo_events, demo_region
from config.demo_people import content
from config.demo_region import Region

BAR = 28
Step = tuple[str, Callable[[Region], Iterator[str]], int]


class Command(BaseCommand):
    help = "Fills the database with the demo region: three centres, some sixty people, circles, events. Big numbers add a crowd."

    def add_arguments(self, parser: CommandParser) -> None:
        for name in ("members", "events", "messages"):
            parser.add_argument(f"--{name}", type=int, default=0, help=f"{name} in all, for benchmarks")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        region = Region()
        steps: list[Step] = [
            ("centres", demo_region.make_centres, len(content("centres"))),
            ("people", demo_region.make_people, len(content("people"))),
            ("households", demo_region.make_households, len(content("households"))),
            ("circles", demo_region.make_circles, len(content("circles"))),
            ("events", demo_events.make_events, len(content("events"))),
        ]
        crowd = {
            "members": demo_crowd.crowd_members,
            "events": demo_crowd.crowd_events,
            "messages": demo_crowd.crowd_messages,
        }
        steps += [
            (f"+{name}", partial(make, wanted=options[name]), ceil(options[name] / demo_crowd.BATCH))
            for name, make in crowd.items()
            if options[name]
        ]
        for name, step, total in steps:
            with transaction.atomic():  # one commit a step: all of it or none
                for done, what in enumerate(step(region), 1):
                    if not options["quiet"] and (self.stdout.isatty() or done == total):
                        self.show(name, done, total, what)
            if not options["quiet"]:
                self.stdout.write("")

    def show(self, name: str, done: int, total: int, what: str) -> None:
        """Draw the bar of one step over itself."""
        filled = min(BAR, BAR * done // max(total, 1))
        bar = "█" * filled + "·" * (BAR - filled)
        self.stdout.write(f"\r{name:<11} {bar} {done:>3}/{total} {what[:36]:<36}", ending="")
        self.stdout.flush()
