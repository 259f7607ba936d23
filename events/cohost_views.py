"""The page of who hosts an event together."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from community.models import Member
from events import cohosts
from events.access import event_for, may_lead, may_run
from events.models import CoHost, Event
from events.owning import centres_of, owns
from events.views import member_of, put


class CoHostForm(forms.Form):
    """Who shall host with you."""

    who = forms.CharField(
        label=gettext_lazy("Who hosts with you?"),
        help_text=gettext_lazy("Their e-mail address, or the name of somebody who comes."),
        max_length=254,
    )
    every_date = forms.BooleanField(label=gettext_lazy("For every date of this series"), required=False)


@login_required
@require_http_methods(["GET", "POST"])
def event_hosts(request: HttpRequest, pk: int) -> HttpResponse:
    """Who hosts it; name somebody, thank somebody, step down. What was typed stays when nobody fits."""
    member = member_of(request)
    event = event_for(member, pk)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can change it."))
    if request.method != "POST":
        return _page(request, member, event, CoHostForm())
    if "leave" in request.POST:
        if cohosts.step_down(member, pk):
            messages.success(request, _("You no longer host this event. Thank you for your help."))
        return redirect("my_events")
    centre = request.POST.get("centre", "")
    if centre.isascii() and centre.isdecimal() and len(centre) < 20:
        if cohosts.take_out(member, pk, int(centre)):
            messages.success(request, _("This centre no longer runs it. Everything else stays as it is."))
        stays = may_run(member, event)
        return redirect("event_hosts", pk) if stays else redirect("my_events")
    if request.POST.get("remove", "").isdecimal():
        cohosts.dismiss(member, pk, int(request.POST["remove"][:18]))
        return redirect("event_hosts", pk)
    form = CoHostForm(request.POST)
    if form.is_valid():
        said = form.cleaned_data
        try:
            row = cohosts.name(member, pk, said["who"], every_date=said["every_date"])
        except ValidationError as refused:
            put(form, refused)
        else:
            messages.success(
                request, _("%(name)s hosts with you now, and is told by mail.") % {"name": row.member}
            )
            return redirect("event_hosts", pk)
    return _page(request, member, event, form, 422)


def _page(
    request: HttpRequest, member: Member, event: Event, form: CoHostForm, status: int = 200
) -> HttpResponse:
    rows = list(CoHost.objects.at(event).select_related("member"))
    if event.series_id is None:
        del form.fields["every_date"]
    context = {
        "nav": "events",
        "event": event,
        "rows": rows,
        "leads": may_lead(member, event),
        "centres": [event.centre, *event.partner_centres.order_by("name", "pk")],
        "theirs": centres_of(member),
        "owns": owns(member, event),
        "is_one": any(row.member_id == member.pk for row in rows),
        "form": form,
    }
    return render(request, "events/hosts.html", context, status=status)
