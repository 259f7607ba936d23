"""The table of docs/performance.md, written between two marks from what `make bench` measured."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NOTE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def write_table(kept: dict[str, Any]) -> None:
    """Put the figures of a run into the note; the words round them stay."""
    head, _begin, rest = NOTE.read_text("utf-8").partition(BEGIN)
    _old, _end, tail = rest.partition(END)
    NOTE.write_text(f"{head}{BEGIN}\n{table(kept)}{END}{tail}", "utf-8")


def table(kept: dict[str, Any]) -> str:
    """The figures as Markdown, one table."""
    lines = [
        f"Measured {kept['at'][:10]} on {kept['cores']} cores in {kept['seconds']} s, {kept['rounds']} rounds each.",
        "",
        "| | what | measured | goal | reached | |",
        "|---|---|---|---|---|---|",
    ]
    for one in kept["figures"]:
        reached = {True: "yes", False: "**no**", None: ""}[one["reached"]]
        cells = (one["part"], one["name"], one["measured"], one["goal"], reached, one["note"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
