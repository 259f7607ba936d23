"""Reminders the day before, “still coming?” where the host asks: each once, never for an hour that has changed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, transaction
from django.test import Client

from events import guests, hosting, reminding, undoing
from events.models import Event, Registration, Reminder
from events.models.registration import Guest
from events.registration import Person, register
from realtime import clock as times
from realtime import notify
from realtime.models import Mail
from tests.events.test_mail_links import mailed_key, mailed_key_of
from tests.factories import make_client, make_event, make_member

pytestmark = pytest.mark.django_db
ME = Person()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def event(clock: Any) -> Event:
    """In ten days, and its host asks whether one still comes."""
    return make_event(capacity=10, asks_again=True, starts_at=times.now() + 10 * DAY)


def mails(kind: str) -> int:
    return Mail.objects.filter(kind=kind).count()


def test_the_day_before_everybody_who_comes_is_reminded_once(clock: Any, event: Event) -> None:
    row = register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - DAY - timedelta(seconds=1))
    reminding.remind_due()
    assert mails("event_reminder") == 0
    clock.move_to(event.starts_at - DAY)
    for _again in range(3):
        reminding.remind_due()
    (mail,) = Mail.objects.filter(kind="event_reminder")
    assert mail.to == row.member.email and f"/registrations/{row.public_id}/" in mail.text


def test_a_call_off_that_is_undone_takes_no_reminder_along(clock: Any, event: Event) -> None:
    register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - DAY)
    reminding.remind_due()
    hosting.call_off(event.host, event.pk)
    waiting = Mail.objects.filter(kind="event_reminder")
    assert waiting.get().state == Mail.State.DROPPED
    undoing.restore(event.host, event.pk)
    assert waiting.get().state == Mail.State.QUEUED
    assert reminding.remind_due() == 0, "it is the one that was written"


def test_who_registered_just_before_who_waits_and_what_is_called_off_is_left_alone(
    clock: Any, event: Event
) -> None:
    off = make_event(starts_at=event.starts_at)
    register(make_member(), off.pk, [ME])
    hosting.call_off(off.host, off.pk)
    full = make_event(capacity=1, waiting_list="strict", starts_at=event.starts_at)
    holder = register(make_member(), full.pk, [ME])
    register(make_member(), full.pk, [ME], wait=True)
    clock.move_to(event.starts_at - DAY - 11 * HOUR)
    register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - DAY)
    reminding.remind_due()
    assert list(Mail.objects.filter(kind="event_reminder").values_list("to", flat=True)) == [
        holder.member.email
    ]


def test_a_site_that_was_down_catches_up_but_not_at_the_door(clock: Any, event: Event) -> None:
    register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - 2 * HOUR)
    reminding.remind_due()
    assert (mails("event_reminder"), mails("event_still")) == (1, 1)
    other = make_event(starts_at=times.now() + 10 * DAY)
    register(make_member(), other.pk, [ME])
    clock.move_to(other.starts_at - timedelta(minutes=30))
    reminding.remind_due()
    assert mails("event_reminder") == 1


def test_a_moved_event_takes_its_reminder_back_and_reminds_of_the_new_hour(clock: Any, event: Event) -> None:
    register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - DAY)
    reminding.remind_due()
    wall = event.local_start.replace(tzinfo=None)
    moved = hosting.change(event.host, event.pk, {"starts_at": wall + 3 * DAY})
    while notify.send_due():
        pass
    assert not Mail.objects.filter(kind="event_reminder", state="sent").exists()
    clock.move_to(moved.starts_at - DAY)
    reminding.remind_due()
    while notify.send_due():
        pass
    assert Mail.objects.filter(kind="event_reminder", state="sent").count() == 1


def test_a_reminder_that_was_being_sent_when_the_process_died_is_not_sent_for_the_old_hour(
    clock: Any, event: Event
) -> None:
    register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - DAY)
    reminding.remind_due()
    Mail.objects.filter(kind="event_reminder").update(state="sending", claimed_at=times.now(), tries=1)
    hosting.change(event.host, event.pk, {"starts_at": event.local_start.replace(tzinfo=None) + DAY})
    clock.shift(11 * 60)
    while notify.send_due():
        pass
    assert not Mail.objects.filter(kind="event_reminder", state="sent").exists()


def test_who_has_just_registered_is_not_asked_whether_they_still_come(clock: Any, event: Event) -> None:
    early = register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - 2 * DAY + HOUR)
    late = register(make_member(), event.pk, [ME])
    said = "Do you still come?"

    def is_asked(row: Registration) -> bool:
        return said in make_client(row.member).get(f"/registrations/{row.public_id}/").content.decode()

    assert (is_asked(early), is_asked(late)) == (True, False)
    clock.move_to(event.starts_at - 6 * HOUR)
    assert (is_asked(early), is_asked(late)) == (True, True), "the second time"


def test_still_coming_is_asked_twice_and_not_again_after_a_yes(clock: Any, event: Event) -> None:
    silent, says = register(make_member(), event.pk, [ME]), register(make_member(), event.pk, [ME])
    quiet_host = make_event(starts_at=event.starts_at)
    register(make_member(), quiet_host.pk, [ME])
    clock.move_to(event.starts_at - 2 * DAY)
    reminding.remind_due()
    assert mails("event_still") == 2
    assert reminding.answer(says.member, says.pk, comes=True).still_coming_at is not None
    clock.move_to(event.starts_at - 6 * HOUR)
    reminding.remind_due()
    assert Mail.objects.filter(kind="event_still", to=silent.member.email).count() == 2
    assert Mail.objects.filter(kind="event_still", to=says.member.email).count() == 1
    page = make_client(event.host).get(f"/events/{event.public_id}/guests/").content.decode()
    assert page.count("still comes") == 1


def test_the_link_of_the_mail_is_two_buttons_and_a_no_frees_the_place_after_the_deadline(
    clock: Any, event: Event
) -> None:
    hosting.change(event.host, event.pk, {"fixed_before": 3 * 24 * 60})
    row = register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - 2 * DAY)
    reminding.remind_due()
    key, url = mailed_key(row.member), f"/registrations/{row.public_id}/still/"
    assert Client().get(url, {"key": key}).status_code == 200
    assert Client().post(url, {"key": key, "answer": "maybe"}).status_code == 200
    row.refresh_from_db()
    assert (row.state, row.still_coming_at) == ("confirmed", None)
    assert "Thank you" in Client().post(url, {"key": key, "answer": "no"}).content.decode()
    row.refresh_from_db()
    assert row.state == "cancelled"
    assert Client().get(url, {"key": key}).status_code == 404


def test_a_guest_says_so_on_their_page(clock: Any, event: Event) -> None:
    guests.ask(event.pk, Guest("Ida", "ida@example.org", "en"))
    row = Registration.objects.get()
    guests.confirm(row.pk, mailed_key_of("ida@example.org"))
    key, url = mailed_key_of("ida@example.org"), f"/registrations/{row.public_id}/guest/"
    assert "Do you still come?" not in Client().get(url, {"key": key}).content.decode(), (
        "not before it is near"
    )
    clock.move_to(event.starts_at - 2 * DAY)
    reminding.remind_due()
    key = mailed_key_of("ida@example.org")
    assert "Do you still come?" in Client().get(url, {"key": key}).content.decode()
    assert "you still come" in Client().post(url, {"key": key, "do": "still"}).content.decode()
    row.refresh_from_db()
    assert row.still_coming_at is not None


def test_only_who_registered_answers_and_only_while_they_come(clock: Any, event: Event) -> None:
    row = register(make_member(), event.pk, [ME])
    with pytest.raises(PermissionDenied):
        reminding.answer(event.host, row.pk, comes=False)
    with pytest.raises(Registration.DoesNotExist):
        reminding.answer(make_member(), row.pk, comes=True)
    for _again in range(2):
        assert reminding.answer(row.member, row.pk, comes=False).state == "cancelled"
    with pytest.raises(ValidationError):
        reminding.answer(row.member, row.pk, comes=True)


class Killed(BaseException):
    """The process ends here."""


def test_killed_in_the_middle_of_many_each_gets_it_once(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    event = make_event(capacity=None, starts_at=times.now() + 10 * DAY)
    for _n in range(7):
        register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - DAY)
    monkeypatch.setattr(reminding, "BATCH", 3)
    assert reminding._remind(event.pk, Reminder.Kind.DAY) == 3
    with pytest.raises(Killed), transaction.atomic():
        assert reminding._remind(event.pk, Reminder.Kind.DAY) == 3
        raise Killed
    assert mails("event_reminder") == 3, "all of a batch or nothing of it"
    assert reminding.remind_due() == 4
    assert reminding.remind_due() == 0
    assert mails("event_reminder") == Reminder.objects.count() == 7


@pytest.mark.django_db(transaction=True)
def test_sweeps_of_several_processes_remind_once(clock: Any) -> None:
    event = make_event(capacity=None, starts_at=times.now() + 10 * DAY)
    for _n in range(5):
        register(make_member(), event.pk, [ME])
    clock.move_to(event.starts_at - DAY)

    def sweep(_n: int) -> int:
        try:
            return reminding.remind_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(sweep, range(4))) == 5
    assert mails("event_reminder") == 5


def test_who_has_only_the_bell_answers_on_the_page_and_the_link_of_the_mail_stays_kind(
    clock: Any, event: Event
) -> None:
    row = register(make_member(), event.pk, [ME])
    page, client = f"/registrations/{row.public_id}/", make_client(row.member)
    assert "Do you still come?" not in client.get(page).text, "not before it is near"
    clock.move_to(event.starts_at - 2 * DAY)
    reminding.remind_due()
    assert "Do you still come?" in client.get(page).text

    key, url = mailed_key(row.member), f"{page}still/"
    assert "you still come" in client.post(url, {"answer": "yes"}).text
    assert "Good: you still come" in client.get(page).text
    assert "you still come" in Client().post(url, {"key": key, "answer": "yes"}).text
    again = Client().get(url, {"key": key})
    assert again.status_code == 200 and "Good: you still come" in again.text, "pressed once more"
    assert Client().post(url, {"key": key, "answer": "no"}).status_code == 404, "the key is used up"
    row.refresh_from_db()
    assert row.is_coming
