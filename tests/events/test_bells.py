"""What rings the bell of who comes and of who hosts; bell and mail agree, by each member's wish."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from community import privacy
from community.models import Member
from events import (
    approval,
    bells,
    cohosts,
    hosting,
    inquiries,
    invited,
    inviting,
    letters,
    moving,
    reminding,
    undoing,
    waiting,
)
from events.models import Event, Registration
from events.registration import Person, cancel, register
from realtime import bell, blocks, notify
from realtime import clock as times
from realtime.bell import Group
from realtime.models import Mail, Notification
from tests.factories import make_client, make_event, make_household, make_member

pytestmark = pytest.mark.django_db
ME = Person()
HOUR, DAY, TEN = timedelta(hours=1), timedelta(days=1), timedelta(minutes=10)


@pytest.fixture
def event(clock: Any) -> Event:
    """In ten days; its host asks whether one still comes."""
    return make_event(
        capacity=2, waiting_list="strict", asks_again=True, title="Chess", starts_at=times.now() + 10 * DAY
    )


def without_mail(*groups: Group, **given: Any) -> Member:
    """A member for whom the bell is enough, for these groups."""
    return make_member(channels=bell.chosen({}, dict.fromkeys(groups, ["bell"])), **given)


def told(member: Member) -> list[str]:
    """What the member's bell says, the newest last."""
    return [one.row.kind for one in reversed(bell.page(member)[0])]


def mailed(member: Member) -> list[str]:
    rows = Mail.objects.filter(member=member).exclude(state="dropped").order_by("pk")
    return list(rows.values_list("kind", flat=True))


def move(event: Event, **changes: Any) -> None:
    hosting.change(event.host, event.pk, changes)  # type: ignore[arg-type]


def wall(moment: Any) -> Any:
    return moment.replace(tzinfo=None)


def test_a_change_rings_once_and_says_what_is_true_now(event: Event) -> None:
    ana = make_member()
    row = register(ana, event.pk, [ME])
    move(event, title="Chess and tea")
    assert told(ana) == ["event_changed"]
    for days in (1, 2):
        move(event, starts_at=wall(event.local_start) + days * DAY)
    assert told(ana) == ["event_elsewhere"], "the last one says it all"
    event.refresh_from_db()
    (one,) = bell.page(ana)[0]
    assert one.text == "Another time or place: Chess and tea"
    assert one.more == "Sun 14 Mar, 19:30"
    assert one.row.link == f"/registrations/{row.public_id}/"


def test_every_person_of_a_party_is_told_and_nobody_else(event: Event) -> None:
    ana, bo, col = make_member(), make_member(), make_member()
    make_household(ana, bo)
    register(ana, event.pk, [ME, Person(member_id=bo.pk)])
    move(event, venue="The library")
    assert told(ana) == told(bo) == ["event_elsewhere"]
    assert told(col) == []


def test_opening_the_event_or_the_party_or_the_guests_is_reading(event: Event) -> None:
    ana = make_member()
    row = register(ana, event.pk, [ME])
    for page in (f"/events/{event.public_id}/", f"/registrations/{row.public_id}/"):
        move(event, venue=f"Before {page}")
        assert bell.counts([ana.pk]) == [1]
        assert make_client(ana).get(page).status_code == 200
        assert bell.counts([ana.pk]) == [0]
    asking = make_event(by_approval=True)
    register(ana, asking.pk, [ME])
    assert bell.counts([asking.host_id]) == [1]
    make_client(asking.host).get(f"/events/{asking.public_id}/guests/")
    assert bell.counts([asking.host_id]) == [0]


def test_a_page_of_the_event_costs_one_query_more_for_who_has_something_unread(
    event: Event, django_assert_num_queries: Any
) -> None:
    ana = make_member()
    row = register(ana, event.pk, [ME])
    browser, page = make_client(ana), f"/registrations/{row.public_id}/"
    browser.get(page)
    with django_assert_num_queries(7):
        browser.get(page)
    move(event, venue="The library")
    with django_assert_num_queries(11):  # of which two begin and end a transaction
        browser.get(page)
    with django_assert_num_queries(7):
        browser.get(page)


def test_reminders_ring_once_however_often_the_sweep_dies(event: Event, clock: Any, monkeypatch: Any) -> None:
    people = [make_member(), without_mail(Group.REMINDERS)]
    for one in people:
        register(one, event.pk, [ME])
    clock.move_to(event.starts_at - DAY)

    def dies(_notes: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(bell, "ring", dies)
        with pytest.raises(RuntimeError):
            reminding.remind_due()
    assert [told(one) for one in people] == [[], []] and not Mail.objects.filter(
        kind="event_reminder"
    ).exists()
    for _again in range(3):
        reminding.remind_due()
    assert [told(one).count("event_reminder") for one in people] == [1, 1]
    assert [mailed(one).count("event_reminder") for one in people] == [1, 0]


def test_an_event_that_moves_takes_its_reminder_back_and_reminds_of_the_new_hour(
    event: Event, clock: Any
) -> None:
    ana = make_member()
    register(ana, event.pk, [ME])
    clock.move_to(event.starts_at - DAY)
    reminding.remind_due()
    assert "event_reminder" in told(ana)
    move(event, starts_at=wall(event.local_start) + 3 * DAY)
    assert told(ana) == ["event_elsewhere"]
    event.refresh_from_db()
    clock.move_to(event.starts_at - DAY)
    reminding.remind_due()
    (one,) = [one for one in bell.page(ana)[0] if one.row.kind == "event_reminder"]
    assert one.more == "Mon 15 Mar, 19:30"


def test_who_still_comes_is_not_asked_by_the_bell_any_more(event: Event, clock: Any) -> None:
    ana = make_member()
    row = register(ana, event.pk, [ME])
    clock.move_to(event.starts_at - 2 * DAY)
    reminding.remind_due()
    assert told(ana) == ["event_still"]
    reminding.answer(ana, row.pk, comes=True)
    assert told(ana) == []


def test_an_offer_rings_until_it_is_answered_or_ends(event: Event, clock: Any) -> None:
    holders = [register(make_member(), event.pk, [ME]) for _ in range(2)]
    yes, no, late = (register(make_member(), event.pk, [ME], wait=True) for _ in range(3))
    people = [one.member for one in (yes, no, late)]
    cancel(holders[0].member, holders[0].pk)
    cancel(holders[1].member, holders[1].pk)
    assert [told(one) for one in people] == [["event_offered"], ["event_offered"], []]
    waiting.accept(yes.member, yes.pk)
    waiting.decline(no.member, no.pk)
    assert [told(one) for one in people] == [[], [], ["event_offered"]]
    clock.shift(2 * DAY)
    waiting.expire_offers()
    assert [told(one) for one in people] == [[], [], ["event_offer_ended"]]


def test_yes_and_no_of_a_host_ring_and_what_was_asked_is_settled() -> None:
    event = make_event(by_approval=True)
    yes, no = (register(make_member(), event.pk, [ME]) for _ in range(2))
    assert told(event.host) == ["event_request"] * 2
    approval.approve(event.host, yes.pk)
    approval.turn_down(event.host, no.pk, "No room for two")
    assert [told(event.host), told(yes.member), told(no.member)] == [[], ["event_yes"], ["event_turned_down"]]


def test_a_party_that_grows_and_hosting_together_ring(event: Event) -> None:
    ana = make_member()
    other = register(make_member(), event.pk, [ME])
    mine = register(ana, event.pk, [ME])
    from events.registration import change_party  # noqa: PLC0415

    change_party(ana, mine.pk, [ME, Person(name="Oma")], wait=True)
    assert told(ana) == [], "what one did oneself"
    cancel(other.member, other.pk)
    assert told(ana) == ["event_grown"]
    bo = make_member(centre=event.centre, display_name="Bo Unique")
    cohosts.name(event.host, event.pk, bo.email)
    assert told(bo) == ["event_cohost"]


def test_a_party_that_its_host_moves_is_told_and_who_moves_themselves_is_not(event: Event) -> None:
    ana, bo = make_member(), make_member()
    make_household(ana, bo)
    there = make_event(host=event.host, title="Go", starts_at=event.starts_at + DAY)
    row = register(ana, event.pk, [ME, Person(member_id=bo.pk)])
    moving.move(event.host, row.pk, there.pk)
    assert told(ana) == told(bo) == ["event_moved"]
    assert bell.page(ana)[0][0].text == "Another date: Go"
    mine = register(event.host, event.pk, [ME])
    moving.move(event.host, mine.pk, there.pk)
    assert told(event.host) == []


# A call-off


@pytest.fixture
def party(event: Event) -> Registration:
    return register(make_member(), event.pk, [ME])


def test_a_call_off_is_held_as_long_as_its_mail(event: Event, party: Registration, clock: Any) -> None:
    hosting.call_off(event.host, event.pk, "Storm")
    clock.shift(TEN - timedelta(seconds=1))
    assert bell.let_out() == 0 and told(party.member) == [] and bell.counts([party.member_id]) == [0]
    clock.shift(timedelta(seconds=1))
    assert bell.let_out() == 1 and notify.send_due() >= 1
    (one,) = bell.page(party.member)[0]
    assert (one.text, one.more, one.quote) == ("Called off: Chess", "Fri 12 Mar, 19:30", "Storm")
    assert mailed(party.member)[-1] == "event_called_off"


def test_a_call_off_that_is_taken_back_was_never_told(event: Event, party: Registration, clock: Any) -> None:
    hosting.call_off(event.host, event.pk)
    clock.shift(TEN - timedelta(seconds=1))
    undoing.restore(event.host, event.pk)
    clock.shift(TEN)
    assert bell.let_out() == 0 and not Notification.objects.exists()


def test_near_the_start_it_rings_at_once_and_taken_back_it_rings_again(clock: Any) -> None:
    event = make_event(starts_at=times.now() + HOUR)
    row = register(make_member(), event.pk, [ME])
    hosting.call_off(event.host, event.pk)
    assert told(row.member) == ["event_called_off"]
    undoing.restore(event.host, event.pk)
    assert told(row.member) == ["event_restored"], "its mail had not left, and they may have seen the bell"
    assert mailed(row.member)[-1] == "event_restored"


def test_a_call_off_that_stands_takes_open_questions_back(event: Event, clock: Any) -> None:
    gone = register(make_member(), event.pk, [ME, Person(name="Oma")])
    row = register(make_member(), event.pk, [ME], wait=True)
    cancel(gone.member, gone.pk)
    hosting.call_off(event.host, event.pk)
    assert told(row.member) == ["event_offered"], "as long as it can be taken back"
    clock.shift(TEN)
    bell.let_out()
    undoing.let_go()
    assert told(row.member) == ["event_called_off"]


# Channels


def test_what_one_could_lose_a_place_by_is_always_mailed(event: Event, clock: Any) -> None:
    ana = without_mail(*Group)
    row = register(ana, event.pk, [ME])
    move(event, title="Chess and tea")
    assert (told(ana), mailed(ana)) == (["event_changed"], ["event_registered"])
    move(event, starts_at=wall(event.local_start) + DAY)
    assert mailed(ana)[-1] == "event_changed"
    hosting.call_off(event.host, event.pk)
    assert mailed(ana)[-1] == "event_called_off"
    other = make_event(capacity=1, waiting_list="strict")
    holder = register(make_member(), other.pk, [ME])
    register(ana, other.pk, [ME], wait=True)
    cancel(holder.member, holder.pk)
    assert mailed(ana)[-1] == "event_offered"
    assert row.member == ana


def test_a_letter_rings_and_by_wish_the_bell_has_all_of_it(event: Event) -> None:
    ana, bo = make_member(), without_mail(Group.LETTERS)
    for one in (ana, bo):
        register(one, event.pk, [ME])
    key = uuid4()
    for _again in range(2):
        letters.write(event.host, event.pk, "coming", "Bring a cup.\n\nAnd a chair.", key)
    for one in (ana, bo):
        (note,) = bell.page(one)[0]
        assert (note.text, note.more, note.quote) == (
            "A word about Chess",
            "",
            "Bring a cup.\n\nAnd a chair.",
        )
    assert [mailed(one).count("event_letter") for one in (ana, bo)] == [1, 0]


def test_letters_are_counted_however_they_are_read(event: Event) -> None:
    register(without_mail(Group.LETTERS), event.pk, [ME])
    for _n in range(letters.A_DAY):
        letters.write(event.host, event.pk, "coming", "Hello", uuid4())
    with pytest.raises(Exception, match="a lot of letters"):
        letters.write(event.host, event.pk, "coming", "Hello", uuid4())


def test_a_letter_of_somebody_a_block_keeps_apart_is_in_no_bell_and_no_mail(event: Event) -> None:
    ana = without_mail(Group.LETTERS)
    register(ana, event.pk, [ME])
    letters.write(event.host, event.pk, "coming", "Before", uuid4())
    blocks.block(ana, event.host_id)
    assert told(ana) == [], "what was there is gone"
    letters.write(event.host, event.pk, "coming", "After", uuid4())
    assert told(ana) == []
    assert "event_letter" not in mailed(ana)


def test_a_letter_loses_the_name_of_who_is_forgotten_and_goes_with_its_writer(event: Event) -> None:
    ana, ben = make_member(), make_member(display_name="Benedict")
    register(ana, event.pk, [ME])
    letters.write(event.host, event.pk, "coming", "Benedict (benedict) brings Benedictine.", uuid4())
    privacy.erase(ben.pk)
    assert bell.page(ana)[0][0].quote == "… (…) brings Benedictine."
    privacy.erase(event.host_id)
    assert "event_letter" not in told(ana)


def test_what_one_may_no_longer_see_says_nothing(event: Event) -> None:
    ana = make_member()
    register(ana, event.pk, [ME])
    move(event, venue="The library")
    Registration.objects.all().delete()
    Event.objects.filter(pk=event.pk).update(visibility="centre", title="A secret")
    page = make_client(ana).get("/notifications/").content.decode()
    assert "secret" not in page and "not yours to see" in page


def test_each_kind_has_words_and_each_must_mail_says_so() -> None:
    for kind, one in bells.BELLS.items():
        row = Notification(kind=kind, subject=bells.SUBJECT, said={"text": "x"})
        assert "Chess" in bell._told(row, make_event(title="Chess")).text, kind
        assert one.group is None or one.group in Group


def test_the_settings_page_changes_what_is_mailed() -> None:
    ana = make_member()
    browser = make_client(ana)
    page = browser.get("/me/notifications/").content.decode()
    assert page.count('value="mail"') == page.count('value="bell"') == 4
    wish = {"reminders": "bell", "changes": "mail", "letters": "bell", "talk": "mail"}
    assert browser.post("/me/notifications/", wish).status_code == 302
    ana.refresh_from_db()
    assert ana.channels == {"reminders": [], "letters": []}
    assert [bell.is_mailed(ana, group) for group in Group] == [False, True, False, True]
    assert browser.post("/me/notifications/", {**wish, "talk": "pigeon"}).status_code == 200
    ana.refresh_from_db()
    assert bell.is_mailed(ana, Group.TALK)


def test_the_api_lists_reads_and_removes() -> None:
    from community.sign_ins import issue_token  # noqa: PLC0415

    event = make_event(title="Chess")
    ana, bo = make_member(), make_member()
    register(ana, event.pk, [ME])
    move(event, venue="The library")
    keys = {who: {"authorization": f"Bearer {issue_token(who, 'x')}"} for who in (ana, bo)}
    call = make_client(make_member())
    call.logout()
    found = call.get("/api/v1/notifications/", headers=keys[ana]).json()
    (one,) = found["results"]
    assert (found["unread"], one["kind"], one["read"]) == (1, "event_elsewhere", False)
    assert one["text"] == "Another time or place: Chess"
    path = f"/api/v1/notifications/{one['id']}/"
    send = {"content_type": "application/json"}
    assert call.patch(path, {"read": True}, headers=keys[bo], **send).status_code == 404
    assert call.patch(path, {"read": "yes"}, headers=keys[ana], **send).status_code == 400
    for nothing in ({}, {"read": False}):
        assert call.patch(path, nothing, headers=keys[ana], **send).json()["read"] is False
    for _again in range(2):
        assert call.patch(path, {"read": True}, headers=keys[ana], **send).json()["read"] is True
        assert call.post("/api/v1/notifications/read/", headers=keys[ana]).status_code == 204
        assert call.delete(path, headers=keys[bo]).status_code == 204
    assert call.get("/api/v1/notifications/", headers=keys[ana]).json()["unread"] == 0
    assert len(call.get("/api/v1/notifications/", headers=keys[ana]).json()["results"]) == 1
    for _again in range(2):
        assert call.delete(path, headers=keys[ana]).status_code == 204
    assert call.get("/api/v1/notifications/", headers=keys[ana]).json()["results"] == []
    me = call.get("/api/v1/me/", headers=keys[ana]).json()
    assert me["channels"] == dict.fromkeys(Group.values, ["bell", "mail"])
    changed = call.patch("/api/v1/me/", {"channels": {"letters": ["bell"]}}, headers=keys[ana], **send).json()
    assert changed["channels"]["letters"] == ["bell"] and changed["channels"]["talk"] == ["bell", "mail"]
    refused = call.patch("/api/v1/me/", {"channels": {"letters": ["pigeon"]}}, headers=keys[ana], **send)
    assert refused.status_code == 400


def test_a_question_rings_for_the_host_and_its_answer_for_who_asked(event: Event) -> None:
    ana = make_member()
    row = inquiries.ask(ana, event.pk, "May I bring a pram?")
    assert told(event.host) == ["event_inquiry"]
    inquiries.withdraw(ana, row.pk)
    assert told(event.host) == [], "what was taken back is not there"
    again = inquiries.ask(ana, event.pk, "May I bring a dog?")
    inquiries.answer(event.host, again.pk, "Yes", public=False)
    assert told(ana) == ["event_inquiry_answered"]
    page = make_client(ana).get("/notifications/").content.decode()
    assert "The answer to your question" in page and event.get_absolute_url() in page


def test_an_invitation_rings_once_and_no_more_when_it_is_withdrawn(event: Event) -> None:
    ana = make_member()
    inviting.invite_addresses(event.host, event.pk, ana.email)
    assert invited.send_due() == 1
    assert told(ana) == ["event_invited"]
    invitation = event.invitations.get()
    inviting.withdraw(event.host, invitation.pk)
    assert told(ana) == []
