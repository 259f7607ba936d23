"""Pages and API of talk: readable without script, and the same rules as on the socket."""

import re
from typing import Any
from uuid import uuid4

import pytest

from community.sign_ins import issue_token
from realtime import blocks, chat, rooms
from realtime.models import Entry
from tests.factories import make_member, make_room

pytestmark = pytest.mark.django_db


@pytest.fixture
def ana() -> Any:
    return make_member(display_name="Ana")


def talk(room: Any, member: Any, *texts: str) -> None:
    for text in texts:
        chat.post(member, room.pk, text, uuid4())


def test_the_list_shows_my_rooms_and_what_is_unread(client, ana):
    bo = make_member()
    room = make_room(ana, bo, title="Sunday walkers")
    make_room(bo, title="Not mine")
    talk(room, bo, "hello", "shall we walk")
    client.force_login(ana)

    page = client.get("/chat/").text

    assert "Sunday walkers" in page and "Not mine" not in page and "shall we walk" in page
    assert f'data-unread-room="{room.public_id}"' in page


def test_a_page_that_fell_behind_asks_for_the_list_alone(client, ana):
    room = make_room(ana, make_member(), title="Sunday walkers")
    talk(room, ana, "hello")
    client.force_login(ana)
    part = client.get("/chat/?part=list").text
    assert part.strip().startswith('<ul class="chat-list"') and part.strip().endswith("</ul>")
    assert "Sunday walkers" in part and 'data-head="1"' in part
    assert 'data-again="/chat/?part=list"' in client.get(f"/chat/{room.public_id}/").text


def test_a_room_shows_its_history_and_takes_a_message_without_script(client, ana):
    room = make_room(ana)
    talk(room, ana, "<b>first</b>")
    client.force_login(ana)
    url, key = f"/chat/{room.public_id}/", str(uuid4())

    for _ in range(2):
        answer = client.post(url, {"text": "by form", "key": key})
        assert (answer.status_code, answer["Location"]) == (302, url)

    page = client.get(url).text
    assert "&lt;b&gt;first&lt;/b&gt;" in page and "<b>first" not in page and "by form" in page
    assert Entry.objects.filter(room=room).count() == 2


def test_a_room_shared_with_somebody_one_has_blocked_opens_without_a_word_of_theirs(client, ana):
    bo, cleo = make_member(display_name="Bo"), make_member()
    room = make_room(ana, bo, cleo)
    talk(room, bo, "from bo")
    talk(room, cleo, "from cleo")
    talk(room, bo, "from bo again")
    blocks.block(ana, bo.pk)
    for one, other in ((ana, "from bo"), (bo, "from ana")):
        client.force_login(one)
        page = client.get(f"/chat/{room.public_id}/")
        assert page.status_code == 200
        assert "from cleo" in page.text and other not in page.text


def test_what_cannot_be_said_is_explained_and_kept(client, ana):
    room = make_room(ana)
    client.force_login(ana)

    answer = client.post(f"/chat/{room.public_id}/", {"text": "x" * 4001, "key": str(uuid4())})

    assert answer.status_code == 400
    assert "4000" in answer.text and "x" * 4001 in answer.text


def test_a_room_that_is_not_mine_is_not_there(client, ana):
    room = make_room(make_member())
    client.force_login(ana)

    assert client.get(f"/chat/{room.public_id}/").status_code == 404
    assert client.post(f"/chat/{room.public_id}/", {"text": "x"}).status_code == 404
    assert client.get("/chat/aaaaaaaaaaaae/").status_code == 404


def test_pages_of_talk_ask_to_sign_in(client):
    assert client.get("/chat/").status_code == 302


@pytest.mark.parametrize("how_many", [1, 30])
def test_the_pages_cost_the_same_queries_however_full(client, ana, django_assert_num_queries, how_many):
    some_rooms = [make_room(ana, title=f"Room {number}") for number in range(how_many)]
    talk(some_rooms[0], ana, *[str(number) for number in range(how_many)])
    client.force_login(ana)
    client.get("/chat/")

    with django_assert_num_queries(6):
        client.get("/chat/")
    with django_assert_num_queries(9):
        client.get(f"/chat/{some_rooms[0].public_id}/")


# -- API


@pytest.fixture
def api(client, ana):
    headers = {"authorization": f"Bearer {issue_token(ana, 'test')}"}

    def ask(method: str, path: str, body: Any = None) -> Any:
        more = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(client, method)(f"/api/v1/{path}", headers=headers, **more)

    return ask


def test_the_api_lists_rooms_with_what_is_unread(api, ana):
    bo = make_member()
    room = make_room(ana, bo)
    make_room(bo)
    talk(room, bo, "one", "two")

    (row,) = api("get", "rooms/").json()["results"]

    assert (row["id"], row["epoch"], row["head"], row["n"], row["read"]) == (room.public_id, 1, 2, 2, [0, 0])
    assert api("get", f"rooms/{room.public_id}/").json() == row
    people = api("get", f"rooms/{room.public_id}/participants/").json()["results"]
    assert [person["id"] for person in people] == [ana.public_id, bo.public_id]


def test_a_message_by_api_is_created_once(api, ana):
    room = make_room(ana)
    path, body = f"rooms/{room.public_id}/entries/", {"key": str(uuid4()), "text": "by api", "language": "en"}

    first, again = api("post", path, body), api("post", path, body)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (first.json()["seq"], first.json()["body"]["text"]) == (1, "by api")
    other = api("post", path, body | {"text": "other"})
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


def test_the_api_pages_log_and_history_by_seq(api, ana):
    room = make_room(ana)
    talk(room, ana, *"abcde")
    chat.delete(ana, room.pk, 2, uuid4())

    log = api("get", f"rooms/{room.public_id}/entries/?after=3&limit=2").json()
    history = api("get", f"rooms/{room.public_id}/history/?before=4&limit=2").json()

    assert ([row["seq"] for row in log["results"]], log["more"]) == ([4, 5], True)
    assert [(row["seq"], row["body"] and row["body"]["text"]) for row in history["results"]] == [
        (3, "c"),
        (2, None),
    ]
    assert history["more"]


@pytest.mark.parametrize(
    ("method", "rest", "body", "status"),
    [
        ("get", "entries/?after=x", None, 400),
        ("get", "entries/?after=-1", None, 400),
        ("get", "entries/?limit=101", None, 400),
        ("get", "history/?before=99999999999999999999", None, 400),
        ("post", "entries/", {"key": "no", "text": "x"}, 400),
        ("post", "entries/", {"key": str(uuid4())}, 400),
        ("post", "entries/", {"key": str(uuid4()), "text": "  "}, 400),
        ("post", "entries/", {"key": str(uuid4()), "text": "x" * 4001}, 400),
        ("post", "entries/", {"key": str(uuid4()), "text": "x", "reply_to": 77}, 404),
        ("post", "entries/", {"key": str(uuid4()), "text": "x", "language": "d e"}, 400),
        ("delete", "entries/", None, 405),
    ],
)
def test_odd_requests_get_a_problem(api, ana, method, rest, body, status):
    room = make_room(ana)

    answer = api(method, f"rooms/{room.public_id}/{rest}", body)

    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert not Entry.objects.exists()


def test_somebody_elses_room_is_not_there_for_programs_either(api, ana):
    room = make_room(ana, make_member())
    rooms.leave(room, ana)
    for rest in ("", "participants/", "entries/", "history/"):
        assert api("get", f"rooms/{room.public_id}/{rest}").status_code == 404
    assert (
        api("post", f"rooms/{room.public_id}/entries/", {"key": str(uuid4()), "text": "x"}).status_code == 404
    )


def test_what_is_written_once_is_each_readers_own(client: Any, clock: Any):
    clock.move_to("2027-03-01T22:30:00+00:00")
    ana, bo = make_member(display_name="Ana", time_zone="Europe/Brussels"), make_member(time_zone="UTC")
    room = make_room(ana, bo, title="Sunday walkers")
    talk(room, ana, "before midnight")
    clock.move_to("2027-03-01T23:30:00+00:00")
    talk(room, ana, "after it in Brussels")

    def page(reader: Any) -> str:
        client.force_login(reader)
        return str(client.get(f"/chat/{room.public_id}/").text)

    def days(text: str) -> list[str]:
        return re.findall(r'<li class="chat-day">([^<]*)</li>', text)

    for _again in range(2):  # the second time nothing is written anew
        mine, theirs = page(ana), page(bo)
        assert days(mine) == ["Monday, 1 March 2027", "Tuesday, 2 March 2027"]
        assert days(theirs) == ["Monday, 1 March 2027"]
        assert mine.count("chat-message--mine") == 2 and "chat-message--mine" not in theirs
        assert ">00:30</time>" in mine and ">23:30</time>" in theirs
        assert "You: after it" in mine and "Ana: after it" in theirs
    ana.display_name = "Ana Ozola"
    ana.save()
    assert "Ana Ozola: after it" in page(bo) and 'class="chat-author">Ana Ozola<' in page(bo)
    chat.delete(ana, room.pk, 2, uuid4())
    assert "after it in Brussels" not in page(bo) and "This message was removed." in page(bo)
