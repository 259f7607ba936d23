"""manage.py erased [--again]: the numbers of members who were erased, and erasing them again after a restore."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from community import privacy
from community.models import Erasure


class Command(BaseCommand):
    help = (
        "Print the numbers of who was erased, one a line; with --again, erase those on standard input again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--again", action="store_true", help="Erase the numbers on standard input.")

    def handle(self, **options: Any) -> None:
        if not options["again"]:
            done = Erasure.objects.exclude(done_at=None).order_by("done_at")
            for number in done.values_list("member_id", flat=True):
                self.stdout.write(str(number))
            return
        numbers = [int(line) for line in sys.stdin.read().split()]
        for number in numbers:
            privacy.erase(number)
        self.stderr.write(f"{len(numbers)} erased.")
