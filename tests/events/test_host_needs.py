"""What needs a host: only what the data say, the most urgent first, and no more than fits a glance."""

from datetime import timedelta
from typing import Any

import pytest

from events import host_needs, hosting
from events.models import CoHost, Event, Registration
from events.registration import Person, cancel, register
from realtime import clock as our_clock
from tests.factories import make_client, make_event, make_host, make_member

pytestmark = pytest.mark.django_db
ME = Person()
DAY = timedelta(days=1)


def told(member: Any) -> list[tuple[str, str]]:
    return [(need.title, str(need.text)) for need in host_needs.needs(member)]


def test_nothing_is_said_when_nothing_needs_anybody(clock: Any) -> None:
    host = make_host()
    make_event(host=host, starts_at=our_clock.now() + 20 * DAY)
    make_event(host=host, state=Event.State.DRAFT, starts_at=our_clock.now() + 30 * DAY)
    make_event(state=Event.State.DRAFT, starts_at=None, ends_at=None)
    assert told(host) == []
    assert "Needs you" not in make_client(host).get("/events/mine/").text


def test_the_most_urgent_comes_first(clock: Any) -> None:
    host = make_host()
    draft = {"host": host, "state": Event.State.DRAFT}
    make_event(title="No date", starts_at=None, ends_at=None, **draft)
    make_event(title="Soon", starts_at=our_clock.now() + 5 * DAY, **draft)
    make_event(title="Missed", starts_at=our_clock.now() - 5 * DAY, **draft)
    make_event(
        title="Quiet", host=host, starts_at=our_clock.now() + DAY, created_at=our_clock.now() - 2 * DAY
    )
    make_event(title="Just made", host=host, starts_at=our_clock.now() + DAY)
    off = make_event(title="Off", host=host, starts_at=our_clock.now() + 20 * DAY)
    hosting.call_off(host, off.pk)
    asked = make_event(title="Asked", capacity=1, waiting_list="strict", starts_at=our_clock.now() + 9 * DAY)
    holder = register(make_member(), asked.pk, [ME])
    register(host, asked.pk, [ME], wait=True)
    cancel(holder.member, holder.pk)
    assert [title for title, _text in told(host)] == ["Asked", "Off", "Soon", "Quiet", "Missed", "No date"]
    page = make_client(host).get("/events/mine/").text
    assert "Needs you" in page and f'href="{off.get_absolute_url()}"' in page
    clock.shift(timedelta(minutes=11))
    assert "Off" not in [title for title, _text in told(host)]


def test_who_waits_at_an_event_needs_whoever_hosts_it(clock: Any) -> None:
    event = make_event(title="Full", capacity=2, waiting_list="strict", starts_at=our_clock.now() + 20 * DAY)
    register(make_member(), event.pk, [ME])
    register(make_member(), event.pk, [ME, ME], wait=True)
    other = make_member()
    CoHost.objects.create(event=event, member=other)
    for member in (event.host, other):
        assert told(member) == [("Full", "2 people wait for a place.")]
    assert told(make_member()) == []


def test_an_offer_that_has_ended_asks_nobody(clock: Any) -> None:
    event = make_event(capacity=1, waiting_list="strict", starts_at=our_clock.now() + 9 * DAY)
    holder = register(make_member(), event.pk, [ME])
    asked = register(make_member(), event.pk, [ME], wait=True)
    cancel(holder.member, holder.pk)
    assert len(told(asked.member)) == 1
    clock.move_to(Registration.objects.get(pk=asked.pk).offer_expires_at)
    assert told(asked.member) == []


@pytest.mark.parametrize("how_many", [1, 30])
def test_it_costs_six_queries_and_stays_short(how_many: int, django_assert_num_queries: Any) -> None:
    host = make_host()
    for _turn in range(how_many):
        make_event(host=host, created_at=our_clock.now() - 2 * DAY)
        make_event(host=host, state=Event.State.DRAFT, starts_at=None, ends_at=None)
    with django_assert_num_queries(6):
        found = host_needs.needs(host)
    assert len(found) == min(2 * how_many, host_needs.MOST)
