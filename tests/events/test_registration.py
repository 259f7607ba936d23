"""Registering: all or nothing, never one place too many, whatever happens at once."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from events import checkin, pools, seats, waiting
from events.checkin import DeviceClock
from events.models import Attendee, Claim, Event, Pool, Registration
from events.registration import Person, cancel, change_party, register
from events.telling import tell
from realtime import clock, conversations
from realtime.models import Mail, Participant, Room
from tests.events.doors import code, gate, open_event, reading
from tests.events.together import at_once
from tests.factories import make_child, make_client, make_event, make_household, make_member, make_place

pytestmark = pytest.mark.django_db
ME = Person()


def taken(event: Event) -> int:
    return Pool.objects.get(event=event).taken


def code_of(refused: Any) -> str:
    return str(refused.value.code)


def test_a_family_gets_one_registration_with_a_place_each() -> None:
    ana, ben = make_member(), make_member()
    noa = make_child(make_household(ana, ben))
    event = make_event(capacity=4)

    found = register(
        ana, event.pk, [ME, Person(member_id=ben.pk), Person(child_id=noa.pk), Person(name="Oma")]
    )

    assert (found.state, found.party_size, taken(event)) == ("confirmed", 4, 4)
    rows = found.attendees.values_list("slot", "name", "member", "child")
    assert list(rows) == [
        (0, str(ana), ana.pk, None),
        (1, str(ben), ben.pk, None),
        (2, "Noa", None, noa.pk),
        (3, "Oma", None, None),
    ]
    assert list(found.claims.values_list("n", flat=True)) == [4]


def test_a_party_that_does_not_fit_leaves_nothing_behind() -> None:
    event = make_event(capacity=2)

    with pytest.raises(ValidationError) as refused:
        register(make_member(), event.pk, [ME, Person(), Person()])

    assert code_of(refused) == "full"
    assert (taken(event), Registration.objects.count(), Attendee.objects.count(), Mail.objects.count()) == (
        0,
        0,
        0,
        0,
    )


def test_without_a_limit_everybody_fits() -> None:
    event = make_event(capacity=None)

    register(make_member(), event.pk, [ME] * 12)

    assert taken(event) == 12


@pytest.mark.parametrize("size", [0, 13])
def test_a_party_has_one_to_twelve_people(size: int) -> None:
    with pytest.raises(ValidationError) as refused:
        register(make_member(), make_event(capacity=None).pk, [ME] * size)

    assert "party" in refused.value.message_dict


def test_nobody_registers_other_peoples_children_or_partners() -> None:
    mine, event = make_member(), make_event()
    theirs = make_household(make_member())
    child = make_child(theirs)

    for stranger in (Person(child_id=child.pk), Person(member_id=make_member().pk)):
        with pytest.raises(ValidationError) as refused:
            register(mine, event.pk, [ME, stranger])
        assert "party" in refused.value.message_dict
    assert taken(event) == 0


def test_the_same_member_on_two_devices_registers_once() -> None:
    member, event = make_member(), make_event()
    register(member, event.pk, [ME])

    with pytest.raises(ValidationError) as refused:
        register(member, event.pk, [ME])

    assert (code_of(refused), taken(event)) == ("already_registered", 1)


def test_two_parents_cannot_book_one_child_twice() -> None:
    ana, ben = make_member(), make_member()
    noa = make_child(make_household(ana, ben))
    event = make_event()
    register(ana, event.pk, [ME, Person(child_id=noa.pk)])

    with pytest.raises(ValidationError, match="Noa") as refused:
        register(ben, event.pk, [ME, Person(child_id=noa.pk)])

    assert (code_of(refused), taken(event)) == ("already_registered", 2)
    assert register(ben, event.pk, [ME]).party_size == 1


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"state": "cancelled"}, "closed"),
        (
            {"starts_at": clock.now() - timedelta(hours=5), "ends_at": clock.now() - timedelta(hours=3)},
            "too_late",
        ),
        ({"starts_at": clock.now() - timedelta(hours=5), "ends_at": None}, "too_late"),
    ],
)
def test_there_is_no_registering_for_what_is_called_off_or_over(how: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        register(make_member(), make_event(**how).pk, [ME])

    assert code_of(refused) == code


def test_a_draft_is_not_there_for_others() -> None:
    with pytest.raises(Event.DoesNotExist):
        register(make_member(), make_event(state="draft").pk, [ME])


def test_who_comes_to_a_full_event_waits_in_order_and_moves_up_by_it() -> None:
    event = make_event(capacity=2, waiting_list="strict")
    first = register(make_member(), event.pk, [ME, Person()])
    pair = register(make_member(), event.pk, [ME, Person()], wait=True)
    single = register(make_member(), event.pk, [ME], wait=True)
    assert [seats.position(row) for row in (first, pair, single)] == [None, 1, 2]

    change_party(first.member, first.pk, [ME])
    single.refresh_from_db()
    assert (single.state, taken(event)) == ("waiting", 1), "the pair is first, and does not fit yet"

    cancel(first.member, first.pk)
    pair.refresh_from_db()
    single.refresh_from_db()
    assert (pair.state, single.state, taken(event)) == ("offered", "waiting", 2)
    assert Mail.objects.filter(kind="event_offered", to=pair.member.email).count() == 1
    assert list(pair.claims.values_list("n", flat=True)) == [2]


def test_who_comes_after_somebody_waiting_does_not_slip_in() -> None:
    event = make_event(capacity=3, waiting_list="strict")
    register(make_member(), event.pk, [ME, Person()])
    register(make_member(), event.pk, [ME, Person()], wait=True)

    with pytest.raises(ValidationError) as refused:
        register(make_member(), event.pk, [ME])

    assert (code_of(refused), taken(event)) == ("full", 2)


def test_without_a_waiting_list_nobody_waits() -> None:
    event = make_event(capacity=1, waiting_list=None)
    register(make_member(), event.pk, [ME])

    with pytest.raises(ValidationError) as refused:
        register(make_member(), event.pk, [ME], wait=True)

    assert code_of(refused) == "full"


def test_a_changed_party_keeps_slots_and_never_reuses_one() -> None:
    member, event = make_member(), make_event(capacity=4)
    row = register(member, event.pk, [ME, Person(name="Bo"), Person(name="Cy")])

    changed = change_party(member, row.pk, [ME, Person(name="Cy"), Person(name="Di")], version=row.version)

    assert list(changed.attendees.filter(is_live=True).values_list("slot", "name")) == [
        (0, str(member)),
        (2, "Cy"),
        (3, "Di"),
    ]
    assert (changed.version, changed.next_slot, changed.min_serial, taken(event)) == (2, 4, 1, 3)


def test_a_party_grows_only_if_it_fits() -> None:
    member, event = make_member(), make_event(capacity=3)
    row = register(member, event.pk, [ME])
    register(make_member(), event.pk, [ME])

    with pytest.raises(ValidationError) as refused:
        change_party(member, row.pk, [ME, Person(name="Bo"), Person(name="Cy")])

    assert (code_of(refused), taken(event), row.attendees.filter(is_live=True).count()) == ("full", 2, 1)
    assert change_party(member, row.pk, [ME, Person(name="Bo")]).party_size == 2
    assert (taken(event), Claim.objects.get(registration=row).n) == (3, 2)


def test_a_party_changed_meanwhile_is_not_overwritten() -> None:
    member, event = make_member(), make_event()
    row = register(member, event.pk, [ME])
    change_party(member, row.pk, [ME, Person(name="Bo")], version=1)

    with pytest.raises(ValidationError) as refused:
        change_party(member, row.pk, [ME], version=1)

    assert (code_of(refused), taken(event)) == ("stale", 2)


def test_cancelling_gives_the_places_back_once() -> None:
    member, event = make_member(), make_event(capacity=2)
    row = register(member, event.pk, [ME, Person()])

    cancel(member, row.pk)
    cancel(member, row.pk)

    row.refresh_from_db()
    assert (row.state, row.min_serial, taken(event)) == ("cancelled", 2, 0)
    assert not Claim.objects.exists()
    assert register(member, event.pk, [ME]).state == "confirmed", "and the way back is open"


def test_who_was_named_takes_only_their_own_place_out() -> None:
    ana, ben = make_member(), make_member()
    make_household(ana, ben)
    event = make_event()
    row = register(ana, event.pk, [ME, Person(member_id=ben.pk)])

    cancel(ben, row.pk)

    row.refresh_from_db()
    assert (row.state, row.party_size, taken(event)) == ("confirmed", 1, 1)
    assert register(ben, event.pk, [ME]).state == "confirmed"


def test_a_stranger_finds_no_registration_and_a_host_only_looks() -> None:
    event = make_event()
    row = register(make_member(), event.pk, [ME])

    with pytest.raises(Registration.DoesNotExist):
        cancel(make_member(), row.pk)
    with pytest.raises(PermissionDenied):
        cancel(event.host, row.pk)
    with pytest.raises(PermissionDenied):
        change_party(event.host, row.pk, [ME])
    assert taken(event) == 1


def test_the_room_opens_with_the_first_and_is_left_with_the_place() -> None:
    ana, ben = make_member(), make_member()
    make_household(ana, ben)
    event = make_event(place=make_place())
    row = register(ana, event.pk, [ME, Person(member_id=ben.pk)])
    event.refresh_from_db()

    def inside() -> set[int]:
        return set(
            Participant.objects.filter(room=event.room, left_seq=None).values_list("member", flat=True)
        )

    assert inside() == {event.host_id, ana.pk, ben.pk}
    cancel(ana, row.pk)
    assert inside() == {event.host_id}


def test_everybody_in_the_party_with_an_account_gets_one_mail_in_their_language() -> None:
    ana, ben = make_member(language="en"), make_member(language="de")
    make_household(ana, ben)
    event = make_event()

    row = register(ana, event.pk, [ME, Person(member_id=ben.pk), Person(name="Oma")])

    mails = {mail.to: mail for mail in Mail.objects.all()}
    assert mails.keys() == {ana.email, ben.email}
    assert (mails[ben.email].language, mails[ben.email].attachment_name) == ("de", "event.ics")
    assert "METHOD:REQUEST" in mails[ana.email].attachment
    assert "?key=" in mails[ana.email].text and "?key=" not in mails[ben.email].text
    tell(row, "event_registered")
    assert Mail.objects.count() == 2, "told again, nobody is told twice"


def in_parallel(how_many: int, work: Any) -> list[Any]:
    return at_once(*[partial(work, number) for number in range(how_many)])


@pytest.mark.django_db(transaction=True)
def test_forty_parties_at_once_sell_every_place_and_not_one_more() -> None:
    event = make_event(capacity=50)
    people = [make_member() for _ in range(40)]

    answers = in_parallel(40, lambda n: register(people[n], event.pk, [ME] * (n % 4 + 1)))

    seated = [row for row in answers if isinstance(row, Registration)]
    assert {row for row in answers if not isinstance(row, Registration)} == {"full"}
    assert (
        taken(event) == sum(row.party_size for row in seated) == Attendee.objects.filter(is_live=True).count()
    )
    assert 47 <= taken(event) <= 50, "only a party of two to four can have found too few places"
    for row in seated:
        assert row.attendees.count() == row.party_size, "no half party"


@pytest.mark.django_db(transaction=True)
def test_one_member_on_many_devices_at_once_gets_one_place() -> None:
    event, member = make_event(capacity=10), make_member()

    answers = in_parallel(8, lambda n: register(member, event.pk, [ME]))

    assert (
        sorted(str(answer) for answer in answers if not isinstance(answer, Registration))
        == ["already_registered"] * 7
    )
    assert taken(event) == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_condition_in_the_update_the_last_place_is_sold_twice() -> None:
    """The witness: reading first and writing then, as the guard forbids, oversells."""
    event = make_event(capacity=1)
    Pool.objects.filter(event=event).update(capacity=1)
    free = in_parallel(2, lambda n: Pool.objects.get(event=event).left)

    sold = sum(left >= 1 for left in free)
    assert sold == 2, "both read one free place before either wrote"
    needed = pools.need(event, [ME])
    assert [pools.take(event, needed) for _ in range(2)] == [True, False], "the guarded update sells it once"


def test_who_fits_first_goes_first_but_passes_a_larger_party_three_times_at_most() -> None:
    event = make_event(capacity=10, waiting_list="fit")
    register(make_member(), event.pk, [ME] + [Person(name=f"guest {n}") for n in range(4)])
    large = register(make_member(), event.pk, [ME] + [Person(name=f"guest {n}") for n in range(8)], wait=True)

    later = [register(make_member(), event.pk, [ME], wait=True).state for _ in range(4)]

    large.refresh_from_db()
    assert later == ["confirmed"] * 3 + ["waiting"], "after three times they hold up those behind"
    assert (large.state, large.passed_over, taken(event)) == ("waiting", 3, 8)


def test_without_asking_to_wait_nobody_gets_past_the_line() -> None:
    event = make_event(capacity=2, waiting_list="fit")
    register(make_member(), event.pk, [ME])
    register(make_member(), event.pk, [ME, Person(name="guest")], wait=True)

    with pytest.raises(ValidationError) as refused:
        register(make_member(), event.pk, [ME])
    assert code_of(refused) == "full"


def test_who_was_let_in_cannot_give_the_place_back() -> None:
    ana, ben = make_member(), make_member()
    make_household(ana, ben)
    event = open_event(capacity=4)
    found = register(ana, event.pk, [ME, Person(member_id=ben.pk)])
    checkin.record(gate(event), [reading(code(found), slots=0b1)], DeviceClock(0))

    for give_back in (
        lambda: cancel(ana, found.pk),
        lambda: change_party(ana, found.pk, [Person(member_id=ben.pk)]),
    ):
        with pytest.raises(ValidationError, match="already in"):
            give_back()
    assert taken(event) == 2

    cancel(ben, found.pk)  # he is not there yet
    found.refresh_from_db()
    assert (found.state, found.party_size, taken(event)) == ("confirmed", 1, 1)


def test_who_is_named_by_somebody_else_hears_of_it_sees_it_and_steps_out_by_themselves() -> None:
    """Also long after they signed in: nobody has to show again who they are to leave a party."""
    partner, owner = make_member(), make_member(display_name="Ada")
    make_household(owner, partner)
    made = register(owner, make_event(title="Picnic").pk, [Person(), Person(member_id=partner.pk)])
    assert "Picnic" in Mail.objects.get(member=partner, kind="event_registered").subject
    browser = make_client(partner, minutes_ago=60)
    page = browser.get("/events/mine/").content.decode()
    assert "Picnic" in page
    assert "Ada named you" in page
    assert "I cannot come" in browser.get(f"/registrations/{made.public_id}/").content.decode()
    browser.post(f"/registrations/{made.public_id}/cancel/")
    made.refresh_from_db()
    assert (made.state, made.party_size) == ("confirmed", 1)
    assert "Picnic" not in browser.get("/events/mine/").content.decode()


def test_who_waits_is_in_the_room_when_they_have_a_place_and_the_host_stays() -> None:
    event = make_event(capacity=1, waiting_list="strict")
    first = register(make_member(), event.pk, [ME])
    next_one = register(make_member(), event.pk, [ME], wait=True)
    event.refresh_from_db()
    assert event.room is not None

    def inside() -> set[int]:
        return set(
            Participant.objects.filter(room=event.room, left_seq=None).values_list("member", flat=True)
        )

    assert inside() == {event.host_id, first.member_id}
    cancel(first.member, first.pk)
    assert inside() == {event.host_id}, "a place is held for the next one, who has not said yes"
    waiting.accept(next_one.member, next_one.pk)
    assert inside() == {event.host_id, next_one.member_id}


def test_who_stepped_out_of_the_room_and_gives_the_place_back_cannot_come_back_by_themselves() -> None:
    event, ana = make_event(), make_member()
    row = register(ana, event.pk, [ME])
    event.refresh_from_db()
    assert event.room_id is not None
    conversations.step_out(ana, event.room_id)
    assert "Come back to the conversation" in make_client(ana).get(f"/events/{event.public_id}/").text
    cancel(ana, row.pk)
    with pytest.raises(Room.DoesNotExist):
        conversations.come_back(ana, event.room_id)

    register(ana, event.pk, [ME])
    assert Participant.objects.get(room=event.room_id, member=ana).left_seq is None


def test_a_mail_speaks_to_one_as_to_one_and_to_a_family_as_to_several() -> None:
    event, alone, ana = make_event(), make_member(), make_member()
    register(alone, event.pk, [Person()])
    register(ana, event.pk, [Person(), Person(name="Oma")])
    told = {mail.to: mail.text for mail in Mail.objects.filter(kind="event_registered")}
    assert "your place is yours." in told[alone.email] and "Give your place to" in told[alone.email]
    assert "your places are yours." in told[ana.email] and "Give your places to" in told[ana.email]
