"""The pages of one's own data: take it along, and leave for good.

Before anything of it happens people show once more that it is them: config/reauthentication.py names these pages.
"""

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from community import exports, privacy
from community.models import Export, Member

FILE_NAME = "euregio-circles-{:%Y-%m-%d}.zip"


def _me(request: HttpRequest) -> Member:
    """Who is signed in, behind `login_required`."""
    return cast(Member, request.user)


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def my_data(request: HttpRequest) -> HttpResponse:
    """Ask for a copy and watch it being made; POST asks. At most two queries more than the frame."""
    member = _me(request)
    if request.method == "POST":
        exports.ask(member, get_language() or "")
        return redirect("my_data")
    export = exports.of(member)
    is_under_way = export is not None and export.state in (Export.State.QUEUED, Export.State.RUNNING)
    context = {
        "nav": "me",
        "export": export,
        "is_under_way": is_under_way,
        "kept_days": exports.KEPT_FOR.days,
        "erasure": privacy.erasure_of(member.pk),
        "grace": privacy.GRACE.days,
    }
    return render(request, "community/my_data.html", context)


@never_cache
@login_required
@require_GET
def export_file(request: HttpRequest, pk: int) -> HttpResponse:
    """The member's own copy, as a download. Raises Export.DoesNotExist."""
    return file_of(exports.export_for(_me(request), pk))


def file_of(export: Export) -> HttpResponse:
    """A copy that is ready, as an attachment no cache keeps. Raises Export.DoesNotExist while it is not."""
    if export.done_at is None:
        raise Export.DoesNotExist
    answer = HttpResponse(b"".join(exports.content(export)), content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="{FILE_NAME.format(export.done_at)}"'
    answer["Cache-Control"] = "private, no-store"
    return answer


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def erase(request: HttpRequest) -> HttpResponse:
    """Says what goes and what stays, and what others count on; POST asks to be forgotten."""
    member = _me(request)
    if request.method == "POST":
        privacy.ask_erasure(member)
        return redirect("my_data")
    context = {"nav": "me", "duties": privacy.duties_of(member), "grace": privacy.GRACE.days}
    return render(request, "community/erase.html", context)


@login_required
@require_POST
def erase_withdraw(request: HttpRequest) -> HttpResponse:
    """One button, on every page: the account stays."""
    privacy.withdraw_erasure(_me(request))
    messages.success(request, _("Good to have you here. Your account stays."))
    return redirect("my_data")
