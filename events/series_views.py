"""A change of a meetup on its page: first what becomes of each date, then it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from community.models import Member
from events import by_hand, rescheduling
from events.forms import CallOffForm
from events.host_forms import EventForm
from events.models import Event
from events.rescheduling import Affected, Which
from events.views import put

OURS = {
    "csrfmiddlewaretoken",
    "sure",
    "reason",
    "back",
    "preview",
}  # of the page that asks, not typed in the editor
OPEN = 10  # dates in sight at once; of the others those for which somebody is registered
SHOWN_AS = {
    "starts_at": "starts",
    "ends_at": "ends",
    "place": "town",
    "is_free": "price",
    "price_note": "price",
    "rrule": "repeat",
    "rdates": "extra",
    "exdates": "exceptions",
}


def change(request: HttpRequest, member: Member, event: Event, form: EventForm) -> HttpResponse:
    """Show what a valid form would do to each date; with `sure` do it. Nothing is written before.

    Raises ValidationError for what is wrong with the form, not with the reason that is asked for here.
    """
    said = form.cleaned_data
    plan, recurrence = rescheduling.differences(event, form.plan()), form.new_recurrence(event)
    which = Which(said["scope"] or "this", event.pk, said["version"], request.POST.get("reason", ""))

    def tried(*, dry_run: bool) -> list[Affected]:
        assert event.series is not None, "a date of a meetup"
        return rescheduling.change_series(
            member,
            event.series.pk,
            which,
            plan,
            recurrence=recurrence,
            version=said["series_version"],
            dry_run=dry_run,
        )

    reason = CallOffForm(request.POST if "sure" in request.POST else None)
    if "sure" in request.POST and reason.is_valid():
        try:
            done = [one for one in tried(dry_run=False) if one.change != "kept"]
        except ValidationError as refused:
            if "reason" not in getattr(refused, "error_dict", {}):
                raise
            put(reason, refused)
        else:
            text = ngettext("%(n)d date is changed.", "%(n)d dates are changed.", len(done))
            messages.success(request, text % {"n": len(done)})
            return redirect(event)
    affected = tried(dry_run=True) if plan or recurrence else []
    if affected and all(one.change == "kept" for one in affected):
        text = _(
            "Every date that this is about was changed by itself before and stays as it is: nothing would change. To change"
            " this one, choose this date alone."
        )
        raise ValidationError(text, code="kept")
    if not affected:
        messages.info(request, _("Nothing is different now, so nothing was changed and nobody was told."))
        return redirect(event)
    facts = [form[SHOWN_AS.get(name, name)].label for name in (*plan, *recurrence)]
    reason.fields["reason"].required = any(
        one.registrations and one.change == "called_off" for one in affected
    )
    status = 422 if reason.errors else 200
    context = {"nav": "events", "event": event, "facts": list(dict.fromkeys(facts)), "form": reason}
    context |= _counts(affected) | {"typed": _typed(request)}
    context["unreachable"] = by_hand.unreachable_at([one.event for one in affected if _is_told(one)])
    return render(request, "events/series_change.html", context, status=status)


def _counts(affected: Sequence[Affected]) -> dict[str, Any]:
    """The list, and how many registrations it is about: of all dates that become different, and of those that fall away."""
    told = [one for one in affected if _is_told(one)]
    first = [one for number, one in enumerate(affected) if number < OPEN or one.registrations]
    return {
        "affected": affected,
        "first": first,
        "rest": [one for one in affected if one not in first],
        "told": sum(one.registrations for one in told),
        "lost": sum(one.registrations for one in affected if one.change == "called_off"),
    }


def _is_told(one: Affected) -> bool:
    """Who comes on that date hears of it."""
    return bool(one.told) or one.change == "called_off"


def _typed(request: HttpRequest) -> list[tuple[str, str]]:
    """Everything that was typed in the editor, to be sent once more."""
    return [(name, str(one)) for name, values in request.POST.lists() if name not in OURS for one in values]
