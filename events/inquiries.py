"""Questions of those who come, or think of it: asked of the host, answered to who asked or to everybody.

Not to be mixed up with events/questions.py, which is what a host asks. Everything said here is gone 14 days after the event,
published or not: afterwards nobody needs to know whether one could bring a pram.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from community.models import Member
from events import bells
from events.access import event_for, inquiry_for, may_run
from events.models import Event, Inquiry
from realtime import blocks, clock, notify

MAX_TEXT, MAX_ANSWER = 500, 2000
OPEN_AT_MOST = 3  # of one member about one event: the host shall be able to keep up
A_DAY = 20  # of one member, whatever the event
KINDS = ("event_inquiry", "event_inquiry_answered")


@transaction.atomic
def ask(member: Member, event_id: int, text: str) -> Inquiry:
    """Ask who runs an event something; they get a mail. The same question again, while it is open, is the same.

    Raises Event.DoesNotExist, PermissionDenied for who runs it, ValidationError: `text` missing or too long, closed (it is a
    draft, called off or over), too_many (`OPEN_AT_MOST` wait for an answer), too_fast (`A_DAY`).
    """
    event = event_for(member, event_id)
    if may_run(member, event):
        raise PermissionDenied(_("You run this event: it is you who is asked."))
    words = _words(text, MAX_TEXT)
    _must_take_questions(event)
    Member.objects.select_for_update().only("pk").get(pk=member.pk)  # of many at once no more than the limit
    mine = Inquiry.objects.filter(member=member)
    waiting = mine.filter(event=event).unanswered()
    known = waiting.filter(text=words).first()
    if known is not None:
        return known
    if waiting.count() >= OPEN_AT_MOST:
        text = _("Three of your questions wait for an answer. Please wait for it first.")
        raise ValidationError(text, code="too_many")
    if mine.filter(asked_at__gt=clock.now() - timedelta(days=1)).count() >= A_DAY:
        raise ValidationError(_("That was a lot of questions for one day."), code="too_fast")
    row = Inquiry.objects.create(event=event, member=member, text=words, language=member.language)
    if not blocks.are_apart(member.pk, event.host_id):
        _tell(row, KINDS[0], event.host, f"{reverse('event_inquiries', args=[event.pk])}#{row.public_id}")
    return row


@transaction.atomic
def withdraw(member: Member, inquiry_id: int) -> Event:
    """Take a question back that nobody has answered; nothing of it stays. Gives its event.

    Raises Inquiry.DoesNotExist unless it is the member's, ValidationError closed: it is answered.
    """
    row = inquiry_for(member, inquiry_id, lock=True)
    if row.member_id != member.pk:
        raise Inquiry.DoesNotExist
    if row.answered_at is not None:
        raise ValidationError(_("It is answered already."), code="closed")
    notify.take_back(_claim(KINDS[0], row))
    bells.unring(row.event, _claim(KINDS[0], row))
    row.delete()
    return row.event


@transaction.atomic
def answer(member: Member, inquiry_id: int, text: str, *, public: bool, seen: str | None = None) -> Inquiry:
    """Answer who asked, and with `public` everybody: then both stand on the event's page, the asker unnamed.

    Said again it replaces what was said: so an answer is put right, published later, or taken off the page. Who asked is told
    once. `seen`: the answer as it stood before them (`answer_seen`), so that nobody replaces what they have not read. Raises Inquiry.DoesNotExist, PermissionDenied for who does not run the event, ValidationError on `text`,
    with code stale when it is another by now.
    """
    row = to_answer(member, inquiry_id, lock=True)
    if seen is not None and seen != row.answer_seen:
        text = _(
            "Somebody has answered meanwhile: “%(answer)s”. Send yours again to put it in the place of that one."
        )
        raise ValidationError({"text": text % {"answer": row.answer}}, code="stale")
    is_first = row.answered_at is None
    row.answer, row.is_public = _words(text, MAX_ANSWER), public
    row.answer_language, row.answered_by, row.answered_at = (
        member.language,
        member,
        row.answered_at or clock.now(),
    )
    row.put_aside_at = None
    row.save(
        update_fields=[
            "answer",
            "is_public",
            "answer_language",
            "answered_by",
            "answered_at",
            "put_aside_at",
        ]
    )
    if is_first:
        _tell(row, KINDS[1], row.member, f"{row.event.get_absolute_url()}#questions")
    return row


@transaction.atomic
def put_aside(member: Member, inquiry_id: int, *, aside: bool = True) -> Inquiry:
    """Say that a question needs no answer: it waits no more, and who asked sees that. Or, not `aside`, take it up again.

    It can be answered all the same. Twice is once. Raises as `answer`, and ValidationError closed: it is answered.
    """
    row = to_answer(member, inquiry_id, lock=True)
    if row.answered_at is not None:
        raise ValidationError(_("It is answered already."), code="closed")
    row.put_aside_at = (row.put_aside_at or clock.now()) if aside else None
    row.save(update_fields=["put_aside_at"])
    return row


@transaction.atomic
def hide(member: Member, inquiry_id: int) -> Inquiry:
    """Take question and answer off the event's page; who asked still reads them. Twice is once. Raises as `answer`."""
    row = to_answer(member, inquiry_id, lock=True)
    Inquiry.objects.filter(pk=row.pk).update(is_public=False)
    row.is_public = False
    return row


def to_answer(member: Member, inquiry_id: int, *, lock: bool = False) -> Inquiry:
    """The question, for who may answer it. Raises Inquiry.DoesNotExist, PermissionDenied."""
    row = inquiry_for(member, inquiry_id, lock=lock)
    if not may_run(member, row.event):
        raise PermissionDenied(_("Only who hosts the event can answer."))
    return row


def shown_to(reader: Member | None, event: Event, *, runs: bool) -> QuerySet[Inquiry]:
    """What a reader who may see the event may read: what is published, their own, and all for who runs it. For a query."""
    rows = Inquiry.objects.filter(event=event).select_related("member").order_by("asked_at", "pk")
    if reader is None:
        return rows.filter(is_public=True)
    if runs:
        return rows.filter(
            Q(is_public=True) | Q(pk__in=Inquiry.objects.heard_by(reader).filter(event=event).values("pk"))
        )
    return rows.filter(Q(is_public=True) | Q(member=reader))


def takes_questions(event: Event) -> bool:
    """One can ask its host something."""
    return event.state == Event.State.PUBLISHED and not event.is_over


def _must_take_questions(event: Event) -> None:
    if not takes_questions(event):
        raise ValidationError(_("This event takes no questions any more."), code="closed")


def _words(text: str, most: int) -> str:
    words = text.strip()
    if not words:
        raise ValidationError({"text": _("Please write something first.")})
    if len(words) > most:
        raise ValidationError({"text": _("This can have %(limit)s characters at most.") % {"limit": most}})
    return words


def _claim(kind: str, row: Inquiry) -> str:
    return f"{kind}:{row.event.public_id}:{row.public_id}"


def _tell(row: Inquiry, kind: str, person: Member, path: str) -> None:
    page = "event_inquiries" if kind == KINDS[0] else "event"
    bells.ring_member(person, row.event, kind, _claim(kind, row), page)
    notify.put(
        kind,
        to=person.email,
        language=person.language,
        claim=_claim(kind, row),
        context={"event": row.event, "inquiry": row, "person": person, "url": f"{settings.PUBLIC_URL}{path}"},
        member=person,
    )
