"""Drafts: kept, changed, published, copied from what was, thrown away; nobody but who runs them sees one."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from events import hosting
from events.models import Event, Pool
from events.registration import Person, register
from realtime import clock
from tests.events.test_pages import form
from tests.factories import (
    make_centre,
    make_circle,
    make_client,
    make_event,
    make_host,
    make_interest,
    make_member,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Any:
    return make_host(centre=make_centre())


def test_a_draft_is_kept_changed_and_published(host: Any, client: Client) -> None:
    page = make_client(host)
    kept = page.post("/events/new/", form(draft="1"), follow=True)
    event = Event.objects.get()
    assert (event.state, "kept as a draft" in kept.text) == ("draft", True)
    assert client.get(event.get_absolute_url()).status_code == 404
    url = f"{event.get_absolute_url()}edit/"
    assert 'name="publish"' in page.get(url).text

    page.post(url, form(title="Board games and soup", version=event.version))
    event.refresh_from_db()
    assert (event.state, event.title) == ("draft", "Board games and soup")
    answer = page.post(url, form(title="Board games", version=event.version, publish="1"), follow=True)
    event.refresh_from_db()
    assert (event.state, event.title) == ("published", "Board games")
    assert "It is published" in answer.text
    assert client.get(event.get_absolute_url()).status_code == 200
    assert register(make_member(), event.pk, [Person()]).state == "confirmed"
    assert hosting.publish_draft(host, event.pk).version == event.version, "a second time changes nothing"


def test_a_meetup_is_no_draft_and_what_was_typed_stays(host: Any) -> None:
    answer = make_client(host).post("/events/new/", form(draft="1", repeat="weekly", title="Every week"))
    assert (answer.status_code, Event.objects.count()) == (422, 0)
    assert "Only a single event can be kept as a draft." in answer.text and "Every week" in answer.text


@pytest.mark.parametrize(
    "when",
    [
        {"starts_at": None, "ends_at": None},
        {"starts_at": clock.now() - timedelta(days=2), "ends_at": clock.now() - timedelta(days=1)},
    ],
)
def test_a_draft_without_a_date_or_past_it_is_not_published(host: Any, when: dict[str, Any]) -> None:
    draft = make_event(host=host, state="draft", **when)
    with pytest.raises(ValidationError) as no:
        hosting.publish_draft(host, draft.pk)
    assert "starts_at" in no.value.error_dict
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_a_copy_has_everything_but_the_date_and_who_came(host: Any) -> None:
    interest = make_interest()
    event = make_event(
        host=host, capacity=7, interests=[interest], languages=["nl"], waiting_list="fit", for_families=True
    )
    register(make_member(), event.pk, [Person()])
    page = make_client(host)
    answer = page.post(f"{event.get_absolute_url()}copy/")
    draft = Event.objects.get(state="draft")
    assert answer.headers["Location"] == f"{draft.get_absolute_url()}edit/"
    assert (draft.title, draft.capacity, draft.languages, draft.waiting_list) == (
        event.title,
        7,
        ["nl"],
        "fit",
    )
    assert (draft.starts_at, draft.room_id, list(draft.interests.all())) == (None, None, [interest])
    assert Pool.objects.get(event=draft).taken == 0
    page.post(f"{draft.get_absolute_url()}edit/", form(version=draft.version, publish="1"))
    draft.refresh_from_db()
    assert draft.state == "published"


def test_a_copy_by_somebody_outside_its_circle_is_for_their_centre(host: Any) -> None:
    other = make_host(centre=host.profile.centre)
    circle = make_circle(host=other)
    event = make_event(host=host, circle=circle, visibility="circle")
    copied = hosting.copy(host, event.pk)
    assert (copied.circle, copied.visibility, copied.host) == (None, "centre", host)


def test_only_a_draft_is_thrown_away_and_it_asks_first(host: Any) -> None:
    page = make_client(host)
    draft, event = make_event(host=host, state="draft"), make_event(host=host)
    url = f"{draft.get_absolute_url()}discard/"
    assert "Throw this draft away?" in page.get(url).text
    assert Event.objects.filter(pk=draft.pk).exists()
    assert page.post(url).headers["Location"] == "/events/mine/"
    assert not Event.objects.filter(pk=draft.pk).exists()
    assert page.post(f"{event.get_absolute_url()}discard/").headers["Location"] == event.get_absolute_url()
    assert Event.objects.filter(pk=event.pk).exists()
