"""Words that others wrote, as plain text: of one line or many, without control characters, HTML taken off."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

LINE = 500  # characters
HTML = re.compile(r"<(p|br|div|a|b|i|ul|ol|li|span|html|strong|em|u|h\d|script|style)\b[^>]*>", re.IGNORECASE)


def _clean(given: Any, most: int) -> str:
    """A property as text, the first where it stands twice; without control characters."""
    one = given[0] if isinstance(given, list) and given else given
    text = "" if one is None else str(one)[:most].replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(
        sign for sign in text if sign in "\n\t" or ord(sign) >= 32 and not 0x7F <= ord(sign) < 0xA0
    )
    return text.encode("utf-8", "replace").decode().strip()


def line(given: Any) -> str:
    """One line of at most 500 characters."""
    return " ".join(_clean(given, LINE).split())


class _Words(HTMLParser):
    """The words of a description that came as HTML, a block a line, addresses of links kept."""

    BLOCKS = frozenset(["p", "br", "div", "li", "ul", "ol", "tr", "table", "h1", "h2", "h3", "h4", "hr"])

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.hidden = 0
        self.link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "style"}:
            self.hidden += 1
        if tag in self.BLOCKS:
            self.words.append("\n• " if tag == "li" else "\n")
        if tag == "a":
            self.link = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self.hidden = max(0, self.hidden - 1)
        if tag in {"p", "div"}:
            self.words.append("\n")
        if (
            tag == "a"
            and self.link.startswith(("https://", "http://"))
            and self.link not in "".join(self.words[-3:])
        ):
            self.words.append(f" ({self.link})")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words.append(data)


def plain(given: Any, most: int) -> str:
    """A description as plain text of at most `most` characters; some calendars write HTML."""
    text = _clean(given, 4 * most)
    if HTML.search(text):
        parser = _Words()
        parser.feed(text)
        parser.close()
        text = "".join(parser.words)
    lines = [part.strip() for part in text.replace("\xa0", " ").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:most]
