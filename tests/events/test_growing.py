"""A party that comes and would be larger: the others stand in the line, and nobody new gets past them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from events import hosting, privacy, seats
from events.models import Attendee, Event, Pool, Registration
from events.registration import Person, cancel, change_party, register
from realtime import clock as times
from realtime.models import Mail
from tests.factories import make_child, make_client, make_event, make_household, make_member

pytestmark = pytest.mark.django_db
ME = Person()
BO, CY = Person("Bo"), Person("Cy")


def full(capacity: int = 3, **given: Any) -> tuple[Event, Registration, Registration]:
    """A full event with a list, in ten days: one who wants more, and two places that somebody else has."""
    soon = times.now() + timedelta(days=10)
    event = make_event(**{"capacity": capacity, "waiting_list": "strict", "starts_at": soon} | given)
    wants = register(make_member(), event.pk, [ME])
    holder = register(make_member(), event.pk, [ME] * (capacity - 1))
    return event, wants, holder


def taken(event: Event) -> int:
    return Pool.objects.get(event=event).taken


def names(row: Registration) -> list[str]:
    return list(row.attendees.filter(is_live=True).order_by("slot").values_list("name", flat=True))[1:]


def test_without_wait_it_is_full_and_with_it_the_difference_stands_in_the_line() -> None:
    event, row, _holder = full()
    with pytest.raises(ValidationError) as no:
        change_party(row.member, row.pk, [ME, BO, CY])
    assert no.value.code == "full"
    row = change_party(row.member, row.pk, [ME, BO, CY], wait=True)
    assert (row.state, row.party_size, row.more, taken(event)) == ("confirmed", 1, 2, 3)
    assert (seats.people_waiting(event), seats.position(row)) == (2, 1)
    assert seats.places_of([event])[event.pk].waiting == 2
    assert Mail.objects.filter(kind="event_more", to=row.member.email).count() == 1
    with pytest.raises(ValidationError):
        register(make_member(), event.pk, [ME])


def test_as_soon_as_there_is_room_for_all_of_them_they_are_in_it() -> None:
    event, row, holder = full()
    change_party(row.member, row.pk, [ME, BO, CY], wait=True)
    change_party(holder.member, holder.pk, [ME])
    row.refresh_from_db()
    assert (row.party_size, row.more, taken(event)) == (1, 2, 2), "one place is not two"
    cancel(holder.member, holder.pk)
    row.refresh_from_db()
    assert (row.party_size, row.more, row.queued_at, taken(event)) == (3, 0, None, 3)
    assert names(row) == ["Bo", "Cy"] and row.claims.get().n == 3
    assert Mail.objects.filter(kind="event_party", to=row.member.email).count() == 1


def test_in_the_line_it_counts_when_they_asked() -> None:
    event, row, holder = full(2)
    waits = register(make_member(), event.pk, [ME], wait=True)
    change_party(row.member, row.pk, [ME, BO], wait=True)
    cancel(holder.member, holder.pk)
    waits.refresh_from_db(), row.refresh_from_db()
    assert (waits.state, row.more) == ("offered", 1)
    assert seats.ahead_of(row).people == 0


def test_who_is_swapped_comes_at_once_and_only_the_rest_waits() -> None:
    event, row, _holder = full(4)
    hosting.change(event.host, event.pk, {"capacity": 5})
    row = change_party(row.member, row.pk, [ME, BO])
    row = change_party(row.member, row.pk, [ME, CY, Person("Di")], wait=True)
    assert (names(row), [one["name"] for one in row.wanted or ()]) == (["Cy"], ["Di"])


def test_any_later_change_gives_the_wish_up() -> None:
    event, row, _holder = full()
    change_party(row.member, row.pk, [ME, BO], wait=True)
    row = change_party(row.member, row.pk, [ME])
    assert (row.more, row.wanted, seats.people_waiting(event)) == (0, None, 0)


def test_more_places_let_them_in_and_a_call_off_ends_the_wish() -> None:
    event, row, _holder = full()
    change_party(row.member, row.pk, [ME, BO], wait=True)
    hosting.change(event.host, event.pk, {"capacity": 4})
    row.refresh_from_db()
    assert (row.party_size, taken(event)) == (2, 4)
    change_party(row.member, row.pk, [ME, BO, CY], wait=True)
    hosting.call_off(event.host, event.pk)
    assert seats.people_waiting(event) == 0


def test_a_child_that_comes_with_the_other_parent_by_then_is_not_booked_twice() -> None:
    ana, ben = make_member(), make_member()
    child = make_child(make_household(ana, ben))
    event = make_event(capacity=3, waiting_list="strict", starts_at=times.now() + timedelta(days=10))
    row = register(ana, event.pk, [ME])
    holder = register(make_member(), event.pk, [ME])
    other = register(ben, event.pk, [ME])
    change_party(ana, row.pk, [ME, BO, Person(child_id=child.pk)], wait=True)
    change_party(ben, other.pk, [Person(child_id=child.pk)])
    hosting.change(event.host, event.pk, {"capacity": 5})
    row.refresh_from_db()
    assert (row.party_size, names(row), taken(event)) == (2, ["Bo"], 4)
    cancel(holder.member, holder.pk)
    assert taken(event) == 3 == Attendee.objects.filter(event=event, is_live=True).count()


def test_who_is_gone_by_then_is_left_out_and_the_others_join() -> None:
    ana, ben = make_member(), make_member()
    child = make_child(make_household(ana, ben))
    event = make_event(capacity=4, waiting_list="strict", starts_at=times.now() + timedelta(days=10))
    row, holder = register(ana, event.pk, [ME]), register(make_member(), event.pk, [ME, CY, Person("Di")])
    change_party(ana, row.pk, [ME, BO, Person(member_id=ben.pk), Person(child_id=child.pk)], wait=True)
    child.delete()
    privacy.forget(ben)
    ben.delete()
    row.refresh_from_db()
    assert (row.more, row.wanted) == (0, None), "the wish of a party with somebody who is erased ends"
    change_party(ana, row.pk, [ME, BO, CY], wait=True)
    Registration.objects.filter(pk=row.pk).update(
        wanted=[
            {"name": "x", "member": 77, "child": None, "age": None},
            *(row.wanted or []),
            {"name": "Bo", "member": None, "child": None, "age": None},
        ]
    )
    hosting.change(event.host, event.pk, {"capacity": 7})
    row.refresh_from_db()
    assert (names(row), taken(event)) == (["Bo"], 5)
    cancel(holder.member, holder.pk)
    assert taken(event) == 2


def test_the_page_and_the_api_say_so() -> None:
    _event, row, _holder = full()
    client = make_client(row.member)
    url = f"/registrations/{row.public_id}/"
    form = {"me": "on", "guests": "Bo\nCy", "version": row.version, "wait": "on"}
    page = client.post(f"{url}party/", form, follow=True).content.decode()
    assert "You wait for 2 more places" in page and "Number 1 in the line" in page
    told = client.get(f"/api/v1{url}").json()
    assert (told["status"], told["more"], told["position"]) == ("confirmed", 2, 1)


@pytest.mark.django_db(transaction=True)
def test_growth_against_newcomers_and_a_cancelling_neither_oversells_nor_lets_anybody_pass() -> None:
    for _n in range(3):
        event, row, holder = full(4)
        people = [make_member() for _n in range(5)]
        works: list[Any] = [
            lambda r=row: change_party(r.member, r.pk, [ME, BO, CY], wait=True),
            lambda h=holder: cancel(h.member, h.pk),
            *[lambda m=member, e=event: register(m, e.pk, [ME]) for member in people],
        ]

        def run(work: Any) -> None:
            try:
                work()
            except ValidationError as no:
                assert no.code == "full"
            finally:
                connection.close()

        with ThreadPoolExecutor(len(works)) as pool:
            list(pool.map(run, works))
        n = taken(event)
        row.refresh_from_db()
        assert n == Attendee.objects.filter(event=event, is_live=True).count() <= 4
        assert row.more == 0 or 4 - n < row.more, "what is free is too little for who waits"
