"""Tables that people open in a spreadsheet: CSV, written so that no cell can act as a formula."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

BOM = "\ufeff"  # without it, Excel reads UTF-8 as something else
ACTS = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "＝",
    "＋",
    "－",
    "＠",
)  # what a spreadsheet may begin a formula with


class _Line:
    """Where csv.writer writes: it keeps what it is given until it is asked for."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def rows_to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """The table line by line (RFC 4180, UTF-8 with BOM), never whole in memory. None is an empty cell.

    Every cell is quoted: a spreadsheet that parts cells by semicolon, as it does in Belgium, the Netherlands, Germany and
    France, would else find one of its own inside a name.
    """
    line = _Line()
    writer = csv.writer(line, quoting=csv.QUOTE_ALL)
    yield BOM.encode()
    for row in chain([header], rows):
        writer.writerow([harmless(cell) for cell in row])
        yield line.text.encode()


def harmless(cell: object) -> str:
    """A cell as text; one that a spreadsheet would run gets an apostrophe in front. Numbers of ours stay numbers."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(cell)
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.lstrip(" ").startswith(ACTS) else text
