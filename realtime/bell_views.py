"""The page of the bell: what the member was told, the newest first."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from realtime import bell, ids


@login_required
@require_GET
def notification_list(request: HttpRequest) -> HttpResponse:
    """Notifications of the member, a page at a time; `before`: the last one of the page before. At most four queries.

    `?part=list`: the list alone, for a page at which the bell rings.
    """
    member: Any = request.user
    try:
        before = ids.decode(request.GET.get("before", ""))
    except ValueError:
        before = None
    rows, more = bell.page(member, before)
    context = {"nav": "bell", "rows": rows, "more": more, "is_first": before is None}
    if request.GET.get("part") == "list":
        return render(request, "realtime/_notifications.html", context)
    return render(request, "realtime/notifications.html", context)


@login_required
@require_POST
def notifications_read(request: HttpRequest) -> HttpResponse:
    """Everything is read. Again: nothing happens."""
    bell.read_all(request.user)
    messages.success(request, _("All read."))
    return redirect("notifications")


@login_required
@require_POST
def notification_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """One is taken away. There is none: nothing happens."""
    bell.remove(request.user, pk)
    return redirect("notifications")
