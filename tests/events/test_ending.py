"""A meetup ends with a date: it and all after it go together, and come back together while nobody has been told."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from events import cohosts, ending, hosting, rescheduling, rules, series, undoing
from events.models import Event, Registration, Series
from events.registration import Person, register
from events.rescheduling import Which
from realtime import clock as our_clock
from realtime import notify
from realtime.models import Mail
from tests.events.test_waiting import states
from tests.factories import make_centre, make_client, make_event, make_host, make_member

pytestmark = pytest.mark.django_db
PUBLISHED, CANCELLED = Event.State.PUBLISHED, Event.State.CANCELLED


@pytest.fixture
def host() -> Any:
    return make_host(centre=make_centre())


def meetup_of(host: Any, rrule: str = "FREQ=WEEKLY;COUNT=5") -> list[Event]:
    start = (our_clock.now() + timedelta(days=2)).replace(tzinfo=None, microsecond=0)
    plan: Any = {
        "title": "Language table",
        "language": "en",
        "starts_at": start,
        "timezone": "Europe/Brussels",
    }
    meetup = hosting.publish_series(host, plan, {"rrule": rrule})
    return list(meetup.occurrences.order_by("starts_at"))


def state_of(dates: list[Event]) -> list[str]:
    return [Event.objects.get(pk=one.pk).state for one in dates]


def test_this_date_and_all_after_it_go_and_those_before_stay(clock: Any, host: Any) -> None:
    dates = meetup_of(host, "FREQ=WEEKLY")
    stays, goes = (
        register(make_member(), dates[0].pk, [Person()]),
        register(make_member(), dates[3].pk, [Person()]),
    )
    Mail.objects.all().delete()

    gone = ending.end_from(host, dates[2].pk, "I move to Lille.")

    assert [one.pk for one in gone] == sorted(one.pk for one in dates[2:])
    assert state_of(dates) == [PUBLISHED] * 2 + [CANCELLED] * (len(dates) - 2)
    assert states(stays, goes) == ["confirmed", "cancelled"]
    mail = Mail.objects.get()
    assert (mail.kind, mail.to) == ("event_called_off", goes.member.email) and "I move to Lille." in mail.text
    clock.shift(timedelta(days=200))
    series.extend_series()
    assert Event.objects.count() == len(dates), "no more are planned"
    assert ending.end_from(host, dates[2].pk) == [], "a second time ends nothing more"


def test_within_ten_minutes_all_of_it_comes_back_and_nobody_heard(clock: Any, host: Any) -> None:
    dates = meetup_of(host, "FREQ=WEEKLY")
    goes = register(make_member(), dates[3].pk, [Person(), Person(name="Oma")])
    hosting.call_off(host, dates[4].pk)
    clock.shift(timedelta(minutes=1))
    Mail.objects.all().delete()
    ending.end_from(host, dates[2].pk)
    assert len(ending.ended_together(Event.objects.get(pk=dates[3].pk))) == len(dates) - 3

    clock.shift(timedelta(minutes=5))
    back = ending.go_on(host, dates[3].pk)

    assert len(back) == len(dates) - 3
    assert state_of(dates) == [PUBLISHED] * 4 + [CANCELLED] + [PUBLISHED] * (len(dates) - 5), (
        "what went by itself"
    )
    assert states(goes) == ["confirmed"] and Registration.objects.get(pk=goes.pk).party_size == 2
    clock.shift(timedelta(minutes=20))
    notify.send_due()
    assert not Mail.objects.exclude(state="dropped").exists()
    assert ending.go_on(host, dates[3].pk) == [], "a second time changes nothing"
    clock.shift(timedelta(days=100))
    series.extend_series()
    assert Event.objects.count() > len(dates), "it goes on"


def test_after_ten_minutes_it_is_final(clock: Any, host: Any) -> None:
    dates = meetup_of(host)
    ending.end_from(host, dates[1].pk)
    clock.shift(undoing.LASTS + timedelta(seconds=1))
    with pytest.raises(ValidationError) as refused:
        ending.go_on(host, dates[1].pk)
    assert refused.value.code == "too_late"
    assert state_of(dates) == [PUBLISHED] + [CANCELLED] * 4


def test_the_first_date_ends_all_of_it(host: Any) -> None:
    dates = meetup_of(host)
    ending.end_from(host, dates[0].pk)
    assert state_of(dates) == [CANCELLED] * 5 and Series.objects.get().ended_at is not None


def test_a_change_of_what_stays_does_not_bring_it_back(host: Any) -> None:
    dates = meetup_of(host, "FREQ=WEEKLY")
    ending.end_from(host, dates[2].pk)
    page = make_client(host)
    url = f"/api/v1/series/{dates[0].series.public_id}/"  # type: ignore[union-attr]
    said = {"scope": "all", "changes": {"title": "Language evening"}}
    answer = page.patch(url, json.dumps(said), content_type="application/json", headers={"If-Match": '"2"'})
    assert answer.status_code == 200, answer.content
    assert Event.objects.filter(state=PUBLISHED).count() == 2


def test_who_runs_one_date_does_not_end_the_meetup(host: Any) -> None:
    dates = meetup_of(host)
    helper = make_member()
    register(helper, dates[1].pk, [Person()])
    cohosts.name(host, dates[1].pk, helper.email)
    with pytest.raises(PermissionDenied):
        ending.end_from(helper, dates[1].pk)
    assert 'value="following"' not in make_client(helper).get(f"{dates[1].get_absolute_url()}call-off/").text
    assert state_of(dates) == [PUBLISHED] * 5
    alone = make_event(host=host)
    with pytest.raises(ValidationError) as refused:
        ending.end_from(host, alone.pk)
    assert refused.value.code == "closed"


def test_a_date_that_comes_back_after_its_series_moved_says_that_it_did_not(host: Any) -> None:
    dates = meetup_of(host)
    hosting.call_off(host, dates[2].pk)
    start = dates[0].local_start
    assert start is not None
    changes: Any = {"starts_at": start.replace(tzinfo=None) + timedelta(hours=1)}
    assert dates[0].series is not None
    rescheduling.change_series(host, dates[0].series.pk, Which("all", dates[0].pk), changes)

    done = make_client(host).post(f"{dates[2].get_absolute_url()}restore/", follow=True).text

    assert "Its series has moved meanwhile; it is at the time it had." in done
    assert Event.objects.get(pk=dates[2].pk).starts_at == dates[2].starts_at
    hosting.call_off(host, dates[1].pk)
    again = make_client(host).post(f"{dates[1].get_absolute_url()}restore/", follow=True).text
    assert "It takes place after all." in again and "meanwhile" not in again


def test_the_page_asks_which_dates_and_undoes_them_together(host: Any) -> None:
    dates = meetup_of(host)
    register(make_member(), dates[3].pk, [Person(), Person(name="Oma")])
    browser, url = make_client(host), dates[2].get_absolute_url()
    asked = browser.get(f"{url}call-off/").text
    assert "2 dates come after it." in asked and "2 places are taken or wanted there." in asked
    assert 'value="following"' not in browser.get(f"{dates[4].get_absolute_url()}call-off/").text, (
        "the last one"
    )

    done = browser.post(f"{url}call-off/", {"scope": "following", "reason": "I move."}, follow=True).text
    assert "3 dates are called off, and no more are planned." in done
    assert "Undo: all 3 dates take place" in done and "Undo for this date alone" in done

    browser.post(f"{url}restore/", {"all": "1"})
    assert state_of(dates) == [PUBLISHED] * 5


def test_a_program_ends_and_takes_back(host: Any) -> None:
    dates = meetup_of(host)
    client, url = make_client(host), f"/api/v1/events/{dates[3].public_id}/"
    said = {"content_type": "application/json"}
    assert (
        client.post(f"{url}cancel/", json.dumps({"scope": "following"}), **said).json()["state"]
        == "cancelled"
    )
    assert state_of(dates) == [PUBLISHED] * 3 + [CANCELLED] * 2
    assert client.post(f"{url}restore/?scope=following").json()["state"] == "published"
    assert state_of(dates) == [PUBLISHED] * 5
    assert client.post(f"{url}cancel/", json.dumps({"scope": "all"}), **said).status_code == 400


@pytest.mark.parametrize("rrule", ["FREQ=WEEKLY", "FREQ=WEEKLY;COUNT=9"])
def test_what_came_back_is_one_meetup_again_with_the_rule_it_had(clock: Any, host: Any, rrule: str) -> None:
    dates = meetup_of(host, rrule)
    before = Series.objects.get()
    for number in (3, 5):  # twice, at another date
        ending.end_from(host, dates[number].pk)
        assert Series.objects.count() == 2
        clock.shift(timedelta(minutes=2))
        path = f"/events/{dates[number].public_id}/"
        answer = make_client(host).post(f"{path}restore/", {"all": "1"}, follow=True)
        assert "It takes place after all." in answer.text

    found = Series.objects.get()
    assert (found.pk, found.ended_at, found.made_until) == (before.pk, None, before.made_until)
    assert rules.parts_of(found.rrule) == rules.parts_of(rrule)
    assert list(found.occurrences.order_by("starts_at").values_list("pk", flat=True)) == [
        one.pk for one in dates
    ]
    assert series.make_occurrences(found, found.made_until) == []  # type: ignore[arg-type]


def test_a_meetup_that_was_changed_since_stays_two(clock: Any, host: Any) -> None:
    dates = meetup_of(host, "FREQ=WEEKLY")
    ending.end_from(host, dates[3].pk)
    first = Series.objects.get(occurrences=dates[0])
    rescheduling.change_series(host, first.pk, Which("all"), {"title": "Conversation table"})
    ending.go_on(host, dates[3].pk)
    assert Series.objects.count() == 2
    assert state_of(dates) == [PUBLISHED] * len(dates)
