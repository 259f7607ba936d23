"""What needs somebody who hosts or was asked something: short, the most urgent first, each with where it is done."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Count, Min, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from community.models import Member
from events.desk import Need, of_events
from events.models import CallOff, Event, Inquiry, Registration
from events.models.event import hosted_by
from realtime import clock

MOST = 8
DRAFT_SOON = timedelta(days=14)


def needs(member: Member, *, hosts: bool = True) -> list[Need]:
    """Offers to answer, parties that ask, questions, call-offs that can still be undone, events of the next days and drafts. Six queries,
    whatever the size; one for who `hosts` nothing.
    """
    if not hosts:
        return _offers(member)
    hosted = Event.objects.filter(hosted_by(member))
    found = [*_offers(member), *_asking(hosted), *_inquiries(member, hosted), *_call_offs(member)]
    found += [*of_events(hosted), *_drafts(member)]
    return sorted(found, key=lambda need: -need.urgency)[:MOST]


def _offers(member: Member) -> list[Need]:
    now = clock.now()
    open_ones = Registration.objects.filter(
        member=member,
        state=Registration.State.OFFERED,
        offer_expires_at__gt=now,
        event__state=Event.State.PUBLISHED,
    )
    text = _("Places are held for you. Say yes or no before they go to the next in line.")
    return [
        Need(110, row.event.text("title"), text, reverse("registration", args=[row.pk]))
        for row in open_ones.select_related("event").order_by("offer_expires_at", "pk")[:MOST]
    ]


def _asking(hosted: QuerySet[Event]) -> list[Need]:
    asked = Registration.objects.filter(event__in=hosted.values("pk"), state=Registration.State.REQUESTED)
    rows = (
        asked.values("event", "event__title")
        .annotate(n=Count("pk"), first=Min("queued_at"))
        .order_by("first")
    )
    return [
        Need(
            100,
            row["event__title"],
            ngettext("%(n)d party asks to come.", "%(n)d parties ask to come.", row["n"]) % {"n": row["n"]},
            f"{reverse('guests', args=[row['event']])}#ask",
        )
        for row in rows[:MOST]
    ]


def _inquiries(member: Member, hosted: QuerySet[Event]) -> list[Need]:
    coming = hosted.filter(state=Event.State.PUBLISHED, starts_at__gt=clock.now())
    asked = Inquiry.objects.waiting().heard_by(member).filter(event__in=coming.values("pk"))
    rows = (
        asked.values("event", "event__title").annotate(n=Count("pk"), first=Min("asked_at")).order_by("first")
    )
    return [
        Need(
            90,
            row["event__title"],
            ngettext(
                "%(n)d question waits for your answer.", "%(n)d questions wait for your answer.", row["n"]
            )
            % {"n": row["n"]},
            reverse("event_inquiries", args=[row["event"]]),
        )
        for row in rows[:MOST]
    ]


def _call_offs(member: Member) -> list[Need]:
    fresh = CallOff.objects.filter(until__gt=clock.now(), undone_at=None)
    fresh = fresh.filter(event__in=Event.objects.filter(hosted_by(member)).values("pk"))
    text = _("You called it off a moment ago and can still undo that.")
    return [
        Need(105, row.event.text("title"), text, row.event.get_absolute_url())
        for row in fresh.select_related("event").order_by("until", "pk")[:MOST]
        if not row.event.is_over
    ]


def _drafts(member: Member) -> list[Need]:
    drafts = Event.objects.filter(hosted_by(member), state=Event.State.DRAFT).order_by("starts_at", "pk")
    found = []
    for event in drafts[: 5 * MOST]:
        if event.starts_at is None:
            urgency, text = 10, _("Give it a date, then it can be published.")
        elif event.is_over:
            urgency, text = (
                15,
                _("This draft was for a day that has passed. Give it another date, or throw it away."),
            )
        elif event.starts_at - clock.now() < DRAFT_SOON:
            urgency, text = 70, _("It is soon, and still a draft: nobody sees it.")
        else:
            continue
        found.append(Need(urgency, event.text("title"), text, reverse("event_edit", args=[event.pk])))
    return found
