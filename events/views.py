"""Pages for who comes: find an event, look at it, register a party, carry the ticket, change one's mind."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db.models import Exists, Q, QuerySet, prefetch_related_objects
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from community import households, matching, members
from community.models import Member
from events import (
    bells,
    calendars,
    finding,
    host_needs,
    invited,
    months,
    questions,
    registration,
    seats,
    tickets,
    turnout,
    waiting,
)
from events.access import event_for, registration_for
from events.event_page import event_shown, party_form
from events.forms import ByNameForm, PartyForm, SearchForm, today
from events.models import Attendee, Event, Registration
from events.models.event import hosted_by, pools_of_events
from events.models.registration import LIVE
from realtime import clock
from realtime.models import MailedKey
from realtime.prepared import ID, MOMENT, prepared

PAGE_SIZE = 20
MOST_PAGES = 200
MORE_FILTERS = ("interest", "language", "since", "until", "free", "families")  # folded away until one is used


def reader_of(request: HttpRequest) -> Member | None:
    """Who is signed in, if anybody."""
    return request.user if isinstance(request.user, Member) else None


def member_of(request: HttpRequest) -> Member:
    """Who is signed in, behind login_required."""
    assert isinstance(request.user, Member)
    return request.user


def put(form: Form, refused: ValidationError, fields: dict[str, str] | None = None) -> None:
    """Put a verb's "no" into the form it came from: beside its field where the form has it, else above."""
    if not hasattr(refused, "error_dict"):
        form.add_error(None, refused)
        return
    for name, errors in refused.error_dict.items():
        field = (fields or {}).get(name, name)
        form.add_error(field if field in form.fields else None, errors)


def renew(form: Form, refused: ValidationError, stored: Mapping[str, Any]) -> None:
    """After a no because somebody was quicker: what was typed stays and, sent again, takes the place of what is stored now.

    `stored`: what the form would show of it. Where that differs is named. For any other no nothing happens.
    """
    if getattr(refused, "code", None) != "stale":
        return
    shown = [form[name] for name in stored if name in form.fields]
    differs = [
        str(one.label)
        for one in shown
        if not one.is_hidden and one.field.has_changed(stored[one.name], one.data)
    ]
    typed: Any = copy(form.data)
    for one in shown:
        if one.is_hidden:  # the versions
            typed[one.html_name] = "" if stored[one.name] is None else str(stored[one.name])
    form.data = typed
    if differs:
        text = _(
            "Something else is stored now in: %(what)s. Send it again, and what stands here takes its place."
        )
        form.add_error(None, text % {"what": ", ".join(differs)})


@require_GET
def event_list(request: HttpRequest) -> HttpResponse:
    """What is on. At most eight queries for any number of events; one more to look near a town."""
    reader = reader_of(request)
    asked = request.GET.copy()
    asked.setdefault("km", "20")
    form = SearchForm(asked)
    form.is_valid()
    if request.GET.get("month"):
        return _month_page(request, form)
    page = min(max(1, _number(request.GET.get("page", ""))), MOST_PAGES)
    events = finding.listed(reader, form.wanted_then(), most=PAGE_SIZE + 1, skip=(page - 1) * PAGE_SIZE)
    profile = members.profile_of(reader) if reader else None
    mine = seats.mine_of(reader, events)
    context = {
        "nav": "events",
        "form": form,
        "cards": [
            (event, matching.nearest_km(profile, event.place), mine.get(event.pk))
            for event in events[:PAGE_SIZE]
        ],
        "page": page,
        "has_more": len(events) > PAGE_SIZE,
        "is_narrowed": any(value for name, value in request.GET.items() if name not in {"page", "km"}),
        "is_narrowed_more": any(request.GET.get(name) for name in MORE_FILTERS) or bool(form.errors),
        "may_publish": reader is not None and members.is_host(reader),
        "this_month": f"{today():%Y-%m}",
    }
    return render(request, "events/list.html", context)


def _month_page(request: HttpRequest, form: SearchForm) -> HttpResponse:
    """A month of what is on, the past of it too. At most seven queries for any number of events; one more near a town."""
    reader = reader_of(request)
    first = months.named(request.GET.get("month", ""), today())
    shown = Event.objects.visible_to(reader).filter(state=Event.State.PUBLISHED)
    events = list(finding.matching(months.within(shown, first), form.wanted())[: months.MOST])
    weeks = months.weeks(first, events, today())
    context = {
        "nav": "events",
        "form": form,
        "first": first,
        "weeks": weeks,
        "weekdays": months.weekdays(get_language() or "en"),
        "count": sum(len(day.events) for week in weeks for day in week.days if day),
        "mine": seats.mine_of(reader, events),
        "previous": months.beside(first, -1),
        "next": months.beside(first, 1),
        "is_narrowed": any(value for name, value in request.GET.items() if name not in {"month", "km"}),
        "is_narrowed_more": any(request.GET.get(name) for name in MORE_FILTERS) or bool(form.errors),
        "may_publish": reader is not None and members.is_host(reader),
    }
    return render(request, "events/month.html", context)


@require_GET
def event_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything needed to decide, and the party ready to be sent."""
    reader = reader_of(request)
    event = event_for(reader, pk)
    bells.seen(reader, event.pk)
    return event_shown(request, event)


@require_GET
def event_seats(request: HttpRequest, pk: int) -> HttpResponse:
    """How full it is, as a part of the event page: fetched again when somebody registers. Three queries."""
    event = event_for(reader_of(request), pk)
    prefetch_related_objects([event], pools_of_events())
    context = {
        "event": event,
        "places": seats.places_of([event])[event.pk],
        "tickets": seats.by_type(event),
    }
    return render(request, "events/_seats.html", context)


@require_http_methods(["GET", "POST"])
def event_register(request: HttpRequest, pk: int) -> HttpResponse:
    """Register the party; refused, the page comes back with what was chosen. Asked for by itself, it is the event's page."""
    if request.method == "GET":
        return redirect("event", pk)
    reader = reader_of(request)
    event = event_for(reader, pk)
    if reader is None:
        return redirect(f"{reverse('account_login')}?{urlencode({'next': event.get_absolute_url()})}")
    form = party_form(reader, event, request.POST)
    status = 422
    if form.is_valid():
        try:
            made = registration.register(
                reader, pk, form.party(), wait=form.cleaned_data["wait"], given=form.given()
            )
        except ValidationError as refused:
            status = 409
            if getattr(refused, "code", "") == "already_registered" and (
                known := seats.mine_of(reader, [event]).get(pk)
            ):
                return _party_instead(request, known.pk, reader)
            put(form, refused)
        else:
            if made.state == Registration.State.REQUESTED:
                messages.info(request, _("The host has your wish. We write to you as soon as they decide."))
            elif made.is_coming:
                messages.success(request, _("You are coming. This is your ticket."))
            else:
                messages.info(
                    request, _("You are on the waiting list. We write to you as soon as there is room.")
                )
            return redirect("registration", made.pk)
    return event_shown(request, event, typed=form, status=status)


def _party_instead(request: HttpRequest, pk: int, member: Member) -> HttpResponse:
    """The page of the party that the member has there already, with what was typed for another: to be saved, or left."""
    row = registration_for(member, pk)
    text = _(
        "You are registered already, so nothing was changed. Save the party below if it shall be as you chose now."
    )
    if not (row.member_id == member.pk and row.is_changeable):
        messages.info(request, _("You are registered already, so nothing was changed."))
        return redirect("registration", pk)
    form = _party_form_of(member, row, request.POST)
    form.add_error(None, text)
    return registration_shown(request, row, form, status=409)


def _party_form_of(member: Member, row: Registration, data: Any = None) -> PartyForm:
    """The form of the member's own party as it is, or as it was typed (`data`). At most three queries."""
    adults, children = households.live_with(member)
    given = questions.given_by(row) if data is None else None
    initial = PartyForm.initial_of(row)
    return PartyForm(
        data, initial=initial, member=member, adults=adults, children=children, event=row.event, given=given
    )


@login_required
@require_GET
def my_events(request: HttpRequest) -> HttpResponse:
    """What I come to, what I am invited to and what I host. Six queries for who hosts nothing and was not invited, at most seventeen."""
    member, now = member_of(request), clock.now()
    there = _there_for(member=member.pk, now=now)[0]
    context = {
        "nav": "events",
        "needs": host_needs.needs(member, hosts=there["hosts"]),
        "coming": _coming(member=member.pk, now=now),
        "may_publish": members.is_host(member),
        "invitations": invited.open_to(member)[:20] if there["is_invited"] else [],
        "stopped_by": invited.stopped_by(member) if there["has_stopped"] else [],
        "feed": request.build_absolute_uri(reverse("member_ics", args=[calendars.feed_token(member)])),
    }
    if there["hosts"]:
        hosting = Event.objects.filter(hosted_by(member)).exclude(state=Event.State.CANCELLED)
        context |= {
            "hosting": hosting.exclude(state=Event.State.DRAFT).upcoming().for_list()[:100],
            "turnout": turnout.of_host(member),
            "drafts": hosting.filter(state=Event.State.DRAFT).order_by("-created_at")[:20],
        }
    return render(request, "events/mine.html", context)


@prepared(member=ID, now=MOMENT)
def _there_for(*, member: Any, now: Any) -> QuerySet[Member, dict[str, Any]]:
    """What there is beside what a member comes to, so that only this is asked for."""
    found: dict[str, Any] = {
        "hosts": Exists(Event.objects.filter(hosted_by(member))),
        "is_invited": Exists(invited.open_to(member, now)),
        "has_stopped": Exists(invited.stopped_by(member)),
    }
    rows = Member.objects.filter(pk=member).annotate(**found).values(*found)
    return cast("QuerySet[Member, dict[str, Any]]", rows)


@prepared(member=ID, now=MOMENT)
def _coming(*, member: Any, now: Any) -> QuerySet[Registration]:
    by_me = Registration.objects.filter(member=member).values("pk")
    named = Attendee.objects.filter(member=member, is_live=True).values("registration")
    shown = Q(state__in=LIVE) | Q(event__state=Event.State.CANCELLED, member=member)
    rows = Registration.objects.filter(shown, pk__in=by_me.union(named))  # from the member's own few rows
    rows = rows.filter(event__in=Event.objects.upcoming(now).values("pk"))
    return rows.select_related("event__place", "member").order_by("event__starts_at", "pk")[:100]


@login_required
@require_GET
def registration_page(request: HttpRequest, pk: int) -> HttpResponse:
    """The ticket of the whole party, and what can still be changed."""
    member = member_of(request)
    row = registration_for(member, pk)
    bells.seen(member, row.event_id)
    form = _party_form_of(member, row) if row.member_id == member.pk and row.is_changeable else None
    return registration_shown(request, row, form)


@login_required
@require_http_methods(["GET", "POST"])
def registration_party(request: HttpRequest, pk: int) -> HttpResponse:
    """Change who comes; refused, the page comes back with what was chosen. Asked for by itself, it is the ticket's page."""
    if request.method == "GET":
        return redirect("registration", pk)
    member = member_of(request)
    row = registration_for(member, pk)
    form, status = _party_form_of(member, row, request.POST), 422
    if form.is_valid():
        try:
            said = form.cleaned_data
            row = registration.change_party(
                member, pk, form.party(), version=said["version"], wait=said["wait"], given=form.given()
            )
        except ValidationError as refused:
            status = 409
            put(form, refused)
            renew(form, refused, PartyForm.initial_of(registration_for(member, pk)))
        else:
            if row.more:
                messages.info(request, _("Your party stays as it is, and waits for the other places."))
            else:
                messages.success(request, _("Your party is changed. Your ticket is up to date."))
            return redirect("registration", pk)
    return registration_shown(request, row, form, status=status)


@csrf_exempt
@require_http_methods(["GET", "POST"])
def registration_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask once, then give the places back. The key of a mail does instead of signing in, for this registration only.

    Who sends a key shows with it that they meant it: no other page knows it. A browser that is told to send no referrer
    sends no origin either, so the usual check against foreign forms would refuse it; without a key it is made here.
    """
    if key := mailed_key(request):
        return unlisted(_cancel_by_key(request, pk, key))
    member = signed_in(request)
    if not isinstance(member, Member):
        return member
    row = registration_for(member, pk)
    if request.method == "POST":
        registration.cancel(member, pk)
        messages.success(request, _("Cancelled. Thank you for making room for others."))
        return redirect(row.event)
    context = {
        "nav": "events",
        "registration": row,
        "event": row.event,
        "is_mine": row.member_id == member.pk,
    }
    return render(request, "events/cancel.html", context)


@csrf_exempt
@require_http_methods(["GET", "POST"])
def registration_offer(request: HttpRequest, pk: int) -> HttpResponse:
    """An offer from the waiting list: take the places (`answer=yes`) or leave them to the next (`answer=no`).

    Anything else asks again: places are given away by a clear no only. The key of a mail does instead of signing in, as for `registration_cancel`. A second answer changes nothing.
    """
    if key := mailed_key(request):
        return unlisted(_answer_by_key(request, pk, key))
    member = signed_in(request)
    if not isinstance(member, Member):
        return member
    row = registration_for(member, pk)
    answer = request.POST.get("answer")
    try:
        if answer == "yes":
            waiting.accept(member, pk)
            messages.success(request, _("You are coming. This is your ticket."))
        elif answer == "no":
            waiting.decline(member, pk)
            messages.success(request, _("Thank you: the next in line is asked now."))
    except ValidationError as refused:
        messages.error(request, refused.messages[0])
    return redirect("registration", row.pk)


def _answer_by_key(request: HttpRequest, pk: int, key: str) -> HttpResponse:
    """The link of a mail: a page with two buttons, then what the button did."""
    answer = request.POST.get("answer")
    try:
        if answer in {"yes", "no"}:
            row = waiting.answer_by_key(pk, key, accepts=answer == "yes")
        else:
            row, answer = waiting.offer_by_key(pk, key), None
    except (MailedKey.DoesNotExist, ValidationError):
        known = waiting.accepted_by_key(pk, key) if answer != "no" else None
        if known is None:
            return render(request, "events/offer_gone.html", {"nav": "events"}, status=404)
        row, answer = known, "yes"  # the link once more
    context = {"nav": "events", "key": key, "answer": answer, "registration": row, "event": row.event}
    return render(request, "events/offer.html", context)


def mailed_key(request: HttpRequest) -> str:
    return request.POST.get("key", "") or request.GET.get("key", "")


def signed_in(request: HttpRequest) -> Member | HttpResponse:
    """Who asks, when no mail's key speaks for them; else where to go: the form is foreign, or nobody is signed in."""
    foreign = CsrfViewMiddleware(lambda _request: HttpResponse()).process_view(request, _checked, (), {})
    if isinstance(foreign, HttpResponse):
        return foreign
    return reader_of(request) or redirect(f"{reverse('account_login')}?{urlencode({'next': request.path})}")


def _checked(request: HttpRequest) -> HttpResponse:
    """What CsrfViewMiddleware is told it stands before: a view that is not exempt."""
    return HttpResponse()


def _cancel_by_key(request: HttpRequest, pk: int, key: str) -> HttpResponse:
    """The link of a mail: a page with one button, then what the button did. A key that is no good says so kindly."""
    try:
        if request.method == "POST":
            row = registration.cancel_by_key(pk, key)
        else:
            row = registration.registration_by_key(pk, key)
    except MailedKey.DoesNotExist:
        return render(request, "events/cancel_gone.html", {"nav": "events"}, status=404)
    context = {"nav": "events", "registration": row, "event": row.event, "key": key, "is_mine": True}
    return render(request, "events/cancel.html", context)


def unlisted(response: HttpResponse) -> HttpResponse:
    """An address with a key in it: no other site, search engine or cache gets to know it."""
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    response["Cache-Control"] = "private, no-store"
    return response


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def registration_shown(
    request: HttpRequest,
    row: Registration,
    form: PartyForm | None,
    *,
    names: ByNameForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of a registration with the form of who made it (`form`), or for who runs the event, of a party by hand (`names`)."""
    member = member_of(request)
    attendees = list(row.attendees.select_related("member", "child"))
    shown = [one for one in attendees if one.is_live or row.state == Registration.State.CANCELLED]
    code = tickets.code_of(row) if row.is_coming and row.event.starts_at else ""
    comes = row.member_id == member.pk or any(one.is_live and one.member_id == member.pk for one in attendees)
    context = {
        "nav": "events",
        "registration": row,
        "event": row.event,
        "code": code,
        "qr": tickets.svg(code) if code else "",
        "names": [one.name or _("a guest") for one in shown],
        "attendees": shown,
        "form": form,
        "is_mine": row.member_id == member.pk,
        "runs": not comes,  # whoever neither made it nor is in it sees it because they run the event
        "names_form": names
        or (ByNameForm.of(row.event, shown) if row.has_no_address and row.is_open else None),
        "may_take_out": not row.has_no_address
        and row.is_open
        and row.event.starts_at is not None
        and row.event.starts_at > clock.now(),
        "may_cancel": comes and row.is_changeable,
        "ahead": seats.ahead_of(row) if row.places_wanted else None,
    }
    return render(request, "events/registration.html", context, status=status)
