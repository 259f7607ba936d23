"""Pages for who hosts: write an event or a meetup with its next dates in view, change it, call it off."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from community import members
from community.models import Member
from events import ages, by_hand, ending, hosting, rescheduling, series, series_views, undoing
from events.access import event_for, may_run, may_run_series
from events.forms import CallOffForm, today
from events.host_forms import EndForm, EventForm
from events.models import Event
from events.preview import left_out, preview
from events.views import member_of, put, renew
from events.when_form import WhenForm
from realtime import ids

PREVIEW = 10
FIELDS = {"starts_at": "starts", "ends_at": "ends"}  # what verbs call what the form asks for


@login_required
@require_http_methods(["GET", "POST"])
def event_new(request: HttpRequest) -> HttpResponse:
    """Write a single event or a meetup. “Show dates” saves nothing and keeps what was typed."""
    host = member_of(request)
    if not members.is_host(host):
        raise PermissionDenied(
            _("Only hosts and centre staff can publish events. Ask your centre to become one.")
        )
    if request.method != "POST":
        form = EventForm(member=host, initial={"language": host.language[:2], "day": today()})
        return _editor(request, form)
    form = EventForm(request.POST, member=host)
    if "preview" in request.POST:
        return _editor(request, _kept(form, host), dates=_dates(WhenForm(request.POST), host))
    if form.is_valid() and form.cleaned_data["day"] < today():
        form.add_error("day", _("This day has passed."))
    if form.is_valid() and "draft" in request.POST and form.repeats:
        form.add_error("repeat", _("Only a single event can be kept as a draft."))
    if form.is_valid():
        try:
            return redirect(_published(request, host, form))
        except ValidationError as refused:
            _refuse(form, refused)
    return _editor(request, form, dates=_dates(WhenForm(request.POST), host), status=422)


@login_required
@require_http_methods(["GET", "POST"])
def event_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change an event; of a series: this date, this and all following, or all still to come, after a look at what that does."""
    member = member_of(request)
    event = _run_by(member, pk)
    if request.method != "POST":
        initial = EventForm.initial_of(event)
        form = EventForm(member=member, event=event, initial=initial)
        return _editor(request, form, event, dates=_dates_of(event, member, initial))
    form = EventForm(request.POST, member=member, event=event)
    if "preview" in request.POST or "back" in request.POST:
        dates = _dates_of(event, member, request.POST)
        return _editor(request, _kept(form, member, event), event, dates=dates)
    if form.is_valid():
        try:
            if event.series_id:
                return series_views.change(request, member, event, form)
            had = event.min_age, event.max_age
            messages.success(request, _changed(member, event, form, publishes="publish" in request.POST))
            _note_ages(request, _run_by(member, pk), had)
            if names := by_hand.unreachable_at([event]):
                text = _("No mail reaches who has no e-mail address. Please tell them yourself: %(names)s")
                messages.info(request, text % {"names": ", ".join(names)})
            return redirect(event)
        except ValidationError as refused:
            _refuse(form, refused)
            stored = EventForm.initial_of(_run_by(member, pk))
            renew(form, refused, {name: value for name, value in stored.items() if name != "scope"})
    return _editor(request, form, event, dates=_dates_of(event, member, request.POST), status=422)


@login_required
@require_POST
def event_copy(request: HttpRequest, pk: int) -> HttpResponse:
    """The same once more, as a draft without a date. A second time makes a second draft."""
    draft = hosting.copy(member_of(request), pk)
    messages.success(request, _("This is your copy. Give it a date, then publish it."))
    return redirect("event_edit", draft.pk)


@login_required
@require_http_methods(["GET", "POST"])
def event_discard(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask once, then throw a draft away."""
    member = member_of(request)
    event = _run_by(member, pk)
    if request.method == "POST":
        try:
            hosting.discard(member, pk)
        except ValidationError as refused:
            messages.error(request, refused.messages[0])
            return redirect(event)
        messages.success(request, _("The draft is gone."))
        return redirect("my_events")
    if event.state != Event.State.DRAFT:
        return redirect("event_call_off", pk)
    return render(request, "events/discard.html", {"nav": "events", "event": event})


@login_required
@require_GET
def event_preview(request: HttpRequest) -> HttpResponse:
    """The next dates of what is being typed, as a part of the page. Nothing is saved."""
    dates = _dates(WhenForm(request.GET), member_of(request), request.GET.get("of", ""))
    return render(request, "events/_dates.html", {"dates": dates})


@login_required
@require_http_methods(["GET", "POST"])
def event_call_off(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask once, with the reason that everybody is told, then call it off; of a meetup, all after it too if so chosen."""
    member = member_of(request)
    event = _run_by(member, pk)
    later = ending.dates_from(event).exclude(pk=pk)
    n = later.count() if event.series and may_run_series(member, event.series) else 0
    form = EndForm(request.POST or None) if n else CallOffForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            messages.success(request, _called_off(member, pk, form.cleaned_data))
        except ValidationError as refused:
            put(form, refused)
        else:
            return redirect(event)
    people = sum(event.registrations.live().values_list("party_size", flat=True))
    status = 409 if request.method == "POST" else 200
    context = {
        "nav": "events",
        "event": event,
        "form": form,
        "people": people,
        "later": n,
        "later_people": ending.people_at(later) if n else 0,
        "unreachable": by_hand.unreachable_at([event]),
    }
    return render(request, "events/call_off.html", context, status=status)


def _called_off(member: Member, pk: int, said: dict[str, Any]) -> str:
    """Call off what was chosen; what to tell the host."""
    if said.get("scope") == "following":
        n = len(ending.end_from(member, pk, said["reason"]))
        text = ngettext(
            "%(n)d date is called off, and no more are planned. For ten minutes you can undo that here.",
            "%(n)d dates are called off, and no more are planned. For ten minutes you can undo that here.",
            n,
        )
        return text % {"n": n}
    hosting.call_off(member, pk, said["reason"])
    return _("It is called off. For ten minutes you can undo that here.")


@login_required
@require_http_methods(["GET", "POST"])
def event_restore(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a call-off back; asked for by itself, it is the event's page."""
    member = member_of(request)
    event = _run_by(member, pk)
    if request.method == "POST":
        try:
            back = ending.go_on(member, pk) if "all" in request.POST else [undoing.restore(member, pk)]
        except ValidationError as refused:
            messages.error(request, refused.messages[0])
        else:
            messages.success(request, _("It takes place after all. Everybody has their place back."))
            if any(map(undoing.kept_its_hour, back)):
                text = _(
                    "Its series has moved meanwhile; it is at the time it had. Change it if it shall move, too."
                )
                messages.info(request, text)
    return redirect(event)


def _run_by(member: Member, pk: int) -> Event:
    event = event_for(member, pk)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can change it."))
    return event


def _published(request: HttpRequest, host: Member, form: EventForm) -> Event:
    """Publish what the form says; the event to show next."""
    is_draft = "draft" in request.POST
    rule = form.published() if form.repeats else None
    if again := rescheduling.published_again(host, form.plan(), rule, is_draft=is_draft):
        messages.info(
            request, _("You made this a moment ago, word for word: here it is. It was not made twice.")
        )
        return again
    if is_draft:
        event = hosting.publish(host, form.plan(), is_draft=True)
        messages.success(request, _("It is kept as a draft. Only you and your centre see it."))
        return event
    if not form.repeats:
        event = hosting.publish(host, form.plan())
        messages.success(request, _("It is published. Share its page with those who should come."))
        return event
    meetup = hosting.publish_series(host, form.plan(), form.recurrence())
    first = meetup.occurrences.upcoming().first() or meetup.occurrences.order_by("starts_at").get()
    made = meetup.occurrences.count()
    text = ngettext(
        "It is published with %(n)d date.", "It is published with %(n)d dates for the coming year.", made
    )
    messages.success(request, text % {"n": made})
    return first


@transaction.atomic
def _changed(member: Member, event: Event, form: EventForm, *, publishes: bool) -> str:
    """Change what differs from a single event, and publish a draft when asked to; what to tell the host."""
    different = rescheduling.differences(event, form.plan())
    hosting.change(member, event.pk, different, form.cleaned_data["version"])
    if publishes:
        hosting.publish_draft(member, event.pk)
        return _("It is published. Share its page with those who should come.")
    return _("It is changed. Who registered is told where it matters.")


def _note_ages(request: HttpRequest, event: Event, had: tuple[int | None, int | None]) -> None:
    """Who registered a child before its event got other ages keeps the place: the host is told whom that concerns."""
    if (event.min_age, event.max_age) != had and (names := ages.outside(event)):
        text = _("These children are not of the ages it is for now, and keep their places: %(names)s")
        messages.info(request, text % {"names": ", ".join(names)})


def _refuse(form: EventForm, refused: ValidationError) -> None:
    """Put a verb's no beside what was typed: of the rule, beside the field it was written in."""
    put(form, refused, FIELDS | {"rrule": "rule" if form.is_typed else "repeat"})


def _dates_of(event: Event, host: Member, typed: Any) -> Any:
    """The next dates of a meetup that is being changed, from one of them on; nothing for a single event."""
    return _dates(WhenForm(typed), host, event.public_id) if event.series_id else None


def _dates(form: WhenForm, host: Member, of: str = "") -> dict[str, Any]:
    """What the part with the next dates shows: dates with notes, or what is still missing; and the rule itself.

    `of` is the id of the date that is being changed, of whose meetup the host hears nothing new here.
    """
    if not form.is_valid():
        errors = [error for name, errors in form.errors.items() for error in errors if name != "rule"]
        return {"errors": errors, "rule": form.rule_form()}
    try:
        if form.repeats:
            series.check(form.rule_to_tick())
        found, more = preview(form.rule_to_tick(), PREVIEW, host=host, besides=_id(of))
    except ValidationError as refused:
        if form.is_typed:
            return {"rule": form.rule_form(refused.messages), "is_wrong": True}
        return {"errors": refused.messages, "rule": form.rule_form()}
    said = form.cleaned_data
    return {
        "found": found,
        "more": more,
        "all_day": said["all_day"],
        "repeats": form.repeats,
        "left_out": said["leave_out"],
        "holidays": left_out(form.rule_to_tick(), found, more=more),
        "rare_day": form.rare_day,
        "rule": form.rule_form(),
    }


def _id(text: str) -> int | None:
    try:
        return ids.decode(text) if text else None
    except ValueError:
        return None


def _kept(form: EventForm, host: Member, event: Event | None = None) -> EventForm:
    """The form with what was typed and no complaints yet: the host only wanted to see the dates, or went back."""
    typed = {
        name: field.widget.value_from_datadict(form.data, form.files, name)
        for name, field in form.fields.items()
    }
    kept = EventForm(member=host, event=event, initial=typed)
    kept.question_rows, kept.ticket_rows = form.question_rows.as_typed(), form.ticket_rows.as_typed()
    return kept


def _editor(
    request: HttpRequest, form: Form, event: Event | None = None, *, dates: Any = None, status: int = 200
) -> HttpResponse:
    context = {"nav": "events", "form": form, "event": event, "dates": dates}
    return render(request, "events/editor.html", context, status=status)
