"""Direct talk: asked, answered or not, and never a way to learn who said no."""

from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from community import privacy
from community.models import Member
from community.sign_ins import issue_token
from realtime import clock, direct
from realtime.models import DirectTalk, Mail, Participant, Room, TalkRequest
from tests.factories import make_client, make_member, make_room

pytestmark = pytest.mark.django_db


@pytest.fixture
def two() -> tuple[Member, Member]:
    ana, bo = make_member(display_name="Ana"), make_member(display_name="Bo", language="nl")
    make_room(ana, bo)
    return ana, bo


def later(days: int) -> None:
    moved = clock.now() - timedelta(days=days)
    TalkRequest.objects.update(asked_at=moved)


def test_a_yes_opens_the_one_room_of_the_two(two: tuple[Member, Member]) -> None:
    ana, bo = two
    assert direct.ask(ana, bo.pk) == direct.Between(is_asked=True)
    mail = Mail.objects.get(kind="talk_asked")
    assert (mail.to, mail.language, "Ana" in mail.subject) == (bo.email, "nl", True)
    (request,) = direct.requests_to(bo)

    room = direct.accept(bo, request.pk)

    assert direct.accept(bo, request.pk) == room
    assert set(Participant.objects.filter(room=room).values_list("member", flat=True)) == {ana.pk, bo.pk}
    assert Mail.objects.get(kind="talk_accepted").to == ana.email
    assert direct.ask(ana, bo.pk) == direct.ask(bo, ana.pk) == direct.Between(room_id=room.pk)
    assert DirectTalk.objects.count() == 1


def test_who_asks_somebody_who_asked_them_has_said_yes(two: tuple[Member, Member]) -> None:
    ana, bo = two
    direct.ask(ana, bo.pk)
    assert direct.ask(bo, ana.pk).room_id == DirectTalk.objects.get().room_id
    assert not direct.requests_to(bo)


def test_declined_unanswered_and_blocked_look_alike_to_who_asks(two: tuple[Member, Member]) -> None:
    ana, bo = two
    answers = []
    for number in range(3):
        other = [bo, make_member(), make_member()][number]
        if number:
            make_room(ana, other)
        if number == 2:
            direct.block(other, ana.pk)
        headers = {"authorization": f"Bearer {issue_token(ana, 'test')}"}
        client = make_client(ana)
        first = client.post(f"/api/v1/members/{other.public_id}/talk/", headers=headers)
        if number == 0:
            direct.decline(bo, direct.requests_to(bo).get().pk)
        again = client.post(f"/api/v1/members/{other.public_id}/talk/", headers=headers)
        answers.append([(said.status_code, said.json()) for said in (first, again)])
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == (201, {"state": "asked", "room": None, "url": None})
    assert Mail.objects.filter(kind="talk_asked").count() == 2, "who has blocked them hears nothing"
    assert [one.asked_id for one in TalkRequest.objects.filter(state="open")] != [bo.pk]


def test_after_thirty_days_one_may_ask_again_and_not_before(two: tuple[Member, Member]) -> None:
    ana, bo = two
    direct.ask(ana, bo.pk)
    direct.decline(bo, direct.requests_to(bo).get().pk)
    later(29)
    direct.ask(ana, bo.pk)
    assert not direct.requests_to(bo)
    later(31)
    with pytest.raises(ValidationError):
        direct.accept(bo, TalkRequest.objects.get().pk)
    Mail.objects.all().delete()
    direct.ask(ana, bo.pk)
    assert direct.requests_to(bo).get().asker == ana
    assert Mail.objects.count() == 1
    later(31)
    assert not direct.requests_to(bo)
    assert direct.forget_old() == 1


def test_five_may_be_asked_at_a_time_whatever_they_answer(two: tuple[Member, Member]) -> None:
    ana, bo = two
    direct.ask(ana, bo.pk)
    direct.decline(bo, direct.requests_to(bo).get().pk)
    others = [make_member() for _number in range(direct.MOST_OPEN)]
    make_room(ana, *others)
    for other in others[:-1]:
        direct.ask(ana, other.pk)
    with pytest.raises(ValidationError) as no:
        direct.ask(ana, others[-1].pk)
    assert no.value.code == "too_fast"
    assert direct.ask(ana, bo.pk).is_asked, "who is asked already costs nothing"
    headers = {"authorization": f"Bearer {issue_token(ana, 'test')}"}
    said = make_client(ana).post(f"/api/v1/members/{others[-1].public_id}/talk/", headers=headers)
    assert (said.status_code, said.json()["code"]) == (429, "too_fast")


def test_only_who_shares_a_room_is_found(two: tuple[Member, Member]) -> None:
    ana, bo = two
    stranger, gone = make_member(), make_member()
    make_room(ana, gone)
    Member.objects.filter(pk=gone.pk).update(is_active=False)
    for nobody in (stranger.pk, gone.pk, ana.pk, 1):
        with pytest.raises(Member.DoesNotExist):
            direct.ask(ana, nobody)
    assert not TalkRequest.objects.exists()
    direct.ask(ana, bo.pk)
    with pytest.raises(TalkRequest.DoesNotExist):
        direct.accept(stranger, TalkRequest.objects.get().pk)
    with pytest.raises(TalkRequest.DoesNotExist):
        direct.accept(ana, TalkRequest.objects.get().pk)


@pytest.mark.parametrize("answer", ["accept", "decline", "block"])
def test_the_request_stands_on_the_chat_page_and_is_answered_there(
    two: tuple[Member, Member], answer: str
) -> None:
    ana, bo = two
    direct.ask(ana, bo.pk)
    client, url = make_client(bo), f"/chat/requests/{TalkRequest.objects.get().public_id}/{answer}/"
    Member.objects.filter(pk=bo.pk).update(language="en")
    assert "Ana would like to talk with you" in client.get("/chat/").text
    said = client.post(url)
    assert said.status_code == 302
    assert "Ana would like to talk with you" not in client.get("/chat/").text
    assert DirectTalk.objects.exists() == (answer == "accept")
    assert direct.blocks.are_apart(ana.pk, bo.pk) == (answer == "block")


def test_what_a_suspended_or_forgotten_member_asked_is_gone(two: tuple[Member, Member]) -> None:
    ana, bo = two
    direct.ask(ana, bo.pk)
    Member.objects.filter(pk=ana.pk).update(is_active=False)
    assert not direct.requests_to(bo)
    privacy.erase(ana.pk)
    assert not TalkRequest.objects.exists()


def test_a_block_ends_what_was_asked_and_unblocking_does_not_bring_it_back(
    two: tuple[Member, Member],
) -> None:
    ana, bo = two
    direct.ask(ana, bo.pk)
    direct.block(bo, ana.pk)
    assert not direct.requests_to(bo)
    direct.unblock(bo, ana.pk)
    assert not direct.requests_to(bo)


def test_a_room_of_two_that_both_blocked_opens_when_neither_does(two: tuple[Member, Member]) -> None:
    ana, bo = two
    direct.ask(ana, bo.pk)
    room = direct.accept(bo, TalkRequest.objects.get().pk)
    direct.block(ana, bo.pk)
    direct.block(bo, ana.pk)
    direct.unblock(ana, bo.pk)
    assert Room.objects.get(pk=room.pk).closed_at is not None
    direct.unblock(bo, ana.pk)
    assert Room.objects.get(pk=room.pk).closed_at is None


@pytest.mark.django_db(transaction=True)
def test_two_who_ask_each_other_at_once_have_one_room() -> None:
    ana, bo = make_member(), make_member()
    make_room(ana, bo)
    gate, said = Barrier(2), {}

    def ask(one: Any, other: Any) -> None:
        try:
            gate.wait()
            said[one.pk] = direct.ask(one, other.pk)
        finally:
            connection.close()

    threads = [Thread(target=ask, args=pair) for pair in ((ana, bo), (bo, ana))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert DirectTalk.objects.count() == 1
    room_id = DirectTalk.objects.get().room_id
    assert sorted(answer.room_id or 0 for answer in said.values()) == [0, room_id]
