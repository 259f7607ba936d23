"""Pages of talk: my rooms, and one room with its newest messages. Live and complete with script, readable without."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from realtime import bell, chat, conversations, direct, ids, presence, reading, reports, rooms
from realtime.models import Room


@login_required
@require_GET
def chat_page(request: HttpRequest) -> HttpResponse:
    """All rooms of the member by what needs them, and who asks to talk. At most eight queries for any number.

    `?part=list`: the list alone, for a page that has fallen behind it.
    """
    member: Any = request.user
    bell.seen(member, "talk")
    if request.GET.get("part") == "list":
        return render(request, "realtime/_rooms.html", {"rows": conversations.of(member)})
    context = {
        "nav": "chat",
        "rows": conversations.of(member),
        "requests": direct.first_requests_to(member, 20),
        "reports": reports.open_for(member),
    }
    return render(request, "realtime/chat.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def room_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One room: the newest messages; POST says something without script. Raises Room.DoesNotExist."""
    member: Any = request.user
    text, problem, status = "", "", 200
    if request.method == "POST":
        text = request.POST.get("text", "")
        try:
            chat.post(
                member, pk, text, _key(request.POST.get("key", "")), language=request.POST.get("language", "")
            )
        except ValidationError as no:
            problem, status = no.messages[0], 400
        else:
            return redirect("room", pk=pk)
    rows = conversations.of(member)
    here = next((row for row in rows if row.room_id == pk), None)
    if here is None:
        raise Room.DoesNotExist
    bell.seen(member, "room", pk)
    page = reading.history(
        member, pk
    )  # after the head was read: what comes between is heard again, not missed
    context = {
        "nav": "chat",
        "rows": rows,
        "here": here,
        "room": here.room,
        "epoch": rooms.epoch(),
        "frames": page.rows[::-1],
        "messages_page": _shown(page.rows[::-1], member),
        "more": page.more,
        "may_moderate": rooms.may_moderate(member, here.room),
        "key": uuid4(),
        "text": text,
        "problem": problem,
        "limit": chat.MAX_TEXT,
    }
    return render(request, "realtime/room.html", context, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def message_hide(request: HttpRequest, pk: int, seq: int) -> HttpResponse:
    """Who looks after a room hides a message: asks for the reason first. Raises Room.DoesNotExist, Entry.DoesNotExist."""
    member: Any = request.user
    room = rooms.room_for(member, pk)
    message = reading.message_for(member, room, seq)
    problem = ""
    if request.method == "POST":
        try:
            chat.hide(member, pk, seq, _key(request.POST.get("key", "")), request.POST.get("reason", ""))
        except ValidationError as no:
            problem = no.messages[0]
        else:
            messages.success(request, _("The message is hidden, and its author knows why."))
            return redirect("room", pk=pk)
    context = {"nav": "chat", "room": room, "message": message, "key": uuid4(), "problem": problem}
    return render(request, "realtime/hide.html", context, status=400 if problem else 200)


@login_required
@require_http_methods(["GET", "POST"])
def shown(request: HttpRequest) -> HttpResponse:
    """May others see that I am here, and that I am writing? One question, two buttons."""
    member: Any = request.user
    if request.method == "POST":
        is_shown = request.POST.get("shown") == "1"
        presence.show(member, is_shown)
        said = _("Others see when you are here.") if is_shown else _("Nobody sees when you are here.")
        messages.success(request, said)
        return redirect("chat")
    return render(request, "realtime/shown.html", {"nav": "chat", "choice": presence.choice_of(member)})


def _key(text: str) -> UUID:
    """The key of a form; a form that lost it gets a new one (then a second tap is a second message)."""
    try:
        return UUID(text)
    except ValueError:
        return uuid4()


def _shown(rows: list[dict[str, Any]], member: Any) -> list[dict[str, Any]]:
    """Messages as the page shows them before any script has run; `day` where another begins on the reader's clock."""
    found: list[dict[str, Any]] = []
    day = None
    for row in rows:
        if row["kind"] == "hidden":
            continue
        author, said, at = row["author"], row["body"], datetime.fromisoformat(row["at"])
        before, day = day, timezone.localdate(at)
        message = {
            "seq": row["seq"],
            "author": author and {"id": ids.decode(author["id"]), "name": author["name"]},
            "at": at,
            "day": day if day != before else None,
            "text": said["text"] if said else None,
            "language": said["language"] if said else "",
            "is_mine": author is not None and author["id"] == member.public_id,
        }
        found.append(message)
    return found
