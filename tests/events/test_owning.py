"""Whose an event is: nobody who was let in to run it takes it away from the centre that owns it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from events import cohosts, hosting
from events.models import Event, Series
from realtime import clock
from realtime.models import Mail
from tests.factories import (
    make_centre,
    make_client,
    make_event,
    make_host,
    make_manager,
    make_member,
    make_staff,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def shared() -> Any:
    """An event of one centre that another runs with it."""
    event = make_event(host=make_host(centre=make_centre()))
    event.partner_centres.add(make_centre())
    return event


def patch(member: Any, url: str, body: dict[str, Any], version: int = 1) -> int:
    head = {"If-Match": f'"{version}"'}
    return make_client(member).patch(url, json.dumps(body), "application/json", headers=head).status_code


@pytest.mark.parametrize("whom", ["partner", "cohost"])
def test_who_was_let_in_does_not_take_it_away(shared: Event, whom: str) -> None:
    theirs = shared.partner_centres.get()
    if whom == "partner":
        member = make_staff(theirs)
    else:
        member = make_host(centre=theirs)
        cohosts.name(make_manager(shared.centre), shared.pk, member.email)
    url = f"/api/v1/events/{shared.public_id}/"
    for body in (
        {"centre": theirs.slug},
        {"centre": theirs.slug, "visibility": "centre"},
        {"partner_centres": [theirs.slug, make_centre().slug]},
    ):
        assert patch(member, url, body) == 403
    shared.refresh_from_db()
    assert (shared.centre_id == theirs.pk, shared.visibility, shared.version) == (False, "public", 1)
    assert patch(member, url, {"title": "Together", "partner_centres": [theirs.slug]}) == 200, (
        "the rest is theirs, too"
    )


def test_its_host_and_its_own_centre_say_whose_it_is(shared: Event) -> None:
    manager, url = make_manager(shared.centre), f"/api/v1/events/{shared.public_id}/"
    third = make_centre()
    assert patch(manager, url, {"partner_centres": [third.slug]}) == 200
    assert list(shared.partner_centres.all()) == [third]
    assert patch(shared.host, url, {"partner_centres": []}, 2) == 200
    assert not shared.partner_centres.exists()


def test_a_series_is_not_taken_away_either_and_goes_on_where_it_went(shared: Event) -> None:
    host, theirs = shared.host, shared.partner_centres.get()
    start = (clock.now() + timedelta(days=2)).replace(tzinfo=None, microsecond=0)
    plan: Any = {"title": "Table", "starts_at": start, "partner_centres": [theirs]}
    meetup = hosting.publish_series(host, plan, {"rrule": "FREQ=WEEKLY;COUNT=3"})
    url, body = f"/api/v1/series/{meetup.public_id}/", {"scope": "all", "changes": {"centre": theirs.slug}}
    assert patch(make_staff(theirs), url, body) == 403
    assert set(Event.objects.filter(series=meetup).values_list("centre", flat=True)) == {meetup.centre_id}
    both = make_staff(theirs)
    Series.objects.filter(pk=meetup.pk).update(host=both)
    Event.objects.filter(series=meetup).update(host=both)
    assert patch(both, url, body) == 200
    meetup.refresh_from_db()
    assert meetup.centre == theirs, "dates that are made later are theirs, too"


def test_a_partner_hears_of_it_once_and_takes_its_own_centre_out(shared: Event) -> None:
    host, theirs = shared.host, shared.partner_centres.get()
    staff, manager = make_staff(theirs, language="de"), make_manager(theirs)
    third = make_centre()
    for centres in ([], [theirs, third], [third], [third, theirs]):
        hosting.change(host, shared.pk, {"partner_centres": centres})
    mails = Mail.objects.filter(kind="event_shared")
    assert sorted(mails.values_list("to", "language")) == sorted([(staff.email, "de"), (manager.email, "en")])

    page = make_client(staff)
    url = f"{shared.get_absolute_url()}hosts/"
    shown = page.get(url).text
    assert f'value="{theirs.pk}"' in shown and f'value="{third.pk}"' not in shown, "their own alone"
    assert page.post(url, {"centre": third.pk}).status_code == 403
    assert page.post(url, {"centre": theirs.pk}).status_code == 302
    assert list(shared.partner_centres.all()) == [third]
    assert page.get(url).status_code == 403, "the event is everybody's to see, and no longer theirs to run"
    assert make_client(host).post(url, {"centre": third.pk}).status_code == 302
    assert not shared.partner_centres.exists()


def test_of_a_series_one_mail_and_all_dates_to_come(shared: Event) -> None:
    host, theirs = shared.host, shared.partner_centres.get()
    staff = make_staff(theirs)
    start = (clock.now() + timedelta(days=2)).replace(tzinfo=None, microsecond=0)
    plan: Any = {"title": "Table", "starts_at": start, "partner_centres": [theirs]}
    meetup = hosting.publish_series(host, plan, {"rrule": "FREQ=WEEKLY;COUNT=3"})
    assert Mail.objects.filter(kind="event_shared", to=staff.email).count() == 1
    second = meetup.occurrences.order_by("starts_at")[1]
    cohosts.take_out(staff, second.pk, theirs.pk)
    assert not Event.objects.filter(series=meetup, partner_centres=theirs).exists()
    assert not meetup.partner_centres.exists()


def test_a_draft_tells_nobody_before_it_is_published(shared: Event) -> None:
    host, theirs = shared.host, shared.partner_centres.get()
    make_staff(theirs)
    start = (clock.now() + timedelta(days=2)).replace(tzinfo=None, microsecond=0)
    draft = hosting.publish(
        host, {"title": "Soup", "starts_at": start, "partner_centres": [theirs]}, is_draft=True
    )
    assert not Mail.objects.exists()
    hosting.publish_draft(host, draft.pk)
    assert Mail.objects.get().kind == "event_shared"


def test_a_partner_changes_the_rest_on_the_page_and_its_partners_stay(shared: Event) -> None:
    page, url = make_client(make_staff(shared.partner_centres.get())), f"{shared.get_absolute_url()}edit/"
    initial = page.get(url).context["form"].initial
    sent = {name: value for name, value in initial.items() if value not in (None, False, [], "")} | {
        "title": "Together"
    }
    sent.pop("partner_centres")  # a browser sends nothing of what cannot be chosen
    assert page.post(url, sent).status_code == 302
    shared.refresh_from_db()
    assert (shared.title, shared.partner_centres.count()) == ("Together", 1)


def test_a_stranger_learns_nothing(shared: Event) -> None:
    with pytest.raises(PermissionDenied):
        hosting.change(make_member(), shared.pk, {"centre": shared.partner_centres.get()})
