"""The security log: a row for whom it concerns, and a line of JSON for whoever runs the site.

Rows stand in the transaction of what they tell of and are kept for 90 days. Lines go to the logger `security`
after the commit: UTC, control characters escaped, ids instead of names, never a text or an address.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.db.models import Q, QuerySet

from community.models import Centre, Member, SecurityRecord
from realtime import clock

KEPT_FOR = timedelta(days=90)
LOOKED_AGAIN_AFTER = timedelta(hours=1)  # who reloads a page has looked once
Action = SecurityRecord.Action
log = logging.getLogger("security")


def record(
    action: SecurityRecord.Action,
    *,
    actor: Member | None,
    subject: Member | None = None,
    centre: Centre | None = None,
    target: str = "",
) -> None:
    """Write down that `actor` (None: the command line, or nobody we know) did `action`, to `subject` when it is
    somebody else. `target` is a kind or an id, never words of a person. One query.
    """
    row = SecurityRecord.objects.create(
        action=action, actor=actor, subject=subject or actor, centre=centre, target=target[:60]
    )
    transaction.on_commit(partial(_line, row), robust=True)


def consented(members: Sequence[Member], target: str) -> None:
    """Each of them agreed to `target`, a document and its version. One query for any number."""
    rows = [SecurityRecord(action=Action.CONSENTED, actor=m, subject=m, target=target[:60]) for m in members]
    SecurityRecord.objects.bulk_create(rows)
    for row in rows:
        transaction.on_commit(partial(_line, row), robust=True)


def looked(actor: Member, subject: Member, target: str, centre: Centre | None = None) -> None:
    """Staff opened what only staff may see of `subject`: once an hour for each page. At most two queries."""
    if actor.pk == subject.pk:
        return
    lately = SecurityRecord.objects.filter(
        action=Action.LOOKED,
        actor=actor,
        subject=subject,
        target=target[:60],
        at__gt=clock.now() - LOOKED_AGAIN_AFTER,
    )
    if not lately.exists():
        record(Action.LOOKED, actor=actor, subject=subject, centre=centre, target=target)


def refused(what: str, member_id: str, route: str, status: int) -> None:
    """A line for somebody turned away at `route` (its name, never a path that could hold a key). No query."""
    log.info(what, extra={"actor": member_id, "route": route, "status": status})


def about(member: Member) -> QuerySet[SecurityRecord]:
    """What is on record of the member, the newest first: what they did, and what others did with them."""
    mine = SecurityRecord.objects.filter(Q(subject=member) | Q(actor=member))
    return mine.select_related("actor", "subject", "centre").order_by("-at", "-pk")


def at(centre: Centre) -> QuerySet[SecurityRecord]:
    """What is on record of the centre's desk, the newest first."""
    rows = SecurityRecord.objects.filter(centre=centre).select_related("actor", "subject", "centre")
    return rows.order_by("-at", "-pk")


def forget_old() -> int:
    """The sweep: records older than 90 days go. Returns how many. One query."""
    return SecurityRecord.objects.filter(at__lt=clock.now() - KEPT_FOR).delete()[0]


def _line(row: SecurityRecord) -> None:
    actor, subject = row.actor, row.subject
    facts = {
        "actor": actor.public_id if actor else "",
        "subject": subject.public_id if subject else "",
        "centre": row.centre.slug if row.centre else "",
        "target": row.target,
    }
    log.info(row.action, extra=facts)
