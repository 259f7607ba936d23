"""Invitations in mails, as mailboxes and calendar programs read them (RFC 5546, RFC 6047)."""

import email
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import uuid4

import icalendar
import pytest
from django.core import mail

from events import calendars, hosting, letters, moving, registration, rescheduling, undoing
from events.registration import Person, register
from events.rescheduling import Which
from realtime import notify
from realtime.models import Mail
from tests.factories import make_centre, make_event, make_host, make_member

pytestmark = pytest.mark.django_db


def sent(to: str) -> list[EmailMessage]:
    """What came out for this address, read back as any mailbox reads it, in the order of writing."""
    while notify.send_due():
        pass
    order = {row.message_id: row.pk for row in Mail.objects.all()}
    found = [
        email.message_from_bytes(one.message().as_bytes(), policy=default)  # type: ignore[arg-type]
        for one in mail.outbox
        if one.to == [to]
    ]
    return sorted(found, key=lambda one: order[one["Message-ID"]])  # type: ignore[return-value]


def part(message: EmailMessage) -> tuple[str, Any]:
    """The method a mail names in its MIME part, and the event inside."""
    found = next(one for one in message.walk() if one.get_content_type() == "text/calendar")
    assert isinstance(found, EmailMessage) and not found.is_attachment()
    calendar = icalendar.Calendar.from_ical(found.get_content())
    assert str(calendar["method"]) == found["Content-Type"].params["method"]
    assert found["Content-Type"].params["charset"] == "utf-8"
    return found["Content-Type"].params["method"], calendar.walk("VEVENT")[0]


@pytest.fixture(autouse=True)
def _goes_out(settings: Any) -> None:
    settings.MAIL_GOES_OUT = True


def test_who_comes_is_invited_by_the_centre_and_asked_for_no_answer() -> None:
    event = make_event(title="Käse & Wein")
    ana, oma = make_member(display_name='Ana; "Ann", O\'Neill ' + "x" * 30), make_member()
    register(ana, event.pk, [Person()])

    method, row = part(sent(ana.email)[0])

    assert method == "REQUEST" and str(row["summary"]) == event.title
    assert str(row["organizer"]) == f"mailto:{event.centre.email}"
    attendee = row["attendee"]
    assert str(attendee) == f"mailto:{ana.email}"
    assert {name: attendee.params[name] for name in ("PARTSTAT", "RSVP")} == {
        "PARTSTAT": "ACCEPTED",
        "RSVP": "FALSE",
    }
    text = Mail.objects.get(to=ana.email).attachment
    assert event.host.email not in text and oma.email not in text
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    feed = icalendar.Calendar.from_ical(calendars.of_member(ana).content()[0]).walk("VEVENT")[0]
    assert (row["uid"], row["sequence"]) == (feed["uid"], feed["sequence"])
    assert "attendee" not in feed, "a feed names nobody"


@pytest.mark.parametrize(
    "name", ["A\r\nATTENDEE:mailto:x@example.org", "\u202eevil\x07", "王 小明", "a:b;c,d\\n", '"', "👩‍👧"]
)
def test_no_name_says_more_than_a_name(name: str) -> None:
    ana = make_member(display_name=name)
    register(ana, make_event().pk, [Person()])

    _method, row = part(sent(ana.email)[0])

    assert str(row["attendee"]) == f"mailto:{ana.email}", "one, and this one"


def test_the_mail_has_the_words_the_invitation_and_a_file_for_who_knows_no_better() -> None:
    ana = make_member()
    register(ana, make_event().pk, [Person()])

    message = sent(ana.email)[0]

    assert message.get_content_type() == "multipart/mixed"
    body, file = list(message.iter_parts())
    assert [one.get_content_type() for one in body.iter_parts()] == ["text/plain", "text/calendar"]
    assert (file.get_filename(), file.get_content_type()) == ("event.ics", "application/ics")
    assert icalendar.Calendar.from_ical(file.get_content())["method"] == "REQUEST"


def test_who_moves_gets_the_new_date_and_a_file_that_takes_the_old_one_out() -> None:
    host, ana = make_host(), make_member()
    old, new = (make_event(host=host) for _turn in range(2))
    mine = register(ana, old.pk, [Person()])

    moving.move(host, mine.pk, new.pk)

    message = sent(ana.email)[-1]
    _method, row = part(message)
    assert str(row["uid"]).startswith(new.public_id)
    files = [one for one in message.iter_attachments() if one.get_content_type() == "application/ics"]
    told = [icalendar.Calendar.from_ical(file.get_content()) for file in files]
    assert [(file.get_filename(), one["method"]) for file, one in zip(files, told, strict=True)] == [
        ("event.ics", "REQUEST"),
        ("event-2.ics", "CANCEL"),
    ]
    assert str(told[1].events[0]["uid"]).startswith(old.public_id)


def test_each_of_a_party_gets_their_own_invitation() -> None:
    ana, ben, event = make_member(), make_member(), make_event()
    register(ana, event.pk, [Person(), Person(name="Oma")])
    register(ben, event.pk, [Person()])

    for member in (ana, ben):
        _method, row = part(sent(member.email)[0])
        assert str(row["attendee"]) == f"mailto:{member.email}"
    shared = calendars.invitation(event)
    assert "ATTENDEE" not in shared, "nobody gets what was written for another"


def test_a_change_and_a_calling_off_reach_the_same_entry_with_a_rising_sequence(clock: Any) -> None:
    ana, event = make_member(), make_event()
    register(ana, event.pk, [Person()])
    clock.shift(60)
    hosting.change(event.host, event.pk, {"venue": "Town hall"})
    clock.shift(60)
    hosting.call_off(event.host, event.pk, "Storm")
    clock.shift(undoing.LASTS.total_seconds())  # so long it can be taken back, and its mails wait

    read = [part(message) for message in sent(ana.email)]

    assert [method for method, _row in read] == ["REQUEST", "REQUEST", "CANCEL"]
    assert [row["sequence"] for _method, row in read] == [0, 1, 2]
    assert len({str(row["uid"]) for _method, row in read}) == 1
    stamps = [row.decoded("dtstamp") for _method, row in read]
    assert stamps == sorted(set(stamps))
    off = read[2][1]
    assert (str(off["status"]), str(off["attendee"])) == ("CANCELLED", f"mailto:{ana.email}")
    assert (
        str(off["organizer"]) == f"mailto:{event.centre.email}" and "PARTSTAT" not in off["attendee"].params
    )


def test_who_gives_a_place_back_has_it_taken_out_and_may_come_again(clock: Any) -> None:
    ana, event = make_member(), make_event()
    row = register(ana, event.pk, [Person()])
    clock.shift(60)
    registration.cancel(ana, row.pk)
    clock.shift(60)
    register(ana, event.pk, [Person()])

    read = [part(message) for message in sent(ana.email)]

    assert [method for method, _row in read] == ["REQUEST", "CANCEL", "REQUEST"]
    assert "status" not in read[1][1], "the event takes place"
    stamps = [(row["sequence"], row.decoded("dtstamp")) for _method, row in read]
    assert stamps == sorted(set(stamps)), "the newest counts"


def test_a_date_of_a_meetup_that_moves_keeps_its_entry() -> None:
    host = make_host(centre=make_centre())
    meetup = hosting.publish_series(
        host,
        {
            "title": "Games",
            "language": "en",
            "starts_at": datetime.now() + timedelta(days=9),
            "timezone": "Europe/Brussels",
        },
        {"rrule": "FREQ=WEEKLY;COUNT=3"},
    )
    second = meetup.occurrences.order_by("starts_at")[1]
    ana = make_member()
    register(ana, second.pk, [Person()])
    later = second.local_start.replace(tzinfo=None) + timedelta(hours=1)  # type: ignore[union-attr]

    rescheduling.change_series(host, meetup.pk, Which("following", second.pk), {"starts_at": later})

    (_first, before), (method, after) = (part(message) for message in sent(ana.email))
    assert method == "REQUEST" and before["uid"] == after["uid"]
    assert after.decoded("dtstart") - before.decoded("dtstart") == timedelta(hours=1)
    assert (before["sequence"], after["sequence"]) == (0, 1)
    assert before["recurrence-id"].dt == after["recurrence-id"].dt == before.decoded("dtstart")


def test_who_waits_or_gets_a_letter_is_not_invited() -> None:
    event = make_event(capacity=1, waiting_list="strict")
    ana, ben = make_member(), make_member()
    register(ana, event.pk, [Person()])
    register(ben, event.pk, [Person()], wait=True)
    letters.write(event.host, event.pk, "coming", "See you", uuid4())

    assert [message.get_content_type() for message in sent(ben.email)] == ["text/plain"]
    assert sent(ana.email)[-1].get_content_type() == "text/plain"
