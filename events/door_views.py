"""Pages of the door: the scanner on a volunteer's phone, and the host's board with the list of guests."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from community import audit, spreadsheets
from community.models import Member
from events import bells, board, by_hand, checkin, gates, letters, questions, seats, tickets, turnout
from events.access import event_for, may_door, may_run
from events.checkin import DeviceClock, Reading
from events.forms import ByHandForm, LetterForm
from events.models import DoorHelper, Event, Gate, Registration, Scan
from events.models.registration import COMING, IN_LINE
from events.truth import slots_in
from events.views import member_of, put
from realtime import clock, ids

LIST = "list"  # the name of the gate that a member's list of guests is
REASONS = {
    "unknown": gettext_lazy("This is not one of our tickets, or it has no place yet."),
    "wrong_event": gettext_lazy("This ticket is for another event."),
    "cancelled": gettext_lazy("This registration was cancelled."),
    "unpaid": gettext_lazy("This ticket is not paid yet."),
    "not_yet": gettext_lazy("The doors are not open yet."),
    "too_late": gettext_lazy("This event is over."),
    "revoked": gettext_lazy("This ticket was replaced by a newer one. Ask for the newest."),
    "forged": gettext_lazy("This ticket was not made by us."),
    "id_reused": gettext_lazy("This scan was mixed up with another one. Please scan again."),
    "": gettext_lazy("This did not work. Please try again."),
}


class HelperForm(forms.Form):
    """Who shall help at the door."""

    who = forms.CharField(
        label=gettext_lazy("Who helps at the door?"),
        help_text=gettext_lazy("Their e-mail address, or the name of somebody who comes."),
        max_length=254,
    )


def _at_door(request: HttpRequest, pk: int) -> tuple[Member, Event]:
    member = member_of(request)
    event = event_for(member, pk)
    if not may_door(member, event):
        raise PermissionDenied(_("The door is for the host and those who help there."))
    return member, event


@login_required
@require_GET
def door(request: HttpRequest, pk: int) -> HttpResponse:
    """The scanner, for the host, staff and door helpers. What it shows comes from the API."""
    member, event = _at_door(request, pk)
    settings = {
        "event": event.public_id,
        "gate": str(member)[: gates.NAME_LENGTH],
        "door": reverse("api_door", args=[event.pk]),
        "csrf": get_token(request),
        "guests": reverse("guests", args=[event.pk]),
    }
    return _scanner(request, event, settings)


@never_cache
@require_GET
def gate(request: HttpRequest) -> HttpResponse:
    """Where the host's pairing QR leads: a phone without an account becomes a gate. The code stays behind the #."""
    return _scanner(request, None, {})


def _scanner(request: HttpRequest, event: Event | None, settings: dict[str, str]) -> HttpResponse:
    context = {"event": event, "door": settings | _addresses(), "words": _words(), "body_class": "door"}
    return render(request, "events/door.html", context)


def _addresses() -> dict[str, str]:
    """Where the scanner sends to. A gate learns its event only when it is paired: `{event}` stands for it."""
    somewhere = ids.encode(1)
    return {
        "check_ins": reverse("api_check_ins"),
        "gates": reverse("api_gates"),
        "door_of": reverse("api_door", args=[1]).replace(somewhere, "{event}"),
    }


def _people(text: Callable[[int], str]) -> dict[str, str]:
    """Both numbers of a text, for script; `{n}` stands for the number. French and Dutch, German, English have these two."""
    return {"one": text(1), "other": text(2)}


def _words() -> dict[str, Any]:
    """All the scanner says, in the page's language."""
    return {
        "reasons": {reason: str(text) for reason, text in REASONS.items()},
        "admitted_n": _people(lambda n: ngettext("Welcome, {n} person", "Welcome, {n} people", n)),
        "left_n": _people(lambda n: ngettext("{n} person left", "{n} people left", n)),
        "partly_n": _people(lambda n: ngettext("Only {n} person more", "Only {n} people more", n)),
        "already": _("Already in"),
        "already_since": _("In since {time}, scanned by {gate}"),
        "twice": _("Came in twice"),
        "refused": _("No entry"),
        "undone": _("Undone"),
        "not_inside": _("Was not inside"),
        "kept": _("Kept"),
        "kept_why": _("No network. It is checked as soon as there is one; until then look at the list."),
        "alone": _("Decided by this phone. It is sent when the network is back."),
        "no_ticket": _("This QR code is no ticket."),
        "gone": _("You are no longer at this door. Ask the host."),
        "waiting_n": _people(lambda n: ngettext("{n} scan waiting", "{n} scans waiting", n)),
        "offline": _("No network"),
        "expected": _("inside of {expected}"),
        "camera_off": _("The camera is off. Allow it for this page, then tap here."),
        "camera_none": _("This phone shows us no camera. Type the code, or use the list of guests."),
        "no_reader": _("This browser cannot read QR codes here. Type the code, or use the list of guests."),
        "pairing": _("Pairing this phone …"),
        "pairing_old": _("This pairing code was used or is too old. Ask the host for a new one."),
        "pairing_none": _("Scan the pairing code on the host's screen to make this phone a gate."),
        "pairing_network": _("No network. Pairing needs it once; then this phone works without."),
        "guest": _("Guest"),
    }


@login_required
@require_GET
def guests(request: HttpRequest, pk: int) -> HttpResponse:
    """The board that counts up, and who is inside. At most nine queries for any number of guests (ten for staff); one more when parties ask or wait."""
    member, event = _at_door(request, pk)
    if request.GET.get("part") == "board":
        context = _list(event, request.GET.get("q", "")) | {"runs": may_run(member, event)}
        return render(request, "events/guests.html#board", context)
    bells.seen(member, event.pk)
    return _guests(request, member, event)


@login_required
@require_GET
@never_cache
def guests_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """The list of guests as a table, for who hosts the event and the staff of its centre. Five queries and the reader's."""
    event = _to_take_along(request, pk)
    header = (
        _("Party"),
        _("Name"),
        _("Child"),
        _("Payment"),
        _("Arrived"),
        _("Gate"),
        _("Age"),
        _("Waiting"),
        *((_("Ticket"),) if event.ticket_types else ()),
        *(one.text for one in questions.of(event)),
    )
    table = spreadsheets.rows_to_csv(header, _table(event))
    answer = StreamingHttpResponse(table, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="guests-{event.public_id}.csv"'
    return answer


@login_required
@require_GET
@never_cache
def guests_print(request: HttpRequest, pk: int) -> HttpResponse:
    """The list of guests on paper, for who hosts the event and the staff of its centre. Five queries and the reader's."""
    event = _to_take_along(request, pk)
    scans = list(board.scans_of(event))
    lists = [
        (title, sorted(board.parties_of(event, scans, states), key=lambda line: line.last_name))
        for title, states in ((_("Coming"), COMING), (_("Waiting list"), IN_LINE))
    ]
    context = {
        "nav": "events",
        "event": event,
        "lists": lists,
        "is_empty": not any(some for _title, some in lists),
    }
    return render(request, "events/printed.html", context)


def _to_take_along(request: HttpRequest, pk: int) -> Event:
    """The event whose list of guests leaves the house, for who runs it; that it does is on record."""
    member = member_of(request)
    event = event_for(member, pk)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event sees who comes."))
    audit.record(audit.Action.EXPORTED, actor=member, centre=event.centre, target="guests")
    return event


def _table(event: Event) -> list[Sequence[object]]:
    """A line for every guest: party, name, child, whether not paid, since when inside (on the event's own clock), gate,
    age, whether they only wait, their ticket where there are kinds of them, and what the party answered. Who waits
    comes last.
    """
    scans, asked = list(board.scans_of(event)), questions.of(event)
    return [
        (
            party.title,
            guest.name,
            _("yes") if guest.is_child else "",
            _("not paid") if party.is_unpaid else "",
            f"{guest.at.astimezone(event.zone):%Y-%m-%d %H:%M}" if guest.at else "",
            guest.gate,
            guest.age,
            _("yes") if states is IN_LINE else "",
            *((guest.ticket,) if event.ticket_types else ()),
            *(dict(party.answers).get(one.text, "") for one in asked),
        )
        for states in (COMING, IN_LINE)
        for party in board.parties_of(event, scans, states)
        for guest in party.guests
    ]


def _undecided(event: Event) -> list[tuple[Registration, list[tuple[str, str]]]]:
    """Who asks or waits, each with what they answered. At most three queries."""
    rows = seats.undecided_at(event)
    answers = questions.lines_of(event) if rows else {}
    return [(row, answers.get(row.pk, [])) for row in rows]


def _list(event: Event, words: str) -> dict[str, Any]:
    scans = list(board.scans_of(event))
    everybody = board.parties_of(event, scans)
    shown = [line for line in everybody if line.fits(words)] if words else everybody
    coming = sum(len(line.guests) for line in everybody), len(everybody)
    return {
        "event": event,
        "board": board.board(event, scans, coming),
        "parties": shown,
        "coming": [line.registration.pk for line in everybody],
        "is_open": _is_open(event),
        "tickets": seats.by_type(event),
        "q": words,
        "form_id": uuid.uuid4(),
    }


def _guests(
    request: HttpRequest, member: Member, event: Event, status: int = 200, **more: Any
) -> HttpResponse:
    runs = may_run(member, event)
    context = _list(event, request.GET.get("q", ""))
    context |= {
        "nav": "events",
        "summary": questions.summary(event, context["coming"]) if runs else [],
        "runs": runs,
        "undecided": _undecided(event) if runs else [],
        "helper_form": HelperForm(),
        "hand_form": _hand_form(event) if runs else None,
        "turnout": turnout.at(member, event) if runs else None,
        "letter_form": LetterForm(initial={"key": uuid.uuid4()}),
        "helpers": DoorHelper.objects.filter(event=event).select_related("member").order_by("named_at")
        if runs
        else [],
        "gates": Gate.objects.filter(event=event, closed_at=None).exclude(digest=None).order_by("paired_at")
        if runs
        else [],
    }
    return render(request, "events/guests.html", context | more, status=status)


def _hand_form(event: Event) -> ByHandForm | None:
    """The form for a party by hand, as long as one can be added."""
    if event.state != Event.State.PUBLISHED or event.is_over:
        return None
    return ByHandForm(initial={"key": uuid.uuid4(), "language": (get_language() or "en")[:2]}, event=event)


@login_required
@require_POST
def guests_letter(request: HttpRequest, pk: int) -> HttpResponse:
    """Write to everybody who comes, or who waits. The same form sent twice is one letter."""
    member, event = _at_door(request, pk)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event sees who comes."))
    form = LetterForm(request.POST)
    if form.is_valid():
        said = form.cleaned_data
        try:
            n = letters.write(member, pk, said["to"], said["text"], said["key"])
        except ValidationError as refused:
            put(form, refused)
        else:
            text = ngettext("%(n)d party gets your letter.", "%(n)d parties get your letter.", n)
            messages.success(request, text % {"n": n})
            return redirect("guests", event.pk)
    return _guests(request, member, event, 422, letter_form=form)


@login_required
@require_POST
def guests_add(request: HttpRequest, pk: int) -> HttpResponse:
    """Put a party on the list by hand. The same form sent twice is one party; refused, what was typed stays."""
    member, event = _at_door(request, pk)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event decides who comes."))
    form = ByHandForm(request.POST, event=event)
    status = 422
    if form.is_valid():
        said = form.cleaned_data
        try:
            row = by_hand.add(
                member,
                pk,
                form.guest(),
                form.named(),
                ticket=form.ticket(),
                key=said["key"],
                wait=said.get("wait", False),
            )
        except ValidationError as refused:
            status = 409
            put(form, refused, {"party": form.guest_fields[0].name})
        else:
            return _added(request, row)
    return _guests(request, member, event, status, hand_form=form)


def _added(request: HttpRequest, row: Registration) -> HttpResponse:
    if row.has_no_address:
        messages.success(
            request, _("They are on the list. Show or print this ticket, or let them in by name.")
        )
        return redirect("registration", row.pk)
    if row.is_coming:
        messages.success(request, _("They are on the list, and have their ticket by mail."))
    else:
        messages.info(request, _("They are on the waiting list, and were told by mail."))
    return redirect("guests", row.event_id)


def _is_open(event: Event) -> bool:
    """Whether a scan now would be neither too early nor too late."""
    now = clock.now()
    opens, over = event.doors_at, event.over_at
    return opens is not None and over is not None and opens <= now <= over + checkin.CLOSES_AFTER


@login_required
@require_POST
def guests_scan(request: HttpRequest, pk: int) -> HttpResponse:
    """Let in, let out or undo from the list, for who lost their phone. The same form sent twice counts once."""
    member, event = _at_door(request, pk)
    reading, names = _reading(request, member, event)
    told = checkin.record_as(member, event.pk, LIST, [reading], DeviceClock(0))
    _say(request, told.answers[0], names)
    return redirect(f"{reverse('guests', args=[event.pk])}#list")


def _reading(request: HttpRequest, member: Member, event: Event) -> tuple[Reading, str]:
    """What a button of the list means. Raises Registration.DoesNotExist for a party that is not of this event."""
    action, _colon, rest = request.POST.get("do", "").partition(":")
    form_id = request.POST.get("form", "")
    scan_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{form_id}/{event.pk}/{action}:{rest}")
    if action == "undo":
        return Reading(id=scan_id, kind=Scan.Kind.UNDO, undoes=_uuid(rest)), ""
    party, _dot, bitmap = rest.partition(".")
    try:
        registration_id, slots = ids.decode(party), int(bitmap)
    except ValueError:
        raise Registration.DoesNotExist from None
    row = Registration.objects.select_related("event").prefetch_related(
        "attendees__member", "attendees__child"
    )
    registration = row.get(pk=registration_id, event=event)
    names = ", ".join(
        board.name_of(one) for one in registration.attendees.all() if one.slot in slots_in(slots)
    )
    kind = Scan.Kind.OUT if action == "out" else Scan.Kind.IN
    forced = kind == Scan.Kind.IN and not _is_open(event) and may_run(member, event)
    code = tickets.code_of(registration)
    # No device time: the server's own is right, and the same form sent twice stays the same scan.
    return Reading(id=scan_id, kind=kind, code=code, slots=slots, forced=forced), names


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Registration.DoesNotExist from None


def _say(request: HttpRequest, answer: checkin.Answer, names: str) -> None:
    """The answer as a message on the next page."""
    match answer.status:
        case "admitted" | "partly":
            messages.success(request, _("Let in: %(names)s") % {"names": names})
        case "left":
            messages.success(request, _("Left: %(names)s") % {"names": names})
        case "undone":
            messages.success(request, _("Undone."))
        case "already_admitted" | "recorded_conflict":
            messages.warning(request, _("Already in: %(names)s") % {"names": names})
        case "not_inside":
            messages.warning(request, _("Was not inside: %(names)s") % {"names": names})
        case _ if not names:
            messages.error(request, _("This can no longer be undone here. Say that they left instead."))
        case _:
            messages.error(request, str(REASONS.get(answer.reason, REASONS[""])))


@login_required
@require_POST
def helpers(request: HttpRequest, pk: int) -> HttpResponse:
    """Name a door helper, or thank one. What was typed stays when nobody fits."""
    member, event = _at_door(request, pk)
    if request.POST.get("remove", "").isdecimal():
        gates.dismiss_helper(member, event.pk, int(request.POST["remove"][:18]))
        return redirect("guests", pk=event.pk)
    form = HelperForm(request.POST)
    if form.is_valid():
        try:
            helper = gates.name_helper(member, event.pk, form.cleaned_data["who"])
            messages.success(request, _("%(name)s can now open the door page.") % {"name": helper.member})
            return redirect("guests", pk=event.pk)
        except ValidationError as refused:
            put(form, refused)
    return _guests(request, member, event, 400, helper_form=form)


@never_cache
@login_required
@require_POST
def pairing(request: HttpRequest, pk: int) -> HttpResponse:
    """A fresh pairing QR: two minutes, one phone. With htmx only its panel."""
    member, event = _at_door(request, pk)
    url = gates.pairing_url(gates.pair(member, event.pk))
    shown: dict[str, Any] = {
        "pairing_url": url,
        "pairing_qr": tickets.drawn(tickets.qr_of(url), _("QR code to pair a phone")),
    }
    if request.headers.get("HX-Request"):
        return render(request, "events/guests.html#pairing", {"event": event} | shown)
    return _guests(request, member, event, **shown)


@login_required
@require_POST
def gate_close(request: HttpRequest, pk: int) -> HttpResponse:
    """Close a paired phone: its token opens nothing any more."""
    member, event = _at_door(request, pk)
    try:
        gates.close_gate(member, ids.decode(request.POST.get("gate", "")))
    except ValueError:
        raise Gate.DoesNotExist from None
    messages.success(request, _("The phone was disconnected."))
    return redirect("guests", pk=event.pk)
