"""The pages of events: found, decided on, come along to, hosted; without script, in one request."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from community.models import Interest
from events import hosting, inquiries
from events.access import event_for
from events.models import CoHost, Event, Invitation, Pool, Registration, Series
from events.registration import Person, cancel, register
from realtime import clock
from realtime.models import Mail
from tests.factories import (
    make_centre,
    make_child,
    make_circle,
    make_client,
    make_event,
    make_host,
    make_household,
    make_interest,
    make_member,
    make_place,
    make_staff,
)

pytestmark = pytest.mark.django_db


def signed_in(client: Client, **given: Any) -> Any:
    member = make_member(**given)
    client.force_login(member)
    return member


def titles(client: Client, **query: Any) -> list[str]:
    response = client.get("/events/", query)
    assert response.status_code == 200
    return [event.title for event, _km, _mine in response.context["cards"]]


def test_the_list_shows_what_is_on_the_next_first_to_anybody(client: Client) -> None:
    make_event(title="Second", starts_at=clock.now() + timedelta(days=2))
    make_event(title="First", starts_at=clock.now() + timedelta(hours=2))
    make_event(title="Over", starts_at=clock.now() - timedelta(days=2))
    make_event(title="Members only", visibility="members")
    make_event(title="Draft", state="draft")
    make_event(title="Called off", state="cancelled")

    assert titles(client) == ["First", "Second"]
    signed_in(client)
    assert titles(client) == ["First", "Members only", "Second"]


@pytest.mark.usefixtures("clock")
def test_the_list_narrows_by_day_place_interest_language_price_and_words(client: Client) -> None:
    walking = make_interest("walking")
    make_event(
        title="Tonight",
        starts_at=clock.now() + timedelta(hours=3),
        interests=[walking],
        languages=["nl", "en"],
    )
    make_event(
        title="Saturday in Aken",
        starts_at=clock.now() + timedelta(days=4),
        place=make_place("Aachen"),
        languages=["de"],
    )
    make_event(
        title="In three weeks",
        starts_at=clock.now() + timedelta(days=21),
        is_free=False,
        for_families=True,
        description="Café für Löwen",
    )

    assert titles(client, when="today") == ["Tonight"]
    assert titles(client, when="weekend") == ["Saturday in Aken"]
    assert titles(client, when="week") == ["Tonight", "Saturday in Aken"]
    assert titles(client, when="month") == ["Tonight", "Saturday in Aken", "In three weeks"]
    assert titles(client, since="2027-03-06", until="2027-03-06") == ["Saturday in Aken"]
    assert titles(client, interest="walking") == ["Tonight"]
    assert titles(client, language="de") == ["Saturday in Aken"]
    assert titles(client, free="on") == ["Tonight", "Saturday in Aken"]
    assert titles(client, families="on") == ["In three weeks"]
    assert titles(client, q="cafe LOWEN") == ["In three weeks"]


@pytest.mark.usefixtures("region")
def test_a_town_is_known_by_any_of_its_names(client: Client) -> None:
    make_event(title="Here", place=make_place("Aachen"))
    make_event(title="There", place=make_place("Hasselt"))

    for name in ("Aken", "aix-la-chapelle", "AACHEN"):
        assert titles(client, town=name, km="10") == ["Here"], name


def test_a_wrong_filter_is_said_and_keeps_what_was_typed(client: Client) -> None:
    make_event(title="Picnic")

    response = client.get(
        "/events/", {"town": "Atlantis", "q": "Picnic", "since": "soon", "km": "x", "page": "-3"}
    )

    assert response.status_code == 200
    assert "We know no town of this name" in response.text
    assert (
        'value="Atlantis"' in response.text
        and 'value="Picnic"' in response.text
        and 'value="soon"' in response.text
    )


def test_a_choice_that_is_not_on_the_list_is_passed_over(client: Client) -> None:
    make_event(title="Picnic")

    page = client.get("/events/", {"km": "abc", "interest": "x", "language": "xx", "when": "then"})

    assert [event.title for event, _km, _mine in page.context["cards"]] == ["Picnic"]
    assert "Select a valid choice" not in page.text and '<option value="20" selected>' in page.text


def test_a_page_past_the_end_leads_back_to_the_first(client: Client) -> None:
    make_event(title="Picnic")

    text = client.get("/events/", {"page": "999", "free": "on"}).text

    assert "No more events" in text and 'href="?free=on"' in text and "Nothing" not in text


@pytest.mark.usefixtures("clock")
def test_an_event_that_runs_says_so_on_its_page_and_card(client: Client) -> None:
    make_event(title="Later", starts_at=clock.now() + timedelta(minutes=1))
    now = make_event(title="Begun", starts_at=clock.now(), ends_at=clock.now() + timedelta(hours=1))

    assert client.get("/events/").text.count("On now") == 1
    assert "On now" in client.get(now.get_absolute_url()).text
    now.ends_at, now.starts_at = clock.now(), clock.now() - timedelta(hours=1)
    now.save()
    assert "On now" not in client.get(now.get_absolute_url()).text


def test_an_empty_list_says_what_to_do_next(client: Client) -> None:
    assert "Nothing is planned yet" in client.get("/events/").text
    assert "Nothing fits all of this" in client.get("/events/", {"q": "unicorn"}).text


@pytest.mark.parametrize("how_many", [1, 30])
@pytest.mark.parametrize(("reader", "queries"), [("nobody", 2), ("member", 5)])
def test_the_list_costs_the_same_for_one_and_thirty(
    client: Client, django_assert_num_queries: Any, how_many: int, reader: str, queries: int
) -> None:
    place, centre, host = make_place(), make_centre(), make_host()
    member = signed_in(client, lives=place) if reader == "member" else None
    for n in range(how_many):
        event = make_event(
            place=place, centre=centre, host=host, starts_at=clock.now() + timedelta(days=1, minutes=n)
        )
        if member:
            register(member, event.pk, [Person()])

    Interest.everything()  # read once in the life of a process
    with django_assert_num_queries(queries):
        response = client.get("/events/")

    assert len(response.context["cards"]) == min(how_many, 20)
    assert bool(response.context["has_more"]) == (how_many == 30)


def test_the_second_page_goes_on_where_the_first_ended(client: Client) -> None:
    place, centre, host = make_place(), make_centre(), make_host()
    for n in range(25):
        make_event(
            title=f"Nr {n:02}",
            place=place,
            centre=centre,
            host=host,
            starts_at=clock.now() + timedelta(days=1, minutes=n),
        )

    assert titles(client, page=1) + titles(client, page=2) == [f"Nr {n:02}" for n in range(25)]


@pytest.mark.parametrize("how_many", [1, 30])
def test_an_event_page_costs_six_queries_whoever_comes(
    client: Client, django_assert_num_queries: Any, how_many: int
) -> None:
    event = make_event(capacity=100)
    for _one in range(how_many):
        register(make_member(), event.pk, [Person()])
    signed_in(client)

    with django_assert_num_queries(
        6
    ):  # with session, reader and pools; two more for a household, three who is in it
        response = client.get(event.get_absolute_url())

    assert response.context["places"].taken == how_many


def test_an_event_page_asks_for_each_thing_that_is_there_and_for_no_other(
    client: Client, django_assert_num_queries: Any
) -> None:
    host, ana, event = make_host(), make_member(), make_event(capacity=1, waiting_list="fit")
    make_child(make_household(ana), nickname="Noa")
    event.interests.add(make_interest("chess"))
    event.partner_centres.add(make_centre())
    CoHost.objects.create(event=event, member=host, named_by=event.host)
    inquiries.ask(ana, event.pk, "Is there a lift?")
    Invitation.objects.create(event=event, member=ana, via="address", mailed_at=clock.now())
    register(make_member(), event.pk, [Person()])
    register(make_member(), event.pk, [Person()], wait=True)
    client.force_login(ana)
    Interest.everything()  # read once in the life of a process

    with django_assert_num_queries(13):
        page = client.get(event.get_absolute_url()).context

    assert [one.slug for one in page["interests"]] == ["chess"]
    assert page["hosts"] == [event.host, host] and page["partners"].count() == 1
    assert page["asked"] == 1 and page["invitation"].member == ana and page["places"].waiting == 1
    assert "Noa" in str(page["form"]["children"])


def test_the_event_page_has_everything_to_decide_and_the_household_ready(client: Client) -> None:
    ana = signed_in(client)
    ben = make_member(display_name="Ben")
    make_child(make_household(ana, ben), nickname="Noa")
    event = make_event(
        title="Waffles",
        description="Come **hungry** <script>x</script>",
        languages=["nl"],
        capacity=20,
        for_families=True,
    )

    page = client.get(f"/events/{event.public_id}/")

    assert page.status_code == 200
    for text in (
        "Waffles",
        "<strong>hungry</strong>",
        "Kapermolenpark",
        "Dutch",
        "20 of 20 places left",
        "Ben",
        "Noa",
    ):
        assert text in page.text, text
    assert "<script>x" not in page.text
    assert page.text.count("checked") == 3 and "We are coming" in page.text


def test_who_comes_with_somebody_already_is_named_and_not_offered_again(client: Client) -> None:
    ana, ben = signed_in(client), make_member(display_name="Ben")
    noa = make_child(home := make_household(ana, ben), nickname="Noa")
    make_child(home, nickname="Tom", birth_year=clock.now().year - 2)
    event = make_event(for_families=True, waiting_list="fit")
    register(ben, event.pk, [Person(), Person(child_id=noa.pk)])

    page = client.get(event.get_absolute_url())

    assert "Ben, Noa are coming already." in page.text
    form = page.context["form"]
    assert "adults" not in form.fields and [label for _pk, label in form.fields["children"].choices] == [
        "Tom (2)"
    ]
    clash = client.post(f"{event.get_absolute_url()}register/", {"me": "on", "children": [noa.pk]})
    assert clash.status_code == 409 and "already registered" in clash.text, (
        "a form that is older than their party"
    )


def test_where_families_are_not_meant_only_the_reader_is_ticked(client: Client) -> None:
    make_child(make_household(signed_in(client), make_member(display_name="Ben")), nickname="Noa")

    page = client.get(make_event().get_absolute_url())

    assert page.context["form"].initial["me"] and "Noa" in page.text
    assert page.text.count("checked") == 1 and "We are coming" not in page.text


def test_a_family_registers_in_one_step_and_sees_its_ticket(client: Client) -> None:
    ana, ben = signed_in(client), make_member()
    noa = make_child(make_household(ana, ben))
    event = make_event(capacity=5)

    answer = client.post(
        f"/events/{event.public_id}/register/",
        {"me": "on", "adults": [ben.pk], "children": [noa.pk], "guests": "Oma\nOpa"},
        follow=True,
    )

    row = Registration.objects.get()
    assert answer.redirect_chain == [(f"/registrations/{row.public_id}/", 302)]
    assert (row.party_size, Pool.objects.get(event=event).taken) == (5, 5)
    assert "Oma" in answer.text


def test_a_party_that_does_not_fit_comes_back_as_typed(client: Client) -> None:
    signed_in(client)
    event = make_event(capacity=2)

    answer = client.post(f"/events/{event.public_id}/register/", {"me": "on", "guests": "Oma\nOpa"})

    assert answer.status_code == 409
    assert "Only 2 places are left." in answer.text and "Oma\nOpa" in answer.text
    assert not Registration.objects.exists()


def test_what_a_second_tab_chose_stands_in_the_form_of_the_party_that_is_there(client: Client) -> None:
    ana = signed_in(client)
    noa = make_child(make_household(ana), nickname="Noa")
    event = make_event(for_families=True)
    url = f"{event.get_absolute_url()}register/"
    client.post(url, {"me": "on"})

    second = client.post(url, {"me": "on", "children": [noa.pk], "guests": "Oma"})

    assert second.status_code == 409 and "You are registered already, so nothing was changed." in second.text
    assert Registration.objects.get().party_size == 1
    form = second.context["form"]
    assert form["children"].value() == [str(noa.pk)] and "Oma</textarea>" in second.text
    saved = client.post(f"/registrations/{Registration.objects.get().public_id}/party/", form.data)
    assert (saved.status_code, Registration.objects.get().party_size) == (302, 3)


def test_a_party_of_nobody_is_refused_in_words(client: Client) -> None:
    signed_in(client)
    event = make_event()

    answer = client.post(f"/events/{event.public_id}/register/", {})

    assert answer.status_code == 422
    assert "Choose who comes: 1 to 12 people." in answer.text


def test_who_is_not_signed_in_is_led_to_it_and_back(client: Client) -> None:
    event = make_event()

    assert "Sign in to come along" in client.get(f"/events/{event.public_id}/").text
    answer = client.post(f"/events/{event.public_id}/register/", {"me": "on"})

    assert (answer.status_code, answer["Location"]) == (
        302,
        f"/accounts/login/?next=%2Fevents%2F{event.public_id}%2F",
    )


def test_what_is_not_yours_to_see_looks_like_what_is_not_there(client: Client) -> None:
    circle = make_circle(make_member())
    hidden = [
        make_event(state="draft"),
        make_event(visibility="circle", circle=circle),
        make_event(visibility="centre"),
    ]
    signed_in(client)
    row = register(make_member(), make_event().pk, [Person()])

    for path in [f"/events/{event.public_id}/" for event in hidden] + [
        f"/registrations/{row.public_id}/",
        "/events/aaaaaaaaaaaab/",
    ]:
        assert client.get(path).status_code == 404, path
    assert client.get(f"/events/{hidden[0].public_id}.ics").status_code == 404


def test_staff_of_a_partner_centre_runs_the_event_too(client: Client) -> None:
    partner = make_centre()
    event = make_event(visibility="centre", partner_centres=[partner])
    client.force_login(make_staff(partner))

    page = client.get(f"/events/{event.public_id}/")

    assert "You run this event" in page.text
    assert client.get(f"/events/{event.public_id}/edit/").status_code == 200


def test_a_member_neither_edits_nor_calls_off_nor_publishes(client: Client) -> None:
    event = make_event()
    signed_in(client)

    for path in (f"/events/{event.public_id}/edit/", f"/events/{event.public_id}/call-off/", "/events/new/"):
        assert client.get(path).status_code == 403, path
        assert client.post(path, {}).status_code == 403, path
    event.refresh_from_db()
    assert event.state == "published"


def test_a_party_is_changed_on_its_page_and_a_stale_form_is_refused(client: Client) -> None:
    ana = signed_in(client)
    event = make_event(capacity=3)
    row = register(ana, event.pk, [Person()])
    path = f"/registrations/{row.public_id}/party/"

    assert client.post(path, {"me": "on", "guests": "Oma", "version": 1}).status_code == 302
    stale = client.post(path, {"me": "on", "version": 1})

    row.refresh_from_db()
    assert (stale.status_code, row.party_size) == (409, 2)


def test_cancelling_asks_first(client: Client) -> None:
    ana = signed_in(client)
    event = make_event()
    row = register(ana, event.pk, [Person()])

    assert "Give your places back?" in client.get(f"/registrations/{row.public_id}/cancel/").text
    assert Pool.objects.get(event=event).taken == 1
    client.post(f"/registrations/{row.public_id}/cancel/")
    assert Pool.objects.get(event=event).taken == 0


def test_the_link_in_the_mail_cancels_signed_out_after_asking(client: Client) -> None:
    event = make_event()
    row = register(make_member(), event.pk, [Person()])
    other = register(make_member(), event.pk, [Person()])
    path = f"/registrations/{row.public_id}/cancel/"

    keys = [mail.text.partition("?key=")[2].split()[0] for mail in Mail.objects.order_by("created_at", "pk")]

    assert client.get(path).status_code == 302
    asked = client.get(path, {"key": keys[0]})
    assert (
        "Give your places back?" in asked.text
        and asked.text.count("<form") - asked.text.count('role="search') >= 1
    )
    assert (asked["Referrer-Policy"], asked["X-Robots-Tag"]) == ("no-referrer", "noindex")
    assert Pool.objects.get(event=event).taken == 2, "looking changes nothing"
    gone = client.post(path, {"key": keys[1]})
    assert gone.status_code == 404, f"the key of {other}"
    assert client.post(path, {"key": keys[0]}).status_code == 200
    row.refresh_from_db()
    assert row.state == "cancelled"
    for used, how in ((keys[0], client.post), (keys[0], client.get), ("made up", client.get)):
        again = how(path, {"key": used})
        assert again.status_code == 404 and "This link has done its work" in again.text
        assert again["Referrer-Policy"] == "no-referrer"


def form(**given: Any) -> dict[str, Any]:
    day = (clock.now() + timedelta(days=7)).date()
    return {
        "title": "Board games",
        "language": "en",
        "day": day.isoformat(),
        "starts": "19:00",
        "ends": "22:00",
        "visibility": "public",
        "repeat": "once",
        "capacity": "12",
        "needs_level": "A1",  # as a browser sends it
    } | given


def test_a_host_publishes_a_single_event(client: Client) -> None:
    host = signed_in(client, is_host=True, centre=make_centre())

    answer = client.post("/events/new/", form(price="5 €", languages=["nl", "en"]), follow=True)

    event = Event.objects.get()
    assert answer.status_code == 200 and "It is published" in answer.text
    assert (event.host, event.local_start.hour, event.local_end.hour, event.is_free, event.languages) == (
        host,
        19,
        22,
        False,
        ["nl", "en"],
    )  # type: ignore[union-attr]
    assert Pool.objects.get(event=event).capacity == 12
    assert titles(client, q="board games") == ["Board games"]


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("0", ""), ("0 €", ""), ("€ 0,00", ""), ("0,- EUR", ""), ("0,50 €", "0,50 €"), ("10", "10")],
)
def test_a_price_of_nothing_is_free_and_any_other_is_shown_as_typed(
    client: Client, typed: str, shown: str
) -> None:
    signed_in(client, is_host=True, centre=make_centre())

    client.post("/events/new/", form(price=typed))

    event = Event.objects.get()
    assert (event.is_free, event.price) == (not shown, shown)


@pytest.mark.usefixtures("region")
def test_a_town_nobody_knows_is_not_published_and_one_written_alike_is_named(client: Client) -> None:
    signed_in(client, is_host=True, centre=make_centre())

    lost = client.post("/events/new/", form(town="Atlantis"))
    near = client.post("/events/new/", form(town="Masstricht"))

    assert (lost.status_code, near.status_code, Event.objects.count()) == (422, 422, 0)
    assert (
        "Try another spelling" in lost.context["form"].errors["town"][0] and 'value="Atlantis"' in lost.text
    )
    assert "Did you mean Maastricht" in near.context["form"].errors["town"][0]
    assert "Did you mean Maastricht" in client.get("/events/", {"town": "Masstricht"}).text


def test_an_imported_event_keeps_its_town_outside_the_euregio_when_it_is_changed(client: Client) -> None:
    host = signed_in(client, is_host=True, centre=make_centre())
    event = make_event(host=host, place=None, town="Atlantis")
    path = f"/events/{event.public_id}/edit/"

    assert client.post(path, form(town="Atlantis", title="Diving", version=1)).status_code == 302
    assert client.post(path, form(town="Lemuria", title="Diving", version=2)).status_code == 422
    event.refresh_from_db()
    assert (event.title, event.town, event.place) == ("Diving", "Atlantis", None)


def test_a_host_publishes_a_fortnightly_meetup_in_the_same_form(client: Client) -> None:
    signed_in(client, is_host=True, centre=make_centre())

    answer = client.post("/events/new/", form(repeat="weekly", every="2", count="5"), follow=True)

    assert "It is published with 5 dates" in answer.text
    dates = [event.local_start.date() for event in Event.objects.order_by("starts_at")]  # type: ignore[union-attr]
    assert [(later - first).days for first, later in zip(dates, dates[1:], strict=False)] == [14] * 4
    assert Series.objects.get().rrule.startswith("FREQ=WEEKLY")


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"draft": "1"},
        {"repeat": "weekly", "every": "2"},
        {
            "question0-text": "Which dish?",
            "question0-kind": "text",
            "ticket0-name": "Adult",
            "ticket0-capacity": "3",
        },
    ],
)
def test_the_same_form_sent_once_more_leads_to_what_it_made(typed: dict[str, str]) -> None:
    page = make_client(make_host(centre=make_centre()))
    first = page.post("/events/new/", form(**typed))
    made = Event.objects.count()

    again = page.post("/events/new/", form(**typed))
    assert (again.url, Event.objects.count()) == (first.url, made)
    assert "It was not made twice." in page.get(again.url).text

    page.post("/events/new/", form(**typed, description="Another one, upstairs."))
    assert Event.objects.count() == 2 * made, "other words are another event"


def test_the_same_form_makes_another_once_the_first_is_gone(clock: Any) -> None:
    page = make_client(make_host(centre=make_centre()))
    page.post("/events/new/", form())
    clock.shift(timedelta(hours=1, seconds=1))
    page.post("/events/new/", form())
    assert Event.objects.count() == 2, "an hour later it is meant"


def test_a_year_that_nobody_plans_for_is_refused_beside_the_day() -> None:
    page = make_client(make_host(centre=make_centre()))
    for typed in ({"day": "2206-12-01"}, {"day": "2206-12-01", "repeat": "weekly"}):
        answer = page.post("/events/new/", form(**typed))
        assert (answer.status_code, Event.objects.count()) == (422, 0)
        assert "This date is too far away." in answer.text and "2206-12-01" in answer.text


def test_the_dates_are_shown_before_anything_is_saved(client: Client) -> None:
    signed_in(client, is_host=True, centre=make_centre())
    typed = form(repeat="weekday", day="2027-12-24", exceptions="2028-01-28")

    part = client.get("/events/preview/", typed)
    page = client.post("/events/new/", typed | {"preview": "1"})

    for shown in (part, page):
        assert shown.status_code == 200
        assert (
            "24 December 2027" in shown.text
            and "28 January 2028" not in shown.text
            and "25 February 2028" in shown.text
        )
    assert 'value="Board games"' in page.text, "and what was typed is kept"
    assert not Event.objects.exists() and not Series.objects.exists()


def test_a_date_ticked_in_the_preview_stays_in_sight_and_is_not_published(client: Client) -> None:
    signed_in(client, is_host=True, centre=make_centre())
    first = (clock.now() + timedelta(days=7)).date()
    off = first + timedelta(days=7)
    typed = form(repeat="weekly", count="3", leave_out=[f"{off}T19:00:00"])
    ticked = f'value="{off}T19:00:00" checked'

    part = client.get("/events/preview/", typed)
    page = client.post("/events/new/", typed | {"preview": "1"})
    client.post("/events/new/", typed | {"starts": "20:00"})

    for shown in (part, page):
        assert ticked in shown.text and shown.text.count('name="leave_out"') == 3
    dates = [event.local_start.date() for event in Event.objects.order_by("starts_at")]  # type: ignore[union-attr]
    assert dates == [first, off + timedelta(days=7)], "the day counts, also when the hour was changed after"
    assert 'name="leave_out"' not in client.get("/events/preview/", form()).text


def test_an_unfinished_form_says_what_is_missing_and_keeps_the_rest(client: Client) -> None:
    signed_in(client, is_host=True, centre=make_centre())

    answer = client.post(
        "/events/new/", form(title="", starts="", capacity="0", exceptions="soon", description="Nice")
    )

    assert answer.status_code == 422
    assert (
        "Say when it begins" in answer.text and "is not a date like" in answer.text and "Nice" in answer.text
    )
    assert not Event.objects.exists()


def test_changing_an_event_tells_who_registered_what_was_and_is(client: Client) -> None:
    host = signed_in(client, is_host=True, centre=make_centre())
    client.post("/events/new/", form())
    event = Event.objects.get()
    guest = make_member()
    register(guest, event.pk, [Person()])

    client.post(
        f"/events/{event.public_id}/edit/",
        form(starts="20:00", title="Board games", version=event.version, description="New text"),
    )
    client.post(
        f"/events/{event.public_id}/edit/",
        form(starts="20:00", version=event.version + 1, description="Newer text"),
    )

    mail = Mail.objects.get(kind="event_changed")
    assert (mail.to, host.email != mail.to) == (guest.email, True)
    assert "19:00" in mail.text and "→" in mail.text and "20:00" in mail.text
    event.refresh_from_db()
    assert (event.version, event.sequence, event.description) == (3, 1, "Newer text")


def test_a_form_that_somebody_else_overtook_is_refused(client: Client) -> None:
    signed_in(client, is_host=True, centre=make_centre())
    client.post("/events/new/", form())
    event = Event.objects.get()

    client.post(f"/events/{event.public_id}/edit/", form(title="Theirs", version=1))
    answer = client.post(f"/events/{event.public_id}/edit/", form(title="Mine", version=1))

    event.refresh_from_db()
    assert (answer.status_code, event.title) == (422, "Theirs")
    assert "changed meanwhile" in answer.text and 'value="Mine"' in answer.text
    assert "Something else is stored now in: Title" in answer.text, "not the fields that are the same"

    assert "stored now in: Title. Send" in answer.text, (
        "neither what is no fact of it nor what nobody can see"
    )
    version = answer.context["form"]["version"].value()
    client.post(f"/events/{event.public_id}/edit/", form(title="Mine", version=version))
    event.refresh_from_db()
    assert event.title == "Mine", "who has read that may send it again"


def test_a_stale_form_says_that_it_is_called_off_or_cancelled_and_not_to_send_it_again(
    client: Client,
) -> None:
    host = make_host(centre=make_centre())
    page = make_client(host)
    page.post("/events/new/", form())
    event = Event.objects.get()
    ana = signed_in(client)
    row = register(ana, event.pk, [Person()])
    cancel(ana, row.pk)
    party = client.post(f"/registrations/{row.public_id}/party/", {"me": "on", "guests": "Oma", "version": 1})
    assert (party.status_code, "This registration is no longer open." in party.text) == (409, True)
    assert "end it again" not in party.text
    hosting.call_off(host, event.pk)
    edit = page.post(f"/events/{event.public_id}/edit/", form(title="Mine", version=1))
    assert "This event is called off." in edit.text and "end it again" not in edit.text


@pytest.mark.parametrize(
    ("starts", "ends", "is_good"),
    [
        ("19:00", "18:00", False),
        ("19:00", "07:30", False),
        ("22:00", "02:00", True),
        ("19:00", "06:59", True),
    ],
)
def test_an_end_before_the_beginning_is_a_slip_unless_it_is_the_night_after(
    client: Client, starts: str, ends: str, is_good: bool
) -> None:
    signed_in(client, is_host=True, centre=make_centre())
    answer = client.post("/events/new/", form(starts=starts, ends=ends))
    assert Event.objects.count() == is_good
    if is_good:
        event = Event.objects.get()
        assert client.get(f"{event.get_absolute_url()}edit/").context["form"]["last_day"].value() is None
    else:
        assert "It ends before it begins." in answer.text and f'value="{ends}"' in answer.text
        day = (clock.now() + timedelta(days=8)).date()
        client.post("/events/new/", form(starts=starts, ends=ends, last_day=day.isoformat()))
        event = Event.objects.get()
        assert client.get(f"{event.get_absolute_url()}edit/").context["form"]["last_day"].value() == day


def test_calling_off_asks_tells_and_shows_it(client: Client) -> None:
    host = make_host()
    event = make_event(host=host)
    guest = make_member()
    row = register(guest, event.pk, [Person()])
    client.force_login(host)

    assert "1 person is registered" in client.get(f"/events/{event.public_id}/call-off/").text
    client.post(f"/events/{event.public_id}/call-off/", {"reason": "The hall is flooded."})

    mail = Mail.objects.get(kind="event_called_off")
    assert (
        mail.to == guest.email and "The hall is flooded." in mail.text and "METHOD:CANCEL" in mail.attachment
    )
    assert Pool.objects.get(event=event).taken == 0
    client.force_login(guest)
    assert "Called off" in client.get(f"/events/{event.public_id}/").text
    assert "The hall is flooded." in client.get(f"/registrations/{row.public_id}/").text
    assert "Called off" in client.get("/events/mine/").text


@pytest.mark.parametrize(("hosts", "queries"), [(True, 15), (False, 6)])
@pytest.mark.parametrize("how_many", [1, 30])
def test_my_events_cost_the_same_for_one_and_thirty(
    client: Client, django_assert_num_queries: Any, how_many: int, hosts: bool, queries: int
) -> None:
    place, centre, host = make_place(), make_centre(), make_host()
    member = signed_in(client, is_host=hosts)
    for n in range(how_many):
        event = make_event(
            place=place,
            centre=centre,
            host=member if hosts else host,
            starts_at=clock.now() + timedelta(days=1, minutes=n),
        )
        register(member, event.pk, [Person()])

    with django_assert_num_queries(queries):
        response = client.get("/events/mine/")

    assert len(response.context["coming"]) == how_many


def test_who_has_no_town_to_start_from_looks_for_circles_in_a_town_not_another_one(client: Client) -> None:
    assert client.get("/circles/").context["form"]["place"].label == "Town"
    signed_in(client, lives=make_place("Genk"))
    assert client.get("/circles/").context["form"]["place"].label == "Another town"


def test_what_only_takes_a_form_leads_to_its_page_when_asked_for_by_itself(client: Client) -> None:
    member = make_member()
    event = make_event()
    row = register(member, event.pk, [Person()])
    client.force_login(member)
    for path, page in (
        (f"/events/{event.public_id}/register/", f"/events/{event.public_id}/"),
        (f"/registrations/{row.public_id}/party/", f"/registrations/{row.public_id}/"),
    ):
        assert client.get(path)["Location"] == page


@pytest.mark.parametrize("state", Event.State.values)
@pytest.mark.parametrize("visibility", Event.Visibility.values)
def test_what_everybody_may_see_is_the_same_at_hand_and_in_a_query(state: str, visibility: str) -> None:
    circle, centre = make_circle(), make_centre()
    event = make_event(state=state, visibility=visibility, circle=circle, centre=centre)
    stranger, comes = make_member(), make_member()
    Registration.objects.create(event=event, member=comes, party_size=1)

    for reader in (None, stranger, comes, event.host, make_staff(centre)):
        in_query = Event.objects.visible_to(reader).filter(pk=event.pk).exists()
        if event.is_open_to(reader):
            assert in_query, reader
        try:
            seen = event_for(reader, event.pk) == event
        except Event.DoesNotExist:
            seen = False
        assert seen == in_query, reader


def test_a_party_changed_in_another_tab_is_sent_again_with_what_was_typed(client: Client) -> None:
    ana, event = signed_in(client), make_event(capacity=9)
    row = register(ana, event.pk, [Person()])
    page = f"/registrations/{row.public_id}/party/"
    client.post(page, {"me": "on", "guests": "Bo", "version": row.version})

    stale = client.post(page, {"me": "on", "guests": "Cy", "version": row.version})
    assert stale.status_code == 409 and "changed meanwhile" in stale.text and "Cy</textarea>" in stale.text
    version = stale.context["form"]["version"].value()
    client.post(page, {"me": "on", "guests": "Cy", "version": version})
    assert [one.name for one in Registration.objects.get().live][1:] == ["Cy"]


def test_guests_need_no_name_and_stand_as_a_number_when_the_party_is_changed(client: Client) -> None:
    signed_in(client)
    event = make_event(capacity=9)
    client.post(f"/events/{event.public_id}/register/", {"me": "on", "guests": "Oma\n+2"})
    row = Registration.objects.get()
    assert (row.party_size, [one.name for one in row.live][1:]) == (4, ["Oma", "", ""])

    page = client.get(f"/registrations/{row.public_id}/")
    assert page.context["form"].initial["guests"] == "Oma\n+2" and page.text.count("a guest") >= 2
    client.post(f"/registrations/{row.public_id}/party/", {"me": "on", "guests": "1", "version": row.version})
    row.refresh_from_db()
    assert (row.party_size, [one.name for one in row.live][1:]) == (2, [""])

    refused = client.post(
        f"/registrations/{row.public_id}/party/", {"me": "on", "guests": "+99", "version": row.version}
    )
    assert "1 to 12 people" in refused.text and "+99</textarea>" in refused.text


@pytest.mark.parametrize(
    ("typed", "field", "text"),
    [
        ({"ends": "19:00"}, "ends", "It ends when it begins."),
        ({"opens_before": "10080", "closes_before": "20160"}, "closes_before", "would close before it opens"),
    ],
)
def test_what_cannot_be_meant_is_refused_beside_its_field(
    client: Client, typed: dict[str, str], field: str, text: str
) -> None:
    signed_in(client, is_host=True, centre=make_centre())
    answer = client.post("/events/new/", form(**typed))
    assert answer.status_code == 422 and not Event.objects.exists()
    assert any(text in error for error in answer.context["form"].errors[field]), answer.context["form"].errors
