"""manage.py api_token and manager."""

import io
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from community.members import is_host, staffs
from community.models import Centre, Consent, Member, Role
from community.sign_ins import member_for_token
from config.management.commands import api_token
from events.models import DoorHelper
from realtime import clock
from tests.factories import make_centre, make_event, make_member

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.small_site")]


def run(*args: str) -> list[str]:
    """The lines the command prints."""
    out = io.StringIO()
    call_command("api_token", *args, stdout=out)
    return out.getvalue().splitlines()


def test_it_prints_one_token_that_works_and_nothing_else():
    member = make_member(email="anna@example.org")
    (token,) = run("Anna@Example.org")
    assert member_for_token(token) == member
    assert (
        Client(headers={"Authorization": f"Bearer {token}"}).get("/api/v1/rooms/").json()["me"]
        == member.email
    )
    assert run("anna@example.org") != [token]


def test_without_create_nobody_is_made():
    with pytest.raises(CommandError, match="--create"):
        run("nobody@example.org")
    assert not Member.objects.exists()


def test_create_makes_a_verified_adult_onboarded_member_of_the_first_centre():
    make_centre(slug="b")
    centre = make_centre(slug="a")
    (token,) = run("Zoe.van_dam@example.org", "--create")
    member = member_for_token(token)
    assert member is not None
    assert (member.email, member.display_name) == ("zoe.van_dam@example.org", "Zoe Van Dam")
    assert member.onboarded_at is not None and not member.has_usable_password()
    assert member.profile.centre == centre and member.profile.lives == centre.place
    assert EmailAddress.objects.filter(user=member, email=member.email, verified=True, primary=True).exists()
    assert set(Consent.objects.filter(member=member).values_list("document", flat=True)) == {
        "adult",
        "terms",
        "privacy",
    }


def test_create_again_makes_nobody_anew():
    run("a@example.org", "--create")
    assert len(run("A@EXAMPLE.org", "--create")) == 1
    assert Member.objects.count() == 1


def test_without_any_centre_a_member_is_still_made():
    (token,) = run("a@example.org", "--create")
    member = member_for_token(token)
    assert member is not None and member.profile.centre is None
    with pytest.raises(CommandError, match="no centre"):
        run("a@example.org", "--role", "staff")


@pytest.mark.parametrize("email", ["anna", "@", "a b@example.org", "a@example.org\0"])
def test_what_is_no_address_is_refused(email: str):
    with pytest.raises(CommandError, match="no e-mail address"):
        run(email, "--create")
    assert not Member.objects.exists()


def test_roles():
    first, second = make_centre(slug="a"), make_centre(slug="b")
    event = make_event(centre=second)
    make_event(centre=second, starts_at=clock.now() - timedelta(days=9))  # over: nobody stands at its door
    make_event(centre=first)
    who = {
        role: member_for_token(run(f"{role}@example.org", "--create", "--role", role, "--centre", "b")[0])
        for role in api_token.ROLES
    }
    found = {role: member for role, member in who.items() if member is not None}
    assert set(found) == set(who)
    assert {role for role, member in found.items() if is_host(member)} == {"host", "staff", "manager"}
    assert {role for role, member in found.items() if staffs(member, second.pk)} == {"staff", "manager"}
    assert not any(staffs(member, first.pk) for member in found.values())
    assert [(helper.member, helper.event) for helper in DoorHelper.objects.all()] == [(found["door"], event)]
    assert all(member.profile.centre == second for member in found.values())
    run("staff@example.org", "--role", "manager", "--centre", "b")
    assert Role.objects.get(member=found["staff"]).kind == Role.Kind.MANAGER


def test_an_unknown_centre_is_named_with_the_known_ones():
    make_centre(slug="hasselt")
    with pytest.raises(CommandError, match="no centre x. Centres: hasselt"):
        run("a@example.org", "--create", "--centre", "x")


def test_a_dash_reads_addresses_and_prints_tokens_in_order(monkeypatch: pytest.MonkeyPatch):
    known = make_member(email="m3@example.org")
    emails = [f"m{n}@example.org" for n in range(1200)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*emails, "", "M3@example.org "]) + "\n"))
    tokens = run("-", "--create")
    assert len(set(tokens)) == 1201
    for place in (0, 3, 499, 500, 1199):
        member = member_for_token(tokens[place])
        assert member is not None and member.email == emails[place]
    assert member_for_token(tokens[1200]) == known
    assert Member.objects.count() == 1200


def test_many_cost_few_queries(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"m{n}@example.org\n" for n in range(100))))
    with django_assert_max_num_queries(130):  # a handful, and one a member for what they agreed to
        assert len(run("-", "--create")) == 100


def test_a_batch_with_a_bad_line_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a@example.org\nnonsense\n"))
    with pytest.raises(CommandError, match="nonsense"):
        run("-", "--create")
    assert not Member.objects.exists()


def name_manager(*args: str) -> None:
    out: Any = io.StringIO()
    call_command("manager", *args, stdout=out)


def test_the_first_manager_is_named_on_the_command_line():
    centre, member = make_centre(slug="hasselt"), make_member(email="anna@example.org")
    for _again in range(2):
        name_manager("Anna@example.org", "--centre", "hasselt")
    assert Role.objects.get().kind == Role.Kind.MANAGER
    assert staffs(member, centre.pk)


def test_only_a_member_and_only_of_a_centre():
    make_centre(slug="hasselt")
    with pytest.raises(CommandError, match="no member"):
        name_manager("nobody@example.org", "--centre", "hasselt")
    with pytest.raises(CommandError, match="no centre"):
        name_manager(make_member().email, "--centre", "x")


def test_a_centre_is_made_in_a_town_by_any_of_its_names(capsys):
    for name in ("Centre d’Aix", "Expat Centre Aachen"):
        call_command(
            "centre", "aachen", name=name, town="Aken", country="DE", email="a@example.org", languages="de,en"
        )

    centre = Centre.objects.get(slug="aachen")
    assert (centre.name, centre.place.name, centre.languages) == (
        "Expat Centre Aachen",
        "Aachen",
        ["de", "en"],
    )
    with pytest.raises(CommandError, match="No town of NL is known as Aachenberg"):
        call_command("centre", "x", name="X", town="Aachenberg", country="NL", email="a@example.org")
