"""manage.py backup: everything in one encrypted file, while the site goes on."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pyrage import EncryptError
from pyrage.x25519 import Recipient

from config import backup


class Command(BaseCommand):
    help = (
        "Writes every row and file, as of one moment, encrypted for BACKUP_KEY. Anybody may go on meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="where to; - is standard output")
        parser.add_argument(
            "--key", default="", help="public key(s), age1…, instead of those in BACKUP_KEY; comma between"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            keys = backup.public_keys(options["key"] or settings.BACKUP_KEY)
        except backup.WrongKey as wrong:
            raise CommandError(str(wrong)) from wrong
        try:
            if options["file"] == "-":
                with open(sys.stdout.fileno(), "wb", closefd=False) as out:
                    backup.write(out, keys, self.say)
            else:
                self.write(Path(options["file"]), keys)
        except (OSError, EncryptError) as wrong:
            raise CommandError(f"No backup was made: {wrong}") from wrong

    def write(self, path: Path, keys: list[Recipient]) -> None:
        """Under another name until it is whole and on the disk: never half a backup under its own."""
        number, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                backup.write(file, keys, self.say)
                file.flush()
                os.fsync(number)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
        self.say(f"{path}: {path.stat().st_size:,} bytes")

    def say(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
