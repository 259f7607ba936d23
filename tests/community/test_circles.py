"""Circles: open, find, join, leave; the counter is right, the room follows, and by invitation means unseen."""

from threading import Barrier, Thread

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test import Client

from community import circles, matching
from community.models import Circle, CircleMembership, Member
from realtime import blocks, rooms
from realtime.models import Entry, Mail, Room
from tests import factories as make

pytestmark = pytest.mark.django_db


def signed_in(member: Member) -> Client:
    client = Client()
    client.force_login(member)
    return client


def opened(host: Member | None = None, **given: str) -> Circle:
    details = {"name": "Sunday walkers", "description": "We walk.", "language": "en"} | given
    return circles.open_circle(host or make.make_host(), **details)  # type: ignore[arg-type]


def size_of(circle: Circle) -> tuple[int, int, int]:
    """As counted, as it is, and as the room has it."""
    circle.refresh_from_db()
    people = CircleMembership.objects.filter(circle=circle, state="in").count()
    return circle.size, people, circle.room.participants.filter(left_seq=None).count()


def test_a_host_opens_a_circle_and_is_in_its_room() -> None:
    host = make.make_host()
    circle = opened(host)
    assert size_of(circle) == (1, 1, 1)
    assert rooms.room_for(host, circle.room_id).link == f"/circles/{circle.public_id}/"
    assert rooms.room_for(host, circle.room_id).title == "Sunday walkers"


def test_only_hosts_and_staff_open_circles() -> None:
    with pytest.raises(PermissionDenied):
        opened(make.make_member())
    assert opened(make.make_staff()).size == 1
    assert not Room.objects.filter(title="Sunday walkers").exclude(pk=Circle.objects.get().room_id).exists()
    assert signed_in(make.make_member()).get("/circles/new/").status_code == 403


def test_two_circles_may_have_the_same_name_or_none_in_latin_letters() -> None:
    slugs = {opened(name=name).slug for name in ("Walkers", "Walkers", "散步", "散步")}
    assert len(slugs) == 4


def test_joining_enters_the_room_and_leaving_leaves_it() -> None:
    circle, member = opened(), make.make_member()
    circles.join(member, circle.pk)
    assert size_of(circle) == (2, 2, 2)
    circles.leave(member, circle.pk)
    assert size_of(circle) == (1, 1, 1)
    with pytest.raises(Room.DoesNotExist):
        rooms.room_for(member, circle.room_id)
    log = list(circle.room.entries.order_by("seq").values_list("kind", "author"))
    assert log[1:] == [(Entry.Kind.JOIN, member.pk), (Entry.Kind.LEAVE, member.pk)]


def test_joining_and_leaving_twice_count_once() -> None:
    circle, member = opened(), make.make_member()
    circles.join(member, circle.pk)
    circles.join(member, circle.pk)
    assert size_of(circle) == (2, 2, 2)
    circles.leave(member, circle.pk)
    circles.leave(member, circle.pk)
    assert size_of(circle) == (1, 1, 1)


def test_where_the_host_decides_joining_is_asking() -> None:
    circle = opened(join="request")
    host = circle.memberships.get().member
    member, other = make.make_member(), make.make_member()
    for who in (member, member, other):
        assert circles.join(who, circle.pk).state == "asked"
    assert size_of(circle) == (1, 1, 1)
    assert Mail.objects.filter(kind="circle_asked", to=host.email).count() == 2
    circles.accept(host, circle.pk, member.pk)
    circles.accept(host, circle.pk, member.pk)
    circles.refuse(host, circle.pk, other.pk)
    assert size_of(circle) == (2, 2, 2)
    assert Mail.objects.get(kind="circle_accepted").to == member.email
    assert circles.membership_of(other, circle) is None


def test_only_its_hosts_let_people_in() -> None:
    circle = opened(join="request")
    asking, eve = make.make_member(), make.make_host()
    circles.join(asking, circle.pk)
    for verb in (circles.accept, circles.refuse, circles.make_host):
        with pytest.raises(PermissionDenied):
            verb(eve, circle.pk, asking.pk)
    assert (
        signed_in(eve).post(f"/circles/{circle.public_id}/people/{asking.public_id}/accept/").status_code
        == 403
    )


def test_a_circle_by_invitation_is_unseen_by_strangers() -> None:
    circle = opened(join="invite", name="Secret knitters")
    stranger = make.make_member()
    for who in (None, stranger):
        with pytest.raises(Circle.DoesNotExist):
            circles.circle_for(who, circle.pk)
    with pytest.raises(Circle.DoesNotExist):
        circles.join(stranger, circle.pk)
    client = signed_in(stranger)
    assert client.get(f"/circles/{circle.public_id}/").status_code == 404
    assert client.post(f"/circles/{circle.public_id}/join/").status_code == 404
    assert "Secret knitters" not in client.get("/circles/").content.decode()
    assert circle not in matching.suggestions(stranger, 10)


def test_an_invitation_lets_its_bearer_see_and_join_that_circle_only() -> None:
    circle, other = opened(join="invite"), opened(join="invite")
    friend = make.make_member()
    invitation = circles.invitation_to(circle)
    client = signed_in(friend)
    assert client.get(f"/circles/{circle.public_id}/?invitation={invitation}").status_code == 200
    assert Client().get(f"/circles/{circle.public_id}/?invitation={invitation}").status_code == 404
    assert client.get(f"/circles/{other.public_id}/?invitation={invitation}").status_code == 404
    assert client.get(f"/circles/{circle.public_id}/?invitation={invitation}x").status_code == 404
    client.post(f"/circles/{circle.public_id}/join/", {"invitation": invitation})
    assert size_of(circle) == (2, 2, 2)


def test_the_only_host_does_not_leave_the_others_behind() -> None:
    circle, member = opened(), make.make_member()
    host = circle.memberships.get().member
    circles.join(member, circle.pk)
    with pytest.raises(ValidationError) as no:
        circles.leave(host, circle.pk)
    assert no.value.code == "last_host"
    answer = signed_in(host).post(f"/circles/{circle.public_id}/leave/")
    assert answer.status_code == 409
    assert "only host" in answer.content.decode()
    circles.make_host(host, circle.pk, member.pk)
    circles.leave(host, circle.pk)
    assert size_of(circle) == (1, 1, 1)


def test_the_last_one_closes_the_circle_and_its_room() -> None:
    circle = opened()
    circles.leave(circle.memberships.get().member, circle.pk)
    circle.refresh_from_db()
    assert circle.closed_at is not None
    assert Room.objects.get(pk=circle.room_id).closed_at is not None
    assert Client().get(f"/circles/{circle.public_id}/").status_code == 404


def test_strangers_see_how_many_and_members_see_who() -> None:
    circle, member = opened(), make.make_member()
    host = circle.memberships.get().member
    assert host.display_name not in Client().get(f"/circles/{circle.public_id}/").content.decode()
    assert host.display_name in signed_in(member).get(f"/circles/{circle.public_id}/").content.decode()


def test_a_description_is_shown_safely_and_in_its_language() -> None:
    circle = opened(description="**Laufen** <script>alert(1)</script>", language="de")
    page = Client().get(f"/circles/{circle.public_id}/").content.decode()
    assert '<div class="prose" lang="de"><p><strong>Laufen</strong>' in page
    assert "<script>alert" not in page


def test_circles_are_found_by_words_interest_and_distance() -> None:
    hasselt, genk, aachen = (make.make_place(name) for name in ("Hasselt", "Genk", "Aachen"))
    walking, chess = make.make_interest("walking"), make.make_interest("chess")
    make.make_circle(name="Wandern", place=aachen, interest=walking)
    make.make_circle(name="Échecs et café", place=genk, interest=chess)
    make.make_circle(name="Everywhere", place=None)
    member = make.make_member(lives=hasselt, works=aachen)
    client = signed_in(member)

    def found(query: str) -> set[str]:
        page = client.get(f"/circles/?{query}")
        return {circle.name for circle, _km in page.context["cards"]}

    assert found("") == {"Wandern", "Échecs et café", "Everywhere"}
    assert found("q=cafe+echecs") == {"Échecs et café"}
    assert found("interest=walking") == {"Wandern"}
    assert found("near=home&km=20") == {"Échecs et café"}
    assert found("near=work&km=5") == {"Wandern"}
    assert found("place=Aken&km=10") == {"Wandern"}
    assert found("q=nothing+like+that") == set()
    assert "No circle like that yet" in client.get("/circles/?q=nothing").content.decode()
    assert "We do not know this town" in client.get("/circles/?place=Timbuktu").content.decode()


def test_signed_out_people_browse_too() -> None:
    make.make_circle(name="Wandern", place=make.make_place("Aachen"))
    page = Client().get("/circles/?place=Aachen")
    assert [circle.name for circle, _km in page.context["cards"]] == ["Wandern"]


def test_a_suggestion_fits_what_one_likes_and_where_one_lives() -> None:
    hasselt, genk, heerlen = (make.make_place(name) for name in ("Hasselt", "Genk", "Eupen"))
    walking, chess = make.make_interest("walking"), make.make_interest("chess")
    make.make_circle(*[make.make_member() for _n in range(3)], interest=chess, place=hasselt)
    make.make_circle(*[make.make_member() for _n in range(3)], interest=walking, place=heerlen)
    near = make.make_circle(interest=walking, place=genk)
    member = make.make_member(lives=hasselt, interests=[walking])
    assert matching.suggested_circle(member) == near
    circles.join(member, near.pk)
    assert matching.suggested_circle(member) != near
    assert matching.suggested_circle(make.make_member()) is None


def test_a_circle_is_opened_by_form_and_what_was_typed_is_kept() -> None:
    make.make_place("Liège")
    client = signed_in(make.make_host())
    details = {
        "name": "Boulistes",
        "description": "On joue.",
        "language": "fr",
        "interest": "",
        "place": "Nowhere",
        "join": "open",
    }
    page = client.post("/circles/new/", details).content.decode()
    assert 'value="Boulistes"' in page
    assert not Circle.objects.exists()
    answer = client.post("/circles/new/", details | {"place": ""})
    circle = Circle.objects.get()
    assert answer["Location"] == f"/circles/{circle.public_id}/"
    assert (circle.language, circle.join, circle.place) == ("fr", "open", None)


def at_once(calls: int, verb: object) -> None:
    gate = Barrier(calls)

    def run() -> None:
        gate.wait()
        try:
            verb()  # type: ignore[operator]
        finally:
            connection.close()

    threads = [Thread(target=run) for _number in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@pytest.mark.django_db(transaction=True)
def test_joining_many_times_at_once_counts_one() -> None:
    circle, member = opened(), make.make_member()
    at_once(8, lambda: circles.join(member, circle.pk))
    assert size_of(circle) == (2, 2, 2)
    at_once(8, lambda: circles.leave(member, circle.pk))
    assert size_of(circle) == (1, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_let_in_by_two_hosts_at_once_counts_one() -> None:
    circle, member = opened(join="request"), make.make_member()
    host = circle.memberships.get().member
    circles.join(member, circle.pk)
    at_once(6, lambda: circles.accept(host, circle.pk, member.pk))
    assert size_of(circle) == (2, 2, 2)
    assert Mail.objects.filter(kind="circle_accepted").count() == 1


def test_two_apart_do_not_see_each_other_among_the_members_and_everybody_sees_the_host() -> None:
    host, ana, bo = (make.make_member(display_name=name) for name in ("Host", "Ana", "Bo"))
    circle = make.make_circle(ana, bo, host=host)
    blocks.block(ana, bo.pk)
    blocks.block(bo, host.pk)

    def seen_by(reader: Member) -> list[str]:
        return [row.member.display_name for row in circles.members_of(circle, reader)]

    assert seen_by(ana) == ["Host", "Ana"]
    assert seen_by(bo) == ["Host", "Bo"]
    assert seen_by(make.make_member()) == ["Host", "Ana", "Bo"]
