"""The waiting list: places are offered in order, held for a time, and go on when nobody wants them."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from community.sign_ins import issue_token
from events import calendars, hosting, pools, seats, waiting
from events.models import Claim, Event, Pool, Registration
from events.registration import Person, cancel, change_party, register
from realtime import clock
from realtime.models import Mail, Participant
from tests.events.test_mail_links import mailed_key
from tests.events.together import at_once
from tests.factories import make_client, make_event, make_member

pytestmark = pytest.mark.django_db
ME = Person()
DAY = timedelta(days=1)


def taken(event: Event) -> int:
    return Pool.objects.get(event=event).taken


def in_line(event: Event, *sizes: int) -> list[Registration]:
    """Parties of these sizes, waiting in this order."""
    return [register(make_member(), event.pk, [ME] * size, wait=True) for size in sizes]


def states(*rows: Registration) -> list[str]:
    for row in rows:
        row.refresh_from_db()
    return [str(row.state) for row in rows]


def offer_of_one() -> tuple[Event, Registration, Registration]:
    """A full event of one place in ten days, given back: the place is offered to the first of two who wait."""
    event = make_event(capacity=1, waiting_list="strict", starts_at=clock.now() + 10 * DAY)
    holder = register(make_member(), event.pk, [ME])
    first, second = in_line(event, 1, 1)
    cancel(holder.member, holder.pk)
    first.refresh_from_db()
    return event, first, second


@pytest.fixture
def offered() -> tuple[Event, Registration, Registration]:
    return offer_of_one()


def test_a_freed_place_is_held_for_the_first_in_line_and_nobody_new_gets_it(offered: Any) -> None:
    event, first, second = offered
    assert states(first, second) == ["offered", "waiting"]
    assert (taken(event), list(first.claims.values_list("n", flat=True))) == (1, [1])
    assert first.offer_expires_at == pytest.approx(clock.now() + DAY, abs=timedelta(seconds=5))
    with pytest.raises(ValidationError) as no:
        register(make_member(), event.pk, [ME])
    assert no.value.code == "full"
    assert not Participant.objects.filter(member=first.member).exists(), "not in the room before a yes"
    content, _tag = calendars.of_member(first.member).content()
    assert b"BEGIN:VEVENT" not in content, "not in the calendar either"


@pytest.mark.parametrize(
    ("left", "holds"),
    [
        (30 * DAY, DAY),
        (4 * DAY, DAY),
        (timedelta(hours=12), timedelta(hours=3)),
        (timedelta(hours=1), timedelta(minutes=30)),
        (timedelta(minutes=10), timedelta(minutes=10)),
    ],
)
def test_an_offer_holds_a_day_and_less_near_the_start(left: timedelta, holds: timedelta) -> None:
    now = clock.now()
    assert waiting.offer_until(Event(starts_at=now + left), now) == now + holds


def test_a_yes_makes_it_theirs_with_ticket_room_and_mail_once(offered: Any) -> None:
    event, first, _second = offered
    for _again in range(2):
        assert waiting.accept(first.member, first.pk).state == "confirmed"
    first.refresh_from_db()
    assert (first.offer_expires_at, taken(event)) == (None, 1)
    event.refresh_from_db()
    assert Participant.objects.filter(room=event.room, member=first.member, left_seq=None).exists()
    (mail,) = Mail.objects.filter(kind="event_accepted", to=first.member.email)
    assert "METHOD:REQUEST" in mail.attachment


def test_a_no_goes_on_to_the_next_at_once_and_one_may_queue_up_again(offered: Any) -> None:
    event, first, second = offered
    for _again in range(2):
        assert waiting.decline(first.member, first.pk).state == "declined"
    assert states(second) == ["offered"]
    assert (taken(event), Claim.objects.filter(registration=first).count()) == (1, 0)
    assert register(first.member, event.pk, [ME], wait=True).state == "waiting"


def test_an_offer_that_nobody_answers_goes_on_and_is_too_late_then(offered: Any, clock: Any) -> None:
    event, first, second = offered
    clock.move_to(first.offer_expires_at - timedelta(seconds=1))
    assert waiting.expire_offers() == 0
    clock.move_to(first.offer_expires_at)
    with pytest.raises(ValidationError) as no:  # before the sweep came
        waiting.accept(first.member, first.pk)
    assert no.value.code == "too_late"
    assert [waiting.expire_offers(), waiting.expire_offers()] == [1, 0]
    assert states(first, second) == ["expired", "offered"]
    assert taken(event) == 1
    assert Mail.objects.filter(kind="event_offer_ended", to=first.member.email).count() == 1
    with pytest.raises(ValidationError) as no:
        waiting.accept(first.member, first.pk)
    assert no.value.code == "closed"


def test_only_who_registered_answers(offered: Any) -> None:
    event, first, _second = offered
    with pytest.raises(Registration.DoesNotExist):
        waiting.accept(make_member(), first.pk)
    for verb in (waiting.accept, waiting.decline):
        with pytest.raises(PermissionDenied):
            verb(event.host, first.pk)
    assert states(first) == ["offered"]


def test_a_party_may_become_smaller_before_it_says_yes_and_what_it_leaves_is_offered_on() -> None:
    event = make_event(capacity=2, waiting_list="strict")
    holder = register(make_member(), event.pk, [ME, ME])
    pair, single = in_line(event, 2, 1)
    cancel(holder.member, holder.pk)
    change_party(pair.member, pair.pk, [ME])
    assert states(pair, single) == ["offered", "offered"]
    assert taken(event) == 2


def test_when_it_has_begun_nothing_is_offered_any_more(clock: Any) -> None:
    event = make_event(capacity=1, waiting_list="strict")
    holder = register(make_member(), event.pk, [ME])
    (waits,) = in_line(event, 1)
    clock.move_to(event.starts_at + timedelta(minutes=1))
    cancel(holder.member, holder.pk)
    assert states(waits) == ["waiting"]


def test_more_room_and_a_call_off_reach_the_line(offered: Any) -> None:
    event, first, second = offered
    hosting.change(event.host, event.pk, {"capacity": 2}, Event.objects.get(pk=event.pk).version)
    assert states(first, second) == ["offered", "offered"]
    hosting.call_off(event.host, event.pk, "Storm")
    assert states(first, second) == ["cancelled", "cancelled"]
    assert (taken(event), waiting.expire_offers()) == (0, 0)


def test_who_waits_sees_who_is_before_them_and_what_became_free() -> None:
    event = make_event(capacity=4, waiting_list="fit")
    holder, other = register(make_member(), event.pk, [ME, ME]), register(make_member(), event.pk, [ME, ME])
    _first, last = in_line(event, 3, 4)
    cancel(holder.member, holder.pk)
    (single,) = in_line(event, 1)  # fits at once, past both
    assert states(single) == ["confirmed"]
    last.refresh_from_db()
    assert seats.ahead_of(last) == seats.Ahead(parties=1, people=3, given_back=2, passed_over=1)
    page = make_client(last.member).get(f"/registrations/{last.public_id}/").text
    assert "Number 2 in the line" in page and "3 people wait before you." in page
    assert "So far 2 places of this event were given back." in page and "passed over 1 time" in page
    assert other.state == "confirmed"


def test_the_page_asks_and_takes_yes_or_no(offered: Any) -> None:
    _event, first, second = offered
    client, url = make_client(first.member), f"/registrations/{first.public_id}/"
    page = client.get(url).text
    assert "1 place is held for you" in page and 'value="yes"' in page
    assert client.post(f"{url}offer/", {"answer": "yes"}).status_code == 302
    assert states(first) == ["confirmed"]
    assert "You are coming." in client.get(url).text
    assert (
        make_client(second.member)
        .post(f"/registrations/{second.public_id}/offer/", {"answer": "no"})
        .status_code
        == 302
    )
    assert states(second) == ["waiting"], "nothing was offered to them"


@pytest.mark.parametrize("answer", ["", "maybe", "NO"])
def test_places_are_given_away_by_a_clear_no_only(offered: Any, client: Any, answer: str) -> None:
    _event, first, _second = offered
    url = f"/registrations/{first.public_id}/offer/"
    key = mailed_key(first.member)
    assert make_client(first.member).post(url, {"answer": answer}).status_code == 302
    asked = client.post(url, {"key": key, "answer": answer})
    assert (asked.status_code, 'value="no"' in asked.text, states(first)) == (200, True, ["offered"])


def test_a_mails_link_says_that_it_was_answered_on_the_page(offered: Any, client: Any) -> None:
    _event, first, _second = offered
    link = f"/registrations/{first.public_id}/offer/?key={mailed_key(first.member)}"
    waiting.accept(first.member, first.pk)
    gone = client.get(link)
    assert (gone.status_code, "This offer has ended" in gone.text) == (404, True)


@pytest.mark.parametrize(("answer", "state"), [("yes", "confirmed"), ("no", "declined")])
def test_the_link_in_the_mail_asks_and_its_button_answers_once(
    offered: Any, client: Any, answer: str, state: str
) -> None:
    _event, first, _second = offered
    key = mailed_key(first.member)
    url = f"/registrations/{first.public_id}/offer/"
    asked = client.get(f"{url}?key={key}")
    assert (asked.status_code, asked["Referrer-Policy"], states(first)) == (200, "no-referrer", ["offered"])
    assert client.post(url, {"key": key, "answer": answer}).status_code == 200
    assert states(first) == [state]
    again = client.post(url, {"key": key, "answer": "yes"})
    assert (again.status_code, "You are coming" in again.text) == (
        (200, True) if answer == "yes" else (404, False)
    )
    assert client.post(url, {"key": key, "answer": "no"}).status_code == 404
    assert states(first) == [state]


def test_a_program_answers_an_offer(offered: Any, client: Any) -> None:
    _event, first, second = offered
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {issue_token(first.member, 'test')}"}
    url = f"/api/v1/registrations/{first.public_id}/"
    before = client.get(url, **bearer).json()
    assert (before["status"], before["tickets"]) == ("offered", []) and before["offer_expires_at"]
    after = client.post(f"{url}accept/", **bearer, HTTP_IDEMPOTENCY_KEY=str(uuid4()))
    assert (after.status_code, after.json()["status"], len(after.json()["tickets"])) == (200, "confirmed", 1)
    no = client.post(f"{url}decline/", **bearer)
    assert (no.status_code, no.json()["code"]) == (409, "closed")
    assert states(first, second) == ["confirmed", "waiting"]


# ------------------------------------------------------------------------------------------------- races


@pytest.mark.django_db(transaction=True)
def test_accepting_while_the_offer_ends_gives_the_place_to_one(clock: Any) -> None:
    event, first, second = offer_of_one()
    clock.move_to(first.offer_expires_at)
    at_once(lambda: waiting.accept(first.member, first.pk), waiting.expire_offers, waiting.expire_offers)
    assert states(first, second) == ["expired", "offered"]
    assert (taken(event), Claim.objects.filter(registration__event=event).count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_round", range(4))
def test_accept_decline_and_cancel_at_once_have_one_outcome(_round: int) -> None:
    event, first, second = offer_of_one()
    at_once(
        lambda: waiting.accept(first.member, first.pk),
        lambda: waiting.accept(first.member, first.pk),
        lambda: waiting.decline(first.member, first.pk),
        lambda: cancel(first.member, first.pk),
    )
    assert states(first, second) in (["cancelled", "offered"], ["declined", "offered"]), (
        "each yes is cancelled"
    )
    assert (taken(event), Claim.objects.filter(registration__event=event).count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_cancelling_against_newcomers_and_growth_gives_the_place_to_who_waits() -> None:
    event = make_event(capacity=2, waiting_list="strict")
    holder, other = register(make_member(), event.pk, [ME]), register(make_member(), event.pk, [ME])
    (waits,) = in_line(event, 1)
    newcomers = [make_member() for _ in range(4)]
    answers = at_once(
        lambda: cancel(holder.member, holder.pk),
        lambda: change_party(other.member, other.pk, [ME, ME]),
        *(lambda member=member: register(member, event.pk, [ME]) for member in newcomers),
    )
    assert answers[1:] == ["full"] * 5
    assert (states(waits), taken(event)) == (["offered"], 2)


@pytest.mark.django_db(transaction=True)
def test_without_the_events_lock_an_offer_that_ended_is_accepted_all_the_same(
    monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """The witness: who answers and the sweep have both read the offer before either writes, as the lock forbids."""
    event, first, _second = offer_of_one()
    stale = Registration.objects.get(pk=first.pk)
    stale.event = event
    monkeypatch.setattr(waiting, "_to_answer", lambda member, pk: stale)
    clock.move_to(stale.offer_expires_at - timedelta(seconds=1))
    pools.release(Registration.objects.get(pk=first.pk), Registration.State.EXPIRED)
    assert waiting.accept(first.member, first.pk).state == "confirmed"
    assert not Claim.objects.filter(registration=first).exists(), "confirmed without a place"


@pytest.mark.parametrize("rule", ["strict", "fit"])
def test_a_party_that_never_fits_does_not_stand_in_the_way_of_those_who_do(rule: str) -> None:
    event = make_event(capacity=2, waiting_list=rule, starts_at=clock.now() + 10 * DAY)
    with pytest.raises(ValidationError, match="There are only 2 places in all: your party never fits"):
        register(make_member(), event.pk, [ME] * 3, wait=True)
    holder = register(make_member(), event.pk, [ME, ME])
    with pytest.raises(ValidationError, match="never fits"):
        change_party(holder.member, holder.pk, [ME, ME, Person("Bo")], wait=True)

    assert register(make_member(), event.pk, [ME], wait=True).state == "waiting"


def test_who_no_longer_fits_since_there_are_fewer_places_holds_nobody_up() -> None:
    event = make_event(capacity=4, waiting_list="strict", starts_at=clock.now() + 10 * DAY)
    register(make_member(), event.pk, [ME])
    filler = register(make_member(), event.pk, [ME] * 3)
    (large,) = in_line(event, 4)
    cancel(filler.member, filler.pk)
    assert in_line(event, 1)[0].state == "waiting", "strictly in order: three places stay free for four"
    page = make_client(make_member()).get(event.get_absolute_url()).text
    assert "Free places go strictly in order." in page, "and who comes new reads why"

    hosting.change(event.host, event.pk, {"capacity": 3})
    assert states(large) == ["waiting"] and taken(event) == 2, "the one behind is asked at once"
    assert register(make_member(), event.pk, [ME]).state == "confirmed"


def test_places_that_a_party_gives_up_count_as_given_back() -> None:
    event = make_event(capacity=4, waiting_list="strict")
    holder = register(make_member(), event.pk, [ME, *[Person(name=name) for name in "abc"]])
    (waits,) = in_line(event, 4)
    people = [ME, *[Person(name=name) for name in "xyz"]]
    change_party(holder.member, holder.pk, people)
    assert seats.ahead_of(waits).given_back == 0, "others came in the place of some"
    for size, given_back in ((3, 1), (1, 3)):
        change_party(holder.member, holder.pk, people[:size])
        assert seats.ahead_of(waits).given_back == given_back
    cancel(holder.member, holder.pk)
    assert states(waits) == ["offered"]
    waits.refresh_from_db()
    assert seats.ahead_of(waits).given_back == 4
