"""Pages about reports: make one, see one's own, and decide those of the rooms one looks after."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from realtime import blocks, conversations, people, reports
from realtime.models import Report

DECISIONS = {
    "hidden": gettext_lazy("Hide the message for everybody"),
    "removed": gettext_lazy("Take the person out of the room"),
    "nothing": gettext_lazy("Leave it as it is"),
}


@login_required
@require_http_methods(["GET", "POST"])
def message_report(request: HttpRequest, pk: int, seq: int) -> HttpResponse:
    """Report a message: why, and in one's own words. Raises Room.DoesNotExist, Entry.DoesNotExist."""
    member: Any = request.user
    message = reports.message_to_report(member, pk, seq)
    errors = _sent(request, lambda reason, text: reports.report_message(member, pk, seq, reason, text))
    if errors is None:
        return redirect("room", pk)
    return _form(request, errors, here=conversations.here(member, pk), message=message, person=message.author)


@login_required
@require_http_methods(["GET", "POST"])
def person_report(request: HttpRequest, pk: int, member_id: int) -> HttpResponse:
    """Report somebody of a room. Raises Room.DoesNotExist and DoesNotExist of a member."""
    member: Any = request.user
    here = conversations.here(member, pk)
    person = people.person_to_report(here.room, member, member_id)
    errors = _sent(request, lambda reason, text: reports.report_person(member, pk, member_id, reason, text))
    if errors is None:
        is_blocked = blocks.of(member).filter(blocked=member_id).exists()
        return redirect("blocked") if is_blocked else redirect("people", pk)
    return _form(request, errors, here=here, person=person)


def _sent(request: HttpRequest, verb: Any) -> dict[str, str] | None:
    """What is wrong by field; None when it was sent and taken."""
    if request.method != "POST":
        return {}
    try:
        verb(request.POST.get("reason", ""), request.POST.get("text", ""))
    except ValidationError as no:
        return problems_of(no)
    messages.success(request, _("Thank you. Somebody looks at it; you get a mail when it was dealt with."))
    return None


def problems_of(no: ValidationError) -> dict[str, str]:
    """The first thing wrong with each field; `all` for what is wrong with none."""
    if hasattr(no, "error_dict"):
        return {name: texts[0] for name, texts in no.message_dict.items()}
    return {"all": no.messages[0]}


def _form(request: HttpRequest, errors: dict[str, str], **given: Any) -> HttpResponse:
    context = {
        "nav": "chat",
        "room": given["here"].room,
        "reasons": reports.REASONS,
        "reason": request.POST.get("reason", ""),
        "text": request.POST.get("text", ""),
        "errors": errors,
        "limit": reports.MAX_TEXT,
    }
    return render(request, "realtime/report.html", context | given, status=400 if errors else 200)


@login_required
@require_GET
def report_list(request: HttpRequest) -> HttpResponse:
    """Reports that wait for the member, and what the member reported. At most five queries."""
    member: Any = request.user
    waiting = reports.for_list(reports.to_look_at(member).filter(decided_at=None))[:100]
    mine = list(reports.of_reporter(member)[:100])
    for complaint in mine:
        lines = complaint.report.lines.all()
        complaint.line = next((line for line in lines if line.seq == complaint.report.seq), None)  # type: ignore[attr-defined]
        complaint.said = reports.REASONS[complaint.reason]  # type: ignore[attr-defined]
    context = {"nav": "chat", "waiting": waiting, "mine": mine}
    return render(request, "realtime/reports.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def report_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One report in a room the member looks after, and what to do. Raises Report.DoesNotExist."""
    member: Any = request.user
    report = reports.report_for(member, pk)
    errors = decided(request, report)
    if errors is None:
        return redirect("reports")
    return render(
        request,
        "realtime/report_decide.html",
        decision_context(request, report, errors),
        status=400 if errors else 200,
    )


def decided(request: HttpRequest, report: Report) -> dict[str, str] | None:
    """Decide as the form says: what is wrong by field; None when it is done."""
    if request.method != "POST":
        return {}
    try:
        reports.decide(request.user, report, request.POST.get("decision", ""), request.POST.get("note", ""))
    except ValidationError as no:
        return problems_of(no)
    messages.success(request, _("Dealt with. Whoever reported it is told that it was, and not how."))
    return None


def decision_context(request: HttpRequest, report: Report, errors: dict[str, str]) -> dict[str, Any]:
    """What the page of a report shows. Two queries."""
    return {
        "nav": "chat",
        "report": report,
        "lines": reports.lines_of(report),
        "complaints": [
            (reports.REASONS[complaint.reason], complaint)
            for complaint in report.complaints.select_related("member").order_by("at", "pk")
        ],
        "decisions": [(key, DECISIONS[key]) for key in reports.decisions_for(report)],
        "decision_said": DECISIONS.get(report.decision, ""),
        "decision": request.POST.get("decision", ""),
        "note": request.POST.get("note", ""),
        "errors": errors,
    }
