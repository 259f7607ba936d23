"""Today: what is next with its ticket, what is unread, one open task, one suggestion. Never an empty page."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client

from community import circles, households
from community.models.places import towns_within
from events import invited, inviting
from events.models import Invitation
from events.registration import Person, register
from realtime import chat, clock
from tests.factories import make_circle, make_event, make_host, make_interest, make_member, make_place

pytestmark = pytest.mark.django_db


def signed_in(member):
    client = Client()
    client.force_login(member)
    return client


def busy(member, size):
    """`size` events ahead and `size` circles with something unread."""
    host = make_host()
    for number in range(size):
        event = make_event(host=host, starts_at=clock.now() + timedelta(days=number + 1))
        register(member, event.pk, [Person()])
        circle = make_circle(host=host, interest=make_interest())
        circles.join(member, circle.pk)
        chat.post(host, circle.room_id, "Who is coming?", uuid4())


@pytest.mark.parametrize("size", [1, 30])
def test_today_costs_the_same_however_much_is_going_on(django_assert_num_queries, size):
    member = make_member(lives=make_place("Hasselt"))
    busy(member, size)
    client = signed_in(member)
    towns_within(0, 0, 1)  # the towns of the region are read once in the life of a process
    with django_assert_num_queries(7):
        page = client.get("/")
    assert page.context["next"].event.title in page.content.decode()
    assert f"/registrations/{page.context['next'].public_id}/" in page.content.decode()
    assert len(page.context["rooms"]) == min(size, 5)


def test_somebody_without_plans_sees_what_is_near_and_what_to_answer():
    member, partner = make_member(lives=make_place("Hasselt")), make_member()
    event = make_event(place=make_place("Genk"), title="Soup for all")
    households.invite(partner, member.email)

    page = signed_in(member).get("/")

    assert page.context["suggested_event"] == event
    assert "Soup for all" in page.content.decode()
    assert page.context["invitation"].inviter == partner


def test_what_one_is_invited_to_stands_on_today_until_it_is_answered():
    member, event = make_member(), make_event(title="Soup for friends", visibility="invited")
    inviting.invite_addresses(event.host, event.pk, member.email)
    invited.send_due()
    client = signed_in(member)
    page = client.get("/").content.decode()
    assert "I am invited to" in page and "Soup for friends" in page
    assert "Soup for friends" not in signed_in(make_member()).get("/").content.decode()

    invited.decline(Invitation.objects.get())

    assert "I am invited to" not in client.get("/").content.decode()


def test_who_is_signed_out_sees_the_front_page():
    make_event(title="Open to all")
    make_event(title="For members", visibility="members")
    page = Client().get("/").content.decode()
    assert "Open to all" in page
    assert "For members" not in page
