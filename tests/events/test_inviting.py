"""Invitation lists: who is asked is asked once, may see the event and come, and says no with one button."""

import re
from datetime import timedelta
from threading import Barrier, get_ident
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import F
from django.test import Client

from community import privacy
from community.models import Member
from events import addresses, guests, hosting, invited, inviting, registration, undoing
from events.addresses import Address
from events.models import Event, Invitation, InvitationStop, Registration
from events.models.registration import Guest
from events.registration import Person, register
from events.seats import places_of
from events.sharing import card_of, plain
from realtime import blocks, keys, notify
from realtime import clock as times
from realtime.models import Mail, MailedKey
from tests.events.test_mail_links import mailed_key_of
from tests.events.together import at_once
from tests.factories import make_circle, make_client, make_event, make_host, make_member, make_staff

pytestmark = pytest.mark.django_db
ME = Person()
DAY = timedelta(days=1)
GUARDS = (
    [True] if connection.vendor == "sqlite" else [True, False]
)  # one writer at a time: nothing to turn off


def make_invited(**given: Any) -> Event:
    """An event that only those see who are invited."""
    return make_event(**{"visibility": "invited"} | given)


def mails(*kinds: str) -> list[str]:
    """To whom these mails went, in order."""
    return list(
        Mail.objects.filter(kind__in=kinds or ("event_invited",)).order_by("pk").values_list("to", flat=True)
    )


def ask(event: Event, *emails: str) -> int:
    """Invite by address, and let the sweep run."""
    n = inviting.invite_addresses(event.host, event.pk, "\n".join(emails))
    invited.send_due()
    return n


def a_day_later(event: Event) -> None:
    """They were asked a day ago."""
    event.invitations.update(invited_at=F("invited_at") - inviting.TO_THINK)


def statuses(event: Event, reader: Member | None = None) -> dict[str, str]:
    return {one.email or one.name: one.status for one in inviting.asked_to(event, reader or event.host)}


# ------------------------------------------------------------------------------------------------- addresses


def test_a_list_is_read_however_it_was_pasted() -> None:
    text = (
        'Jane Doe <jane@example.org>, "Doe, Jim" <Jim@Example.org>; bo@example.org\n'
        "ada@example.org ida@example.org\n• Ann (ann@example.org)\njane@example.org"
    )
    assert addresses.read(text) == (
        [
            Address("jane@example.org", "Jane Doe"),
            Address("jim@example.org", "Jim Doe"),
            Address("bo@example.org"),
            Address("ada@example.org"),
            Address("ida@example.org"),
            Address("ann@example.org", "Ann"),
        ],
        [],
    )


def test_what_is_no_address_is_named_and_nobody_is_invited() -> None:
    event = make_event()
    for text in ("Jane", "bo@example.org, a@@b", "a@localhost"):
        with pytest.raises(ValidationError) as refused:
            inviting.invite_addresses(event.host, event.pk, text)
        assert "emails" in refused.value.error_dict
    assert not Invitation.objects.exists()


# ------------------------------------------------------------------------------------------------- the right


def test_only_who_is_invited_sees_it_and_may_come() -> None:
    event, member, other = make_invited(), make_member(), make_member()
    assert not Event.objects.visible_to(member).filter(pk=event.pk).exists()
    ask(event, member.email.upper(), "nobody@example.org")

    assert Event.objects.visible_to(member).get(pk=event.pk) == event
    assert register(member, event.pk, [ME]).state == "confirmed"
    with pytest.raises(Event.DoesNotExist):
        register(other, event.pk, [ME])
    assert statuses(event) == {member.email: "coming", "nobody@example.org": "open"}


@pytest.mark.parametrize("visibility", ["members", "centre", "circle", "public"])
def test_an_invitation_opens_an_event_of_any_visibility(visibility: str) -> None:
    circle = make_circle(host=make_host())
    event, member = make_event(visibility=visibility, circle=circle), make_member()
    ask(event, member.email)
    assert register(member, event.pk, [ME]).state == "confirmed"


def test_an_address_that_is_not_confirmed_opens_nothing() -> None:
    event, member = make_invited(), make_member()
    EmailAddress.objects.create(user=member, email="claimed@example.org", verified=False)
    ask(event, "claimed@example.org")
    assert not Event.objects.visible_to(member).filter(pk=event.pk).exists()
    EmailAddress.objects.update(verified=True)
    assert Event.objects.visible_to(member).filter(pk=event.pk).exists()


def test_who_signs_up_later_with_the_address_keeps_the_right() -> None:
    event = make_invited()
    ask(event, "new@example.org")
    member = make_member(email="new@example.org")
    assert register(member, event.pk, [ME]).state == "confirmed"


def test_nobody_else_finds_it_anywhere() -> None:
    event, stranger = make_invited(title="Surprise party"), make_member()
    ask(event, "guest@example.org")
    for client in (Client(), make_client(stranger)):
        for path in (
            "/events/",
            "/events/?month=2027-03",
            "/",
            f"/centres/{event.centre.slug}.ics",
            "/api/v1/events/",
        ):
            assert "Surprise party" not in client.get(path).text, path
        assert client.get(f"/events/{event.public_id}/").status_code == 404
        assert client.get(f"/events/{event.public_id}.ics").status_code == 404
        assert client.get(f"/api/v1/events/{event.public_id}/").status_code == 404
    assert card_of(event, places_of([event])[event.pk], plain(event.description)) is None


def test_seeing_costs_the_same_for_one_invitation_and_for_thirty(django_assert_num_queries: Any) -> None:
    event, member = make_invited(), make_member()
    ask(event, member.email)
    for turn in range(2):
        with django_assert_num_queries(1):
            assert len(Event.objects.visible_to(member)) == 1 + 30 * turn
        for _n in range(30):
            ask(make_invited(), member.email)


# ------------------------------------------------------------------------------------------------- once


def test_inviting_the_same_people_twice_mails_nobody_twice() -> None:
    event, member = make_event(), make_member()
    circle = make_circle(member, host=event.host)
    assert ask(event, member.email, "bo@example.org", "Bo <BO@example.org>") == 2
    assert ask(event, member.email, "bo@example.org") == 0
    inviting.invite_circle(event.host, event.pk, circle.pk)
    for _again in range(3):
        invited.send_due()
    assert sorted(mails()) == sorted(["bo@example.org", member.email])
    assert set(Mail.objects.values_list("language", flat=True)) == {"en"}


def test_each_is_written_to_in_their_language() -> None:
    event, member = make_event(language="en"), make_member(language="de")
    inviting.invite_addresses(event.host, event.pk, f"{member.email}, guest@example.org", "fr")
    invited.send_due()
    assert dict(Mail.objects.values_list("to", "language")) == {member.email: "de", "guest@example.org": "fr"}


def test_who_comes_already_gets_no_mail() -> None:
    event, member = make_event(), make_member()
    register(member, event.pk, [ME])
    ask(event, member.email)
    assert (mails(), statuses(event)) == ([], {member.email: "coming"})


def test_a_draft_invites_when_it_is_published_and_what_is_called_off_waits() -> None:
    event = make_invited(state="draft")
    ask(event, "bo@example.org")
    assert mails() == []
    hosting.publish_draft(event.host, event.pk)
    hosting.call_off(event.host, event.pk)
    invited.send_due()
    assert mails() == []
    undoing.restore(event.host, event.pk)
    invited.send_due()
    assert mails() == ["bo@example.org"]


def test_a_mail_that_has_not_left_when_the_event_moves_is_written_anew() -> None:
    event = make_event()
    ask(event, "bo@example.org", "ida@example.org")
    gone = Mail.objects.get(to="ida@example.org")
    Mail.objects.filter(pk=gone.pk).update(state=Mail.State.SENT)
    hosting.change(event.host, event.pk, {"venue": "The other hall"})
    invited.send_due()
    assert "The other hall" in Mail.objects.get(to="bo@example.org").text
    assert Mail.objects.get(to="ida@example.org") == gone
    assert Invitation.objects.standing().count() == 2


def test_what_is_over_has_no_date_or_is_called_off_invites_nobody(clock: Any) -> None:
    off, dateless = make_event(), make_event(state="draft", starts_at=None, ends_at=None)
    hosting.call_off(off.host, off.pk)
    over = make_event()
    for event in (off, dateless):
        with pytest.raises(ValidationError):
            ask(event, "bo@example.org")
    clock.shift(3 * DAY)
    with pytest.raises(ValidationError):
        ask(over, "bo@example.org")


# ------------------------------------------------------------------------------------------------- whom


def test_a_circle_is_invited_but_for_whom_a_block_keeps_apart() -> None:
    event = make_invited()
    ana, ben, cleo = make_member(), make_member(), make_member()
    circle = make_circle(ana, ben, cleo, host=event.host)
    blocks.block(ben, event.host.pk)
    blocks.block(event.host, cleo.pk)
    assert inviting.invite_circle(event.host, event.pk, circle.pk) == 1
    invited.send_due()
    assert mails() == [ana.email]
    assert statuses(event) == {ana.display_name: "open"}
    with pytest.raises(ValidationError):
        inviting.invite_circle(event.host, event.pk, make_circle(make_member()).pk)


def test_who_came_last_time_is_invited_guests_too(clock: Any) -> None:
    past = make_event()
    ana, ben = make_member(), make_member()
    register(ana, past.pk, [ME])
    registration.cancel(ben, register(ben, past.pk, [ME]).pk)
    guests.ask(past.pk, Guest("Ida", "ida@example.org", "nl"))
    guests.confirm(Registration.objects.get(guest_name="Ida").pk, mailed_key_of("ida@example.org"))
    clock.shift(3 * DAY)
    event = make_event(host=past.host)
    assert inviting.invite_past(event.host, event.pk, past.pk) == 2
    invited.send_due()
    assert sorted(mails()) == sorted([ana.email, "ida@example.org"])
    assert statuses(event) == {ana.display_name: "open", "Ida": "open"}  # no address: the host never wrote it
    with pytest.raises(ValidationError):
        inviting.invite_past(event.host, event.pk, make_event().pk)


def test_an_address_is_shown_to_who_wrote_it_alone() -> None:
    event = make_event()
    ask(event, "Bo <bo@example.org>", "ida@example.org")
    staff = make_staff(event.centre)
    assert set(statuses(event)) == {"bo@example.org", "ida@example.org"}
    assert set(statuses(event, staff)) == {"Bo", "Somebody invited by mail"}


def test_who_blocked_the_host_hears_nothing_and_the_host_learns_nothing() -> None:
    event, member = make_invited(), make_member()
    blocks.block(member, event.host.pk)
    assert ask(event, member.email, "nobody@example.org") == 2
    a_day_later(event)
    assert inviting.ask_again(event.host, event.pk) == 2
    invited.send_due()
    assert mails("event_invited", "event_invited_again") == ["nobody@example.org"] * 2
    assert statuses(event) == {member.email: "open", "nobody@example.org": "open"}
    assert not Event.objects.visible_to(member).filter(pk=event.pk).exists()


def test_only_who_runs_an_event_invites() -> None:
    event, member = make_event(), make_member()
    for verb in (
        lambda: inviting.invite_addresses(member, event.pk, "bo@example.org"),
        lambda: inviting.invite_circle(member, event.pk, make_circle(member).pk),
        lambda: inviting.ask_again(member, event.pk),
    ):
        with pytest.raises(PermissionDenied):
            verb()
    ask(event, "bo@example.org")
    for verb in (inviting.withdraw, inviting.restore):
        with pytest.raises(Invitation.DoesNotExist):
            verb(member, Invitation.objects.get().pk)


# ------------------------------------------------------------------------------------------------- answers


def test_no_thank_you_is_one_button_and_no_more_mails(client: Client) -> None:
    event = make_invited()
    ask(event, "bo@example.org")
    row = Invitation.objects.get()
    path, key = f"/invitations/{row.public_id}/", mailed_key_of("bo@example.org")
    assert "No, thank you" in client.get(path, {"key": key, "do": "no"}).text
    assert statuses(event) == {"bo@example.org": "open"}  # looking is not answering
    assert client.post(path, {"key": key, "do": "decline"}).status_code == 200
    assert statuses(event) == {"bo@example.org": "declined"}
    a_day_later(event)
    assert inviting.ask_again(event.host, event.pk) == 0
    assert ask(event, "bo@example.org") == 0
    assert mails("event_invited", "event_invited_again") == ["bo@example.org"]
    assert event.title in client.get(path, {"key": key}).text  # they may still change their mind


def test_a_member_says_no_once_for_all_their_invitations() -> None:
    event, member = make_event(), make_member()
    circle = make_circle(member, host=event.host)
    inviting.invite_circle(event.host, event.pk, circle.pk)
    ask(event, member.email)
    browser = make_client(member)
    row = invited.to_event(member, event)
    assert row is not None
    page = browser.get(event.get_absolute_url()).text
    assert f"/invitations/{row.public_id}/" in page
    browser.post(f"/invitations/{row.public_id}/", {"do": "decline"})
    assert set(statuses(event).values()) == {"declined"}
    other = make_client(make_member())
    assert other.post(f"/invitations/{row.public_id}/", {"do": "stop"}).status_code == 404
    assert not InvitationStop.objects.exists()


@pytest.mark.parametrize("known", [True, False])
def test_not_by_this_centre_any_more(known: bool) -> None:
    first = make_event()
    email = make_member().email if known else "bo@example.org"
    ask(first, email)
    invited.stop(Invitation.objects.get())
    invited.stop(Invitation.objects.get())
    again = make_event(centre=first.centre)
    assert ask(again, email) == 1
    ask(make_event(), email)  # another centre's
    assert mails() == [email] * 2
    assert statuses(again) == {email: "open"}
    invited.allow(Invitation.objects.get(event=first))
    ask(make_event(centre=first.centre), email)
    assert mails() == [email] * 3


def test_who_has_not_answered_is_asked_once_more_and_only_once() -> None:
    event, member = make_event(), make_member()
    ask(event, member.email, "bo@example.org", "ida@example.org")
    register(member, event.pk, [ME])
    invited.decline(Invitation.objects.get(email="ida@example.org"))
    assert inviting.ask_again(event.host, event.pk) == 0, "they were asked a moment ago"
    a_day_later(event)
    assert [inviting.ask_again(event.host, event.pk) for _turn in range(2)] == [1, 0]
    for _turn in range(2):
        invited.send_due()
    assert mails("event_invited_again") == ["bo@example.org"]


def test_withdrawn_it_opens_nothing_until_that_is_undone(client: Client) -> None:
    event, member = make_invited(), make_member()
    ask(event, member.email)
    row = Invitation.objects.get()
    path = f"/invitations/{row.public_id}/?key={mailed_key_of(member.email).removesuffix('&do=no')}"
    inviting.withdraw(event.host, row.pk)
    assert not Event.objects.visible_to(member).filter(pk=event.pk).exists()
    assert client.get(path).status_code == 404
    inviting.restore(event.host, row.pk)
    invited.send_due()
    assert client.get(path).status_code == 200
    assert mails() == [] or mails() == [member.email]
    register(member, event.pk, [ME])
    inviting.withdraw(event.host, row.pk)
    assert Event.objects.visible_to(member).filter(pk=event.pk).exists()  # they come


def test_a_mail_that_has_left_is_not_sent_again_after_an_undo() -> None:
    event = make_event()
    ask(event, "bo@example.org")
    Mail.objects.update(state=Mail.State.SENT)
    row = Invitation.objects.get()
    inviting.withdraw(event.host, row.pk)
    assert ask(event, "bo@example.org") == 0  # invited again is the same undo
    assert statuses(event) == {"bo@example.org": "open"}
    assert mails() == ["bo@example.org"]


# ------------------------------------------------------------------------------------------------- without an account


def test_who_has_no_account_comes_by_the_link_of_the_mail(client: Client) -> None:
    event = make_invited(by_approval=False)
    ask(event, "Bo Peep <bo@example.org>")
    row, key = Invitation.objects.get(), mailed_key_of("bo@example.org")
    path = f"/invitations/{row.public_id}/"
    page = client.get(path, {"key": key})
    assert 'value="Bo Peep"' in page.text and "bo@example.org" in page.text
    assert (page["Referrer-Policy"], page["X-Robots-Tag"]) == ("no-referrer", "noindex")
    assert ".ics" not in page.text

    answer = client.post(
        path, {"key": key, "do": "come", "name": "Bo", "guests": "Ida", "email": "else@example.org"}
    )
    party = Registration.objects.get()
    assert (party.state, party.guest_email, party.party_size) == ("confirmed", "bo@example.org", 2)
    assert client.get(answer["Location"]).status_code == 200
    assert statuses(event) == {"bo@example.org": "coming"}
    again = client.post(path, {"key": key, "do": "come", "name": "Bo", "guests": "Cy"}, follow=True)
    assert "You have registered already, so nothing was added." in again.text
    assert Registration.objects.get().party_size == 2
    assert "/guest/?key=" in client.get(path, {"key": key})["Location"], (
        "the invitation leads to the own party now"
    )


@pytest.mark.parametrize("has_account", [True, False])
def test_who_comes_is_not_told_that_they_said_no(client: Client, has_account: bool) -> None:
    event, member = make_invited(), make_member()
    email = member.email if has_account else "bo@example.org"
    ask(event, email)
    row, key = Invitation.objects.get(), mailed_key_of(email)
    invited.come(row.pk, key, "Bo", "en")
    path = f"/invitations/{row.public_id}/"
    page = client.get(path, {"key": key, "do": "no"})
    assert "You are registered for this event." in page.text and 'value="decline"' not in page.text
    refused = client.post(path, {"key": key, "do": "decline"})
    assert (refused.status_code, "Thank you for letting us know" in refused.text) == (409, False)
    assert statuses(event)[email] == "coming" and Invitation.objects.get().declined_at is None
    assert client.post(path, {"key": key, "do": "stop"}).status_code == 200
    assert Invitation.objects.get().declined_at is None and InvitationStop.objects.exists()
    party = Registration.objects.get()
    registration.end(party)
    assert client.post(path, {"key": key, "do": "decline"}).status_code == 200


def test_the_key_of_one_opens_no_other_and_nothing_without_it(client: Client) -> None:
    event = make_invited()
    ask(event, "bo@example.org", "ida@example.org")
    bo, ida = Invitation.objects.order_by("email")
    key = mailed_key_of("bo@example.org")
    for path in (f"/invitations/{ida.public_id}/?key={key}", f"/invitations/{bo.public_id}/?key=x"):
        assert client.get(path).status_code == 404
        assert client.post(path, {"do": "decline"}).status_code == 404
    with pytest.raises(MailedKey.DoesNotExist):
        invited.come(ida.pk, key, "Ida", "en")


def test_a_full_event_says_so_and_what_was_typed_stays(client: Client) -> None:
    event = make_invited(capacity=1)
    ask(event, "bo@example.org")
    register(event.host, event.pk, [ME])
    row, key = Invitation.objects.get(), mailed_key_of("bo@example.org")
    answer = client.post(f"/invitations/{row.public_id}/", {"key": key, "do": "come", "name": "Bo"})
    assert answer.status_code == 409
    assert not Registration.objects.exclude(member=event.host).exists()


def test_a_party_of_an_invited_member_without_signing_in_is_in_their_account(client: Client) -> None:
    event, member = make_invited(), make_member()
    ask(event, member.email)
    party = invited.come(Invitation.objects.get().pk, mailed_key_of(member.email), "Me", "en")
    assert (party.member, party.guest_email) == (member, "")


# ------------------------------------------------------------------------------------------------- limits


def test_no_more_than_so_many_an_event_and_a_day(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inviting, "AT_MOST", 3)
    monkeypatch.setattr(inviting, "A_DAY", 4)
    event = make_event(starts_at=times.now() + 9 * DAY)
    other = make_event(host=event.host, starts_at=times.now() + 9 * DAY)
    ask(event, "a@example.org", "b@example.org", "c@example.org")
    for where, emails, code in (
        (event, ["d@example.org"], "full"),
        (other, ["e@example.org", "f@example.org"], "too_fast"),
    ):
        with pytest.raises(ValidationError) as refused:
            ask(where, *emails)
        assert refused.value.code == code
    assert ask(event, "a@example.org") == 0
    assert Invitation.objects.count() == 3
    clock.shift(DAY + timedelta(minutes=1))
    assert ask(other, "e@example.org", "f@example.org") == 2


@pytest.mark.django_db(transaction=True)
def test_the_same_address_invited_twice_at_once_is_one_row_and_one_mail(region: None) -> None:
    event = make_event()
    work = lambda: inviting.invite_addresses(event.host, event.pk, "bo@example.org")  # noqa: E731
    assert sorted(at_once(work, work, work)) == [0, 0, 1]
    at_once(invited.send_due, invited.send_due, invited.send_due)
    assert (Invitation.objects.count(), mails()) == (1, ["bo@example.org"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("guarded", GUARDS)
def test_two_at_once_do_not_get_past_the_limit(
    region: None, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the lock off, both count before either has written."""
    event = make_event()
    monkeypatch.setattr(inviting, "AT_MOST", 1)
    if not guarded:
        both, real, whom = Barrier(2), inviting.event_for, inviting._whom
        counted: set[int] = set()

        def counts(row: Invitation) -> Any:
            if get_ident() not in counted:
                counted.add(get_ident())
                both.wait(10)
            return whom(row)

        monkeypatch.setattr(inviting, "event_for", lambda member, pk, lock: real(member, pk))
        monkeypatch.setattr(inviting, "_whom", counts)
    done = at_once(
        lambda: inviting.invite_addresses(event.host, event.pk, "a@example.org"),
        lambda: inviting.invite_addresses(event.host, event.pk, "b@example.org"),
    )
    assert Invitation.objects.count() == (1 if guarded else 2)
    assert sorted(map(str, done)) == (["1", "full"] if guarded else ["1", "1"])


# ------------------------------------------------------------------------------------------------- pages and API


def test_the_hosts_page_invites_withdraws_and_undoes() -> None:
    event = make_event()
    page = f"/events/{event.public_id}/invitations/"
    host = make_client(event.host)
    assert "Nobody is invited yet" in host.get(page).text
    assert host.post(page, {}).status_code == 422
    assert "broken" in host.post(page, {"emails": "broken"}).text
    assert host.post(page, {"emails": "Bo <bo@example.org>", "language": "nl"}).status_code == 302
    row = Invitation.objects.get()
    assert (row.email, row.language) == ("bo@example.org", "nl")
    host.post(page, {"do": f"withdraw:{row.public_id}"})
    assert "Undo" in host.get(page).text
    host.post(page, {"do": f"restore:{row.public_id}"})
    row.refresh_from_db()
    assert row.withdrawn_at is None
    for wrong in ("withdraw:x", f"withdraw:{make_event().public_id}"):
        assert host.post(page, {"do": wrong}).status_code == 404


@pytest.mark.parametrize("n", [1, 30])
def test_the_hosts_page_costs_the_same_for_one_and_for_thirty(n: int, django_assert_num_queries: Any) -> None:
    event = make_event(capacity=None)
    for _n in range(n):
        member = make_member()
        ask(event, member.email)
        register(member, event.pk, [ME])
    with django_assert_num_queries(5):
        assert len(inviting.asked_to(event, event.host)) == n


def test_my_events_show_what_i_am_invited_to_until_i_answer(django_assert_num_queries: Any) -> None:
    event, member = make_invited(title="Surprise party"), make_member()
    ask(event, member.email)
    browser = make_client(member)
    assert "Surprise party" in browser.get("/events/mine/").text
    invited.stop(Invitation.objects.get())
    page = browser.get("/events/mine/").text
    assert "Surprise party" not in page and event.centre.name in page
    browser.post("/invitations/allow/", {"centre": event.centre.public_id})
    assert not InvitationStop.objects.exists()


def test_programs_invite_see_what_came_of_it_and_answer() -> None:
    event, member = make_invited(), make_member()
    host, guest = make_client(event.host), make_client(member)
    path = f"/api/v1/events/{event.public_id}/invitations/"
    body = {"emails": [member.email, "Bo <bo@example.org>"]}
    answer = host.post(path, body, content_type="application/json")
    assert (answer.status_code, answer.json()) == (201, {"added": 2})
    invited.send_due()
    assert guest.get("/api/v1/invitations/").json()["results"][0]["event"] == event.public_id
    mine = guest.get("/api/v1/invitations/").json()["results"][0]["id"]
    stop = guest.post(f"/api/v1/invitations/{mine}/decline/", {"stop": True}, content_type="application/json")
    assert stop.status_code == 204
    assert guest.get("/api/v1/invitations/").json()["results"] == []
    (centre,) = guest.get("/api/v1/invitation-stops/").json()["results"]
    assert guest.delete(f"/api/v1/invitation-stops/{centre['id']}/").status_code == 204
    found = {one["email"]: one for one in host.get(path).json()["results"]}
    assert {email: one["status"] for email, one in found.items()} == {
        member.email: "declined",
        "bo@example.org": "open",
    }
    assert all(one["member"] is None for one in found.values())  # nobody learns that there is an account
    a_day_later(event)
    assert host.post(f"{path}again/").json() == {"asked": 1}
    assert host.delete(f"/api/v1/invitations/{found['bo@example.org']['id']}/").status_code == 204
    assert guest.delete(f"/api/v1/invitations/{mine}/").status_code == 404


# ------------------------------------------------------------------------------------------------- privacy


def test_who_leaves_takes_their_invitations_along_and_their_list_stays_without_them() -> None:
    event, member = make_event(), make_member()
    ask(event, member.email, "bo@example.org")
    invited.stop(Invitation.objects.get(email=member.email))
    privacy.erase(member.pk)
    assert list(Invitation.objects.values_list("email", flat=True)) == ["bo@example.org"]
    assert not InvitationStop.objects.exists()
    make_staff(event.centre)
    privacy.erase(event.host.pk)
    assert Invitation.objects.get().invited_by is None


def test_the_mail_says_why_it_came_and_how_to_stop_it() -> None:
    event = make_event(host=make_host(display_name="Marieke"))
    ask(event, "bo@example.org")
    text = Mail.objects.get().text
    assert "Marieke put you on the list" in text
    assert re.search(r"\?key=\S+&do=no", text)
    assert keys.find("invitation", Invitation.objects.get().pk, mailed_key_of("bo@example.org"))
    assert notify.send_due() == 1
