"""Hosting together: who is named may do what the host may, but for two things, and no longer than they are named."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from community import privacy
from community.models import Member, SecurityRecord
from events import access, calendars, cohosts, gates, hosting, rescheduling
from events.models import CoHost, Event, Gate, GatePairing, Series
from events.registration import Person, register
from realtime import clock as our_clock
from realtime.models import Mail, Participant
from tests.access_world import make_world
from tests.factories import make_centre, make_client, make_event, make_host, make_manager, make_member
from tests.test_access import ask, rows, said

pytestmark = pytest.mark.django_db
ME = Person()


def shared(**given: Any) -> tuple[Event, Member]:
    """An event with a conversation, and who hosts it together with its host."""
    event = make_event(**given)
    register(make_member(), event.pk, [ME])
    other = make_member(centre=event.centre)
    cohosts.name(event.host, event.pk, other.email)
    return Event.objects.get(pk=event.pk), other


def meetup(host: Member | None = None) -> Series:
    return hosting.publish_series(
        host or make_host(centre=make_centre()),
        {"title": "Table", "starts_at": (our_clock.now() + timedelta(days=2)).replace(tzinfo=None)},
        {"rrule": "FREQ=WEEKLY;COUNT=4"},
    )


def test_who_hosts_together_gets_what_the_host_gets_everywhere_but_there() -> None:
    world = make_world()
    world.people["cohost"] = make_member()
    for event in Event.objects.filter(host=world.people["host"]):
        CoHost.objects.create(event=event, member=world.people["cohost"])
    for series in Series.objects.all():
        CoHost.objects.create(series=series, member=world.people["host"])
        CoHost.objects.create(series=series, member=world.people["cohost"])
    differs, asked = set(), 0
    for address, method, _cells in rows():
        if any(name in address for name in ("{event}", "{draft}", "{series}", "{registration}", "{gate}")):
            host, other = (said(ask(world, column, method, address)) for column in ("host", "cohost"))
            asked += 1
            if host != other:
                differs.add((address, method, other))
    assert asked > 40
    assert differs == {
        ("/events/{event}/discard/", "POST", "403"),
        ("/events/{event}/hosts/", "POST", "403"),
        ("/events/{event}/copy/", "POST", "403"),  # a new event of their own is for hosts
    }


def test_they_see_it_everywhere_a_host_does() -> None:
    event, other = shared()
    assert Event.objects.visible_to(other).filter(pk=event.pk).exists()
    client = make_client(other)
    for path in ("/events/mine/", "/"):
        assert event.title in client.get(path).text, path
    assert b"BEGIN:VEVENT" in calendars.of_member(other).content()[0]
    page = make_client(make_member()).get(event.get_absolute_url()).text
    assert str(event.host) in page and str(other) in page


def test_a_draft_is_seen_by_who_hosts_it_together_and_thrown_away_by_its_host_alone() -> None:
    event = make_event(state=Event.State.DRAFT, starts_at=None, ends_at=None)
    other = make_member(centre=event.centre)
    cohosts.name(event.host, event.pk, other.email)
    with pytest.raises(PermissionDenied):
        hosting.discard(other, event.pk)
    hosting.discard(event.host, event.pk)
    assert not CoHost.objects.exists()


def test_nobody_learns_by_naming_who_has_an_account() -> None:
    event = make_event()
    stranger = make_member(display_name="Somebody")
    told = set()
    for who in (stranger.email, stranger.display_name, "nobody@example.org", ""):
        with pytest.raises(ValidationError) as no:
            cohosts.name(event.host, event.pk, who)
        told.add(str(no.value.message_dict))
    assert len(told) == 1
    staff = make_manager(event.centre)
    assert cohosts.name(staff, event.pk, stranger.email.upper()).member == stranger
    comes = register(make_member(display_name="Zoë"), event.pk, [ME]).member
    assert cohosts.name(event.host, event.pk, "zoë").member == comes


def test_naming_twice_is_once_with_one_mail_and_one_record() -> None:
    event, other = shared()
    cohosts.name(event.host, event.pk, other.email)
    assert CoHost.objects.count() == 1
    (mail,) = Mail.objects.filter(kind="event_cohost")
    assert (mail.to, f"/events/{event.public_id}/hosts/" in mail.text) == (other.email, True)
    assert SecurityRecord.objects.filter(target=f"co-host {event.public_id}").count() == 1
    with pytest.raises(ValidationError):
        cohosts.name(make_manager(event.centre), event.pk, event.host.email)


def test_only_host_and_staff_name_and_dismiss() -> None:
    event, other = shared()
    third = make_member(centre=event.centre)
    for who in (other, third):
        with pytest.raises(PermissionDenied):
            cohosts.name(who, event.pk, third.email)
        with pytest.raises(PermissionDenied):
            cohosts.dismiss(who, event.pk, CoHost.objects.get().pk)
    elsewhere, _other = shared()
    cohosts.dismiss(elsewhere.host, elsewhere.pk, CoHost.objects.get(event=event).pk)
    assert CoHost.objects.filter(event=event).exists(), "of another event"


@pytest.mark.parametrize("how", ["dismiss", "step_down"])
def test_who_no_longer_hosts_loses_every_right_at_once(how: str) -> None:
    event, other = shared()
    assert event.room is not None
    gate = gates.own_gate(other, event.pk, "Front")
    gates.pair(other, event.pk)
    assert gate.supervises and access.may_moderate(other, event.room.pk)
    assert Participant.objects.filter(room=event.room, member=other, left_seq=None).exists()

    if how == "dismiss":
        cohosts.dismiss(event.host, event.pk, CoHost.objects.get().pk)
    else:
        assert [cohosts.step_down(other, event.pk), cohosts.step_down(other, event.pk)] == [1, 0]

    event = Event.objects.get(pk=event.pk)
    assert not access.may_run(other, event) and not access.may_door(other, event)
    assert not access.may_moderate(other, event.room_id) and not access.rooms_run_by(other).exists()
    assert not make_client(other).get(event.get_absolute_url()).context["runs"]
    assert not Gate.objects.of(other).exists() and not GatePairing.objects.exists()
    assert not Participant.objects.filter(room=event.room, member=other, left_seq=None).exists()
    assert SecurityRecord.objects.filter(action="role_withdrawn", subject=other).count() == 1


def test_who_comes_stays_in_the_conversation_when_they_no_longer_host() -> None:
    event, other = shared()
    register(other, event.pk, [ME])
    cohosts.step_down(other, event.pk)
    assert Participant.objects.filter(room=event.room, member=other, left_seq=None).exists()


def test_a_conversation_that_opens_later_has_all_who_host_and_keeps_them() -> None:
    event = make_event()
    other = make_member(centre=event.centre)
    cohosts.name(event.host, event.pk, other.email)
    row = register(other, event.pk, [ME])
    event.refresh_from_db()
    inside = Participant.objects.filter(room=event.room, left_seq=None)
    assert set(inside.values_list("member", flat=True)) == {event.host_id, other.pk}
    make_client(other).post(f"/registrations/{row.public_id}/cancel/")
    assert inside.filter(member=other).exists(), "they host it"


def test_every_date_of_a_series_and_those_to_come_or_one_date_alone() -> None:
    series = meetup()
    first, second, *_rest = series.occurrences.order_by("starts_at")
    staff = make_manager(series.centre)
    of_all, of_one = make_member(), make_member()
    cohosts.name(staff, first.pk, of_all.email, every_date=True)
    cohosts.name(staff, first.pk, of_one.email)
    assert [access.may_run(of_all, one) for one in (first, second)] == [True, True]
    assert [access.may_run(of_one, one) for one in (first, second)] == [True, False]
    assert access.may_run_series(of_all, series) and not access.may_run_series(of_one, series)
    rescheduling.change_series(
        of_all, series.pk, rescheduling.Which("following", second.pk), {"title": "Large table"}
    )
    second.refresh_from_db()
    assert second.series_id != series.pk and access.may_run(of_all, second), "the new series has them too"
    with pytest.raises(PermissionDenied):
        rescheduling.change_series(of_one, series.pk, rescheduling.Which("all"), {"title": "Mine"})


def test_when_the_host_is_erased_who_hosts_with_them_takes_over() -> None:
    series = meetup()
    manager = make_manager(series.centre)
    first = series.occurrences.order_by("starts_at")[0]
    heir = make_member()
    cohosts.name(manager, first.pk, heir.email, every_date=True)
    alone = make_event(host=series.host, centre=series.centre)
    host = series.host
    becomes = {duty.name: str(duty.becomes) for duty in privacy.duties_of(host)}
    assert "with you" in becomes["Table"] and "manager" in becomes[alone.title]

    privacy.erase(host.pk)

    assert set(Event.objects.filter(series=series).values_list("host", flat=True)) == {heir.pk}
    assert Series.objects.get(pk=series.pk).host == heir
    assert Event.objects.get(pk=alone.pk).host == manager
    assert not CoHost.objects.exists(), "the heir is its host, not beside it"


def test_who_leaves_for_good_hosts_nothing_any_more() -> None:
    event, other = shared()
    privacy.erase(other.pk)
    assert not CoHost.objects.exists()
    assert make_client(event.host).get(event.get_absolute_url()).status_code == 200


def test_the_page_names_thanks_and_lets_step_down() -> None:
    event = make_event()
    other = make_member(centre=event.centre, display_name="Yara")
    host, url = make_client(event.host), f"/events/{event.public_id}/hosts/"
    assert "every date" not in host.get(url).text
    wrong = host.post(url, {"who": "nobody@example.org"})
    assert (wrong.status_code, "nobody@example.org" in wrong.text) == (422, True)
    assert "Yara hosts with you now" in host.post(url, {"who": other.email}, follow=True).text
    row = CoHost.objects.get()
    assert f'value="{row.pk}"' in host.get(url).text
    theirs = make_client(other)
    page = theirs.get(url).text
    assert 'name="leave"' in page and 'name="who"' not in page and 'name="remove"' not in page
    assert theirs.post(url, {"leave": "1"}).status_code == 302
    assert theirs.get(url).status_code == 403
    host.post(url, {"who": other.email})
    host.post(url, {"remove": str(CoHost.objects.get().pk)})
    assert not CoHost.objects.exists()


@pytest.mark.parametrize("how_many", [1, 30])
def test_an_event_of_many_hosts_costs_the_same(how_many: int, django_assert_num_queries: Any) -> None:
    event = make_event()
    CoHost.objects.bulk_create(CoHost(event=event, member=make_member()) for _turn in range(how_many))
    client = make_client(make_member())
    client.get(event.get_absolute_url())
    with django_assert_num_queries(6):
        client.get(event.get_absolute_url())
