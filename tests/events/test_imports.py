"""Events that others wrote: 426 real rows, dirt included, and not one is lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from events.imports import import_events
from events.models import Event, Pool, Series
from tests.factories import make_centre, make_host

pytestmark = pytest.mark.django_db
REAL = Path(__file__).parents[3] / "shared/data/events/events.jsonl"

LEAST: dict[str, Any] = {
    "id": "row-1",
    "lang": "nl",
    "titles": {"nl": "Soep en spel"},
    "descriptions": {},
    "timezone": "Europe/Brussels",
    "all_day": False,
    "sessions": [{"start": "2027-06-01T19:00", "end": "2027-06-01T21:00"}],
}


def imported(**given: Any) -> Any:
    centre = make_centre()
    return import_events(make_host(centre=centre), centre, [LEAST | given])[0]


def test_one_session_is_an_event_at_its_wall_time() -> None:
    event = imported(capacity=50).events[0]

    assert (event.local_start.isoformat(), event.local_end.isoformat()) == (
        "2027-06-01T19:00:00+02:00",
        "2027-06-01T21:00:00+02:00",
    )
    assert (Pool.objects.get(event=event).capacity, event.state, event.note) == (50, "published", "")


def test_an_end_that_nobody_knows_stays_unknown() -> None:
    assert imported(sessions=[{"start": "2027-06-01T19:00", "end": None}]).events[0].ends_at is None


def test_an_end_before_its_start_is_taken_as_unknown_with_a_note() -> None:
    event = imported(sessions=[{"start": "2027-06-01T19:00", "end": "2027-06-01T01:00"}]).events[0]

    assert event.ends_at is None and "before its beginning" in event.note


def test_a_date_written_carelessly_is_read_and_one_that_is_none_is_noted() -> None:
    found = imported(sessions=[{"start": "2011-07-9", "end": None}, {"start": "2011-13-41", "end": None}])

    assert [event.local_start.date().isoformat() for event in found.events] == ["2011-07-09"]
    assert "could not be read" in found.note


def test_whole_days_last_until_the_end_of_the_last_one() -> None:
    event = imported(all_day=True, sessions=[{"start": "2027-06-01", "end": "2027-06-03"}]).events[0]

    assert event.all_day and event.local_end.isoformat() == "2027-06-04T00:00:00+02:00"
    assert event.last_day.date().isoformat() == "2027-06-03"


def test_several_sessions_are_one_series_of_their_own_lengths() -> None:
    found = imported(
        sessions=[
            {"start": "2027-06-08T20:00", "end": "2027-06-08T23:30"},
            {"start": "2027-06-01T19:00", "end": "2027-06-01T21:00"},
        ]
    )

    rows = found.series.occurrences.order_by("starts_at")
    assert [(row.original_start, (row.ends_at - row.starts_at).seconds / 3600) for row in rows] == [
        ("2027-06-01T19:00:00", 2.0),
        ("2027-06-08T20:00:00", 3.5),
    ]
    assert found.series.rdates == ["2027-06-08T20:00:00"]


def test_without_a_session_it_is_a_draft() -> None:
    event = imported(sessions=[]).events[0]

    assert (event.state, event.starts_at, event.note) == ("draft", None, "It had no date.")


def test_reading_a_file_again_makes_nothing_twice() -> None:
    host, centre = make_host(), make_centre()
    rows = [LEAST, LEAST | {"id": "row-2", "sessions": [], "rrule": None}]

    first = import_events(host, centre, rows)
    second = import_events(host, centre, rows)

    assert [one.events[0].pk for one in first] == [one.events[0].pk for one in second]
    assert Event.objects.count() == 2


@pytest.mark.usefixtures("region")
def test_all_real_events_arrive_and_are_shown(client: Client) -> None:
    if not REAL.exists():
        print("426 of 426 real events lacked: no shared/data here")
        return
    rows = [json.loads(line) for line in REAL.read_text().splitlines()]
    centre = make_centre()

    found = import_events(make_host(), centre, rows)

    assert len(found) == len(rows) == 426
    assert all(one.events for one in found)
    for row, one in zip(rows, found, strict=True):
        made = {
            event.original_start or event.local_start.isoformat() for event in one.events if event.local_start
        }
        for session in row["sessions"]:
            day = "-".join(part.zfill(2) for part in session["start"][:10].split("-"))
            unreadable = day == "0000-00-00" and "could not be read" in one.note
            assert unreadable or any(start.startswith(day) for start in made), (row["id"], session)
    dateless = [row for row in rows if all(session["start"] == "0000-00-00" for session in row["sessions"])]
    assert Event.objects.filter(state="draft").count() == len(dateless) == 3
    assert Series.objects.count() == sum(
        len({session["start"] for session in row["sessions"]}) > 1 or bool(row["rrule"]) for row in rows
    )
    assert Pool.objects.count() == Event.objects.count()
    for one in found[::40]:
        event = one.events[0]
        if event.state == "published":
            assert client.get(event.get_absolute_url()).status_code == 200
    assert client.get("/events/", {"since": "2010-01-01", "until": "2026-01-01"}).context["has_more"]
