"""By hand: who runs an event puts a party on its list, with an address or without one; no place more than there is."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse

from events import approval, by_hand, checkin, guests, hosting, letters, moving, pools, privacy, reminding
from events.checkin import DeviceClock
from events.models import Attendee, Event, Pool, Registration
from events.models.registration import Guest
from events.party import PARTY_LIMIT
from events.registration import Person, register
from realtime import blocks
from realtime import clock as times
from realtime.models import Mail, Participant
from tests.events.doors import code, gate, reading
from tests.factories import make_client, make_event, make_host, make_member, make_staff

pytestmark = pytest.mark.django_db


def test_the_host_is_told_who_is_there_already_and_not_that_it_is_they() -> None:
    event, member = make_event(), make_member(display_name="Ana")
    register(member, event.pk, [Person()])
    with pytest.raises(ValidationError, match="Ana is already registered for this event."):
        by_hand.add(event.host, event.pk, Guest("Somebody", member.email, "en"))


ME = Person()
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
IDA = Guest("Ida", "Ida@Example.org", "de")
ANN = Guest("Ann by phone", "", "nl")


def coming_up(**given: Any) -> Event:
    return make_event(**{"starts_at": times.now() + 10 * DAY} | given)


def taken(event: Event) -> int:
    return Pool.objects.get(event=event).taken


def code_of(work: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(ValidationError) as no:
        work(*args, **more)
    return str(getattr(no.value, "code", "") or list(no.value.error_dict))


def names(row: Registration) -> list[str]:
    return list(row.attendees.filter(is_live=True).order_by("slot").values_list("name", flat=True))


# -- with an address


def test_with_an_address_it_is_a_guests_party_whose_mail_says_who_put_it_there() -> None:
    event = coming_up()
    row = by_hand.add(event.host, event.pk, IDA, [Person("Bo"), Person("Cy")])
    assert (row.state, row.guest_email, row.party_size, taken(event)) == (
        "confirmed",
        "ida@example.org",
        3,
        3,
    )
    (mail,) = Mail.objects.all()
    assert (mail.kind, mail.to, mail.language) == ("event_registered", "ida@example.org", "de")
    assert "METHOD:REQUEST" in mail.attachment
    key = mail.text.partition("/guest/?key=")[2].split()[0]
    page = Client().get(f"/registrations/{row.public_id}/guest/", {"key": key})
    assert page.status_code == 200 and "Bo" in page.text
    assert guests.cancel(row.pk, key).state == "cancelled"
    assert taken(event) == 0


def test_the_mail_of_who_registered_by_themselves_says_nothing_of_a_list() -> None:
    event = coming_up()
    register(make_member(), event.pk, [ME])
    by_hand.add(event.host, event.pk, Guest("Ida", "ida@example.org", "en"))
    own, added = Mail.objects.order_by("pk")
    assert "put you on its list" in added.text
    assert "put you on its list" not in own.text


def test_an_address_of_a_member_makes_it_that_members_registration() -> None:
    event, ada = coming_up(visibility="circle"), make_member(display_name="Ada", language="fr")
    row = by_hand.add(event.host, event.pk, Guest("Mrs A.", ada.email.upper(), "de"), [Person("Bo")])
    assert (row.member, row.guest_email, row.guest_name) == (ada, "", "")
    assert names(row) == ["Ada", "Bo"]
    assert Mail.objects.get().language == "fr"
    event.refresh_from_db()
    assert Participant.objects.filter(room=event.room, member=ada, left_seq=None).exists()
    assert make_client(ada).get(f"/registrations/{row.public_id}/").status_code == 200
    for guest in (Guest("A", ada.email, "en"), Guest("A", ada.email, "en")):
        assert code_of(by_hand.add, event.host, event.pk, guest) == "already_registered"


def test_who_is_there_already_is_said_and_takes_no_second_place() -> None:
    event, ada = coming_up(), make_member()
    register(ada, event.pk, [ME])
    by_hand.add(event.host, event.pk, IDA)
    for email in (ada.email, "ida@example.org"):
        assert code_of(by_hand.add, event.host, event.pk, Guest("X", email, "en")) == "already_registered"
    assert taken(event) == 2


def test_whose_confirmation_was_not_followed_is_put_on_the_list_and_the_place_held_is_theirs() -> None:
    event = coming_up(capacity=2)
    guests.ask(event.pk, IDA)
    assert taken(event) == 1
    row = by_hand.add(event.host, event.pk, IDA, [Person("Bo")])
    assert (Registration.objects.get(), row.state, taken(event)) == (row, "confirmed", 2)


def test_an_account_that_is_closed_and_one_that_is_blocked_look_alike() -> None:
    event, gone, apart = coming_up(), make_member(), make_member()
    type(gone).objects.filter(pk=gone.pk).update(is_active=False)
    blocks.block(apart, event.host.pk)
    said = set()
    for member in (gone, apart):
        with pytest.raises(ValidationError) as no:
            by_hand.add(event.host, event.pk, Guest("X", member.email, "en"))
        said.add(str(no.value))
    assert len(said) == 1
    assert (Registration.objects.count(), Mail.objects.count()) == (0, 0)


def test_so_many_mails_that_nobody_asked_for_and_no_more_in_a_day(clock: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(by_hand, "A_DAY", 2)
    event = coming_up()
    for n in range(2):
        by_hand.add(event.host, event.pk, Guest("G", f"g{n}@example.org", "en"))
    assert code_of(by_hand.add, event.host, event.pk, IDA) == "too_fast"
    assert by_hand.add(event.host, event.pk, ANN).state == "confirmed", "it writes to nobody"
    clock.shift(DAY)
    assert by_hand.add(event.host, event.pk, IDA).state == "confirmed"


# -- without one


def test_without_an_address_it_comes_and_nobody_is_written_to_whatever_happens(clock: Any) -> None:
    host = make_host()
    event, other = coming_up(host=host, asks_again=True), coming_up(host=host)
    row = by_hand.add(host, event.pk, ANN, [Person("Bo")])
    assert (row.state, row.member, row.guest, row.holder, taken(event)) == (
        "confirmed",
        None,
        None,
        "Ann by phone",
        2,
    )
    by_hand.change(host, row.pk, [Person("Ann"), Person("Bo"), Person("Cy")])
    hosting.change(host, event.pk, {"title": "Another"}, None)
    clock.move_to(event.starts_at - DAY)
    assert reminding.remind_due() == 0
    moved = moving.move(host, row.pk, other.pk)
    assert (moved.has_no_address, names(moved)) == (True, ["Ann", "Bo", "Cy"])
    assert code_of(letters.write, host, other.pk, "coming", "Hello", uuid4()) == "closed"
    hosting.call_off(host, other.pk, "Storm")
    assert not Mail.objects.exists()


def test_two_without_an_address_may_have_one_name() -> None:
    event = coming_up()
    assert by_hand.add(event.host, event.pk, ANN) != by_hand.add(event.host, event.pk, ANN)
    assert taken(event) == 2


def test_the_door_lets_them_in_by_their_ticket_and_the_list_names_them() -> None:
    event = make_event(starts_at=times.now() + timedelta(minutes=10))
    row = by_hand.add(event.host, event.pk, ANN, [Person("Bo")])
    told = checkin.record(gate(event), [reading(code(row))], DeviceClock(0))
    assert told.answers[0].status == "admitted"
    table = make_client(event.host).get(reverse("guests_csv", args=[event.pk]))
    said = b"".join(table.streaming_content).decode()  # type: ignore[attr-defined]
    assert "Ann by phone" in said and "by-hand.invalid" not in said
    assert code_of(by_hand.cancel, event.host, row.pk) == "closed", "they are in"


def test_who_runs_it_cancels_and_changes_it_after_the_deadline_and_others_party_not() -> None:
    event = coming_up(capacity=3, fixed_before=20 * 24 * 60)
    row = by_hand.add(event.host, event.pk, ANN)
    theirs = by_hand.add(event.host, event.pk, IDA)
    staff = make_staff(event.centre)
    assert names(by_hand.change(staff, row.pk, [Person(), Person("Bo")])) == ["Ann by phone", "Bo"]
    assert code_of(by_hand.change, staff, row.pk, [Person("A"), Person("B"), Person("C")]) == "full"
    for work in (by_hand.cancel, lambda who, pk: by_hand.change(who, pk, [Person("X")])):
        with pytest.raises(PermissionDenied):
            work(event.host, theirs.pk)
        with pytest.raises(Registration.DoesNotExist):
            work(make_member(), row.pk)
    for _twice in range(2):
        assert by_hand.cancel(event.host, row.pk).state == "cancelled"
    assert taken(event) == 1


def test_a_year_after_it_nobody_is_named(clock: Any) -> None:
    event = coming_up()
    row = by_hand.add(event.host, event.pk, ANN)
    clock.move_to(event.ends_at + 366 * DAY)
    privacy.forget_names()
    row.refresh_from_db()
    assert (row.guest_name, row.has_no_address, names(row)) == ("", False, [""])
    assert row.guest is None


# -- when, and in which order


def test_before_it_opens_after_it_closed_and_without_asking_until_it_is_over(clock: Any) -> None:
    early = coming_up(opens_before=60, by_approval=True)
    assert by_hand.add(early.host, early.pk, ANN).state == "confirmed"
    late = coming_up(closes_before=20 * 24 * 60)
    assert by_hand.add(late.host, late.pk, IDA).state == "confirmed"
    clock.move_to(late.ends_at - timedelta(seconds=1))
    assert by_hand.add(late.host, late.pk, ANN).state == "confirmed"
    clock.move_to(late.ends_at)
    assert code_of(by_hand.add, late.host, late.pk, ANN) == "too_late"
    draft = make_event(host=late.host, state="draft")
    assert code_of(by_hand.add, late.host, draft.pk, ANN) == "closed"


def test_what_the_host_asks_is_not_asked_of_who_asks_by_telephone() -> None:
    event = coming_up(
        questions=[
            {
                "id": "a",
                "text": "Which?",
                "kind": "text",
                "options": [],
                "is_required": True,
                "is_sensitive": False,
            }
        ]
    )
    assert by_hand.add(event.host, event.pk, ANN).state == "confirmed"


def test_who_waits_goes_first_and_a_party_with_an_address_may_join_the_line() -> None:
    event = coming_up(capacity=3, waiting_list="strict")
    register(make_member(), event.pk, [ME, Person("Bo")])
    register(make_member(), event.pk, [ME, Person("Cy")], wait=True)
    assert code_of(by_hand.add, event.host, event.pk, IDA) == "full", (
        "one place is free, and somebody waits for two"
    )
    assert code_of(by_hand.add, event.host, event.pk, ANN, wait=True) == "full", "nobody could ask them"
    assert Registration.objects.count() == 2 and taken(event) == 2, "nothing is left behind"
    row = by_hand.add(event.host, event.pk, Guest("Ida", "ida@example.org", "en"), wait=True)
    assert row.state == "waiting"
    assert "put you on its waiting list" in Mail.objects.get(kind="event_waiting", to="ida@example.org").text


def test_who_fits_is_seated_at_once_where_that_is_the_rule() -> None:
    event = coming_up(capacity=3, waiting_list="fit")
    register(make_member(), event.pk, [ME, Person("Bo")])
    register(make_member(), event.pk, [ME, Person("Cy")], wait=True)
    assert by_hand.add(event.host, event.pk, IDA, wait=True).state == "confirmed"
    assert taken(event) == 3


def test_a_full_event_says_so_and_a_party_has_its_limit() -> None:
    event = coming_up(capacity=1, waiting_list=None)
    assert code_of(by_hand.add, event.host, event.pk, ANN, [Person("Bo")], wait=True) == "full"
    many = [Person(f"P{n}") for n in range(PARTY_LIMIT)]
    assert code_of(by_hand.add, event.host, event.pk, ANN, many) == "['party']"
    assert (
        code_of(by_hand.add, event.host, event.pk, ANN, [Person(member_id=make_member().pk)]) == "['party']"
    )
    assert taken(event) == 0


def test_who_was_turned_down_can_be_put_back_on_the_list() -> None:
    event = coming_up()
    row = by_hand.add(event.host, event.pk, IDA)
    approval.turn_down(event.host, row.pk, "A mistake")
    assert by_hand.add(event.host, event.pk, IDA).state == "confirmed"
    assert taken(event) == 1


def test_the_same_key_is_one_party_and_at_another_event_another() -> None:
    host, key = make_host(), uuid4()
    event, other = coming_up(host=host), coming_up(host=host)
    first = by_hand.add(host, event.pk, ANN, key=key)
    assert by_hand.add(host, event.pk, ANN, key=key) == first
    assert by_hand.add(host, other.pk, ANN, key=key) != first
    by_hand.cancel(host, first.pk)
    assert by_hand.add(host, event.pk, ANN, key=key).state == "cancelled", "an old form brings nobody back"


def test_only_who_runs_it_adds_and_to_others_it_is_not_there() -> None:
    event = coming_up(visibility="circle")
    with pytest.raises(Event.DoesNotExist):
        by_hand.add(make_member(), event.pk, ANN)
    public = coming_up()
    with pytest.raises(PermissionDenied):
        by_hand.add(make_host(), public.pk, ANN)
    assert by_hand.add(make_staff(public.centre), public.pk, ANN).state == "confirmed"


# -- pages


def send(client: Client, event: Event, **said: Any) -> Any:
    form = {"name": "Ann", "guests": "Bo\nCy", "email": "", "language": "nl", "key": str(uuid4())} | said
    return client.post(reverse("guests_add", args=[event.pk]), form)


def test_on_the_list_of_guests_a_party_is_added_shown_changed_and_cancelled() -> None:
    event = coming_up(capacity=4)
    client = make_client(event.host)
    key = str(uuid4())
    for _twice in range(2):
        answer = send(client, event, key=key)
    row = Registration.objects.get()
    assert answer.url == f"/registrations/{row.public_id}/"
    page = client.get(answer.url)
    assert "<svg" in page.text and "They cannot come" in page.text and "Ann" in page.text
    shown = client.get(reverse("guests", args=[event.pk])).text
    assert "no e-mail address" in shown and "Ann" in shown
    assert "Ann" in client.get(reverse("event_call_off", args=[event.pk])).text
    url = f"/registrations/{row.public_id}/by-hand/"
    assert client.post(url, {"do": "change", "name": "Anna", "guests": "Bo"}).status_code == 302
    row.refresh_from_db()
    assert (row.holder, names(row), taken(event)) == ("Anna", ["Anna", "Bo"], 2)
    refused = client.post(url, {"do": "change", "name": "Anna", "guests": "A\nB\nC\nD"})
    assert refused.status_code == 409 and "D</textarea>" in refused.text
    assert client.post(url, {"do": "change", "name": ""}).status_code == 422
    assert client.post(url, {}).status_code == 302 and taken(event) == 2, "only a clear word cancels"
    client.post(url, {"do": "cancel"})
    assert taken(event) == 0


def test_moved_to_another_date_its_new_ticket_is_for_the_host_to_show() -> None:
    host = make_host()
    event, other = coming_up(host=host), coming_up(host=host)
    row = by_hand.add(host, event.pk, ANN)
    answer = make_client(host).post(
        f"/registrations/{row.public_id}/move/", {"event": other.public_id, "sure": "1"}, follow=True
    )
    new = Registration.objects.get(event=other)
    assert answer.redirect_chain == [(f"/registrations/{new.public_id}/", 302)]
    assert "Tell them, and show this new ticket" in answer.text and "by mail" not in answer.text


def test_refused_what_was_typed_stays_and_the_fold_is_open() -> None:
    event = coming_up(capacity=1)
    client = make_client(event.host)
    answer = send(client, event, guests="Bo\nCy")
    assert answer.status_code == 409
    assert (
        'value="Ann"' in answer.text
        and "Only 1 place is left" in answer.text
        and 'id="by-hand" open' in answer.text
    )
    assert send(client, event, email="no address").status_code == 422
    assert taken(event) == 0


def test_an_address_leads_back_to_the_list_and_a_party_can_be_taken_out_there() -> None:
    event = coming_up(waiting_list="strict", capacity=1)
    client = make_client(event.host)
    assert send(client, event, guests="", email="ida@example.org").url == reverse("guests", args=[event.pk])
    row = Registration.objects.get()
    page = client.get(f"/registrations/{row.public_id}/").text
    assert "Take this party out" in page and "They cannot come" not in page
    client.post(f"/registrations/{row.public_id}/decide/", {"answer": "no", "text": "Sorry"})
    assert taken(event) == 0
    send(client, event, guests="", email="ida@example.org", wait="on")
    assert send(client, event, guests="", email="bo@example.org", wait="on").status_code == 302
    assert Registration.objects.get(guest_email="bo@example.org").state == "waiting"


def test_when_it_is_over_there_is_no_form_and_who_is_not_running_it_sees_none(clock: Any) -> None:
    event = coming_up()
    client = make_client(event.host)
    assert "by-hand" in client.get(reverse("guests", args=[event.pk])).text
    clock.move_to(event.ends_at)
    assert "by-hand" not in client.get(reverse("guests", args=[event.pk])).text


def test_what_changes_is_for_who_runs_it_to_tell_where_no_mail_goes() -> None:
    event = coming_up()
    by_hand.add(event.host, event.pk, ANN)
    assert by_hand.unreachable_at([event]) == ["Ann by phone"]
    by_hand.add(event.host, event.pk, IDA)
    assert by_hand.unreachable_at([event]) == ["Ann by phone"]


# -- the API


def post(event: Event, who: Any, key: str = "", **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    url = f"/api/v1/events/{event.public_id}/registrations/"
    return make_client(who).post(url, body, content_type="application/json", headers=headers)


def test_a_program_of_the_host_adds_changes_and_cancels() -> None:
    event = coming_up(closes_before=20 * 24 * 60)
    key = str(uuid4())
    for _twice in range(2):
        answer = post(
            event,
            event.host,
            key,
            guest={"name": "Ann"},
            party=[{}, {"name": "Bo", "age": 7}],
            answers={"a": "b"},
        )
        assert answer.status_code == 201
    said = answer.json()
    assert said["answers"] == {}, "what they answer is theirs to say"
    assert (said["status"], [one["name"] for one in said["party"]], taken(event)) == (
        "confirmed",
        ["Ann", "Bo"],
        2,
    )
    assert said["tickets"][0]["slots"] == [0, 1]
    client, url = make_client(event.host), f"/api/v1/registrations/{said['id']}/"
    body = {"party": [{"name": "Anna"}, {"name": "Bo"}, {"name": "Cy"}]}
    changed = client.patch(url, body, content_type="application/json", headers={"If-Match": answer["ETag"]})
    assert (changed.status_code, taken(event)) == (200, 3)
    stale = client.patch(url, body, content_type="application/json", headers={"If-Match": answer["ETag"]})
    assert stale.status_code == 412
    assert client.delete(url).status_code == 204
    assert taken(event) == 0


def test_a_program_hears_why_not() -> None:
    event = coming_up(capacity=2)
    member = make_member()
    assert post(event, member, guest={"name": "Ann"}, party=[{}]).status_code == 403
    for guest, party, field in (
        ({"name": ""}, [{}], "guest"),
        ({"name": "Ann", "email": "none"}, [{}], "guest"),
        ({"name": "Ann", "language": "xx"}, [{}], "guest"),
        ({"name": "Ann"}, [{}, {"member": member.public_id}], "party"),
    ):
        answer = post(event, event.host, guest=guest, party=party)
        assert answer.status_code == 400 and any(
            name.startswith(field) for name in answer.json()["errors"]
        ), (guest, answer.json())
    full = post(event, event.host, guest={"name": "Ann"}, party=[{}] * 3)
    assert (full.status_code, full.json()["code"]) == (409, "full")
    assert (
        post(event, event.host, guest={"name": "Ida", "email": "ida@example.org"}, party=[{}]).status_code
        == 201
    )
    again = post(event, event.host, guest={"name": "Ida", "email": "IDA@example.org"}, party=[{}])
    assert (again.status_code, again.json()["code"], taken(event)) == (409, "already_registered", 1)


# -- races


def at_once(*works: Any) -> list[str]:
    def run(work: Any) -> str:
        try:
            return str(work().state)
        except ValidationError as no:
            return str(no.code)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.django_db(transaction=True)
def test_for_the_last_place_a_party_by_hand_and_members_are_all_alike() -> None:
    event = coming_up(capacity=3)
    people = [make_member() for _n in range(4)]
    told = at_once(
        *[lambda: by_hand.add(event.host, event.pk, ANN)] * 4,
        *[lambda m=member: register(m, event.pk, [ME]) for member in people],
    )
    assert sorted(told) == ["confirmed"] * 3 + ["full"] * 5
    assert taken(event) == 3 == Attendee.objects.filter(event=event, is_live=True).count()


@pytest.mark.django_db(transaction=True)
def test_one_form_sent_many_times_at_once_is_one_party() -> None:
    event, key = coming_up(), uuid4()
    told = at_once(*[lambda: by_hand.add(event.host, event.pk, ANN, [Person("Bo")], key=key)] * 6)
    assert told == ["confirmed"] * 6
    assert (Registration.objects.count(), taken(event)) == (1, 2)


@pytest.mark.django_db(transaction=True)
def test_without_the_guard_the_last_place_goes_to_both(monkeypatch: Any) -> None:
    """The witness: places taken by reading first and writing then, without the event's lock."""
    event, member = coming_up(capacity=1), make_member()

    def unlocked(who: Any, event_id: int, *, lock: bool = False) -> Event:
        found = Event.objects.select_related("host", "place", "centre").get(pk=event_id)
        found.all_pools = list(found.pools.order_by("pk"))
        return found

    def unguarded(event: Event, needed: Counter[int]) -> bool:
        return not pools.lacking(event, needed)

    monkeypatch.setattr(by_hand, "event_for", unlocked)
    monkeypatch.setattr("events.registration.event_for", unlocked)
    monkeypatch.setattr(pools, "take", unguarded)
    told = at_once(lambda: by_hand.add(event.host, event.pk, ANN), lambda: register(member, event.pk, [ME]))
    assert told == ["confirmed", "confirmed"], "two on one place"
