"""Every page of this floor: it renders for who may see it, in all four languages, at the same cost for few and many."""

from typing import Any

import pytest
from django.test import Client

from community import sign_ins
from community.models import Circle, CircleMembership, HouseholdInvitation, Interest, Member
from tests import factories as make

pytestmark = pytest.mark.django_db


def signed_in(member: Member) -> Client:
    client = Client()
    client.force_login(member)
    return client


@pytest.mark.parametrize("language", ["en", "nl", "de", "fr"])
@pytest.mark.parametrize("page", ["/me/", "/me/profile/", "/me/household/", "/circles/", "/circles/new/"])
def test_every_page_renders_in_every_language(page: str, language: str) -> None:
    home = make.make_place("Hasselt")
    member = make.make_host(
        language=language, lives=home, works=make.make_place("Aachen"), languages=["en", "ta"]
    )
    make.make_child(make.make_household(member))
    make.make_circle(host=member, interest=make.make_interest(), place=home)
    page_text = signed_in(member).get(page).content.decode()
    assert f'lang="{language}"' in page_text


def crowd(size: int, member: Member) -> Circle:
    """`size` of everything a page may list, all of it the member's."""
    home = make.make_place("Hasselt")
    for _number in range(size):
        make.make_circle(member, interest=make.make_interest(), place=home)
    circle = make.make_circle(*[make.make_member() for _number in range(size)], host=member)
    for _number in range(size):
        make.make_circle(place=home)
    CircleMembership.objects.bulk_create(
        [CircleMembership(circle=circle, member=make.make_member(), state="asked") for _number in range(size)]
    )
    for number in range(size):
        make.make_child(member.home.household, nickname=f"Child {number}")
        HouseholdInvitation.objects.create(inviter=make.make_member(), email=member.email)
    return circle


@pytest.mark.parametrize("size", [1, 30])
@pytest.mark.parametrize(
    ("page", "queries"),
    [
        ("/me/", 6),
        ("/me/household/", 7),
        ("/circles/", 4),
        ("/circles/?near=home&q=circle", 4),
        ("/circles/{circle}/", 7),
        ("/me/profile/", 4),
    ],
)
def test_a_page_costs_the_same_queries_for_one_and_for_thirty_rows(
    page: str, queries: int, size: int, django_assert_num_queries: Any
) -> None:
    member = make.make_host(
        lives=make.make_place("Hasselt"), works=make.make_place("Aachen"), centre=make.make_centre()
    )
    make.make_household(member)
    circle = crowd(size, member)
    client = signed_in(member)
    Interest.everything()  # read once in the life of a process
    with django_assert_num_queries(queries):
        assert client.get(page.format(circle=circle.public_id)).status_code == 200


@pytest.mark.parametrize("size", [1, 30])
@pytest.mark.parametrize(
    ("path", "queries"), [("circles/", 3), ("circles/?suggested=1", 7), ("interests/", 2), ("places/", 2)]
)
def test_a_list_of_the_api_costs_the_same_queries_for_one_and_for_thirty_rows(
    path: str, queries: int, size: int, django_assert_num_queries: Any
) -> None:
    member = make.make_member(lives=make.make_place("Hasselt"), works=make.make_place("Aachen"))
    make.make_household(member)
    crowd(size, member)
    client = Client(HTTP_AUTHORIZATION=f"Bearer {sign_ins.issue_token(member, 'test')}")
    with django_assert_num_queries(queries):
        assert client.get(f"/api/v1/{path}").status_code == 200


@pytest.mark.parametrize("language", ["en", "nl", "de", "fr"])
def test_the_pages_of_a_circle_and_a_household_render_in_every_language(language: str) -> None:
    member = make.make_host(language=language)
    household = make.make_household(member, make.make_member())
    child = make.make_child(household)
    circle = make.make_circle(host=member, join="request")
    pages = ["/me/household/leave/", f"/me/household/children/{child.public_id}/remove/"]
    pages += [f"/circles/{circle.public_id}/", f"/circles/{circle.public_id}/leave/"]
    client = signed_in(member)
    assert [client.get(page).status_code for page in pages] == [200] * 4


@pytest.mark.parametrize("language", ["en", "nl", "de", "fr"])
def test_the_first_screens_and_the_way_in_render_in_every_language(language: str) -> None:
    newcomer = make.make_newcomer(language=language, display_name="Ana")
    client = signed_in(newcomer)
    assert [client.get(f"/welcome/{step}/").status_code for step in (1, 2, 3, 4)] == [200] * 4
    stranger = Client(HTTP_ACCEPT_LANGUAGE=language)
    for page in ("/accounts/signup/", "/accounts/login/", "/circles/"):
        assert f'lang="{language}"' in stranger.get(page).content.decode()


@pytest.mark.parametrize(
    "page", ["/me/", "/me/profile/", "/me/household/", "/me/household/leave/", "/circles/new/", "/welcome/1/"]
)
def test_what_is_personal_leads_strangers_to_sign_in(page: str) -> None:
    answer = Client().get(page)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=")
