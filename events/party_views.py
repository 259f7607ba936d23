"""Pages about one party, for who runs the event: say yes or no to it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from events import approval
from events.access import registration_for
from events.models import Registration
from events.views import member_of


@login_required
@require_POST
def registration_decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Who runs the event says yes to a party that asks (`answer=yes`), or no to any (`answer=no`, with a `text`).

    A second answer of the same kind changes nothing. Anything else asks again: only a clear word decides.
    """
    member = member_of(request)
    row = registration_for(member, pk)
    answer = request.POST.get("answer")
    try:
        if answer == "yes":
            _say(request, approval.approve(member, pk))
        elif answer == "no":
            approval.turn_down(member, pk, request.POST.get("text", ""))
            messages.success(request, _("They were told, with your words."))
    except ValidationError as refused:
        messages.error(request, refused.messages[0])
    return redirect(f"{reverse('guests', args=[row.event_id])}#ask")


def _say(request: HttpRequest, row: Registration) -> None:
    if row.is_coming:
        messages.success(request, _("They come, and have their ticket."))
    else:
        messages.info(request, _("Every place is taken: they are in the line, by when they asked."))
