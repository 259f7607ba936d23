"""Whose an event is: the centre it belongs to, the centres that run it too, and who may say so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from community import members
from community.models import Centre, Member, Profile, Role
from events.models import Event, Series
from realtime import notify


def owns(member: Member, row: Event | Series) -> bool:
    """The member is its host, or of the staff of its own centre. At most one query."""
    return row.host_id == member.pk or Role.objects.filter(member=member, centre=row.centre_id).exists()


def centres_of(member: Member) -> set[int]:
    """The centres that the member is staff of, by id. One query."""
    return set(Role.objects.filter(member=member).values_list("centre", flat=True))


def must_own(member: Member, row: Event | Series, changes: Mapping[str, Any]) -> None:
    """Whose it is and which centres run it too is said by its host and the staff of its own centre, not by whom these let
    run it with them; but these may take their own centre out. Nothing to check where neither changes.

    At most three queries. Raises PermissionDenied.
    """
    centre, partners = changes.get("centre"), changes.get("partner_centres")
    if partners is not None:
        present = set(row.partner_centres.values_list("pk", flat=True))
        wanted = {one.pk for one in partners} - {row.centre_id}
        if wanted <= present:
            theirs = Role.objects.filter(member=member, centre__in=present - wanted).values_list(
                "centre", flat=True
            )
            partners = None if present - wanted <= set(theirs) else partners
    if (centre is None or centre.pk == row.centre_id) and partners is None:
        return
    if not owns(member, row):
        raise PermissionDenied(_("Only its host and its own centre say to which centres an event belongs."))


def tell_partners(member: Member, row: Event | Series, event: Event, centres: Collection[Centre]) -> None:
    """Who staffs a centre that runs this event, or this series, from now on hears of it, each once. `event`: the one to look
    at. One query, one more for each of them; none without centres.
    """
    if not centres:
        return
    staff = Role.objects.filter(centre__in=centres, member__is_active=True).exclude(member=member)
    for role in staff.select_related("member", "centre").order_by("pk"):
        notify.put(
            "event_shared",
            to=role.member.email,
            language=role.member.language,
            claim=f"event_shared:{row.public_id}:{role.centre.public_id}:{role.member.public_id}",
            context={
                "event": event,
                "person": role.member,
                "namer": member,
                "centre": role.centre,
                "every_date": isinstance(row, Series),
                "event_url": f"{settings.PUBLIC_URL}{event.get_absolute_url()}",
                "hosts_url": f"{settings.PUBLIC_URL}{reverse('event_hosts', args=[event.pk])}",
            },
            member=role.member,
        )


def centre_for(host: Member, wanted: Centre | None) -> Centre:
    """The centre that will own what `host` makes: `wanted` if it is theirs, else their home or the one they staff.

    Raises PermissionDenied for who is no host, ValidationError when there is no such centre. Three queries.
    """
    if not members.is_host(host):
        raise PermissionDenied(
            _("Only hosts and centre staff can publish events. Ask your centre to become one.")
        )
    mine = Centre.objects.filter(
        Q(pk__in=Profile.objects.filter(member=host).values("centre"))
        | Q(pk__in=Role.objects.filter(member=host).values("centre"))
    )
    if wanted is not None:
        if not mine.filter(pk=wanted.pk).exists():
            raise ValidationError({"centre": _("You can only publish for your own centre.")})
        return wanted
    home = mine.filter(pk__in=Profile.objects.filter(member=host).values("centre")).first() or mine.first()
    if home is None:
        raise ValidationError({"centre": _("Choose your centre in your profile first.")})
    return home
