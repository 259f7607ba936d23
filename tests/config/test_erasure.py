"""Being forgotten: nothing of a member is left anywhere, and nothing of anybody else is lost."""

import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection
from django.test import Client

from community import circles, households, privacy
from community.models import Centre, Circle, CircleMembership, Erasure, HouseholdAdult, Member, SecurityRecord
from config.sqlite.base import truncate_log
from events import calendars
from events.models import Attendee, Event, Pool, Registration
from events.registration import Person, register
from realtime import chat, clock, reading, rooms
from realtime.models import Entry, Mail, Room
from tests.factories import (
    make_child,
    make_circle,
    make_event,
    make_household,
    make_manager,
    make_member,
    make_room,
)
from tests.lives import Life, make_life

pytestmark = pytest.mark.django_db


def everywhere() -> list[tuple[str, str]]:
    """Every value of every row of every table, and every key and value of the cache, as text."""
    found: list[tuple[str, str]] = []
    for model in apps.get_models(include_auto_created=True):
        names = [column.attname for column in model._meta.concrete_fields]
        for row in model._default_manager.values_list(*names):
            found += [
                (f"{model._meta.label}.{name}", str(value)) for name, value in zip(names, row, strict=True)
            ]
    found += [("session", str(session.get_decoded())) for session in Session.objects.all()]
    if settings.REDIS_URL:
        client = redis.Redis.from_url(settings.REDIS_URL)
        found += [("redis", str(key)) for key in client.scan_iter()]
        found += [("redis", str(client.get(key))) for key in client.scan_iter(_type="string")]
    return found


def left_of(life: Life) -> list[str]:
    """Where anything of this life still stands: its marks, its number."""
    names = {life.mark, str(life.member.pk), life.member.public_id}
    return [
        f"{where}: {text[:60]}"
        for where, text in everywhere()
        if any(name in text.lower() for name in names) and where != "community.Erasure.member_id"
    ]


@pytest.fixture
def lives(region: Any) -> tuple[Life, Life]:
    """Two members with a whole life each; the second sits in the first one's circle."""
    other = make_life("b")
    return make_life("a", other.member), other


def test_nothing_is_left_anywhere(lives: tuple[Life, Life]):
    life, other = lives
    assert left_of(life)
    before = len(left_of(other))
    privacy.erase(life.member.pk)
    assert left_of(life) == []
    assert not Member.objects.filter(pk=life.member.pk).exists()
    # in the circle they shared, who stayed was made host: that is one place more, and one mail
    assert len(left_of(other)) >= before


def test_the_canaries_are_seen_when_a_step_is_left_out(
    lives: tuple[Life, Life], monkeypatch: pytest.MonkeyPatch
):
    life, _other = lives
    monkeypatch.setattr(chat, "forget", lambda _member_id: None)
    privacy.erase(life.member.pk)
    assert any("Entry.text" in where for where in left_of(life))


def test_erasing_twice_is_erasing_once(lives: tuple[Life, Life]):
    life, _other = lives
    privacy.erase(life.member.pk)
    at_first = [pair for pair in everywhere() if not pair[0].startswith("community.SecurityRecord")]
    done = Erasure.objects.get(member_id=life.member.pk).done_at
    privacy.erase(life.member.pk)
    assert [pair for pair in everywhere() if not pair[0].startswith("community.SecurityRecord")] == at_first
    assert Erasure.objects.get(member_id=life.member.pk).done_at == done


def test_a_restored_backup_forgets_again(lives: tuple[Life, Life]):
    """The number outlives the member, and erasing somebody who was never asked for leaves it, too."""
    life, _other = lives
    Erasure.objects.all().delete()
    privacy.erase(life.member.pk)
    assert Erasure.objects.get().member_id == life.member.pk


def test_numbers_kept_beside_the_backup_forget_again(monkeypatch: pytest.MonkeyPatch):
    gone = make_member()
    Erasure.objects.create(member_id=4711, due_at=clock.now(), done_at=clock.now())
    numbers = StringIO()
    call_command("erased", stdout=numbers)
    assert numbers.getvalue() == "4711\n"
    monkeypatch.setattr(sys, "stdin", StringIO(f"{gone.pk}\n4711\n"))
    call_command("erased", "--again", stderr=StringIO())
    assert not Member.objects.filter(pk=gone.pk).exists()


# Talk


def test_the_room_keeps_its_order_and_its_counts(committed: Any):
    gone, stays = make_member(), make_member()
    room = make_room(gone, stays)
    for number in range(3):
        chat.post(gone, room.pk, f"secret {number}", uuid.uuid4())
        chat.post(stays, room.pk, f"answer {number}", uuid.uuid4(), reply_to=number * 2 + 1)
    chat.react(gone, room.pk, 2, "👍", True, uuid.uuid4())
    before = reading.history(stays, room.pk).rows
    heads = rooms.heads([room.pk])[room.pk]
    with committed():
        privacy.erase(gone.pk)
    after = reading.history(stays, room.pk).rows
    assert [(row["seq"], row["n"]) for row in after] == [(row["seq"], row["n"]) for row in before]
    assert [row["body"] and row["body"]["text"] for row in after] == [
        "answer 2",
        None,
        "answer 1",
        None,
        "answer 0",
        None,
    ]
    assert [row["author"] is None for row in after] == [False, True] * 3
    assert all("reactions" not in row["body"] for row in after if row["body"])
    head, n = rooms.heads([room.pk])[room.pk]
    assert n == heads[1]
    log = reading.entries(stays, room.pk, 0).rows
    assert [row["seq"] for row in log] == list(range(1, head + 1))
    assert "secret" not in str(log)


def test_open_pages_are_told_to_read_anew():
    gone, stays = make_member(), make_member()
    room = make_room(gone, stays)
    chat.post(gone, room.pk, "secret", uuid.uuid4())
    head = rooms.heads([room.pk])[room.pk][0]
    privacy.erase(gone.pk)
    news = reading.entries(stays, room.pk, head).rows
    assert [row["kind"] for row in news] == ["leave", "forget"]
    (message,) = reading.history(stays, room.pk).rows
    assert message["rev"] == news[-1]["seq"], "an older page must see that it has changed"


def test_many_messages_go_in_steps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chat, "FORGET_AT_ONCE", 4)
    gone = make_member()
    room = make_room(gone)
    for number in range(10):
        chat.post(gone, room.pk, f"secret {number}", uuid.uuid4())
    chat.forget(gone.pk)
    assert Entry.objects.filter(room=room, kind="forget").count() == 3
    assert not Entry.objects.filter(author=gone.pk).exists()
    assert not Entry.objects.filter(room=room).exclude(text="").exists()


def test_who_is_being_erased_can_say_nothing_more():
    gone = make_member()
    room = make_room(gone, make_member())
    privacy.erase(gone.pk)
    with pytest.raises(Room.DoesNotExist):
        chat.post(gone, room.pk, "one more thing", uuid.uuid4())


@pytest.mark.parametrize("guarded", [True, False])
def test_what_is_written_between_two_steps_is_forgotten_too(monkeypatch: pytest.MonkeyPatch, guarded: bool):
    """The last step looks once more, under the lock of the member. With that look left out, the words stay."""
    gone = make_member()
    room = make_room(gone, make_member())
    passes: list[int] = []
    really = chat.forget

    def forget(member_id: int) -> None:
        passes.append(member_id)
        if len(passes) == 1:
            really(member_id)
            rooms.enter(room, gone)  # a request that was under way when the doors were shut
            chat.post(gone, room.pk, "slipped through", uuid.uuid4())
        elif guarded:
            really(member_id)

    monkeypatch.setattr(chat, "forget", forget)
    privacy.erase(gone.pk)
    assert Entry.objects.filter(text="slipped through").exists() is not guarded


@pytest.mark.django_db(transaction=True)
def test_who_keeps_writing_while_being_erased_leaves_nothing_behind():
    gone, stays = make_member(), make_member()
    room = make_room(gone, stays)
    began, erased = threading.Event(), threading.Event()

    def write() -> int:
        """Writes until it is refused; how often it was not. What is written after the erasure is a failure."""
        try:
            for said in count():
                was_erased = erased.is_set()
                try:
                    chat.post(gone, room.pk, f"secret {said}", uuid.uuid4())
                except (Room.DoesNotExist, IntegrityError):
                    return said
                assert not was_erased
                began.set()
        finally:
            began.set()
            connection.close()
        raise AssertionError

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        assert began.wait(20)
        privacy.erase(gone.pk)
        erased.set()
        said = writing.result(60)
    assert said > 0
    assert not Entry.objects.filter(text__startswith="secret").exists()
    assert Entry.objects.filter(room=room, kind="message", author=None).count() == said
    seqs = list(Entry.objects.filter(room=room).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))


# Others


def test_circles_pass_to_who_is_in_longest_and_empty_ones_close():
    gone, first, second = make_member(), make_member(), make_member()
    kept, alone = make_circle(first, second, host=gone), make_circle(host=gone)
    assert {duty.name for duty in privacy.duties_of(gone)} == {kept.name, alone.name}
    privacy.erase(gone.pk)
    places = CircleMembership.objects.filter(circle=kept)
    assert [place.member for place in places.filter(is_host=True)] == [first]
    assert Circle.objects.get(pk=kept.pk).size == 2
    assert Mail.objects.get(kind="circle_inherited").member == first
    assert Circle.objects.get(pk=alone.pk).closed_at is not None
    assert [circle.pk for circle in circles.circles_of(first)] == [kept.pk]


def test_events_pass_to_the_manager_of_the_centre():
    event = make_event()
    manager = make_manager(event.centre)
    host = event.host
    (duty,) = privacy.duties_of(host)
    assert "manager" in str(duty.becomes)
    privacy.erase(host.pk)
    event.refresh_from_db()
    assert (event.host, event.state) == (manager, Event.State.PUBLISHED)
    told = Mail.objects.get(kind="event_inherited", member=manager)
    assert "You host 1 more event now" in told.subject
    assert event.title in told.text


def test_events_without_an_heir_are_called_off_and_their_guests_are_told():
    event = make_event()
    guest = make_member()
    register(guest, event.pk, [Person()])
    past = make_event(host=event.host, centre=event.centre, starts_at=clock.now() - timedelta(days=3))
    privacy.erase(event.host_id)
    event.refresh_from_db()
    past.refresh_from_db()
    assert event.state == Event.State.CANCELLED
    assert past.state == Event.State.PUBLISHED
    assert Mail.objects.filter(kind="event_called_off", member=guest).exists()
    assert (str(event.host), event.host.is_active, event.host) == ("…", False, past.host)


def test_places_are_freed_and_the_line_moves_up():
    event = make_event(capacity=1, waiting_list="strict")
    gone, waits = make_member(), make_member()
    mine = register(gone, event.pk, [Person()])
    theirs = register(waits, event.pk, [Person()], wait=True)
    privacy.erase(gone.pk)
    theirs.refresh_from_db()
    assert theirs.state == "offered"
    assert Pool.objects.get(event=event).taken == 1
    assert Registration.objects.get(pk=mine.pk).member is None


def test_the_past_keeps_its_numbers_and_no_names():
    event = make_event()
    gone = make_member()
    mine = register(gone, event.pk, [Person(), Person(name="Grandma"), Person(name="Uncle")])
    Event.objects.filter(pk=event.pk).update(
        starts_at=clock.now() - timedelta(days=2), ends_at=clock.now() - timedelta(days=2, hours=-1)
    )
    privacy.erase(gone.pk)
    mine.refresh_from_db()
    assert (mine.state, mine.party_size) == ("confirmed", 3)
    assert set(Attendee.objects.filter(registration=mine).values_list("name", flat=True)) == {""}
    assert Pool.objects.get(event=event).taken == 3


def test_a_partner_keeps_the_household_the_children_and_their_own_party():
    gone, partner = make_member(display_name="Quirinus"), make_member()
    home = make_household(gone, partner)
    child = make_child(home)
    event = make_event()
    party = [Person(), Person(member_id=gone.pk), Person(child_id=child.pk)]
    theirs = register(partner, event.pk, party)
    privacy.erase(gone.pk)
    assert [adult.member for adult in HouseholdAdult.objects.filter(household=home)] == [partner]
    assert households.children_of(home) == [child]
    theirs.refresh_from_db()
    assert theirs.party_size == 2
    assert not any("Quirinus" in text for _where, text in everywhere())


# The way there


def test_asking_changes_nothing_for_fourteen_days(clock: Any, client: Client):
    member = make_member()
    erasure = privacy.ask_erasure(member)
    assert privacy.ask_erasure(member).due_at == erasure.due_at
    assert Mail.objects.filter(kind="erasure_asked", member=member).count() == 1
    clock.shift(timedelta(days=13, hours=23))
    assert privacy.erase_due() == 0
    client.force_login(member)
    assert "Keep my account" in client.get("/events/").content.decode()
    clock.shift(timedelta(hours=1))
    assert privacy.erase_due() == 1
    assert not Member.objects.filter(pk=member.pk).exists()
    assert privacy.erase_due() == 0


def test_the_reminder_comes_once_and_two_days_before(clock: Any):
    privacy.ask_erasure(make_member())
    clock.shift(timedelta(days=11, hours=23))
    assert privacy.remind_due() == 0
    clock.shift(timedelta(hours=1))
    assert (privacy.remind_due(), privacy.remind_due()) == (1, 0)


def test_one_button_keeps_the_account(client: Client, clock: Any):
    member = make_member()
    privacy.ask_erasure(member)
    client.force_login(member)
    client.post("/me/data/keep/")
    clock.shift(timedelta(days=15))
    assert privacy.erase_due() == 0
    assert "Keep my account" not in client.get("/me/").content.decode()
    actions = SecurityRecord.objects.filter(subject=member).order_by("pk").values_list("action", flat=True)
    assert [action for action in actions if "erasure" in action] == ["erasure_asked", "erasure_withdrawn"]


def test_the_page_says_what_goes_and_asks(client: Client):
    event = make_event()
    client.force_login(event.host)
    page = client.get("/me/data/erase/").content.decode()
    assert event.title in page
    assert client.post("/me/data/erase/").headers["Location"] == "/me/data/"
    assert privacy.erasure_of(event.host_id) is not None


def test_a_program_may_ask_too(client: Client):
    member = make_member()
    client.force_login(member)
    assert client.delete("/api/v1/me/").status_code == 204
    assert privacy.erasure_of(member.pk) is not None


def test_the_calendar_of_somebody_who_has_gone_is_not_there(client: Client):
    member = make_member()
    path = f"/calendar/{calendars.feed_token(member)}.ics"
    assert client.get(path).status_code == 200
    privacy.erase(member.pk)
    assert client.get(path).status_code == 404


def test_a_session_that_was_open_is_at_an_end(client: Client):
    member = make_member()
    client.force_login(member)
    privacy.erase(member.pk)
    assert client.get("/me/").status_code == 302
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_database_file_forgets_too():
    """SQLite only marks a row as free: without secure_delete its words stay in the file."""
    if connection.vendor != "sqlite":
        return
    gone = make_member(display_name="Zyxwvutsrq")
    room = make_room(gone)
    chat.post(gone, room.pk, "Pneumonoultramicroscopic", uuid.uuid4())
    privacy.erase(gone.pk)
    truncate_log()
    file = Path(connection.settings_dict["NAME"])
    held = file.read_bytes() + file.with_name(f"{file.name}-wal").read_bytes()
    assert b"Pneumonoultramicroscopic" not in held
    assert b"Zyxwvutsrq" not in held


def test_from_the_day_on_nobody_can_take_it_back(clock: Any):
    member = make_member()
    privacy.ask_erasure(member)
    clock.shift(privacy.GRACE)
    with pytest.raises(ValidationError, match="fourteen days are over"):
        privacy.withdraw_erasure(member)
    assert privacy.erase_due() == 1
    assert not Member.objects.filter(pk=member.pk).exists()


def test_the_last_manager_is_told_that_their_centre_has_none_then():
    manager = make_manager()
    assert [duty.becomes for duty in privacy.duties_of(manager)] == [privacy.NO_MANAGER]
    make_manager(Centre.objects.get())
    assert privacy.duties_of(manager) == []
