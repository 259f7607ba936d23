"""A call-off taken back within ten minutes: what it ended is exactly as it was, and who was told hears it once."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from community.sign_ins import issue_token
from events import calendars, hosting, rescheduling, tickets, undoing, waiting
from events.models import Attendee, CallOff, Claim, EndedParty, Event, Pool, Registration
from events.privacy import forget
from events.registration import Person, cancel, change_party, register
from realtime import clock as our_clock
from realtime import notify
from realtime.models import Mail, Notification
from tests.events.test_waiting import states, taken
from tests.events.together import at_once
from tests.factories import make_child, make_client, make_event, make_host, make_household, make_member

pytestmark = pytest.mark.django_db
ME = Person()
TEN = timedelta(minutes=10)


def full_event(**given: Any) -> tuple[Event, list[Registration]]:
    """An event of four places in ten days: a family of three with a slot that became free, an offer, one who waits, one who cancelled."""
    event = make_event(
        **{"capacity": 4, "waiting_list": "strict", "starts_at": our_clock.now() + timedelta(days=10)} | given
    )
    ana = make_member()
    noa = make_child(make_household(ana))
    family = register(ana, event.pk, [ME, Person(child_id=noa.pk), Person(name="Oma")])
    gone = register(make_member(), event.pk, [ME])
    offered, waits = (register(make_member(), event.pk, [ME], wait=True) for _turn in range(2))
    cancel(gone.member, gone.pk)
    family.refresh_from_db()
    change_party(ana, family.pk, [ME, Person(child_id=noa.pk), Person(name="Opa")])
    rows = [family, gone, offered, waits]
    assert states(*rows) == ["confirmed", "cancelled", "offered", "waiting"]
    return event, rows


def all_of(event: Event) -> dict[str, list[Any]]:
    """What a call-off ends: the registrations (without their terms and versions), who comes, what they hold."""
    mine = Registration.objects.filter(event=event).order_by("pk")
    return {
        "registrations": list(
            mine.values_list("pk", "state", "party_size", "serial", "min_serial", "queued_at", "passed_over")
        ),
        "attendees": list(
            Attendee.objects.filter(event=event).order_by("pk").values_list("pk", "slot", "name", "is_live")
        ),
        "claims": sorted(
            Claim.objects.filter(registration__event=event).values_list("registration", "pool", "n")
        ),
        "taken": list(Pool.objects.filter(event=event).values_list("pk", "taken")),
    }


def code_of(no: Any) -> str:
    return str(no.value.code)


def test_everything_the_call_off_ended_is_as_it_was(clock: Any) -> None:
    event, rows = full_event()
    printed = tickets.code_of(rows[0])
    before, sequence = all_of(event), Event.objects.get(pk=event.pk).sequence
    hosting.call_off(event.host, event.pk, "Storm")
    assert all_of(event) != before and taken(event) == 0
    clock.shift(TEN - timedelta(seconds=1))

    found = undoing.restore(event.host, event.pk)

    assert (found.state, found.cancel_reason, found.sequence) == ("published", "", sequence + 2)
    assert all_of(event) == before
    family, _gone, offered, _waits = rows
    family.refresh_from_db()
    assert tickets.code_of(family) == printed and tickets.read(printed).serial >= family.min_serial
    offered.refresh_from_db()
    assert offered.offer_expires_at == waiting.offer_until(found, our_clock.now())
    assert waiting.accept(offered.member, offered.pk).state == "confirmed"
    assert EndedParty.objects.count() == 0


def test_a_second_time_changes_nothing_and_a_second_call_off_can_be_undone_too(clock: Any) -> None:
    event, _rows = full_event()
    before = all_of(event)
    for _turn in range(2):
        hosting.call_off(event.host, event.pk)
        version = undoing.restore(event.host, event.pk).version
        assert undoing.restore(event.host, event.pk).version == version
        assert all_of(event) == before


def test_after_ten_minutes_it_is_final(clock: Any) -> None:
    event, rows = full_event()
    hosting.call_off(event.host, event.pk)
    clock.shift(TEN)
    with pytest.raises(ValidationError) as no:  # before the sweep came
        undoing.restore(event.host, event.pk)
    assert code_of(no) == "too_late"
    assert [undoing.let_go(), undoing.let_go()] == [1, 0]
    assert (CallOff.objects.count(), EndedParty.objects.count()) == (0, 0)
    with pytest.raises(ValidationError) as no:
        undoing.restore(event.host, event.pk)
    assert code_of(no) == "too_late"
    assert set(states(*rows)) == {"cancelled"}


def test_what_is_not_called_off_or_is_over_is_not_restored(clock: Any) -> None:
    event = make_event(starts_at=our_clock.now() + timedelta(minutes=1), ends_at=our_clock.now() + TEN / 2)
    with pytest.raises(ValidationError) as no:
        undoing.restore(event.host, event.pk)
    assert code_of(no) == "closed"
    hosting.call_off(event.host, event.pk)
    clock.shift(TEN / 2)
    with pytest.raises(ValidationError) as no:
        undoing.restore(event.host, event.pk)
    assert code_of(no) == "too_late"


def test_only_who_runs_it_takes_it_back() -> None:
    event, rows = full_event()
    hosting.call_off(event.host, event.pk)
    with pytest.raises(PermissionDenied):
        undoing.restore(rows[0].member, event.pk)
    with pytest.raises(Event.DoesNotExist):
        undoing.restore(make_member(), event.pk + 1)
    assert states(rows[0]) == ["cancelled"]


def test_other_registrations_of_the_same_people_are_not_touched(clock: Any) -> None:
    event, rows = full_event()
    hosting.call_off(event.host, event.pk)
    other = register(rows[0].member, make_event().pk, [ME])
    version = other.version
    undoing.restore(event.host, event.pk)
    other.refresh_from_db()
    assert (other.state, other.version) == ("confirmed", version)


def test_one_date_of_a_series_comes_back_alone(clock: Any) -> None:
    host = make_host(centre=make_event().centre)
    meetup = hosting.publish_series(
        host,
        {"title": "Table", "starts_at": (our_clock.now() + timedelta(days=2)).replace(tzinfo=None)},
        {"rrule": "FREQ=WEEKLY;COUNT=3"},
    )
    first, second, _third = meetup.occurrences.order_by("starts_at")
    row = register(make_member(), second.pk, [ME])
    hosting.call_off(host, first.pk)
    hosting.call_off(host, second.pk)
    undoing.restore(host, second.pk)
    assert list(meetup.occurrences.order_by("starts_at").values_list("state", flat=True)) == [
        "cancelled",
        "published",
        "published",
    ]
    assert states(row) == ["confirmed"]


def test_a_date_that_a_new_rule_ended_is_final() -> None:
    host = make_host(centre=make_event().centre)
    meetup = hosting.publish_series(
        host,
        {"title": "Table", "starts_at": (our_clock.now() + timedelta(days=2)).replace(tzinfo=None)},
        {"rrule": "FREQ=DAILY;COUNT=6"},
    )
    rescheduling.change_series(
        host,
        meetup.pk,
        rescheduling.Which("all"),
        {},
        recurrence={"rrule": "FREQ=DAILY;INTERVAL=2;COUNT=3"},
    )
    ended = meetup.occurrences.filter(state="cancelled").first()
    assert ended is not None
    with pytest.raises(ValidationError) as no:
        undoing.restore(host, ended.pk)
    assert code_of(no) == "closed" and "its series no longer has this date" in str(no.value)


def test_who_left_for_good_meanwhile_stays_away_and_the_line_moves_up(clock: Any) -> None:
    event, rows = full_event()
    family, _gone, offered, waits = rows
    hosting.call_off(event.host, event.pk)
    forget(family.member)
    undoing.restore(event.host, event.pk)
    assert states(family, offered, waits) == ["cancelled", "offered", "offered"]
    assert taken(event) == 2


# ------------------------------------------------------------------------------------------------- mails


def mails(kind: str) -> list[str]:
    return sorted(Mail.objects.filter(kind=kind).exclude(state="dropped").values_list("to", flat=True))


def test_nobody_is_told_of_what_was_undone_before_its_mails_left(clock: Any) -> None:
    event, _rows = full_event()
    notify.send_due(1000)
    hosting.call_off(event.host, event.pk)
    clock.shift(TEN - timedelta(seconds=1))
    assert notify.send_due(1000) == 0
    undoing.restore(event.host, event.pk)
    clock.shift(TEN)
    assert notify.send_due(1000) == 0
    assert (mails("event_called_off"), mails("event_restored")) == ([], [])


def test_after_ten_minutes_everybody_is_told(clock: Any) -> None:
    event, rows = full_event()
    notify.send_due(1000)
    hosting.call_off(event.host, event.pk)
    clock.shift(TEN)
    assert notify.send_due(1000) == 3
    assert mails("event_called_off") == sorted(row.member.email for row in rows if row != rows[1])


def test_near_the_start_all_are_told_at_once_and_told_once_more_when_it_takes_place(clock: Any) -> None:
    event, rows = full_event(starts_at=our_clock.now() + timedelta(hours=2))
    notify.send_due(1000)
    hosting.call_off(event.host, event.pk)
    Mail.objects.filter(kind="event_called_off", to=rows[3].member.email).update(due_at=event.starts_at)
    Notification.objects.filter(member=rows[3].member).update(held_until=event.starts_at)
    assert notify.send_due(1000) == 2, "one of three has not left"
    for _turn in range(2):
        undoing.restore(event.host, event.pk)
    told = Mail.objects.filter(kind="event_called_off", state="sent").values_list("to", flat=True)
    assert mails("event_restored") == sorted(told) and len(told) == 2
    assert notify.send_due(1000) == 2
    calendar = Mail.objects.get(kind="event_restored", to=rows[0].member.email).attachment
    assert "STATUS:CONFIRMED" in calendar and "SEQUENCE:2" in calendar
    asked = Mail.objects.get(kind="event_restored", to=rows[2].member.email)
    assert "?key=" in asked.text and not asked.attachment


def test_a_mail_on_its_way_counts_as_told_and_is_not_tried_again(clock: Any) -> None:
    event, _rows = full_event(starts_at=our_clock.now() + timedelta(hours=2))
    notify.send_due(1000)
    hosting.call_off(event.host, event.pk)
    on_its_way = Mail.objects.filter(kind="event_called_off").earliest("pk")
    assert notify._claim(on_its_way)
    Notification.objects.update(held_until=event.starts_at)  # no bell has rung yet
    undoing.restore(event.host, event.pk)
    notify._failed(on_its_way, "the server did not answer")
    clock.shift(timedelta(hours=1))
    notify.send_due(1000)
    assert mails("event_restored") == [on_its_way.to]
    assert not Mail.objects.filter(kind="event_called_off", state__in=["sent", "queued"]).exists()


def test_a_link_that_answers_the_offer_still_does(clock: Any, client: Any) -> None:
    event, rows = full_event()
    key = Mail.objects.get(kind="event_offered").text.partition("?key=")[2].split()[0]
    old = Registration.objects.get(pk=rows[2].pk).offer_expires_at
    clock.shift(TEN)
    hosting.call_off(event.host, event.pk)
    undoing.restore(event.host, event.pk)
    clock.move_to(old)
    url = f"/registrations/{rows[2].public_id}/offer/"
    assert client.post(url, {"key": key, "answer": "yes"}).status_code == 200
    assert states(rows[2]) == ["confirmed"]


def test_who_cancels_while_it_is_called_off_stays_away_and_hears_nothing(clock: Any, client: Any) -> None:
    event, rows = full_event()
    family, _gone, offered, _waits = rows
    key = Mail.objects.filter(kind="event_registered", to=family.member.email).latest("pk")
    secret = key.text.partition("/cancel/?key=")[2].split()[0]
    hosting.call_off(event.host, event.pk)
    page = client.get(f"/registrations/{family.public_id}/cancel/", {"key": secret})
    assert "It is called off, so there is nothing to give back." in page.text and "Thank you" not in page.text

    cancel(family.member, family.pk)
    undoing.restore(event.host, event.pk)

    assert states(family, offered) == ["cancelled", "offered"]
    assert not Attendee.objects.filter(registration=family, is_live=True).exists()
    assert taken(event) == 2, "the offer, and one for who waited"
    clock.shift(TEN)
    notify.send_due(1000)
    assert not Mail.objects.filter(
        to=family.member.email, state="sent", kind__in=["event_called_off", "event_restored"]
    ).exists()


# ------------------------------------------------------------------------------------------------- doors


def test_the_host_sees_undo_for_ten_minutes_and_nobody_else_does(clock: Any) -> None:
    event, rows = full_event()
    host, guest = make_client(event.host), make_client(rows[0].member)
    url = event.get_absolute_url()
    assert 'restore/"' not in host.get(url).text
    page = host.post(f"{url}call-off/", {"reason": "Oops"}, follow=True).text
    assert f'action="{url}restore/"' in page and "Until 19:40." in page
    page = guest.get(url).text
    assert 'restore/"' not in page and "is told in a few minutes" in page
    clock.shift(TEN)
    page = host.get(url).text
    assert 'restore/"' not in page and "has been told" in page
    clock.shift(-TEN)
    page = host.post(f"{url}restore/", follow=True).text
    assert "It takes place after all." in page and "Undo" not in page
    assert host.post(f"{url}restore/").status_code == 302, "twice is once"
    assert host.get(f"{url}restore/").status_code == 302


def test_a_program_takes_a_call_off_back(clock: Any, client: Any) -> None:
    event, _rows = full_event()
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {issue_token(event.host, 'test')}"}
    url = f"/api/v1/events/{event.public_id}/"
    no = client.post(f"{url}restore/", **bearer)
    assert (no.status_code, no.json()["code"]) == (409, "closed")
    assert client.post(f"{url}cancel/", {"reason": "Rain"}, "application/json", **bearer).status_code == 200
    back = client.post(f"{url}restore/", **bearer)
    assert (back.status_code, back.json()["state"], back.json()["places"]["taken"]) == (200, "published", 4)
    client.post(f"{url}cancel/", {}, "application/json", **bearer)
    clock.shift(TEN)
    no = client.post(f"{url}restore/", **bearer)
    assert (no.status_code, no.json()["code"]) == (409, "too_late")


def test_calendars_take_it_back_by_a_higher_sequence(clock: Any) -> None:
    event, rows = full_event()
    hosting.call_off(event.host, event.pk)
    off, _tag = calendars.of_member(rows[0].member).content()
    undoing.restore(event.host, event.pk)
    on, _tag = calendars.of_member(rows[0].member).content()
    assert b"STATUS:CANCELLED" in off and b"SEQUENCE:1" in off
    assert b"STATUS:CONFIRMED" in on and b"SEQUENCE:2" in on


@pytest.mark.parametrize("parties", [2, 30])
def test_undoing_costs_the_same_for_few_and_many(
    clock: Any, parties: int, django_assert_num_queries: Any
) -> None:
    event = make_event(capacity=100)
    for _turn in range(parties):
        register(make_member(), event.pk, [ME])
    hosting.call_off(event.host, event.pk)
    with django_assert_num_queries(22):
        undoing.restore(event.host, event.pk)


# ------------------------------------------------------------------------------------------------- races


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_round", range(3))
def test_undo_twice_and_a_second_call_off_at_once_have_one_outcome(_round: int) -> None:
    event, rows = full_event()
    before = all_of(event)
    hosting.call_off(event.host, event.pk)
    at_once(
        lambda: undoing.restore(event.host, event.pk),
        lambda: hosting.call_off(event.host, event.pk),
        lambda: undoing.restore(event.host, event.pk),
    )
    event.refresh_from_db()
    if event.state == Event.State.CANCELLED:
        assert (taken(event), Claim.objects.filter(registration__event=event).count()) == (0, 0)
        assert set(states(*rows)) == {"cancelled"}
        undoing.restore(event.host, event.pk)
    assert all_of(event) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_round", range(3))
def test_undo_against_the_sweep_brings_back_all_or_nothing(clock: Any, _round: int) -> None:
    event, rows = full_event()
    before = all_of(event)
    hosting.call_off(event.host, event.pk)
    CallOff.objects.update(until=our_clock.now() + timedelta(seconds=1))
    clock.shift(timedelta(seconds=_round))
    answers = at_once(
        lambda: undoing.restore(event.host, event.pk), undoing.let_go, undoing.let_go, undoing.let_go
    )
    if _round == 0:
        assert all_of(event) == before
    else:
        assert answers[0] == "too_late" and set(states(*rows)) == {"cancelled"}


def test_without_the_events_lock_an_undo_against_the_sweep_would_bring_back_nobody(
    monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """The witness: the sweep lets go between the look at the call-off and its parties, as the lock forbids."""
    event, rows = full_event()
    hosting.call_off(event.host, event.pk)
    come_back = undoing._come_back

    def after_the_sweep(*given: Any) -> Any:
        CallOff.objects.filter(event=event).delete()
        return come_back(*given)

    monkeypatch.setattr(undoing, "_come_back", after_the_sweep)
    assert undoing.restore(event.host, event.pk).state == "published"
    assert set(states(*rows)) == {"cancelled"} and taken(event) == 0


def test_without_the_events_lock_two_at_once_would_give_every_place_twice(
    monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """The witness: both have read what was ended before either writes, as the lock forbids."""
    event, _rows = full_event()
    Pool.objects.filter(event=event).update(capacity=None)
    hosting.call_off(event.host, event.pk)
    ended = CallOff.objects.get(event=event).parties.select_related("registration__member")
    list(ended)
    undoing.restore(event.host, event.pk)
    before = taken(event)
    Claim.objects.filter(registration__event=event).delete()
    undoing._come_back(Event.objects.get(pk=event.pk), ended)
    assert taken(event) > before
