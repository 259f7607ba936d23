"""What is written once and shown to many: never out of date, never another's, and never without bound."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import override

from config import pieces
from events.models import Event, Pool
from realtime import clock
from tests.factories import make_circle, make_event, make_member, make_place

CARD = "components/event_card.html"


def card(title: str, **more: Any) -> str:
    return pieces.piece(
        CARD, title, {"title": title, "url": "/", "all_day": True, "local_start": None, "total": None, **more}
    )


def test_a_piece_is_written_once_and_again_in_each_language() -> None:
    pieces.is_checked = False
    first = card("Picnic", is_off=True)
    assert "Called off" in first and card("Picnic", is_off=True) is first
    with override("nl"):
        assert "Afgelast" in card("Picnic", is_off=True)
    assert card("Picnic", is_off=True) is first


def test_a_piece_whose_key_names_too_little_is_found_out() -> None:
    card("Walk", is_off=False)
    with pytest.raises(pieces.ChangedPiece):
        card("Walk", is_off=True)
    pieces.is_checked = False
    assert "Called off" not in card("Walk", is_off=True)  # the witness: unchecked it shows what was


def test_what_was_not_shown_for_longest_is_forgotten() -> None:
    pieces.forget()
    kept = card("Kept")
    for number in range(pieces.MOST // len(kept) + 10):
        card(f"Event number {number}")
        if number % 100 == 0:
            card("Kept")
    assert pieces.known() <= pieces.MOST
    pieces.is_checked = False
    assert (
        card("Kept") is not None
        and pieces.is_known(CARD, "Kept")
        and not pieces.is_known(CARD, "Event number 0")
    )


def test_after_an_hour_nothing_is_left_of_what_nobody_shows(clock: Any) -> None:
    pieces.forget()
    pieces.is_checked = False
    for number in range(20):
        card(f"Old {number}")
    clock.shift(pieces.KEPT)
    for number in range(4):
        card(f"New {number}")
    assert not any(pieces.is_known(CARD, f"Old {number}") for number in range(20))
    assert all(pieces.is_known(CARD, f"New {number}") for number in range(4))


@pytest.mark.django_db
def test_a_card_shows_what_has_changed_since(client: Client) -> None:
    event = make_event(title="Picnic", capacity=10)
    assert "10 of 10 places left" in client.get("/events/").text

    Pool.objects.filter(event=event).update(taken=4)
    Event.objects.filter(pk=event.pk).update(title="Barbecue", place=make_place("Genk"))
    page = client.get("/events/").text
    assert "6 of 10 places left" in page and "Barbecue" in page and "Genk" in page and "Picnic" not in page

    Event.objects.filter(pk=event.pk).update(starts_at=clock.now() - timedelta(minutes=1))
    assert "On now" in client.get("/events/").text


@pytest.mark.django_db
def test_a_search_form_shows_nobody_the_towns_of_another(client: Client) -> None:
    make_circle(place=make_place("Genk"))
    client.force_login(make_member(lives=make_place("Hasselt")))
    assert "My home (Hasselt)" in client.get("/circles/").text
    client.force_login(make_member(lives=make_place("Genk")))
    page = client.get("/circles/").text
    assert "My home (Genk)" in page and "Hasselt" not in page
    client.logout()
    assert "My home" not in client.get("/circles/").text


@pytest.mark.django_db
def test_a_search_keeps_what_was_typed_and_says_what_is_wrong(client: Client) -> None:
    for _time in range(2):
        page = client.get("/events/", {"town": "Nowherehausen", "q": "<b>tea</b>"}).text
        assert (
            "Nowherehausen" in page
            and "&lt;b&gt;tea&lt;/b&gt;" in page
            and "We know no town of this name" in page
        )
    assert "Nowherehausen" not in client.get("/events/").text
