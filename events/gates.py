"""Who stands at a door: pair a phone, name a helper, close a gate."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from community import audit
from community.models import ApiToken, Member, Role
from events.access import event_for, may_door, may_run
from events.models import Attendee, DoorHelper, Event, Gate, GatePairing
from realtime import clock, rooms
from realtime.prepared import TEXT, prepared

TOKEN_PREFIX = "ecg_"
PAIRING_LASTS = timedelta(minutes=2)
NAME_LENGTH = 60


def pair(member: Member, event_id: int) -> str:
    """A pairing code for the QR on the host's screen: used once, within two minutes. Only its digest is stored.

    Raises Event.DoesNotExist, PermissionDenied unless the member runs the event.
    """
    event = _run_by(member, event_id)
    secret = secrets.token_urlsafe(24)
    GatePairing.objects.filter(event=event, expires_at__lt=clock.now() - timedelta(days=1)).delete()
    GatePairing.objects.create(
        event=event, digest=ApiToken.digest_of(secret), made_by=member, expires_at=clock.now() + PAIRING_LASTS
    )
    return secret


def pairing_url(secret: str) -> str:
    """The address in the pairing QR; the secret stands behind # and reaches no log."""
    return f"{settings.PUBLIC_URL}/gate/#{secret}"


@transaction.atomic
def open_gate(pairing: str, name: str = "") -> tuple[Gate, str]:
    """Make the phone that shows `pairing` a gate: (gate, its token, shown this once).

    Raises ValidationError on `pairing`: unknown, used and too old look alike.
    """
    now = clock.now()
    paired = GatePairing.objects.filter(digest=ApiToken.digest_of(pairing), used_at=None, expires_at__gt=now)
    if not paired.update(used_at=now):
        raise ValidationError({"pairing": _("This pairing code was used or is too old. Ask for a new one.")})
    event_id = GatePairing.objects.values_list("event", flat=True).get(digest=ApiToken.digest_of(pairing))
    event = Event.objects.select_for_update().get(pk=event_id)
    number = Gate.objects.filter(event=event).exclude(digest=None).count() + 1
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    title = name.strip()[:NAME_LENGTH] or _("Gate %(number)d") % {"number": number}
    gate = Gate.objects.create(event=event, name=title, digest=ApiToken.digest_of(token), paired_at=now)
    return gate, token


def gate_for_token(token: str) -> Gate | None:
    """The open gate with that token; None for any other text. One query; its event, read when it is asked for, is another."""
    if not token.startswith(TOKEN_PREFIX):
        return None
    return next(iter(_open_gate(digest=ApiToken.digest_of(token))), None)


@prepared(digest=TEXT)
def _open_gate(*, digest: Any) -> QuerySet[Gate]:
    return Gate.objects.filter(digest=digest, closed_at=None)


def own_gate(member: Member, event_id: int, name: str) -> Gate:
    """The member's own page as a gate of that name, made at its first use. `supervises`: host or staff.

    Raises Event.DoesNotExist, PermissionDenied unless the member may stand at the door. One query, more the first time.
    """
    mine = Gate.objects.of(member).select_related("event").filter(event=event_id, name=name)
    gate = mine.first()
    if gate is None:
        event = event_for(member, event_id)
        if not may_door(member, event):
            raise PermissionDenied(_("The door is for the host and those who help there."))
        Gate.objects.get_or_create(event=event, member=member, name=name, digest=None)
        gate = mine.first()
    if gate is None:
        raise PermissionDenied(_("This gate was closed by the host. Scan under another name."))
    return gate


@transaction.atomic
def close_gate(member: Member, gate_id: int, distrust_from: datetime | None = None) -> None:
    """The gate's token opens nothing any more; with `distrust_from` its scans from then on count for nothing.

    A second time changes only `distrust_from`. Raises Gate.DoesNotExist unless the member runs its event.
    """
    gate = Gate.objects.select_related("event").get(pk=gate_id)
    if not may_run(member, gate.event):
        raise Gate.DoesNotExist
    Event.objects.select_for_update().only("pk").get(pk=gate.event_id)  # no scan is judged meanwhile
    Gate.objects.filter(pk=gate_id, closed_at=None).update(closed_at=clock.now())
    if distrust_from is not None:
        Gate.objects.filter(pk=gate_id).update(distrust_from=distrust_from)


def close_all(event_id: int | None = None) -> int:
    """The operator closes the door's phones of one event, or all: their tokens open nothing. How many. Two queries at most.

    Members' own pages are no phones; what was scanned stays true. Open pairing codes die too.
    """
    of = {} if event_id is None else {"event": event_id}
    GatePairing.objects.filter(used_at=None, **of).delete()
    return Gate.objects.filter(closed_at=None, **of).exclude(digest=None).update(closed_at=clock.now())


def person_for(member: Member, event: Event, who: str) -> Member:
    """Whom somebody who runs the event means: somebody who comes, by name, or by e-mail a member who comes or is of the
    event's centre; for its staff any member. So nobody finds out by asking who has an account.

    Two queries. Raises ValidationError on `who` when nobody or more than one fits.
    """
    wanted = who.strip()
    coming = Attendee.objects.filter(event=event, is_live=True).exclude(member=None).values("member")
    near = Q(pk__in=coming) | Q(profile__centre=event.centre_id)
    if Role.objects.filter(member=member, centre=event.centre_id).exists():
        near = Q()
    fits = Q(near, email__iexact=wanted) | Q(pk__in=coming, display_name__iexact=wanted)
    found = list(Member.objects.filter(fits, is_active=True).order_by("pk")[:2]) if wanted else []
    if len(found) != 1:
        raise ValidationError(
            {
                "who": _(
                    "We found nobody of this name or address who comes to this event or is of its centre, or more than one."
                )
            }
        )
    return found[0]


def name_helper(member: Member, event_id: int, who: str) -> DoorHelper:
    """Let somebody help at the door: whom `person_for` finds. Twice is once.

    Raises Event.DoesNotExist, PermissionDenied, ValidationError on `who` when nobody or more than one fits.
    """
    event = _run_by(member, event_id)
    person = person_for(member, event, who)
    try:
        with transaction.atomic():
            helper, is_new = DoorHelper.objects.get_or_create(
                event=event, member=person, defaults={"named_by": member}
            )
            if is_new:
                _note(audit.Action.ROLE_GRANTED, member, person, event)
            return helper
    except IntegrityError:  # named by somebody else at the same moment
        return DoorHelper.objects.get(event=event, member=person)


def _note(action: audit.Action, member: Member, helper: Member, event: Event) -> None:
    audit.record(action, actor=member, subject=helper, centre=event.centre, target=f"door {event.public_id}")


@transaction.atomic
def dismiss_helper(member: Member, event_id: int, helper_id: int) -> None:
    """The member no longer helps at this door, and what they have open hears nothing more of it. Twice is once.

    Raises Event.DoesNotExist, PermissionDenied.
    """
    event = _run_by(member, event_id)
    helper = DoorHelper.objects.select_related("member").filter(event=event, pk=helper_id).first()
    if helper is None:
        return
    helper.delete()
    rooms.sign_out(
        helper.member_id, "no longer at the door"
    )  # what is open hears no more; a page comes back by itself
    _note(audit.Action.ROLE_WITHDRAWN, member, helper.member, event)


def _run_by(member: Member, event_id: int) -> Event:
    event = event_for(member, event_id)
    if not may_run(member, event):
        raise PermissionDenied(_("Only the host and the centre's staff can do this."))
    return event
