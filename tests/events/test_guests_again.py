"""A guest's loose ends: the link sent again, programs that ask for a guest, “still coming?” over the API and by an old link."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, override_settings

from events import guests, reminding
from events.models import Event, Registration
from events.models.registration import Guest
from events.registration import Person, cancel, register
from realtime import clock as times
from realtime.models import Mail
from tests.events.test_guests import coming_up, confirmed, link, main_of, taken
from tests.events.test_mail_links import mailed_key
from tests.factories import make_client, make_event, make_member

pytestmark = pytest.mark.django_db
ME = Person()
DAY = timedelta(days=1)
EMAIL = "ida@example.org"


def mails(kind: str, to: str = EMAIL) -> int:
    return Mail.objects.filter(kind=kind, to=to).count()


def again(event: Event, email: str, client: Client | None = None) -> Any:
    return (client or Client()).post(f"/events/{event.public_id}/guest/again/", {"email": email})


# -- the link once more


@pytest.mark.parametrize(
    "given", [{"closes_before": 20 * 24 * 60}, {"capacity": 1, "waiting_list": None}, {}]
)
def test_a_lost_link_is_sent_again_also_when_it_is_full_or_closed(given: dict[str, Any]) -> None:
    event = coming_up(**given | {"closes_before": None})
    row = confirmed(event)
    Event.objects.filter(pk=event.pk).update(**given)
    page = Client().get(f"/events/{event.public_id}/").text
    assert "Lost the mail with your link?" in page
    assert again(event, "Ida@Example.org").status_code == 200
    assert mails("guest_again") == 1
    pk, key = link()
    assert pk == row.pk
    assert guests.of_key(pk, key) == row


def test_the_answer_is_the_same_for_every_address_known_a_members_or_nobodys() -> None:
    event, member = coming_up(), make_member()
    confirmed(event)
    register(member, event.pk, [ME])
    guests.ask(event.pk, Guest("Bo", "bo@example.org", "en"))
    before = Mail.objects.count()
    said = {
        main_of(again(event, email)).replace(email, "")
        for email in (EMAIL, member.email, "bo@example.org", "x@example.org")
    }
    assert len(said) == 1
    assert (
        mails("guest_again"),
        mails("guest_again", member.email),
        mails("guest_confirm", "bo@example.org"),
    ) == (1, 1, 2)
    assert Mail.objects.count() == before + 3
    own = Mail.objects.get(kind="guest_again", to=member.email)
    assert "/guest/?key=" not in own.text and "/registrations/" in own.text


def test_of_a_members_party_the_others_hear_nothing() -> None:
    event, ada = coming_up(), make_member()
    ben = make_member()
    row = register(ada, event.pk, [ME])
    row.attendees.create(event=event, slot=1, name="Ben", member=ben)
    again(event, ada.email)
    assert (mails("guest_again", ada.email), mails("guest_again", ben.email)) == (1, 0)


def test_three_mails_an_hour_to_one_address_and_no_more(clock: Any) -> None:
    event = coming_up()
    confirmed(event)
    for _n in range(4):
        clock.shift(1)
        again(event, EMAIL)
    assert mails("guest_again") + mails("guest_confirm") == 3
    clock.shift(61 * timedelta(minutes=1))
    again(event, EMAIL)
    assert mails("guest_again") == 3


def test_who_cancelled_and_whose_event_is_over_get_nothing(clock: Any) -> None:
    event = coming_up()
    row = confirmed(event)
    guests.cancel(*link())
    again(event, EMAIL)
    assert mails("guest_again") == 0 and row.pk
    other = coming_up()
    confirmed(other, Guest("Bo", "bo@example.org", "en"))
    clock.move_to(other.ends_at)
    assert again(other, "bo@example.org").status_code == 200
    assert mails("guest_again", "bo@example.org") == 0
    assert "Lost the mail" not in Client().get(f"/events/{other.public_id}/").text


def test_who_has_an_account_is_not_asked_for_the_mail_of_a_guest() -> None:
    event, member = coming_up(), make_member()
    page = f"/events/{event.public_id}/"
    assert "Lost the mail" not in make_client(member).get(page).text
    register(member, event.pk, [Person()])
    assert "Lost the mail" not in make_client(member).get(page).text


@override_settings(ACCOUNT_RATE_LIMITS={"guest": "2/h/ip"})
def test_from_one_place_it_is_asked_so_often_and_no_more_on_the_page_and_over_the_api_together() -> None:
    event = coming_up()
    assert again(event, EMAIL).status_code == 200
    assert ask(event).status_code == 202
    refused = again(event, EMAIL)
    assert refused.status_code == 429 and f'value="{EMAIL}"' in refused.text
    told = ask(event)
    assert (told.status_code, told["Retry-After"]) == (429, "3600")


def test_what_is_no_address_is_said_and_who_is_signed_in_needs_none() -> None:
    event = coming_up()
    assert again(event, "nothing").status_code == 422
    assert again(event, EMAIL, make_client(make_member())).status_code == 302
    assert Client().get(f"/events/{event.public_id}/guest/again/").status_code == 302
    hidden = coming_up(visibility="members")
    assert again(hidden, EMAIL).status_code == 404


# -- programs


def ask(event: Event, path: str = "guests/", **body: Any) -> Any:
    body = body or {
        "guest": {"name": "Ida", "email": EMAIL, "language": "de"},
        "party": [{}, {"name": "Bo", "age": 9}],
    }
    url = f"/api/v1/events/{event.public_id}/{path}"
    return Client().post(url, body, content_type="application/json")


def test_a_program_asks_for_a_guest_and_the_mails_link_makes_them_come() -> None:
    event = coming_up(capacity=40)
    said = [ask(event) for _twice in range(2)]
    assert {answer.status_code for answer in said} == {202}
    assert said[0].content == said[1].content
    assert Mail.objects.filter(kind="guest_confirm").first().language == "de"
    row = guests.confirm(*link())
    assert (row.state, taken(event)) == ("confirmed", 2)
    assert list(row.attendees.order_by("slot").values_list("name", "age")) == [("Ida", None), ("Bo", 9)]
    assert ask(event).content == said[0].content
    assert ask(event, "guests/again/", email=EMAIL).content == said[0].content
    assert ask(event, "guests/again/", email="nobody@example.org").content == said[0].content


def test_a_program_hears_why_not() -> None:
    event = coming_up(capacity=1, waiting_list=None)
    guest = {"name": "Ida", "email": EMAIL}
    assert (lambda one: (one.status_code, one.json()["code"]))(ask(event, guest=guest, party=[{}, {}])) == (
        409,
        "full",
    )
    for body in (
        {"guest": {"name": "Ida"}, "party": [{}]},
        {"guest": guest},
        {"guest": guest, "party": [{}, {"member": make_member().public_id}]},
        {"party": [{}]},
    ):
        assert ask(event, **body).status_code == 400, body
    closed = coming_up(closes_before=20 * 24 * 60)
    assert ask(closed).json()["code"] == "too_late"
    assert ask(coming_up(visibility="members")).status_code == 404
    assert Registration.objects.count() == 0


# -- still coming


def still(row: Registration, who: Any, **body: Any) -> Any:
    return make_client(who).post(
        f"/api/v1/registrations/{row.public_id}/still/", body, content_type="application/json"
    )


def test_a_program_says_that_one_still_comes_or_gives_the_places_back() -> None:
    event = coming_up(asks_again=True, fixed_before=20 * 24 * 60)
    row = register(make_member(), event.pk, [ME])
    for _twice in range(2):
        assert still(row, row.member).json()["status"] == "confirmed"
    row.refresh_from_db()
    assert row.still_coming_at is not None
    assert still(row, event.host, comes=False).status_code == 403
    assert still(row, make_member()).status_code == 404
    assert still(row, row.member, comes="no").status_code == 400
    for _twice in range(2):
        assert still(row, row.member, comes=False).json()["status"] == "cancelled"
    assert taken(event) == 0
    again_yes = still(row, row.member)
    assert (again_yes.status_code, again_yes.json()["code"]) == (409, "closed")


def test_an_old_link_shows_whose_registration_it_was_how_it_stands(clock: Any) -> None:
    event = make_event(starts_at=times.now() + 3 * DAY, asks_again=True)
    row = register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - 2 * DAY)
    Registration.objects.filter(pk=row.pk).update(created_at=times.now() - 9 * DAY)
    reminding.remind_due()
    key, url = mailed_key(row.member), f"/registrations/{row.public_id}/still/"
    cancel(row.member, row.pk)
    mine, other = make_client(row.member), make_client(make_member())
    for said in ({"key": key}, {}):
        answer = mine.get(url, said, follow=True)
        assert answer.redirect_chain and "This registration is cancelled" in answer.text
        assert "nothing to answer any more" in answer.text
    assert mine.post(url, {"key": key, "answer": "yes"}).status_code == 302
    assert (Client().get(url, {"key": key}).status_code, other.get(url, {"key": key}).status_code) == (
        404,
        404,
    )
    assert "opens nothing any more" in Client().get(url, {"key": key}).text
    assert mine.get(url, {"key": key})["Referrer-Policy"] == "no-referrer"


# -- in the head


def test_the_description_in_the_head_is_words_and_no_markdown() -> None:
    for visibility in ("public", "members"):
        event = make_event(
            description="# Walk\n\nBring **shoes** and [a map](https://example.org/x)", visibility=visibility
        )
        page = make_client(make_member()).get(f"/events/{event.public_id}/").text
        assert '<meta name="description" content="Walk Bring shoes and a map">' in page
