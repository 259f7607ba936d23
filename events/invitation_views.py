"""Pages of invitations: the host's list, and what the link of an invitation opens."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from community.models import Circle, Member
from events import invited, inviting
from events.access import event_for, invitation_for, may_run
from events.addresses import MAX_TEXT
from events.event_page import event_shown
from events.forms import GuestForm
from events.models import Event, Invitation, Registration
from events.telling import guest_url
from events.views import mailed_key, member_of, put, reader_of, signed_in, unlisted
from realtime import ids
from realtime.models import MailedKey


class PastField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """An earlier event, by its name and day."""

    def label_from_instance(self, event: Any) -> str:
        return f"{event.text('title')} ({event.local_start:%d.%m.%Y})"


class InvitationForm(forms.Form):
    """Whom to invite: any of three ways, or all at once."""

    circle = forms.ModelChoiceField(
        Circle.objects.none(),
        label=gettext_lazy("Everybody in a circle"),
        required=False,
        empty_label=gettext_lazy("None"),
    )
    past = PastField(
        Event.objects.none(),
        label=gettext_lazy("Who came to an earlier event"),
        required=False,
        empty_label=gettext_lazy("None"),
    )
    emails = forms.CharField(
        label=gettext_lazy("People by e-mail"),
        required=False,
        max_length=MAX_TEXT,
        widget=forms.Textarea({"rows": 4}),
        help_text=gettext_lazy("One address a line, or a list as you have it: Name <name@example.org>"),
    )
    language = forms.ChoiceField(
        label=gettext_lazy("To who is not known here we write in"), choices=settings.LANGUAGES, required=False
    )

    def __init__(self, *args: Any, member: Member | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        circle, past = self.fields["circle"], self.fields["past"]
        assert isinstance(circle, forms.ModelChoiceField) and isinstance(past, forms.ModelChoiceField)
        if member is not None:
            circle.queryset = inviting.circles_of(member)
            past.queryset = inviting.past_events(member)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not any(cleaned.get(name) for name in ("circle", "past", "emails")):
            raise ValidationError(_("Say whom you invite."))
        return cleaned


@login_required
@require_http_methods(["GET", "POST"])
def event_invitations(request: HttpRequest, pk: int) -> HttpResponse:
    """Who was invited and what came of it; invite more, ask once more, withdraw. Refused, what was typed stays."""
    member = member_of(request)
    event = event_for(member, pk)
    if not may_run(member, event):
        raise PermissionDenied(_("Only who hosts the event can invite people to it."))
    form, status = InvitationForm(member=member, initial={"language": event.language[:2]}), 200
    if request.method == "POST":
        do, _colon, which = request.POST.get("do", "").partition(":")
        try:
            if do in {"withdraw", "restore"}:
                return _withdrawn(request, event, do, which)
            if do == "again":
                _say_again(request, inviting.ask_again(member, pk))
                return redirect("event_invitations", pk)
            form = InvitationForm(request.POST, member=member)
            if form.is_valid():
                _say_new(request, _invite(member, event, form.cleaned_data))
                return redirect("event_invitations", pk)
            status = 422
        except ValidationError as refused:
            status = 409
            put(form, refused)
    return _page(request, member, event, form, status)


@transaction.atomic
def _invite(member: Member, event: Event, said: dict[str, Any]) -> int:
    """All that the form says, or nothing of it. How many are new."""
    n = 0
    if said["emails"]:
        n += inviting.invite_addresses(member, event.pk, said["emails"], said["language"])
    if said["circle"]:
        n += inviting.invite_circle(member, event.pk, said["circle"].pk)
    if said["past"]:
        n += inviting.invite_past(member, event.pk, said["past"].pk)
    return n


def _say_new(request: HttpRequest, n: int) -> None:
    if n:
        text = ngettext("%(n)d person is invited now.", "%(n)d people are invited now.", n)
        messages.success(request, text % {"n": n})
    else:
        messages.info(request, _("All of them were invited already: nobody gets a second mail."))


def _say_again(request: HttpRequest, n: int) -> None:
    if n:
        text = ngettext("%(n)d person is asked once more.", "%(n)d people are asked once more.", n)
        messages.success(request, text % {"n": n})
    else:
        messages.info(request, _("Everybody who has not answered was asked once more already."))


def _withdrawn(request: HttpRequest, event: Event, do: str, which: str) -> HttpResponse:
    try:
        pk = ids.decode(which)
    except ValueError:
        raise Invitation.DoesNotExist from None
    if do == "withdraw":
        inviting.withdraw(member_of(request), pk)
        messages.success(request, _("The invitation is withdrawn. You can undo that below."))
    else:
        inviting.restore(member_of(request), pk)
        messages.success(request, _("The invitation stands again."))
    return redirect("event_invitations", event.pk)


def _page(
    request: HttpRequest, member: Member, event: Event, form: InvitationForm, status: int
) -> HttpResponse:
    rows = inviting.asked_to(event, member)
    context = {
        "nav": "events",
        "event": event,
        "form": form,
        "groups": [(state, [one for one in rows if one.status == state]) for state in inviting.STATES],
        "total": len(rows),
        "again": sum(one.may_be_asked_again for one in rows),
        "is_open": event.state != Event.State.CANCELLED and not event.is_over and event.starts_at is not None,
    }
    return render(request, "events/invitations.html", context, status=status)


@csrf_exempt  # no other page knows the key; see registration_cancel
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, pk: int) -> HttpResponse:
    """What an invitation opens: the page of its event, with the form of a guest, or the buttons of an answer.

    The key of the mail does instead of signing in, for this invitation only. Who is signed in and sees the event anyhow comes
    to its own page, unless they answer here (`do`).
    """
    key = mailed_key(request)
    member = None if key else signed_in(request)
    if isinstance(member, HttpResponse):
        return member
    try:
        row = invitation_for(member, pk) if member else invited.by_key(pk, key)
        return unlisted(_answered(request, row, key))
    except (MailedKey.DoesNotExist, Invitation.DoesNotExist):
        return unlisted(render(request, "events/invitation_gone.html", {"nav": "events"}, status=404))


def _answered(request: HttpRequest, row: Invitation, key: str) -> HttpResponse:
    do = request.POST.get("do") or request.GET.get("do")
    said, party, status = request.POST.get("do", ""), None, 200
    if request.method == "POST" and do in {"decline", "stop", "allow"}:
        try:
            {"decline": invited.decline, "stop": invited.stop, "allow": invited.allow}[do](row)
        except ValidationError:
            said, status = "", 409
    elif request.method == "POST" and do == "come" and key:
        return _come(request, row, key)
    elif do != "no":
        return _event_of(request, row, key)
    if not said:
        party = invited.party_of(row)
    context = {
        "nav": "events",
        "invitation": row,
        "event": row.event,
        "key": key,
        "said": said,
        "party_url": _party_url(party) if party else "",
    }
    return render(request, "events/invitation.html", context, status=status)


def _party_url(party: Registration) -> str:
    """Where who was invited sees and cancels what they have there. One query for a guest."""
    return guest_url(party) if party.member_id is None else reverse("registration", args=[party.pk])


def _event_of(request: HttpRequest, row: Invitation, key: str) -> HttpResponse:
    """The event's page: its own for who may see it, and for others, as long as they have the key, this one."""
    reader = reader_of(request)
    if reader is not None and Event.objects.visible_to(reader).filter(pk=row.event_id).exists():
        return redirect(row.event)
    party = invited.party_of(row)
    if party is not None:
        return redirect(_party_url(party))
    return event_shown(request, row.event, typed=_guest_form(row), by_key=(row, key))


def _guest_form(row: Invitation, data: Any = None) -> GuestForm:
    form = GuestForm(data, event=row.event, initial={"name": row.name})
    del form.fields["email"]  # it is the one that was invited
    return form


def _come(request: HttpRequest, row: Invitation, key: str) -> HttpResponse:
    form, status = _guest_form(row, request.POST), 422
    party = invited.party_of(row)
    if party is not None:
        messages.info(
            request, _("You have registered already, so nothing was added. Here you can change who comes.")
        )
        return redirect(_party_url(party))
    if form.is_valid():
        said = form.cleaned_data
        language = (get_language() or "en")[:2]
        try:
            made = invited.come(
                row.pk, key, said["name"], language, form.named(), form.given(), form.ticket()
            )
        except ValidationError as refused:
            status = 409
            put(form, refused, {"party": form.guest_fields[0].name})
        else:
            return redirect(guest_url(made))
    return event_shown(request, row.event, typed=form, by_key=(row, key), status=status)


@login_required
@require_POST
def invitations_allow(request: HttpRequest) -> HttpResponse:
    """A centre (`centre`, its id) may invite the member again."""
    try:
        centre = ids.decode(request.POST.get("centre", ""))
    except ValueError:
        return redirect("my_events")
    invited.allow_centre(member_of(request), centre)
    messages.success(request, _("This centre may invite you again."))
    return redirect("my_events")
