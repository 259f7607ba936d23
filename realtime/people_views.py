"""Pages about the people of talk: who is in a room, quiet and leaving, asking somebody to talk, blocking, taking out."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from realtime import blocks, conversations, direct, ids, moderation, people, rooms
from realtime.models import Room

MOST_PAGES = 1000


def page_number(request: HttpRequest) -> int:
    """Which page of a list is asked for; the first where that is no number."""
    text = request.GET.get("page", "")
    return min(max(1, int(text)), MOST_PAGES) if text.isascii() and text.isdigit() and len(text) < 6 else 1


@login_required
@require_GET
def people_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Who is in the room, by name, searched, a page at a time; how quiet it is and the way out. At most ten queries.

    Raises Room.DoesNotExist.
    """
    member: Any = request.user
    here = conversations.here(member, pk)
    words = request.GET.get("q", "").strip()[: people.LONGEST_WORDS]
    number = page_number(request)
    page = people.page_of(here.room, member, words, number)
    may_moderate = rooms.may_moderate(member, here.room)
    context = {
        "nav": "chat",
        "here": here,
        "room": here.room,
        "may_leave": here.room.closed_at or here.room.kind in {Room.Kind.CIRCLE, Room.Kind.EVENT},
        "people": page.people,
        "q": words,
        "number": number,
        "previous": number - 1,
        "next": number + 1 if page.more else None,
        "may_moderate": may_moderate,
        "taken_out": people.taken_out_of(here.room) if may_moderate else [],
    }
    return render(request, "realtime/people.html", context)


@login_required
@require_POST
def room_mute(request: HttpRequest, pk: int) -> HttpResponse:
    """Quiet on (`muted=1`) or off. Raises Room.DoesNotExist."""
    muted = request.POST.get("muted") == "1"
    conversations.mute(request.user, pk, muted)
    said = _("This conversation is quiet now. Who names you still gets through.")
    messages.success(request, said if muted else _("You hear of what is new here again."))
    return redirect("people", pk)


@login_required
@require_http_methods(["GET", "POST"])
def room_leave(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks first and says what it means; then steps out. Raises Room.DoesNotExist."""
    member: Any = request.user
    here = conversations.here(member, pk)
    problem = ""
    if request.method == "POST":
        try:
            conversations.step_out(member, pk)
        except ValidationError as no:
            problem = no.messages[0]
        else:
            messages.info(request, _("You have left the conversation."))
            return redirect("chat")
    context = {"nav": "chat", "room": here.room, "problem": problem}
    return render(request, "realtime/leave.html", context, status=409 if problem else 200)


@login_required
@require_POST
def room_come_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Back into a conversation one stepped out of. Raises Room.DoesNotExist."""
    conversations.come_back(request.user, pk)
    return redirect("room", pk)


@login_required
@require_POST
def person_talk(request: HttpRequest, pk: int, member_id: int) -> HttpResponse:
    """Ask somebody of the room to talk. Raises Room.DoesNotExist and DoesNotExist of a member."""
    member: Any = request.user
    person = people.person_in(rooms.room_for(member, pk), member, member_id)
    try:
        talk = direct.ask(member, person.pk)
    except ValidationError as no:
        messages.error(request, no.messages[0])
        return redirect("people", pk)
    if talk.room_id is not None:
        return redirect("room", talk.room_id)
    text = _("%(name)s has been asked. If they say yes, your conversation appears in your list.")
    messages.success(request, text % {"name": person.display_name})
    return redirect("people", pk)


@login_required
@require_POST
def talk_answer(request: HttpRequest, pk: int, answer: str) -> HttpResponse:
    """Accept or decline a request to talk, or block who asks. Raises TalkRequest.DoesNotExist."""
    member: Any = request.user
    if answer == "accept":
        try:
            return redirect("room", direct.accept(member, pk).pk)
        except ValidationError as no:
            messages.error(request, no.messages[0])
    elif answer == "decline":
        direct.decline(member, pk)
        messages.info(request, _("Declined. Nobody is told."))
    elif answer == "block":
        direct.block(member, direct.request_for(member, pk).asker_id)
        messages.info(request, _("Blocked. You two hear nothing of each other any more."))
    else:
        raise Http404
    return redirect("chat")


@login_required
@require_http_methods(["GET", "POST"])
def person_block(request: HttpRequest, pk: int, member_id: int) -> HttpResponse:
    """Asks first and says what a block does; then blocks. Raises Room.DoesNotExist and DoesNotExist of a member."""
    member: Any = request.user
    here = conversations.here(member, pk)
    person = people.person_in(here.room, member, member_id)
    if request.method == "POST":
        direct.block(member, person.pk)
        messages.info(request, _("Blocked. You two hear nothing of each other any more."))
        return redirect("chat" if here.room.kind == Room.Kind.DIRECT else "people", *_of(here.room))
    context = {"nav": "chat", "room": here.room, "person": person}
    return render(request, "realtime/block.html", context)


def _of(room: Room) -> list[int]:
    return [] if room.kind == Room.Kind.DIRECT else [room.pk]


@login_required
@require_http_methods(["GET", "POST"])
def blocked(request: HttpRequest) -> HttpResponse:
    """Whom the member has blocked; POST takes one of these blocks away. Three queries for any number."""
    member: Any = request.user
    if request.method == "POST":
        try:
            other_id = ids.decode(request.POST.get("member", ""))
        except ValueError as wrong:
            raise Http404 from wrong
        direct.unblock(member, other_id)
        messages.success(request, _("The block is gone."))
        return redirect("blocked")
    rows = list(blocks.of(member)[:500])
    shared = people.rooms_to_report_in(member, [row.blocked_id for row in rows])
    context = {"nav": "me", "rows": [(row, shared.get(row.blocked_id)) for row in rows]}
    return render(request, "realtime/blocked.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def person_remove(request: HttpRequest, pk: int, member_id: int) -> HttpResponse:
    """Who looks after the room takes somebody out: asks for the reason first. Raises Room.DoesNotExist, PermissionDenied,
    DoesNotExist of a member.
    """
    member: Any = request.user
    room = moderation.room_to_moderate(member, pk)
    person = people.person_in(room, member, member_id)
    problem = ""
    if request.method == "POST":
        try:
            moderation.remove(member, pk, member_id, request.POST.get("reason", ""))
        except ValidationError as no:
            problem = no.messages[0]
        else:
            text = _("%(name)s is out, and knows why.") % {"name": person.display_name}
            messages.success(request, text)
            return redirect("people", pk)
    context = {"nav": "chat", "room": room, "person": person, "problem": problem}
    return render(request, "realtime/remove.html", context, status=400 if problem else 200)


@login_required
@require_POST
def person_readmit(request: HttpRequest, pk: int, member_id: int) -> HttpResponse:
    """Let somebody come in again. Raises Room.DoesNotExist, PermissionDenied."""
    moderation.readmit(request.user, pk, member_id)
    messages.success(request, _("They may come in again, and get a mail that says so."))
    return redirect("people", pk)
