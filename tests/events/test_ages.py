"""How old children are on the day of an event, and which of them may come."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from community.models import Child, Member
from events import ages, hosting, moving
from events.models import Event
from events.registration import Person, change_party, register
from tests.factories import make_child, make_client, make_event, make_host, make_household, make_member

pytestmark = pytest.mark.django_db
ME = Person()
DAY = datetime(2030, 5, 11, 12, tzinfo=UTC)


@pytest.fixture
def parent(clock: Any) -> Member:
    return make_member()


@pytest.fixture
def home(parent: Member) -> dict[int, Child]:
    """Children of a household by the age they reach in 2030."""
    household = make_household(parent)
    return {
        age: make_child(household, nickname=f"Child of {age}", birth_year=2030 - age)
        for age in (5, 6, 12, 13, 14)
    }


def event_for(**given: Any) -> Event:
    return make_event(starts_at=DAY, for_families=True, **given)


def no_to(member: Member, event: Event, child: Child) -> str:
    with pytest.raises(ValidationError) as refused:
        register(member, event.pk, [ME, Person(child_id=child.pk)])
    return str(refused.value.message_dict["party"][0])


def test_the_age_is_that_of_the_year_of_the_event_not_of_today(
    parent: Member, home: dict[int, Child]
) -> None:
    found = register(parent, event_for().pk, [ME, Person(child_id=home[6].pk)])
    assert [one.age for one in found.live] == [None, 6]


def test_limits_are_kept_and_who_may_be_young_enough_comes(parent: Member, home: dict[int, Child]) -> None:
    event = event_for(min_age=6, max_age=12)
    assert "Child of 5 cannot come along" in no_to(parent, event, home[5])
    assert "Children from 6 to 12 years" in no_to(parent, event, home[14])
    party = [
        ME,
        *(Person(child_id=home[age].pk) for age in (6, 12, 13)),
    ]  # 13 in that year: 12 until a birthday
    assert register(parent, event.pk, party).party_size == 4


def test_adults_only_means_no_child_at_all(parent: Member, home: dict[int, Child]) -> None:
    event = event_for(min_age=18)
    assert "For adults" in no_to(parent, event, home[14])
    with pytest.raises(ValidationError):
        register(parent, event.pk, [ME, Person(name="Kim", age=17)])
    assert register(parent, event.pk, [ME, Person(name="Kim", age=18)]).party_size == 2


def test_who_came_before_the_limit_stays_and_nobody_new_gets_past_it(
    parent: Member, home: dict[int, Child]
) -> None:
    event = event_for(host=make_host())
    row = register(parent, event.pk, [ME, Person(child_id=home[14].pk)])
    hosting.change(event.host, event.pk, {"max_age": 12})
    stays = [ME, Person(child_id=home[14].pk), Person(child_id=home[6].pk)]
    assert change_party(parent, row.pk, stays).party_size == 3
    with pytest.raises(ValidationError):
        change_party(parent, row.pk, [ME, Person(child_id=make_child(home[6].household, birth_year=2015).pk)])
    page = make_client(parent).get(f"/registrations/{row.public_id}/").content.decode()
    assert "Child of 14 (14)" in page and "Not for Child of 5" not in page


def test_the_host_is_told_which_children_new_ages_leave_out(parent: Member, home: dict[int, Child]) -> None:
    event = event_for()
    register(
        parent,
        event.pk,
        [ME, Person(child_id=home[5].pk), Person(child_id=home[13].pk), Person(name="Tim", age=4)],
    )
    host, url = make_client(event.host), f"{event.get_absolute_url()}edit/"
    initial = host.get(url).context["form"].initial
    form = {name: value for name, value in initial.items() if value not in (None, False, [], "")} | {
        "for_families": "on"
    }

    narrowed = host.post(url, form | {"min_age": "8"}, follow=True).content.decode()
    assert "keep their places: Child of 5, Tim" in narrowed and "Child of 13" not in narrowed
    version = {"version": Event.objects.get(pk=event.pk).version, "min_age": "8"}
    same = host.post(url, form | version | {"title": "Another"}, follow=True).content.decode()
    assert "keep their places" not in same, "said once"


def test_another_date_has_limits_of_its_own(parent: Member, home: dict[int, Child]) -> None:
    host = make_host()
    plan = {
        "title": "Climbing",
        "starts_at": datetime(2030, 5, 11, 14),
        "language": "en",
        "timezone": "Europe/Brussels",
    }
    host.profile.centre = make_event().centre
    host.profile.save()
    meetup = hosting.publish_series(host, plan, {"rrule": "FREQ=WEEKLY;COUNT=2"})  # type: ignore[typeddict-item]
    first, second = meetup.occurrences.order_by("starts_at")
    hosting.change(host, second.pk, {"max_age": 6})
    row = register(parent, first.pk, [ME, Person(child_id=home[14].pk)])
    with pytest.raises(ValidationError, match="Children up to 6 years"):
        moving.move(parent, row.pk, second.pk)
    assert moving.move(host, row.pk, second.pk).event_id == second.pk  # who runs both decides


def test_the_eldest_is_not_younger_than_the_youngest() -> None:
    event = event_for(host=make_host())
    with pytest.raises(ValidationError) as refused:
        hosting.change(event.host, event.pk, {"min_age": 9, "max_age": 6})
    assert list(refused.value.message_dict) == ["max_age"]


def patching(event: Event) -> tuple[Client, Any]:
    """The host's program, and how it changes the event."""
    client, url = make_client(event.host), f"/api/v1/events/{event.public_id}/"

    def patch(**body: Any) -> Any:
        match = {"If-Match": client.get(url)["ETag"]}
        return client.patch(url, json.dumps(body), content_type="application/json", headers=match)

    return client, patch


@pytest.mark.parametrize(
    ("youngest", "eldest", "said"),
    [
        (None, None, ""),
        (0, None, "Children from 0 years"),
        (1, None, "Children from 1 year"),
        (6, 12, "Children from 6 to 12 years"),
        (None, 1, "Children up to 1 year"),
        (18, None, "For adults"),
    ],
)
def test_how_it_is_said(youngest: int | None, eldest: int | None, said: str) -> None:
    assert ages.for_whom(Event(min_age=youngest, max_age=eldest)) == said


def test_the_page_says_it_and_leaves_out_who_cannot_come(parent: Member, home: dict[int, Child]) -> None:
    event = event_for(min_age=6, max_age=12)
    client = make_client(parent)
    page = client.get(event.get_absolute_url()).content.decode()
    assert "Children from 6 to 12 years" in page
    left_out = page.partition("Not for ")[2].partition(":")[0]
    assert "Child of 6 (6)" in page and sorted(left_out.split(", ")) == ["Child of 14", "Child of 5"]
    assert page.count("checked") == 4  # me, and the three who may come
    data = client.get(f"/api/v1/events/{event.public_id}/").json()
    assert (data["min_age"], data["max_age"]) == (6, 12)
    assert '"typicalAgeRange": "6-12"' in page


def test_a_program_sets_and_lifts_them() -> None:
    event = event_for(host=make_host())
    _client, patch = patching(event)
    assert patch(min_age=18).json()["min_age"] == 18
    assert patch(min_age=None).json()["min_age"] is None
    assert patch(max_age=19).status_code == 400


def test_a_language_that_is_needed_is_said_with_how_well() -> None:
    event = event_for(host=make_host())
    client, patch = patching(event)
    assert patch(needs_level="B1").json()["needs_level"] is None, "a level is one of a language"
    assert patch(needs_language="nl").json()["needs_level"] == "A1", "the least, where nobody said how well"
    patch(needs_language="sv", needs_level="A2")
    page = client.get(event.get_absolute_url()).content.decode()
    assert "You need Swedish, level A2: simple talk" in page
    form = client.get(f"{event.get_absolute_url()}edit/").context["form"]
    assert (form["needs_language"].value(), form["needs_level"].value()) == ("sv", "A2")
    Member.objects.filter(pk=event.host_id).update(language="de")
    assert "A2: einfache Gespräche" in client.get(f"{event.get_absolute_url()}edit/").content.decode()
    assert "sv" in dict(form.fields["needs_language"].choices), "what a program wrote can be kept"
    answer = patch(needs_language=None, needs_level=None).json()
    assert (answer["needs_language"], answer["needs_level"]) == (None, None)
