"""Being forgotten: asked for, fourteen days to change one's mind, then truly gone.

Whoever goes takes along what is theirs alone. What others need stays without a name: the order of a room's talk,
how many came to an event. Upper floors add what they keep as a `Source` in `AppConfig.ready()`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from community import audit, circles, households, roles, sign_ins
from community.models import ApiToken, Erasure, Member, SecurityRecord
from realtime import bell, chat, clock, direct, notify, reports, rooms
from realtime.models import Mail, Participant

GRACE = timedelta(days=14)
REMIND_BEFORE = timedelta(days=2)
NUMBER_KEPT = timedelta(days=365)  # longer than any backup
UNUSED_KEPT = timedelta(days=3 * 365)
UNUSED_WARNED = timedelta(days=2 * 365)
GONE = "erased"
# On a query of members: when each will be forgotten, if they asked for it and have not taken it back.
DUE = Subquery(Erasure.objects.filter(member_id=OuterRef("pk"), done_at=None).values("due_at")[:1])


NO_MANAGER = gettext_lazy("It has no manager then. Make somebody else manager first.")


@dataclass(frozen=True)
class Duty:
    """Something that others count on, and what becomes of it when its member goes."""

    name: str
    url: str
    becomes: str | Promise


@dataclass(frozen=True)
class Source:
    """What a floor keeps of a member: how it is forgotten (safe to run twice), and what passes to others."""

    forget: Callable[[Member], None]
    duties: Callable[[Member], list[Duty]]


_sources: list[Source] = []


def add(source: Source) -> None:
    """Add what an upper floor keeps: it is forgotten before what lies below."""
    _sources.insert(0, source)


def erasure_of(member_id: int) -> Erasure | None:
    """What the member asked for and may still take back. One query."""
    return Erasure.objects.filter(member_id=member_id, done_at=None).first()


def duties_of(member: Member) -> list[Duty]:
    """What the member alone looks after now, and who would after them."""
    found = [duty for source in _sources for duty in source.duties(member)]
    found += [
        Duty(centre.name, f"/desk/{centre.slug}/roles/", NO_MANAGER) for centre in roles.managed_alone(member)
    ]
    return found + [
        Duty(circle.text("name"), f"/circles/{circle.public_id}/", circles.WHAT_BECOMES)
        for circle in circles.hosted_alone(member)
    ]


@transaction.atomic
def ask_erasure(member: Member) -> Erasure:
    """The member wants to be forgotten: in fourteen days, and a mail says when. Again: the same day stands."""
    Member.objects.select_for_update().only("pk").get(pk=member.pk)
    now = clock.now()
    erasure, is_new = Erasure.objects.get_or_create(
        member_id=member.pk, defaults={"asked_at": now, "due_at": now + GRACE}
    )
    if is_new:
        audit.record(audit.Action.ERASURE_ASKED, actor=member)
        _tell("erasure_asked", member, erasure)
    return erasure


@transaction.atomic
def withdraw_erasure(member: Member) -> None:
    """The member stays. Nothing was asked for: nothing happens. Raises ValidationError once the day has come (too_late):
    it may have begun, and half of somebody cannot stay.
    """
    if Erasure.objects.filter(member_id=member.pk, done_at=None, due_at__gt=clock.now()).delete()[0]:
        audit.record(audit.Action.ERASURE_WITHDRAWN, actor=member)
    elif Erasure.objects.filter(member_id=member.pk, done_at=None).exists():
        raise ValidationError(_("The fourteen days are over: your account is being erased."), code="too_late")


def remind_due() -> int:
    """The sweep: two days before, a mail says it once more. Returns how many."""
    now = clock.now()
    near = Erasure.objects.filter(done_at=None, reminded_at=None, due_at__lte=now + REMIND_BEFORE)
    told = 0
    for erasure in near:
        with transaction.atomic():
            if Erasure.objects.filter(pk=erasure.pk, reminded_at=None).update(reminded_at=now):
                member = Member.objects.filter(pk=erasure.member_id).first()
                told += member is not None and _tell("erasure_near", member, erasure)
    return told


def erase_due() -> int:
    """The sweep: forget whose day has come. Returns how many."""
    due = list(
        Erasure.objects.filter(done_at=None, due_at__lte=clock.now()).values_list("member_id", flat=True)
    )
    for (
        member_id
    ) in due:  # from the day on nobody can take it back, so nobody stays whom this list still names
        erase(member_id)
    return len(due)


def close_unused() -> int:
    """The sweep: who has not signed in for two years gets a mail; for three, and they are erased in fourteen days.

    Whose programs still come by is not counted as away. Returns how many were told.
    """
    now = clock.now()
    used = ApiToken.objects.filter(revoked_at=None).values("member")
    away = Member.objects.filter(is_active=True).exclude(pk__in=used)
    away = away.annotate(last=Coalesce("last_login", "date_joined")).filter(last__lt=now - UNUSED_WARNED)
    warned = Mail.objects.filter(kind="unused", created_at__gt=now - UNUSED_WARNED, member__isnull=False)
    told = 0
    for member in away.exclude(pk__in=warned.values("member")):
        told += notify.mail(
            "unused",
            to=member.email,
            language=member.language,
            claim=f"unused:{member.public_id}:{now:%Y%m%d}",
            context={"name": member.display_name, "url": f"{settings.PUBLIC_URL}/accounts/login/"},
            member=member,
        )
    asked = Erasure.objects.filter(done_at=None).values("member_id")
    for member in away.filter(last__lt=now - UNUSED_KEPT).exclude(pk__in=asked):
        ask_erasure(member)
        told += 1
    return told


def forget_numbers() -> int:
    """The sweep: a year after an erasure its number goes, too. Returns how many. One query."""
    return Erasure.objects.filter(done_at__lt=clock.now() - NUMBER_KEPT).delete()[0]


def erase(member_id: int) -> None:
    """Forget a member now: idempotent, to be run again after a fault, and after a backup was restored.

    In steps of their own, so that no room and no table is held for long: first the doors are shut, so that nothing
    new comes; then what floors keep is given up; last, in one transaction, the rest goes with the row of the member.
    """
    member = Member.objects.filter(pk=member_id).first()
    if member is not None:
        _shut(member)
        for source in _sources:
            source.forget(member)
        circles.forget(member)
        households.forget(member)
        for here in Participant.objects.filter(member=member, left_seq=None).select_related("room"):
            rooms.leave(here.room, member)
        reports.forget(member.pk)
        chat.forget(member.pk)
        _remove(member)
    now = clock.now()
    Erasure.objects.get_or_create(member_id=member_id, defaults={"asked_at": now, "due_at": now})
    Erasure.objects.filter(member_id=member_id, done_at=None).update(done_at=now)


def _shut(member: Member) -> None:
    """Nobody comes in as this member any more, and what is open closes."""
    Member.objects.filter(pk=member.pk).update(is_active=False)
    ApiToken.objects.filter(member=member).delete()
    sign_ins.forget_sessions(member)
    rooms.sign_out(member.pk, GONE)


@transaction.atomic
def _remove(member: Member) -> None:
    """The last step. Whoever still writes something of the member waits for this lock, and then finds nobody."""
    Member.objects.select_for_update().only("pk").get(pk=member.pk)
    direct.forget(member.pk)
    reports.forget(member.pk)
    chat.forget(member.pk)  # what was under way when the doors were shut
    addresses = {member.email.lower()}
    addresses |= {
        email.lower() for email in EmailAddress.objects.filter(user=member).values_list("email", flat=True)
    }
    notify.forget(member.pk, addresses, member.display_name)
    bell.forget([member.display_name, *addresses])
    SecurityRecord.objects.filter(Q(actor=member) | Q(subject=member)).update(target="")
    audit.record(audit.Action.ERASED, actor=None)
    member.delete()


def _tell(kind: str, member: Member, erasure: Erasure) -> bool:
    return notify.mail(
        kind,
        to=member.email,
        language=member.language,
        claim=f"{kind}:{member.public_id}:{erasure.asked_at:%Y%m%d%H%M%S}",
        context={
            "name": member.display_name,
            "due": erasure.due_at,
            "zone": member.time_zone,
            "url": f"{settings.PUBLIC_URL}/me/data/",
        },
        member=member,
    )
