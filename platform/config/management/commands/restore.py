"""manage.py restore: a backup in the place of everything there is."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from config import backup, restore
from config.archive import Unusable


class Command(BaseCommand):
    help = "Replaces everything by a backup, or changes nothing. Stop web, live and worker first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--key", type=Path, help="file with the private key, instead of BACKUP_KEY")
        parser.add_argument("--check", action="store_true", help="only read and check the file")
        parser.add_argument("--replace", action="store_true", help="even where there are members or centres")
        parser.add_argument(
            "--send-queued",
            action="store_true",
            help="send what waited in the outbox then; else it is dropped",
        )

        parser.add_argument(
            "--erasures",
            type=Path,
            help="file with numbers of members who must not come back: `erased` prints it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text = options["key"].read_text() if options["key"] else settings.BACKUP_KEY
            key = backup.private_key(text)
            erased = numbers_in(options["erasures"]) if options["erasures"] else []
            with Path(options["file"]).open("rb") as source:
                self.refuse_unprepared()
                if options["check"]:
                    restore.check(source, key)
                    self.stdout.write("The backup is whole and can be restored here.")
                    return
                if restore.is_inhabited() and not options["replace"]:
                    raise CommandError(
                        "There are members or centres here: --replace puts the backup in their place."
                    )
                epoch = restore.restore(
                    source, key, erased=erased, send_queued=options["send_queued"], say=self.say
                )
        except OSError as wrong:
            raise CommandError(f"Nothing was changed: {wrong}") from wrong
        except (Unusable, backup.WrongKey) as wrong:
            raise CommandError(str(wrong)) from wrong
        except DatabaseError as wrong:
            first = str(wrong).splitlines()[0]
            raise CommandError(
                f"Nothing was changed, the database said: {first}. Is the site stopped?"
            ) from wrong
        self.stdout.write(f"Restored; the site is in epoch {epoch}. Everybody signs in anew.")

    def refuse_unprepared(self) -> None:
        """Raises CommandError where the tables are not those of this version."""
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("The database is not ready: run `manage.py migrate` first.")

    def say(self, line: str) -> None:
        self.stderr.write(line, style_func=str)


def numbers_in(path: Path) -> list[int]:
    """The numbers of a file, one a line. Raises CommandError."""
    try:
        return [int(line) for line in path.read_text().split()]
    except ValueError as wrong:
        raise CommandError(
            f"{path} must hold one number a line, as `manage.py erased` prints them."
        ) from wrong
