"""Addresses as people paste them: one a line, `Name <a@b>`, commas, semicolons."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

NAME_LENGTH = 60
MAX_TEXT = 60_000  # characters: more than 500 addresses with their names
validate_email = EmailValidator(allowlist=[])
WORD = re.compile(r"[^\s<>,;:\"()\[\]]+")
IDLE = " \t\r\n,;<>\"'()[].·•*-–—\u00a0\u200b"


@dataclass(frozen=True)
class Address:
    """Somebody's address, in lower case, and their name where one was written."""

    email: str
    name: str = ""


def read(text: str) -> tuple[list[Address], list[str]]:
    """The addresses of a text, each once, the first name of each kept; and what of it could not be read."""
    found: dict[str, str] = {}
    wrong: list[str] = []
    for line in re.split(r"[\n\r;]+", text[:MAX_TEXT]):
        end = 0
        for one in WORD.finditer(line):
            if "@" not in one[0]:
                continue
            before, end = line[end : one.start()], one.end()
            email = one[0].strip(IDLE).lower()
            try:
                validate_email(email)
            except ValidationError:
                wrong.append(one[0])
                continue
            found[email] = found.get(email) or _name(before)
        if rest := line[end:].strip(IDLE):
            wrong.append(rest)
    return [Address(email, name) for email, name in found.items()], wrong


def _name(text: str) -> str:
    """A name as it stood before an address; “Doe, Jane” the right way round."""
    text = text.removesuffix("mailto:").strip(IDLE)
    last, comma, first = text.partition(",")
    words = f"{first} {last}" if comma and "," not in first else text.replace(",", " ")
    return " ".join("".join(sign for sign in words if sign.isprintable()).split()).strip(IDLE)[:NAME_LENGTH]
