"""A month as a calendar: each event on each of its days, by its own clock; the filters of the list stay."""

from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from events import months
from events.models import Event
from events.registration import Person, register
from tests.factories import make_centre, make_client, make_event, make_host, make_member, make_place

pytestmark = pytest.mark.django_db


class Cells(HTMLParser):
    """The days of the calendar and the titles that stand in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.days: dict[int, list[str]] = {}
        self.today: list[int] = []
        self._day, self._tag = 0, ""
        self._is_today = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        if tag == "td":
            self._day, self._is_today = 0, ("aria-current", "date") in attrs

    def handle_data(self, data: str) -> None:
        text = data.strip()
        if text and self._tag == "b":
            self._day = int(text)
            self.days[self._day] = []
            if self._is_today:
                self.today.append(self._day)
        elif text and self._tag == "a" and self._day:
            self.days[self._day].append(text)
        self._tag = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self._day = 0

    @property
    def shown(self) -> dict[int, list[str]]:
        return {day: titles for day, titles in self.days.items() if titles}


def month(client: Client, name: str = "2027-03", **asked: str) -> Cells:
    answer = client.get("/events/", {"month": name, **asked})
    assert answer.status_code == 200
    return Cells(answer.text)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_every_day_of_the_month_stands_there_once_and_today_is_marked(client: Client, clock: Any) -> None:
    make_event(title="Picnic", starts_at=at("2027-03-10T18:00"))
    cells = month(client)
    assert (sorted(cells.days), cells.today, cells.shown) == (list(range(1, 32)), [2], {10: ["Picnic"]})
    assert month(client, "2027-04").today == []


def test_an_event_of_several_days_stands_on_each_and_a_late_evening_on_one(
    client: Client, clock: Any
) -> None:
    make_event(title="Camp", starts_at=at("2027-02-27T10:00"), ends_at=at("2027-03-03T10:00"))
    make_event(title="Party", starts_at=at("2027-03-05T20:00"), ends_at=at("2027-03-06T01:00"))
    make_event(
        title="Open day",
        all_day=True,
        starts_at=at("2027-03-07T23:00"),
        ends_at=at("2027-03-09T23:00"),
    )
    assert month(client).shown == {
        1: ["Camp"],
        2: ["Camp"],
        3: ["Camp"],
        5: ["Party"],
        8: ["Open day"],
        9: ["Open day"],
    }
    assert month(client, "2027-02").shown == {27: ["Camp"], 28: ["Camp"]}


def test_an_event_stands_on_the_day_of_its_own_clock(client: Client, clock: Any) -> None:
    make_event(title="Here", starts_at=at("2027-03-31T22:30"))  # 1 April, 00:30 in Brussels
    make_event(
        title="There", starts_at=at("2027-04-01T02:00"), timezone="America/New_York"
    )  # 31 March, 22:00
    assert month(client).shown == {31: ["There"]}
    assert month(client, "2027-04").shown == {1: ["Here"]}


def test_what_has_passed_this_month_is_there_and_what_one_may_not_see_is_not(
    client: Client, clock: Any
) -> None:
    make_event(title="Past", starts_at=at("2027-03-01T10:00"))
    hidden = make_event(title="Members", starts_at=at("2027-03-20T10:00"), visibility="members")
    make_event(title="Off", starts_at=at("2027-03-21T10:00"), state=Event.State.CANCELLED)
    make_event(title="Draft", starts_at=at("2027-03-22T10:00"), state=Event.State.DRAFT)
    assert month(client).shown == {1: ["Past"]}
    assert month(make_client(make_member())).shown == {1: ["Past"], 20: [hidden.title]}


def test_the_filters_of_the_list_stay_on_the_way_through_the_months(client: Client, clock: Any) -> None:
    make_event(title="Near", starts_at=at("2027-03-10T18:00"), place=make_place("Hasselt"))
    make_event(title="Far", starts_at=at("2027-03-10T18:00"), place=make_place("Aachen"))
    make_event(title="Family", starts_at=at("2027-03-11T18:00"), for_families=True)
    assert month(client, town="Hasselt", km="5").shown == {10: ["Near"], 11: ["Family"]}
    assert month(client, families="on").shown == {11: ["Family"]}
    page = client.get("/events/", {"month": "2027-03", "q": "near"}).text
    for link in ("?month=2027-02&amp;q=near", "?month=2027-04&amp;q=near", 'href="?q=near"'):
        assert link in page, link
    assert 'name="month" value="2027-03"' in page
    listed = client.get("/events/", {"q": "near", "when": "week", "page": "2"}).text
    assert 'href="?q=near&amp;month=2027-03"' in listed


@pytest.mark.parametrize("name", ["2027-13", "27-3", "x", "0000-00", "9999-12", "२०२७-०३"])
def test_a_month_that_is_none_is_this_one(client: Client, clock: Any, name: str) -> None:
    make_event(title="Picnic", starts_at=at("2027-03-10T18:00"))
    assert month(client, name).shown == {10: ["Picnic"]}


def test_years_end_somewhere() -> None:
    assert months.beside(date(2100, 12, 1), 1) == "" and months.beside(date(2000, 1, 1), -1) == ""
    assert (months.beside(date(2027, 12, 1), 1), months.beside(date(2027, 1, 1), -1)) == (
        "2028-01",
        "2026-12",
    )


def test_a_month_without_events_says_what_to_do(client: Client, clock: Any) -> None:
    page = client.get("/events/", {"month": "2027-07"}).text
    assert "Nothing is planned in this month" in page and "<table" not in page
    assert "Nothing fits all of this" in client.get("/events/", {"month": "2027-07", "q": "x"}).text


def test_a_full_day_leads_to_the_list_of_that_day(client: Client, clock: Any) -> None:
    for n in range(6):
        make_event(title=f"Nr {n}", starts_at=at("2027-03-10T10:00") + timedelta(hours=n))
    assert month(client).shown == {10: ["Nr 0", "Nr 1", "Nr 2", "Nr 3", "2 more"]}
    page = client.get("/events/", {"month": "2027-03"}).text
    assert "since=2027-03-10&amp;until=2027-03-10" in page


def test_the_days_have_names_in_the_language_of_the_page(client: Client, clock: Any) -> None:
    make_event(starts_at=at("2027-03-10T18:00"))
    page = client.get("/events/?month=2027-03", headers={"Accept-Language": "de"}).text
    assert "März 2027" in page and '<th scope="col">Mo</th>' in page
    assert 'data-label="Mittwoch, 10. März 2027"' in page


@pytest.mark.parametrize("how_many", [1, 30])
@pytest.mark.parametrize(("reader", "queries"), [("nobody", 1), ("member", 4)])
def test_a_month_costs_the_same_for_one_and_thirty(
    django_assert_num_queries: Any, clock: Any, how_many: int, reader: str, queries: int
) -> None:
    centre, host, place = make_centre(), make_host(), make_place()
    member = make_member()
    client = make_client(member) if reader == "member" else Client()
    for n in range(how_many):
        start = at("2027-03-10T10:00") + timedelta(hours=n)
        event = make_event(starts_at=start, centre=centre, host=host, place=place)
        register(member, event.pk, [Person()])
    client.get("/events/?month=2027-03")
    with django_assert_num_queries(queries):
        client.get("/events/?month=2027-03")
