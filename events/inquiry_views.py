"""Pages of questions: ask the host, take it back; who runs the event answers."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from community.models import Member
from events import bells, inquiries
from events.access import event_for, may_run
from events.event_page import event_shown
from events.forms import AnswerForm, AskForm
from events.models import Event, Inquiry
from events.views import member_of, put
from realtime import ids


@login_required
@require_http_methods(["GET", "POST"])
def event_ask(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the host something; refused, the page comes back with what was typed. Asked for by itself, it is the event's page."""
    member = member_of(request)
    event = event_for(member, pk)
    form, status = AskForm(request.POST), 422
    if request.method == "GET":
        return redirect(event)
    if form.is_valid():
        try:
            inquiries.ask(member, pk, form.cleaned_data["text"])
        except ValidationError as refused:
            status = 409
            put(form, refused)
        else:
            messages.success(request, _("The host has your question, and you get the answer by mail."))
            return redirect(f"{event.get_absolute_url()}#questions")
    return event_shown(request, event, typed=form, status=status)


@login_required
@require_POST
def inquiry_withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a question back that nobody has answered."""
    try:
        event = inquiries.withdraw(member_of(request), pk)
    except ValidationError as refused:
        messages.error(request, refused.messages[0])
        event = Inquiry.objects.select_related("event").get(pk=pk).event
    else:
        messages.success(request, _("Your question is taken back: nothing of it is kept."))
    return redirect(f"{event.get_absolute_url()}#questions")


@login_required
@require_http_methods(["GET", "POST"])
def event_inquiries(request: HttpRequest, pk: int) -> HttpResponse:
    """What who runs the event is asked: answer to one or to all, take an answer off the page. Refused, what was typed stays."""
    member = member_of(request)
    event = event_for(member, pk)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can answer."))
    if request.method == "GET":
        bells.seen(member, event.pk)
        return _page(request, member, event)
    do, _colon, which = request.POST.get("do", "").partition(":")
    row = _of(member, event, which)
    if do == "hide":
        inquiries.hide(member, row.pk)
        messages.success(request, _("It is off the page. Who asked still has your answer."))
        return redirect("event_inquiries", pk)
    if do in {"aside", "again"}:
        return _put_aside(request, member, row, aside=do == "aside")
    form = AnswerForm(request.POST, prefix=row.public_id)
    try:
        if form.is_valid():
            said = form.cleaned_data
            seen = said["seen"] or None
            inquiries.answer(member, row.pk, said["text"], public=said["public"], seen=seen)
            is_first = row.answered_at is None
            told = _("Answered. Who asked is told by mail.") if is_first else _("The answer is changed.")
            messages.success(request, told)
            return redirect("event_inquiries", pk)
        status = 422
    except ValidationError as refused:
        status = 409
        put(form, refused)
        row.refresh_from_db()
        typed: Any = copy(form.data)
        typed[form.add_prefix("seen")] = row.answer_seen
        form.data = typed
    return _page(request, member, event, {row.pk: form}, status)


def _put_aside(request: HttpRequest, member: Member, row: Inquiry, *, aside: bool) -> HttpResponse:
    try:
        inquiries.put_aside(member, row.pk, aside=aside)
    except ValidationError as refused:
        messages.error(request, refused.messages[0])
    else:
        if aside:
            messages.success(request, _("Put aside. You can still answer it, below."))
    return redirect("event_inquiries", row.event_id)


def _of(member: Member, event: Event, which: str) -> Inquiry:
    try:
        return inquiries.shown_to(member, event, runs=True).get(pk=ids.decode(which))
    except ValueError:
        raise Inquiry.DoesNotExist from None


def _page(
    request: HttpRequest,
    member: Member,
    event: Event,
    forms: dict[int, AnswerForm] | None = None,
    status: int = 200,
) -> HttpResponse:
    rows = list(inquiries.shown_to(member, event, runs=True))
    shown = [(row, (forms or {}).get(row.pk) or _form(row)) for row in rows]
    context: dict[str, Any] = {
        "nav": "events",
        "event": event,
        "waiting": [one for one in shown if one[0].answered_at is None and one[0].put_aside_at is None],
        "aside": [one for one in shown if one[0].put_aside_at is not None],
        "answered": [one for one in shown if one[0].answered_at is not None],
        "event_page": f"{reverse('event', args=[event.pk])}#questions",
    }
    return render(request, "events/inquiries.html", context, status=status)


def _form(row: Inquiry) -> AnswerForm:
    said = {"text": row.answer, "public": row.is_public, "seen": row.answer_seen}
    return AnswerForm(prefix=row.public_id, initial=said)
