"""A date of a meetup in calendars: the UID of its series and the RECURRENCE-ID it was made with, whatever becomes of it."""

from datetime import UTC, datetime
from typing import Any

import icalendar
import pytest

from community.models import Circle
from events import calendars, hosting, reader, rescheduling
from events.models import Event, Series
from events.rescheduling import Which
from tests.events.test_series_pages import host, meetup, rows
from tests.factories import make_circle

__all__ = ["host"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
SOON, LATE = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 6, 1, tzinfo=UTC)

type Names = dict[str, tuple[str, str]]


def entries(circle: Circle) -> list[Any]:
    return list(icalendar.Calendar.from_ical(calendars.of_circle(circle).content()[0]).walk("VEVENT"))


def names(circle: Circle) -> Names:
    """By the page of each date: its UID, and its RECURRENCE-ID as it stands in the file."""
    return {
        str(row["url"]): (str(row["uid"]), row["recurrence-id"].params.to_ical().decode() + ":" + row["recurrence-id"].to_ical().decode())
        for row in entries(circle)
    }  # fmt: skip


def weekly(host: Any, **more: Any) -> tuple[Series, Circle]:
    """Six Tuesdays at 19:00 from 9 March 2027 on, the clocks change on the 28th."""
    circle = make_circle(host)
    return meetup(host, "FREQ=WEEKLY;COUNT=6", circle=circle, **more), circle


def change(host: Any, found: Series, scope: str, which: Event | None, changes: Any, **more: Any) -> None:
    occurrence = which.pk if which else None
    rescheduling.change_series(host, found.pk, Which(scope, occurrence, reason="So it is."), changes, **more)


def test_a_date_keeps_its_name_when_it_is_moved_split_and_called_off(host: Any) -> None:
    found, circle = weekly(host)
    before = names(circle)
    assert {uid for uid, _when in before.values()} == {f"{found.public_id}@localhost"}
    assert [when for _uid, when in before.values()] == [
        f"TZID=Europe/Brussels:2027{day}T190000" for day in ("0309", "0316", "0323", "0330", "0406", "0413")
    ]

    second, third, fourth = rows(found)[1:4]
    change(host, found, "this", second, {"starts_at": datetime(2027, 3, 18, 20)})
    change(host, found, "following", third, {"starts_at": datetime(2027, 3, 24, 18)})
    hosting.call_off(host, fourth.pk, "The hall is being painted")

    assert names(circle) == before, "though four of them belong to another series now, on another day"
    third.refresh_from_db()
    assert third.series_id != found.pk
    shown = {str(row["url"]).split("/")[-2]: row for row in entries(circle)}
    assert shown[second.public_id].decoded("dtstart") == datetime(2027, 3, 18, 19, tzinfo=UTC)
    assert shown[third.public_id].decoded("dtstart") == datetime(2027, 3, 24, 17, tzinfo=UTC)
    assert str(shown[fourth.public_id]["status"]) == "CANCELLED"
    assert all(row.get("rrule") is None for row in shown.values())


def test_a_mail_names_the_date_as_the_feed_does(host: Any) -> None:
    found, circle = weekly(host)
    second = rows(found)[1]
    known = names(circle)
    change(host, found, "all", None, {"starts_at": datetime(2027, 3, 10, 18)})
    event = Event.objects.select_related("place", "centre").get(pk=second.pk)

    for text in (calendars.invitation(event), calendars.invitation(event, cancelled=True)):
        row = icalendar.Calendar.from_ical(text).events[0]
        assert (str(row["uid"]), row["recurrence-id"].to_ical()) == (
            f"{found.public_id}@localhost",
            b"20270316T190000",
        )
        assert known[str(row["url"])][0] == str(row["uid"])


def test_no_two_dates_have_one_name(host: Any) -> None:
    """The meetup goes from Tuesday to Wednesday, and then takes place on both days."""
    found, circle = weekly(host)
    before = names(circle)
    change(host, found, "all", None, {"starts_at": datetime(2027, 3, 10, 19)})
    change(host, found, "all", None, {}, recurrence={"rrule": "FREQ=WEEKLY;BYDAY=TU,WE;COUNT=11"})

    after = {
        str(row["url"]): (str(row["uid"]), str(row.get("recurrence-id") and row["recurrence-id"].to_ical()))
        for row in entries(circle)
    }

    assert len(after) > len(before) and len(set(after.values())) == len(after)
    own = {url: uid for url, (uid, when) in after.items() if when == "None"}
    assert own and not own.keys() & before.keys()
    assert all(uid.partition("@")[0] == url.split("/")[-2] for url, uid in own.items())


def test_whole_days_are_named_by_the_day_and_the_zone_of_a_name_is_always_there(host: Any) -> None:
    _days, circle = weekly(host, all_day=True, starts_at=datetime(2027, 3, 9), ends_at=datetime(2027, 3, 10))
    assert [when for _uid, when in names(circle).values()][:2] == [
        "VALUE=DATE:20270309",
        "VALUE=DATE:20270316",
    ]

    hours, other = weekly(host)
    Event.objects.filter(series=hours).update(all_day=True)
    feed = icalendar.Calendar.from_ical(calendars.of_circle(other).content()[0])
    assert [str(zone["tzid"]) for zone in feed.walk("VTIMEZONE")] == ["Europe/Brussels"]


def test_dates_made_before_there_were_names_keep_the_uid_they_were_given(host: Any) -> None:
    found, circle = weekly(host)
    Event.objects.filter(series=found).update(uid_series=None, recurrence_id="")

    for row in entries(circle):
        assert str(row["uid"]).partition("@")[0] == str(row["url"]).split("/")[-2]
        assert "recurrence-id" not in row


def test_another_region_that_imports_the_feed_sees_every_date(host: Any) -> None:
    found, circle = weekly(host)
    moved = rows(found)[1]
    change(host, found, "this", moved, {"starts_at": datetime(2027, 3, 18, 20)})

    seen = reader.read(calendars.of_circle(circle).content()[0], SOON, LATE, "UTC")

    assert [one.starts_at for one in seen.occurrences] == [
        row.starts_at for row in Event.objects.filter(series=found).order_by("starts_at")
    ]
    assert {one.uid for one in seen.occurrences} == {f"{found.public_id}@localhost"}
    assert len({one.recurrence for one in seen.occurrences}) == 6


@pytest.mark.parametrize("zone", ["Europe/Brussels", "Europe/Amsterdam", "Europe/Berlin"])
def test_a_time_that_the_clocks_skip_is_named_by_the_one_there_is(host: Any, zone: str) -> None:
    _night, circle = weekly(
        host, timezone=zone, starts_at=datetime(2027, 3, 14, 2, 30), ends_at=datetime(2027, 3, 14, 4)
    )

    third = list(names(circle).values())[2]

    assert third[1] == f"TZID={zone}:20270328T033000"
    assert entries(circle)[2]["recurrence-id"].dt == entries(circle)[2]["dtstart"].dt
