"""The people of a room: who is here, as one of them may see it; blocking; taking out and letting in again."""

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from community import circles
from community.models import CircleMembership, Member
from community.sign_ins import issue_token
from events.registration import Person, register
from realtime import blocks, direct, moderation, people, rooms
from realtime.models import Block, Entry, Mail, Participant, Room
from tests.factories import make_circle, make_client, make_event, make_member, make_room

pytestmark = pytest.mark.django_db


def names(room: Room, viewer: Member, words: str = "", number: int = 1) -> list[str]:
    return [one.member.display_name for one in people.page_of(room, viewer, words, number).people]


def test_one_sees_who_is_here_but_nobody_suspended_or_apart() -> None:
    ana, bo, cleo, dan = (make_member(display_name=name) for name in ("Ana", "Bo", "Cleo", "Dan"))
    room = make_room(dan, cleo, bo, ana)
    blocks.block(bo, ana.pk)
    Member.objects.filter(pk=dan.pk).update(is_active=False)
    assert names(room, ana) == ["Ana", "Cleo"]
    assert names(room, bo) == ["Bo", "Cleo"]
    assert names(room, cleo) == ["Ana", "Bo", "Cleo"]
    headers = {"authorization": f"Bearer {issue_token(ana, 'test')}"}
    listed = make_client(ana).get(f"/api/v1/rooms/{room.public_id}/participants/", headers=headers).json()
    assert {row["id"] for row in listed["results"]} == {ana.public_id, cleo.public_id}


def test_a_long_room_is_searched_and_paged() -> None:
    ana = make_member(display_name="Ana")
    others = [make_member(display_name=f"Member {number:03}") for number in range(people.PAGE_SIZE + 5)]
    room = make_room(ana, *others)
    client, url = make_client(ana), f"/chat/{room.public_id}/people/"
    first, second = client.get(url).text, client.get(f"{url}?page=2").text
    assert "Member 000" in first and "Member 054" not in first and "page=2" in first
    assert "Member 054" in second and "Member 000" not in second
    found = client.get(f"{url}?q=mem+012").text
    assert "Member 012" in found and "Member 013" not in found
    assert "Nobody like that" in client.get(f"{url}?q=zzz").text
    for odd in ("0", "x", "-1", "99999999", "٣"):
        assert client.get(f"{url}?page={odd}").status_code == 200


@pytest.mark.parametrize("how_many", [1, 30])
def test_the_page_costs_the_same_queries_however_many_are_here(
    django_assert_num_queries: Any, how_many: int
) -> None:
    ana = make_member()
    room = make_room(ana, *[make_member() for _number in range(how_many)])
    client = make_client(ana)
    client.get("/chat/")
    with django_assert_num_queries(8):
        client.get(f"/chat/{room.public_id}/people/")


def test_what_a_blocker_sees_the_other_does_not_and_may_take_away() -> None:
    ana, bo = make_member(), make_member(display_name="Bo")
    room = make_room(ana, bo)
    client = make_client(ana)
    page = client.get(f"/chat/{room.public_id}/people/{bo.public_id}/block/").text
    assert "They are not told" in page
    assert not Block.objects.exists(), "it asks first"
    client.post(f"/chat/{room.public_id}/people/{bo.public_id}/block/")
    assert "Bo" in client.get("/me/blocked/").text
    assert "Nobody is blocked" in make_client(bo).get("/me/blocked/").text
    for url in ("block/", "report/", "talk/"):
        answer = make_client(bo).post(f"/chat/{room.public_id}/people/{ana.public_id}/{url}")
        assert answer.status_code == 404, "the blocker is not here for the blocked"

    client.post("/me/blocked/", {"member": bo.public_id})
    assert not Block.objects.exists()
    assert client.post("/me/blocked/", {"member": "nobody"}).status_code == 404


def test_a_program_blocks_lists_and_takes_blocks_away(client: Any) -> None:
    ana, bo = make_member(), make_member(display_name="Bo")
    make_room(ana, bo)
    headers = {"authorization": f"Bearer {issue_token(ana, 'test')}"}

    def ask(method: str, path: str, body: Any = None) -> Any:
        more = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(client, method)(f"/api/v1/blocks/{path}", headers=headers, **more)

    for _twice in range(2):
        made = ask("post", "", {"member": bo.public_id})
        assert (made.status_code, made.json()["member"], made.json()["name"]) == (201, bo.public_id, "Bo")
    assert [row["member"] for row in ask("get", "").json()["results"]] == [bo.public_id]
    for nobody in (make_member().public_id, ana.public_id, "x", "aaaaaaaaaaaae"):
        assert ask("post", "", {"member": nobody}).status_code == 404
    for _twice in range(2):
        assert ask("delete", f"{bo.public_id}/").status_code == 204
    assert ask("get", "").json()["results"] == []


# -- out, and in again


def circle() -> tuple[Any, Member, Member]:
    host, member = make_member(display_name="Host"), make_member(language="nl")
    return make_circle(member, host=host), host, member


def test_who_is_taken_out_of_a_circle_hears_nothing_more_and_knows_why() -> None:
    where, host, member = circle()
    moderation.remove(host, where.room_id, member.pk, " Not  kind ")
    here = Participant.objects.get(room=where.room, member=member)
    last = Entry.objects.get(room=where.room)
    assert (here.left_seq, here.out) == (last.seq, "removed")
    assert (last.kind, last.reason) == ("leave", "removed"), "the room is not told why"
    mail = Mail.objects.get()
    assert (mail.to, mail.language, "Not kind" in mail.text) == (member.email, "nl", True)
    assert not CircleMembership.objects.filter(circle=where, member=member).exists()
    where.refresh_from_db()
    assert where.size == 1


def test_who_was_taken_out_joins_again_only_when_a_host_lets_them_in() -> None:
    where, host, member = circle()
    moderation.remove(host, where.room_id, member.pk, "Not kind")
    with pytest.raises(PermissionDenied):
        circles.join(member, where.pk)
    with pytest.raises(Room.DoesNotExist):
        moderation.readmit(member, where.room_id, member.pk)
    client = make_client(host)
    page = client.get(f"/chat/{where.room.public_id}/people/").text
    assert "Let in again" in page and member.display_name in page

    for _twice in range(2):
        client.post(f"/chat/{where.room.public_id}/people/{member.public_id}/readmit/")
    assert Mail.objects.filter(kind="participant_readmitted", to=member.email).count() == 1
    circles.join(member, where.pk)
    assert Participant.objects.get(room=where.room, member=member).left_seq is None


def test_who_steps_out_first_is_taken_out_all_the_same() -> None:
    where, host, member = circle()
    make_client(member).post(f"/chat/{where.room.public_id}/leave/")
    moderation.remove(host, where.room_id, member.pk, "Not kind")
    make_client(member).post(f"/chat/{where.room.public_id}/come-back/")
    assert Participant.objects.get(room=where.room, member=member).left_seq is not None


def test_only_who_looks_after_the_room_takes_out_and_never_another_of_them() -> None:
    where, host, member = circle()
    other = make_member()
    circles.join(other, where.pk)
    with pytest.raises(PermissionDenied):
        moderation.remove(member, where.room_id, other.pk, "I dislike them")
    with pytest.raises(PermissionDenied):
        moderation.remove(host, where.room_id, host.pk, "Myself")
    with pytest.raises(ValidationError):
        moderation.remove(host, where.room_id, other.pk, "  ")
    with pytest.raises(Member.DoesNotExist):
        moderation.remove(host, where.room_id, make_member().pk, "Never here")


def test_who_is_taken_out_of_an_events_room_keeps_the_place_and_stays_out() -> None:
    event, ana = make_event(), make_member()
    row = register(ana, event.pk, [Person()])
    event.refresh_from_db()
    assert event.room is not None
    client, url = make_client(event.host), f"/chat/{event.room.public_id}/people/{ana.public_id}/remove/"
    assert "keep their place" in client.get(url).text
    assert client.post(url, {"reason": ""}).status_code == 400
    assert client.post(url, {"reason": "Not kind"}).status_code == 302
    row.refresh_from_db()
    assert row.state == "confirmed"
    rooms.enter(event.room, ana)
    assert Participant.objects.get(room=event.room, member=ana).out == "removed"
    assert "Come back to the conversation" not in make_client(ana).get(f"/events/{event.public_id}/").text


def test_the_people_of_a_direct_room_have_nobody_to_take_out() -> None:
    ana, bo = make_member(), make_member(display_name="Bo")
    make_room(ana, bo)
    direct.ask(ana, bo.pk)
    room = direct.accept(bo, direct.requests_to(bo).get().pk)
    page = make_client(ana).get(f"/chat/{room.public_id}/people/").text
    assert "Take out" not in page and "Leave the conversation" not in page
    url = f"/chat/{room.public_id}/people/{bo.public_id}/remove/"
    assert make_client(ana).post(url, {"reason": "x"}).status_code == 403
