"""manage.py demo: fills a database with a living region. Doing it again adds nothing."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connection, transaction
from django.db.models import QuerySet

from community.models import Member
from config import demo_crowd, demo_crowd_events, demo_events, demo_region
from config.demo_people import content
from config.demo_region import Region
from events.models import Event
from realtime.models import Entry

BAR = 28
EVERY_S = 5.0  # a line of progress where nobody watches a bar
Step = tuple[str, Callable[[Region], Iterator[str]], Callable[[], int]]


class Command(BaseCommand):
    help = "Fills the database with the demo region: three centres, some sixty people, circles, events. Big numbers add a crowd."
    said_at = 0.0

    def add_arguments(self, parser: CommandParser) -> None:
        for name in ("members", "events", "messages"):
            parser.add_argument(f"--{name}", type=int, default=0, help=f"{name} in all, for benchmarks")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        region = Region()
        asked = {name: options[name] for name in ("members", "events", "messages") if options[name]}
        for name, step, total in [*region_steps(), *crowd_steps(asked)]:
            began, steps = time.monotonic(), total()
            with transaction.atomic():  # one commit a step: all of it or none
                for done, what in enumerate(step(region), 1):
                    if not options["quiet"]:
                        self.show(name, done, steps, what, time.monotonic() - began)
            if name.startswith("+"):
                look_again()

    def show(self, name: str, done: int, total: int, what: str, seconds: float) -> None:
        """Draw the bar of one step over itself; where it is no terminal, a line every few seconds and at the end."""
        is_last, now = done >= total, time.monotonic()
        if not self.stdout.isatty() and not is_last and now - self.said_at < EVERY_S:
            return
        self.said_at = now
        filled = min(BAR, BAR * done // max(total, 1))
        bar = "█" * filled + "·" * (BAR - filled)
        start, end = ("\r", "\n" if is_last else "") if self.stdout.isatty() else ("", "\n")
        self.stdout.write(
            f"{start}{name:<11} {bar} {done:>3}/{total} {seconds:5.1f} s  {what[:36]:<36}", ending=end
        )
        self.stdout.flush()


def region_steps() -> list[Step]:
    """The region itself, from its content files."""
    makers: dict[str, Callable[[Region], Iterator[str]]] = {
        "centres": demo_region.make_centres,
        "people": demo_region.make_people,
        "households": demo_region.make_households,
        "circles": demo_region.make_circles,
        "events": demo_events.make_events,
    }
    return [(name, make, partial(len, content(name))) for name, make in makers.items()]


def crowd_steps(asked: dict[str, int]) -> list[Step]:
    """The crowd that was asked for, by name and number in all, on top of the region."""
    makers: dict[str, tuple[Callable[..., Iterator[str]], QuerySet[Any]]] = {
        "members": (demo_crowd.crowd_members, Member.objects.all()),
        "events": (demo_crowd_events.crowd_events, Event.objects.all()),
        "messages": (demo_crowd.crowd_messages, Entry.objects.filter(kind=Entry.Kind.MESSAGE)),
    }
    return [
        (f"+{name}", partial(make, wanted=asked[name]), partial(_steps, rows, asked[name]))
        for name, (make, rows) in makers.items()
        if name in asked
    ]


def _steps(rows: QuerySet[Any], wanted: int) -> int:
    """How many batches are missing."""
    return ceil(max(0, wanted - rows.count()) / demo_crowd.BATCH)


def look_again() -> None:
    """Let PostgreSQL count anew what it plans by: it would only find out after a while by itself."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
