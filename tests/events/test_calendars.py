"""Events in other people's calendar programs: read back as icalendar reads them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import icalendar
import pytest
from django.test import Client

from community.models import Centre, Place
from events import calendars, hosting
from events.calendars import feed_of, feed_token, invitation
from events.models import Event
from events.registration import Person, cancel, register
from realtime import clock
from realtime.models import Mail
from tests.factories import make_centre, make_circle, make_event, make_member

pytestmark = pytest.mark.django_db


def of_event(event: Event) -> bytes:
    """The calendar file that the event's own address gives."""
    return feed_of(event).content()[0]


def read(content: bytes | str) -> Any:
    return icalendar.Calendar.from_ical(content)


def events_in(content: bytes | str) -> list[Any]:
    return list(read(content).walk("VEVENT"))


def test_an_event_reads_back_as_it_is() -> None:
    event = make_event(
        title="Käse, Wein; & more",
        description="Line one\nline two, with a comma; and \\ more " + "x" * 200,
        starts_at=datetime(2027, 6, 1, 17, tzinfo=UTC),
        ends_at=datetime(2027, 6, 1, 20, tzinfo=UTC),
    )

    calendar = read(of_event(event))
    row = calendar.walk("VEVENT")[0]

    assert (str(row["summary"]), str(row["description"])) == (event.title, event.description)
    assert row.decoded("dtstart") == event.starts_at and row.decoded("dtend") == event.ends_at
    assert row["dtstart"].params["TZID"] == "Europe/Brussels"
    assert [str(zone["tzid"]) for zone in calendar.walk("VTIMEZONE")] == ["Europe/Brussels"]
    assert (str(row["status"]), row["sequence"], str(row["uid"])) == (
        "CONFIRMED",
        0,
        f"{event.public_id}@localhost",
    )
    assert all(len(line) <= 75 for line in of_event(event).split(b"\r\n"))


def test_whole_days_and_unknown_ends() -> None:
    days = make_event(
        all_day=True,
        starts_at=datetime(2027, 5, 31, 22, tzinfo=UTC),
        ends_at=datetime(2027, 6, 2, 22, tzinfo=UTC),
    )
    open_end = make_event(ends_at=None)

    row = events_in(of_event(days))[0]
    assert (row.decoded("dtstart"), row.decoded("dtend")) == (date(2027, 6, 1), date(2027, 6, 3))
    assert "dtend" not in events_in(of_event(open_end))[0]


def test_a_change_keeps_the_uid_and_raises_the_sequence() -> None:
    event = make_event()
    before = events_in(of_event(event))[0]
    changed = hosting.change(event.host, event.pk, {"venue": "Town hall"})
    after = events_in(of_event(changed))[0]
    hosting.call_off(event.host, event.pk)
    off = Event.objects.select_related("place", "centre").get(pk=event.pk)
    cancelled = events_in(of_event(off))[0]

    assert before["uid"] == after["uid"] == cancelled["uid"]
    assert [before["sequence"], after["sequence"], cancelled["sequence"]] == [0, 1, 2]
    assert str(cancelled["status"]) == "CANCELLED"
    assert str(read(invitation(off, cancelled=True))["method"]) == "CANCEL"


def test_public_calendars_need_no_sign_in_and_show_nothing_else(client: Client) -> None:
    centre, partner = make_centre(), make_centre()
    circle = make_circle(make_member())
    shown = make_event(centre=centre, partner_centres=[partner], circle=circle)
    make_event(centre=centre, circle=circle, visibility="members")
    make_event(centre=centre, state="draft")

    for path in (
        f"/centres/{centre.slug}.ics",
        f"/centres/{partner.slug}.ics",
        f"/circles/{circle.slug}.ics",
        f"/events/{shown.public_id}.ics",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer["Content-Type"] == "text/calendar; charset=utf-8"
        assert [str(row["uid"]) for row in events_in(answer.content)] == [f"{shown.public_id}@localhost"], (
            path
        )
        again = client.get(path, headers={"If-None-Match": answer["ETag"]})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", answer["ETag"])
    assert client.get("/centres/atlantis.ics").status_code == 404


def test_my_calendar_has_what_i_come_to_and_host_and_follows_me(client: Client) -> None:
    member = make_member(is_host=True)
    path = f"/calendar/{feed_token(member)}.ics"
    mine, coming = make_event(host=member), make_event(visibility="members")
    make_event()
    row = register(member, coming.pk, [Person()])

    def titles() -> set[str]:
        return {str(one["summary"]) for one in events_in(client.get(path).content)}

    assert titles() == {mine.title, coming.title}
    cancel(member, row.pk)
    assert titles() == {mine.title}
    for wrong in (feed_token(member)[:-1] + "x", member.public_id, "x"):
        assert client.get(f"/calendar/{wrong}.ics").status_code == 404


def test_a_new_address_closes_the_old_one(client: Client) -> None:
    ana, ben = make_member(), make_member()
    old, bens = feed_token(ana), feed_token(ben)
    client.force_login(ana)

    assert f"/calendar/{old}.ics" in client.get("/events/mine/").text
    assert client.get("/calendar/new-address/").status_code == 405
    for _turn in range(2):
        assert client.post("/calendar/new-address/").status_code == 302
        new = feed_token(ana)
        assert f"/calendar/{new}.ics" in client.get("/events/mine/").text
        assert client.get(f"/calendar/{old}.ics").status_code == 404
        assert client.get(f"/calendar/{new}.ics").status_code == 200
        old = new
    assert client.get(f"/calendar/{bens}.ics").status_code == 200


def test_called_off_stays_in_my_calendar_as_cancelled(client: Client) -> None:
    member, event = make_member(), make_event()
    register(member, event.pk, [Person()])
    hosting.call_off(event.host, event.pk)

    rows = events_in(client.get(f"/calendar/{feed_token(member)}.ics").content)

    assert [str(row["status"]) for row in rows] == ["CANCELLED"]


def test_a_feed_costs_the_same_for_many(client: Client, django_assert_num_queries: Any) -> None:
    centre, host = make_centre(), make_member()
    for n in range(30):
        make_event(centre=centre, host=host, starts_at=datetime.now(UTC) + timedelta(days=1, minutes=n))

    with django_assert_num_queries(2):
        assert len(events_in(client.get(f"/centres/{centre.slug}.ics").content)) == 30


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Other"},
        {"ends_at": None},
        {"state": "cancelled"},
        {"venue": "Hall"},
        {"description": "More."},
        {"language": "nl"},
        {"address": "Markt 1"},
        {"town": "Tongeren"},
        {"timezone": "Europe/Lisbon"},
        {"all_day": True},
        {"starts_at": clock.now() + timedelta(minutes=1)},
        {"sequence": 7},
        {"created_at": clock.now() - timedelta(days=1)},
        {"updated_at": clock.now() + timedelta(days=1)},
        {"place": None},
        {"venue": "Hall|", "address": ""},
        {"venue": "", "address": "Hall|"},
    ],
)
def test_the_short_way_to_a_validator_is_the_long_one_and_sees_every_change(changes: dict[str, Any]) -> None:
    event = make_event()
    feed = calendars.of_centre(event.centre)
    before = feed.etag()
    assert before == feed.content()[1]

    Event.objects.filter(pk=event.pk).update(**changes)

    after = calendars.of_centre(event.centre)
    assert before != after.etag() == after.content()[1]


def test_the_lines_of_an_event_are_written_once_and_never_the_old_ones() -> None:
    event = make_event(title="Picnic", description="With cake")
    assert of_event(event) == of_event(event)
    Event.objects.filter(pk=event.pk).update(title="Barbecue")
    changed = of_event(Event.objects.get(pk=event.pk))
    assert b"Barbecue" in changed and b"Picnic" not in changed
    Centre.objects.filter(pk=event.centre_id).update(name="The other house")
    assert b"The other house" in of_event(Event.objects.get(pk=event.pk))


def test_an_unchanged_feed_is_asked_for_in_two_queries(
    client: Client, django_assert_num_queries: Any
) -> None:
    event = make_event()
    path = f"/centres/{event.centre.slug}.ics"
    tag = client.get(path)["ETag"]

    with django_assert_num_queries(2):
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 304

    Place.objects.filter(pk=event.place_id).update(name="Elsewhere")
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_an_invitation_is_written_once_and_anew_after_every_change():
    event = make_event(description="With cake")
    assert calendars.invitation(event) is calendars.invitation(Event.objects.get(pk=event.pk))
    assert "METHOD:CANCEL" in calendars.invitation(event, cancelled=True)
    hosting.change(event.host, event.pk, {"description": "Without cake"})
    changed = calendars.invitation(Event.objects.get(pk=event.pk))
    assert "Without cake" in changed
    centre = event.centre
    centre.email = "new@example.org"
    centre.save()
    assert "mailto:new@example.org" in calendars.invitation(Event.objects.get(pk=event.pk))


def test_a_calendar_speaks_its_reader_s_language_where_somebody_translated(client: Client) -> None:
    words = {"de": {"title": "Nikolausnachmittag", "description": "Mit Keksen"}}
    event = make_event(title="Sinterklaas", description="Met koekjes", language="nl", translations=words)
    lena, finn = make_member(language="de"), make_member(language="fr")
    for member in (lena, finn):
        register(member, event.pk, [Person()])

    german, french = (
        events_in(client.get(f"/calendar/{feed_token(member)}.ics").content)[0] for member in (lena, finn)
    )
    assert (str(german["summary"]), str(german["description"])) == ("Nikolausnachmittag", "Mit Keksen")
    assert german["summary"].params["LANGUAGE"] == "de"
    assert (str(french["summary"]), french["summary"].params["LANGUAGE"]) == ("Sinterklaas", "nl")
    mailed = {
        mail.to: str(events_in(mail.attachment)[0]["summary"]) for mail in Mail.objects.exclude(attachment="")
    }
    assert mailed == {lena.email: "Nikolausnachmittag", finn.email: "Sinterklaas"}
    path = f"/events/{event.public_id}.ics"
    shown = [client.get(path, headers={"Accept-Language": code}) for code in ("de", "nl")]
    assert [str(events_in(answer.content)[0]["summary"]) for answer in shown] == [
        "Nikolausnachmittag",
        "Sinterklaas",
    ]
    assert shown[0]["ETag"] != shown[1]["ETag"] and "Accept-Language" in shown[0]["Vary"]
    assert (
        str(events_in(client.get(f"/centres/{event.centre.slug}.ics").content)[0]["summary"]) == "Sinterklaas"
    )


def test_a_new_translation_is_another_calendar() -> None:
    event, member = make_event(), make_member(language="de")
    register(member, event.pk, [Person()])
    before = calendars.of_member(member).etag()
    Event.objects.filter(pk=event.pk).update(translations={"de": {"title": "Anders"}})
    feed = calendars.of_member(member)
    assert before != feed.etag() == feed.content()[1]
    assert "Anders" in feed.content()[0].decode()
