"""A meetup goes fortnightly and back to weekly: the weeks its rule called off come back, those a person called off do not."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from events import hosting, rescheduling
from events.models import Event, Pool, Series
from events.registration import Person, register
from events.rescheduling import Affected, Which
from realtime.models import Mail
from tests.events.test_series_pages import editor, host, meetup, rows, saved, starts
from tests.factories import make_interest, make_member

__all__ = ["host"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
WEEKLY, FORTNIGHTLY = "FREQ=WEEKLY;COUNT=6", "FREQ=WEEKLY;INTERVAL=2;COUNT=3"
ODD = ["03-09 19:00", "03-23 19:00", "04-06 19:00"]
ALL = ["03-09 19:00", "03-16 19:00", "03-23 19:00", "03-30 19:00", "04-06 19:00", "04-13 19:00"]


def ruled(by: Any, found: Series, rrule: str, changes: Any = None, **more: Any) -> list[Affected]:
    which = Which("all", reason="Fewer of us come.")
    return rescheduling.change_series(by, found.pk, which, changes or {}, recurrence={"rrule": rrule}, **more)


def said(affected: list[Affected]) -> list[tuple[str, str]]:
    return [(one.change, f"{one.event.local_start:%m-%d %H:%M}") for one in affected]


def test_weeks_that_fell_away_come_back_as_the_events_they_were(host: Any) -> None:
    found = meetup(host, WEEKLY)
    before = [row.pk for row in rows(found)]
    assert Counter(one.change for one in ruled(host, found, FORTNIGHTLY)) == {"called_off": 3}
    assert starts(found) == ODD
    gone = [row for row in rows(found) if row.state == "cancelled"]

    tried = ruled(host, found, WEEKLY, dry_run=True)
    assert said(tried) == [("restored", day) for day in ALL if day not in ODD]
    assert starts(found) == ODD, "nothing is saved yet"

    assert said(ruled(host, found, WEEKLY)) == said(tried)
    assert (starts(found), [row.pk for row in rows(found)]) == (ALL, before)
    for row in gone:
        now = Event.objects.get(pk=row.pk)
        assert (now.cancel_reason, now.fell_away) == ("", False)
        assert now.sequence > row.sequence and now.version > row.version, "calendars follow it"


def test_what_a_person_called_off_stays_called_off(host: Any) -> None:
    found = meetup(host, WEEKLY)
    by_hand, later = rows(found)[1], rows(found)[3]
    hosting.call_off(host, by_hand.pk, "The hall is taken")
    ruled(host, found, FORTNIGHTLY)
    ruled(host, found, WEEKLY)
    assert starts(found) == [day for day in ALL if day != "03-16 19:00"]
    hosting.call_off(host, later.pk, "And this one")
    ruled(host, found, FORTNIGHTLY)
    ruled(host, found, WEEKLY)
    by_hand.refresh_from_db()
    assert by_hand.cancel_reason == "The hall is taken"
    assert starts(found) == [day for day in ALL if day not in {"03-16 19:00", "03-30 19:00"}]


def test_it_comes_back_as_the_meetup_is_by_then_with_every_place_free(host: Any) -> None:
    walking = make_interest("walking")
    found = meetup(host, WEEKLY)
    member = make_member()
    mine = register(member, rows(found)[1].pk, [Person(), Person("Bo")])
    ruled(host, found, FORTNIGHTLY)
    changes = {
        "title": "Chess",
        "capacity": 4,
        "interests": [walking],
        "starts_at": datetime(2027, 3, 9, 20),
        "ends_at": datetime(2027, 3, 9, 23),
    }
    rescheduling.change_series(host, found.pk, Which("all"), changes)  # type: ignore[arg-type]
    told = Mail.objects.count()
    ruled(host, found, WEEKLY)
    back = Event.objects.get(pk=mine.event_id)
    pool = Pool.objects.get(event=back)
    assert (back.title, f"{back.local_start:%m-%d %H:%M}", f"{back.local_end:%H:%M}") == (
        "Chess",
        "03-16 20:00",
        "23:00",
    )
    assert (pool.capacity, pool.taken, list(back.interests.all())) == (4, 0, [walking])
    assert back.room is not None and back.room.title == "Chess"
    mine.refresh_from_db()
    assert mine.state == "cancelled", "nobody is put back who made other plans"
    assert Mail.objects.count() == told
    assert register(member, back.pk, [Person()]).state == "confirmed"


def test_a_date_left_out_and_taken_in_again_comes_back(host: Any) -> None:
    found = meetup(host, WEEKLY)
    out = datetime(2027, 3, 16, 19)
    change = lambda days: rescheduling.change_series(  # noqa: E731
        host, found.pk, Which("all", reason="Holiday"), {}, recurrence={"exdates": days}
    )
    assert said(change([out])) == [("called_off", "03-16 19:00")]
    assert said(change([])) == [("restored", "03-16 19:00")]
    assert starts(found) == ALL


def test_back_and_forth_is_the_same_each_time_and_the_past_stays(host: Any, clock: Any) -> None:
    found = meetup(host, WEEKLY)
    for _turn in range(2):
        ruled(host, found, FORTNIGHTLY)
        assert starts(found) == ODD
        ruled(host, found, WEEKLY)
        assert starts(found) == ALL
    ruled(host, found, FORTNIGHTLY)
    clock.move_to(datetime.fromisoformat("2027-03-17T12:00:00+01:00"))
    ruled(host, found, "FREQ=WEEKLY;COUNT=4")
    assert starts(found) == [day for day in ALL if day != "03-16 19:00"], "that evening is over"


def test_following_from_one_date_on_brings_back_what_is_after_it(host: Any) -> None:
    found = meetup(host, WEEKLY)
    ruled(host, found, FORTNIGHTLY)
    third = next(row for row in rows(found) if f"{row.local_start:%m-%d}" == "03-23")
    which = Which("following", third.pk, reason="More of us come.")
    told = rescheduling.change_series(host, found.pk, which, {}, recurrence={"rrule": "FREQ=WEEKLY;COUNT=4"})
    assert said(told) == [("restored", "03-30 19:00"), ("restored", "04-13 19:00")]
    assert starts(found) == ["03-09 19:00"]
    assert starts(Series.objects.exclude(pk=found.pk).get()) == ALL[2:]


def test_what_is_refused_brings_nothing_back(host: Any) -> None:
    found = meetup(host, WEEKLY)
    ruled(host, found, FORTNIGHTLY)
    register(make_member(), rows(found)[2].pk, [Person()])  # 03-23, which would fall away without a word why
    with pytest.raises(ValidationError):
        rescheduling.change_series(
            host, found.pk, Which("all"), {}, recurrence={"rrule": "FREQ=WEEKLY;COUNT=2"}
        )
    assert starts(found) == ODD


def test_the_page_says_which_dates_come_back_before_it_is_saved(client: Client, host: Any) -> None:
    found = meetup(host, WEEKLY)
    first = rows(found)[0]
    saved(client, first, editor(client, first, scope="all", every="2", count="3"), reason="Fewer of us")
    assert starts(found) == ODD
    first.refresh_from_db()
    sent = editor(client, first, scope="all", every="1", count="6")
    shown = client.post(f"/events/{first.public_id}/edit/", sent)
    assert shown.text.count("comes back") == 3 and "falls away" not in shown.text
    assert starts(found) == ODD
    assert saved(client, first, sent).status_code == 302
    assert starts(found) == ALL


def test_it_takes_place_for_whoever_looks(client: Client, host: Any) -> None:
    found = meetup(host, WEEKLY, visibility="public")
    second = rows(found)[1]
    ruled(host, found, FORTNIGHTLY)
    assert "Called off" in client.get(f"/events/{second.public_id}/").text
    ruled(host, found, WEEKLY)
    page = client.get(f"/events/{second.public_id}/").text
    assert "Called off" not in page and "Fewer of us come." not in page
    assert second.starts_at - timedelta(days=7) == rows(found)[0].starts_at
