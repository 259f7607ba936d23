"""A year of a weekly meetup, as its host and three who come live through it; their calendars are read by programs of others."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays
import pytest
from engines import Engines, Entry, Seen, names
from playwright.sync_api import Browser, Page, expect
from site_under_test import MORNING, Site
from visitors import PHONE, Visitor

Visit = Callable[..., Visitor]
ZONE = ZoneInfo("Europe/Brussels")
COUNTRIES = {"BE": ("BE", None), "NL": ("NL", None), "DE-NW": ("DE", "NW")}


@pytest.fixture
def engines(browser: Browser, tmp_path: Path) -> Iterator[Engines]:
    found = Engines(browser, tmp_path)
    if found.lacking:
        print(f"{len(found.lacking)} of 4 engines lacking: {', '.join(found.lacking)}")
        assert os.environ.get("CI") != "true", found.lacking
    yield found
    found.close()


def change_of_clocks(after: date) -> date:
    """The next day whose noon has another offset than the day before."""
    days = (after + timedelta(days=n) for n in range(400))
    return next(day for day in days if offset(day) != offset(day - timedelta(days=1)))


def offset(day: date) -> timedelta | None:
    return datetime.combine(day, time(12), ZONE).utcoffset()


def is_holiday(day: date) -> bool:
    return any(
        day in holidays.country_holidays(code, subdiv=part, years=[day.year])
        for code, part in COUNTRIES.values()
    )


def entry(day: date, starts: str, ends: str, *, is_on: bool = True) -> Entry:
    """What a calendar should show: these times on the wall that day."""
    first, last = (
        datetime.combine(day, time.fromisoformat(at), ZONE).astimezone(UTC) for at in (starts, ends)
    )
    return Entry(first, last, is_on)


class Year:
    """The meetup: its pages by date, and what should stand in each one's calendar."""

    def __init__(self, visit: Visit, site: Site, engines: Engines) -> None:
        self.visit, self.site, self.engines = visit, site, engines
        self.events: dict[date, str] = {}  # as first written
        self.feeds: dict[str, str] = {}
        self.expected: dict[str, Seen] = {}
        self.names: dict[str, dict[str, tuple[str, str]]] = {}
        self.now = MORNING

    def page(self, day: date) -> str:
        return f"{self.site.url}/events/{self.events[day]}/"

    def comes(self, person: str, visitor: Visitor, days: list[date]) -> None:
        """They register on the page of each date, alone."""
        self.expected[person] = {}
        for day in days:
            page = visitor.goto(f"/events/{self.events[day]}/")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], (
                "all its dates fit"
            )
            party = page.locator("#come form")
            for other in party.locator('input[name="adults"], input[name="children"]').all():
                other.set_checked(False, force=True)
            party.locator('input[name="me"]').check(force=True)
            party.locator("button.button--wide").click()
            page.wait_for_url("**/registrations/*/")
            self.expected[person][self.page(day)] = entry(day, "19:00", "22:00")
        shown = visitor.goto("/events/mine/").content()
        found = re.search(r"/calendar/[^\"<\s]+\.ics", shown)
        assert found, "the address of the calendar"
        self.feeds[person] = self.site.url + found.group(0)

    def becomes(self, day: date, new: Entry) -> None:
        """A date is different for everybody who comes to it."""
        for seen in self.expected.values():
            if self.page(day) in seen:
                seen[self.page(day)] = new

    def check(self, step: str) -> None:
        """Every engine shows everybody the same instants: those that the step left."""
        ours = {self.page(day) for day in self.events}
        for person, address in self.feeds.items():
            wanted = {
                page: one
                for page, one in self.expected[person].items()
                if one.starts >= self.now.astimezone(UTC)
            }
            for engine, seen in self.engines.read(address, self.now.astimezone(UTC)).items():
                found = {page: one for page, one in seen.items() if page in ours}
                assert found == wanted, (step, person, engine)
            known = {page: name for page, name in names(address).items() if page in ours}
            first = self.names.setdefault(person, known)
            assert known.items() <= first.items(), (step, "a date is known by another name")
            assert known.keys() >= wanted.keys() and len(set(known.values())) == len(known)

    def travel(self, day: date) -> None:
        self.now = datetime.combine(day, time(12), ZONE)
        self.site.travel(self.now)


def create(page: Page, first: date) -> None:
    page.goto("/events/new/")
    page.locator("#id_title").fill("Chess and soup")
    page.locator("#id_day").fill(first.isoformat())
    page.locator("#id_starts").fill("19:00")
    page.locator("#id_ends").fill("22:00")
    page.locator('input[name="repeat"][value="weekly"]').check(force=True)
    page.locator("details.sheet:has(#id_until)").evaluate("(box) => { box.open = true }")
    for country in COUNTRIES:
        page.locator(f'input[name="skip_holidays"][value="{country}"]').check(force=True)
    expect(page.locator("#id_rule")).to_have_value(re.compile("^FREQ=WEEKLY"))  # the preview has caught up
    page.locator("form.two .actions .button").first.click()
    page.wait_for_url(re.compile(r"/events/[a-z2-7]{13}/$"))


def change(page: Page, event: str, scope: str, **typed: str) -> None:
    """Type over some fields of a date, look at what that does, and save it."""
    page.goto(f"/events/{event}/edit/")
    page.locator(f'input[name="scope"][value="{scope}"]').check(force=True)
    for name, value in typed.items():
        page.locator(f"#id_{name}").fill(value)
    page.locator("form.two .actions .button").first.click()
    page.locator('button[name="sure"]').click()
    page.wait_for_url(re.compile(r"/events/[a-z2-7]{13}/$"))


def test_a_year_of_a_meetup_is_the_same_in_every_calendar(visit: Visit, site: Site, engines: Engines) -> None:
    today = MORNING.date()
    clocks = change_of_clocks(today + timedelta(days=25))
    christmas = date(
        (clocks + timedelta(days=60)).year, 12, 25
    )  # its weekday has a holiday this year, at least one
    first = clocks - timedelta(days=20)
    first += timedelta(days=(christmas.weekday() - first.weekday()) % 7)
    horizon = max(today, first) + timedelta(days=366)
    weeks = [first + timedelta(weeks=n) for n in range(60)]
    dates = [day for day in weeks if day <= horizon and not is_holiday(day)]
    year = Year(visit, site, engines)

    host = visit()
    page = host.sign_in("host")
    create(page, first)
    event = page.url.rstrip("/").rsplit("/", 1)[1]
    series = page.request.get(f"/api/v1/events/{event}/").json()["series"]
    occurrences = page.request.get(f"/api/v1/series/{series}/").json()["occurrences"]
    starts = {datetime.fromisoformat(one["starts_at"]).date(): one["event"] for one in occurrences}
    assert list(starts) == dates, "every week for a year, but on no holiday"
    assert len(dates) < len([day for day in weeks if day <= horizon]), "and there was one"
    year.events = starts
    far = next(day for day in dates if day > change_of_clocks(clocks + timedelta(days=5)))
    assert len({offset(day) for day in (dates[0], dates[4], far)}) == 2

    for person, days in (
        ("member", [dates[0], dates[1], dates[3]]),
        ("partner", [dates[2], far]),
        ("door", [dates[3], dates[4]]),
    ):
        visitor = visit(phone=True)
        visitor.sign_in(person)  # type: ignore[arg-type]
        year.comes(person, visitor, days)
    year.check("registered")

    moved = dates[1] + timedelta(days=1)
    change(page, starts[dates[1]], "this", day=moved.isoformat(), starts="20:15", ends="22:45")
    year.becomes(dates[1], entry(moved, "20:15", "22:45"))
    year.check("one date moved")

    change(page, starts[dates[2]], "following", starts="18:00", ends="21:30")
    for day in dates[2:]:
        year.becomes(day, entry(day, "18:00", "21:30"))
    year.check("this and all following at another time")

    page.goto(f"/events/{starts[dates[3]]}/call-off/")
    page.locator('textarea[name="reason"]').fill("The hall is being painted.")
    page.locator("main form .button--danger").click()
    page.wait_for_url(f"**/events/{starts[dates[3]]}/")
    year.becomes(dates[3], entry(dates[3], "18:00", "21:30", is_on=False))
    year.check("one date called off")

    for day, step in (
        (clocks, "the clocks have changed"),
        (far - timedelta(days=1), "and have changed back"),
    ):
        year.travel(day)
        year.check(step)
