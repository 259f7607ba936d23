"""What was taken back since a backup was made, so that a restore does not give it again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress

from community.models import Centre, Member, Role
from events.models import (
    CalendarFeed,
    CoHost,
    DoorHelper,
    Event,
    Inquiry,
    Invitation,
    InvitationStop,
    Series,
)
from realtime.models import MailedKey

PARTNERS: dict[bool, Any] = {False: Event.partner_centres.through, True: Series.partner_centres.through}
INVITED = ("mail_at", "mailed_at", "again_at", "declined_at", "withdrawn_at")


@dataclass(frozen=True)
class Rights:
    """Who may what at this moment, by the numbers that a backup knows people and things by."""

    roles: dict[tuple[int, int], str]  # (member, centre): kind
    hosts: frozenset[int]
    helpers: frozenset[tuple[int, int]]  # (event, member)
    cohosts: frozenset[tuple[int | None, ...]]  # (event, series, member)
    partners: frozenset[tuple[bool, int, int]]  # (is a series, event or series, centre)
    addresses: dict[int, str]
    feeds: dict[int, int]  # member: version of the feed's address
    used_keys: dict[str, datetime | None]  # of mails, by digest
    invitations: dict[int, dict[str, datetime | None]]  # what became of each, by its number
    inquiries: dict[int, bool]  # which are still there, and stand on the event's page
    stops: tuple[tuple[int, int | None, str], ...]  # who is not to be invited: (centre, member, address)


def rights() -> Rights:
    """As they are now. Twelve queries."""
    roles = Role.objects.values_list("member", "centre", "kind")
    return Rights(
        {(member, centre): kind for member, centre, kind in roles},
        frozenset(Member.objects.filter(is_host=True).values_list("pk", flat=True)),
        frozenset(DoorHelper.objects.values_list("event", "member")),
        frozenset(CoHost.objects.values_list("event", "series", "member")),
        frozenset((is_series, row, centre) for is_series, _pk, row, centre in _partners()),
        dict(Member.objects.values_list("pk", "email")),
        dict(CalendarFeed.objects.values_list("member", "version")),
        dict(MailedKey.objects.exclude(used_at=None).values_list("digest", "used_at")),
        {row.pop("pk"): row for row in Invitation.objects.values("pk", *INVITED)},
        dict(Inquiry.objects.values_list("pk", "is_public")),
        tuple(InvitationStop.objects.values_list("centre", "member", "email")),
    )


def _partners() -> list[tuple[bool, int, int, int]]:
    """Which centres run what belongs to another: (is a series, id of the row, event or series, centre). Two queries."""
    return [
        (is_series, *row)
        for is_series, table in PARTNERS.items()
        for row in table.objects.values_list("pk", "series" if is_series else "event", "centre")
    ]


def keep(then: Rights) -> None:
    """Take back again, from what a backup has brought, whatever `then` no longer had. What the backup lacks stays lacking."""
    for role in Role.objects.all():
        kind = then.roles.get((role.member_id, role.centre_id))
        if kind is None:
            role.delete()
        else:
            Role.objects.filter(pk=role.pk).update(kind=kind)
    Member.objects.filter(is_host=True).exclude(pk__in=then.hosts).update(is_host=False)
    for pk, *place in DoorHelper.objects.values_list("pk", "event", "member"):
        if tuple(place) not in then.helpers:
            DoorHelper.objects.filter(pk=pk).delete()
    for pk, *place in CoHost.objects.values_list("pk", "event", "series", "member"):
        if tuple(place) not in then.cohosts:
            CoHost.objects.filter(pk=pk).delete()
    for is_series, pk, row, centre in _partners():
        if (is_series, row, centre) not in then.partners:
            PARTNERS[is_series].objects.filter(pk=pk).delete()
    for member_id, version in then.feeds.items():
        if Member.objects.filter(pk=member_id).exists():
            CalendarFeed.objects.update_or_create(member_id=member_id, defaults={"version": version})
    for digest, used_at in then.used_keys.items():
        MailedKey.objects.filter(digest=digest).update(used_at=used_at)
    _keep_answers(then)
    for member in Member.objects.all():
        email = then.addresses.get(member.pk, member.email)
        if email != member.email:
            Member.objects.filter(pk=member.pk).update(email=email)
            EmailAddress.objects.filter(user=member).delete()
            EmailAddress.objects.create(user=member, email=email, verified=True, primary=True)


def _keep_answers(then: Rights) -> None:
    """No mail goes out twice, no no is forgotten, neither to one event nor to a centre; what was asked and taken back stays so."""
    for pk in list(Invitation.objects.values_list("pk", flat=True)):
        said = then.invitations.get(pk)
        row = Invitation.objects.filter(pk=pk)
        row.delete() if said is None else row.update(**said)
    for inquiry in Inquiry.objects.only("pk"):
        if inquiry.pk not in then.inquiries:
            inquiry.delete()
        elif not then.inquiries[inquiry.pk]:
            Inquiry.objects.filter(pk=inquiry.pk).update(is_public=False)
    centres = set(Centre.objects.values_list("pk", flat=True))
    members = set(Member.objects.values_list("pk", flat=True))
    InvitationStop.objects.all().delete()
    for centre, member, email in then.stops:
        if centre in centres and member in {None, *members}:
            InvitationStop.objects.create(centre_id=centre, member_id=member, email=email)
