"""Four programs that read calendars and that nobody here wrote: what they take from a feed, each in its own way."""

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import icalendar
import recurring_ical_events
from playwright.sync_api import Browser
from site_under_test import ROOT

ICAL_JS = ROOT / "node_modules/ical.js/dist/ical.es5.min.cjs"
KHAL = shutil.which("khal")
KHAL_CONFIG = """
[calendars]
[[{name}]]
path = {folder}/items
[locale]
local_timezone = UTC
default_timezone = UTC
timeformat = %H:%M
dateformat = %Y-%m-%d
longdateformat = %Y-%m-%d
datetimeformat = %Y-%m-%dT%H:%M
longdatetimeformat = %Y-%m-%dT%H:%M
[sqlite]
path = {folder}/khal.db
[default]
default_calendar = {name}
"""
READ_WITH_ICAL_JS = """([code, text]) => {
  const module = { exports: {} };
  new Function("module", "exports", code)(module, module.exports);
  const ICAL = module.exports.default ?? module.exports;
  const calendar = new ICAL.Component(ICAL.parse(text));
  for (const zone of calendar.getAllSubcomponents("vtimezone")) ICAL.TimezoneService.register(zone);
  return calendar.getAllSubcomponents("vevent").map((row) => {
    const event = new ICAL.Event(row);
    const [start, end] = [event.startDate, event.endDate].map((at) => at.toJSDate().toISOString());
    return [row.getFirstPropertyValue("url"), start, end, row.getFirstPropertyValue("status")];
  });
}"""


@dataclass(frozen=True, order=True)
class Entry:
    """What somebody sees in their calendar: when (UTC), and whether it takes place."""

    starts: datetime
    ends: datetime
    is_on: bool


type Seen = dict[str, Entry]
"""By the address of each date's page: the dates of a meetup have one UID."""


class Engines:
    """Reads a feed with each of them. What this machine lacks is named, and with CI=true it must be there."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._page, self._folder, self._turn = browser.new_page(), folder, 0
        self.lacking = [
            name
            for name, there in (
                ("khal (apt install khal)", KHAL),
                ("ical.js (npm ci)", ICAL_JS.exists()),
            )
            if not there
        ]

    def close(self) -> None:
        self._page.close()

    def read(self, address: str, since: datetime) -> dict[str, Seen]:
        """By engine, what the feed at this address says of the time from `since` on."""
        with urllib.request.urlopen(address, timeout=10) as answer:
            content = answer.read()
        found = {
            "icalendar": by_icalendar(icalendar.Calendar.from_ical(content).walk("VEVENT")),
            "recurring-ical-events": by_icalendar(
                recurring_ical_events.of(icalendar.Calendar.from_ical(content)).all()
            ),
        }
        if ICAL_JS.exists():
            found["ical.js"] = self._by_ical_js(content)
        if KHAL:
            found["khal"] = self._by_khal(content, since)
        return {
            name: {url: entry for url, entry in seen.items() if entry.starts >= since}
            for name, seen in found.items()
        }

    def _by_ical_js(self, content: bytes) -> Seen:
        rows: list[Any] = self._page.evaluate(
            READ_WITH_ICAL_JS, [ICAL_JS.read_text(encoding="utf-8"), content.decode()]
        )
        return {
            url: Entry(datetime.fromisoformat(start), datetime.fromisoformat(end), status != "CANCELLED")
            for url, start, end, status in rows
        }

    def _by_khal(self, content: bytes, since: datetime) -> Seen:
        """khal keeps what it imports: a calendar of its own for each turn shows what is in this feed alone."""
        self._turn += 1
        folder = self._folder / f"khal-{self._turn}"
        (folder / "items").mkdir(parents=True)
        (folder / "feed.ics").write_bytes(content)
        (folder / "config").write_text(KHAL_CONFIG.format(name="mine", folder=folder))
        self._khal(folder, "import", "--batch", "-a", "mine", str(folder / "feed.ics"))
        shape = "{url}|{start-long}|{end-long}|{status}"
        first = (since - timedelta(days=1)).date().isoformat()
        shown = self._khal(folder, "list", "--day-format", "", "--format", shape, first, "500d")
        rows = [line.split("|") for line in shown.splitlines() if line.count("|") == 3]
        return {
            url.removeprefix("URL:").strip(): Entry(_utc(start), _utc(end), status.strip() != "CANCELLED")
            for url, start, end, status in rows
        }

    def _khal(self, folder: Path, *command: str) -> str:
        assert KHAL is not None
        done = subprocess.run(
            [KHAL, "-c", str(folder / "config"), *command],
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def names(address: str) -> dict[str, tuple[str, str]]:
    """By the page of each date, what programs know it by: UID and RECURRENCE-ID."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        rows = icalendar.Calendar.from_ical(answer.read()).walk("VEVENT")
    return {
        str(row["url"]): (str(row["uid"]), row["recurrence-id"].to_ical().decode())
        for row in rows
        if "recurrence-id" in row
    }


def by_icalendar(rows: Iterable[Any]) -> Seen:
    return {
        str(row["url"]): Entry(
            row.decoded("dtstart").astimezone(UTC),
            row.decoded("dtend").astimezone(UTC),
            str(row["status"]) != "CANCELLED",
        )
        for row in rows
        if isinstance(row.decoded("dtstart"), datetime) and "dtend" in row
    }


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
