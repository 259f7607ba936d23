"""What happens at once: five hundred for a hundred places, parents, hosts and gates. Each guard has a test without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, QuerySet

from community.models import Member
from events import board, checkin, hosting, pools, rescheduling
from events.checkin import DeviceClock
from events.models import Attendee, Claim, Event, Pool, Registration
from events.registration import Person, change_party, register
from realtime import clock
from realtime.prepared import ID, NUMBER, changing
from tests.events.doors import code, gate, open_event, reading
from tests.events.together import at_once
from tests.factories import make_centre, make_child, make_event, make_host, make_household, make_member

pytestmark = pytest.mark.django_db(transaction=True)
ME = Person()
PLACES, CLIENTS, ROUNDS = 100, 500, 4


def crowd(n: int) -> list[Member]:
    """So many members, in one statement."""
    return Member.objects.bulk_create(
        Member(email=f"storm{i}@example.org", display_name=f"M{i}", onboarded_at=clock.now())
        for i in range(n)
    )


def storm(event: Event) -> list[Any]:
    """Everybody registers at once, in parties of one to three; what each was told."""
    people = crowd(CLIENTS)
    return at_once(
        *[
            lambda member=member, n=n: register(member, event.pk, [ME, *[Person("guest")] * (n % 3)])
            for n, member in enumerate(people)
        ]
    )


def counted(event: Event) -> tuple[int, int, int, int]:
    """Places taken as four things say it: the pool, the claims, the parties and their people."""
    live = Registration.objects.filter(event=event, state="confirmed")
    return (
        Pool.objects.get(event=event).taken,
        sum(Claim.objects.filter(registration__event=event).values_list("n", flat=True)),
        sum(live.values_list("party_size", flat=True)),
        Attendee.objects.filter(event=event, is_live=True).count(),
    )


def test_five_hundred_at_once_for_a_hundred_places_sell_exactly_those() -> None:
    event = make_event(capacity=PLACES)

    told = storm(event)

    assert {one for one in told if not isinstance(one, Registration)} == {"full"}
    assert counted(event) == (PLACES,) * 4
    for row in Registration.objects.filter(event=event).prefetch_related("attendees"):
        assert len(row.attendees.all()) == row.party_size, "no half party"
    assert Registration.objects.filter(event=event).count() == len(
        [one for one in told if isinstance(one, Registration)]
    ), "of who was refused nothing is left"


@contextmanager
def without_the_constraint() -> Iterator[None]:
    """The database no longer says no by itself."""
    rule = next(one for one in Pool._meta.constraints if one.name == "never_oversold")
    Pool._meta.constraints.remove(rule)  # SQLite makes the table anew from what the model says
    with connection.schema_editor() as editor:
        editor.remove_constraint(Pool, rule)
    try:
        yield
    finally:
        Claim.objects.all().delete()
        Attendee.objects.all().delete()
        Registration.objects.all().delete()
        Pool.objects.all().update(taken=0)
        Pool._meta.constraints.insert(0, rule)
        with connection.schema_editor() as editor:
            editor.add_constraint(Pool, rule)


def test_without_the_guard_the_same_storm_oversells(monkeypatch: pytest.MonkeyPatch) -> None:
    @changing(pool=ID, n=NUMBER)
    def unguarded(*, pool: Any, n: Any, takes: bool) -> tuple[QuerySet[Pool], dict[str, Any]]:
        return Pool.objects.filter(pk=pool), {"taken": F("taken") + n}

    event = make_event(capacity=PLACES)
    monkeypatch.setattr(pools, "_shifted", unguarded)
    with without_the_constraint():
        storm(event)
        assert counted(event)[0] > PLACES


def test_both_parents_with_one_child_at_once_bring_it_once() -> None:
    for _n in range(ROUNDS):
        ana, ben = make_member(), make_member()
        noa = make_child(make_household(ana, ben))
        event = make_event()
        told = at_once(
            *[
                lambda who=parent, e=event, c=noa: register(who, e.pk, [ME, Person(child_id=c.pk)])
                for parent in (ana, ben)
            ]
        )
        assert sorted(str(one) if isinstance(one, str) else "in" for one in told) == [
            "already_registered",
            "in",
        ]
        assert Attendee.objects.filter(event=event, child=noa, is_live=True).count() == 1
        assert counted(event) == (2,) * 4


def test_fewer_places_against_newcomers_never_leave_more_than_there_are() -> None:
    for _n in range(ROUNDS):
        event = make_event(capacity=10, host=make_host())
        register(make_member(), event.pk, [ME, Person("guest")])
        people = [make_member() for _ in range(6)]
        told = at_once(
            *[lambda who=member, e=event: register(who, e.pk, [ME]) for member in people],
            lambda e=event: hosting.change(e.host, e.pk, {"capacity": 4}),
        )
        pool = Pool.objects.get(event=event)
        assert pool.capacity is not None and pool.taken <= pool.capacity
        assert (pool.capacity == 4) == isinstance(told[-1], Event), "made smaller, or told why not"
        assert len(set(counted(event))) == 1


def test_a_call_off_against_newcomers_leaves_nobody_with_a_place() -> None:
    for _n in range(ROUNDS):
        event = make_event(capacity=10, host=make_host())
        people = [make_member() for _ in range(6)]
        told = at_once(
            *[lambda who=member, e=event: register(who, e.pk, [ME]) for member in people],
            lambda e=event: hosting.call_off(e.host, e.pk, "Rain"),
        )
        assert {one for one in told if isinstance(one, str)} <= {"closed"}
        assert counted(event) == (0,) * 4
        assert not Registration.objects.live().filter(event=event).exists()


def test_a_party_that_shrinks_while_it_is_scanned_never_gives_back_a_place_somebody_stands_on() -> None:
    for _n in range(ROUNDS):
        event, ana, ben = open_event(capacity=4), make_member(), make_member()
        make_household(ana, ben)
        row = register(ana, event.pk, [ME, Person(member_id=ben.pk)])
        ticket, phone = code(row), gate(event)
        at_once(
            lambda p=phone, t=ticket: checkin.record(p, [reading(t)], DeviceClock(0)),
            lambda r=row, a=ana: change_party(a, r.pk, [ME]),
        )
        standing = board.truth_of(list(board.scans_of(event))).standing
        inside = {slot for (_party, slot), one in standing.items() if one.first}
        live = set(Attendee.objects.filter(registration=row, is_live=True).values_list("slot", flat=True))
        assert inside and inside <= live
        assert len(set(counted(event))) == 1


def test_a_series_that_splits_while_people_register_keeps_every_registration_with_its_date() -> None:
    host = make_host(centre=make_centre())
    for n in range(ROUNDS):
        plan = hosting.Plan(
            title=f"Café {n}",
            language="en",
            timezone="Europe/Brussels",
            starts_at=(clock.now() + timedelta(days=3)).replace(
                hour=19, minute=0, second=0, microsecond=0, tzinfo=None
            ),
            capacity=5,
        )
        meetup = hosting.publish_series(host, plan, {"rrule": "FREQ=WEEKLY;COUNT=6"})
        dates = list(meetup.occurrences.order_by("starts_at"))
        third, people = dates[2], [make_member() for _ in range(5)]
        later = datetime.fromisoformat(third.original_start) + timedelta(hours=1)
        told = at_once(
            *[lambda who=member, e=third: register(who, e.pk, [ME]) for member in people],
            lambda m=meetup, e=third, at=later: rescheduling.change_series(
                host, m.pk, rescheduling.Which("following", e.pk), {"starts_at": at}
            ),
        )
        assert not [one for one in told if isinstance(one, str)], told
        third.refresh_from_db()
        assert third.series_id != meetup.pk and third.original_start == f"{later:%Y-%m-%dT%H:%M:%S}"
        assert counted(third) == (5,) * 4
