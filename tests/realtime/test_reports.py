"""Reports: a copy is kept, who looks after the room decides, and nobody learns who it was."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError

from community import privacy
from community.models import Member
from community.sign_ins import issue_token
from realtime import blocks, chat, clock, direct, moderation, reports, rooms
from realtime.models import Complaint, Entry, Mail, Participant, Report, ReportedLine, Room
from tests.factories import make_centre, make_circle, make_client, make_manager, make_member, make_room

pytestmark = pytest.mark.django_db


@pytest.fixture
def place() -> Any:
    """A circle with a host, somebody rude and two who heard it; a message with three before and three after it."""
    host, rude, ana, bo = (make_member(display_name=name) for name in ("Host", "Rude", "Ana", "Bo"))
    circle = make_circle(rude, ana, bo, host=host)
    said = [chat.post(rude, circle.room_id, f"word {number}", uuid4())[0] for number in range(9)]
    Mail.objects.all().delete()
    return circle, host, rude, ana, bo, said[4]


def test_a_copy_of_the_message_and_a_few_round_it_is_kept_whatever_becomes_of_it(place: Any) -> None:
    circle, _host, rude, ana, _bo, message = place
    made = reports.report_message(ana, circle.room_id, message.seq, "rude", " Look ")
    chat.delete(rude, circle.room_id, message.seq, uuid4())
    assert (made.reason, made.text, made.report.about) == ("rude", "Look", rude)
    kept = [line.text for line in reports.lines_of(made.report)]
    assert kept == ["word 1", "word 2", "word 3", "word 4", "word 5", "word 6"]


def test_reports_of_one_message_join_and_ones_own_is_changed(place: Any) -> None:
    circle, host, _rude, ana, bo, message = place
    for reason in ("rude", "private"):
        reports.report_message(ana, circle.room_id, message.seq, reason)
    reports.report_message(bo, circle.room_id, message.seq, "danger")
    (report,) = reports.for_list(reports.to_look_at(host))
    assert report.n == 2
    assert sorted(Complaint.objects.values_list("reason", flat=True)) == ["danger", "private"]
    assert reports.open_for(host) == 1


@pytest.mark.parametrize(
    ("reason", "text", "field"),
    [("", "", "reason"), ("nonsense", "", "reason"), ("other", " ", "text"), ("rude", "x" * 1001, "text")],
)
def test_a_report_says_what_is_wrong_or_what_is_missing_from_it(
    place: Any, reason: str, text: str, field: str
) -> None:
    circle, _host, _rude, ana, _bo, message = place
    with pytest.raises(ValidationError) as no:
        reports.report_message(ana, circle.room_id, message.seq, reason, text)
    assert list(no.value.error_dict) == [field]
    assert not Report.objects.exists()
    url = f"/chat/{circle.room.public_id}/{message.seq}/report/"
    answer = make_client(ana).post(url, {"reason": reason, "text": text})
    assert answer.status_code == 400
    assert f'id="{field}-problem"' in answer.text


def test_only_what_one_can_read_is_reported_and_never_oneself(place: Any) -> None:
    circle, _host, rude, ana, _bo, message = place
    with pytest.raises(Room.DoesNotExist):
        reports.report_message(make_member(), circle.room_id, message.seq, "rude")
    for who, seq in ((rude, message.seq), (ana, 99)):
        with pytest.raises(Entry.DoesNotExist):
            reports.report_message(who, circle.room_id, seq, "rude")
    with pytest.raises(Member.DoesNotExist):
        reports.report_person(ana, circle.room_id, ana.pk, "rude")


def test_a_person_is_reported_with_the_newest_they_said(place: Any) -> None:
    circle, _host, rude, ana, _bo, _message = place
    make_client(ana).post(
        f"/chat/{circle.room.public_id}/people/{rude.public_id}/report/", {"reason": "rude"}
    )
    report = Report.objects.get()
    assert report.seq is None
    assert [line.text for line in reports.lines_of(report)] == [f"word {number}" for number in range(4, 9)]
    assert reports.decisions_for(report) == ["removed", "nothing"]


def test_somebody_whom_one_has_blocked_can_still_be_reported_and_who_blocked_one_is_not_there(
    place: Any,
) -> None:
    circle, _host, rude, ana, bo, _message = place
    make_room(ana, rude)  # newer, and nothing was said there
    blocks.block(ana, rude.pk)
    rooms.leave(circle.room, rude)
    client, url = make_client(ana), f"/chat/{circle.room.public_id}/people/{rude.public_id}/report/"
    assert url in client.get("/me/blocked/").text
    assert client.post(url, {"reason": "rude"}).headers["Location"] == "/me/blocked/"
    assert Complaint.objects.get().report.about == rude

    blocks.block(rude, bo.pk)  # and bo does not know
    assert make_client(bo).post(url, {"reason": "rude"}).status_code == 404
    blocks.block(ana, make_member().pk)  # nothing was ever shared with them
    assert client.get("/me/blocked/").text.count("/report/") == 1


def test_the_host_hides_the_message_and_the_author_never_learns_who_reported_it(place: Any) -> None:
    circle, host, rude, ana, bo, message = place
    reports.report_message(ana, circle.room_id, message.seq, "rude", "Ana was here")
    reports.report_message(bo, circle.room_id, message.seq, "rude")
    client, url = make_client(host), f"/chat/reports/{Report.objects.get().public_id}/"
    page = client.get(url).text
    assert "word 4" in page and "Ana was here" in page
    assert "1" in client.get("/chat/").text
    assert client.post(url, {"decision": "hidden", "note": ""}).status_code == 400
    assert client.post(url, {"decision": "hidden", "note": "Not kind"}).status_code == 302

    assert Entry.objects.get(room=message.room_id, seq=message.seq).text == ""
    to_author = Mail.objects.get(kind="message_hidden")
    assert (to_author.to, "Not kind" in to_author.text, "Ana" in to_author.text) == (rude.email, True, False)
    told = Mail.objects.filter(kind="report_decided")
    assert sorted(mail.to for mail in told) == sorted([ana.email, bo.email])
    assert not any("Not kind" in mail.text or "hidden" in mail.text for mail in told)
    assert "Nothing reported" in client.get("/chat/reports/").text, (
        "nothing waits, and the host reported nothing"
    )
    assert "Dealt with" in make_client(ana).get("/chat/reports/").text


def test_who_is_reported_may_be_taken_out(place: Any) -> None:
    circle, host, rude, ana, _bo, message = place
    report = reports.report_message(ana, circle.room_id, message.seq, "rude").report
    reports.decide(host, report, "removed", "Not kind")
    assert Participant.objects.get(room=circle.room, member=rude).out == "removed"
    assert Mail.objects.filter(kind="participant_removed", to=rude.email).exists()


def test_of_two_who_decide_one_does_and_a_note_is_needed_to_leave_it(place: Any) -> None:
    circle, host, _rude, ana, bo, message = place
    report = reports.report_message(ana, circle.room_id, message.seq, "rude").report
    with pytest.raises(ValidationError):
        reports.decide(host, report, "nothing", " ")
    with pytest.raises(ValidationError):
        reports.decide(host, report, "burned", "x")
    reports.decide(host, report, "nothing", "A misunderstanding")
    with pytest.raises(ValidationError) as no:
        reports.decide(host, report, "hidden", "Not kind")
    assert no.value.code == "closed"
    again = reports.report_message(bo, circle.room_id, message.seq, "rude").report
    assert again != report, "after a decision it is a new report"


def test_nobody_decides_about_themselves_and_others_find_nothing(place: Any) -> None:
    circle, host, _rude, ana, _bo, _message = place
    theirs = chat.post(host, circle.room_id, "I am the host", uuid4())[0]
    report = reports.report_message(ana, circle.room_id, theirs.seq, "rude").report
    for who in (host, ana, make_member()):
        assert make_client(who).get(f"/chat/reports/{report.public_id}/").status_code == 404
    assert reports.open_for(host) == 0


def test_the_desk_of_the_centre_sees_what_waits_with_names_and_decides() -> None:
    centre = make_centre()
    manager, ana, bo = make_manager(centre), make_member(centre=centre, display_name="Ana"), make_member()
    make_room(ana, bo)
    direct.ask(ana, bo.pk)
    room = direct.accept(bo, direct.requests_to(bo).get().pk)
    message = chat.post(bo, room.pk, "A rude word", uuid4())[0]
    report = reports.report_message(ana, room.pk, message.seq, "harassing").report
    client, desk = make_client(manager), f"/desk/{centre.slug}/"
    assert "1 report of a message or a person" in client.get(desk).text
    listed = client.get(f"{desk}reports/").text
    assert "A conversation of two" in listed
    page = client.get(f"{desk}reports/{report.public_id}/").text
    assert "A rude word" in page and "Ana" in page
    assert "removed" not in reports.decisions_for(report), "a direct room is left by a block"
    client.post(f"{desk}reports/{report.public_id}/", {"decision": "hidden", "note": "Not kind"})
    assert Entry.objects.get(room=message.room_id, seq=message.seq).text == ""
    assert "Nothing to decide" in client.get(f"{desk}reports/").text
    elsewhere = make_manager(make_centre())
    url = f"/desk/{elsewhere.profile.centre.slug}/reports/{report.public_id}/"
    assert make_client(elsewhere).get(url).status_code == 404


def test_a_program_reports_and_reads_its_own_also_when_its_member_is_out(place: Any, client: Any) -> None:
    circle, host, rude, ana, _bo, message = place
    headers = {"authorization": f"Bearer {issue_token(ana, 'test')}"}

    def post(body: dict[str, Any]) -> Any:
        more = {"content_type": "application/json", "headers": headers}
        return client.post("/api/v1/reports/", {"room": circle.room.public_id, **body}, **more)

    made = post({"seq": message.seq, "reason": "rude", "text": "Look"})
    assert made.status_code == 201
    assert (made.json()["state"], made.json()["member"]) == ("open", rude.public_id)
    assert post({"member": rude.public_id, "reason": "rude"}).status_code == 201
    assert post({"seq": 99, "reason": "rude"}).status_code == 404
    assert post({"reason": "rude"}).status_code == 400
    assert post({"seq": message.seq, "reason": "odd"}).status_code == 400

    moderation.remove(host, circle.room_id, ana.pk, "A mistake")
    reports.decide(host, Report.objects.get(seq=message.seq), "nothing", "Fine")
    mine = client.get("/api/v1/reports/", headers=headers).json()["results"]
    assert sorted(row["state"] for row in mine) == ["dealt_with", "open"]
    assert client.get(f"/api/v1/reports/{made.json()['id']}/", headers=headers).json()["text"] == "Look"


def test_there_is_a_limit_to_reports_in_a_day(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    circle, _host, _rude, ana, _bo, message = place
    monkeypatch.setattr(reports, "A_DAY", 1)
    reports.report_message(ana, circle.room_id, message.seq, "rude")
    reports.report_message(ana, circle.room_id, message.seq, "danger")
    with pytest.raises(ValidationError) as no:
        reports.report_message(ana, circle.room_id, message.seq + 1, "rude")
    assert no.value.code == "too_fast"


def test_ninety_days_after_the_decision_every_copy_is_gone(place: Any) -> None:
    circle, host, _rude, ana, bo, message = place
    report = reports.report_message(ana, circle.room_id, message.seq, "rude").report
    reports.report_message(bo, circle.room_id, message.seq + 1, "rude")
    reports.decide(host, report, "nothing", "Fine")
    Report.objects.filter(pk=report.pk).update(decided_at=clock.now() - timedelta(days=89))
    assert reports.forget_old() == 0
    Report.objects.filter(pk=report.pk).update(decided_at=clock.now() - timedelta(days=91))
    assert reports.forget_old() == 1
    assert Report.objects.count() == 1, "what is not decided waits"
    assert not ReportedLine.objects.filter(report=report.pk).exists()


def test_who_is_forgotten_leaves_no_word_in_reports(place: Any) -> None:
    circle, _host, rude, ana, _bo, message = place
    other = chat.post(_bo, circle.room_id, "Stop it", uuid4())[0]
    reports.report_message(ana, circle.room_id, message.seq, "rude", "Words of Ana")
    about_bo = reports.report_message(rude, circle.room_id, other.seq, "rude").report
    privacy.erase(rude.pk)
    assert not Report.objects.filter(about=rude.pk).exists()
    assert not Report.objects.filter(pk=about_bo.pk).exists(), "nobody complains of it any more"
    assert not ReportedLine.objects.filter(text__contains="word").exists()
