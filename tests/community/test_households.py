"""Households: nobody is linked without saying so, each step can be repeated, and who leaves leaves cleanly."""

from importlib import import_module
from threading import Barrier, Thread
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client

from community import households
from community.models import Child, Household, HouseholdAdult, HouseholdInvitation, Member
from realtime import chat
from realtime.models import Mail, Participant, Room
from tests import factories as make

pytestmark = pytest.mark.django_db


def linked() -> tuple[Member, Member]:
    ana, ben = make.make_member(display_name="Ana"), make.make_member(display_name="Ben")
    households.accept(ben, households.invite(ana, ben.email).pk)
    return ana, ben


def signed_in(member: Member) -> Client:
    client = Client()
    client.force_login(member)
    return client


def code_of(no: pytest.ExceptionInfo[ValidationError]) -> str:
    return str(no.value.code)


def test_two_who_agree_are_one_household() -> None:
    ana, ben = linked()
    household = households.of(ana)
    assert household is not None
    assert household == households.of(ben)
    assert households.adults_of(household) == [ana, ben]
    assert list(Mail.objects.order_by("pk").values_list("kind", "to")) == [
        ("household_invitation", ben.email),
        ("household_accepted", ana.email),
    ]


def test_nothing_is_linked_before_the_other_agrees() -> None:
    ana, ben = make.make_member(), make.make_member()
    households.invite(ana, ben.email)
    assert households.of(ben) is None
    assert households.of(ana) is None


def test_a_member_and_a_stranger_are_invited_alike() -> None:
    ana, ben = make.make_member(), make.make_member()
    first = signed_in(ana).post("/me/household/invite/", {"invite-email": ben.email.upper()}, follow=True)
    households.withdraw(ana, HouseholdInvitation.objects.get().pk)
    second = signed_in(ana).post("/me/household/invite/", {"invite-email": "nobody@example.org"}, follow=True)
    assert first.redirect_chain == second.redirect_chain
    assert [str(m) for m in first.context["messages"]] == [str(m) for m in second.context["messages"]]
    assert Mail.objects.filter(to="nobody@example.org").count() == 1


def test_the_mail_is_in_the_language_of_who_gets_it() -> None:
    ana, ben = make.make_member(language="fr"), make.make_member(language="nl")
    households.withdraw(ana, households.invite(ana, ben.email).pk)
    households.invite(ana, "nobody@example.org")
    assert dict(Mail.objects.values_list("to", "language")) == {ben.email: "nl", "nobody@example.org": "fr"}


def test_every_step_can_be_repeated() -> None:
    ana, ben = make.make_member(), make.make_member()
    invitation = households.invite(ana, ben.email)
    assert households.invite(ana, ben.email) == invitation
    household = households.accept(ben, invitation.pk)
    assert households.accept(ben, invitation.pk) == household
    child = households.add_child(ana, "Noa", 2020)
    assert households.add_child(ben, " Noa ", 2020) == child
    households.remove_child(ben, child.pk)
    households.remove_child(ana, child.pk)
    households.leave(ana)
    households.leave(ana)
    assert Mail.objects.count() == 3


def test_declined_and_withdrawn_invitations_lead_nowhere() -> None:
    ana, ben = make.make_member(), make.make_member()
    declined = households.invite(ana, ben.email)
    households.decline(ben, declined.pk)
    households.decline(ben, declined.pk)
    with pytest.raises(ValidationError) as no:
        households.accept(ben, declined.pk)
    assert code_of(no) == "closed"
    withdrawn = households.invite(ana, ben.email)
    households.withdraw(ana, withdrawn.pk)
    with pytest.raises(ValidationError):
        households.accept(ben, withdrawn.pk)
    assert not Household.objects.exists()


def test_an_invitation_is_for_its_address_only() -> None:
    ana, ben, eve = make.make_member(), make.make_member(), make.make_member()
    invitation = households.invite(ana, ben.email)
    for verb in (households.accept, households.decline, households.withdraw):
        with pytest.raises(HouseholdInvitation.DoesNotExist):
            verb(eve, invitation.pk)
    assert signed_in(eve).post(f"/me/household/{invitation.public_id}/accept/").status_code == 404
    assert ana.display_name not in signed_in(eve).get("/me/household/").content.decode()
    assert ana.display_name in signed_in(ben).get("/me/household/").content.decode()


def test_one_asks_one_person_at_a_time_and_never_oneself() -> None:
    ana = make.make_member()
    with pytest.raises(ValidationError) as self_asked:
        households.invite(ana, ana.email.upper())
    households.invite(ana, "ben@example.org")
    with pytest.raises(ValidationError) as second:
        households.invite(ana, "eve@example.org")
    assert (code_of(self_asked), code_of(second)) == ("self", "open")


def test_a_household_has_two_adults() -> None:
    ana, ben = linked()
    with pytest.raises(ValidationError) as third:
        households.invite(ana, "eve@example.org")
    assert code_of(third) == "full"


def test_who_lives_with_somebody_already_leaves_first() -> None:
    _ana, ben = linked()
    eve = make.make_member()
    invitation = households.invite(eve, ben.email)
    with pytest.raises(ValidationError) as no:
        households.accept(ben, invitation.pk)
    assert code_of(no) == "full"
    invitation.refresh_from_db()
    assert invitation.state == "open"
    households.leave(ben)
    households.accept(ben, invitation.pk)
    assert households.of(ben) == households.of(eve)


def test_the_children_both_have_come_along() -> None:
    ana, ben = make.make_member(), make.make_member()
    households.add_child(ana, "Noa", 2019)
    households.add_child(ben, "Lou", 2021)
    household = households.accept(ben, households.invite(ana, ben.email).pk)
    assert [str(child) for child in households.children_of(household)] == ["Noa", "Lou"]
    assert Household.objects.count() == 1


def test_who_leaves_leaves_the_children_and_the_last_takes_all_away() -> None:
    ana, ben = linked()
    households.add_child(ana, "Noa", 2019)
    households.leave(ana)
    household = households.of(ben)
    assert household is not None
    assert [str(child) for child in households.children_of(household)] == ["Noa"]
    assert Mail.objects.filter(kind="household_left").get().to == ben.email
    households.leave(ben)
    assert (Household.objects.count(), Child.objects.count(), HouseholdAdult.objects.count()) == (0, 0, 0)


@pytest.mark.parametrize(("nickname", "year"), [("", 2020), ("  ", 2020), ("Noa", 1900), ("Noa", 3000)])
def test_a_child_needs_a_name_and_a_year_that_can_be(nickname: str, year: int) -> None:
    with pytest.raises(ValidationError):
        households.add_child(make.make_member(), nickname, year)
    assert not Child.objects.exists()


def test_there_is_a_limit_to_children() -> None:
    ana = make.make_member()
    for number in range(households.MOST_CHILDREN):
        households.add_child(ana, f"Child {number}", 2020)
    with pytest.raises(ValidationError):
        households.add_child(ana, "One more", 2020)


def test_there_is_a_limit_to_invitations_in_a_day() -> None:
    ana = make.make_member()
    for number in range(households.INVITATIONS_A_DAY):
        households.withdraw(ana, households.invite(ana, f"friend{number}@example.org").pk)
    with pytest.raises(ValidationError):
        households.invite(ana, "onemore@example.org")


def test_somebody_elses_child_cannot_be_removed() -> None:
    child = make.make_child()
    eve = make.make_member()
    households.remove_child(eve, child.pk)
    assert Child.objects.filter(pk=child.pk).exists()
    assert signed_in(eve).get(f"/me/household/children/{child.public_id}/remove/").status_code == 404


def test_destructive_steps_ask_first() -> None:
    ana, ben = linked()
    child = households.add_child(ana, "Noa", 2019)
    client = signed_in(ana)
    assert "Noa" in client.get(f"/me/household/children/{child.public_id}/remove/").content.decode()
    assert ben.display_name in client.get("/me/household/leave/").content.decode()
    assert Child.objects.filter(pk=child.pk).exists()
    client.post(f"/me/household/children/{child.public_id}/remove/")
    client.post("/me/household/leave/")
    assert households.of(ana) is None
    assert not Child.objects.exists()


def test_what_was_typed_wrongly_is_kept() -> None:
    client = signed_in(make.make_member())
    page = client.post(
        "/me/household/children/", {"child-nickname": "Noa", "child-birth_year": "1066"}
    ).content.decode()
    assert 'value="Noa"' in page
    assert 'value="1066"' in page
    page = client.post("/me/household/invite/", {"invite-email": "not an address"}).content.decode()
    assert 'value="not an address"' in page


def at_once(*calls: object) -> list[BaseException | None]:
    """Each call in a thread of its own, begun together; what each raised."""
    gate, raised = Barrier(len(calls)), [None] * len(calls)

    def run(index: int, call: object) -> None:
        try:
            gate.wait()
            call()  # type: ignore[operator]
        except BaseException as wrong:  # the test looks at it
            raised[index] = wrong  # type: ignore[call-overload]
        finally:
            connection.close()

    threads = [Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised


@pytest.mark.django_db(transaction=True)
def test_of_two_invitations_accepted_at_once_one_links() -> None:
    ana, ben, eve = (make.make_member() for _number in range(3))
    first, second = households.invite(ana, ben.email), households.invite(eve, ben.email)
    raised = at_once(lambda: households.accept(ben, first.pk), lambda: households.accept(ben, second.pk))
    assert sorted(type(wrong).__name__ for wrong in raised) == ["NoneType", "ValidationError"]
    assert HouseholdAdult.objects.filter(member=ben).count() == 1
    assert Household.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_invitation_sent_twice_at_once_is_one() -> None:
    ana = make.make_member()
    raised = at_once(*[lambda: households.invite(ana, "ben@example.org") for _try in range(4)])
    assert raised == [None] * 4
    assert (HouseholdInvitation.objects.count(), Mail.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_two_parents_adding_at_once_stay_within_the_limit() -> None:
    ana, ben = linked()
    for number in range(households.MOST_CHILDREN - 1):
        households.add_child(ana, f"Child {number}", 2020)
    at_once(lambda: households.add_child(ana, "Noa", 2020), lambda: households.add_child(ben, "Lou", 2020))
    assert Child.objects.count() == households.MOST_CHILDREN


@pytest.mark.django_db(transaction=True)
def test_both_leaving_at_once_leave_nothing_behind() -> None:
    ana, ben = linked()
    assert at_once(lambda: households.leave(ana), lambda: households.leave(ben)) == [None, None]
    assert Household.objects.count() == 0


# -- their room


def talk_of(household: Household | None) -> Room:
    assert household is not None
    room_id = households.room_of(household)
    assert room_id is not None
    return Room.objects.get(pk=room_id)


def inside(room: Room) -> set[int]:
    return set(Participant.objects.filter(room=room, left_seq=None).values_list("member", flat=True))


def test_two_who_agree_have_a_room_and_one_who_lives_alone_has_none() -> None:
    ana, ben = linked()
    room = talk_of(households.of(ana))
    assert (room.kind, inside(room)) == ("household", {ana.pk, ben.pk})
    assert households.open_room(make.make_household()) is None
    assert f"/chat/{room.public_id}/" in signed_in(ana).get("/me/household/").text
    assert "At home" in signed_in(ben).get("/chat/").text


def test_who_leaves_the_household_leaves_its_room_which_is_closed_and_never_a_third_ones() -> None:
    ana, ben = linked()
    room = talk_of(households.of(ana))
    households.leave(ben)
    room.refresh_from_db()
    assert room.closed_at is not None
    assert inside(room) == {ana.pk}

    eve = make.make_member()
    home = households.accept(eve, households.invite(ana, eve.email).pk)

    assert talk_of(home) != room
    assert inside(talk_of(home)) == {ana.pk, eve.pk}
    assert inside(room) == {ana.pk}


def test_who_is_forgotten_leaves_no_room_behind_that_the_other_can_write_in() -> None:
    ana, ben = linked()
    room = talk_of(households.of(ana))
    households.forget(ben)
    room.refresh_from_db()
    assert room.closed_at is not None
    assert inside(room) == {ana.pk}


def test_a_household_of_before_gets_its_room_by_the_migration_once() -> None:
    ana, ben = make.make_member(), make.make_member()
    home, alone = make.make_household(ana, ben), make.make_household()
    migration = import_module("community.migrations.0007_rooms_for_households")
    for _twice in range(2):
        migration.open_rooms(apps, None)
    room = talk_of(home)
    assert inside(room) == {ana.pk, ben.pk}
    assert (room.head, list(room.entries.values_list("kind", flat=True))) == (2, ["join", "join"])
    assert households.room_of(alone) is None
    assert chat.post(ana, room.pk, "Home at six", uuid4())[0].seq == 3
