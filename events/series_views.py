"""A change of a meetup on its page: first what becomes of each date, then it is saved."""

from __future__ import annotations

from collections import Counter
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
from events.hosting import Plan
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
            messages.success(request, _said(done))
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
    facts = [form[SHOWN_AS.get(name, name)].label for name in (*_shown(event, plan), *recurrence)]
    reason.fields["reason"].required = any(
        one.registrations and one.change == "called_off" for one in affected
    )
    status = 422 if reason.errors else 200
    context = {"nav": "events", "event": event, "facts": list(dict.fromkeys(facts)), "form": reason}
    context |= _counts(affected) | {"typed": _typed(request)}
    context["unreachable"] = by_hand.unreachable_at([one.event for one in affected if _is_told(one)])
    return render(request, "events/series_change.html", context, status=status)


def _said(done: Sequence[Affected]) -> str:
    """What was done, kind by kind."""
    kinds = Counter(one.change for one in done)
    kept = sum(n for kind, n in kinds.items() if kind not in {"called_off", "added", "restored"})
    told = [
        (kept, ngettext("%(n)d date is changed.", "%(n)d dates are changed.", kept)),
        (
            kinds["called_off"],
            ngettext("%(n)d date falls away.", "%(n)d dates fall away.", kinds["called_off"]),
        ),
        (kinds["added"], ngettext("%(n)d date is new.", "%(n)d dates are new.", kinds["added"])),
        (kinds["restored"], ngettext("%(n)d date comes back.", "%(n)d dates come back.", kinds["restored"])),
    ]
    return " ".join(text % {"n": n} for n, text in told if n)


def _shown(event: Event, plan: Plan) -> list[str]:
    """The fields of a plan that somebody changed: an end that only goes along with its start is none, nor the other way round."""
    names = list(plan)
    if "starts_at" not in plan or "ends_at" not in plan or event.starts_at is None:
        return names
    start, end = event.local_start, event.local_end
    if start and plan["starts_at"] == start.replace(tzinfo=None):
        names.remove("starts_at")
    elif (
        start
        and end
        and plan["ends_at"]
        and plan["ends_at"] - plan["starts_at"] == end.replace(tzinfo=None) - start.replace(tzinfo=None)
    ):
        names.remove("ends_at")
    return names


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
