"""manage.py new_epoch: after the database went back in time by other means than `restore`."""

from typing import Any

from django.core.management.base import BaseCommand

from realtime import rooms


class Command(BaseCommand):
    help = "Begins a new epoch: every client forgets what it has seen of rooms and reads them anew."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"The site is in epoch {rooms.new_epoch()}.")
