"""Roles: who grants and withdraws them, what ends with them, and that a centre is never without a manager."""

import threading
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection

from community import audit, roles, sign_ins
from community.models import Centre, Role
from realtime.models import Entry, Mail
from tests import factories as make

STAFF, MANAGER = Role.Kind.STAFF, Role.Kind.MANAGER


@pytest.mark.django_db
def test_a_manager_makes_a_member_staff_who_hears_of_it_and_signs_in_anew():
    centre = make.make_centre()
    manager, member = make.make_manager(centre), make.make_member(email="ana@example.org", language="de")
    browser = make.make_client(member)
    roles.grant(manager, centre.pk, " Ana@example.org", STAFF)
    assert Role.objects.get(member=member).kind == STAFF
    assert browser.get("/me/").status_code == 302
    assert Entry.objects.filter(kind=Entry.Kind.SIGN_OUT, author=member).exists()
    mail = Mail.objects.get(to="ana@example.org")
    assert (mail.kind, mail.language) == ("role_granted", "de")
    granted = audit.about(member).filter(action="role_granted").get()
    assert (granted.actor, granted.centre, granted.target) == (manager, centre, "staff")


@pytest.mark.django_db
def test_a_key_made_before_a_role_opens_nothing_with_it():
    centre = make.make_centre()
    member = make.make_member()
    key = sign_ins.issue_token(member, "old")
    roles.grant(make.make_manager(centre), centre.pk, member.email, STAFF)
    assert sign_ins.member_for_token(key) is None


@pytest.mark.django_db
def test_the_same_grant_again_changes_nothing():
    centre = make.make_centre()
    manager, member = make.make_manager(centre), make.make_member()
    for _again in range(2):
        roles.grant(manager, centre.pk, member.email, STAFF)
    assert Mail.objects.filter(member=member).count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["staff", "other", "member"])
def test_nobody_but_a_manager_of_the_centre_grants(who: str):
    centre = make.make_centre()
    actor = {"staff": make.make_staff(centre), "other": make.make_manager(), "member": make.make_member()}[
        who
    ]
    refusal = PermissionDenied if who == "staff" else Centre.DoesNotExist
    with pytest.raises(refusal):
        roles.grant(actor, centre.pk, make.make_member().email, MANAGER)
    with pytest.raises(refusal):
        roles.withdraw(actor, centre.pk, make.make_staff(centre).pk)


@pytest.mark.django_db
def test_an_unknown_address_is_refused_with_what_to_do():
    centre = make.make_centre()
    with pytest.raises(ValidationError, match="They join first"):
        roles.grant(make.make_manager(centre), centre.pk, "nobody@example.org", STAFF)


@pytest.mark.django_db
def test_a_role_withdrawn_opens_nothing_any_more():
    centre = make.make_centre()
    manager, staff = make.make_manager(centre), make.make_staff(centre)
    browser = make.make_client(staff)
    roles.withdraw(manager, centre.pk, staff.pk)
    roles.withdraw(manager, centre.pk, staff.pk)
    assert not Role.objects.filter(member=staff).exists()
    assert browser.get("/me/").status_code == 302
    assert Mail.objects.filter(to=staff.email, kind="role_withdrawn").count() == 1


@pytest.mark.django_db
def test_the_last_manager_stays():
    centre = make.make_centre()
    manager = make.make_manager(centre)
    with pytest.raises(ValidationError, match="needs a manager"):
        roles.withdraw(manager, centre.pk, manager.pk)
    with pytest.raises(ValidationError, match="needs a manager"):
        roles.grant(manager, centre.pk, manager.email, STAFF)
    second = make.make_manager(centre)
    roles.withdraw(second, centre.pk, manager.pk)
    assert Role.objects.get(centre=centre, kind=MANAGER).member == second


def both_at_once(*works: Any) -> list[str]:
    """Each in a thread of its own; the codes of what was refused."""
    ready, refused = threading.Barrier(len(works)), list[str]()

    def run(work: Any) -> None:
        ready.wait()
        try:
            work()
        except (ValidationError, PermissionDenied, Centre.DoesNotExist) as no:
            refused.append(getattr(no, "code", "") or type(no).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


def two_managers() -> tuple[Any, Any, Any]:
    centre = make.make_centre()
    return centre, make.make_manager(centre), make.make_manager(centre)


@pytest.mark.django_db(transaction=True)
def test_two_managers_who_remove_each_other_at_once_leave_one():
    for _round in range(5):
        centre, one, two = two_managers()
        refused = both_at_once(
            lambda c=centre, a=one, b=two: roles.withdraw(a, c.pk, b.pk),
            lambda c=centre, a=one, b=two: roles.withdraw(b, c.pk, a.pk),
        )
        assert Role.objects.filter(centre=centre, kind=MANAGER).count() == 1
        assert len(refused) == 1


@pytest.mark.django_db
def test_staff_trust_a_member_to_host_and_take_it_back():
    centre = make.make_centre()
    staff, member = make.make_staff(centre), make.make_member(centre=centre)
    for _again in range(2):
        roles.set_host(staff, centre, member, is_host=True)
    member.refresh_from_db()
    assert member.is_host
    assert Mail.objects.filter(to=member.email, kind="host_granted").count() == 1
    roles.set_host(staff, centre, member, is_host=False)
    member.refresh_from_db()
    assert not member.is_host
    actions = audit.about(member).values_list("action", "target")
    assert list(actions) == [("role_withdrawn", "host"), ("role_granted", "host")]


@pytest.mark.django_db
def test_staff_of_another_centre_trust_nobody_here():
    with pytest.raises(PermissionDenied):
        roles.set_host(make.make_staff(), make.make_centre(), make.make_member(), is_host=True)
