"""A partner's calendar: what it brings as drafts, what follows it, what stays, and what somebody has to decide."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from community import privacy as leaving
from community.models import Centre, Member
from events import desk, hosting, merging, partners
from events.models import Event, PartnerCalendar, PartnerDate
from realtime import clock
from realtime.models import Mail
from tests import factories as make
from tests.config.small_region import patient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


def file_of(*events: str, head: str = "") -> bytes:
    rows = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\n{head}{rows}END:VCALENDAR\n".replace("\n", "\r\n").encode()


def vevent(
    uid: str = "1", *, start: str = "20270310T190000", title: str = "Language café", more: str = ""
) -> str:
    where = "LOCATION:Library\\, Stationsplein 1\\, 3500 Hasselt"
    return f"UID:{uid}\nDTSTART;TZID=Europe/Brussels:{start}\nDURATION:PT2H\nSUMMARY:{title}\n{where}\n{more}"


@pytest.fixture
def staff(region: None) -> Member:
    patient()  # a file is read in a process of its own, here inside the transaction of the test
    return make.make_staff(make.make_centre())


def centre_of(staff: Member) -> Centre:
    centre = staff.profile.centre
    assert centre is not None
    return centre


def given(staff: Member, content: bytes) -> PartnerCalendar:
    """A calendar of this file, brought in."""
    calendar = partners.add(
        staff, centre_of(staff), {"name": "Library", "language": "nl", "url": ""}, content
    )
    partners.bring_in(staff, calendar.pk)
    return calendar


def newer(staff: Member, calendar: PartnerCalendar, content: bytes) -> merging.Summary:
    """A newer file, brought in."""
    partners.give_file(staff, calendar.pk, content)
    return partners.bring_in(staff, calendar.pk)


def only() -> Event:
    return Event.objects.get()


def published(staff: Member) -> Event:
    return hosting.publish_draft(staff, only().pk)


# Bringing in


def test_each_event_becomes_a_draft_of_the_centre_with_everything_it_says(staff: Member):
    more = "DESCRIPTION:<p>Come along</p>\nURL:https://library.example/1"
    calendar = given(staff, file_of(vevent(more=more)))
    event = only()
    assert (event.state, event.host, event.centre, event.language) == ("draft", staff, centre_of(staff), "nl")
    assert (event.title, event.description) == ("Language café", "Come along")
    assert event.local_start and event.local_start.isoformat() == "2027-03-10T19:00:00+01:00"
    assert event.local_end and event.local_end.isoformat() == "2027-03-10T21:00:00+01:00"
    assert (event.venue, event.place and event.place.name) == ("Library, Stationsplein 1", "Hasselt")
    assert event.total is not None
    date = calendar.dates.get()
    assert (date.uid, date.recurrence, date.url, date.event) == ("1", "", "https://library.example/1", event)
    assert "language cafe" in event.search


@pytest.mark.parametrize(
    ("location", "venue", "town"),
    [
        ("Library, Stationsplein 1, 3500 Hasselt, België", "Library, Stationsplein 1", "Hasselt"),
        ("Maastricht", "", "Maastricht"),
        ("Markt 1, 6211 CK Maastricht", "Markt 1", "Maastricht"),
        ("Hasselt, Kulturama, hall 2", "Hasselt, Kulturama, hall 2", "Hasselt"),
        ("Somewhere else", "Somewhere else", None),
        ("", "", None),
    ],
)
def test_the_town_is_found_in_where_it_is(region: None, location: str, venue: str, town: str | None):
    found = merging._where(location, merging._towns([location]))
    assert (found[0], found[1] and found[1].name) == (venue, town)


def test_nothing_comes_before_somebody_has_seen_it(staff: Member):
    calendar = partners.add(staff, centre_of(staff), {"name": "Library", "language": "nl"}, file_of(vevent()))
    found = partners.preview(calendar)
    assert [said["title"] for _one, said in found.new] == ["Language café"]
    assert not Event.objects.exists()
    assert str(partners.bring_in(staff, calendar.pk)) == "1 new draft"
    assert not partners.preview(calendar).is_any


def test_a_meetup_comes_as_its_dates_of_the_coming_half_year(staff: Member):
    given(staff, file_of(vevent(more="RRULE:FREQ=WEEKLY")))
    assert Event.objects.count() == 26
    assert {event.local_start.hour for event in Event.objects.all() if event.local_start} == {
        19
    }  # summer time, too


def test_the_same_file_again_brings_nothing_twice(staff: Member):
    content = file_of(vevent(more="RRULE:FREQ=WEEKLY;COUNT=3"), vevent("2"))
    calendar = given(staff, content)
    assert newer(staff, calendar, content) == merging.Summary()
    assert Event.objects.count() == 4
    with pytest.raises(IntegrityError):
        PartnerDate.objects.create(calendar=calendar, uid="2", recurrence="")


def test_two_who_bring_in_at_once_make_no_date_twice(staff: Member):
    """Both read the file before either wrote: the second sees under the lock what the first has made. Without comparing
    again there, as the witness does, the database says no."""
    calendar = partners.add(staff, centre_of(staff), {"name": "Library", "language": "nl"}, file_of(vevent()))
    since = clock.now()
    reading = partners._read(calendar, since)
    stale = merging.compare(calendar, reading, since, since + partners.AHEAD)
    assert str(partners._save(calendar, reading, since)) == "1 new draft"
    assert partners._save(calendar, reading, since) == merging.Summary()
    with pytest.raises(IntegrityError):
        merging.save(calendar, stale)


def test_a_draft_that_was_thrown_away_does_not_come_again(staff: Member):
    calendar = given(staff, file_of(vevent()))
    hosting.discard(staff, only().pk)
    assert newer(staff, calendar, file_of(vevent(title="Language café, new"))) == merging.Summary()
    assert not Event.objects.exists()


def test_who_is_invited_is_not_kept(staff: Member):
    people = "ATTENDEE;CN=Ana Lopez;\n RSVP=TRUE:mailto:ana@work.example\nORGANIZER:mailto:boss@work.example\nCONTACT:Jan"
    calendar = given(staff, file_of(vevent(more=people + "\nURL:https://library.example/1")))
    kept = bytes(PartnerCalendar.objects.get(pk=calendar.pk).content)
    assert b"work.example" not in kept
    assert b"Ana" not in kept
    assert calendar.dates.get().url == "https://library.example/1"


# Following


def test_a_draft_follows_the_calendar(staff: Member):
    calendar = given(staff, file_of(vevent()))
    summary = newer(staff, calendar, file_of(vevent(title="Taalcafé", start="20270311T200000")))
    assert str(summary) == "1 draft changed"
    event = only()
    assert (event.title, event.version) == ("Taalcafé", 2)
    assert event.local_start and event.local_start.isoformat() == "2027-03-11T20:00:00+01:00"
    assert "taalcafe" in event.search


def test_what_a_newer_file_changes_is_named_before_it_is_brought_in(staff: Member):
    calendar = given(staff, file_of(vevent()))
    newer_one = vevent(title="Taalcafé").replace("Library", "Town hall")
    partners.give_file(staff, calendar.pk, file_of(newer_one))
    calendar.refresh_from_db()
    (news,) = partners.preview(calendar).news
    assert news.changed == ["Title", "Where"]
    assert "Title, Where" in make.make_client(staff).get(page(staff, calendar)).content.decode()


def test_what_somebody_here_changed_stays_and_the_rest_follows(staff: Member):
    calendar = given(staff, file_of(vevent()))
    hosting.change(staff, only().pk, {"title": "Tea and talk"})
    newer(staff, calendar, file_of(vevent(title="Taalcafé", start="20270311T200000")))
    event = only()
    assert event.title == "Tea and talk"
    assert event.local_start and event.local_start.day == 11
    newer(staff, calendar, file_of(vevent(title="Taalcafé 2", start="20270312T200000")))
    assert only().title == "Tea and talk"


def test_a_meetup_that_moves_to_another_hour_moves_its_drafts(staff: Member):
    """Its RECURRENCE-IDs are others then: the dates are known by UID and day."""
    weekly = "RRULE:FREQ=WEEKLY;COUNT=3"
    calendar = given(staff, file_of(vevent(more=weekly)))
    before = set(Event.objects.values_list("pk", flat=True))
    assert (
        str(newer(staff, calendar, file_of(vevent(start="20270310T200000", more=weekly))))
        == "3 drafts changed"
    )
    assert set(Event.objects.values_list("pk", flat=True)) == before
    assert {event.local_start.hour for event in Event.objects.all() if event.local_start} == {20}


def test_a_published_event_is_not_changed_but_offered(staff: Member):
    calendar = given(staff, file_of(vevent()))
    event = published(staff)
    guest = make.make_registration(event).member
    assert guest is not None
    summary = newer(staff, calendar, file_of(vevent(title="Taalcafé", start="20270311T200000")))
    assert str(summary) == "1 date to decide"
    event.refresh_from_db()
    assert (event.title, event.version) == ("Language café", 2)
    (date,) = partners.open_dates(calendar)
    assert [str(change.label) for change in partners.differences(date)] == ["Title", "Begins", "Ends"]
    partners.take_over(staff, calendar.pk, date.pk)
    event.refresh_from_db()
    assert event.title == "Taalcafé"
    assert event.local_start and event.local_start.isoformat() == "2027-03-11T20:00:00+01:00"
    assert event.ends_at and event.starts_at and event.ends_at - event.starts_at == timedelta(hours=2)
    assert Mail.objects.filter(kind="event_changed", member=guest).count() == 1
    assert not partners.open_dates(calendar).exists()
    assert not partners.preview(PartnerCalendar.objects.get()).is_any


def test_what_was_left_is_asked_about_again_only_when_it_changes(staff: Member):
    calendar = given(staff, file_of(vevent()))
    published(staff)
    newer(staff, calendar, file_of(vevent(title="Taalcafé")))
    partners.leave(staff, calendar.pk, partners.open_dates(calendar).get().pk)
    assert newer(staff, calendar, file_of(vevent(title="Taalcafé"))) == merging.Summary()
    assert only().title == "Language café"
    assert newer(staff, calendar, file_of(vevent(title="Taalcafé 2"))).open == 1


def test_a_calendar_that_takes_its_change_back_asks_no_more(staff: Member):
    calendar = given(staff, file_of(vevent()))
    published(staff)
    assert newer(staff, calendar, file_of(vevent(title="Taalcafé"))).open == 1
    assert newer(staff, calendar, file_of(vevent())).open == 0


# Gone


@pytest.mark.parametrize(
    "then", [file_of(vevent("2")), file_of(vevent("2"), vevent(more="STATUS:CANCELLED"))]
)
def test_the_draft_of_an_event_that_is_gone_is_removed(staff: Member, then: bytes):
    calendar = given(staff, file_of(vevent(), vevent("2")))
    assert str(newer(staff, calendar, then)) == "1 draft removed"
    assert [date.uid for date in calendar.dates.all()] == ["2"]
    assert only().partner_date.uid == "2"  # type: ignore[attr-defined]


def test_a_draft_that_somebody_worked_on_is_not_removed_unasked(staff: Member):
    calendar = given(staff, file_of(vevent()))
    hosting.change(staff, only().pk, {"capacity": 12})
    assert newer(staff, calendar, file_of(vevent("2"))).open == 1
    partners.call_off(staff, calendar.pk, partners.open_dates(calendar).get().pk)
    assert only().partner_date.uid == "2"  # type: ignore[attr-defined]


def test_a_published_event_that_is_gone_is_somebodys_to_decide(staff: Member):
    calendar = given(staff, file_of(vevent()))
    event = published(staff)
    guest = make.make_registration(event).member
    assert newer(staff, calendar, file_of(vevent("2"))).open == 1
    event.refresh_from_db()
    assert event.state == Event.State.PUBLISHED
    date = partners.open_dates(calendar).get()
    assert date.gone == "vanished"
    partners.call_off(staff, calendar.pk, date.pk)
    event.refresh_from_db()
    assert event.state == Event.State.CANCELLED
    assert Mail.objects.filter(kind="event_called_off", member=guest).exists()
    assert newer(staff, calendar, file_of(vevent("2"))) == merging.Summary()


def test_what_is_gone_and_left_is_not_asked_about_again_and_may_come_back(staff: Member):
    calendar = given(staff, file_of(vevent()))
    published(staff)
    newer(staff, calendar, file_of(vevent("2")))
    partners.leave(staff, calendar.pk, partners.open_dates(calendar).get().pk)
    assert newer(staff, calendar, file_of(vevent("2"))).open == 0
    newer(staff, calendar, file_of(vevent(), vevent("2")))
    assert calendar.dates.get(uid="1").gone == ""


def test_what_is_past_has_not_vanished(staff: Member, clock: time_machine.Traveller):
    content = file_of(vevent(), vevent("2", start="20270401T190000"))
    calendar = given(staff, content)
    clock.shift(timedelta(days=20))
    assert newer(staff, calendar, content) == merging.Summary()
    assert Event.objects.count() == 2


def test_what_cannot_be_read_has_not_vanished(staff: Member):
    calendar = given(staff, file_of(vevent(), vevent("2")))
    broken = "UID:1\nDTSTART:20270310T190000\nRRULE:FREQ=SOMETIMES"
    assert newer(staff, calendar, file_of(broken, vevent("2"))) == merging.Summary()
    assert partners.preview(PartnerCalendar.objects.get()).unreadable == 1


def test_a_calendar_that_is_removed_leaves_what_was_published_or_changed(staff: Member):
    calendar = given(staff, file_of(vevent(), vevent("2"), vevent("3", title="Ours")))
    first, second, third = Event.objects.order_by("partner_date__uid")
    hosting.publish_draft(staff, first.pk)
    hosting.change(staff, second.pk, {"title": "Tea"})
    assert partners.remove(staff, calendar.pk) == 1
    assert set(Event.objects.values_list("pk", flat=True)) == {first.pk, second.pk}
    assert third.title == "Ours"


# From an address


class Library(BaseHTTPRequestHandler):
    """A partner's server: its calendar, or trouble."""

    content: bytes | None = b""
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.headers.get("If-None-Match", ""))
        tag = f'"{hash(self.content)}"'
        if self.content is None:
            self.send_error(500)
        elif self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("ETag", tag)
            self.end_headers()
            self.wfile.write(self.content)

    def log_message(self, *_given: Any) -> None:
        pass


@pytest.fixture
def library() -> Iterator[str]:
    Library.content, Library.asked = file_of(vevent()), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Library)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/calendar.ics"
    server.shutdown()
    server.server_close()
    thread.join(5)


def added(staff: Member, url: str) -> PartnerCalendar:
    said = {"name": "Library", "language": "nl", "url": url}
    return partners.add(staff, centre_of(staff), said, loopback=True)


def test_a_calendar_of_an_address_is_read_by_the_sweep_every_six_hours(
    staff: Member, library: str, clock: time_machine.Traveller
):
    calendar = added(staff, library)
    assert partners.read_due(loopback=True) == 0  # nobody has looked at it yet
    partners.bring_in(staff, calendar.pk)
    clock.shift(timedelta(hours=5))
    assert partners.read_due(loopback=True) == 0
    Library.content = file_of(vevent(title="Taalcafé"), vevent("2"))
    clock.shift(timedelta(hours=2))
    assert partners.read_due(loopback=True) == 1
    assert sorted(Event.objects.values_list("title", flat=True)) == ["Language café", "Taalcafé"]
    assert partners.read_due(loopback=True) == 0


def test_what_has_not_changed_is_not_sent_again_and_its_later_dates_come_all_the_same(
    staff: Member, library: str, clock: time_machine.Traveller
):
    Library.content = file_of(vevent(more="RRULE:FREQ=WEEKLY"))
    calendar = added(staff, library)
    partners.bring_in(staff, calendar.pk)
    clock.shift(timedelta(days=7))
    partners.read_due(loopback=True)
    assert Library.asked[1] != ""
    assert Event.objects.count() == 27


def test_the_later_dates_of_a_file_come_by_themselves(staff: Member, clock: time_machine.Traveller):
    given(staff, file_of(vevent(more="RRULE:FREQ=WEEKLY")))
    clock.shift(timedelta(days=7))
    assert partners.read_due() == 1
    assert Event.objects.count() == 27


def test_a_server_in_trouble_is_asked_ever_more_rarely_and_the_state_says_so(
    staff: Member, library: str, clock: time_machine.Traveller
):
    calendar = added(staff, library)
    partners.bring_in(staff, calendar.pk)
    Library.content = None
    waits = []
    for _turn in range(6):
        calendar.refresh_from_db()
        assert calendar.due_at is not None
        clock.move_to(calendar.due_at)
        partners.read_due(loopback=True)
        calendar.refresh_from_db()
        waits.append((calendar.due_at - calendar.tried_at) / timedelta(hours=1))  # type: ignore[operator]
    assert waits == [1, 2, 4, 8, 16, 24]
    assert partners.trouble_of(calendar) == "The server answers with error 500."
    assert calendar.read_at and calendar.tried_at and calendar.read_at < calendar.tried_at
    assert Event.objects.count() == 1
    Library.content = file_of(vevent(title="Taalcafé"))
    assert str(partners.read_again(staff, calendar.pk, loopback=True)) == "1 draft changed"
    calendar.refresh_from_db()
    assert (partners.trouble_of(calendar), calendar.failures, calendar.read_at) == ("", 0, calendar.tried_at)


def test_a_file_that_is_none_leaves_everything_as_it_is(staff: Member, library: str):
    calendar = added(staff, library)
    partners.bring_in(staff, calendar.pk)
    Library.content = b"<html>We are closed</html>"
    with pytest.raises(ValidationError, match="no calendar file"):
        partners.read_again(staff, calendar.pk, loopback=True)
    assert Event.objects.count() == 1


def test_nothing_is_fetched_inside_a_transaction(
    staff: Member, library: str, clock: time_machine.Traveller, django_assert_num_queries: Any
):
    """Between what is known and what is written there is no query, and so no lock, while others are waited for."""
    calendar = added(staff, library)
    partners.bring_in(staff, calendar.pk)
    depth: list[int] = []
    real = Library.do_GET

    def watched(self: Library) -> None:
        depth.append(len(connection.savepoint_ids))
        real(self)

    before = len(connection.savepoint_ids)
    Library.do_GET = watched  # type: ignore[method-assign]
    try:
        partners.read_again(staff, calendar.pk, loopback=True)
    finally:
        Library.do_GET = real  # type: ignore[method-assign]
    assert depth == [before]


def test_an_address_is_read_once_a_centre_and_one_inside_not_at_all(staff: Member, library: str):
    added(staff, library)
    with pytest.raises(ValidationError, match="reads this calendar already"):
        added(staff, library)
    said = {"name": "Library", "language": "nl", "url": "https://127.0.0.1/calendar.ics"}
    with pytest.raises(ValidationError, match="private network"):
        partners.add(staff, centre_of(staff), said)


def test_a_sweep_that_comes_second_leaves_a_calendar_to_the_first(
    staff: Member, library: str, clock: time_machine.Traveller
):
    calendar = added(staff, library)
    partners.bring_in(staff, calendar.pk)
    clock.shift(timedelta(hours=7))
    PartnerCalendar.objects.filter(pk=calendar.pk).update(due_at=clock_now() + partners.CLAIMED)
    assert partners.read_due(loopback=True) == 0
    assert len(Library.asked) == 1


def clock_now() -> Any:
    return clock.now()


# Whose


def test_only_staff_of_the_centre_have_its_calendars(staff: Member):
    calendar = given(staff, file_of(vevent()))
    other = make.make_staff(make.make_centre())
    verbs = (partners.bring_in, partners.read_again, partners.remove)
    for verb in verbs:
        with pytest.raises(PartnerCalendar.DoesNotExist):
            verb(other, calendar.pk)
    with pytest.raises(PermissionDenied):
        partners.add(other, centre_of(staff), {"name": "x", "language": "en"}, file_of())


def test_who_goes_hands_their_calendars_on(staff: Member):
    calendar = given(staff, file_of(vevent()))
    heir = make.make_manager(centre_of(staff))
    leaving.erase(staff.pk)
    calendar.refresh_from_db()
    assert (calendar.added_by, calendar.is_on, only().host) == (heir, True, heir)


# Pages


def page(staff: Member, calendar: PartnerCalendar | None = None) -> str:
    base = f"/desk/{centre_of(staff).slug}/calendars/"
    return f"{base}{calendar.public_id}/" if calendar else base


def test_from_a_file_to_drafts_on_the_desk(staff: Member):
    client = make.make_client(staff)
    file = SimpleUploadedFile("calendar.ics", file_of(vevent(), vevent("2", title="<b>Chess</b>")))
    answer = client.post(
        page(staff), {"name": "Library", "language": "nl", "url": "", "file": file}, follow=True
    )
    said = answer.content.decode()
    assert "Language café" in said
    assert "&lt;b&gt;Chess&lt;/b&gt;" in said
    assert not Event.objects.exists()
    calendar = PartnerCalendar.objects.get()
    answer = client.post(page(staff, calendar), {"do": "bring"}, follow=True)
    assert "2 new drafts" in answer.content.decode()
    assert Event.objects.count() == 2


def test_what_is_wrong_with_a_calendar_is_said_beside_it(staff: Member):
    client = make.make_client(staff)
    file = SimpleUploadedFile("calendar.ics", b"hello")
    answer = client.post(page(staff), {"name": "Library", "language": "nl", "file": file})
    assert (answer.status_code, "no calendar file" in answer.content.decode()) == (422, True)
    answer = client.post(page(staff), {"name": "Library", "language": "nl", "url": "https://[::1]/"})
    assert (answer.status_code, "private network" in answer.content.decode()) == (422, True)
    answer = client.post(page(staff), {"name": "Library", "language": "nl"})
    assert (answer.status_code, "Give an address or a file" in answer.content.decode()) == (422, True)


def test_the_desk_shows_what_has_to_be_decided_and_decides_it(staff: Member):
    calendar = given(staff, file_of(vevent()))
    published(staff)
    newer(staff, calendar, file_of(vevent(title="Taalcafé")))
    role = desk.desk_for(staff, centre_of(staff).slug)
    assert "1 date of a partner has changed" in [need.title for need in desk.needs(role)]
    client = make.make_client(staff)
    said = client.get(page(staff, calendar)).content.decode()
    assert "Language café → Taalcafé" in said
    date = partners.open_dates(calendar).get()
    client.post(page(staff, calendar), {"do": f"take:{date.pk}"})
    assert only().title == "Taalcafé"
    again = client.post(page(staff, calendar), {"do": f"leave:{date.pk}"}, follow=True).content.decode()
    assert "That is decided already." in again and only().title == "Taalcafé"
    newer(staff, calendar, file_of(vevent(title="Taalcafé")))
    PartnerCalendar.objects.update(is_on=False)
    same = client.get(page(staff, calendar)).content.decode()
    assert "Everything in it is here." in same and "no date" not in same


def test_a_calendar_of_another_desk_is_not_there(staff: Member):
    calendar = given(staff, file_of(vevent()))
    both = make.make_staff(make.make_centre())
    client = make.make_client(both)
    assert client.get(page(both) + f"{calendar.public_id}/").status_code == 404
    assert client.get(page(staff, calendar)).status_code == 404


def test_who_runs_an_event_sees_where_it_comes_from(staff: Member):
    given(staff, file_of(vevent(more="URL:https://library.example/1")))
    event = published(staff)
    assert (
        'href="https://library.example/1"'
        in make.make_client(staff).get(event.get_absolute_url()).content.decode()
    )
    stranger = make.make_client(make.make_member())
    assert "library.example" not in stranger.get(event.get_absolute_url()).content.decode()


def test_a_long_calendar_costs_no_more_queries_than_a_short_one(staff: Member):
    client = make.make_client(staff)
    counts = []
    for n in (1, 30):
        content = file_of(
            *(vevent(f"{n}-{one}", start=f"202704{1 + one % 28:02}T190000") for one in range(n))
        )
        calendar = partners.add(staff, centre_of(staff), {"name": "Library", "language": "nl"}, content)
        with CaptureQueriesContext(connection) as of_preview:
            client.get(page(staff, calendar))
        with CaptureQueriesContext(connection) as of_saving:
            partners.bring_in(staff, calendar.pk)
        with CaptureQueriesContext(connection) as of_page:
            client.get(page(staff, calendar))
        with CaptureQueriesContext(connection) as of_list:
            client.get(page(staff))
        counts.append((len(of_preview), len(of_saving), len(of_page), len(of_list)))
    assert counts == [(10, 15, 10, 5)] * 2
