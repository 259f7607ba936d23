"""A rule becomes dates on the wall clock, and dates become events; changing one, the following, or all of them."""

import json
import time
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.test import Client

from community.sign_ins import issue_token
from events import hosting, rescheduling, series
from events.models import Event, Pool, Registration, Series
from events.preview import preview
from events.registration import Person, register
from events.rescheduling import Which
from events.series import Rule, check, make_occurrences, occurrences, wall_time
from realtime.models import Mail
from tests.factories import make_centre, make_event, make_host, make_interest, make_member

RULES = Path(__file__).parents[3] / "shared/data/recurrence"
BRUSSELS = "Europe/Brussels"


def dates(rule: Rule, limit: int = 20) -> list[str]:
    return [one.starts_at.isoformat(timespec="minutes") for one in occurrences(rule, limit)]


def test_nineteen_hours_stays_nineteen_hours_when_the_clocks_change() -> None:
    rule = Rule(datetime(2026, 10, 20, 19), BRUSSELS, "FREQ=WEEKLY;COUNT=2")

    assert dates(rule) == ["2026-10-20T19:00+02:00", "2026-10-27T19:00+01:00"]


def test_an_hour_that_is_skipped_moves_forward_by_what_is_skipped() -> None:
    rule = Rule(datetime(2027, 3, 27, 2, 30), BRUSSELS, "FREQ=DAILY;COUNT=3")

    assert dates(rule) == ["2027-03-27T02:30+01:00", "2027-03-28T03:30+02:00", "2027-03-29T02:30+02:00"]


def test_of_an_hour_that_comes_twice_the_first_is_meant() -> None:
    assert dates(Rule(datetime(2026, 10, 25, 2, 30), BRUSSELS)) == ["2026-10-25T02:30+02:00"]


def test_single_dates_come_on_top_and_exceptions_are_left_out() -> None:
    rule = Rule(
        datetime(2027, 6, 1, 19),
        BRUSSELS,
        "FREQ=WEEKLY;COUNT=3",
        rdates=[datetime(2027, 6, 3, 12), datetime(2027, 6, 8, 19)],
        exdates=[datetime(2027, 6, 15, 19)],
    )

    assert [day[:16] for day in dates(rule)] == ["2027-06-01T19:00", "2027-06-03T12:00", "2027-06-08T19:00"]


def test_public_holidays_are_left_out_where_asked() -> None:
    rule = Rule(datetime(2027, 4, 26, 19), BRUSSELS, "FREQ=DAILY;COUNT=2")

    assert [day[:10] for day in dates(rule)] == ["2027-04-26", "2027-04-27"]
    kings_day = Rule(rule.start, BRUSSELS, rule.rrule, skip_holidays=["NL"])
    assert [day[:10] for day in dates(kings_day)] == ["2027-04-26"]


def test_an_until_in_utc_counts_on_the_clock_of_the_zone() -> None:
    rule = Rule(datetime(2027, 6, 1, 19), BRUSSELS, "FREQ=DAILY;UNTIL=20270603T170000Z")

    assert len(dates(rule)) == 3


@pytest.mark.parametrize(
    "rrule",
    [
        "FREQ=HOURLY",
        "FREQ=MINUTELY;INTERVAL=30",
        "FREQ=DAILY;BYHOUR=9,10,11",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;BYSETPOS=3;BYDAY=MO",
        "FREQ=WEEKLY;COUNT=0",
        "FREQ=WEEKLY;UNTIL=20200101",
        "FREQ=DAILY;BYDAY=1MO",
        "FREQ=WEEKLY;COUNT=2;UNTIL=20300101",
        "FREQ=SOMETIMES",
        "WEEKLY",
        "FREQ=WEEKLY\nDTSTART:20200101T000000",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=WEEKLY;INTERVAL=99999999999999999999",
        "FREQ=WEEKLY;X=" + "1" * 5000,
    ],
)
def test_a_rule_nobody_should_save_is_refused_in_words_and_at_once(rrule: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ValidationError) as refused:
        check(Rule(datetime(2027, 6, 1, 19), BRUSSELS, rrule))

    assert refused.value.messages
    assert time.perf_counter() - started < 2, "bounded, also on a busy machine"


def test_the_rules_of_other_engines_give_the_same_dates_here() -> None:
    if not RULES.exists():
        print("395 of 395 rules lacked: no shared/data here")
        return
    rows = [json.loads(line) for line in (RULES / "rules.jsonl").read_text().splitlines()]
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    for row in rows:
        if row["tier"] not in {"core", "policy-dst-gap"}:
            try:
                list(occurrences(_rule(row), 500))  # must end, whatever it gives
            except ValidationError:
                continue
            continue
        seen[row["tier"]] += 1
        expected = [wall_time(text, row["tzid"] or "UTC") for text in row["expected"]]
        got = _asked(row, [one.starts_at.replace(tzinfo=None) for one in occurrences(_rule(row), 2000)])
        if (got if row["complete"] else got[: len(expected)]) != expected:
            wrong.append(row["id"])
    print(f"{sum(seen.values())} of {len(rows)} rules compared, the others only run to their end")
    assert not wrong
    assert seen["core"] > 150


def _rule(row: dict[str, Any]) -> Rule:
    zone = row["tzid"] or "UTC"
    start = wall_time(row["dtstart"], zone)
    single = {
        name: [wall_time(text, zone, start.time()) for text in row[key]]
        for key, name in (("rdate", "rdates"), ("exdate", "exdates"))
    }
    return Rule(start, zone, row["rrule"][0] if row["rrule"] else "", **single)


def _asked(row: dict[str, Any], got: list[datetime]) -> list[datetime]:
    """What the case asks of the dates: those from a day on, before, after or between."""
    if row.get("range_from"):
        return [day for day in got if day >= wall_time(row["range_from"], row["tzid"] or "UTC")]
    query = row.get("query")
    if not query:
        return got
    edges = [wall_time(text, row["tzid"] or "UTC") for text in query["args"]]
    with_edge = bool(query["kwargs"].get("inc"))
    match query["op"]:
        case "after":
            return [day for day in got if day > edges[0] or (with_edge and day == edges[0])][:1]
        case "before":
            return [day for day in got if day < edges[0] or (with_edge and day == edges[0])][-1:]
    return [day for day in got if edges[0] < day < edges[1] or (with_edge and day in edges)]


def test_invalid_rules_are_refused() -> None:
    if not RULES.exists():
        print("13 of 13 invalid rules lacked: no shared/data here")
        return
    for line in (RULES / "invalid_rules.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["kind"] == "reject":
            with pytest.raises(ValidationError):
                check(Rule(wall_time(row["dtstart"] or "20270101T190000", BRUSSELS), BRUSSELS, row["rrule"]))


@pytest.mark.django_db
def test_the_preview_marks_clocks_holidays_and_my_other_events() -> None:
    host = make_host()
    make_event(host=host, title="Choir", starts_at=datetime.fromisoformat("2026-11-11T20:00:00+01:00"))
    found, more = preview(Rule(datetime(2026, 10, 21, 19), BRUSSELS, "FREQ=WEEKLY"), 4, host=host)

    notes = [" ".join(one.notes) for one in found]
    assert more
    assert notes[0] == "" and "winter time" in notes[1] and "Armistice" in notes[3] and "Choir" in notes[3]
    assert "Belgium" in notes[3]


# Meetups


def plan(**given: Any) -> Any:
    return {
        "title": "Board games",
        "language": "en",
        "starts_at": datetime(2027, 3, 9, 19),
        "ends_at": datetime(2027, 3, 9, 22),
        "timezone": BRUSSELS,
        "capacity": 6,
    } | given


def meetup(host: Any = None, rrule: str = "FREQ=WEEKLY;COUNT=6", **given: Any) -> Series:
    host = host or make_host(centre=make_centre())
    return hosting.publish_series(host, plan(**given), {"rrule": rrule})


def starts(found: Series) -> list[str]:
    rows = found.occurrences.filter(state="published").order_by("starts_at")
    return [row.local_start.isoformat(timespec="minutes")[:16] for row in rows if row.local_start]


pytest_db = pytest.mark.django_db


@pytest_db
@pytest.mark.usefixtures("clock")
def test_a_meetup_is_events_for_the_next_twelve_months_with_pools_and_interests() -> None:
    found = meetup(rrule="FREQ=MONTHLY;BYDAY=2TU", interests=[make_interest()])

    rows = list(found.occurrences.order_by("starts_at"))
    assert [row.local_start.date() for row in rows][:3] == [
        date(2027, 3, 9),
        date(2027, 4, 13),
        date(2027, 5, 11),
    ]  # type: ignore[union-attr]
    assert len(rows) == 12
    assert all(row.ends_at - row.starts_at == timedelta(hours=3) for row in rows)  # type: ignore[operator]
    assert Pool.objects.filter(event__series=found, capacity=6).count() == 12
    assert {interest.slug for interest in rows[-1].interests.all()} == {"walking"}


@pytest_db
def test_the_sweep_makes_what_is_missing_once(clock: Any) -> None:
    found = meetup(rrule="FREQ=MONTHLY;BYDAY=2TU")
    before = found.occurrences.count()

    assert series.extend_series() == 0
    clock.shift(timedelta(days=93))
    assert series.extend_series() == 3
    assert series.extend_series() == 0
    assert found.occurrences.count() == before + 3


@pytest_db
@pytest.mark.usefixtures("clock")
def test_making_dates_again_makes_nothing() -> None:
    found = meetup()

    assert make_occurrences(found, date(2028, 3, 1)) == []
    found.made_until = None
    assert make_occurrences(found, date(2028, 3, 1)) == []


@pytest_db
@pytest.mark.usefixtures("clock")
def test_one_date_is_called_off_and_the_others_stay() -> None:
    found = meetup()
    second = found.occurrences.order_by("starts_at")[1]

    hosting.call_off(found.host, second.pk, "Holiday")

    assert len(starts(found)) == 5
    assert make_occurrences(found, date(2028, 3, 1)) == [], "it does not come back"


@pytest_db
@pytest.mark.usefixtures("clock")
def test_moving_one_date_moves_no_other() -> None:
    found = meetup()
    second = found.occurrences.order_by("starts_at")[1]

    affected = rescheduling.change_series(
        found.host, found.pk, Which("this", second.pk), {"starts_at": datetime(2027, 3, 17, 20)}
    )

    assert [one.change for one in affected] == ["moved"]
    assert starts(found)[:3] == ["2027-03-09T19:00", "2027-03-17T20:00", "2027-03-23T19:00"]
    second.refresh_from_db()
    assert (second.is_changed, second.ends_at - second.starts_at) == (True, timedelta(hours=3))  # type: ignore[operator]


@pytest_db
def test_all_changes_what_is_to_come_and_leaves_the_past_and_what_was_changed_by_itself(clock: Any) -> None:
    found = meetup()
    rows = list(found.occurrences.order_by("starts_at"))
    hosting.change(found.host, rows[3].pk, {"title": "Special evening"})
    member = make_member()
    clock.move_to("2027-03-10T08:00:00+00:00")
    register(member, rows[2].pk, [Person()])

    affected = rescheduling.change_series(
        found.host, found.pk, Which("all"), {"title": "Games night", "starts_at": datetime(2027, 3, 16, 20)}
    )

    assert [one.change for one in affected] == ["moved", "moved", "kept", "moved", "moved"]
    assert [one.registrations for one in affected] == [0, 1, 0, 0, 0]
    titles = [row.title for row in found.occurrences.order_by("starts_at")]
    assert titles == [
        "Board games",
        "Games night",
        "Games night",
        "Special evening",
        "Games night",
        "Games night",
    ]
    assert starts(found)[:4] == [
        "2027-03-09T19:00",
        "2027-03-16T20:00",
        "2027-03-23T20:00",
        "2027-03-30T19:00",
    ]
    mail = Mail.objects.get(kind="event_changed")
    assert mail.to == member.email and "20:00" in mail.text


@pytest_db
@pytest.mark.usefixtures("clock")
def test_following_makes_a_series_of_its_own_and_keeps_registrations() -> None:
    found = meetup()
    third = found.occurrences.order_by("starts_at")[2]
    row = register(make_member(), third.pk, [Person()])

    affected = rescheduling.change_series(
        found.host, found.pk, Which("following", third.pk), {"starts_at": datetime(2027, 3, 24, 18)}
    )

    assert len(affected) == 4
    found.refresh_from_db()
    rest = Series.objects.exclude(pk=found.pk).get()
    assert starts(found) == ["2027-03-09T19:00", "2027-03-16T19:00"]
    assert starts(rest) == ["2027-03-24T18:00", "2027-03-31T18:00", "2027-04-07T18:00", "2027-04-14T18:00"]
    row.refresh_from_db()
    assert (row.event.series, row.state) == (rest, "confirmed")
    assert series.extend_series() == 0 and len(starts(rest)) == 4, "the count goes on, it does not begin anew"


@pytest_db
@pytest.mark.usefixtures("clock")
def test_a_dry_run_says_the_same_and_changes_nothing() -> None:
    found = meetup()
    third = found.occurrences.order_by("starts_at")[2]
    register(make_member(), third.pk, [Person()])
    what: Any = {"title": "Games night", "starts_at": datetime(2027, 3, 23, 18)}

    tried = rescheduling.change_series(found.host, found.pk, Which("following", third.pk), what, dry_run=True)

    assert (Series.objects.count(), Mail.objects.filter(kind="event_changed").count()) == (1, 0)
    done = rescheduling.change_series(found.host, found.pk, Which("following", third.pk), what)
    assert [(one.event.pk, one.registrations, one.change) for one in tried] == [
        (one.event.pk, one.registrations, one.change) for one in done
    ]


@pytest_db
@pytest.mark.usefixtures("clock")
def test_a_new_rule_keeps_common_dates_calls_off_the_others_and_adds_new_ones() -> None:
    found = meetup(rrule="FREQ=WEEKLY;COUNT=4")

    affected = rescheduling.change_series(
        found.host, found.pk, Which("all"), {}, recurrence={"rrule": "FREQ=WEEKLY;INTERVAL=2;COUNT=3"}
    )

    assert starts(found) == ["2027-03-09T19:00", "2027-03-23T19:00", "2027-04-06T19:00"]
    assert Counter(one.change for one in affected) == {"called_off": 2, "added": 1}


@pytest_db
@pytest.mark.usefixtures("clock")
def test_another_weekday_for_a_monthly_rule_asks_for_the_rule() -> None:
    found = meetup(rrule="FREQ=MONTHLY;BYDAY=2TU")

    with pytest.raises(ValidationError) as refused:
        rescheduling.change_series(
            found.host, found.pk, Which("all"), {"starts_at": datetime(2027, 3, 10, 19)}
        )

    assert "starts_at" in refused.value.message_dict
    assert starts(found)[0] == "2027-03-09T19:00"


@pytest_db
@pytest.mark.usefixtures("clock")
def test_only_who_runs_it_changes_a_series_and_hidden_ones_are_not_there() -> None:
    found = meetup()
    hidden = meetup(visibility="centre")

    with pytest.raises(PermissionDenied):
        rescheduling.change_series(make_member(), found.pk, Which("all"), {"title": "Mine"})
    with pytest.raises(Series.DoesNotExist):
        rescheduling.change_series(make_member(), hidden.pk, Which("all"), {"title": "Mine"})
    with pytest.raises(ValidationError):
        rescheduling.change_series(found.host, found.pk, Which("all"), {"title": "Mine"}, version=99)
    assert not Event.objects.filter(title="Mine").exists()
    assert not Registration.objects.exists()


@pytest.mark.parametrize(
    "given",
    [
        {"starts_at": "0001-01-01T00:00:00", "rrule": "FREQ=YEARLY", "limit": 1000},
        {"starts_at": "9999-12-31T23:00:00", "rrule": "FREQ=DAILY"},
        {
            "starts_at": "2027-06-01T19:00:00",
            "rrule": "",
            "rdates": ["0001-01-01T00:00:00", "9999-12-31T23:59:59"],
        },
    ],
)
@pytest.mark.django_db
def test_dates_nobody_lives_to_see_are_refused_by_field(given: dict[str, Any]) -> None:
    client = Client(HTTP_AUTHORIZATION=f"Bearer {issue_token(make_host(), 'test')}")
    answer = client.post(
        "/api/v1/series/preview/", {"timezone": "Europe/Brussels"} | given, "application/json"
    )
    assert (answer.status_code, len(answer.json()["errors"])) == (400, 1)


@pytest_db
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    "to", [datetime(2027, 3, 7, 19), datetime(2027, 3, 9, 18), datetime(2027, 3, 11, 20)]
)
def test_the_first_half_of_a_split_meetup_moves_and_gets_no_date_more(to: datetime) -> None:
    """Its rule ends just before the second half: moved to an earlier day or hour, one more would fit before that."""
    found = meetup(rrule="FREQ=WEEKLY;COUNT=12")
    fourth = found.occurrences.order_by("starts_at")[3]
    rescheduling.change_series(found.host, found.pk, Which("following", fourth.pk), {"title": "Spring games"})
    assert len(starts(found)) == 3

    first = found.occurrences.order_by("starts_at")[0]
    affected = rescheduling.change_series(found.host, found.pk, Which("all", first.pk), {"starts_at": to})

    assert Counter(one.change for one in affected) == {"moved": 3}
    assert len(starts(found)) == 3


@pytest_db
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("to", [datetime(2027, 3, 9, 18), datetime(2027, 3, 9, 20), datetime(2027, 3, 8, 21)])
@pytest.mark.parametrize("until", ["20270330", "2027-03-30", "20270330T190000", "20270330T170000Z"])
def test_however_its_end_is_written_a_meetup_that_moves_keeps_all_its_dates(until: str, to: datetime) -> None:
    found = meetup(rrule=f"FREQ=WEEKLY;UNTIL={until}")
    assert len(starts(found)) == 4

    affected = rescheduling.change_series(found.host, found.pk, Which("all"), {"starts_at": to})

    assert Counter(one.change for one in affected) == {"moved": 4}
    assert make_occurrences(Series.objects.get(pk=found.pk), date(2028, 3, 1)) == []
    assert len(starts(found)) == 4


def test_an_end_further_away_than_there_are_years_stays() -> None:
    rrule = "FREQ=DAILY;UNTIL=99991231"
    assert series.until_moved(rrule, timedelta(days=2), timedelta(days=2)) == rrule
