"""A backup holds everything as of one moment; a restore brings back all of it, or changes nothing."""

import io
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pyrage
import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models import AutoField, BigAutoField
from django.test import Client
from pyrage.x25519 import Identity

from community import exports, privacy, roles
from community.models import ApiToken, Erasure, Export, ExportPart, Member, Role
from community.sign_ins import issue_token, member_for_token
from config import archive, backup
from config.management.commands.backup import Command as Backup
from events import calendars, cohosts, desk, hosting, inquiries, invited, inviting, registration
from events.gates import dismiss_helper, gate_for_token, name_helper, open_gate, pair
from events.models import DoorHelper, Event, Gate, Inquiry, Invitation, InvitationStop
from realtime import chat, clock, conversations, notify, rooms
from realtime.models import Entry, Mail, MailedKey, Room, Site
from tests.factories import (
    make_centre,
    make_event,
    make_host,
    make_manager,
    make_member,
    make_registration,
    make_room,
)

pytestmark = pytest.mark.django_db(transaction=True)

KEY = Identity.generate()
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def _keys_and_files(settings, tmp_path):
    settings.BACKUP_KEY = str(KEY.to_public())
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def key_file(tmp_path) -> Path:
    path = tmp_path / "backup.key"
    path.write_text(f"# created by a test\n# public key: {KEY.to_public()}\n{KEY}\n")
    return path


def back_up(path: Path) -> Path:
    call_command("backup", str(path), stderr=io.StringIO())
    return path


def restore(path: Path, key: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("restore", str(path), key=key, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def everything() -> Rows:
    """Every row of every table, by its key."""
    return {name: list(backup.rows(model)) for name, model in archive.tables().items()}


def without(rows: Rows, *names: str) -> Rows:
    return {name: of for name, of in rows.items() if name not in names}


def opened(path: Path) -> bytes:
    """What a backup says, to whoever has age and zcat."""
    with path.open("rb") as file:
        found: list[bytes] = []
        archive.read(file, KEY, lambda line: found.append(archive.line_of(line)))
    return b"".join(found)


def a_few_rows() -> Member:
    member = make_member(display_name="Zoë 🎈")
    chat.post(member, make_room(member).pk, "Où? “Dort” — 09:00\n\t\\", uuid4())
    make_event(host=member)
    return member


def elsewhere(var: Path, *, same_database: bool) -> dict[str, str]:
    """The environment of a site in another folder: on this test's database, or on a new one of SQLite."""
    var.mkdir(exist_ok=True)
    given = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    given |= {"VAR_DIR": str(var), "BACKUP_KEY": str(KEY.to_public())}
    name = str(connection.settings_dict["NAME"])
    if same_database and connection.vendor == "sqlite":
        (var / "circles.sqlite3").symlink_to(name)
    elif same_database:
        given["DATABASE_URL"] = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    return given


def manage(environment: dict[str, str], *command: str) -> bytes:
    whole = [sys.executable, str(settings.ROOT / "platform/manage.py"), *command]
    ended = subprocess.run(whole, env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


def test_a_living_region_goes_to_another_database_and_comes_back_row_for_row(
    region, tmp_path, key_file, settings
):
    """Out of this database, into a new one of SQLite, out of that (through a pipe), and into this one emptied."""
    call_command("demo", quiet=True)
    (settings.MEDIA_ROOT / "export").mkdir(parents=True)
    (settings.MEDIA_ROOT / "export/one.bin").write_bytes(os.urandom(700_000))
    (settings.MEDIA_ROOT / "empty").touch()
    before, files = everything(), (settings.MEDIA_ROOT / "export/one.bin").read_bytes()
    assert len(before["events.Event"]) >= 75 and len(before["realtime.Entry"]) >= 300
    first = back_up(tmp_path / "first.age")

    other = elsewhere(tmp_path / "other", same_database=False)
    manage(other, "migrate", "--verbosity=0")
    manage(other, "restore", str(first), "--key", str(key_file), "--send-queued")
    second = tmp_path / "second.age"
    second.write_bytes(manage(other, "backup", "-"))
    assert (tmp_path / "other/media/export/one.bin").read_bytes() == files

    call_command("flush", interactive=False, verbosity=0, reset_sequences=True)
    (settings.MEDIA_ROOT / "of-somebody-erased").touch()
    restore(second, key_file, send_queued=True)
    after = everything()
    assert without(after, "realtime.Site") == without(before, "realtime.Site")
    assert rooms.epoch() > 1
    assert sorted(path.name for path in settings.MEDIA_ROOT.rglob("*")) == ["empty", "export", "one.bin"]
    assert (settings.MEDIA_ROOT / "export/one.bin").read_bytes() == files

    for (
        model
    ) in archive.tables().values():  # the next row has a number of its own, in every table that counts
        if isinstance(model._meta.pk, AutoField | BigAutoField) and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                table = model._meta.db_table
                cursor.execute(
                    "SELECT nextval(pg_get_serial_sequence(%s, %s))", [table, model._meta.pk.column]
                )
                newest = model._base_manager.order_by("-pk").values_list("pk", flat=True).first() or 0
                assert cursor.fetchone()[0] > newest, table
    member = Member.objects.filter(
        is_active=True, roles=None, onboarded_at__isnull=False
    ).first()  # no lock asks first
    chat.post(member, conversations.of(member)[0].room_id, "Life goes on", uuid4())
    visitor = Client()
    visitor.force_login(member)
    for page in ("/", "/events/", "/circles/", "/me/", "/chat/"):
        assert visitor.get(page).status_code == 200, page
    program = Client(headers={"Authorization": f"Bearer {issue_token(member, 'x')}"})
    assert program.get("/api/v1/me/").status_code == 200


def test_what_is_written_meanwhile_waits_for_nothing_and_is_not_in_it(tmp_path):
    def lines_while_somebody_writes() -> bytes:
        title = f"Late {Room.objects.count()}"

        def write() -> None:
            Room.objects.create(kind=Room.Kind.DIRECT, title=title)
            connections.close_all()

        lines = backup.lines(lambda _line: None)
        text = next(lines)
        while b'"table"' not in text:
            text = next(lines)
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(10)
        assert not writer.is_alive()
        return title.encode() if title.encode() in b"".join(lines) else b""

    with backup.snapshot():
        assert lines_while_somebody_writes() == b""
    assert Room.objects.get().title == "Late 0"
    assert (
        lines_while_somebody_writes() == b"Late 1"
    )  # without the snapshot it is half of this and half of that


def test_nobody_can_read_a_backup_but_who_has_the_private_key(tmp_path, key_file):
    member = a_few_rows()
    path = back_up(tmp_path / "a.age")
    assert path.stat().st_mode & 0o777 == 0o600
    assert member.email.encode() not in path.read_bytes() and member.email.encode() in opened(path)
    stranger = tmp_path / "stranger.key"
    stranger.write_text(str(Identity.generate()))
    before = everything()
    with pytest.raises(CommandError, match="does not open the backup"):
        restore(path, stranger, replace=True)
    with pytest.raises(CommandError, match="takes its private key"):
        call_command("restore", str(path), replace=True)  # BACKUP_KEY is the public one
    assert everything() == before


def test_two_keys_each_open_it(tmp_path):
    a_few_rows()
    keys = [Identity.generate(), Identity.generate()]
    path = tmp_path / "a.age"
    call_command(
        "backup", str(path), key=", ".join(str(key.to_public()) for key in keys), stderr=io.StringIO()
    )
    for number, key in enumerate(keys):
        key_file = tmp_path / f"{number}.key"
        key_file.write_text(str(key))
        assert "whole" in restore(path, key_file, check=True)


@pytest.mark.parametrize(
    ("key", "line"),
    [("", "age1…"), ("age1nonsense", "age1…"), (str(KEY), f"the public one: {KEY.to_public()}")],
    ids=["none", "nonsense", "private"],
)
def test_a_backup_needs_a_public_key(tmp_path, settings, key: str, line: str):
    settings.BACKUP_KEY = key
    with pytest.raises(CommandError, match=line):
        back_up(tmp_path / "a.age")
    assert not list(tmp_path.glob("a.age*"))


def test_a_backup_that_fails_leaves_neither_half_a_file_nor_takes_the_last_one(tmp_path, settings):
    a_few_rows()
    path = back_up(tmp_path / "a.age")
    was = path.read_bytes()

    class Full(Backup):
        def say(self, line: str) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(CommandError, match="No space left"):
        call_command(Full(), str(path))
    assert path.read_bytes() == was
    assert [found.name for found in tmp_path.glob("a.age*")] == ["a.age"]


@pytest.mark.parametrize("cut", [0, 10, 150, 1_000, 65_752, -1, -20_000])
def test_a_backup_that_was_cut_off_changes_nothing(tmp_path, key_file, settings, cut: int):
    a_few_rows()
    settings.MEDIA_ROOT.mkdir()
    (settings.MEDIA_ROOT / "noise").write_bytes(os.urandom(100_000))
    path = back_up(tmp_path / "a.age")
    path.write_bytes(path.read_bytes()[:cut])
    refused(path, key_file, "backup")


@pytest.mark.parametrize("at", [20, 100, 300, 5_000, -1])
def test_a_backup_that_was_changed_changes_nothing(tmp_path, key_file, at: int):
    a_few_rows()
    path = back_up(tmp_path / "a.age")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    refused(path, key_file, "backup")


def refused(path: Path, key: Path, why: str) -> None:
    """The restore says no in one line, and everything is as it was."""
    before = everything()
    with pytest.raises(CommandError, match=why) as no:
        restore(path, key, replace=True)
    assert len(str(no.value).splitlines()) == 1
    assert everything() == before


def rewritten(path: Path, change: Any) -> Path:
    """The same backup, its lines changed by somebody who has the key to make one."""
    lines = opened(path).splitlines(keepends=True)
    with path.open("wb") as file:
        archive.write(iter(change(lines)), file, [KEY.to_public()])
    return path


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]], "has form 2"),
        (
            lambda lines: [lines[0].replace(b"realtime.0001", b"realtime.0999"), *lines[1:]],
            "install that version",
        ),
        (lambda lines: [lines[0].replace(b"euregio", b"other"), *lines[1:]], "no backup of this software"),
        (lambda lines: lines[1:], "no backup of this software"),
        (lambda lines: lines[:-1], "last line is missing"),
        (lambda lines: [*lines, lines[1]], "goes on after its end"),
        (lambda lines: [line for line in lines if b"Zo" not in line], "incomplete"),
        (lambda lines: [line for line in lines if b'"realtime.Mail"' not in line], "incomplete"),
        (
            lambda lines: [line.replace(b'"display_name",', b"") for line in lines],
            "not the one this version knows",
        ),
        (lambda lines: [*lines[:-1], b'{"file":"../../etc/x"}\n', lines[-1]], "outside its folder"),
        (lambda lines: [*lines[:-1], b"not json\n", lines[-1]], "damaged"),
    ],
    ids=[
        "form",
        "version",
        "other software",
        "no header",
        "no end",
        "two ends",
        "row gone",
        "table gone",
        "column gone",
        "path",
        "no JSON",
    ],
)
def test_a_backup_that_does_not_fit_changes_nothing(tmp_path, key_file, change, why: str):
    a_few_rows()
    refused(rewritten(back_up(tmp_path / "a.age"), change), key_file, why)


def test_a_row_the_database_refuses_leaves_all_as_it_was(tmp_path, key_file):
    """The rows are gone and half of the new ones there when it happens; the transaction takes it back."""
    member = a_few_rows()
    path = back_up(tmp_path / "a.age")
    number = str(member.pk).encode()
    rewritten(path, lambda lines: [line.replace(b"[" + number + b",", b"[17,") for line in lines])
    refused(path, key_file, "Nothing was changed")


def test_a_restore_that_is_killed_leaves_what_was_there(region, tmp_path, key_file):
    call_command("demo", quiet=True)
    path = back_up(tmp_path / "a.age")
    a_few_rows()
    before = everything()
    child = subprocess.Popen(
        [
            *[sys.executable, str(settings.ROOT / "platform/manage.py"), "restore", str(path)],
            *["--key", str(key_file), "--replace"],
        ],
        env=elsewhere(tmp_path / "var", same_database=True),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    for line in child.stderr:
        if line.strip() == "community.Member":  # the events are gone and written again
            child.send_signal(signal.SIGKILL)
            break
    assert child.wait(10) == -signal.SIGKILL
    assert everything() == before


def test_a_house_with_people_in_it_is_not_replaced_unasked(tmp_path, key_file):
    a_few_rows()
    path = back_up(tmp_path / "a.age")
    before = everything()
    with pytest.raises(CommandError, match="--replace"):
        restore(path, key_file)
    assert everything() == before


def test_everybody_signs_in_anew_and_reads_anew(tmp_path, key_file, client):
    client.force_login(make_member())
    path = back_up(tmp_path / "a.age")
    assert b'"table":"sessions.Session"' not in opened(path) and Session.objects.exists()
    Site.objects.update_or_create(pk=1, defaults={"epoch": 2_000_000_000})  # later than any clock says
    restore(path, key_file, replace=True)
    assert not Session.objects.exists()
    assert client.get("/me/").status_code == 302
    assert rooms.epoch() == 2_000_000_001
    first = rooms.epoch()
    call_command("new_epoch", stdout=io.StringIO())
    assert rooms.epoch() == first + 1


def test_one_backup_restored_twice_on_new_machines_gives_two_epochs(tmp_path, key_file, clock):
    a_few_rows()
    path = back_up(tmp_path / "a.age")
    epochs = set()
    for _machine in range(2):
        call_command("flush", interactive=False, verbosity=0)
        restore(path, key_file)
        epochs.add(rooms.epoch())
        clock.shift(3600)
    assert len(epochs) == 2


@pytest.mark.parametrize("is_wanted", [False, True])
def test_mail_that_waited_is_sent_only_when_asked(tmp_path, key_file, is_wanted: bool):
    member = make_member()
    for claim, state in (("a", "queued"), ("b", "sending"), ("c", "sent")):
        words = ("Hello", "Hello")
        notify.mail_rendered("test", to=member.email, language="en", claim=claim, words=words, member=member)
        Mail.objects.filter(claim=claim).update(state=state, claimed_at=clock.now())
    path = back_up(tmp_path / "a.age")
    Mail.objects.update(state=Mail.State.SENT)
    restore(path, key_file, replace=True, send_queued=is_wanted)
    states = [state for (state,) in Mail.objects.order_by("claim").values_list("state")]
    assert states == (["queued", "sending", "sent"] if is_wanted else ["dropped", "dropped", "sent"])


def test_what_was_taken_back_stays_taken_back(tmp_path, key_file):
    member = make_member()
    kept, revoked = issue_token(member, "kept"), issue_token(member, "revoked")
    event = make_event(host=member)
    open_, closed = (open_gate(pair(member, event.pk))[1] for _ in range(2))
    path = back_up(tmp_path / "a.age")
    ApiToken.objects.filter(name="revoked").update(revoked_at=clock.now())
    Gate.objects.filter(digest=ApiToken.digest_of(closed)).update(closed_at=clock.now())
    Event.objects.update(title="Changed since")
    restore(path, key_file, replace=True)
    assert Event.objects.get().title != "Changed since"
    assert member_for_token(kept) == member and member_for_token(revoked) is None
    assert gate_for_token(open_) is not None and gate_for_token(closed) is None


def test_rights_and_addresses_taken_back_since_do_not_come_back(tmp_path, key_file):
    centre = make_centre()
    first, second = make_manager(centre), make_manager(centre)
    host, helper = make_host(centre=centre), make_member(centre=centre)
    event = make_event(host=host, centre=centre)
    named = name_helper(host, event.pk, helper.email)
    row = make_registration(event, helper)
    key = (
        Mail.objects.filter(member=helper, text__contains="?key=").get().text.partition("?key=")[2].split()[0]
    )
    feed = calendars.feed_token(helper)
    path = back_up(tmp_path / "a.age")

    roles.withdraw(first, centre.pk, second.pk)
    roles.set_host(first, centre, host, is_host=False)
    dismiss_helper(host, event.pk, named.pk)
    desk.correct_address(first, centre, helper.pk, "right@example.org")
    restore(path, key_file, replace=True)

    assert list(Role.objects.values_list("member", flat=True)) == [first.pk]
    assert not Member.objects.filter(is_host=True).exists()
    assert not DoorHelper.objects.exists()
    assert Member.objects.get(pk=helper.pk).email == "right@example.org"
    assert EmailAddress.objects.get(user=helper.pk).email == "right@example.org"
    with pytest.raises(Member.DoesNotExist):
        calendars.member_for_feed(feed)
    with pytest.raises(MailedKey.DoesNotExist):
        registration.registration_by_key(row.pk, key)


def test_who_said_no_to_an_invitation_since_is_not_asked_again(tmp_path, key_file):
    event = make_event()
    inviting.invite_addresses(event.host, event.pk, "bo@example.org, ida@example.org, ann@example.org")
    path = back_up(tmp_path / "a.age")
    invited.send_due()
    ann, bo, ida = Invitation.objects.order_by("email")
    invited.stop(bo)
    inviting.withdraw(event.host, ida.pk)
    ann.delete()
    restore(path, key_file, replace=True)
    assert InvitationStop.objects.get().email == bo.email
    kept = {row.email: (bool(row.declined_at), bool(row.withdrawn_at)) for row in Invitation.objects.all()}
    assert kept == {bo.email: (True, False), ida.email: (False, True)}
    sent = Mail.objects.count()
    invited.send_due()
    assert Mail.objects.count() == sent


def test_a_question_taken_back_and_a_centre_taken_out_since_stay_so(tmp_path, key_file):
    host, mine, other = make_host(centre=make_centre()), make_centre(), make_centre()
    event, member = make_event(host=host), make_member()
    start = (clock.now() + timedelta(days=2)).replace(tzinfo=None, microsecond=0)
    meetup = hosting.publish_series(
        host,
        {"title": "Table", "starts_at": start, "partner_centres": [mine, other]},
        {"rrule": "FREQ=WEEKLY;COUNT=2"},
    )
    hosting.change(host, event.pk, {"partner_centres": [mine, other]})
    back, shown = (
        inquiries.ask(member, event.pk, text) for text in ("Is there a lift?", "May I bring a dog?")
    )
    inquiries.answer(host, shown.pk, "Yes", public=True)
    path = back_up(tmp_path / "a.age")
    inquiries.withdraw(member, back.pk)
    inquiries.hide(host, shown.pk)
    cohosts.take_out(host, event.pk, mine.pk)
    cohosts.take_out(host, meetup.occurrences.first().pk, mine.pk)
    restore(path, key_file, replace=True)
    assert list(Inquiry.objects.values_list("pk", "is_public")) == [(shown.pk, False)]
    for row in (event, meetup, *meetup.occurrences.all()):
        assert list(row.partner_centres.all()) == [other]


def test_who_was_erased_after_the_backup_does_not_come_back(tmp_path, key_file):
    member, other = make_member(), make_member()
    chat.post(member, make_room(member, other).pk, "Words of mine", uuid4())
    path = back_up(tmp_path / "a.age")
    privacy.erase(member.pk)
    done_at = Erasure.objects.get().done_at
    out = io.StringIO()
    call_command("erased", stdout=out)
    numbers = tmp_path / "erased"
    numbers.write_text(out.getvalue())

    def is_back() -> bool:
        return (
            Member.objects.filter(pk=member.pk).exists()
            or Entry.objects.filter(text="Words of mine").exists()
        )

    restore(path, key_file, replace=True)  # this database knows it
    assert not is_back() and Member.objects.filter(pk=other.pk).exists()
    assert Erasure.objects.get().done_at == done_at

    call_command("flush", interactive=False, verbosity=0)
    restore(path, key_file)
    assert is_back()  # a new machine knows of nobody, unless it is told
    call_command("flush", interactive=False, verbosity=0)
    restore(path, key_file, erasures=numbers)
    assert not is_back() and Erasure.objects.get().member_id == member.pk

    numbers.write_text("somebody")
    with pytest.raises(CommandError, match="one number a line"):
        restore(path, key_file, replace=True, erasures=numbers)


def test_what_was_asked_for_since_stands_and_what_was_taken_back_is_asked_again(tmp_path, key_file):
    stays, goes = make_member(), make_member()
    privacy.ask_erasure(stays)
    Erasure.objects.update(due_at=clock.now() + timedelta(minutes=5), reminded_at=clock.now())
    path = back_up(tmp_path / "a.age")
    privacy.withdraw_erasure(stays)
    wish = privacy.ask_erasure(goes)
    restore(path, key_file, replace=True)
    assert Erasure.objects.get(member_id=goes.pk).due_at == wish.due_at
    again = Erasure.objects.get(member_id=stays.pk)
    assert again.reminded_at is None and again.due_at > clock.now() + timedelta(days=13)


def test_copies_for_members_to_take_away_are_in_no_backup(tmp_path, key_file):
    member = make_member()
    exports.ask(member)
    exports.make_due()
    assert ExportPart.objects.exists()
    path = back_up(tmp_path / "a.age")
    assert b"community.ExportPart" not in opened(path)
    restore(path, key_file, replace=True)
    assert not Export.objects.exists() and not ExportPart.objects.exists()


def test_every_kind_of_value_comes_back_as_it_was():
    """To the microsecond: a clock reading that loses digits is another one."""
    now = clock.now().replace(microsecond=123_456)
    field = Member._meta.get_field("date_joined")
    assert archive.value_of(field, archive.plain(now)) == now
    with pytest.raises(TypeError, match="no form for complex"):
        archive.line_of(1j)


def test_what_comes_out_of_age_is_plain_gzip(tmp_path):
    """No lock-in: the standard tools read it."""
    a_few_rows()
    path = back_up(tmp_path / "a.age")
    zipped = pyrage.decrypt(path.read_bytes(), [KEY])
    unzipped = subprocess.run(["gzip", "-dc"], input=zipped, capture_output=True, check=True).stdout
    assert unzipped.startswith(b'{"format":"euregio-circles backup","version":1,')
