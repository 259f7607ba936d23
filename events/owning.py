"""Whose an event is: the centre it belongs to, and who may say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _

from community import members
from community.models import Centre, Member, Profile, Role
from events.models import Event, Series


def must_own(member: Member, row: Event | Series, changes: Mapping[str, Any]) -> None:
    """Whose it is and which centres run it too is said by its host and the staff of its own centre: not by whom these let
    run it with them. Nothing to check where neither changes. At most two queries. Raises PermissionDenied.
    """
    centre, partners = changes.get("centre"), changes.get("partner_centres")
    if centre is None or centre.pk == row.centre_id:
        if partners is None:
            return
        present = set(row.partner_centres.values_list("pk", flat=True))
        if {one.pk for one in partners} - {row.centre_id} == present:
            return
    if row.host_id != member.pk and not Role.objects.filter(member=member, centre=row.centre_id).exists():
        raise PermissionDenied(_("Only its host and its own centre say to which centres an event belongs."))


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
