"""Questions to a host: asked on the event's page, answered to one or to everybody, gone 14 days after."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test import Client

from community import privacy
from events import hosting, inquiries
from events.host_needs import needs
from events.models import Event, Inquiry
from realtime import blocks
from realtime import clock as times
from realtime.models import Mail
from tests.factories import make_circle, make_client, make_event, make_host, make_member, make_staff

pytestmark = pytest.mark.django_db
PRAM = "May I bring a pram?"


def mails(kind: str) -> list[str]:
    return list(Mail.objects.filter(kind=kind).order_by("pk").values_list("to", flat=True))


def asks_of(event: Event) -> list[str]:
    """What needs the host, of what is asked."""
    return [need.text for need in needs(event.host) if "question" in need.text]


def page_of(event: Event, *readers: Any) -> list[str]:
    """The event's page as each of these sees it; None: signed out."""
    clients = [make_client(reader) if reader else Client() for reader in readers]
    return [client.get(event.get_absolute_url()).text for client in clients]


def test_the_host_is_told_and_answers_who_asked_alone() -> None:
    event, member, other = make_event(), make_member(language="de"), make_member()
    row = inquiries.ask(member, event.pk, f"  {PRAM} ")
    assert mails("event_inquiry") == [event.host.email]
    assert asks_of(event) == ["1 question waits for your answer."]
    mine, theirs, nobodys = page_of(event, member, other, None)
    assert PRAM in mine and PRAM not in theirs and PRAM not in nobodys

    for _again in range(2):
        inquiries.answer(event.host, row.pk, "Yes, gladly", public=False)
    (mail,) = Mail.objects.filter(kind="event_inquiry_answered")
    assert (mail.to, mail.language, "Yes, gladly" in mail.text) == (member.email, "de", True)
    assert asks_of(event) == []
    mine, theirs, nobodys = page_of(event, member, other, None)
    assert "Yes, gladly" in mine and "Yes, gladly" not in theirs and "Yes, gladly" not in nobodys


def test_an_answer_for_everybody_stands_on_the_page_without_who_asked() -> None:
    event, member = make_event(), make_member(display_name="Zebedee")
    row = inquiries.ask(member, event.pk, PRAM)
    inquiries.answer(event.host, row.pk, "Yes, gladly", public=True)
    for page in page_of(event, make_member(), None):
        assert PRAM in page and "Yes, gladly" in page and "Zebedee" not in page
    seen = Client().get(f"/api/v1/events/{event.public_id}/inquiries/").json()["results"]
    assert [(one["text"], one["answer"], one["member"], one["name"], one["mine"]) for one in seen] == [
        (PRAM, "Yes, gladly", None, "", False)
    ]

    inquiries.hide(event.host, row.pk)
    mine, nobodys = page_of(event, member, None)
    assert "Yes, gladly" in mine and "Yes, gladly" not in nobodys
    assert len(mails("event_inquiry_answered")) == 1


def test_asked_twice_it_is_one_question_and_three_may_wait() -> None:
    event, member = make_event(), make_member()
    assert inquiries.ask(member, event.pk, PRAM) == inquiries.ask(member, event.pk, PRAM)
    for text in ("A dog?", "A bike?"):
        row = inquiries.ask(member, event.pk, text)
    with pytest.raises(ValidationError) as refused:
        inquiries.ask(member, event.pk, "A horse?")
    assert refused.value.code == "too_many"
    inquiries.answer(event.host, row.pk, "No", public=False)
    inquiries.ask(member, event.pk, "A horse?")
    assert (Inquiry.objects.count(), len(mails("event_inquiry"))) == (4, 4)


def test_nobody_asks_more_than_so_many_a_day(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiries, "A_DAY", 2)
    member = make_member()
    for _n in range(2):
        inquiries.ask(member, make_event().pk, PRAM)
    event = make_event(starts_at=None, ends_at=None, state="draft")
    hosting.change(
        event.host, event.pk, {"starts_at": (times.now() + timedelta(days=9)).replace(tzinfo=None)}
    )
    hosting.publish_draft(event.host, event.pk)
    with pytest.raises(ValidationError) as refused:
        inquiries.ask(member, event.pk, PRAM)
    assert refused.value.code == "too_fast"
    clock.shift(timedelta(days=1, minutes=1))
    inquiries.ask(member, event.pk, PRAM)


def test_what_nobody_answered_can_be_taken_back() -> None:
    event, member, other = make_event(), make_member(), make_member()
    row, answered = inquiries.ask(member, event.pk, PRAM), inquiries.ask(member, event.pk, "A dog?")
    inquiries.answer(event.host, answered.pk, "No", public=True)
    browser = make_client(member)
    assert make_client(other).post(f"/questions/{row.public_id}/withdraw/").status_code == 404
    browser.post(f"/questions/{row.public_id}/withdraw/")
    assert list(Inquiry.objects.values_list("pk", flat=True)) == [answered.pk]
    assert PRAM not in "".join(Mail.objects.values_list("text", flat=True))
    with pytest.raises(ValidationError):
        inquiries.withdraw(member, answered.pk)
    assert "answered already" in browser.post(f"/questions/{answered.public_id}/withdraw/", follow=True).text


def test_only_who_sees_the_event_asks_and_only_who_runs_it_answers(clock: Any) -> None:
    hidden = make_event(visibility="circle", circle=make_circle(host=make_host()))
    event, member = make_event(), make_member()
    row = inquiries.ask(member, event.pk, PRAM)
    with pytest.raises(Event.DoesNotExist):
        inquiries.ask(member, hidden.pk, PRAM)
    for verb in (
        lambda: inquiries.ask(event.host, event.pk, PRAM),
        lambda: inquiries.answer(member, row.pk, "Yes", public=True),
        lambda: inquiries.hide(member, row.pk),
    ):
        with pytest.raises(PermissionDenied):
            verb()
    with pytest.raises(Inquiry.DoesNotExist):
        inquiries.answer(make_member(), row.pk, "Yes", public=True)
    with pytest.raises(Inquiry.DoesNotExist):
        inquiries.withdraw(event.host, row.pk)
    assert inquiries.answer(make_staff(event.centre), row.pk, "Yes", public=False).answer == "Yes"
    clock.shift(timedelta(days=3))
    with pytest.raises(ValidationError):
        inquiries.ask(member, event.pk, "And a dog?")


@pytest.mark.parametrize("by_host", [True, False])
def test_who_is_kept_apart_by_a_block_is_not_heard_and_does_not_learn_of_it(by_host: bool) -> None:
    event, member = make_event(), make_member()
    blocks.block(*((event.host, member.pk) if by_host else (member, event.host.pk)))
    row = inquiries.ask(member, event.pk, PRAM)
    assert (mails("event_inquiry"), asks_of(event)) == ([], [])
    host = make_client(event.host)
    assert PRAM not in host.get(f"/events/{event.public_id}/questions/").text
    with pytest.raises(Inquiry.DoesNotExist):
        inquiries.answer(event.host, row.pk, "Yes", public=False)
    assert PRAM in page_of(event, member)[0]
    assert PRAM in make_client(make_staff(event.centre)).get(f"/events/{event.public_id}/questions/").text


def test_the_pages_ask_answer_and_keep_what_was_typed() -> None:
    event, member = make_event(), make_member()
    guest, host = make_client(member), make_client(event.host)
    path = f"/events/{event.public_id}/questions/"
    assert "Nothing waits for you" in host.get(path).text
    assert guest.get(path).status_code == 403
    assert guest.post(f"/events/{event.public_id}/ask/", {"text": " "}).status_code == 422
    assert guest.post(f"/events/{event.public_id}/ask/", {"text": PRAM}).status_code == 302
    row = Inquiry.objects.get()
    assert PRAM in host.get(path).text
    assert host.post(path, {"do": f"answer:{row.public_id}", f"{row.public_id}-text": ""}).status_code == 422
    answer = {
        "do": f"answer:{row.public_id}",
        f"{row.public_id}-text": "Yes",
        f"{row.public_id}-public": "on",
    }
    assert host.post(path, answer).status_code == 302
    row.refresh_from_db()
    assert (row.answer, row.is_public, row.answered_by) == ("Yes", True, event.host)
    host.post(path, {"do": f"hide:{row.public_id}"})
    row.refresh_from_db()
    assert not row.is_public
    elsewhere = inquiries.ask(member, make_event().pk, PRAM)
    for wrong in ("answer:x", f"hide:{elsewhere.public_id}"):
        assert host.post(path, {"do": wrong}).status_code == 404


def test_programs_ask_answer_and_take_back() -> None:
    event, member = make_event(), make_member()
    guest, host = make_client(member), make_client(event.host)
    path = f"/api/v1/events/{event.public_id}/inquiries/"
    first, second = (
        guest.post(path, {"text": text}, content_type="application/json").json()["id"]
        for text in (PRAM, "A dog?")
    )
    assert {one["name"] for one in host.get(path).json()["results"]} == {str(member)}
    body = {"text": "Yes", "public": True}
    said = host.put(f"/api/v1/inquiries/{first}/answer/", body, content_type="application/json")
    assert (said.status_code, said.json()["public"], said.json()["answer"]) == (200, True, "Yes")
    assert guest.delete(f"/api/v1/inquiries/{second}/").status_code == 204
    assert guest.delete(f"/api/v1/inquiries/{first}/").status_code == 409
    assert len(Client().get(path).json()["results"]) == 1


@pytest.mark.parametrize("n", [1, 30])
def test_a_page_costs_the_same_for_one_question_and_for_thirty(
    n: int, django_assert_num_queries: Any
) -> None:
    event = make_event()
    for _n in range(n):
        inquiries.answer(event.host, inquiries.ask(make_member(), event.pk, PRAM).pk, "Yes", public=True)
    with django_assert_num_queries(1):
        assert len([str(row.member) for row in inquiries.shown_to(event.host, event, runs=True)]) == n


def test_who_leaves_takes_their_questions_along_published_or_not() -> None:
    event, member = make_event(), make_member()
    inquiries.answer(event.host, inquiries.ask(member, event.pk, PRAM).pk, "Yes", public=True)
    privacy.erase(member.pk)
    assert not Inquiry.objects.exists()


def at_once(*works: Any) -> list[Any]:
    gate = Barrier(len(works))

    def one(work: Any) -> Any:
        gate.wait()
        try:
            return work()
        except (ValidationError, Inquiry.DoesNotExist) as refused:
            return type(refused)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(one, works))


@pytest.mark.django_db(transaction=True)
def test_the_same_question_sent_twice_at_once_is_one(region: None) -> None:
    event, member = make_event(), make_member()
    work = lambda: inquiries.ask(member, event.pk, PRAM).pk  # noqa: E731
    assert len(set(at_once(work, work, work))) == 1
    assert (Inquiry.objects.count(), len(mails("event_inquiry"))) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_taken_back_while_it_is_answered_one_of_the_two_happened(region: None) -> None:
    event, member = make_event(), make_member()
    row = inquiries.ask(member, event.pk, PRAM)
    at_once(
        lambda: inquiries.withdraw(member, row.pk),
        lambda: inquiries.answer(event.host, row.pk, "Yes", public=True),
    )
    assert Inquiry.objects.filter(answer="Yes").count() == len(mails("event_inquiry_answered"))


def test_nobody_replaces_an_answer_they_have_not_read(client: Client) -> None:
    event, member = make_event(), make_member()
    row = inquiries.ask(member, event.pk, PRAM)
    client.force_login(event.host)
    page = f"/events/{event.public_id}/questions/"
    stale = client.get(page).context["waiting"][0][1].initial["seen"]
    said = {"do": f"answer:{row.public_id}", f"{row.public_id}-seen": stale}
    client.post(page, said | {f"{row.public_id}-text": "Yes", f"{row.public_id}-public": "on"})

    answer = client.post(page, said | {f"{row.public_id}-text": "No"})
    assert (
        answer.status_code == 409
        and "Somebody has answered meanwhile: “Yes”" in answer.text
        and "No</textarea>" in answer.text
    )
    row.refresh_from_db()
    assert (row.answer, row.is_public) == ("Yes", True)

    seen = answer.context["answered"][0][1]["seen"].value()
    again = client.post(
        page, said | {f"{row.public_id}-text": "No", f"{row.public_id}-seen": seen}, follow=True
    )
    row.refresh_from_db()
    assert (row.answer, row.is_public) == ("No", False) and "The answer is changed." in again.text
    assert mails(inquiries.KINDS[1]) == [member.email]


def test_a_question_that_needs_no_answer_is_put_aside_and_taken_up_again() -> None:
    event, member = make_event(), make_member()
    row = inquiries.ask(member, event.pk, PRAM)
    path, host = f"/events/{event.public_id}/questions/", make_client(event.host)
    assert asks_of(event) == ["1 question waits for your answer."]

    for _twice in range(2):
        page = host.post(path, {"do": f"aside:{row.public_id}"}, follow=True).text
        assert "Put aside" in page and "Nothing waits for you" in page
    assert asks_of(event) == []
    (mine,) = page_of(event, member)
    assert "the host has read it" in mine and "waits for an answer" not in mine
    assert mails("event_inquiry_answered") == []

    host.post(path, {"do": f"again:{row.public_id}"})
    assert asks_of(event) == ["1 question waits for your answer."]
    host.post(path, {"do": f"aside:{row.public_id}"})
    host.post(path, {"do": f"answer:{row.public_id}", f"{row.public_id}-text": "Yes, gladly"})
    row.refresh_from_db()
    assert (row.answer, row.put_aside_at, mails("event_inquiry_answered")) == (
        "Yes, gladly",
        None,
        [member.email],
    )
    assert "answered already" in host.post(path, {"do": f"aside:{row.public_id}"}, follow=True).text


def test_a_program_puts_a_question_aside() -> None:
    event, member = make_event(), make_member()
    row = inquiries.ask(member, event.pk, PRAM)
    path, host = f"/api/v1/inquiries/{row.public_id}/", make_client(event.host)

    said = host.patch(path, {"aside": True}, content_type="application/json").json()
    assert (said["put_aside_at"] is not None, asks_of(event)) == (True, [])
    assert host.patch(path, {"aside": True}, content_type="application/json").json() == said
    assert host.patch(path, {"aside": False}, content_type="application/json").json()["put_aside_at"] is None
    assert host.patch(path, {}, content_type="application/json").json()["put_aside_at"] is None
    assert host.patch(path, {"aside": "x"}, content_type="application/json").status_code == 400
    inquiries.answer(event.host, row.pk, "Yes", public=False)
    assert host.patch(path, {"aside": True}, content_type="application/json").status_code == 409
