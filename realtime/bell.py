"""The bell: what reached a member outside the page it is about, counted at the head of every page.

A row is written in the transaction of what it tells of, claimed by the same words as its mail, and kept as what happened
and whom or what it is about: it is put into words when somebody reads it, in their language and as the thing is then.
After the commit the hubs are told whose bell rings; each asks once for all whose sockets it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, TextChoices
from django.db.models.functions import Coalesce
from django.template import Context
from django.template.loader import get_template
from django.utils.translation import gettext as _

from realtime import bus, clock, frames
from realtime.models import Notification

CHANNEL = "circles:bell"
KEPT_FOR = timedelta(days=60)
ROWS = 20  # of a page
AT_ONCE = 500

BELL, MAIL = "bell", "mail"
CHANNELS = [(BELL, "on every page"), (MAIL, "by mail, too")]
USUAL = (MAIL,)  # the channels beside the bell of who has not chosen


class Group(TextChoices):
    """What a member chooses the channels of."""

    REMINDERS = "reminders"
    CHANGES = "changes"
    LETTERS = "letters"
    TALK = "talk"


type Find = Callable[[Any, Collection[int]], Mapping[int, Any]]
_finders: dict[str, Find] = {}


def register(subject: str, find: Find) -> None:
    """A floor above finds what is told of: `find(member, ids)` gives those that the member may see, by id. One query."""
    _finders[subject] = find


def channels_of(kept: Mapping[str, Any], group: Group) -> list[str]:
    """By what this group reaches who keeps this choice, the bell first."""
    return [BELL, *kept.get(group, USUAL)]


def chosen(before: Mapping[str, Any], wish: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """What a member keeps of a wish, beside what was chosen before: the bell is always one, what is usual is not kept."""
    known = [channel for channel, _what in CHANNELS if channel != BELL]
    kept = {**before, **{group: [one for one in known if one in by] for group, by in wish.items()}}
    return {group: by for group, by in kept.items() if group in Group.values and by != list(USUAL)}


def is_mailed(member: Any, group: Group) -> bool:
    """Whether what the bell tells of this group comes by mail, too. No query."""
    return MAIL in channels_of(member.channels, group)


# ------------------------------------------------------------------------------------------------- ring


def note(member: Any, kind: str, claim: str, link: str, **more: Any) -> Notification:
    """A notification to be rung, in the words of templates/bell/<kind>.txt. No query.

    `claim` as of its mail; `link`: the path of the page it leads to. `more`: `subject` (what it is about: a registered name
    and an id), `about` (the member it speaks of), `said` (what only the moment knows), `held_until`.
    """
    name, pk = more.pop("subject", ("", 0))
    return Notification(
        member=member, kind=kind, claim=claim[:200], link=link, subject=name, subject_id=pk, **more
    )


def ring(notes: Iterable[Notification]) -> None:
    """Write these, each unless its claim is taken, and tell the hubs after the commit. One statement, none for none."""
    rows = list(notes)
    if not rows:
        return
    Notification.objects.bulk_create(rows, ignore_conflicts=True)
    _tell((row.member_id, _frame(row)) for row in rows if row.held_until is None)


def _frame(row: Notification) -> dict[str, str]:
    return {"kind": row.kind, "link": row.link, "at": row.created_at.isoformat()}


def _tell(words: Iterable[tuple[int, Mapping[str, str]]]) -> None:
    """Whose count has changed, and by what: each a line, once this transaction is committed. Losing it harms nothing."""
    lines = [f"{member_id} {frames.dumps(frame)}" for member_id, frame in words]
    if lines:
        transaction.on_commit(partial(bus.publish, {CHANNEL: "\n".join(lines)}), robust=True)


def _tell_fewer(member_ids: Iterable[int]) -> None:
    _tell((pk, {}) for pk in sorted(set(member_ids)))


@transaction.atomic
def let_out() -> int:
    """The sweep: what was held back until now is shown. Any number may run at once. How many."""
    due = Notification.objects.filter(held_until__lte=clock.now()).select_for_update().order_by("pk")
    rows = list(due[:AT_ONCE])
    for row in rows:
        row.held_until, row.created_at = None, clock.now()
    Notification.objects.bulk_update(rows, ["held_until", "created_at"])
    _tell((row.member_id, _frame(row)) for row in rows)
    return len(rows)


# ------------------------------------------------------------------------------------------------- count


def shown() -> QuerySet[Notification]:
    """What is there to be read, of everybody."""
    return Notification.objects.filter(held_until=None)


def unread_here() -> Coalesce:
    """On a query of members: how many each has not read. It comes with who is signed in, so the head costs nothing."""
    mine = shown().filter(member=OuterRef("pk"), read_at=None).order_by().values("member")
    return Coalesce(Subquery(mine.annotate(n=Count("pk")).values("n")), 0)


def counts(member_ids: Collection[int]) -> list[int]:
    """How many notifications each of these has not read, in their order. One query."""
    rows = shown().filter(member__in=member_ids, read_at=None).order_by().values_list("member")
    found = dict(rows.annotate(n=Count("pk")))
    return [found.get(pk, 0) for pk in member_ids]


def unread(member: Any) -> int:
    """How many the member has not read. No query for who is signed in on a page."""
    known = getattr(member, "unread_bell", None)
    return counts([member.pk])[0] if known is None else int(known)


# ------------------------------------------------------------------------------------------------- read


def of(member: Any) -> QuerySet[Notification]:
    """What the member was told, with whom it speaks of."""
    return shown().filter(member=member.pk).select_related("about")


@dataclass(frozen=True)
class Told:
    """A notification in words: what happened, on one line, more about it (when it is), and what somebody wrote with it."""

    row: Notification
    text: str
    more: str
    quote: str  # in whatever language
    thing: Any  # what it is about, as it is now; None where there is no such page of the member's


def page(member: Any, before: int | None = None) -> tuple[list[Told], bool]:
    """The newest of the member's, or those after the one called `before`, and whether others follow.

    Two queries, one more for each kind of thing they are about and one for `before`. One that is gone: the newest.
    """
    rows = of(member).order_by("-created_at", "-pk")
    last = rows.filter(pk=before).first() if before is not None else None
    if last is not None:
        older = Q(created_at=last.created_at, pk__lt=last.pk) | Q(created_at__lt=last.created_at)
        rows = rows.filter(older)
    found = list(rows[: ROWS + 1])
    return told(member, found[:ROWS]), len(found) > ROWS


def told(member: Any, rows: Collection[Notification]) -> list[Told]:
    """These in words, in the language that is active. One query for each kind of thing they are about."""
    things: dict[tuple[str, int], Any] = {}
    for name, find in _finders.items():
        if wanted := {row.subject_id for row in rows if row.subject == name}:
            things |= {(name, pk): thing for pk, thing in find(member, wanted).items()}
    return [_told(row, things.get((row.subject, row.subject_id))) for row in rows]


def _told(row: Notification, thing: Any) -> Told:
    if row.subject in _finders and thing is None:
        return Told(row, _("This is not here, or not yours to see."), "", "", None)
    said = {**row.said, "about": row.about, row.subject or "nothing": thing}
    # plain text: nothing is escaped here. `.template` is Django's own object below the backend's wrapper.
    template = get_template(f"bell/{row.kind}.txt").template  # type: ignore[attr-defined]
    text, newline, rest = template.render(Context(said, autoescape=False)).strip().partition("\n")
    more, _blank, quote = (newline + rest).partition("\n\n")
    return Told(row, " ".join(text.split()), more.strip(), quote.strip(), thing)


def seen(member: Any, subject: str, pk: int | None = None) -> None:
    """Who is signed in has opened the page of what these are about (`pk` None: of all of that name): they are read.

    No query for who has none unread; one for the others, one more when one of them was about this.
    """
    if not unread(member):
        return
    mine = of(member).filter(subject=subject)
    n = _read(member, mine if pk is None else mine.filter(subject_id=pk))
    member.unread_bell = max(0, unread(member) - n)


@transaction.atomic
def _read(member: Any, rows: QuerySet[Notification]) -> int:
    """Those of the member's that were not read are. How many. Two queries, one when there are none.

    Always in one order: what is taken back from many at this moment holds the same rows.
    """
    new = rows.filter(read_at=None).select_related(None).select_for_update().order_by("pk")
    found = list(new.values_list("pk", flat=True))
    if found:
        Notification.objects.filter(pk__in=found).update(read_at=clock.now())
        _tell_fewer([member.pk])
    return len(found)


def read(member: Any, notification_id: int) -> Notification:
    """The member has read one of theirs. Again: nothing happens. Raises Notification.DoesNotExist."""
    of(member).get(pk=notification_id)
    _read(member, of(member).filter(pk=notification_id))
    return of(member).get(pk=notification_id)


def read_all(member: Any) -> int:
    """The member has read everything that is shown. How many were new. Two queries at most."""
    return _read(member, of(member))


def remove(member: Any, notification_id: int) -> None:
    """Take one away. There is none of that id, or it is somebody else's: nothing happens. One query."""
    if shown().filter(member=member.pk, pk=notification_id).delete()[0]:
        _tell_fewer([member.pk])


# ------------------------------------------------------------------------------------------------- take back


def take_back(rows: QuerySet[Notification]) -> int:
    """What is no longer true is told to nobody any more, read or not. How many. Two queries, one when there are none.

    Within the caller's transaction.
    """
    return len(_taken_back(rows))


def _taken_back(rows: QuerySet[Notification]) -> list[Notification]:
    found = list(rows.select_for_update().order_by("pk").only("member", "claim", "held_until"))
    if found:
        Notification.objects.filter(pk__in=[row.pk for row in found]).delete()
        _tell_fewer(row.member_id for row in found)
    return found


def about(subject: str, pk: int, *kinds: str) -> QuerySet[Notification]:
    """Those about one thing; of these kinds only, when some are named."""
    rows = Notification.objects.filter(subject=subject, subject_id=pk)
    return rows.filter(kind__in=kinds) if kinds else rows


def withdraw(claims: Collection[str]) -> set[str]:
    """Take these back. Gives the claims of those that were shown already. Two queries, one when there are none."""
    rows = _taken_back(Notification.objects.filter(claim__in=claims))
    return {row.claim for row in rows if row.held_until is None}


def forget(words: Collection[str]) -> None:
    """Somebody goes: what was said to others keeps its words without theirs (a name, an address). What speaks of them, and
    what was told to them, goes with their row. One query for each word, one more for each it is in.
    """
    for word in filter(None, words):
        whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
        for row in Notification.objects.filter(said__text__icontains=word):
            row.said["text"] = whole.sub("…", row.said["text"])
            row.save(update_fields=["said"])


def forget_old() -> int:
    """The sweep: what was told sixty days ago is gone. Returns how many. One query."""
    return Notification.objects.filter(created_at__lt=clock.now() - KEPT_FOR).delete()[0]
