"""How many of those expected came: from the set of scans, over several people, never who."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from events import checkin, hosting, turnout
from events.checkin import DeviceClock
from events.models import Event, Gate, Registration, Scan, Series
from events.turnout import Turnout
from realtime import clock as times
from tests.events.doors import code, gate, party, reading
from tests.factories import (
    make_centre,
    make_client,
    make_event,
    make_host,
    make_member,
    make_place,
    make_staff,
)

pytestmark = pytest.mark.django_db
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def held(clock: Any, came: int, expected: int, **given: Any) -> Event:
    """An event that is over, with parties of one of whom so many were let in; two hours later."""
    event = make_event(**{"starts_at": times.now() + 10 * timedelta(minutes=1), "capacity": 100} | given)
    rows = [party(event) for _n in range(expected)]
    door = gate(event)
    for row in rows[:came]:
        checkin.record(door, [reading(code(row))], DeviceClock(0))
    clock.move_to(event.over_at + timedelta(minutes=1))
    return event


def of(event: Event) -> Turnout | None:
    return turnout.of_event(event.host, event.pk)[0]


def test_after_it_who_runs_it_knows_how_many_of_those_expected_came(clock: Any) -> None:
    event = held(clock, 7, 10)
    assert of(event) == Turnout(10, 7)
    assert Turnout(20, 14).missing == 30
    assert turnout.of_event(make_staff(event.centre), event.pk)[0] == Turnout(10, 7)
    with pytest.raises(PermissionDenied):
        turnout.of_event(make_member(), event.pk)


def test_before_it_is_over_there_is_none(clock: Any) -> None:
    event = held(clock, 7, 10)
    clock.move_to(event.over_at - timedelta(seconds=1))
    assert of(event) is None


@pytest.mark.parametrize(("expected", "shown"), [(4, False), (5, True)])
def test_of_fewer_than_five_people_there_is_none(clock: Any, expected: int, shown: bool) -> None:
    event = held(clock, 2, expected)
    assert (of(event) is not None) == shown
    assert (turnout.of_host(event.host)[0] is not None) == shown


def test_where_the_door_was_not_used_nothing_is_known(clock: Any) -> None:
    event = held(clock, 0, 10)
    assert of(event) is None
    door = gate(event)
    row = event.registrations.first()
    for refused in (False, True):  # undone within two minutes; refused
        first = reading(code(row), decision="refused", reason="unknown") if refused else reading(code(row))
        checkin.record(door, [first], DeviceClock(0))
        if not refused:
            checkin.record(door, [reading("", kind=Scan.Kind.UNDO, undoes=first.id)], DeviceClock(0))
    assert Scan.objects.filter(event=event).count() == 3
    assert of(event) is None


def test_a_gate_that_is_no_longer_trusted_counts_for_nothing(clock: Any) -> None:
    event = held(clock, 7, 10)
    Gate.objects.filter(event=event).update(distrust_from=event.starts_at - DAY)
    assert of(event) is None


def test_who_cancelled_is_neither_expected_nor_there_and_a_party_counts_by_its_people(clock: Any) -> None:
    event = make_event(starts_at=times.now() + timedelta(minutes=10), capacity=100)
    family, alone, gone = party(event, "A", "B", "C", "D"), party(event), party(event, "X", "Y")
    checkin.record(gate(event), [reading(code(family), slots=0b11), reading(code(gone))], DeviceClock(0))
    Registration.objects.filter(pk=gone.pk).update(state="cancelled")
    gone.attendees.update(is_live=False)
    clock.move_to(event.over_at)
    assert of(event) == Turnout(5, 2)
    assert alone.is_coming


def meetup(host: Any, weeks: int) -> list[Event]:
    """The dates of a weekly meetup that began so many weeks ago."""
    start = (times.now() - weeks * 7 * DAY).replace(tzinfo=None, hour=19, minute=0, second=0)
    made = hosting.publish_series(
        host,
        {"title": "Language café", "starts_at": start, "timezone": "Europe/Brussels", "place": make_place()},
        {"rrule": "FREQ=WEEKLY"},
    )
    return list(made.occurrences.order_by("starts_at"))


def attended(event: Event, came: int, expected: int) -> None:
    """So many of them were let in, as if it had been then."""
    rows = [party(event) for _n in range(expected)]
    door = Gate.objects.create(event=event, name="F", digest=uuid4().hex, paired_at=event.starts_at - DAY)
    for n, row in enumerate(rows[:came]):
        Scan.objects.create(
            pk=uuid4(), event=event, order=n + 1, gate=door, kind="in", registration=row, slots=1,
            at=event.starts_at, digest="x",
        )  # fmt: skip


def test_of_a_meetup_it_is_the_rate_of_its_dates_of_the_last_twelve_months(clock: Any) -> None:
    host = make_host(centre=make_centre())
    dates = meetup(host, weeks=60)
    attended(dates[0], 1, 10)  # more than a year ago
    attended(dates[50], 3, 4)
    attended(dates[51], 4, 4)
    one, several = turnout.of_event(host, dates[51].pk)
    assert (one, several) == (None, Turnout(8, 7, 2)), "four people are too few, eight are not"
    together, by_series = turnout.of_host(host)
    assert together == Turnout(8, 7, 2)
    assert by_series == [(Series.objects.get(), Turnout(8, 7, 2))]
    assert turnout.of_event(host, dates[0].pk)[0] == Turnout(10, 1), "the date itself is counted however old"


def test_who_hosts_one_date_of_a_meetup_hears_nothing_of_the_others(clock: Any) -> None:
    host = make_host(centre=make_centre())
    dates = meetup(host, weeks=10)
    attended(dates[1], 3, 6)
    attended(dates[2], 6, 6)
    helper = make_member()
    dates[2].cohosts.create(member=helper, named_by=host)
    assert turnout.of_event(helper, dates[2].pk) == (Turnout(6, 6), None)
    assert turnout.of_host(helper) == (Turnout(6, 6), [])
    with pytest.raises(PermissionDenied):
        turnout.of_event(helper, dates[1].pk)


@pytest.mark.parametrize("how_many", [2, 12])
def test_it_costs_the_same_for_few_dates_and_many(
    clock: Any, django_assert_num_queries: Any, how_many: int
) -> None:
    host = make_host(centre=make_centre())
    dates = meetup(host, weeks=20)
    for event in dates[:how_many]:
        attended(event, 3, 4)
    with django_assert_num_queries(3):
        assert turnout.of_host(host)[0] == Turnout(4 * how_many, 3 * how_many, how_many)
    event = Event.objects.get(pk=dates[0].pk)
    with django_assert_num_queries(3):
        turnout.at(host, event)
    nobody = make_member()
    with django_assert_num_queries(1):
        assert turnout.of_host(nobody) == (None, [])


def test_pages_say_the_rate_what_it_means_and_what_helps(clock: Any) -> None:
    event = held(clock, 14, 20)
    client = make_client(event.host)
    page = client.get(reverse("guests", args=[event.pk])).text
    assert "14 of 20 people came, 30\u00a0% did not" in page and "Ask two days and six hours before" in page
    mine = client.get("/events/mine/").text
    assert "14 of 20 people came, 30\u00a0% did not" in mine
    assert "How many came" not in make_client(make_member()).get("/events/mine/").text
    silent = held(clock, 0, 6, host=event.host)
    assert "how many came is not known" in client.get(reverse("guests", args=[silent.pk])).text


def test_the_door_helper_is_not_told(clock: Any) -> None:
    event = held(clock, 7, 10)
    helper = make_member()
    event.helpers.create(member=helper, named_by=event.host)
    assert "How many came" not in make_client(helper).get(reverse("guests", args=[event.pk])).text


def test_programs_get_the_same(clock: Any) -> None:
    event = held(clock, 14, 20)
    client = make_client(event.host)
    said = {"expected": 20, "came": 14, "missing_per_cent": 30, "events": 1}
    assert client.get(f"/api/v1/events/{event.public_id}/turnout/").json() == {"event": said, "series": None}
    assert client.get("/api/v1/events/turnout/").json() == {"all": said, "series": []}
    assert make_client(make_member()).get(f"/api/v1/events/{event.public_id}/turnout/").status_code == 403
    assert isinstance(event.starts_at, datetime)
