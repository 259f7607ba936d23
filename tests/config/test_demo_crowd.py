"""The crowd of the benchmarks is written past the verbs: counted again, everything is as the verbs would have left it."""

from collections import Counter

import pytest
from allauth.account.models import EmailAddress
from django.db.models import Count, F, Q, Sum

from community.models import (
    Child,
    Circle,
    CircleMembership,
    Consent,
    Household,
    HouseholdAdult,
    Member,
    Profile,
)
from config import demo_region
from config.demo_crowd import crowd_members, crowd_messages
from config.demo_crowd_events import crowd_events
from config.demo_region import Region
from events.models import Attendee, Claim, Event, Pool, Registration
from realtime.models import Entry, Participant, Room

MODELS = (
    Member, EmailAddress, Consent, Profile, Household, HouseholdAdult, Child, Circle, CircleMembership, Event, Pool,
    Registration, Attendee, Claim, Room, Participant, Entry,
)  # fmt: skip


def rows():
    return {model.__name__: model.objects.count() for model in MODELS}


@pytest.fixture
def land(region):
    """The demo region without its events, which take most of its time."""
    land = Region()
    for make in (
        demo_region.make_centres,
        demo_region.make_people,
        demo_region.make_households,
        demo_region.make_circles,
    ):
        list(make(land))
    return land


def crowd(land, members, events, messages):
    for step, wanted in ((crowd_members, members), (crowd_events, events), (crowd_messages, messages)):
        list(step(land, wanted))


@pytest.mark.django_db
def test_a_crowd_counted_again_is_as_the_rules_would_have_left_it_twice_the_same_and_grows(land):
    crowd(land, 400, 210, 900)
    assert (Member.objects.count(), Event.objects.count()) == (400, 210)
    assert Entry.objects.filter(kind="message").count() == 900
    everything_is_true()

    before = rows()
    crowd(land, 400, 210, 900)
    assert rows() == before

    crowd(land, 500, 260, 1000)
    assert (Member.objects.count(), Event.objects.count()) == (500, 260)
    assert Entry.objects.filter(kind="message").count() == 1000
    everything_is_true()


def everything_is_true():
    members_can_sign_in()
    homes_are_homes()
    logs_are_dense()
    circles_know_their_size()
    places_are_claimed()
    who_comes_is_in_the_room()


def members_can_sign_in():
    members = Member.objects.annotate(
        addresses=Count("emailaddress", filter=Q(emailaddress__verified=True), distinct=True),
        papers=Count("consents", distinct=True),
    )
    wrong = members.exclude(addresses=1, papers=3, profile__isnull=False, onboarded_at__isnull=False)
    assert not wrong.exists()
    assert not any(member.has_usable_password() for member in Member.objects.all())
    assert Profile.objects.exclude(lives=None).values("lives").distinct().count() > 30
    assert set(Member.objects.values_list("language", flat=True)) == {"en", "nl", "de", "fr"}


def homes_are_homes():
    adults = Counter(HouseholdAdult.objects.values_list("household", flat=True))
    assert max(adults.values()) == 2
    assert set(Child.objects.values_list("household", flat=True)) <= set(adults)
    assert Child.objects.count() > 30


def logs_are_dense():
    for room in Room.objects.prefetch_related("entries", "participants"):
        log = sorted(room.entries.all(), key=lambda entry: entry.seq)
        assert [entry.seq for entry in log] == list(range(1, room.head + 1))
        assert sum(entry.kind == "message" for entry in log) == room.n
        counted, n_at = 0, {0: 0}
        for entry in log:
            counted += entry.kind == "message"
            assert entry.n == n_at.setdefault(entry.seq, counted)
            assert entry.target is None or log[entry.target - 1].kind == "message"
        assert [entry.at for entry in log] == sorted(entry.at for entry in log)
        for one in room.participants.all():
            assert log[one.joined_seq - 1].author_id == one.member_id
            assert n_at[one.read_seq] == one.read_n


def circles_know_their_size():
    for circle in Circle.objects.annotate(people=Count("memberships", filter=Q(memberships__state="in"))):
        assert circle.size == circle.people > 0
        members = set(circle.memberships.values_list("member", flat=True))
        assert members == set(circle.room.participants.values_list("member", flat=True))
        assert circle.memberships.filter(is_host=True).exists()
        assert circle.search
        assert circle.room.link == f"/circles/{circle.public_id}/"
    sizes = sorted(Circle.objects.values_list("size", flat=True))
    assert sizes[-1] > 5 * sizes[0]


def places_are_claimed():
    claimed = Pool.objects.annotate(claimed=Sum("claims__n", default=0))
    assert not claimed.exclude(taken=F("claimed")).exists()
    for row in Registration.objects.prefetch_related("attendees", "claims").select_related("event"):
        live = [one for one in row.attendees.all() if one.is_live]
        assert len(live) == row.party_size == row.next_slot
        assert [claim.n for claim in row.claims.all()] == ([row.party_size] if row.has_places else [])
        if row.state == "waiting":
            assert row.event.waiting_list
            assert row.queued_at
            assert row.event.total.left == 0
        assert row.event.state == "published"
    assert Registration.objects.filter(state="waiting").exists()
    assert Event.objects.filter(search="").count() == 0
    assert all(event.search == event.searchable() for event in Event.objects.select_related("place"))
    assert Event.objects.alias(likes=Count("interests")).exclude(likes=2).count() == 0


def who_comes_is_in_the_room():
    for event in Event.objects.filter(registrations__state="confirmed").distinct():
        come = Attendee.objects.filter(event=event, registration__state="confirmed").exclude(member=None)
        there = set(event.room.participants.values_list("member", flat=True))
        assert there == set(come.values_list("member", flat=True)) | {event.host_id}
    assert not Event.objects.exclude(registrations__state="confirmed").exclude(room=None).exists()
