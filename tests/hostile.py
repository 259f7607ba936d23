"""Texts that hurt elsewhere, from the shared collection where there is one; a handful of our own where there is none."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("HOSTILE_DATA", Path(__file__).resolve().parents[2] / "shared/data/hostile"))
OURS = {
    "xss_payloads": [
        "<script>window.hurt=1</script>",
        '"><img src=x onerror=window.hurt=1>',
        "javascript:window.hurt=1",
        "[x](javascript:window.hurt=1)",
        "</title><svg onload=window.hurt=1>",
        "{{ 7|add:7 }}{% debug %}",
    ],
    "naughty_strings": [
        "",
        " ",
        "undefined",
        "1;DROP TABLE members",
        "' OR 1=1 --",
        "../../../etc/passwd",
        "%s%d%n",
        "𝕋𝕙𝕖 🏳️‍🌈 ﷽",
        "\u202eabc\u202c",
        "a\u0300" * 50,
        "Ω≈ç√∫˜µ≤",
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-1+1",
        "@SUM(1)",
    ],
    "html_sanitize": ["<a href='data:text/html,x'>x</a>", "<form id=x><input name=y></form>"],
}
# What no field may take, said by us: NUL, halves of surrogate pairs, absurd depth.
IMPOSSIBLE = ["a\0b", "\ud83d", "[" * 65_536]
COUNTED = {
    "xss_payloads": 277,
    "naughty_strings": 258,
    "html_sanitize": 112,
    "utf8_sequences": 66,
    "confusables": 33,
}


def rows(name: str) -> list[dict[str, Any]]:
    """The lines of one file of the collection; none where it is not there, which is said."""
    path = FOLDER / f"{name}.jsonl"
    if not path.exists():
        print(f"{path.name} is not here: {COUNTED.get(name, 'its')} cases are not tried")
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]


@cache
def texts(name: str) -> list[str]:
    """The texts of one file, without those that a JSON string cannot hold."""
    field = "string" if name == "naughty_strings" else "payload"
    return [row[field] for row in rows(name)] or OURS[name]


@cache
def all_texts() -> list[str]:
    """Every text of the collection, each once."""
    found = [text for name in OURS for text in texts(name)]
    found += [other["c"] for row in rows("confusables") for other in row["confusables"]]
    found += [bytes.fromhex(row["hex"]).decode() for row in rows("utf8_sequences") if _is_utf8(row["hex"])]
    return list(dict.fromkeys(found))


def raw_bytes() -> list[bytes]:
    """Byte sequences that are no UTF-8."""
    return [bytes.fromhex(row["hex"]) for row in rows("utf8_sequences")] or [
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xc0\x80",
    ]


def _is_utf8(hexed: str) -> bool:
    try:
        bytes.fromhex(hexed).decode()
    except ValueError:
        return False
    return True
