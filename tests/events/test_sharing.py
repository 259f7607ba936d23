"""What a link to an event says where it is shown: true, safe, and nothing a stranger may not see."""

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from events import hosting
from events.models import Event
from events.registration import Person, register
from realtime import clock
from tests import factories as make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
SCHEMA = "https://schema.org/"


class Head(HTMLParser):
    """What stands in a page for those who show links: the properties, and what the data block holds."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.properties: dict[str, str] = {}
        self.blocks: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.is_in = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("property"):
            self.properties[given["property"] or ""] = given.get("content") or ""
        if tag == "script":
            self.scripts.append(given)
            self.is_in = given.get("type") == "application/ld+json"
            if self.is_in:
                self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self.is_in = False

    def handle_data(self, data: str) -> None:
        if self.is_in:
            self.blocks[-1] += data


def head(event: Event, client: Client | None = None, language: str = "en") -> Head:
    page = (client or Client()).get(event.get_absolute_url(), headers={"Accept-Language": language})
    assert page.status_code == 200
    found = Head()
    found.feed(page.content.decode())
    return found


def said(event: Event, **more: Any) -> dict[str, Any]:
    (block,) = head(event, **more).blocks
    return dict(json.loads(block))


def test_an_event_says_what_when_where_and_who(settings: Any):
    settings.PUBLIC_URL = "https://circles.example"
    event = make.make_event(
        title="Language café",
        description="Come **along**.\n\n- Tea\n- [Talk](https://example.org/)",
        starts_at=datetime(2027, 7, 1, 17, 0, tzinfo=UTC),
        address="Kapermolenstraat 1",
        languages=["en", "nl"],
    )
    assert said(event) == {
        "@context": "https://schema.org",
        "@type": "Event",
        "@id": f"https://circles.example{event.get_absolute_url()}",
        "url": f"https://circles.example{event.get_absolute_url()}",
        "name": "Language café",
        "description": "Come along. Tea Talk",
        "startDate": "2027-07-01T19:00:00+02:00",
        "endDate": "2027-07-01T21:00:00+02:00",
        "eventStatus": SCHEMA + "EventScheduled",
        "eventAttendanceMode": SCHEMA + "OfflineEventAttendanceMode",
        "location": {
            "@type": "Place",
            "name": "Kapermolenpark",
            "address": {
                "@type": "PostalAddress",
                "streetAddress": "Kapermolenstraat 1",
                "addressLocality": "Hasselt",
                "addressCountry": "BE",
            },
        },
        "organizer": {"@type": "Organization", "name": event.centre.name, "email": event.centre.email},
        "inLanguage": ["en", "nl"],
        "isAccessibleForFree": True,
        "maximumAttendeeCapacity": 10,
        "remainingAttendeeCapacity": 10,
        "offers": {
            "@type": "Offer",
            "url": f"https://circles.example{event.get_absolute_url()}",
            "availability": SCHEMA + "InStock",
            "price": "0",
            "priceCurrency": "EUR",
        },
    }


def test_whole_days_are_days_and_the_last_one_is_part_of_it():
    start = datetime(2027, 6, 30, 22, 0, tzinfo=UTC)
    found = said(make.make_event(starts_at=start, ends_at=start + timedelta(days=2), all_day=True))
    assert (found["startDate"], found["endDate"]) == ("2027-07-01", "2027-07-02")


def test_what_nobody_knows_is_left_out():
    event = make.make_event(venue="", place=None, capacity=None, description="")
    Event.objects.filter(pk=event.pk).update(ends_at=None)
    missing = {
        "endDate",
        "location",
        "maximumAttendeeCapacity",
        "remainingAttendeeCapacity",
        "description",
        "superEvent",
        "image",
    }
    assert not missing & said(event).keys()


def test_how_many_places_are_left_and_none_is_sold_out():
    event = make.make_event(capacity=2)
    register(make.make_member(), event.pk, [Person()])
    assert said(event)["remainingAttendeeCapacity"] == 1
    register(make.make_member(), event.pk, [Person()])
    found = said(event)
    assert (found["remainingAttendeeCapacity"], found["offers"]["availability"]) == (0, SCHEMA + "SoldOut")


def test_what_is_paid_on_the_spot_has_its_words_and_no_number():
    event = make.make_event(is_free=False, price_note={"en": "5 euros, children free"})
    found = said(event)
    assert found["isAccessibleForFree"] is False
    assert found["offers"]["description"] == "5 euros, children free"
    assert "price" not in found["offers"]


def test_an_event_that_was_moved_says_when_it_was():
    event = make.make_event(starts_at=datetime(2027, 7, 1, 17, 0, tzinfo=UTC))
    hosting.change(event.host, event.pk, {"starts_at": datetime(2027, 7, 2, 20, 0)})
    found = said(event)
    assert found["eventStatus"] == SCHEMA + "EventRescheduled"
    assert found["startDate"] == "2027-07-02T20:00:00+02:00"
    assert found["previousStartDate"] == "2027-07-01T19:00:00+02:00"
    hosting.change(event.host, event.pk, {"title": "Tea"})
    assert said(event)["previousStartDate"] == "2027-07-01T19:00:00+02:00"


def test_a_draft_that_gets_another_date_was_never_moved():
    event = make.make_event(state="draft")
    hosting.change(event.host, event.pk, {"starts_at": datetime(2027, 7, 2, 20, 0)})
    hosting.publish_draft(event.host, event.pk)
    assert said(event)["eventStatus"] == SCHEMA + "EventScheduled"


def test_an_event_that_is_called_off_says_so_and_offers_nothing():
    event = make.make_event()
    hosting.call_off(event.host, event.pk, "Rain")
    found = said(event)
    assert found["eventStatus"] == SCHEMA + "EventCancelled"
    assert "offers" not in found


def test_a_date_of_a_meetup_names_its_meetup():
    host = make.make_host(centre=make.make_centre())
    plan = {
        "title": "Language café",
        "language": "en",
        "starts_at": (clock.now() + timedelta(days=2)).replace(tzinfo=None),
        "ends_at": None,
        "timezone": "Europe/Brussels",
    }
    meetup = hosting.publish_series(host, plan, {"rrule": "FREQ=WEEKLY;COUNT=3"})  # type: ignore[arg-type]
    event = meetup.occurrences.order_by("starts_at")[0]
    assert said(event)["superEvent"] == {"@type": "EventSeries", "name": "Language café"}


@pytest.mark.parametrize("given", [{"state": "draft"}, {"visibility": "members"}, {"visibility": "centre"}])
def test_what_a_stranger_may_not_see_says_nothing_even_to_who_may(given: dict[str, str]):
    event = make.make_event(**given)
    found = head(event, make.make_client(event.host))
    assert (found.blocks, found.properties) == ([], {})


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]> & \u2028 \u2029 \\ \" '",
    "\\u003c/script>",
    "</SCRIPT\t>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_title_ends_the_block_it_stands_in(text: str):
    event = make.make_event(title=text, venue=text, address=text, description="Hello")
    found = head(event)
    assert json.loads(found.blocks[0])["name"] == text
    assert found.properties["og:title"] == text
    assert [
        one for one in found.scripts if not one.get("src") and one.get("type") != "application/ld+json"
    ] == []
    content = Client().get(event.get_absolute_url()).content.decode()
    block = content.partition('application/ld+json">')[2].partition("</script>")[0]
    assert not set("<>&\u2028\u2029") & set(block)
    json.loads(block)


def test_a_link_in_a_message_shows_when_where_and_the_first_words(settings: Any):
    settings.PUBLIC_URL = "https://circles.example"
    event = make.make_event(
        title="Language café",
        description="Come **along** and talk. " * 20,
        starts_at=datetime(2027, 7, 1, 17, 0, tzinfo=UTC),
        translations={"de": {"title": "Sprachcafé", "description": "Komm vorbei."}},
    )
    found = head(event).properties
    words = found.pop("og:description")
    assert words.startswith("Thu 1 Jul, 19:00 · Kapermolenpark · Hasselt · Come along and talk. Come")
    assert words.endswith("…")
    assert len(words) < 220
    assert found == {
        "og:title": "Language café",
        "og:url": f"https://circles.example{event.get_absolute_url()}",
        "og:type": "website",
        "og:locale": "en_GB",
        "og:site_name": "Euregio Circles",
    }
    with translation.override("de"):
        german = head(event, language="de").properties
    assert (german["og:title"], german["og:locale"]) == ("Sprachcafé", "de_DE")
    assert german["og:description"].endswith("Komm vorbei.")
