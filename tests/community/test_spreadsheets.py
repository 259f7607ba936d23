"""Tables for a spreadsheet: nothing in them acts, and what is read back is what was written."""

import csv
import io

from community.spreadsheets import BOM, harmless, rows_to_csv
from tests.hostile import all_texts

ACTING = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "=cmd|' /C calc'!A0")


def read(table: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table.decode("utf-8-sig"), newline="")))


def test_what_would_act_gets_an_apostrophe_and_nothing_else_does():
    for text in ACTING:
        assert harmless(text) == f"'{text}"
    for text in ("", "Zoë", "a=1", "1-2", "O'Brien", "'=1"):
        assert harmless(text) == text
    assert (harmless(-3), harmless(None), harmless(True)) == ("-3", "", "True")


def test_every_hostile_text_comes_back_as_it_was_and_none_acts():
    texts = [*all_texts(), *ACTING, "a,b", 'say "x"', "two\r\nlines", "\0"]
    table = b"".join(rows_to_csv(["text", "n"], [(text, n) for n, text in enumerate(texts)]))

    assert table.startswith(BOM.encode())
    head, *rows = read(table)
    assert head == ["text", "n"] and len(rows) == len(texts)
    for text, (cell, n) in zip(texts, rows, strict=True):
        assert cell in {text, f"'{text}"}, n
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")), n


def test_a_table_is_written_line_by_line():
    def rows():
        yield ("a",)
        raise AssertionError("not asked for yet")

    table = rows_to_csv(["x"], rows())
    assert [next(table), next(table), next(table)] == [BOM.encode(), b'"x"\r\n', b'"a"\r\n']


def test_a_name_with_semicolons_stays_one_cell_where_cells_are_parted_by_them():
    text = b"".join(rows_to_csv(["Name"], [["x;=cmd|' /C calc'!A0;y"]])).decode("utf-8-sig")
    (_head, row) = csv.reader(io.StringIO(text), delimiter=";")
    assert row == ["x;=cmd|' /C calc'!A0;y"]
