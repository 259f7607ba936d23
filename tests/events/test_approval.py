"""Who may come, and from when to when: opening and closing times, a deadline, and a host who says yes or no."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection

from community.sign_ins import issue_token
from events import approval, hosting
from events.models import Event, Pool, Registration
from events.registration import Person, cancel, change_party, register
from realtime import clock as times
from realtime.models import Mail, Participant
from tests.factories import make_centre, make_client, make_event, make_host, make_member

pytestmark = pytest.mark.django_db
ME = Person()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MINUTES = {"hour": 60, "day": 24 * 60}


def coming_up(**given: Any) -> Event:
    return make_event(**{"starts_at": times.now() + 10 * DAY} | given)


def code_of(work: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(ValidationError) as no:
        work(*args, **more)
    return str(no.value.code)


def taken(event: Event) -> int:
    return Pool.objects.get(event=event).taken


def asked(event: Event, size: int = 1) -> Registration:
    return register(make_member(), event.pk, [ME] * size)


# -- times


def test_registration_opens_and_closes_when_the_host_said(clock: Any) -> None:
    event = coming_up(opens_before=7 * MINUTES["day"], closes_before=MINUTES["day"])
    start = event.starts_at
    assert code_of(register, make_member(), event.pk, [ME]) == "closed"
    clock.move_to(start - 7 * DAY)
    assert register(make_member(), event.pk, [ME]).is_coming
    clock.move_to(start - DAY - timedelta(seconds=1))
    assert register(make_member(), event.pk, [ME]).is_coming
    clock.move_to(start - DAY)
    assert code_of(register, make_member(), event.pk, [ME]) == "too_late"


def test_until_the_deadline_one_changes_and_cancels_and_then_asks_the_host(clock: Any) -> None:
    event = coming_up(fixed_before=2 * MINUTES["day"])
    member = make_member()
    row = register(member, event.pk, [ME])
    clock.move_to(event.starts_at - 2 * DAY - timedelta(seconds=1))
    assert change_party(member, row.pk, [ME, Person("Noor")]).party_size == 2
    clock.move_to(event.starts_at - 2 * DAY)
    assert code_of(change_party, member, row.pk, [ME]) == "too_late"
    assert code_of(cancel, member, row.pk) == "too_late"
    page = make_client(member).get(f"/registrations/{row.public_id}/").content.decode()
    assert "tell the host" in page and "/cancel/" not in page
    assert register(make_member(), event.pk, [ME]).is_coming, "coming late is still welcome"


def test_who_only_waits_may_go_after_the_deadline(clock: Any) -> None:
    event = coming_up(capacity=1, waiting_list="strict", fixed_before=2 * MINUTES["day"])
    register(make_member(), event.pk, [ME])
    member = make_member()
    row = register(member, event.pk, [ME], wait=True)
    clock.move_to(event.starts_at - DAY)
    assert cancel(member, row.pk).state == "cancelled"


def test_the_times_move_along_with_the_event() -> None:
    host = make_host()
    event = coming_up(host=host, closes_before=MINUTES["hour"])
    wall = event.local_start.replace(tzinfo=None) + 3 * DAY
    changed = hosting.change(host, event.pk, {"starts_at": wall})
    assert changed.starts_at - changed.closes_at == HOUR


def test_the_page_says_when_it_opens_and_when_it_closed(clock: Any) -> None:
    event = coming_up(opens_before=2 * MINUTES["day"], closes_before=MINUTES["day"])
    client = make_client(make_member())
    assert "Registration opens" in client.get(event.get_absolute_url()).content.decode()
    clock.move_to(event.starts_at - HOUR)
    page = client.get(event.get_absolute_url()).content.decode()
    assert "Registration closed" in page and 'name="guests"' not in page


def test_the_api_takes_wall_times_and_gives_them_with_their_offset() -> None:
    host = make_host()
    event = coming_up(host=host)
    client = make_client(host)
    start = event.local_start.replace(tzinfo=None)
    url = f"/api/v1/events/{event.public_id}/"
    said = {"registration_closes_at": f"{start - DAY:%Y-%m-%dT%H:%M:%S}", "by_approval": True}
    answer = client.patch(url, said, "application/json", headers={"If-Match": '"1"'})
    assert answer.status_code == 200, answer.json()
    assert answer.json()["registration_closes_at"] == (event.local_start - DAY).isoformat(timespec="seconds")
    assert answer.json()["by_approval"] is True
    late = {"changes_until": f"{start + DAY:%Y-%m-%dT%H:%M:%S}"}
    refused = client.patch(url, late, "application/json", headers={"If-Match": '"2"'})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["changes_until"])


def test_the_editor_keeps_times_that_a_program_chose() -> None:
    host = make_host()
    event = coming_up(host=host, closes_before=95)
    page = make_client(host).get(f"{event.get_absolute_url()}edit/").content.decode()
    assert '<option value="95" selected>95 minutes before</option>' in page


# -- yes and no


@pytest.fixture
def host() -> Any:
    return make_host()


@pytest.fixture
def event(host: Any) -> Event:
    return coming_up(host=host, capacity=2, waiting_list="strict", by_approval=True)


def test_a_party_asks_holds_no_place_and_the_host_hears_of_it_once(host: Any, event: Event) -> None:
    row = asked(event, 2)
    assert (row.state, taken(event), row.is_coming) == ("requested", 0, False)
    assert Mail.objects.filter(kind="event_asked", to=row.member.email).count() == 1
    (mail,) = Mail.objects.filter(kind="event_request", to=host.email)
    assert f"/events/{event.public_id}/guests/" in mail.text
    assert not Participant.objects.filter(member=row.member).exists()


def test_a_yes_gives_places_ticket_room_and_mail_once(host: Any, event: Event) -> None:
    row = asked(event, 2)
    for _again in range(2):
        assert approval.approve(host, row.pk).state == "confirmed"
    assert (taken(event), row.claims.get().n) == (2, 2)
    assert Participant.objects.filter(member=row.member, left_seq=None).exists()
    (mail,) = Mail.objects.filter(kind="event_registered", to=row.member.email)
    assert "METHOD:REQUEST" in mail.attachment


def test_a_yes_when_it_is_full_is_a_place_in_the_line_by_when_they_asked(host: Any, event: Event) -> None:
    first, second, third = asked(event), asked(event), asked(event)
    sitting = approval.approve(host, asked(event, 2).pk)
    assert approval.approve(host, third.pk).state == "waiting"
    assert approval.approve(host, first.pk).state == "waiting"
    cancel(sitting.member, sitting.pk)
    for row, state in ((first, "offered"), (third, "offered"), (second, "requested")):
        row.refresh_from_db()
        assert row.state == state
    assert taken(event) == 2


def test_without_a_waiting_list_a_yes_that_does_not_fit_is_refused_and_changes_nothing(host: Any) -> None:
    event = coming_up(host=host, capacity=2, by_approval=True)
    row, first = asked(event, 2), asked(event)
    approval.approve(host, first.pk)
    assert code_of(approval.approve, host, row.pk) == "full"
    row.refresh_from_db()
    assert (row.state, taken(event)) == ("requested", 1)


def test_a_no_of_who_has_not_seen_the_yes_of_another_takes_nobody_out(host: Any, event: Event) -> None:
    row = asked(event)
    approval.approve(host, row.pk, version=row.version)
    assert code_of(approval.turn_down, host, row.pk, version=row.version) == "stale"
    page = make_client(host).post(
        f"/registrations/{row.public_id}/decide/", {"answer": "no", "version": row.version}, follow=True
    )
    assert "answered or changed this party meanwhile" in page.text
    row.refresh_from_db()
    assert row.is_coming and not Mail.objects.filter(kind="event_turned_down").exists()
    assert approval.turn_down(host, row.pk, version=row.version).state == "cancelled"


def test_a_no_comes_with_the_hosts_words_and_is_not_asked_again(host: Any, event: Event) -> None:
    row = asked(event)
    for _again in range(2):
        assert approval.turn_down(host, row.pk, "It is for beginners.").state == "declined"
    (mail,) = Mail.objects.filter(kind="event_turned_down", to=row.member.email)
    assert "It is for beginners." in mail.text
    assert code_of(register, row.member, event.pk, [ME]) == "closed"
    assert Mail.objects.filter(kind="event_request").count() == 1
    assert code_of(approval.approve, host, row.pk) == "closed"


def test_a_no_to_who_comes_passes_their_place_on(host: Any, event: Event) -> None:
    sitting = approval.approve(host, asked(event, 2).pk)
    waits = approval.approve(host, asked(event).pk)
    assert approval.turn_down(host, sitting.pk).state == "cancelled"
    waits.refresh_from_db()
    assert (waits.state, taken(event)) == ("offered", 1)
    (mail,) = Mail.objects.filter(kind="event_turned_down")
    assert "METHOD:CANCEL" in mail.attachment


def test_nobody_is_turned_down_once_it_has_begun(clock: Any, host: Any, event: Event) -> None:
    row = approval.approve(host, asked(event).pk)
    clock.move_to(event.starts_at)
    assert code_of(approval.turn_down, host, row.pk) == "too_late"


def test_only_who_runs_it_decides(event: Event) -> None:
    row = asked(event)
    with pytest.raises(PermissionDenied):
        approval.approve(row.member, row.pk)
    with pytest.raises(Registration.DoesNotExist):
        approval.turn_down(make_member(), row.pk)


def test_the_party_can_be_changed_while_it_asks_and_does_not_grow_after_a_yes(
    host: Any, event: Event
) -> None:
    row = asked(event)
    assert change_party(row.member, row.pk, [ME, Person("Noor")]).party_size == 2
    approval.approve(host, row.pk)
    assert change_party(row.member, row.pk, [ME]).party_size == 1
    assert code_of(change_party, row.member, row.pk, [ME, Person("Noor")]) == "closed"
    assert taken(event) == 1


def test_who_runs_it_need_not_ask(host: Any, event: Event) -> None:
    assert register(host, event.pk, [ME]).state == "confirmed"


def test_the_page_of_guests_decides(host: Any, event: Event) -> None:
    row, other = asked(event), asked(event)
    client = make_client(host)
    page = client.get(f"{event.get_absolute_url()}guests/").content.decode()
    assert str(row.member) in page and "asks to come" in page
    unclear = client.post(f"/registrations/{row.public_id}/decide/", {"text": "?"}, follow=True)
    assert unclear.status_code == 200
    row.refresh_from_db()
    assert row.state == "requested"
    client.post(f"/registrations/{row.public_id}/decide/", {"answer": "yes"})
    client.post(f"/registrations/{other.public_id}/decide/", {"answer": "no", "text": "Sorry."})
    row.refresh_from_db(), other.refresh_from_db()
    assert (row.state, other.state) == ("confirmed", "declined")
    theirs = make_client(other.member).get(f"/registrations/{other.public_id}/").content.decode()
    assert "could not say yes" in theirs


def test_the_api_approves_and_turns_down(host: Any, event: Event) -> None:
    row, other = asked(event), asked(event)
    headers = {"Authorization": f"Bearer {issue_token(host, 't')}"}
    client = make_client(make_member())
    yes = client.post(f"/api/v1/registrations/{row.public_id}/approve/", headers=headers)
    assert (yes.status_code, yes.json()["status"]) == (200, "confirmed")
    no = client.post(
        f"/api/v1/registrations/{other.public_id}/turn-down/",
        {"text": "Sorry."},
        "application/json",
        headers=headers,
    )
    assert (no.status_code, no.json()["status"]) == (200, "declined")


@pytest.mark.django_db(transaction=True)
def test_yes_to_many_at_once_seats_no_more_than_there_are_places() -> None:
    host = make_host()
    event = coming_up(host=host, capacity=3, by_approval=True)
    rows = [asked(event) for _n in range(8)]

    def decide(row: Registration) -> str:
        try:
            return str(approval.approve(host, row.pk).state)
        except ValidationError as no:
            return str(no.code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        told = sorted(pool.map(decide, rows))
    assert told == ["confirmed"] * 3 + ["full"] * 5
    assert taken(event) == 3


@pytest.mark.django_db(transaction=True)
def test_a_yes_against_a_withdrawal_leaves_either_a_guest_or_a_free_place() -> None:
    host = make_host()
    event = coming_up(host=host, capacity=5, by_approval=True)

    def at_once(row: Registration) -> None:
        def run(work: Any) -> None:
            try:
                work()
            except ValidationError:
                pass
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, (lambda: approval.approve(host, row.pk), lambda: cancel(row.member, row.pk))))

    for _n in range(5):
        row = asked(event)
        at_once(row)
        row.refresh_from_db()
        assert (row.state, row.claims.count()) == ("cancelled", 0)
    assert taken(event) == 0


@pytest.mark.parametrize(
    ("field", "words"), [("closes_before", "closed already"), ("fixed_before", "nobody could ever")]
)
def test_what_is_published_leaves_time_to_register_and_to_change(field: str, words: str) -> None:
    host = make_host(centre=make_centre())
    soon = (times.now() + timedelta(days=2)).replace(tzinfo=None, microsecond=0)
    plan: Any = {"title": "Picnic", "starts_at": soon, "timezone": "Europe/Brussels", field: 90 * 24 * 60}
    with pytest.raises(ValidationError) as refused:
        hosting.publish(host, plan)
    assert words in refused.value.message_dict[field][0]
    draft = hosting.publish(host, plan, is_draft=True)
    with pytest.raises(ValidationError):
        hosting.publish_draft(host, draft.pk)
    assert hosting.publish(host, plan | {field: 60}).state == "published"
