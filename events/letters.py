"""Letters: who runs an event writes to everybody who comes, or to everybody who waits. Each gets one mail, once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from community.models import Member
from events import bells, calendars
from events.access import event_for, may_run
from events.models import Event, Registration
from events.models.registration import COMING
from events.telling import people_of, tell, whose
from realtime import bell, blocks, clock
from realtime.models import Mail

MAX_TEXT = 2000
A_DAY = 5  # letters of one event: more is no help to anybody
KIND = "event_letter"
State = Registration.State
TO = {"coming": COMING, "waiting": (State.WAITING, State.OFFERED)}


@transaction.atomic
def write(member: Member, event_id: int, to: str, text: str, key: UUID) -> int:
    """A letter to who comes (`coming`) or who waits (`waiting`); how many parties get it. The same key again: nobody more.
    Two who blocked each other write each other nothing.

    Raises Event.DoesNotExist, PermissionDenied, ValidationError: `text` or `to` is missing or too long, closed (a draft,
    or nobody is there), too_fast (`A_DAY` today).
    """
    event = event_for(member, event_id, lock=True)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event sees who comes."))
    words = text.strip()
    if not words:
        raise ValidationError({"text": _("Please write something first.")})
    if len(words) > MAX_TEXT:
        raise ValidationError(
            {"text": _("This can have %(limit)s characters at most.") % {"limit": MAX_TEXT}}
        )
    if to not in TO:
        raise ValidationError({"to": _("Choose to whom you write.")})
    rows = event.registrations.reachable().filter(state__in=TO[to])
    parties = list(rows.select_related("member").prefetch_related("attendees__member").order_by("pk"))
    if event.state == Event.State.DRAFT or not parties:
        raise ValidationError(_("There is nobody to write to."), code="closed")
    _must_not_be_many(event, key)
    apart = blocks.unheard_by([member.pk])[member.pk]
    n, again = 0, f":{event.public_id}:{key}"
    for party in parties:
        party.event = event
        readers = {
            whose(one) for one in people_of(party) if not (isinstance(one, Member) and one.pk in apart)
        }
        tell(
            party,
            KIND,
            calendar=calendars.no_invitation,
            again=again,
            only=readers,
            text=words,
            writer=member,
        )
        n += bool(readers)
    return n


def _must_not_be_many(event: Event, key: UUID) -> None:
    """Counted by mails and bells: who gets it by which is the reader's wish. Two queries."""
    a_day_ago = clock.now() - timedelta(days=1)
    mails = Mail.objects.filter(kind=KIND, created_at__gt=a_day_ago, claim__contains=f":{event.public_id}:")
    told = bell.about(bells.SUBJECT, event.pk, KIND).filter(created_at__gt=a_day_ago)
    claims = {*mails.values_list("claim", flat=True), *told.values_list("claim", flat=True)}
    if len({claim.rpartition(":")[2] for claim in claims} - {str(key)}) >= A_DAY:
        raise ValidationError(_("That was a lot of letters for one day."), code="too_fast")
