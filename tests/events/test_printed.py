"""The list of guests on paper: everybody who comes by last name, who waits apart, the event on every page."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from community.models import SecurityRecord
from events import checkin
from events.checkin import DeviceClock
from events.models import DoorHelper, Registration
from events.registration import Person, register
from realtime import clock as our_clock
from tests.events.doors import code, gate, reading
from tests.factories import make_child, make_client, make_event, make_household, make_member

pytestmark = pytest.mark.django_db
ME = Person()


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.S)
    return [
        [
            " ".join(re.sub(r"<[^>]+>", " ", cell).split())
            for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        ]
        for row in rows
    ]


def test_parties_stand_by_last_name_with_children_and_a_box_each(clock: Any) -> None:
    event = make_event(capacity=5, waiting_list="strict", starts_at=our_clock.now() + timedelta(minutes=20))
    zoe, ana = make_member(display_name="Zoë Aerts"), make_member(display_name="Ana de Vries")
    noa = make_child(make_household(ana), nickname="Noa", birth_year=our_clock.now().year - 6)
    family = register(ana, event.pk, [ME, Person(child_id=noa.pk), Person(name="=Oma")])
    register(zoe, event.pk, [ME])
    register(make_member(display_name="Bo"), event.pk, [ME, ME], wait=True)
    checkin.record(gate(event), [reading(code(family))], DeviceClock(0))

    page = make_client(event.host).get(f"/events/{event.public_id}/guests/print/").text

    coming, waiting = page.split("</table>")[:2]
    assert cells(coming)[2:] == [
        ["☐", "Zoë Aerts", "", "Zoë Aerts, 1 person"],
        ["☑", "Ana de Vries", "", "Ana de Vries, 3 people"],
        ["☑", "Noa", "6", ""],
        ["☑", "=Oma", "", ""],
    ]
    assert [row[1] for row in cells(waiting)[2:]] == ["Bo", "Guest"]
    for table in (coming, waiting):
        head = table.partition("<tbody>")[0]
        assert event.title in head and "2 Mar, 19:50" in head, "on every page that is printed"


def test_the_list_is_in_the_language_of_who_prints_it() -> None:
    event = make_event()
    register(make_member(), event.pk, [ME])
    host = make_client(event.host)
    page = host.get(f"/events/{event.public_id}/guests/print/", headers={"Accept-Language": "nl"})
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]


def test_only_who_runs_the_event_prints_it_and_that_is_on_record() -> None:
    event = make_event()
    helper = make_member()
    DoorHelper.objects.create(event=event, member=helper)
    path = f"/events/{event.public_id}/guests/print/"
    assert Client().get(path).status_code == 302
    for reader, status in ((make_member(), 403), (helper, 403), (event.host, 200)):
        assert make_client(reader).get(path).status_code == status
    assert SecurityRecord.objects.filter(actor=event.host, action="exported", target="guests").count() == 1
    late = make_client(event.host, minutes_ago=11).get(path)
    assert late.status_code == 302 and "reauthenticate" in late["Location"]


def test_nobody_there_says_so() -> None:
    event = make_event()
    page = make_client(event.host).get(f"/events/{event.public_id}/guests/print/").text
    assert "Nobody has registered yet" in page and "<table" not in page


@pytest.mark.parametrize("how_many", [1, 30])
def test_printing_costs_the_same_for_one_and_thirty(how_many: int, django_assert_num_queries: Any) -> None:
    event = make_event(capacity=None)
    for _turn in range(how_many):
        register(make_member(), event.pk, [ME, ME])
    client = make_client(event.host)
    client.get(f"/events/{event.public_id}/guests/print/")
    with django_assert_num_queries(7):
        client.get(f"/events/{event.public_id}/guests/print/")
    assert Registration.objects.count() == how_many
