"""Guests without an account: a mail's link makes the party come, opens its page, and later it moves into an account."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client, override_settings

from events import approval, guests, hosting, privacy, questions
from events.models import Answers, Attendee, Event, Pool, Registration
from events.models.registration import Guest
from events.questions import Given, Question
from events.registration import Person, cancel, register
from realtime import clock as times
from realtime.ids import decode
from realtime.models import Mail, MailedKey, Participant
from tests.community.test_accounts import code_sent_to, sign_up
from tests.factories import make_client, make_event, make_host, make_household, make_member

pytestmark = pytest.mark.django_db
ME = Person()
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
IDA = Guest("Ida", "Ida@Example.org", "de")


def coming_up(**given: Any) -> Event:
    return make_event(**{"starts_at": times.now() + 10 * DAY} | given)


def link(email: str = "ida@example.org") -> tuple[int, str]:
    """Registration and key of the newest mail to the address."""
    mail = Mail.objects.filter(to=email, text__contains="/guest/?key=").latest("created_at", "pk")
    url = re.search(r"/registrations/(\w+)/guest/\?key=(\S+)", mail.text)
    assert url is not None
    return decode(url[1]), url[2]


def taken(event: Event) -> int:
    return Pool.objects.get(event=event).taken


def main_of(answer: Any) -> str:
    """What a page says, without what is different each time: the token of its forms."""
    return str(answer.content.decode().partition("<main")[2].partition("</main>")[0])


def code_of(work: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(ValidationError) as no:
        work(*args, **more)
    return str(no.value.code)


def confirmed(event: Event, guest: Guest = IDA, others: Any = ()) -> Registration:
    guests.ask(event.pk, guest, others)
    return guests.confirm(*link(guest.email.lower()))


def test_a_guest_comes_once_the_mail_was_followed_and_not_before() -> None:
    event = coming_up(capacity=40)
    guests.ask(event.pk, IDA, ["Bo", "Cy"])
    row = Registration.objects.get()
    assert (row.state, row.party_size, row.is_coming, taken(event)) == ("unconfirmed", 3, False, 3)
    mail = Mail.objects.get()
    assert (mail.kind, mail.to, mail.language, mail.attachment) == (
        "guest_confirm",
        "ida@example.org",
        "de",
        "",
    )
    for _twice in range(2):
        row = guests.confirm(*link())
    assert (row.state, taken(event), row.claims.get().n) == ("confirmed", 3, 3)
    (mail,) = Mail.objects.filter(kind="event_registered")
    assert "METHOD:" in mail.attachment and "/guest/?key=" in mail.text


def test_unconfirmed_parties_hold_one_place_in_ten_and_the_rest_is_taken_with_the_click() -> None:
    event = coming_up(capacity=20)
    for n in range(4):
        guests.ask(event.pk, Guest(f"G{n}", f"g{n}@example.org", "en"))
    assert taken(event) == 2
    page = Client().get(f"/api/v1/events/{event.public_id}/")
    assert page.status_code in {200, 401}
    for n in range(4):
        assert guests.confirm(*link(f"g{n}@example.org")).state == "confirmed"
    assert taken(event) == 4


def test_who_held_nothing_may_find_it_full_and_keeps_their_link() -> None:
    event = coming_up(capacity=3)
    guests.ask(event.pk, IDA, ["Bo"])  # one in ten of three is one
    register(make_member(), event.pk, [ME] * 3)
    key = link()
    assert code_of(guests.confirm, *key) == "full"
    assert Registration.objects.get(guest_email="ida@example.org").state == "unconfirmed"
    page = Client().post(
        f"/registrations/{Registration.objects.get(pk=key[0]).public_id}/guest/",
        {"key": key[1], "do": "confirm"},
    )
    assert page.status_code == 409 and "Every place is taken." in page.content.decode()


def test_with_a_waiting_list_a_guest_queues_up_and_takes_an_offer_by_their_link() -> None:
    event = coming_up(capacity=1, waiting_list="strict")
    holder = register(make_member(), event.pk, [ME])
    form = {"name": "Ida", "email": "ida@example.org", "guests": ""}
    asked = Client().post(f"/events/{event.public_id}/guest/", form)
    assert "then you are on the waiting list" in asked.text and "are yours" not in asked.text
    assert "you are on the waiting list" in Mail.objects.get(kind="guest_confirm").subject
    pk, key = link()
    page = Client().get(f"/registrations/{Registration.objects.get(pk=pk).public_id}/guest/", {"key": key})
    assert "Queue up" in page.text and "I am coming" not in page.text
    row = guests.confirm(pk, key)
    assert row.state == "waiting"
    cancel(holder.member, holder.pk)
    row.refresh_from_db()
    assert row.state == "offered"
    assert guests.answer(*link(), accepts=True).state == "confirmed"
    assert guests.answer(*link(), accepts=True).state == "confirmed"
    assert taken(event) == 1


def test_where_the_host_says_yes_a_guest_asks(clock: Any) -> None:
    host = make_host()
    event = coming_up(host=host, capacity=5, by_approval=True)
    row = confirmed(event, IDA, ["Bo"])
    assert (row.state, taken(event)) == ("requested", 0)
    (mail,) = Mail.objects.filter(kind="event_request")
    assert "Ida" in mail.text
    assert approval.approve(host, row.pk).state == "confirmed"
    assert taken(event) == 2
    approval.turn_down(host, row.pk, "Sorry, Ida.")
    assert "Sorry, Ida." in Mail.objects.get(kind="event_turned_down", to="ida@example.org").text


def test_of_an_address_that_was_not_confirmed_nothing_is_left(clock: Any) -> None:
    event = coming_up(capacity=40)
    guests.ask(event.pk, IDA, ["Bo"])
    key = link()
    clock.move_to(times.now() + 15 * MINUTE - timedelta(seconds=1))
    assert guests.expire() == 0
    clock.move_to(times.now() + timedelta(seconds=1))
    assert guests.expire() == 1
    assert (Registration.objects.count(), Attendee.objects.count(), taken(event)) == (0, 0, 0)
    with pytest.raises((MailedKey.DoesNotExist, Registration.DoesNotExist)):
        guests.confirm(*key)


def test_the_answer_is_the_same_for_every_address_and_the_mail_says_what_is_so() -> None:
    event = coming_up(capacity=40)
    confirmed(event)
    member = make_member()
    register(member, event.pk, [ME])
    told = []
    for n, email in enumerate(("ida@example.org", member.email, "new@example.org")):
        form = {"name": "Ida", "email": email, "guests": ""}
        answer = Client(REMOTE_ADDR=f"10.0.0.{n}").post(f"/events/{event.public_id}/guest/", form)
        told.append((answer.status_code, main_of(answer).replace(email, "")))
    assert told[0] == told[1] == told[2]
    told = Mail.objects.filter(kind__startswith="guest_").exclude(pk=Mail.objects.earliest("pk").pk)
    assert sorted(told.values_list("to", "kind")) == sorted(
        [
            ("ida@example.org", "guest_again"),
            (member.email, "guest_again"),
            ("new@example.org", "guest_confirm"),
        ]
    )


def test_until_it_is_confirmed_the_party_is_as_it_was_asked_for_last() -> None:
    asked = questions.written([Question("", "Allergies?", is_sensitive=True), Question("", "Level?")])
    event = coming_up(capacity=40, questions=asked)
    nuts, level = (one["id"] for one in asked)
    guests.ask(event.pk, IDA, ["Bo", "Cy"], Given({nuts: "nuts", level: "A1"}, frozenset({nuts})))
    old = link()
    guests.ask(event.pk, Guest("Ida P", "ida@example.org", "fr"), ["Julie"], Given({level: "B2"}))

    row = Registration.objects.get()
    assert (row.party_size, row.guest_name, row.language, taken(event)) == (2, "Ida P", "fr", 2)
    assert Answers.objects.get().given == {level: "B2"}, "what was taken back is gone"
    assert list(row.attendees.order_by("slot").values_list("name", flat=True)) == ["Ida P", "Julie"]
    assert guests.confirm(*old).state == "confirmed", "the mail before opens the same party"
    guests.ask(event.pk, IDA, ["Bo"])
    assert Registration.objects.get().party_size == 2, "once it is confirmed it is changed on its page only"


def test_asking_for_fewer_lets_who_waits_come() -> None:
    event = coming_up(capacity=20, waiting_list="strict")
    guests.ask(event.pk, IDA, ["Bo"])
    for _n in range(2):
        register(make_member(), event.pk, [ME, *(Person(f"G{n}") for n in range(8))])
    waits = register(make_member(), event.pk, [ME], wait=True)
    guests.ask(event.pk, IDA)
    waits.refresh_from_db()
    assert (waits.state, taken(event)) == ("offered", 19), "one is left for Ida"
    assert guests.confirm(*link()).state == "confirmed"


def test_who_comes_by_their_account_does_not_come_again_as_a_guest() -> None:
    event, member, other = coming_up(), make_member(), make_member()
    guests.ask(event.pk, Guest("Me", member.email, "en"))
    row, key = link(member.email)
    mine = register(member, event.pk, [ME])
    assert code_of(guests.confirm, row, key) == "already_registered"
    page = Client().post(
        f"/registrations/{Registration.objects.get(pk=row).public_id}/guest/", {"key": key, "do": "confirm"}
    )
    assert (page.status_code, "You are already registered for this event." in page.text) == (409, True)
    assert list(Registration.objects.filter(state="confirmed")) == [mine]
    make_household(member, other)
    third = coming_up()
    register(other, third.pk, [ME, Person(member_id=member.pk)])
    guests.ask(third.pk, Guest("Me", member.email, "en"))
    assert code_of(guests.confirm, *link(member.email)) == "already_registered", (
        "named in a party is there, too"
    )


def test_no_address_gets_more_than_three_such_mails_an_hour(clock: Any) -> None:
    events = [coming_up() for _n in range(5)]
    for event in events:
        guests.ask(event.pk, IDA)
    assert Mail.objects.filter(to="ida@example.org").count() == 3
    clock.move_to(times.now() + timedelta(minutes=61))
    guests.ask(events[4].pk, IDA)
    assert Mail.objects.filter(to="ida@example.org").count() == 4


@override_settings(ACCOUNT_RATE_LIMITS={"guest": "3/h/ip"})
def test_one_place_cannot_send_mails_without_end(settings: Any) -> None:
    event = coming_up()
    client = Client(REMOTE_ADDR="192.0.2.77")
    codes = [
        client.post(
            f"/events/{event.public_id}/guest/", {"name": "G", "email": f"g{n}@example.org"}
        ).status_code
        for n in range(5)
    ]
    assert codes == [200, 200, 200, 429, 429]


def test_guests_come_only_to_what_everybody_may_see() -> None:
    for visibility in ("members", "centre"):
        event = coming_up(visibility=visibility)
        with pytest.raises(Event.DoesNotExist):
            guests.ask(event.pk, IDA)
        form = {"name": "Ida", "email": "ida@example.org"}
        assert Client().post(f"/events/{event.public_id}/guest/", form).status_code == 404
    assert not Mail.objects.exists()


def test_what_was_typed_stays_and_the_error_helps() -> None:
    event = coming_up()
    page = Client().post(
        f"/events/{event.public_id}/guest/", {"name": "Ida", "email": "ida@", "guests": "Bo"}
    )
    text = page.content.decode()
    assert page.status_code == 422 and 'value="Ida"' in text and ">\nBo</textarea>" in text


def test_the_page_of_the_link_does_everything_and_a_get_nothing() -> None:
    event = coming_up(capacity=40)
    guests.ask(event.pk, IDA, ["Bo"])
    pk, key = link()
    url = f"/registrations/{Registration.objects.get(pk=pk).public_id}/guest/"
    client = Client(enforce_csrf_checks=True)
    page = client.get(url, {"key": key})
    assert page.status_code == 200 and page["Referrer-Policy"] == "no-referrer"
    assert Registration.objects.get(pk=pk).state == "unconfirmed"
    assert "ticket__code" in client.post(url, {"key": key, "do": "confirm"}).content.decode()
    client.post(url, {"key": key, "do": "change", "guests": "Bo\nCy\nDi"})
    assert (Registration.objects.get(pk=pk).party_size, taken(event)) == (4, 4)
    assert list(Attendee.objects.filter(is_live=True).values_list("slot", "name")) == [
        (0, "Ida"),
        (1, "Bo"),
        (2, "Cy"),
        (3, "Di"),
    ]
    refused = client.post(url, {"key": key, "do": "change", "guests": "\n".join("ABCDEFGHIJKLMN")})
    assert refused.status_code == 409 and "1 to 12" in refused.content.decode()
    assert client.post(url, {"key": key, "do": "dance"}).status_code == 200
    client.post(url, {"key": key, "do": "cancel"})
    assert (Registration.objects.get(pk=pk).state, taken(event)) == ("cancelled", 0)
    for wrong in ("", "x", key[:-1]):
        assert client.get(url, {"key": wrong}).status_code == 404


def test_the_guest_sees_the_deadline_and_is_told_of_changes(clock: Any) -> None:
    host = make_host()
    event = coming_up(host=host, fixed_before=24 * 60)
    row = confirmed(event)
    hosting.change(host, event.pk, {"venue": "Elsewhere"})
    assert Mail.objects.filter(kind="event_changed", to="ida@example.org").count() == 1
    clock.move_to(event.starts_at - timedelta(hours=2))
    assert code_of(guests.cancel, *link()) == "too_late"
    hosting.call_off(host, event.pk, "Rain")
    row.refresh_from_db()
    assert row.state == "cancelled"
    assert Mail.objects.filter(kind="event_called_off", to="ida@example.org").count() == 1


# -- into an account


def test_a_party_is_a_members_when_the_address_is() -> None:
    event = coming_up()
    member = make_member(email="ida@example.org")
    row = confirmed(event, IDA, ["Bo"])
    assert (row.member, row.guest_email, row.guest_name) == (member, "", "")
    assert row.attendees.get(slot=0).member == member
    assert Participant.objects.filter(member=member, left_seq=None).exists()
    page = make_client(member).get(f"/registrations/{row.public_id}/")
    assert page.status_code == 200
    assert (
        "in your account"
        in Client().get(f"/registrations/{row.public_id}/guest/", {"key": link()[1]}).content.decode()
    )


def test_signing_up_later_brings_the_parties_along() -> None:
    coming, waiting = coming_up(), coming_up(capacity=1, waiting_list="strict")
    register(make_member(), waiting.pk, [ME])
    rows = [confirmed(coming), confirmed(waiting)]
    newcomer = make_member(email="ida@example.org")
    assert guests.adopt(newcomer) == 2
    assert guests.adopt(newcomer) == 0
    for row in rows:
        row.refresh_from_db()
        assert row.member == newcomer
    assert "Ida" not in list(Registration.objects.values_list("guest_name", flat=True))


def test_the_sign_up_itself_adopts(client: Any) -> None:
    row = confirmed(coming_up())
    sign_up(client, "ida@example.org")
    client.post("/accounts/confirm-email/", {"code": code_sent_to("ida@example.org")})
    row.refresh_from_db()
    assert row.member is not None and row.member.email == "ida@example.org"


def test_a_ticket_is_not_held_up_by_the_welcome() -> None:
    event, member = coming_up(), make_member(onboarded_at=None)
    row = register(member, event.pk, [ME])
    browser = make_client(member)
    assert browser.get(f"/registrations/{row.public_id}/").status_code == 200
    assert browser.get(event.get_absolute_url())["Location"] == "/welcome/1/", "all else waits"


def test_an_address_that_is_not_confirmed_adopts_nothing() -> None:
    row = confirmed(coming_up())
    sneaky = make_member(email="ida@example.org")
    EmailAddress.objects.filter(user=sneaky).update(verified=False)
    assert guests.adopt(sneaky) == 0
    row.refresh_from_db()
    assert row.member is None


def test_who_is_there_already_keeps_both() -> None:
    event = coming_up()
    row = confirmed(event)
    member = make_member(email="ida@example.org")
    register(member, event.pk, [ME])
    assert guests.adopt(member) == 0
    row.refresh_from_db()
    assert row.guest_email == "ida@example.org"


def test_a_party_that_is_not_confirmed_waits_for_its_link_also_after_signing_up() -> None:
    event = coming_up(capacity=40)
    guests.ask(event.pk, IDA)
    member = make_member(email="ida@example.org")
    assert guests.adopt(member) == 0
    row = guests.confirm(*link())
    assert (row.member, row.state) == (member, "confirmed")


def test_the_link_of_a_party_in_an_account_does_nothing_any_more() -> None:
    event = coming_up(capacity=40)
    row = confirmed(event)
    key = link()
    guests.adopt(make_member(email="ida@example.org"))
    page = Client().post(f"/registrations/{row.public_id}/guest/", {"key": key[1], "do": "cancel"})
    assert "in your account" in page.content.decode()
    row.refresh_from_db()
    assert row.state == "confirmed"
    with pytest.raises(MailedKey.DoesNotExist):
        guests.cancel(*key)


def test_a_no_before_confirming_passes_the_place_on() -> None:
    event = coming_up(capacity=1, waiting_list="strict")
    guests.ask(event.pk, IDA)
    key = link()
    waits = register(make_member(), event.pk, [ME], wait=True)
    guests.cancel(*key)
    waits.refresh_from_db()
    assert (waits.state, taken(event)) == ("offered", 1)


def test_a_held_party_comes_even_if_the_host_asks_for_approval_meanwhile() -> None:
    host = make_host()
    event = coming_up(host=host, capacity=40)
    guests.ask(event.pk, IDA, ["Bo"])
    hosting.change(host, event.pk, {"by_approval": True})
    assert guests.confirm(*link()).state == "confirmed"
    assert taken(event) == 2


def test_who_was_turned_down_does_not_ask_again_as_a_guest() -> None:
    host = make_host()
    event = coming_up(host=host, by_approval=True)
    approval.turn_down(host, confirmed(event).pk)
    guests.ask(event.pk, IDA)
    assert code_of(guests.confirm, *link()) == "closed"


def test_a_call_off_leaves_nothing_of_who_did_not_confirm_and_writes_to_nobody(clock: Any) -> None:
    host = make_host()
    event = coming_up(host=host, capacity=40)
    guests.ask(event.pk, IDA)
    hosting.change(host, event.pk, {"venue": "Elsewhere"})
    hosting.call_off(host, event.pk)
    assert not Registration.objects.exists()
    assert set(Mail.objects.filter(to="ida@example.org").values_list("kind", flat=True)) == {"guest_confirm"}


def test_an_erased_member_is_gone_as_a_guest_too() -> None:
    event = coming_up(capacity=40)
    row = confirmed(event, IDA, ["Bo"])
    member = make_member(email="ida@example.org")
    register(member, event.pk, [ME])
    privacy.forget(member)
    row.refresh_from_db()
    assert (row.state, taken(event)) == ("cancelled", 0)
    assert not Attendee.objects.filter(event=event).exclude(name="").exists()


def test_one_event_that_fails_does_not_stop_the_sweep_of_others(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sorted((coming_up(capacity=40), coming_up(capacity=40)), key=lambda event: event.pk)
    for event in (first, second):
        guests.ask(event.pk, IDA)
    Pool.objects.filter(event=first).update(
        taken=0
    )  # giving back what is not taken is refused by the database
    clock.move_to(times.now() + 16 * MINUTE)
    assert guests.expire() == 1
    assert list(Registration.objects.values_list("event", flat=True)) == [first.pk]


# -- races


def at_once(*works: Any) -> list[str]:
    def run(work: Any) -> str:
        try:
            found = work()
            return str(getattr(found, "state", found))
        except ValidationError as no:
            return str(no.code)
        except (MailedKey.DoesNotExist, Registration.DoesNotExist):
            return "gone"
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.django_db(transaction=True)
def test_a_link_followed_twice_at_once_is_one_party() -> None:
    event = coming_up(capacity=40)
    guests.ask(event.pk, IDA, ["Bo"])
    key = link()
    assert at_once(*[lambda: guests.confirm(*key)] * 6) == ["confirmed"] * 6
    assert taken(event) == 2
    assert Mail.objects.filter(kind="event_registered").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_link_against_adoption_and_cancelling_leaves_one_truth() -> None:
    for _n in range(4):
        event = coming_up(capacity=40)
        email = f"g{_n}@example.org"
        guests.ask(event.pk, Guest("Gus", email, "en"))
        key = link(email)
        member = make_member(email=email)
        at_once(
            lambda k=key: guests.confirm(*k),
            lambda m=member: guests.adopt(m),
            lambda k=key: guests.cancel(*k),
        )
        rows = Registration.objects.filter(event=event)
        coming = rows.filter(state="confirmed").count()
        assert coming == taken(event) == Attendee.objects.filter(event=event, is_live=True).count()


@pytest.mark.django_db(transaction=True)
def test_guests_and_members_never_take_more_than_there_is() -> None:
    event = coming_up(capacity=3)
    keys = []
    for n in range(4):
        guests.ask(event.pk, Guest("G", f"g{n}@example.org", "en"))
        keys.append(link(f"g{n}@example.org"))
    people = [make_member() for _n in range(4)]
    told = at_once(
        *[lambda k=key: guests.confirm(*k) for key in keys],
        *[lambda m=member: register(m, event.pk, [ME]) for member in people],
    )
    assert sorted(told) == ["confirmed"] * 3 + ["full"] * 5
    assert taken(event) == 3


@pytest.mark.django_db(transaction=True)
def test_the_sweep_against_a_late_click_ends_in_a_party_or_in_nothing(clock: Any) -> None:
    for n in range(4):
        event = coming_up(capacity=40)
        guests.ask(event.pk, Guest("G", f"s{n}@example.org", "en"))
        key = link(f"s{n}@example.org")
        clock.move_to(times.now() + 16 * MINUTE)
        told = at_once(lambda k=key: guests.confirm(*k), guests.expire)
        assert taken(event) == Registration.objects.filter(event=event, state="confirmed").count()
        assert told[0] in {"confirmed", "gone"}
