"""Roles: what each task lets its holder do, who grants it, and granting and withdrawing it.

`TABLE` is the one place where this is said: a page shows it, and the test of access walks it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from community import audit, sign_ins
from community.models import Centre, Member, Role
from realtime import notify

STAFF, MANAGER = Role.Kind.STAFF, Role.Kind.MANAGER


@dataclass(frozen=True)
class Task:
    """A role: its name, who grants and withdraws it, and what it allows beyond what every member may do."""

    key: str
    name: str | Promise
    granted_by: tuple[str, ...]
    allows: tuple[str | Promise, ...]


TABLE = (
    Task(
        "host",
        gettext_lazy("Host"),
        ("staff", "manager"),
        (
            gettext_lazy("Create events, meetups and circles."),
            gettext_lazy("See who comes to their own events, write their guest list, open their door."),
            gettext_lazy("Name who hosts with them, and helpers for their own door."),
        ),
    ),
    Task(
        "door",
        gettext_lazy("Door"),
        ("host", "staff", "manager"),
        (gettext_lazy("Scan tickets at one event, and see who of it is in."),),
    ),
    Task(
        "staff",
        gettext_lazy("Staff of a centre"),
        ("manager",),
        (
            gettext_lazy("Everything a host may, for every event of the centre and those it shares."),
            gettext_lazy("See the centre's own members and those who register for its events."),
            gettext_lazy("Make a member a host; resend a ticket; hide a message."),
        ),
    ),
    Task(
        "manager",
        gettext_lazy("Manager of a centre"),
        ("manager", "operator"),
        (
            gettext_lazy("Everything staff may."),
            gettext_lazy("Grant and withdraw the roles of the centre."),
            gettext_lazy("Correct a member's address; take the list of people along."),
        ),
    ),
    Task(
        "operator",
        gettext_lazy("Operator"),
        ("operator",),
        (gettext_lazy("Runs the server, from its command line; has no page of their own here."),),
    ),
)


def at_desk(member: Member, centre_id: int | None = None) -> list[Role]:
    """The member's roles, or the one at that centre, with their centres: what the desk opens. One query."""
    roles = Role.objects.filter(member=member).select_related("centre__place").order_by("centre__slug")
    return list(roles if centre_id is None else roles.filter(centre=centre_id))


def managed_alone(member: Member) -> list[Centre]:
    """The centres that have no manager but this member. One query."""
    others = Role.objects.filter(centre=OuterRef("centre"), kind=MANAGER).exclude(member=member)
    mine = Role.objects.filter(~Exists(others), member=member, kind=MANAGER).select_related("centre")
    return [role.centre for role in mine.order_by("centre__slug")]


def managed_by(member: Member, centre_id: int) -> Centre:
    """The centre, for one of its managers. Raises Centre.DoesNotExist for who has no task there, PermissionDenied."""
    role = next(iter(at_desk(member, centre_id)), None)
    if role is None:
        raise Centre.DoesNotExist
    if role.kind != MANAGER:
        raise PermissionDenied(_("Only a manager of the centre can do this."))
    return role.centre


@transaction.atomic
def grant(manager: Member, centre_id: int, email: str, kind: Role.Kind) -> Role:
    """Make the member with this address staff or manager of the centre; both hear of it by mail.

    The same again changes nothing. Their sessions end: they come back through a second lock. Raises
    Centre.DoesNotExist, PermissionDenied, ValidationError on `email` (unknown), and last_manager.
    """
    _hold(centre_id)
    centre = managed_by(manager, centre_id)
    member = Member.objects.filter(email__iexact=email.strip(), is_active=True).first()
    if member is None:
        text = _("No member has this address. They join first, then you give them the role.")
        raise ValidationError({"email": text}, code="unknown")
    role = Role.objects.filter(member=member, centre=centre).first()
    if role is not None and role.kind == kind:
        return role
    if role is not None and role.kind == MANAGER:
        _keep_a_manager(centre, role)
    return give(member, centre, kind, by=manager)


@transaction.atomic
def give(member: Member, centre: Centre, kind: Role.Kind, by: Member | None) -> Role:
    """Write the role down, tell the member, end their sessions and their programs' keys: those were made by somebody who
    could open less. `by` None: an operator, on the command line.
    """
    role, _created = Role.objects.update_or_create(
        member=member, centre=centre, defaults={"kind": kind, "granted_by": by}
    )
    record = audit.Action.ROLE_GRANTED
    audit.record(record, actor=by, subject=member, centre=centre, target=kind)
    sign_ins.revoke_tokens(member, by=by)
    sign_ins.end_all(member, "role granted", by)
    _tell("role_granted", member, centre, kind)
    return role


@transaction.atomic
def withdraw(manager: Member, centre_id: int, member_id: int) -> None:
    """Take the role at the centre away; the member hears of it, and their sessions end. Again: nothing happens.

    Raises Centre.DoesNotExist, PermissionDenied, ValidationError: the last manager stays (last_manager).
    """
    _hold(centre_id)
    centre = managed_by(manager, centre_id)
    role = Role.objects.select_related("member").filter(centre=centre, member=member_id).first()
    if role is None:
        return
    _keep_a_manager(centre, role)
    kind, member = role.kind, role.member
    role.delete()
    audit.record(audit.Action.ROLE_WITHDRAWN, actor=manager, subject=member, centre=centre, target=kind)
    sign_ins.end_all(member, "role withdrawn", manager)
    _tell("role_withdrawn", member, centre, Role.Kind(kind))


@transaction.atomic
def set_host(staff: Member, centre: Centre, member: Member, *, is_host: bool) -> None:
    """Trust a member to host, or no longer; what they host already stays theirs. The same again changes nothing.

    `member` is one whom `staff` may see at `centre`: the caller fetched them so. Raises PermissionDenied without a
    role there.
    """
    if not at_desk(staff, centre.pk):
        raise PermissionDenied(_("Only staff of the centre can do this."))
    if not Member.objects.filter(pk=member.pk, is_host=not is_host).update(is_host=is_host):
        return
    action = audit.Action.ROLE_GRANTED if is_host else audit.Action.ROLE_WITHDRAWN
    audit.record(action, actor=staff, subject=member, centre=centre, target="host")
    if is_host:
        _tell("host_granted", member, centre, None)


def _hold(centre_id: int) -> None:
    """Whoever changes the roles of a centre waits here, before anybody asks who may: two managers cannot remove each
    other at once, and one who was removed meanwhile grants nothing.
    """
    list(Centre.objects.select_for_update().filter(pk=centre_id).values_list("pk"))


def _keep_a_manager(centre: Centre, role: Role) -> None:
    others = Role.objects.filter(centre=centre, kind=MANAGER).exclude(pk=role.pk)
    if role.kind == MANAGER and not others.exists():
        text = _("A centre needs a manager. Make somebody else manager first.")
        raise ValidationError(text, code="last_manager")


def _tell(mail: str, member: Member, centre: Centre, kind: Role.Kind | None) -> None:
    newest = audit.about(member).first()
    notify.mail(
        mail,
        to=member.email,
        language=member.language,
        claim=f"{mail}:{centre.slug}:{member.public_id}:{newest.pk if newest else 0}",
        context={
            "centre": centre,
            "is_manager": kind == MANAGER,
            "url": f"{settings.PUBLIC_URL}/desk/" if kind else f"{settings.PUBLIC_URL}/events/new/",
            "tasks": next(task for task in TABLE if task.key == (kind or "host")).allows,
        },
        member=member,
    )
