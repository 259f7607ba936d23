"""Pages about one party: who runs the event answers it, and a guest without an account has a page of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from allauth.core import ratelimit
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from events import approval, by_hand, guests, questions, reminding, seats, tickets
from events.access import event_for, registration_for
from events.event_page import event_shown
from events.forms import ByNameForm, GuestForm, LinkForm, OthersForm
from events.models import Attendee, Registration
from events.models.registration import Guest
from events.party import Person
from events.views import (
    mailed_key,
    member_of,
    put,
    reader_of,
    registration_shown,
    signed_in,
    unlisted,
)
from realtime.models import MailedKey

State = Registration.State


@login_required
@require_POST
def registration_decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Who runs the event says yes to a party that asks (`answer=yes`), or no to any (`answer=no`, with a `text`).

    A second answer of the same kind changes nothing. Anything else asks again: only a clear word decides.
    """
    member = member_of(request)
    row = registration_for(member, pk)
    answer, seen = request.POST.get("answer"), request.POST.get("version", "")
    version = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else None
    try:
        if answer == "yes":
            _say(request, approval.approve(member, pk, version=version))
        elif answer == "no":
            approval.turn_down(member, pk, request.POST.get("text", ""), version=version)
            messages.success(request, _("They were told, with your words."))
    except ValidationError as refused:
        messages.error(request, refused.messages[0])
    return redirect(f"{reverse('guests', args=[row.event_id])}#ask")


@login_required
@require_POST
def registration_by_hand(request: HttpRequest, pk: int) -> HttpResponse:
    """Who runs the event changes a party that has no address (`do=change`), or cancels it (`do=cancel`). Anything else asks again."""
    member = member_of(request)
    row = registration_for(member, pk)
    form = ByNameForm(request.POST, event=row.event) if request.POST.get("do") == "change" else None
    try:
        if form is not None and form.is_valid():
            party = [Person(form.cleaned_data["name"], ticket_type=form.ticket()), *form.named()]
            by_hand.change(member, pk, party)
            messages.success(request, _("The party is changed, and so is its ticket."))
        elif form is not None:
            return registration_shown(request, row, None, names=form, status=422)
        elif request.POST.get("do") == "cancel":
            by_hand.cancel(member, pk)
            messages.success(request, _("Cancelled. Their places are free again."))
            return redirect("guests", row.event_id)
    except ValidationError as refused:
        if form is None:
            messages.error(request, refused.messages[0])
        else:
            put(form, refused, {"party": form.guest_fields[0].name})
            return registration_shown(request, row, None, names=form, status=409)
    return redirect("registration", pk)


def _say(request: HttpRequest, row: Registration) -> None:
    if row.is_coming:
        messages.success(request, _("They come, and have their ticket."))
    elif row.state == State.OFFERED:
        messages.success(request, _("Places are held for them, and they are asked by mail."))
    else:
        messages.info(request, _("Every place is taken: they are in the line, by when they asked."))


@require_http_methods(["GET", "POST"])
def event_guest(request: HttpRequest, pk: int) -> HttpResponse:
    """Come without an account: a mail goes out, and the answer is the same for every address. Refused, what was typed stays.

    Asked for by itself, or by who is signed in, it is the event's page.
    """
    reader = reader_of(request)
    event = event_for(reader, pk)
    if request.method == "GET" or reader is not None:
        return redirect(event)
    form = GuestForm(request.POST, event=event)
    if not form.is_valid():
        return event_shown(request, event, typed=form, status=422)
    if not ratelimit.consume(request, action="guest"):
        form.add_error(None, _("That was a lot at once. Try again in an hour, or sign in."))
        return event_shown(request, event, typed=form, status=429)
    said = form.cleaned_data
    guest = Guest(said["name"], said["email"], (get_language() or "en")[:2])
    places = seats.places_of([event])[pk]
    try:
        guests.ask(pk, guest, form.named(), form.given(), form.ticket())
    except ValidationError as refused:
        put(form, refused, {"party": form.guest_fields[0].name})
        return event_shown(request, event, typed=form, status=409)
    waits = bool(event.waiting_list) and bool(places.left == 0 or places.waiting)
    context = {"nav": "events", "event": event, "email": said["email"], "waits": waits}
    return render(request, "events/guest_asked.html", context)


@require_http_methods(["GET", "POST"])
def event_guest_again(request: HttpRequest, pk: int) -> HttpResponse:
    """A guest lost the mail with their link: it goes out again, and the answer is the same for every address.

    Asked for by itself, or by who is signed in, it is the event's page.
    """
    reader = reader_of(request)
    event = event_for(reader, pk)
    if request.method == "GET" or reader is not None:
        return redirect(event)
    form = LinkForm(request.POST)
    if not form.is_valid():
        return event_shown(request, event, typed=form, status=422)
    if not ratelimit.consume(request, action="guest"):
        form.add_error(None, _("That was a lot at once. Try again in an hour, or sign in."))
        return event_shown(request, event, typed=form, status=429)
    email = form.cleaned_data["email"]
    guests.send_again(pk, email)
    context = {"nav": "events", "event": event, "email": email, "is_again": True}
    return render(request, "events/guest_asked.html", context)


@csrf_exempt  # see registration_cancel
@require_http_methods(["GET", "POST"])
def registration_still(request: HttpRequest, pk: int) -> HttpResponse:
    """“Still coming?”: a page with two buttons, then what the button did (`answer=yes` or `no`). Anything else asks again.

    The key of a mail does instead of signing in, for this registration only.
    """
    key, said = mailed_key(request), request.POST.get("answer")
    member = None if key else signed_in(request)
    if isinstance(member, HttpResponse):
        return member
    try:
        row = registration_for(member, pk) if member else reminding.by_key(pk, key)
        if said in {"yes", "no"}:
            comes = said == "yes"
            row = (
                reminding.answer(member, pk, comes=comes)
                if member
                else reminding.answer_by_key(pk, key, comes=comes)
            )
        elif not row.is_coming:
            return unlisted(_as_it_is(request, pk))
    except (MailedKey.DoesNotExist, ValidationError):
        known = reminding.answered_by_key(pk, key) if key and said != "no" else None
        if known is None:
            return unlisted(_as_it_is(request, pk))
        row, said = known, "yes"  # the link once more
    context = {"nav": "events", "key": key, "said": said, "registration": row, "event": row.event}
    return unlisted(render(request, "events/still.html", context))


def _as_it_is(request: HttpRequest, pk: int) -> HttpResponse:
    """Where a link leads that does nothing any more: whose registration it is sees how that stands now."""
    reader = reader_of(request)
    try:
        row = registration_for(reader, pk) if reader else None
    except Registration.DoesNotExist:
        row = None
    if row is None:
        return _gone(request, 404)
    messages.info(
        request, _("There is nothing to answer any more. This is how your registration stands now.")
    )
    return redirect("registration", row.pk)


@csrf_exempt  # no other page knows the key; see registration_cancel
@require_http_methods(["GET", "POST"])
def registration_guest(request: HttpRequest, pk: int) -> HttpResponse:
    """A guest's own page, opened by the key of their mail: confirm, the ticket, who comes, yes or no, cancel."""
    key = mailed_key(request)
    try:
        row = guests.of_key(pk, key)
        form, status = None, 200
        if row.member_id is not None:
            return unlisted(_adopted(request, row))
        if request.method == "POST":
            row, form, status = _done(request, row, key)
            if form is None and status == 200 and row.pk is None:
                return unlisted(_gone(request, 200))
    except (MailedKey.DoesNotExist, Registration.DoesNotExist):
        return unlisted(_gone(request, 404))
    if row.member_id is not None:
        return unlisted(_adopted(request, row))
    return unlisted(_guest_page(request, row, key, form, status))


def _adopted(request: HttpRequest, row: Registration) -> HttpResponse:
    return render(request, "events/guest_adopted.html", {"nav": "events", "event": row.event})


def _gone(request: HttpRequest, status: int) -> HttpResponse:
    return render(request, "events/guest_gone.html", {"nav": "events"}, status=status)


def _done(request: HttpRequest, row: Registration, key: str) -> tuple[Registration, OthersForm | None, int]:
    """What a button of a guest's page did: the party now, the form where it is refused, and the status."""
    form, action = None, request.POST.get("do")
    work: Callable[[int, str], Registration]
    match action:
        case "confirm":
            work = guests.confirm
        case "cancel":
            work = guests.cancel
        case "still":
            work = guests.still
        case "yes" | "no":
            work = partial(guests.answer, accepts=action == "yes")
        case "change":
            form = OthersForm(request.POST, event=row.event)
            if not form.is_valid():
                return row, form, 422
            work = partial(guests.change, names=form.named(), given=form.given(), ticket=form.ticket())
        case _:
            return row, None, 200
    try:
        return work(row.pk, key), None, 200
    except ValidationError as refused:
        if form is not None:
            put(form, refused, {"party": form.guest_fields[0].name})
        else:
            messages.error(request, refused.messages[0])
        return row, form, 409


def _others_form(row: Registration, attendees: Sequence[Attendee]) -> OthersForm:
    given = questions.given_by(row)
    initial = OthersForm.initial_guests(row.event, attendees[1:])
    initial["ticket_own"] = attendees[0].ticket_type if attendees else ""
    return OthersForm(initial=initial, event=row.event, given=given)


def _guest_page(
    request: HttpRequest, row: Registration, key: str, form: OthersForm | None, status: int
) -> HttpResponse:
    event = row.event
    attendees = row.live
    code = tickets.code_of(row) if row.is_coming and event.starts_at else ""
    context: dict[str, Any] = {
        "nav": "events",
        "registration": row,
        "event": event,
        "key": key,
        "code": code,
        "qr": tickets.svg(code) if code else "",
        "attendees": attendees,
        "may_change": row.is_changeable,
        "form": form or (_others_form(row, attendees) if row.is_changeable else None),
        "ahead": seats.ahead_of(row) if row.state == State.WAITING else None,
    }
    return render(request, "events/guest.html", context, status=status)
