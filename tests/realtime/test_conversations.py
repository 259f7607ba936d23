"""My conversations: the list by what needs me, quiet, leaving and coming back."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation

from community.models import Member
from community.sign_ins import issue_token
from realtime import blocks, chat, conversations, direct, marks, rooms
from realtime.models import DirectTalk, Entry, Participant, Room
from tests.factories import make_circle, make_client, make_member, make_room

pytestmark = pytest.mark.django_db


def say(author: Member, room: Room, text: str = "Hello") -> Entry:
    return chat.post(author, room.pk, text, uuid4())[0]


def titles(member: Member) -> list[str]:
    return [row.room.title for row in conversations.of(member)]


def test_the_list_goes_by_what_needs_me() -> None:
    ana, bo = make_member(display_name="Ana"), make_member()
    named, unread, read, quiet = (
        make_room(ana, bo, title=title) for title in ("Named", "Unread", "Read", "Quiet")
    )
    conversations.mute(ana, quiet.pk, True)
    say(bo, named, "@Ana, do you come?")
    say(bo, unread)
    marks.mark_read(ana, read.pk, say(bo, read).seq)
    say(bo, quiet)

    assert titles(ana) == ["Named", "Unread", "Read", "Quiet"]
    say(bo, quiet, "@Ana, this is for you")
    assert titles(ana)[0] == "Quiet"
    make_room(ana, bo, title="Nobody said anything yet")
    assert titles(ana)[-1] == "Nobody said anything yet"


def test_a_row_of_the_list_says_who_said_what_last_and_how_much_is_new() -> None:
    ana, bo = make_member(display_name="Ana"), make_member(display_name="Bo")
    room = make_room(ana, bo)
    say(bo, room, "Shall we walk")
    say(bo, room, "@Ana, on Sunday")
    page = make_client(ana).get("/chat/").text
    (row,) = conversations.of(ana)
    assert (row.unread, row.named, row.last.text) == (2, 1, "@Ana, on Sunday")
    assert "Bo: @Ana, on Sunday" in page
    assert f'data-last-room="{room.public_id}"' in page
    assert f'data-unread-room="{room.public_id}"' in page
    assert f'data-mentions-room="{room.public_id}"' in page


def test_what_somebody_said_of_whom_i_hear_nothing_is_not_in_my_list() -> None:
    ana, bo, cleo = make_member(), make_member(), make_member()
    room = make_room(ana, bo, cleo)
    say(cleo, room, "A kind word")
    say(bo, room, "A rude word")
    blocks.block(bo, ana.pk)
    assert conversations.of(ana)[0].last.text == "A kind word"
    assert conversations.of(cleo)[0].last.text == "A rude word"


def test_who_is_in_no_room_is_told_where_rooms_come_from() -> None:
    page = make_client(make_member()).get("/chat/").text
    assert "its room opens at once" in page


def test_a_quiet_room_does_not_count_but_who_names_me_gets_through() -> None:
    ana, bo = make_member(display_name="Ana"), make_member()
    loud, quiet = make_room(ana, bo), make_room(ana, bo)
    client = make_client(ana)
    client.post(f"/chat/{quiet.public_id}/mute/", {"muted": "1"})
    say(bo, loud)
    say(bo, quiet)
    say(bo, quiet)
    assert conversations.unread_total(ana) == 1
    assert [row.room_id for row in conversations.unread_of(ana, 5)] == [loud.pk]
    assert [row.unread for row in conversations.of(ana)] == [1, 2]

    say(bo, quiet, "@Ana, hello")
    assert conversations.unread_total(ana) == 2
    client.post(f"/chat/{quiet.public_id}/mute/", {"muted": "0"})
    assert conversations.unread_total(ana) == 4


def test_a_program_makes_a_room_quiet_leaves_it_and_comes_back(client: Any) -> None:
    ana = make_member()
    room = make_room(ana, make_member())
    headers = {"authorization": f"Bearer {issue_token(ana, 'test')}"}
    path = f"/api/v1/rooms/{room.public_id}/"
    said = client.patch(path, {"muted": True}, content_type="application/json", headers=headers)
    assert (said.status_code, said.json()["muted"]) == (200, True)
    for wrong in ({"muted": "yes"}, {"muted": None}):
        assert client.patch(path, wrong, content_type="application/json", headers=headers).status_code == 400

    for _twice in range(2):
        assert client.delete(f"{path}participants/me/", headers=headers).status_code == 204
    assert client.get(path, headers=headers).status_code == 404
    for _twice in range(2):
        assert client.put(f"{path}participants/me/", headers=headers).status_code == 204
    assert client.get(path, headers=headers).json()["muted"] is True


def test_who_leaves_a_circles_room_stays_in_the_circle_and_finds_the_way_back_there() -> None:
    ana = make_member()
    circle = make_circle(ana, host=make_member())
    client, chat_url = make_client(ana), f"/chat/{circle.room.public_id}/"
    assert "You stay in the circle" in client.get(f"{chat_url}leave/").text
    assert client.post(f"{chat_url}leave/")["Location"] == "/chat/"
    assert client.get(chat_url).status_code == 404
    page = client.get(f"/circles/{circle.public_id}/").text
    assert "Come back to the conversation" in page and "To the room" not in page

    assert client.post(f"{chat_url}come-back/")["Location"] == chat_url
    assert client.get(chat_url).status_code == 200
    assert "To the room" in client.get(f"/circles/{circle.public_id}/").text


def test_who_stepped_out_is_not_brought_back_by_joining_again() -> None:
    ana = make_member()
    room = make_room(ana)
    conversations.step_out(ana, room.pk)
    rooms.enter(room, ana)
    assert Participant.objects.get(room=room, member=ana).left_seq == 1
    conversations.come_back(ana, room.pk)
    kinds = Entry.objects.filter(room=room).order_by("seq").values_list("kind", "reason")
    assert list(kinds) == [("leave", "stepped out"), ("join", "")]


@pytest.mark.parametrize("kind", ["household", "direct"])
def test_the_room_of_two_is_not_left_by_accident_and_says_what_to_do(kind: str) -> None:
    ana = make_member()
    room = make_room(ana, make_member(), kind=kind)
    with pytest.raises(ValidationError) as no:
        conversations.step_out(ana, room.pk)
    assert no.value.code == "cannot_leave"
    answer = make_client(ana).post(f"/chat/{room.public_id}/leave/")
    assert answer.status_code == 409
    assert "conversation" in answer.text
    rooms.close(room)
    conversations.step_out(ana, room.pk)
    assert conversations.of(ana) == []


def test_nobody_comes_back_into_a_room_they_were_never_in_or_that_is_theirs_no_more() -> None:
    ana, bo = make_member(), make_member()
    room = make_room(ana)
    with pytest.raises(Room.DoesNotExist):
        conversations.come_back(bo, room.pk)
    conversations.step_out(ana, room.pk)
    rooms.leave(room, ana)
    with pytest.raises(Room.DoesNotExist):
        conversations.come_back(ana, room.pk)


def test_a_direct_room_is_called_after_the_other_and_a_block_takes_it_out_of_both_lists() -> None:
    ana, bo = make_member(display_name="Ana"), make_member(display_name="Bo")
    room = make_room(ana, bo, kind="direct", title="direct")
    DirectTalk.objects.create(room=room, first=min(ana, bo, key=key), second=max(ana, bo, key=key))
    assert (titles(ana), titles(bo)) == (["Bo"], ["Ana"])
    say(bo, room)

    direct.block(ana, bo.pk)
    assert (titles(ana), titles(bo)) == ([], [])
    assert (conversations.unread_total(ana), rooms.standing_of([ana.pk])[ana.pk].rooms) == (0, {})
    assert make_client(bo).get(f"/chat/{room.public_id}/").status_code == 404
    with pytest.raises(ValidationError) as no:
        say(bo, room)
    assert no.value.code == "closed"

    direct.unblock(ana, bo.pk)
    assert (titles(ana), titles(bo)) == (["Bo"], ["Ana"])
    say(bo, room)


def key(member: Member) -> int:
    return member.pk


def test_a_room_is_called_by_the_language_of_its_reader():
    ana = make_member()
    room = rooms.open(Room.Kind.CIRCLE, "Chess and coffee", titles={"fr": "Échecs et café", "nl": ""})
    rooms.enter(room, ana)
    with translation.override("fr"):
        assert conversations.of(ana)[0].room.title == "Échecs et café"
    for language in ("nl", "de"):
        with translation.override(language):
            assert conversations.here(ana, room.pk).room.title == "Chess and coffee"
