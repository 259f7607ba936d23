"""A meetup on its host's pages: any rhythm, the rule itself, and a look at every date before a change is saved."""

import re
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import override

from community.sign_ins import issue_token
from events import hosting, rescheduling, rhythm, series
from events.holidays import holiday_on
from events.models import Event, Registration, Series
from events.preview import preview
from events.registration import Person, register
from events.rescheduling import Which
from events.rhythm import Choice
from events.series import Rule
from realtime.models import Mail
from tests.factories import make_centre, make_event, make_host, make_member

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
BRUSSELS = "Europe/Brussels"
TYPED = {
    "title": "Board games",
    "language": "en",
    "day": "2027-03-09",  # the second Tuesday
    "starts": "19:00",
    "ends": "22:00",
    "visibility": "public",
    "repeat": "weekly",
    "count": "6",
    "capacity": "12",
}


@pytest.fixture
def host(client: Client, clock: Any) -> Any:
    host = make_host(centre=make_centre())
    client.force_login(host)
    return host


def meetup(host: Any, rrule: str = "FREQ=WEEKLY;COUNT=6", **given: Any) -> Series:
    plan = {
        "title": "Board games",
        "language": "en",
        "starts_at": datetime(2027, 3, 9, 19),
        "ends_at": datetime(2027, 3, 9, 22),
        "timezone": BRUSSELS,
        "capacity": 12,
    }
    recurrence = {name: given.pop(name) for name in ("rdates", "exdates", "skip_holidays") if name in given}
    return hosting.publish_series(host, plan | given, {"rrule": rrule} | recurrence)  # type: ignore[typeddict-item]


def rows(found: Series) -> list[Event]:
    return list(found.occurrences.order_by("starts_at"))


def starts(found: Series) -> list[str]:
    return [f"{row.local_start:%m-%d %H:%M}" for row in rows(found) if row.state == "published"]


def editor(client: Client, event: Event, **changed: Any) -> dict[str, Any]:
    """What a browser would send of the editor of an event, with some fields typed over."""
    form = client.get(f"/events/{event.public_id}/edit/").context
    sent: dict[str, Any] = {}
    for bound in form["form"]:
        value = bound.value()
        if value not in (None, "", [], False):
            sent[bound.html_name] = value
    sent["rule_shown"] = form["dates"]["rule"]["rule_shown"].value()
    sent["rule"] = form["dates"]["rule"]["rule"].value()
    return {name: value for name, value in (sent | changed).items() if value is not None}


def saved(client: Client, event: Event, sent: dict[str, Any], **more: str) -> Any:
    return client.post(f"/events/{event.public_id}/edit/", sent | {"sure": "1"} | more)


def listed(answer: Any) -> list[tuple[str, str, int]]:
    return [
        (f"{one.event.local_start:%m-%d %H:%M}", one.change, one.registrations)
        for one in answer.context["affected"]
    ]


@pytest.mark.parametrize(
    ("day", "chosen", "expected"),
    [
        ("2027-03-09", {"repeat": "weekly"}, ["03-09", "03-16", "03-23"]),
        ("2027-03-09", {"repeat": "weekly", "weekdays": ["TU", "TH"]}, ["03-09", "03-11", "03-16"]),
        ("2027-03-09", {"repeat": "weekly", "every": "3"}, ["03-09", "03-30", "04-20"]),
        ("2027-03-02", {"repeat": "weekday"}, ["03-02", "04-06", "05-04"]),
        ("2027-03-09", {"repeat": "weekday"}, ["03-09", "04-13", "05-11"]),
        ("2027-03-16", {"repeat": "weekday"}, ["03-16", "04-20", "05-18"]),
        ("2027-03-23", {"repeat": "weekday"}, ["03-23", "04-27", "05-25"]),
        ("2027-03-30", {"repeat": "weekday"}, ["03-30", "06-29", "08-31"]),
        ("2027-03-30", {"repeat": "lastday"}, ["03-30", "04-27", "05-25"]),
        ("2027-03-31", {"repeat": "monthday"}, ["03-31", "05-31", "07-31"]),
        ("2027-03-09", {"repeat": "monthday", "every": "2"}, ["03-09", "05-09", "07-09"]),
        ("2027-03-09", {"repeat": "yearly"}, ["03-09", "03-09", "03-09"]),
        ("2027-03-09", {"repeat": "weekly", "until": "2027-03-16"}, ["03-09", "03-16"]),
        ("2027-03-09", {"repeat": "weekly", "count": "1"}, ["03-09"]),
        ("2027-03-09", {"repeat": "once", "extra": "2027-03-12"}, ["03-09", "03-12"]),
        ("2027-03-09", {"rule": "RRULE:freq=monthly; byday=1MO,3MO"}, ["03-15", "04-05", "04-19"]),
    ],
)
@pytest.mark.usefixtures("host")
def test_every_rhythm_gives_the_dates_it_says(
    client: Client, day: str, chosen: dict[str, Any], expected: list[str]
) -> None:
    typed = {name: value for name, value in TYPED.items() if name != "count"} | {"day": day} | chosen
    shown = client.get("/events/preview/", typed)
    assert [f"{one.starts_at:%m-%d}" for one in shown.context["dates"]["found"]][:3] == expected
    if chosen.get("repeat") == "yearly":
        assert [one.starts_at.year for one in shown.context["dates"]["found"]][:3] == [2027, 2028, 2029]


@pytest.mark.usefixtures("host")
def test_the_rule_shows_what_is_chosen_and_what_is_typed_counts_instead(client: Client) -> None:
    shown = client.get("/events/preview/", TYPED)
    assert 'value="FREQ=WEEKLY;BYDAY=TU;COUNT=6"' in shown.text and "The rule itself" in shown.text
    as_shown = {"rule": "FREQ=WEEKLY;BYDAY=TU;COUNT=6", "rule_shown": "FREQ=WEEKLY;BYDAY=TU;COUNT=6"}

    later = client.get("/events/preview/", TYPED | as_shown | {"day": "2027-03-10", "count": ""})
    assert 'value="FREQ=WEEKLY;BYDAY=WE"' in later.text, "nobody typed it: the choice goes on counting"
    typed = as_shown | {"rule": "rrule:freq=weekly;byday=mo;count=2"}
    client.post("/events/new/", TYPED | typed)
    assert Series.objects.get().rrule == "FREQ=WEEKLY;BYDAY=MO;COUNT=2"
    assert starts(Series.objects.get()) == ["03-15 19:00", "03-22 19:00"]


@pytest.mark.usefixtures("host")
def test_a_rule_that_cannot_be_is_refused_beside_its_field_with_everything_kept(client: Client) -> None:
    for rule in ("FREQ=HOURLY", "every tuesday", "FREQ=WEEKLY;COUNT=2;UNTIL=20280101"):
        part = client.get("/events/preview/", TYPED | {"rule": rule})
        page = client.post("/events/new/", TYPED | {"rule": rule, "rule_shown": "FREQ=WEEKLY"})
        assert part.context["dates"]["rule"].errors["rule"]
        assert page.status_code == 422 and page.context["form"].errors["rule"]
        assert 'value="Board games"' in page.text and page.context["dates"]["rule"].errors["rule"]
    assert not Series.objects.exists()


def test_the_preview_marks_clocks_holidays_and_other_events_but_not_the_meetups_own(
    client: Client, host: Any
) -> None:
    night = Rule(datetime(2027, 10, 30, 2, 30), BRUSSELS, "FREQ=DAILY;COUNT=3")
    assert [one.notes[0] for one in preview(night)[0][1:]] == [
        "This hour comes twice that night: the first one is meant.",
        "From here on winter time.",
    ]
    spring = Rule(datetime(2027, 3, 27, 2, 30), BRUSSELS, "FREQ=DAILY;COUNT=2")
    assert "begins at 03:30" in preview(spring)[0][1].notes[0]
    found = meetup(host, "FREQ=WEEKLY")
    make_event(host=host, title="Choir", starts_at=datetime.fromisoformat("2027-03-16T20:00:00+01:00"))
    first = rows(found)[0]

    page = client.get(f"/events/{first.public_id}/edit/")
    part = client.get("/events/preview/", editor(client, first) | {"of": first.public_id})

    for shown in (page, part):
        notes = [" ".join(one.notes) for one in shown.context["dates"]["found"]]
        assert notes[0] == "" and "Choir" in notes[1] and "summer time" in notes[3]
        assert "Board games" not in " ".join(notes)
    assert "Easter Monday" in " ".join(
        note for one in preview(Rule(datetime(2027, 3, 29, 19), BRUSSELS))[0] for note in one.notes
    )


def test_the_preview_says_which_holidays_it_leaves_out_and_that_some_months_have_no_such_day(
    client: Client, host: Any
) -> None:
    typed = TYPED | {"day": "2027-03-15", "skip_holidays": ["BE"], "count": "4"}
    part = client.get("/events/preview/", typed)
    assert [one.name[:10] for one in part.context["dates"]["found"]] == [
        "2027-03-15",
        "2027-03-22",
        "2027-04-05",
    ]
    assert "Left out, being public holidays: Monday, 29 March 2027 (Easter Monday)" in " ".join(
        part.text.split()
    )
    for day, repeat, said in (
        ("2027-03-31", "monthday", "When there is no day 31, there is no date."),
        ("2028-02-29", "yearly", "When there is no day 29, there is no date."),
        ("2027-03-28", "monthday", ""),
        ("2027-03-31", "weekly", ""),
    ):
        page = client.get("/events/preview/", TYPED | {"day": day, "repeat": repeat}).text
        assert said in page and ("there is no date" in page) == bool(said)
    much = client.get(
        "/events/preview/", TYPED | {"day": "2027-03-15", "skip_holidays": ["BE"], "count": "400"}
    )
    assert "Pentecost Monday" in much.text and "Christmas" not in much.text, (
        "what is beyond the dates in sight is not named"
    )


def test_what_is_said_to_become_different_is_what_was_typed(client: Client, host: Any) -> None:
    first = rows(meetup(host))[0]
    for typed, facts in (
        ({"starts": "18:00", "ends": "21:00"}, ["Begins"]),
        ({"ends": "23:00"}, ["Ends"]),
        ({"starts": "18:00"}, ["Begins", "Ends"]),
    ):
        shown = client.post(f"/events/{first.public_id}/edit/", editor(client, first, scope="all", **typed))
        assert shown.context["facts"] == facts


@pytest.mark.parametrize("repeat", rhythm.RHYTHMS)
@pytest.mark.parametrize("day", [date(2027, 3, 9), date(2027, 3, 30), date(2028, 2, 29)])
@pytest.mark.parametrize("end", [{}, {"count": 7}, {"until": date(2028, 1, 4)}])
def test_a_rule_that_can_be_chosen_is_shown_as_that_choice(
    repeat: str, day: date, end: dict[str, Any]
) -> None:
    start = datetime.combine(day, datetime.min.time().replace(hour=19))
    for every in (1, 2):
        rule = Choice(repeat, every=every, **end).rrule(day)
        again = rhythm.choice_of(rule, start, BRUSSELS, day)
        assert again and again.rrule(day) == rule


@pytest.mark.parametrize(
    ("rule", "same"),
    [
        ("FREQ=WEEKLY", "FREQ=WEEKLY;INTERVAL=1;BYDAY=TU;WKST=MO"),
        ("FREQ=MONTHLY", "FREQ=MONTHLY;BYMONTHDAY=9"),
        ("FREQ=YEARLY;UNTIL=20300309T180000Z", "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=9;UNTIL=20300309T235959"),
        ("FREQ=WEEKLY;UNTIL=20270316T185959", "FREQ=WEEKLY;BYDAY=TU;UNTIL=20270315T235959"),
        ("FREQ=WEEKLY;BYDAY=TH,TU", "FREQ=WEEKLY;BYDAY=TU,TH"),
    ],
)
def test_two_spellings_of_one_rule_are_one_rule_and_give_the_same_dates(rule: str, same: str) -> None:
    start = datetime(2027, 3, 9, 19)

    def dates(text: str) -> list[datetime]:
        return [one.starts_at for one in series.occurrences(Rule(start, BRUSSELS, text), 20)]

    assert rhythm.meaning(rule, start, BRUSSELS) == rhythm.meaning(same, start, BRUSSELS)
    assert dates(rule) == dates(same)
    assert rhythm.choice_of(rule, start, BRUSSELS, start.date()) is not None
    other = {"FREQ=WEEKLY;BYDAY=TU,TH", "FREQ=WEEKLY;BYDAY=-1TU", "FREQ=WEEKLY;COUNT=3"}
    assert all(
        rhythm.meaning(one, start, BRUSSELS) != rhythm.meaning("FREQ=WEEKLY", start, BRUSSELS)
        for one in other
    )


def test_a_rule_nobody_can_choose_stands_in_the_field_and_stays(client: Client, host: Any) -> None:
    found = meetup(host, "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2,4")
    second = rows(found)[1]

    sent = editor(client, second)
    assert sent["rule"] == "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2,4"
    saved(client, second, sent | {"title": "Games", "scope": "all"})
    found.refresh_from_db()
    assert (found.rrule, found.title) == ("FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2,4", "Games")


@pytest.mark.parametrize("scope", rescheduling.SCOPES)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"rrule": "FREQ=MONTHLY;BYDAY=2TU"},
        {"rrule": "FREQ=WEEKLY;BYDAY=TU,TH;UNTIL=20270501T000000"},
        {"rrule": "", "rdates": [datetime(2027, 3, 20, 11), datetime(2027, 3, 27, 19)]},
        {"skip_holidays": ["BE"], "exdates": [datetime(2027, 3, 30, 19)]},
    ],
)
def test_saving_the_form_as_it_is_changes_nothing_and_says_so(
    client: Client, host: Any, scope: str, how: dict[str, Any]
) -> None:
    found = meetup(host, **how)
    second = rows(found)[1]
    register(make_member(), second.pk, [Person()])
    before = list(Event.objects.order_by("pk").values()), Series.objects.values().get()

    answer = client.post(
        f"/events/{second.public_id}/edit/", editor(client, second, scope=scope), follow=True
    )

    assert "Nothing is different now" in answer.text
    assert (list(Event.objects.order_by("pk").values()), Series.objects.values().get()) == before
    assert not Mail.objects.exclude(kind="event_registered").exists()


def test_a_change_is_shown_before_it_is_saved_and_going_back_keeps_what_was_typed(
    client: Client, host: Any
) -> None:
    found = meetup(host)
    third = rows(found)[2]
    row = register(make_member(language="de"), third.pk, [Person(), Person(name="Oma")])
    sent = editor(client, third, scope="following", starts="18:00", ends="21:00", description="New <b>")

    shown = client.post(f"/events/{third.public_id}/edit/", sent)

    assert shown.status_code == 200 and "Before it is saved" in shown.text
    assert listed(shown) == [
        ("03-23 18:00", "moved", 1),
        ("03-30 18:00", "moved", 0),
        ("04-06 18:00", "moved", 0),
        ("04-13 18:00", "moved", 0),
    ]
    assert "Begins" in shown.context["facts"] and "Title" not in shown.context["facts"]
    assert starts(found)[2] == "03-23 19:00" and Series.objects.count() == 1
    assert not Mail.objects.filter(kind="event_changed").exists()
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', shown.text)
    assert ("description", "New &lt;b&gt;") in fields and ("starts", "18:00") in fields
    back = client.post(f"/events/{third.public_id}/edit/", sent | {"back": "1"})
    assert 'value="18:00"' in back.text and "New &lt;b&gt;" in back.text and not back.context["form"].errors
    assert Series.objects.count() == 1

    answer = client.post(f"/events/{third.public_id}/edit/", sent | {"sure": "1"}, follow=True)

    assert "4 dates are changed." in answer.text
    rest = Series.objects.exclude(pk=found.pk).get()
    assert (starts(found), starts(rest)[0]) == (["03-09 19:00", "03-16 19:00"], "03-23 18:00")
    mail = Mail.objects.get(kind="event_changed")
    assert mail.language == "de" and mail.to == row.member.email
    assert mail.text.count("→") == 2 and "18:00" in mail.text, "one mail: when it begins, and when it ends"


def test_a_new_rule_on_the_page_asks_why_where_somebody_registered_and_tells_them_once(
    client: Client, host: Any
) -> None:
    found = meetup(host)
    first, second, third = rows(found)[:3]
    ana, ben = make_member(), make_member()
    for member, event in ((ana, second), (ben, third)):
        register(member, event.pk, [Person()])
    sent = editor(client, first, scope="all", every="2", starts="20:00", ends="23:00")

    shown = client.post(f"/events/{first.public_id}/edit/", sent)
    silent = saved(client, first, sent)

    assert [one for one in listed(shown) if one[1] == "called_off"] == [
        ("03-16 19:00", "called_off", 1),
        ("03-30 19:00", "called_off", 0),
        ("04-13 19:00", "called_off", 0),
    ]
    assert "Its places are given back." in shown.text and shown.context["form"]["reason"].field.required
    assert silent.status_code == 422 and "Say why" in silent.text
    assert starts(found)[1] == "03-16 19:00" and not Mail.objects.filter(kind="event_called_off").exists()
    done = client.post(
        f"/events/{first.public_id}/edit/",
        sent | {"sure": "1", "reason": "The hall is ours every other week only."},
        follow=True,
    )
    assert "3 dates are changed. 3 dates fall away. 3 dates are new." in done.text
    strip = done.text.partition("It comes again")[2].partition("</ul>")[0]
    assert strip.count("<li") == 6 and "is-off" not in strip, "what fell away is not offered any more"
    assert starts(found)[:3] == ["03-09 20:00", "03-23 20:00", "04-06 20:00"]
    told = {mail.to: mail for mail in Mail.objects.exclude(kind="event_registered")}
    assert {to: mail.kind for to, mail in told.items()} == {
        ana.email: "event_called_off",
        ben.email: "event_changed",
    }
    assert "The hall is ours every other week only." in told[ana.email].text
    assert Mail.objects.count() == 4, "each of them is told once"


def test_a_rule_alone_touches_only_the_dates_that_go_or_come(client: Client, host: Any) -> None:
    found = meetup(host, "FREQ=WEEKLY")
    third = rows(found)[2]
    stays, goes = rows(found)[4], rows(found)[5]
    row = register(make_member(), stays.pk, [Person()])

    shown = client.post(
        f"/events/{third.public_id}/edit/", editor(client, third, scope="following", every="2", count="3")
    )

    kinds = {change for _day, change, _n in listed(shown)}
    assert kinds == {"called_off"} and (f"{goes.local_start:%m-%d %H:%M}", "called_off", 0) in listed(shown)
    saved(client, third, editor(client, third, scope="following", every="2", count="3"))
    rest = Series.objects.exclude(pk=found.pk).get()
    assert starts(rest) == ["03-23 19:00", "04-06 19:00", "04-20 19:00"]
    row.refresh_from_db()
    stays.refresh_from_db()
    assert (row.state, row.event.series_id, stays.version) == ("confirmed", rest.pk, 1)


def test_of_a_long_list_what_somebody_is_registered_for_is_in_sight(client: Client, host: Any) -> None:
    found = meetup(host, "FREQ=WEEKLY")
    first, far = rows(found)[0], rows(found)[30]
    register(make_member(), far.pk, [Person()])

    shown = client.post(
        f"/events/{first.public_id}/edit/", editor(client, first, scope="all", starts="18:00")
    )

    everything = len(rows(found))
    assert len(shown.context["affected"]) == everything == shown.text.count('<span class="tag')
    seen, folded = shown.text.split("<details", 1)
    assert (
        seen.count('<span class="tag') == 11 and "1 registration<" in seen and "1 registration<" not in folded
    )
    assert f"{everything - 11} more dates" in folded


def test_second_tuesdays_become_second_wednesdays_with_everybody_who_comes(client: Client, host: Any) -> None:
    found = meetup(host, "FREQ=MONTHLY;BYDAY=2TU")
    second, third, sixth = rows(found)[1], rows(found)[2], rows(found)[5]
    row = register(make_member(), sixth.pk, [Person()])  # 10 August; its second Wednesday is the 11th

    saved(client, second, editor(client, second, scope="following", day="2027-04-14"))

    rest = Series.objects.exclude(pk=found.pk).get()
    assert rest.rrule == "FREQ=MONTHLY;BYDAY=2WE"
    assert starts(rest)[:6] == [
        "04-14 19:00",
        "05-12 19:00",
        "06-09 19:00",
        "07-14 19:00",
        "08-11 19:00",
        "09-08 19:00",
    ]
    row.refresh_from_db()
    third.refresh_from_db()
    assert (row.state, f"{row.event.local_start:%m-%d}", third.series_id) == ("confirmed", "08-11", rest.pk)
    assert not rest.occurrences.filter(state="cancelled").exists()


def test_dates_called_off_or_changed_by_themselves_are_not_made_again_on_the_new_day(
    client: Client, host: Any
) -> None:
    found = meetup(host)
    first, second, third = rows(found)[:3]
    hosting.call_off(host, second.pk, "Carnival")
    hosting.change(host, third.pk, {"starts_at": datetime(2027, 3, 24, 15)})

    shown = client.post(
        f"/events/{first.public_id}/edit/", editor(client, first, scope="all", day="2027-03-10")
    )
    saved(client, first, editor(client, first, scope="all", day="2027-03-10"))

    assert ("03-24 15:00", "kept", 0) in listed(shown)
    assert starts(found) == ["03-10 19:00", "03-24 15:00", "03-31 19:00", "04-07 19:00", "04-14 19:00"]
    found.refresh_from_db()
    assert found.rrule == "FREQ=WEEKLY;BYDAY=WE;COUNT=6"


def test_days_may_move_onto_each_others_names(client: Client, host: Any) -> None:
    found = meetup(host, "FREQ=DAILY;COUNT=4")
    third = rows(found)[2]
    hosting.call_off(host, third.pk)

    for by, expected in ((1, ["03-10", "03-11", "03-13"]), (-1, ["03-09", "03-10", "03-12"])):
        first = rows(found)[0]
        day = (first.local_start + timedelta(days=by)).date().isoformat()  # type: ignore[operator]
        assert saved(client, first, editor(client, first, scope="all", day=day)).status_code == 302
        assert [one[:5] for one in starts(found)] == expected


def test_no_date_moves_into_the_past(client: Client, host: Any, clock: Any) -> None:
    found = meetup(host)
    clock.move_to("2027-03-15T12:00:00+01:00")
    third = rows(found)[2]

    earlier = editor(client, third, scope="all", day="2027-03-21")
    refused = saved(client, third, earlier)

    assert refused.status_code == 422 and "This day has passed" in refused.text
    assert starts(found)[:2] == ["03-09 19:00", "03-16 19:00"]


def test_one_date_goes_to_another_day_and_the_meetup_stays_where_it_is(client: Client, host: Any) -> None:
    for rrule in ("FREQ=WEEKLY;COUNT=6", "FREQ=MONTHLY;BYDAY=2TU", "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2,4"):
        found = meetup(host, rrule)
        second, third = rows(found)[1:3]
        day = (second.local_start + timedelta(days=1)).date()  # type: ignore[operator]

        for starts_at in ("20:15", "20:30"):  # once more: it has been moved already
            sent = editor(client, second, day=day.isoformat(), starts=starts_at, ends="23:00")
            assert saved(client, second, sent).status_code == 302

        assert starts(found)[1:3] == [f"{day:%m-%d} 20:30", f"{third.local_start:%m-%d} 19:00"]
        found.refresh_from_db()
        assert found.rrule == rrule


def test_one_date_takes_no_rule_and_a_stale_page_is_refused(client: Client, host: Any) -> None:
    found = meetup(host)
    second = rows(found)[1]
    sent = editor(client, second, every="2")

    wrong = client.post(f"/events/{second.public_id}/edit/", sent)
    assert wrong.status_code == 422 and wrong.context["form"].errors["scope"]
    for touch in (
        lambda: hosting.change(host, second.pk, {"title": "Theirs"}),
        lambda: rescheduling.change_series(host, found.pk, Which("all"), {"venue": "Hall"}),
    ):
        seen = editor(client, second, title="Mine", scope="all")
        touch()
        stale = saved(client, second, seen)
        assert stale.status_code == 422 and "changed meanwhile" in stale.text
    assert not Event.objects.filter(title="Mine").exists()


def test_the_number_of_times_is_counted_from_the_next_date_when_all_change(client: Client, host: Any) -> None:
    found = meetup(host)
    third = rows(found)[2]
    sent = editor(client, third, scope="all", weekdays=["TU", "TH"])
    assert str(sent["count"]) == "4", "from this date on"

    saved(client, third, sent)

    assert starts(found)[0] == "03-09 19:00" and len(starts(found)) == 6


def test_holidays_and_single_dates_are_added_and_taken_back_on_the_page(client: Client, host: Any) -> None:
    found = meetup(host, "FREQ=WEEKLY;COUNT=4", starts_at=datetime(2027, 3, 15, 19), ends_at=None)
    second = rows(found)[1]

    saved(client, second, editor(client, second, scope="all", skip_holidays=["BE"], extra="2027-04-02"))
    assert starts(found) == ["03-15 19:00", "03-22 19:00", "04-02 19:00", "04-05 19:00"]
    sent = editor(client, second, scope="all")
    assert (sent["extra"], sent["skip_holidays"]) == ("2027-04-02", ["BE"])
    sent |= {"exceptions": "2027-04-05", "extra": ""}
    saved(client, second, sent)
    assert starts(found) == ["03-15 19:00", "03-22 19:00"]


def test_the_api_asks_why_too_and_tries_the_same_list(host: Any) -> None:
    found = meetup(host)
    second = rows(found)[1]
    register(make_member(), second.pk, [Person()])
    program = Client(HTTP_AUTHORIZATION=f"Bearer {issue_token(host, 'test')}")
    path = f"/api/v1/series/{found.public_id}/"
    change = {"scope": "all", "changes": {"rrule": "FREQ=WEEKLY;INTERVAL=2;COUNT=3"}}

    def sent(**more: Any) -> Any:
        return program.patch(path, change | more, "application/json", headers={"If-Match": '"1"'})

    tried, refused = sent(dry_run=True), sent()
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["reason"])
    assert tried.json()["affected"][0] | {"event": second.public_id} == {
        "event": second.public_id,
        "starts_at": "2027-03-16T19:00:00+01:00",
        "was": "2027-03-16T19:00:00+01:00",
        "registrations": 1,
        "change": "called_off",
    }
    done = sent(reason="Every other week is enough.")
    assert [(one["starts_at"], one["change"]) for one in done.json()["affected"]] == [
        (one["starts_at"], one["change"]) for one in tried.json()["affected"]
    ]
    assert "Every other week is enough." in Mail.objects.get(kind="event_called_off").text
    assert Registration.objects.get().state == "cancelled"


@pytest.mark.parametrize("dates", [1, 30])
def test_the_page_with_the_rule_costs_the_same_for_a_short_and_a_long_meetup(
    client: Client, host: Any, dates: int, django_assert_num_queries: Any
) -> None:
    event = rows(meetup(host, f"FREQ=WEEKLY;COUNT={dates}"))[0]
    path = f"/events/{event.public_id}/edit/"
    client.get(path)

    with django_assert_num_queries(9):
        assert client.get(path).status_code == 200


def test_when_nothing_would_change_the_page_says_why_and_keeps_what_was_typed(
    client: Client, host: Any
) -> None:
    found = meetup(host, "FREQ=WEEKLY;COUNT=2")
    for row in rows(found):
        hosting.change(host, row.pk, {"venue": "Hall"})
    first = rows(found)[0]
    answer = client.post(
        f"/events/{first.public_id}/edit/", editor(client, first, title="Chess", scope="all")
    )
    assert answer.status_code == 422 and "was changed by itself before" in answer.text
    assert 'value="Chess"' in answer.text and not Event.objects.filter(title="Chess").exists()


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", ["Easter Sunday", "King's Day", "German Unity Day"]),
        ("de", ["Ostern", "Koningsdag", "Tag der Deutschen Einheit"]),
        ("fr", ["Pâques", "Koningsdag", "Tag der Deutschen Einheit"]),
    ],
)
def test_a_holiday_is_called_as_a_neighbour_calls_it_or_as_it_is_called_there(
    language: str, names: list[str]
) -> None:
    days = [(date(2027, 3, 28), "NL"), (date(2027, 4, 27), "NL"), (date(2027, 10, 3), "DE-NW")]
    with override(language):
        assert [holiday_on(day, country) for day, country in days] == names
