"""Another date instead: the whole party has its places at the one event or at the other, never at both or at none."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import OperationalError, connection
from icalendar import Calendar

from community.sign_ins import issue_token
from events import checkin, hosting, moving, tickets
from events.checkin import DeviceClock
from events.models import Attendee, Claim, Event, Registration
from events.registration import Person, cancel, register
from realtime import clock as our_clock
from realtime.models import Mail, Participant
from tests.events.doors import code, gate, reading
from tests.events.test_waiting import states, taken
from tests.events.together import at_once
from tests.factories import (
    make_centre,
    make_child,
    make_client,
    make_event,
    make_host,
    make_household,
    make_member,
)

pytestmark = pytest.mark.django_db
ME = Person()


def dates(capacity: int | None = 4, **given: Any) -> list[Event]:
    """Three dates of a meetup."""
    host = make_host(centre=make_centre())
    plan: Any = {
        "title": "Language table",
        "starts_at": (our_clock.now() + timedelta(days=2)).replace(tzinfo=None, microsecond=0),
        "capacity": capacity,
        "waiting_list": "strict",
    }
    meetup = hosting.publish_series(host, plan | given, {"rrule": "FREQ=WEEKLY;COUNT=3"})
    return list(meetup.occurrences.order_by("starts_at"))


def family_at(event: Event) -> Registration:
    ana, ben = make_member(), make_member()
    noa = make_child(make_household(ana, ben))
    party = [ME, Person(member_id=ben.pk), Person(child_id=noa.pk), Person(name="Oma", age=80)]
    return register(ana, event.pk, party)


def code_of(no: Any) -> str:
    return str(no.value.code)


def date_of(calendar: Any) -> str:
    """Which date of its meetup it is about."""
    name = calendar.events[0]["RECURRENCE-ID"]
    return f"TZID={name.params['TZID']}:{name.to_ical().decode()}"


def test_a_family_moves_whole_with_a_new_ticket_and_one_mail_each() -> None:
    first, second, _third = dates()
    old = family_at(first)
    printed = tickets.code_of(old)
    people = list(old.attendees.values_list("name", "member", "child", "age"))
    Mail.objects.all().delete()

    new = moving.move(old.member, old.pk, second.pk)

    assert (new.state, new.party_size, new.event_id) == ("confirmed", 4, second.pk)
    assert list(new.attendees.values_list("name", "member", "child", "age")) == people
    assert (taken(first), taken(second)) == (0, 4)
    assert list(Claim.objects.values_list("registration", "n")) == [(new.pk, 4)]
    assert tickets.code_of(new) != printed
    told = {new.member.email, Attendee.objects.get(registration=new, slot=1).member.email}
    assert {(mail.kind, mail.to) for mail in Mail.objects.all()} == {("event_moved", to) for to in told}
    mail = Mail.objects.get(to=new.member.email)
    put_in, taken_out = Calendar.from_ical(mail.attachment, multiple=True)
    assert (put_in["METHOD"], date_of(put_in)) == ("REQUEST", second.recurrence_id)
    assert (taken_out["METHOD"], date_of(taken_out)) == ("CANCEL", first.recurrence_id)
    assert put_in.events[0]["UID"] == taken_out.events[0]["UID"]
    assert (
        new.member.email in put_in.events[0]["ATTENDEE"]
        and new.member.email in taken_out.events[0]["ATTENDEE"]
    )
    assert Registration.objects.get(pk=old.pk).moved_to_id == new.pk
    second.refresh_from_db()
    inside = Participant.objects.filter(left_seq=None, member=new.member)
    assert list(inside.values_list("room", flat=True)) == [second.room_id]


def test_the_page_of_the_old_date_leads_to_the_new_one() -> None:
    first, second, _third = dates()
    old = family_at(first)
    new = moving.move(old.member, old.pk, second.pk)
    browser = make_client(old.member)

    page = browser.get(f"/registrations/{old.public_id}/").content.decode()

    assert "Your party comes on another date now" in page
    assert f'href="/registrations/{new.public_id}/"' in page


def test_the_old_ticket_opens_neither_door(clock: Any) -> None:
    first, second = (make_event(starts_at=our_clock.now() + timedelta(minutes=20)) for _turn in range(2))
    host = first.host
    Event.objects.filter(pk=second.pk).update(host=host)
    old = register(make_member(), first.pk, [ME])
    printed = code(old)
    new = moving.move(host, old.pk, second.pk)
    asked = [(first, printed), (second, printed), (second, code(new))]
    answers = [
        checkin.record(gate(event), [reading(shown)], DeviceClock(0)).answers[0] for event, shown in asked
    ]
    assert [(one.status, one.reason) for one in answers] == [
        ("refused", "cancelled"),
        ("refused", "wrong_event"),
        ("admitted", ""),
    ]


def test_the_freed_places_go_to_who_waits_there() -> None:
    first, second, _third = dates()
    old = family_at(first)
    waits = register(make_member(), first.pk, [ME], wait=True)
    moving.move(old.member, old.pk, second.pk)
    assert states(old, waits) == ["cancelled", "offered"]
    assert (taken(first), taken(second)) == (1, 4)


def test_who_waits_or_is_asked_may_move_to_where_there_is_room() -> None:
    first, second, _third = dates(capacity=1)
    holder = register(make_member(), first.pk, [ME])
    asked, waits = (register(make_member(), first.pk, [ME], wait=True) for _turn in range(2))
    moved = moving.move(waits.member, waits.pk, second.pk)
    assert (states(moved, waits), taken(first)) == (["confirmed", "cancelled"], 1)
    cancel(holder.member, holder.pk)
    assert states(asked) == ["offered"]
    with pytest.raises(ValidationError) as no:
        moving.move(asked.member, asked.pk, second.pk)
    assert (code_of(no), states(asked), taken(first)) == ("full", ["offered"], 1)


def test_a_refused_move_leaves_everything_as_it_was(clock: Any) -> None:
    first, second, third = dates()
    old = family_at(first)
    register(make_member(), second.pk, [ME])
    register(old.member, third.pk, [ME])
    off = make_event(host=first.host, state=Event.State.CANCELLED)
    begun = make_event(host=first.host, starts_at=our_clock.now() - timedelta(minutes=1))
    before = (
        list(Registration.objects.order_by("pk").values()),
        list(Attendee.objects.order_by("pk").values()),
    )
    for event, who, why in (
        (second, old.member, "full"),
        (third, old.member, "already_registered"),
        (first, old.member, "closed"),
        (off, first.host, "closed"),
        (begun, first.host, "too_late"),
    ):
        with pytest.raises(ValidationError) as no:
            moving.move(who, old.pk, event.pk)
        assert code_of(no) == why, why
    after = list(Registration.objects.order_by("pk").values()), list(Attendee.objects.order_by("pk").values())
    assert (after, taken(first)) == (before, 4)


def test_who_comes_after_somebody_waiting_does_not_get_past_them() -> None:
    first, second, _third = dates(capacity=2)
    old = register(make_member(), first.pk, [ME])
    register(make_member(), second.pk, [ME])
    register(make_member(), second.pk, [ME, ME], wait=True)
    with pytest.raises(ValidationError) as no:
        moving.move(old.member, old.pk, second.pk)
    assert code_of(no) == "full"


def test_one_who_is_in_already_stays(clock: Any) -> None:
    event = make_event(starts_at=our_clock.now() + timedelta(minutes=20))
    other = make_event(host=event.host)
    old = register(make_member(), event.pk, [ME])
    checkin.record(gate(event), [reading(code(old))], DeviceClock(0))
    with pytest.raises(ValidationError) as no:
        moving.move(event.host, old.pk, other.pk)
    assert code_of(no) == "closed"


def test_what_is_over_called_off_or_cancelled_does_not_move(clock: Any) -> None:
    first, second, _third = dates()
    old, gone = register(make_member(), first.pk, [ME]), register(make_member(), first.pk, [ME])
    cancel(gone.member, gone.pk)
    with pytest.raises(ValidationError) as no:
        moving.move(gone.member, gone.pk, second.pk)
    assert code_of(no) == "closed"
    assert first.over_at is not None
    clock.move_to(first.over_at)
    with pytest.raises(ValidationError) as no:
        moving.move(old.member, old.pk, second.pk)
    assert code_of(no) == "too_late"


def test_a_member_moves_within_the_series_and_a_host_to_what_they_run() -> None:
    first, second, _third = dates()
    old = register(make_member(), first.pk, [ME])
    elsewhere, hidden = make_event(), make_event(visibility="centre")
    for event in (elsewhere, hidden):
        with pytest.raises(Event.DoesNotExist):
            moving.move(old.member, old.pk, event.pk)
        with pytest.raises(Event.DoesNotExist):
            moving.move(first.host, old.pk, event.pk)
    own = make_event(host=first.host)
    with pytest.raises(Event.DoesNotExist):
        moving.move(old.member, old.pk, own.pk)
    assert moving.move(first.host, old.pk, own.pk).event == own
    with pytest.raises(Registration.DoesNotExist):
        moving.move(make_member(), old.pk, second.pk)


def test_who_is_only_named_in_a_party_does_not_move_it() -> None:
    first, second, _third = dates()
    old = family_at(first)
    with pytest.raises(PermissionDenied):
        moving.move(Attendee.objects.get(registration=old, slot=1).member, old.pk, second.pk)


def test_the_page_offers_the_other_dates_and_moves(clock: Any) -> None:
    first, second, third = dates(capacity=2)
    old = register(make_member(), first.pk, [ME])
    register(make_member(), third.pk, [ME, ME])
    client, url = make_client(old.member), f"/registrations/{old.public_id}/"
    assert f'href="{url}move/"' in client.get(url).text
    page = client.get(f"{url}move/").text
    assert f'value="{second.public_id}"' in page and f'value="{third.public_id}"' not in page
    assert "No room for all of you" in page
    asked = client.post(f"{url}move/", {"event": second.public_id})
    assert "Yes, move the party" in asked.text and Registration.objects.get(pk=old.pk).is_coming, (
        "asked first"
    )
    refused = client.post(f"{url}move/", {"event": third.public_id, "sure": "1"})
    assert (refused.status_code, "There is no room" in refused.text) == (409, True)
    answer = client.post(f"{url}move/", {"event": second.public_id, "sure": "1"}, follow=True)
    assert "This is your new ticket." in answer.text
    again = client.post(f"{url}move/", {"event": second.public_id, "sure": "1"})
    assert (again.status_code, Registration.objects.filter(event=second).count()) == (409, 1)
    assert f'href="{url}move/"' not in client.get(url).text


def test_the_host_moves_a_party_from_the_list_of_guests(clock: Any) -> None:
    first, second, _third = dates()
    old = register(make_member(), first.pk, [ME])
    host = make_client(first.host)
    assert f"/registrations/{old.public_id}/move/" in host.get(f"/events/{first.public_id}/guests/").text
    assert f"{old.public_id}/move/" in host.get(f"/events/{first.public_id}/guests/?part=board").text
    clock.move_to(first.doors_at)
    assert "/move/" not in host.get(f"/events/{first.public_id}/guests/").text, "at the door one lets in"
    answer = host.post(
        f"/registrations/{old.public_id}/move/", {"event": second.public_id, "sure": "1"}, follow=True
    )
    assert "They come on another date now" in answer.text
    assert host.post(f"/registrations/{old.public_id}/move/", {"event": "x"}).status_code == 404
    assert make_client(make_member()).get(f"/registrations/{old.public_id}/move/").status_code == 404


def test_a_program_moves_a_party_once(clock: Any, client: Any) -> None:
    first, second, _third = dates()
    old = register(make_member(), first.pk, [ME])
    bearer = {
        "HTTP_AUTHORIZATION": f"Bearer {issue_token(old.member, 'test')}",
        "HTTP_IDEMPOTENCY_KEY": str(uuid4()),
    }
    url, body = f"/api/v1/registrations/{old.public_id}/move/", {"event": second.public_id}
    made, again = (client.post(url, body, "application/json", **bearer) for _turn in range(2))
    assert (made.status_code, again.status_code, again.json()) == (201, 201, made.json())
    assert (made.json()["event"], len(made.json()["tickets"])) == (second.public_id, 1)
    bearer["HTTP_IDEMPOTENCY_KEY"] = str(uuid4())
    no = client.post(url, body, "application/json", **bearer)
    assert (no.status_code, no.json()["code"]) == (409, "closed")


@pytest.mark.parametrize("how_many", [1, 30])
def test_the_page_costs_the_same_for_one_date_and_thirty(
    how_many: int, django_assert_num_queries: Any
) -> None:
    host = make_host()
    event = make_event(host=host)
    for _turn in range(how_many):
        make_event(host=host)
    row = register(make_member(), event.pk, [ME])
    client = make_client(host)
    client.get(f"/registrations/{row.public_id}/move/")
    with django_assert_num_queries(8):
        client.get(f"/registrations/{row.public_id}/move/")


# ------------------------------------------------------------------------------------------------- races


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_round", range(3))
def test_moves_both_ways_at_once_all_arrive(_round: int) -> None:
    first, second, _third = dates(capacity=None)
    there = [register(make_member(), first.pk, [ME]) for _turn in range(3)]
    back = [register(make_member(), second.pk, [ME]) for _turn in range(3)]
    moves = [(row, second) for row in there] + [(row, first) for row in back]
    answers = at_once(*(lambda row=row, to=to: moving.move(row.member, row.pk, to.pk) for row, to in moves))
    assert [answer.event_id for answer in answers] == [second.pk] * 3 + [first.pk] * 3
    assert (taken(first), taken(second)) == (3, 3)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_round", range(3))
def test_two_moves_and_a_newcomer_for_the_last_place_give_it_once(_round: int) -> None:
    first, second, _third = dates(capacity=2)
    rows = [register(make_member(), first.pk, [ME]) for _turn in range(2)]
    register(make_member(), second.pk, [ME])
    newcomer = make_member()
    answers = at_once(
        *(lambda row=row: moving.move(row.member, row.pk, second.pk) for row in rows),
        lambda: register(newcomer, second.pk, [ME]),
    )
    assert answers.count("full") == 2
    assert taken(second) == 2 and taken(first) == 2 - sum(state == "cancelled" for state in states(*rows))


@pytest.mark.django_db(transaction=True)
def test_the_same_move_twice_at_once_is_one() -> None:
    first, second, _third = dates()
    row = register(make_member(), first.pk, [ME])
    answers = at_once(*[lambda: moving.move(row.member, row.pk, second.pk)] * 3)
    assert answers.count("closed") == 2
    assert (taken(first), taken(second)) == (0, 1)


@pytest.mark.django_db(transaction=True)
def test_without_the_order_two_moves_wait_for_each_other(monkeypatch: Any) -> None:
    """The witness: each locks the event it comes from first, as the order forbids. SQLite has one lock for all rows."""
    if connection.vendor == "sqlite":
        assert list(moving._in_order((3, 1))) == [1, 3]
        return
    both = Barrier(2, timeout=20)

    def as_they_come(events: Sequence[int]) -> Iterator[int]:
        yield events[0]
        both.wait()
        yield events[1]

    first, second, _third = dates(capacity=None)
    row, other = register(make_member(), first.pk, [ME]), register(make_member(), second.pk, [ME])
    monkeypatch.setattr(moving, "_in_order", as_they_come)

    def outcome(mine: Registration, to: Event) -> str:
        try:
            moving.move(mine.member, mine.pk, to.pk)
        except OperationalError:
            return "stuck"
        return "arrived"

    assert "stuck" in at_once(lambda: outcome(row, second), lambda: outcome(other, first))


def test_the_dates_of_the_meetup_stand_before_what_else_the_host_runs(clock: Any) -> None:
    first, second, _third = dates()
    other = make_event(host=first.host, starts_at=first.starts_at + timedelta(hours=1))
    old = register(make_member(), first.pk, [ME])
    page = make_client(first.host).get(f"/registrations/{old.public_id}/move/").text
    assert page.index(f'value="{second.public_id}"') < page.index("Other events you run")
    assert page.index("Other events you run") < page.index(f'value="{other.public_id}"')


def test_the_host_sees_whom_the_ages_of_the_other_date_leave_out() -> None:
    first, second, _third = dates(min_age=0, max_age=17)
    old = family_at(first)
    child = old.attendees.get(child__isnull=False)
    Event.objects.filter(pk=second.pk).update(min_age=16, max_age=17)
    host = make_client(first.host)

    asked = host.post(f"/registrations/{old.public_id}/move/", {"event": second.public_id}).text
    assert f"it is not for {child.name}." in asked and "Children from 16 to 17 years" in asked
    Event.objects.filter(pk=second.pk).update(min_age=0)
    assert (
        "it is not for"
        not in host.post(f"/registrations/{old.public_id}/move/", {"event": second.public_id}).text
    )
