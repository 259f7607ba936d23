"""The bell: each told once, counted at the head of every page, live at every socket, and only to whom it belongs."""

import asyncio
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.utils import translation

from community import privacy
from community.models import Member
from realtime import bell, blocks, bus, clock, direct, hub, ids
from realtime.bell import Group
from realtime.models import Mail, Notification
from realtime.threads import in_thread
from tests.factories import make_client, make_member, make_room

from .sockets import Tab

pytestmark = pytest.mark.django_db


def asks(member: Member, asker: Member | None = None) -> Notification:
    """Somebody would like to talk with the member, as the bell tells it."""
    asker = asker or make_member()
    claim = f"talk:{ids.new_id()}:asked"
    bell.ring([bell.note(member, "talk_asked", claim, "/chat/", subject=("talk", 1), about=asker)])
    return Notification.objects.get(claim=claim)


def ask(asker: Member, asked: Member) -> None:
    make_room(asker, asked)
    direct.ask(asker, asked.pk)


def number_on(page: Any) -> int:
    """What the bell at the head of a page counts."""
    text = page.content.decode()
    badges = [
        part.partition("</span>")[0] for part in text.split("data-bell")[1:] if "data-unread-number" in part
    ]
    assert len({badge.rpartition(">")[2] for badge in badges}) == 1, "the bell says the same everywhere"
    return int(badges[0].rpartition(">")[2])


def test_a_claim_is_told_once(django_assert_num_queries: Any) -> None:
    ana, bo = make_member(), make_member()
    notes = [bell.note(ana, "talk_asked", "talk:1:asked", "/chat/", about=bo) for _again in range(2)]
    with django_assert_num_queries(1):
        bell.ring(notes[:1])
    bell.ring(notes[1:])
    assert Notification.objects.count() == bell.counts([ana.pk])[0] == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_claim_it_at_once_one_tells() -> None:
    ana, bo = make_member(), make_member()
    start, wrong = Barrier(8), list[Exception]()

    def tell() -> None:
        try:
            start.wait()
            bell.ring([bell.note(ana, "talk_asked", "talk:1:asked", "/chat/", about=bo)])
        except Exception as problem:  # shown below
            wrong.append(problem)
        finally:
            connection.close()

    threads = [Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and bell.counts([ana.pk]) == [1]


def test_a_request_to_talk_is_seen_on_every_page_until_its_page_is_opened() -> None:
    ana, bo = make_member(display_name="Ana"), make_member()
    ask(ana, bo)
    browser = make_client(bo)

    for address in ("/", "/events/", "/circles/", "/me/", "/notifications/"):
        assert number_on(browser.get(address)) == 1, address
    assert "Ana would like to talk with you" in browser.get("/notifications/").content.decode()
    assert number_on(browser.get("/chat/")) == number_on(browser.get("/")) == 0
    assert number_on(make_client(ana).get("/")) == 0


def test_answered_it_is_taken_back_and_who_asked_hears_a_yes() -> None:
    ana, bo, col = make_member(), make_member(), make_member()
    ask(ana, bo)
    ask(col, bo)
    direct.decline(bo, direct.requests_to(bo).get(asker=col).pk)
    room = direct.accept(bo, direct.requests_to(bo).get(asker=ana).pk)

    assert bell.counts([ana.pk, bo.pk, col.pk]) == [1, 0, 0]
    (told,) = bell.page(ana)[0]
    assert told.row.link == f"/chat/{room.public_id}/"
    assert number_on(make_client(ana).get(told.row.link)) == 0


def test_the_head_costs_no_query_and_a_page_none_for_who_has_nothing_unread(
    django_assert_num_queries: Any,
) -> None:
    ana = make_member()
    browser = make_client(ana)
    browser.get("/chat/")
    with django_assert_num_queries(2) as asked:  # session; member with towns and what is unread
        browser.get("/about/")
    assert any("realtime_notification" in query["sql"] for query in asked.captured_queries[:2])
    assert sum("realtime_notification" in query["sql"] for query in asked.captured_queries) == 1
    asks(ana)
    with django_assert_num_queries(2):
        browser.get("/about/")


def test_the_list_costs_the_same_for_1_and_30_notifications(django_assert_num_queries: Any) -> None:
    ana = make_member()
    browser = make_client(ana)
    asks(ana)
    for _more in range(2):
        with django_assert_num_queries(3):
            browser.get("/notifications/")
        for _n in range(29):
            asks(ana)


def test_the_list_is_in_pages_the_newest_first(clock: Any) -> None:
    ana, bo = make_member(), make_member()
    for n in range(45):
        if n % 2:  # several of one moment, too
            clock.shift(timedelta(minutes=1))
        asks(ana, bo)
    seen, before, sizes = list[int](), None, list[int]()
    while True:
        rows, more = bell.page(ana, before)
        seen += [one.row.pk for one in rows]
        sizes.append(len(rows))
        before = rows[-1].row.pk
        if not more:
            break
    assert sizes == [20, 20, 5] and len(set(seen)) == 45
    moments = list(Notification.objects.in_bulk(seen)[pk].created_at for pk in seen)
    assert moments == sorted(moments, reverse=True)
    page = make_client(ana).get("/notifications/").content.decode()
    assert f"before={ids.encode(seen[19])}" in page
    assert make_client(ana).get("/notifications/?before=nonsense").status_code == 200


def test_without_script_one_is_removed_all_are_read_and_an_empty_list_says_what_to_do() -> None:
    ana = make_member()
    browser = make_client(ana)
    first, _second = asks(ana), asks(ana)
    assert browser.get("/notifications/").content.decode().count('class="tag tag--sun"') == 2
    assert browser.post(f"/notifications/{first.public_id}/remove/").status_code == 302
    assert browser.post(f"/notifications/{first.public_id}/remove/").status_code == 302, (
        "again: nothing happens"
    )
    page = browser.post("/notifications/read/", follow=True)
    assert number_on(page) == 0 and Notification.objects.count() == 1
    assert "tag--sun" not in page.content.decode()
    Notification.objects.all().delete()
    assert "Nothing new" in browser.get("/notifications/").content.decode()


def test_somebody_elses_is_neither_read_nor_removed() -> None:
    ana, bo = make_member(), make_member()
    row = asks(ana)
    browser = make_client(bo)
    browser.post(f"/notifications/{row.public_id}/remove/")
    browser.post("/notifications/read/")
    assert bell.counts([ana.pk]) == [1]
    with pytest.raises(Notification.DoesNotExist):
        bell.read(bo, row.pk)


@pytest.mark.parametrize(
    ("language", "said", "counted"),
    [
        ("en", "Ana would like to talk with you", "2 are new"),
        ("nl", "Ana wil graag met je praten", "2 zijn nieuw"),
        ("de", "Ana möchte mit dir reden", "2 sind neu"),
        ("fr", "Ana aimerait parler avec toi", "2 nouvelles"),
    ],
)
def test_it_is_said_in_the_language_the_reader_has_now(language: str, said: str, counted: str) -> None:
    bo = make_member(language="fr" if language == "en" else "en")
    for _n in range(2):
        asks(bo, make_member(display_name="Ana"))
    Member.objects.filter(pk=bo.pk).update(language=language)
    page = make_client(bo).get("/notifications/", headers={"accept-language": "xx"}).content.decode()
    with translation.override(language):
        assert said in page and counted in page


def test_of_somebody_blocked_nothing_stays() -> None:
    ana, bo, col = make_member(), make_member(), make_member()
    asks(ana, bo)
    asks(bo, ana)
    asks(ana, col)
    blocks.block(ana, bo.pk)
    assert bell.counts([ana.pk, bo.pk]) == [1, 0]


def test_who_is_forgotten_is_forgotten_by_every_bell() -> None:
    ana, bo, col = make_member(), make_member(), make_member()
    asks(ana, bo)
    asks(ana, col)
    asks(bo, ana)
    privacy.erase(bo.pk)
    assert list(Notification.objects.values_list("member", "about")) == [(ana.pk, col.pk)]


def test_after_sixty_days_it_is_gone() -> None:
    ana = make_member()
    asks(ana)
    Notification.objects.update(created_at=clock.now() - bell.KEPT_FOR + timedelta(minutes=1))
    assert bell.forget_old() == 0
    Notification.objects.update(created_at=clock.now() - bell.KEPT_FOR - timedelta(minutes=1))
    assert bell.forget_old() == 1


def test_by_wish_a_request_to_talk_rings_and_is_not_mailed() -> None:
    ana, bo = make_member(), make_member()
    assert bell.is_mailed(bo, Group.TALK)
    bo.channels = bell.chosen({}, {Group.TALK: ["bell"]})
    bo.save()
    ask(ana, bo)
    assert bell.counts([bo.pk]) == [1] and not Mail.objects.filter(kind="talk_asked").exists()
    assert bell.chosen(bo.channels, {Group.TALK: ["bell", "mail"]}) == {}, "what is usual is not kept"


# Live


async def rung(member: Member) -> Notification:
    return await in_thread(asks)(member)


async def unread(tab: Tab) -> int:
    return int((await tab.next("notification"))["unread"])


@pytest.mark.django_db(transaction=True)
async def test_it_rings_at_every_socket_of_the_member_and_at_nobody_elses() -> None:
    ana, bo = await in_thread(make_member)(), await in_thread(make_member)()
    await rung(ana)
    tabs = [await Tab.watching(ana) for _ in range(2)]
    other = await Tab.watching(bo)
    assert [tab.welcome["notifications"] for tab in (*tabs, other)] == [1, 1, 0]

    row = await rung(ana)
    for tab in tabs:
        frame = await tab.next("notification")
        assert frame == {
            "type": "notification",
            "unread": 2,
            "kind": "talk_asked",
            "link": "/chat/",
            "at": row.created_at.isoformat(),
        }
    await in_thread(bell.read_all)(ana)
    assert [await unread(tab) for tab in tabs] == [0, 0]
    assert await other.nothing()
    for tab in (*tabs, other):
        await tab.leave()


@pytest.mark.django_db(transaction=True)
async def test_what_comes_between_the_count_and_the_welcome_is_told_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ana = await in_thread(make_member)()
    tab = await Tab.of(ana)
    counts = bell.counts

    def counting(member_ids: Any) -> list[int]:
        found = counts(member_ids)
        asks(ana)  # committed after the count is read, before it is sent
        return found

    monkeypatch.setattr(bell, "counts", counting)
    await tab.send(type="hello", v=1, client="0e8ad7f0-6a2c-4a7c-9d7b-0c1e0c1e0c1e")
    assert (await tab.next("welcome"))["notifications"] == 0
    assert await unread(tab) == 1
    await tab.leave()


@pytest.mark.django_db(transaction=True)
async def test_what_the_bus_has_lost_is_counted_when_it_is_back() -> None:
    ana, bo = await in_thread(make_member)(), await in_thread(make_member)()
    tabs = [await Tab.watching(ana), await Tab.watching(bo)]
    claim = {"member": ana, "kind": "talk_asked", "claim": "talk:1:asked", "link": "/chat/"}
    await in_thread(Notification.objects.create)(**claim)
    assert await tabs[0].nothing(), "nobody said a word"
    hub.current()._lost()
    assert await unread(tabs[0]) == 1
    assert await tabs[1].nothing(), "whose count is the same hears nothing"
    for tab in tabs:
        await tab.leave()


@pytest.mark.django_db(transaction=True)
async def test_many_who_are_told_at_once_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [await in_thread(make_member)() for _ in range(12)]
    tabs = [await Tab.watching(person) for person in people]
    asked = list[int]()
    counts = bell.counts

    def counting(member_ids: Any) -> list[int]:
        asked.append(len(member_ids))
        return counts(member_ids)

    monkeypatch.setattr(hub.current().bells._counts, "_find", counting)

    def tell() -> None:
        bell.ring([bell.note(person, "talk_asked", f"talk:{person.pk}:asked", "/chat/") for person in people])

    await in_thread(tell)()
    assert [await unread(tab) for tab in tabs] == [1] * 12
    assert len(asked) <= 2, "no query for each socket"
    for tab in tabs:
        await tab.leave()


@pytest.mark.django_db(transaction=True)
async def test_what_is_held_back_rings_when_its_time_has_come_and_once() -> None:
    ana = await in_thread(make_member)()
    tab = await Tab.watching(ana)
    until = clock.now() + timedelta(minutes=10)

    def tell() -> None:
        bell.ring([bell.note(ana, "talk_asked", "talk:1:asked", "/chat/", held_until=until)])

    await in_thread(tell)()
    assert await tab.nothing() and await in_thread(bell.let_out)() == 0
    await in_thread(Notification.objects.update)(held_until=clock.now())
    assert await in_thread(bell.let_out)() == 1
    assert await unread(tab) == 1
    assert await in_thread(bell.let_out)() == 0
    await tab.leave()


@pytest.mark.django_db(transaction=True)
async def test_a_word_nobody_understands_harms_nothing() -> None:
    ana = await in_thread(make_member)()
    tab = await Tab.watching(ana)
    for word in ("", "x", "12", f"{ana.pk}"):
        await in_thread(bus.publish)({bell.CHANNEL: word})
    await rung(ana)
    async with asyncio.timeout(5):
        while (await tab.next("notification"))["unread"] != 1:
            pass
    await tab.leave()
