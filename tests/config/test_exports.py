"""Taking one's data along: all of one's own, nothing of anybody else's, whatever its size."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from community import exports, personal_fields, sign_ins
from community.models import Erasure, Export, ExportPart, Member, SecurityRecord
from events.registration import Person, register
from realtime.models import Entry
from tests.factories import make_client, make_event, make_household, make_member, make_room
from tests.lives import Life, make_life

pytestmark = pytest.mark.django_db


def taken_along(member: Member) -> tuple[dict[str, Any], str]:
    """The two files of a fresh copy: data.json read, data.html as text."""
    Export.objects.filter(member=member).delete()
    export = exports.ask(member)
    exports.make_due()
    with zipfile.ZipFile(io.BytesIO(b"".join(exports.content(export)))) as file:
        assert file.testzip() is None
        return json.loads(file.read("data.json")), file.read("data.html").decode()


@pytest.fixture
def lives(region: Any) -> tuple[Life, Life]:
    """Two members with a whole life each; the second sits in the first one's circle."""
    other = make_life("b")
    return make_life("a", other.member), other


def test_every_personal_text_of_every_table_is_in_both_files(lives: tuple[Life, Life]):
    life, _other = lives
    assert len(life.marks) > 30
    data, page = taken_along(life.member)
    missing = [
        where for where, mark in life.marks.items() if mark not in json.dumps(data) or mark not in page
    ]
    # the export that was asked for last replaces the one of the life; it has no texts of its own
    assert missing == []


def test_every_personal_field_is_named(lives: tuple[Life, Life]):
    """Numbers and moments as well: a row has all that the registry calls personal."""
    life, _other = lives
    data, _page = taken_along(life.member)
    for table in personal_fields.tables():
        if table.rows is None:
            continue
        for row in data[table.name]:
            assert set(table.personal) - table.withheld <= set(row), table.name
        assert data[table.name] or not table.paths, f"{table.name} is empty"


def test_nothing_of_anybody_else_is_in_it(lives: tuple[Life, Life]):
    life, other = lives
    data, page = taken_along(life.member)
    assert other.mark not in json.dumps(data)
    assert other.mark not in page
    assert other.member.email not in page


def test_keys_and_digests_stay_here(lives: tuple[Life, Life]):
    life, _other = lives
    data, _page = taken_along(life.member)
    text = json.dumps(data)
    assert life.member.tokens.get().digest not in text
    assert '"secret"' not in text
    assert life.member.password not in text


def test_who_is_named_by_others_sees_that_and_no_more():
    owner, partner = make_member(), make_member()
    make_household(owner, partner)
    event = make_event(title="Picnic with a friend")
    register(owner, event.pk, [Person(), Person(member_id=partner.pk), Person(name="Somebody's uncle")])
    data, _page = taken_along(partner)
    assert [row["event"] for row in data["attendee"]] == ["Picnic with a friend"]
    del data["mail"]  # which said who comes, and was sent to them
    assert "uncle" not in json.dumps(data)
    assert owner.display_name not in json.dumps(data)


def test_words_are_shown_as_words_not_as_markup():
    member = make_member(about="<script>alert(1)</script> & more")
    _data, page = taken_along(member)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page


# Asking


def test_one_at_a_time_and_one_line_in_the_security_log():
    member = make_member()
    assert exports.ask(member) == exports.ask(member)
    assert SecurityRecord.objects.filter(subject=member, action="exported").count() == 1


def test_a_copy_that_is_no_longer_fresh_is_replaced(clock: Any):
    member = make_member()
    first = exports.ask(member)
    exports.make_due()
    assert exports.ask(member) == first
    clock.shift(timedelta(hours=1, seconds=1))
    assert exports.ask(member) != first
    assert not ExportPart.objects.exists()


def test_a_copy_is_kept_for_a_week(clock: Any):
    member = make_member()
    exports.ask(member)
    exports.make_due()
    clock.shift(timedelta(days=6, hours=23))
    assert exports.forget_old() == 0
    clock.shift(timedelta(hours=2))
    assert exports.forget_old() == 1
    assert not ExportPart.objects.exists()


def test_a_fault_is_tried_again_three_times_and_then_said(monkeypatch: pytest.MonkeyPatch, client: Client):
    member = make_member()
    export = exports.ask(member)
    table = personal_fields.tables()[0]

    def broken(_member_id: int) -> Any:
        raise RuntimeError("disk full")

    kept = table.rows
    object.__setattr__(table, "rows", broken)
    try:
        for _turn in range(3):
            with pytest.raises(RuntimeError):
                exports.make_due()
    finally:
        object.__setattr__(table, "rows", kept)
    export.refresh_from_db()
    assert export.state == "failed"
    client.force_login(member)
    assert "could not be made" in client.get("/me/data/").content.decode()
    assert exports.ask(member).state == "queued"


def test_a_copy_whose_maker_died_is_taken_over(clock: Any):
    export = exports.ask(make_member())
    assert exports._claim(export)
    assert exports.make_due() == 0
    clock.shift(exports.IN_DOUBT_AFTER + timedelta(seconds=1))
    assert exports.make_due() == 1


def test_two_sweeps_make_one_copy():
    export = exports.ask(make_member())
    again = Export.objects.get(pk=export.pk)
    assert [exports._claim(export), exports._claim(again)] == [True, False]


@pytest.fixture
def much(region: Any) -> Iterator[Member]:
    """Somebody who wrote 20,000 messages, 10 MB of words."""
    member = make_member()
    room = make_room(member, head=20_000, n=20_000)
    Entry.objects.bulk_create(
        (
            Entry(room=room, seq=n, n=n, rev=n, kind="message", author=member, text=f"{n} " + "word " * 100)
            for n in range(1, 20_001)
        ),
        batch_size=500,
    )
    yield member


def test_whoever_wrote_much_gets_all_of_it_in_little_memory(much: Member):
    exports.ask(make_member())
    exports.make_due()  # what is loaded with the first one is not what is measured
    export = exports.ask(much)
    tracemalloc.start()
    exports.make_due()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000, f"{peak:,} bytes"
    parts = list(export.parts.order_by("number").values_list("data", flat=True))
    assert max(map(len, parts)) <= exports.PART_BYTES
    with zipfile.ZipFile(io.BytesIO(b"".join(map(bytes, parts)))) as file:
        assert len(json.loads(file.read("data.json"))["entry"]) == 20_000


# The doors


def test_a_program_asks_waits_and_takes_it_along(client: Client):
    member = make_member()
    client.force_login(member)
    asked = client.post("/api/v1/me/export/")
    assert asked.status_code == 202
    path = f"/api/v1/jobs/{asked.json()['job']}/"
    assert client.get(path).json() == {
        "id": asked.json()["job"],
        "state": "queued",
        "progress": 0,
        "url": None,
    }
    assert client.get(f"{path}file/").status_code == 404
    exports.make_due()
    job = client.get(path).json()
    assert (job["state"], job["progress"], job["url"]) == ("done", 100, f"http://testserver{path}file/")
    file = client.get(job["url"])
    assert file.headers["Content-Type"] == "application/zip"
    assert "no-store" in file.headers["Cache-Control"]
    client.force_login(make_member())
    assert client.get(path).status_code == 404
    assert client.get(f"{path}file/").status_code == 404


def test_the_page_asks_shows_how_far_it_is_and_offers_the_file(client: Client):
    member = make_member()
    client.force_login(member)
    assert client.post("/me/data/").headers["Location"] == "/me/data/"
    page = client.get("/me/data/").content.decode()
    assert '<meta http-equiv="refresh" content="3">' in page
    assert "<progress" in page
    exports.make_due()
    page = client.get("/me/data/").content.decode()
    export = Export.objects.get(member=member)
    assert "refresh" not in page
    assert f'href="/me/data/{export.public_id}/"' in page
    file = client.get(f"/me/data/{export.public_id}/")
    assert file.headers["Content-Disposition"].startswith("attachment")
    client.force_login(make_member())
    assert client.get(f"/me/data/{export.public_id}/").status_code == 404


def test_who_signed_in_a_while_ago_shows_once_more_that_it_is_them():
    member = make_member()
    export = exports.ask(member)
    exports.make_due()
    browser = make_client(member, minutes_ago=11)
    assert browser.get("/me/data/").status_code == 200
    for answer in (
        browser.post("/me/data/"),
        browser.post("/me/data/erase/"),
        browser.get(f"/me/data/{export.public_id}/"),
    ):
        assert answer.headers["Location"].startswith("/accounts/reauthenticate/")
    for answer in (
        browser.post("/api/v1/me/export/"),
        browser.delete("/api/v1/me/"),
        browser.get(f"/api/v1/jobs/{export.public_id}/file/"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "show_yourself")
    assert not Erasure.objects.exists()
    program = Client(HTTP_AUTHORIZATION=f"Bearer {sign_ins.issue_token(member, 'backup')}")
    assert program.get(f"/api/v1/jobs/{export.public_id}/file/").status_code == 200
