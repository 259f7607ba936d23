"""The security log: what is written, for whom, for how long, and what no line of it can hold."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from community import audit, members
from community.models import SecurityRecord
from config.logs import security_formatter
from realtime import clock
from tests.factories import make_centre, make_client, make_event, make_member, make_staff

pytestmark = pytest.mark.django_db
Action = audit.Action


@pytest.fixture
def lines(caplog) -> Any:
    """The security log as it goes by."""
    caplog.set_level(logging.INFO, "security")
    logging.getLogger("security").addHandler(caplog.handler)
    yield caplog
    logging.getLogger("security").removeHandler(caplog.handler)


def test_a_record_names_who_did_it_and_whom_it_concerns():
    centre = make_centre()
    staff, member = make_staff(centre), make_member()
    audit.record(Action.CORRECTED, actor=staff, subject=member, centre=centre, target="address")
    (row,) = audit.about(member)
    assert (row.action, row.actor, row.subject, row.centre) == ("corrected", staff, member, centre)


def test_what_somebody_does_alone_concerns_themselves():
    member = make_member()
    audit.record(Action.SIGNED_IN, actor=member)
    assert audit.about(member).get().subject == member


def test_nobody_reads_what_concerns_somebody_else():
    audit.record(Action.SIGNED_IN, actor=make_member())
    assert not audit.about(make_member()).exists()


def test_looking_again_within_the_hour_is_one_look(clock):
    staff, member = make_staff(), make_member()
    for _reload in range(3):
        audit.looked(staff, member, "person")
    assert SecurityRecord.objects.count() == 1
    clock.shift(timedelta(minutes=61))
    audit.looked(staff, member, "person")
    assert SecurityRecord.objects.count() == 2


def test_looking_at_oneself_is_no_look():
    staff = make_staff()
    audit.looked(staff, staff, "person")
    assert not SecurityRecord.objects.exists()


def test_records_are_kept_for_ninety_days_and_no_longer():
    member = make_member()
    for days in (89, 91):
        audit.record(Action.SIGNED_IN, actor=member)
        newest = SecurityRecord.objects.latest("pk")
        SecurityRecord.objects.filter(pk=newest.pk).update(at=clock.now() - timedelta(days=days))
    assert audit.forget_old() == 1
    assert audit.about(member).get().at > clock.now() - timedelta(days=90)


def test_a_line_follows_the_commit_and_only_then(committed, lines: Any):
    member = make_member()
    with committed():
        audit.record(Action.SIGNED_IN, actor=member)
        assert not lines.records
    (line,) = lines.records
    assert (line.getMessage(), line.actor) == ("signed_in", member.public_id)


def test_who_is_turned_away_is_a_line_without_the_address(lines: Any):
    member, event = make_member(), make_event(visibility="centre")
    browser = make_client(member)
    for path in (
        f"/events/{event.public_id}/",
        "/calendar/some-secret-key.ics",
        "/circles/new/",
        "/no-such-page/",
    ):
        browser.get(path)
    Client().get("/api/v1/me/")
    told = [(line.actor, line.route, line.status) for line in lines.records if line.getMessage() == "refused"]
    mine = member.public_id
    assert told == [
        (mine, "event", 404),
        (mine, "member_ics", 404),
        (mine, "circle_new", 403),
        ("", "api_me", 401),
    ]
    assert not [line for line in lines.records if "secret" in str(line.__dict__)]


def test_a_line_is_json_in_utc_and_cannot_be_forged():
    """A line break in what is logged would begin a second, invented line; a request would carry texts and keys."""
    line = logging.LogRecord("security", logging.INFO, "", 1, "exported", (), None)
    line.target = 'x\n{"event": "role_granted"}\x1b[31m\x00'
    line.request = "GET /calendar/secret.ics"
    text = security_formatter().format(line)
    assert "\n" not in text
    assert "\x1b" not in text
    assert "secret" not in text
    said = json.loads(text)
    assert said["event"] == "exported"
    assert said["target"] == line.target
    assert datetime.fromisoformat(said["timestamp"]).utcoffset() == timedelta(0)
    assert abs(datetime.fromisoformat(said["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_consent_is_on_record_once():
    member = make_member()
    for _again in range(2):
        members.agree(member, "en")
    assert audit.about(member).filter(action=Action.CONSENTED).count() == 1
