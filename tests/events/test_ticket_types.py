"""Kinds of tickets: each with places of its own inside those of the event, exact whatever happens at once."""

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from community.models import Member
from events import approval, guests, hosting, moving, pools, seats, ticket_types, undoing
from events.models import Attendee, Event, Pool, Registration
from events.models.registration import Guest
from events.registration import Person, cancel, change_party, register
from events.ticket_types import TicketType
from events.waiting import accept
from realtime import clock as times
from realtime.models import Mail
from tests.events.test_registration import code_of, in_parallel
from tests.factories import make_child, make_client, make_event, make_host, make_household, make_member

pytestmark = pytest.mark.django_db
ADULT, CHILD = TicketType("a", "Adult", 3), TicketType("c", "Child", 2)


def typed(*types: TicketType, **given: Any) -> Event:
    """An event with kinds of tickets, written by its host."""
    given.setdefault("host", make_host())
    event = make_event(**{"starts_at": times.now() + timedelta(days=10)} | given)
    return hosting.change(
        event.host, event.pk, {"ticket_types": ticket_types.written(types or (ADULT, CHILD))}
    )


def taken(event: Event) -> dict[str, int]:
    """What is taken of each pool, by the name of its kind; `` is all of them. Claims and attendees say the same."""
    event = Event.objects.get(pk=event.pk)
    names = ticket_types.names(event)
    found = {names.get(pool.name, pool.name): pool.taken for pool in event.pools.all()}
    live = Attendee.objects.filter(
        event=event, is_live=True, registration__state__in=("confirmed", "offered", "unconfirmed")
    )
    claims = Counter[str]()
    for claim in Registration.objects.filter(event=event).values("claims__pool__name", "claims__n"):
        if claim["claims__n"]:
            name = claim["claims__pool__name"]
            claims[names.get(name, name)] += claim["claims__n"]
    people = Counter(names[one.ticket_type] for one in live if one.ticket_type)
    people[""] = len(live)
    assert +people == +claims == +Counter(found)
    return found


def one(kind: str, **more: Any) -> Person:
    return Person(ticket_type=kind, **more)


def test_a_party_takes_places_of_its_kinds_and_of_the_event() -> None:
    event, parent = typed(), make_member()
    noa = make_child(make_household(parent))

    row = register(parent, event.pk, [one("a"), one("c", child_id=noa.pk), one("Child", name="Bo")])

    assert [attendee.ticket_type for attendee in row.live] == ["a", "c", "c"]
    assert taken(event) == {"": 3, "Adult": 1, "Child": 2}
    event = Event.objects.get(pk=event.pk)
    assert [(kind.name, kind.left) for kind in seats.by_type(event)] == [("Adult", 2), ("Child", 0)]


def test_a_kind_that_is_full_is_named_and_nothing_is_left_behind() -> None:
    event = typed()
    register(make_member(), event.pk, [one("a"), one("c", name="Bo")])

    with pytest.raises(ValidationError, match="Only 1 “Child” ticket is left.") as refused:
        register(make_member(), event.pk, [one("a"), one("c", name="Cy"), one("c", name="Di")])
    assert code_of(refused) == "full"
    assert taken(event) == {"": 2, "Adult": 1, "Child": 1}
    register(make_member(), event.pk, [one("c")])
    with pytest.raises(ValidationError, match="No “Child” ticket is left."):
        register(make_member(), event.pk, [one("c")])


def test_the_places_of_the_event_are_the_limit_of_all_kinds() -> None:
    event = typed(TicketType("a", "Adult", 8), TicketType("c", "Child"), capacity=4)
    register(make_member(), event.pk, [one("a"), one("c", name="Bo"), one("c", name="Cy")])
    with pytest.raises(ValidationError, match="Only 1 place is left"):
        register(make_member(), event.pk, [one("a"), one("a", name="Di")])
    assert taken(event) == {"": 3, "Adult": 1, "Child": 2}


def test_everybody_needs_a_kind_that_is_there_and_a_single_one_goes_without_saying() -> None:
    event = typed()
    for wrong in ("", "x", "Senior"):
        with pytest.raises(ValidationError) as refused:
            register(make_member(), event.pk, [one(wrong)])
        assert "party" in refused.value.message_dict
    single = typed(TicketType("w", "With dinner", 5))
    assert register(make_member(), single.pk, [Person()]).live[0].ticket_type == "w"
    plain = register(make_member(), make_event().pk, [one("w")])
    assert plain.live[0].ticket_type == "", "an event without kinds knows none"


def test_a_party_that_changes_holds_what_it_is_now() -> None:
    event, member = typed(waiting_list="strict"), make_member()
    row = register(member, event.pk, [one("a"), one("a", name="Bo"), one("c", name="Cy")])

    change_party(member, row.pk, [one("a"), one("c", name="Bo"), one("c", name="Cy")])
    assert taken(event) == {"": 3, "Adult": 1, "Child": 2}
    with pytest.raises(
        ValidationError, match="No “Child” ticket is left."
    ):  # the same size, but no such place
        change_party(member, row.pk, [one("c"), one("c", name="Bo"), one("c", name="Cy")])
    assert taken(event) == {"": 3, "Adult": 1, "Child": 2}
    change_party(member, row.pk, [one("a"), one("c", name="Bo")])
    assert taken(event) == {"": 2, "Adult": 1, "Child": 1}
    cancel(member, row.pk)
    assert taken(event) == {"": 0, "Adult": 0, "Child": 0}


def test_two_of_one_name_keep_their_own_tickets() -> None:
    event, member = typed(), make_member()
    row = register(member, event.pk, [one("a"), one("a", name="Kim"), one("c", name="Kim")])
    slots = dict(row.attendees.filter(name="Kim").values_list("ticket_type", "slot"))
    change_party(member, row.pk, [one("a"), one("c", name="Kim")])
    assert list(row.attendees.filter(name="Kim", is_live=True).values_list("slot", flat=True)) == [slots["c"]]
    assert taken(event) == {"": 2, "Adult": 1, "Child": 1}


def test_who_waits_for_one_kind_does_not_hold_up_another() -> None:
    event = typed(waiting_list="strict")
    first = register(make_member(), event.pk, [one("a"), one("c", name="Bo"), one("c", name="Cy")])
    waits = register(make_member(), event.pk, [one("a"), one("c", name="Di")], wait=True)
    assert waits.state == "waiting"

    assert register(make_member(), event.pk, [one("a")]).state == "confirmed"  # she needs no place of a child
    with pytest.raises(ValidationError):
        register(make_member(), event.pk, [one("c")])
    behind = register(make_member(), event.pk, [one("c")], wait=True)
    assert behind.state == "waiting"

    change_party(first.member, first.pk, [one("a"), one("c", name="Bo")])  # type: ignore[arg-type]
    waits.refresh_from_db()
    behind.refresh_from_db()
    assert (waits.state, behind.state) == ("offered", "waiting"), "in the order of coming"
    assert taken(event) == {"": 5, "Adult": 3, "Child": 2}


def test_who_fits_first_is_counted_against_those_who_lack_the_same() -> None:
    event = typed(TicketType("a", "Adult", 1), TicketType("c", "Child", 2), waiting_list="fit")
    register(make_member(), event.pk, [one("a")])
    register(make_member(), event.pk, [one("c")])
    large = register(make_member(), event.pk, [one("c"), one("c", name="Bo")], wait=True)
    adult = register(make_member(), event.pk, [one("a")], wait=True)
    assert (large.state, adult.state) == ("waiting", "waiting")
    assert register(make_member(), event.pk, [one("c")], wait=True).state == "confirmed"
    large.refresh_from_db()
    adult.refresh_from_db()
    assert (large.passed_over, adult.passed_over) == (1, 0)


def test_the_others_of_a_party_that_grows_wait_for_their_kind() -> None:
    event, member = typed(waiting_list="strict"), make_member()
    other = register(make_member(), event.pk, [one("c"), one("c", name="Bo")])
    row = register(member, event.pk, [one("a")])
    row = change_party(member, row.pk, [one("a"), one("c", name="Cy")], wait=True)
    assert (row.party_size, row.more) == (1, 1)
    assert register(make_member(), event.pk, [one("a")]).state == "confirmed"

    cancel(other.member, other.pk)  # type: ignore[arg-type]
    row.refresh_from_db()
    assert (row.party_size, row.more) == (2, 0)
    assert taken(event) == {"": 3, "Adult": 2, "Child": 1}
    assert [attendee.ticket_type for attendee in row.live] == ["a", "c"]


def test_an_offer_and_a_yes_of_the_host_hold_the_right_places() -> None:
    event = typed(TicketType("a", "Adult", 1), TicketType("c", "Child", 1), waiting_list="strict")
    gone = register(make_member(), event.pk, [one("c")])
    waits = register(make_member(), event.pk, [one("c")], wait=True)
    cancel(gone.member, gone.pk)  # type: ignore[arg-type]
    assert taken(event) == {"": 1, "Adult": 0, "Child": 1}
    accept(waits.member, waits.pk)  # type: ignore[arg-type]
    asks = typed(TicketType("a", "Adult", 1), by_approval=True)
    wish = register(make_member(), asks.pk, [one("a")])
    assert taken(asks) == {"": 0, "Adult": 0}
    approval.approve(asks.host, wish.pk)
    assert taken(asks) == {"": 1, "Adult": 1}
    other = register(make_member(), asks.pk, [one("a")])
    with pytest.raises(ValidationError, match="No “Adult” ticket is left."):
        approval.approve(asks.host, other.pk)


def test_a_call_off_that_is_taken_back_gives_everybody_their_ticket_again() -> None:
    event = typed()
    register(make_member(), event.pk, [one("a"), one("c", name="Bo")])
    hosting.call_off(event.host, event.pk)
    assert taken(event) == {"": 0, "Adult": 0, "Child": 0}
    undoing.restore(event.host, event.pk)
    assert taken(event) == {"": 2, "Adult": 1, "Child": 1}


def test_another_date_of_the_meetup_has_the_same_kinds_and_places_of_its_own() -> None:
    meetup = meetup_of(make_host(centre=make_event().centre))
    first, second = meetup.occurrences.order_by("starts_at")
    member = make_member()
    row = register(member, first.pk, [one("Adult"), one("Child", name="Bo")])
    moving.move(member, row.pk, second.pk)
    assert taken(first) == {"": 0, "Adult": 0, "Child": 0}
    assert taken(second) == {"": 2, "Adult": 1, "Child": 1}


def meetup_of(host: Member) -> Any:
    plan = hosting.Plan(
        title="Climbing",
        language="en",
        timezone="Europe/Brussels",
        starts_at=datetime(2030, 5, 11, 14),
        capacity=9,
        ticket_types=ticket_types.written([ADULT, CHILD]),
    )
    return hosting.publish_series(host, plan, {"rrule": "FREQ=WEEKLY;COUNT=2"})


def test_all_dates_of_a_meetup_change_together() -> None:
    host = make_host(centre=make_event().centre)
    meetup = meetup_of(host)
    first, second = meetup.occurrences.order_by("starts_at")
    client = make_client(host)
    url = f"/api/v1/series/{meetup.public_id}/"
    body = {
        "scope": "all",
        "changes": {"ticket_types": [{"id": "a", "name": "Grown-up", "capacity": 5}, {"name": "Baby"}]},
    }
    version = client.get(url)["ETag"]
    answer = client.patch(
        url, json.dumps(body), content_type="application/json", headers={"If-Match": version}
    )
    assert [one["change"] for one in answer.json()["affected"]] == ["changed", "changed"]
    assert taken(first) == taken(second) == {"": 0, "Grown-up": 0, "Baby": 0}
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.ticket_types == second.ticket_types, "the new kind has one id on every date"


def test_the_host_renames_adds_and_takes_away_but_nobodys_ticket() -> None:
    event = typed()
    row = register(make_member(), event.pk, [one("a"), one("a", name="Bo")])

    def write(*types: TicketType) -> None:
        hosting.change(event.host, event.pk, {"ticket_types": ticket_types.written(types)})

    write(TicketType("a", "Grown-up", 2), TicketType("", "Baby", 1))
    assert taken(event) == {"": 2, "Grown-up": 2, "Baby": 0}
    with pytest.raises(ValidationError, match="2 places of “Grown-up” are taken already"):
        write(TicketType("a", "Grown-up", 1))
    with pytest.raises(ValidationError, match="cannot be taken away"):
        write(TicketType("", "Baby", 1))
    assert taken(event) == {"": 2, "Grown-up": 2, "Baby": 0}
    cancel(row.member, row.pk)  # type: ignore[arg-type]
    write()
    assert taken(event) == {"": 0}
    assert not Attendee.objects.filter(event=event, is_live=True).exists()


def test_more_places_of_a_kind_go_to_who_waits_for_it() -> None:
    event = typed(TicketType("a", "Adult", 1), waiting_list="strict")
    register(make_member(), event.pk, [one("a")])
    waits = register(make_member(), event.pk, [one("a")], wait=True)
    hosting.change(
        event.host, event.pk, {"ticket_types": ticket_types.written([TicketType("a", "Adult", 2)])}
    )
    waits.refresh_from_db()
    assert waits.state == "offered"


def test_kinds_that_come_later_are_chosen_by_who_comes_later() -> None:
    event = make_event(host=make_host(), starts_at=times.now() + timedelta(days=10))
    early = register(make_member(), event.pk, [Person()])
    hosting.change(event.host, event.pk, {"ticket_types": ticket_types.written([ADULT, CHILD])})
    register(make_member(), event.pk, [one("c")])
    assert taken(event) == {"": 2, "Adult": 0, "Child": 1}
    cancel(early.member, early.pk)  # type: ignore[arg-type]
    assert taken(event) == {"": 1, "Adult": 0, "Child": 1}


@pytest.mark.parametrize(
    "types",
    [
        [TicketType("", " ")],
        [TicketType("", "x" * 61)],
        [TicketType("", "A", 0)],
        [TicketType("", f"Kind {n}") for n in range(7)],
        [TicketType("", "Adult"), TicketType("", "adult")],
        [TicketType("a", "Adult"), TicketType("a", "Child")],
    ],
)
def test_kinds_that_cannot_be_are_refused(types: list[TicketType]) -> None:
    with pytest.raises(ValidationError) as refused:
        ticket_types.written(types)
    assert list(refused.value.message_dict) == ["ticket_types"]


def test_a_guest_without_an_account_chooses_too(clock: Any) -> None:
    event = typed()
    guests.ask(event.pk, Guest("Ida", "ida@example.org", "en"), [one("c", name="Bo")], ticket="a")
    mail = Mail.objects.get(to="ida@example.org")
    key = mail.text.partition("key=")[2].split()[0]
    row = Registration.objects.get(event=event)
    guests.confirm(row.pk, key)
    assert [seat.ticket_type for seat in row.attendees.all()] == ["a", "c"]
    guests.change(row.pk, key, [one("c", name="Bo"), one("c", name="Cy")], ticket="a")
    assert taken(event) == {"": 3, "Adult": 1, "Child": 2}
    assert "- Ida (Adult)" in Mail.objects.filter(kind="event_registered").get().text
    with pytest.raises(ValidationError):
        guests.ask(event.pk, Guest("Di", "di@example.org", "en"))


def test_a_party_by_hand_has_tickets_too() -> None:
    event = typed()
    client = make_client(event.host)
    page = client.get(f"{event.get_absolute_url()}guests/")
    typed_in = {"name": "Ida", "language": "en", "key": page.context["hand_form"]["key"].value()}
    url = f"{event.get_absolute_url()}guests/add/"
    assert client.post(url, typed_in).status_code == 422, "a ticket is chosen"
    ticket = client.post(url, typed_in | {"ticket_own": "a", "guests_c": "Bo"})
    assert taken(event) == {"": 2, "Adult": 1, "Child": 1}
    shown = client.get(ticket["Location"]).context["names_form"]
    assert (shown["ticket_own"].value(), shown["guests_c"].value()) == ("a", "Bo")
    row = Registration.objects.get(event=event)
    client.post(
        f"/registrations/{row.public_id}/by-hand/",
        {"do": "change", "name": "Ida", "ticket_own": "a", "guests_a": "Bo"},
    )
    assert taken(event) == {"": 2, "Adult": 2, "Child": 0}
    url = f"/api/v1/events/{event.public_id}/registrations/"
    body = {"guest": {"name": "Di"}, "party": [{"ticket_type": "c"}, {"name": "Ed", "ticket_type": "Adult"}]}
    assert client.post(url, json.dumps(body), content_type="application/json").status_code == 201
    assert taken(event) == {"": 4, "Adult": 3, "Child": 1}


def test_the_pages_offer_a_choice_each_and_say_what_is_left(clock: Any) -> None:
    event, parent = typed(), make_member(display_name="Ana")
    noa = make_child(make_household(parent), birth_year=2020)
    client = make_client(parent)
    page = client.get(event.get_absolute_url()).content.decode()
    assert "Me (Ana)" in page and "3 left" in page and "2 left" in page and "does not come" in page
    answer = client.post(
        f"{event.get_absolute_url()}register/",
        {"ticket_me": "a", f"ticket_children_{noa.pk}": "c", "guests_a": "Bo\nCy", "guests_c": ""},
    )
    assert answer.status_code == 302
    assert taken(event) == {"": 4, "Adult": 3, "Child": 1}
    ticket = client.get(answer["Location"]).content.decode()
    assert "(Adult)" in ticket and "(Child)" in ticket
    assert "Bo\nCy</textarea>" in ticket, "the form shows the party as it is"
    host = make_client(event.host)
    board = host.get(f"{event.get_absolute_url()}guests/").content.decode()
    assert "Adult: 3 of 3" in board and "Child: 1 of 2" in board
    table = host.get(f"{event.get_absolute_url()}guests.csv")
    lines = b"".join(table).decode().splitlines()  # type: ignore[call-overload]
    assert "Ticket" in lines[0] and sum("Adult" in line for line in lines) == 3
    assert "· Child" in host.get(f"{event.get_absolute_url()}guests/print/").content.decode()
    full = make_client(make_member()).post(f"{event.get_absolute_url()}register/", {"ticket_me": "a"})
    assert (full.status_code, "No “Adult” ticket is left." in full.content.decode()) == (409, True)
    none = make_client(make_member()).post(f"{event.get_absolute_url()}register/", {"ticket_me": ""})
    assert (none.status_code, "Choose who comes" in none.content.decode()) == (422, True)


def test_the_host_writes_them_in_the_editor() -> None:
    event = typed()
    client = make_client(event.host)
    page = client.get(f"{event.get_absolute_url()}edit/")
    form = page.context["form"]
    data = {name: value for name, value in form.initial.items() if value not in (None, False, [], "")}
    data |= {"ticket0-id": "a", "ticket0-name": "Adult", "ticket0-capacity": "5", "ticket1-name": "Baby"}
    answer = client.post(f"{event.get_absolute_url()}edit/", data)
    assert answer.status_code == 302, answer.context["form"].errors
    assert list(taken(event)) == ["", "Adult", "Baby"]
    twice = data | {"ticket1-name": "Adult", "version": event.version + 1}
    refused = client.post(f"{event.get_absolute_url()}edit/", twice)
    assert "Each kind of ticket needs a name of its own." in refused.content.decode()


def test_places_without_a_name_are_no_kind_of_ticket_and_said_so() -> None:
    event = typed()
    client, url = make_client(event.host), f"{event.get_absolute_url()}edit/"
    initial = client.get(url).context["form"].initial
    data = {name: value for name, value in initial.items() if value not in (None, False, [], "")}
    refused = client.post(url, data | {"ticket0-id": "a", "ticket0-name": "Adult", "ticket1-capacity": "7"})
    assert refused.status_code == 422
    page = refused.content.decode()
    assert "Say what this kind of ticket is called" in page and 'value="7"' in page
    assert list(taken(event)) == list(taken(typed())), "nothing has changed"


def test_a_program_reads_and_chooses_them() -> None:
    event = typed(visibility="public")
    client = make_client(make_member())
    data = client.get(f"/api/v1/events/{event.public_id}/").json()
    assert data["ticket_types"] == [
        {"id": "a", "name": "Adult", "capacity": 3, "taken": 0},
        {"id": "c", "name": "Child", "capacity": 2, "taken": 0},
    ]
    body = {"party": [{"ticket_type": "Adult"}, {"name": "Bo", "ticket_type": "c"}]}
    made = client.post(
        f"/api/v1/events/{event.public_id}/registrations/", json.dumps(body), content_type="application/json"
    )
    assert [one["ticket_type"] for one in made.json()["party"]] == ["a", "c"]
    wrong = client.post(
        f"/api/v1/events/{event.public_id}/registrations/",
        json.dumps({"party": [{}]}),
        content_type="application/json",
    )
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["party"])


def test_half_of_what_is_needed_is_never_taken() -> None:
    """The second pool says no: what the first gave is given back with it."""
    event = typed()
    Pool.objects.filter(event=event, name="c").update(taken=2)
    event = Event.objects.get(pk=event.pk)
    assert not pools.take(event, pools.need(event, [one("a"), one("c")]))
    assert list(event.pools.order_by("pk").values_list("taken", flat=True)) == [0, 0, 2]


@pytest.mark.django_db(transaction=True)
def test_parties_of_many_kinds_at_once_sell_each_kind_exactly() -> None:
    event = typed(TicketType("a", "Adult", 12), TicketType("c", "Child", 9), capacity=18)
    people = [make_member() for _ in range(30)]
    parties = [[one("a")], [one("c")], [one("a"), one("c", name="Bo")]]

    answers = in_parallel(30, lambda n: register(people[n], event.pk, parties[n % 3]))

    assert {row for row in answers if not isinstance(row, Registration)} == {"full"}
    found = taken(event)
    assert found["Adult"] <= 12 and found["Child"] <= 9 and found[""] == found["Adult"] + found["Child"] <= 18
    assert found[""] >= 17, "only a party of two can have found one place"


def test_where_every_kind_is_full_the_page_offers_the_line_and_not_a_ticket() -> None:
    event = typed(capacity=6, waiting_list="strict")
    register(make_member(), event.pk, [one("a"), *[one("a", name="x")] * 2, *[one("c", name="y")] * 2])
    client = make_client(make_member(language="en"))

    page = client.get(event.get_absolute_url())
    assert page.context["places"].left == 1 and page.context["is_full"]
    assert "Queue up" in page.text and ">Register<" not in page.text and 'name="wait"' in page.text


def test_a_kind_has_no_more_places_left_than_the_event() -> None:
    event = typed()
    Pool.objects.filter(event=event, kind=Pool.Kind.TOTAL).update(capacity=2)
    page = make_client(make_member()).get(event.get_absolute_url()).text
    assert "2 left" in page and "3 left" not in page
