"""Pages of a centre's desk: what needs somebody today, people, events, roles, mails, and who looked at what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from community import audit, roles
from community.models import Member, Role
from events import desk as at
from events import partners, reader
from events.models import Event, PartnerCalendar, PartnerDate
from events.models.event import EventQuerySet
from events.views import member_of, put
from realtime import clock, report_views, reports
from realtime.people_views import page_number

PAGE_SIZE = 50
STATES = {"coming": gettext_lazy("To come"), "past": gettext_lazy("Past"), "drafts": gettext_lazy("Drafts")}


class GrantForm(forms.Form):
    """Who gets which role."""

    email = forms.EmailField(label=gettext_lazy("E-mail address"), max_length=254)
    kind = forms.ChoiceField(
        label=gettext_lazy("Role"),
        choices=[
            (Role.Kind.STAFF, gettext_lazy("Staff of a centre")),
            (Role.Kind.MANAGER, gettext_lazy("Manager of a centre")),
        ],
        widget=forms.RadioSelect,
        initial=Role.Kind.STAFF,
    )


class AddressForm(forms.Form):
    """The address a member really has."""

    email = forms.EmailField(label=gettext_lazy("New address"), max_length=254)


class CalendarForm(forms.Form):
    """A partner's calendar: its name, and where it is or the file itself."""

    name = forms.CharField(label=gettext_lazy("Whose calendar"), max_length=80)
    url = forms.CharField(
        label=gettext_lazy("Address of the calendar"),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("It begins with https:// or webcal:// and is read again every six hours."),
        widget=forms.TextInput(attrs={"inputmode": "url"}),
    )
    file = forms.FileField(label=gettext_lazy("Or a calendar file (.ics)"), required=False)
    language = forms.ChoiceField(label=gettext_lazy("It is written in"), choices=settings.LANGUAGES)

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if not self.errors and bool(said.get("url")) == bool(said.get("file")):
            raise ValidationError(_("Give an address or a file."))
        return said


class NewerFileForm(forms.Form):
    """A newer file of a calendar that came as one."""

    file = forms.FileField(label=gettext_lazy("A newer file (.ics)"))


def _page(request: HttpRequest, role: Role, template: str, status: int = 200, **given: Any) -> HttpResponse:
    """A page of the desk, with what all of them show."""
    is_manager = role.kind == Role.Kind.MANAGER
    context = {"nav": "desk", "centre": role.centre, "is_manager": is_manager}
    return render(request, f"desk/{template}.html", context | given, status=status)


def _sliced(rows: QuerySet[Any], number: int) -> dict[str, Any]:
    """One page of rows, and whether there are others before and after. Beyond the last one it is the first."""
    found = list(rows[(number - 1) * PAGE_SIZE : number * PAGE_SIZE + 1])
    if not found and number > 1:
        return _sliced(rows, 1)
    more = number + 1 if len(found) > PAGE_SIZE else None
    return {"rows": found[:PAGE_SIZE], "number": number, "previous": number - 1, "next": more}


@login_required
@require_GET
def desks(request: HttpRequest) -> HttpResponse:
    """The desk of the member's centre; with tasks at several, the first. Raises PermissionDenied without any."""
    first = next(iter(roles.at_desk(member_of(request))), None)
    if first is None:
        raise PermissionDenied(_("The desk is for the staff of a centre."))
    return redirect("desk", first.centre.slug)


@login_required
@require_GET
def desk(request: HttpRequest, slug: str) -> HttpResponse:
    """What needs somebody today. Eleven queries for any size of the centre."""
    mine = roles.at_desk(member_of(request))
    role = next((role for role in mine if role.centre.slug == slug), None)
    if role is None:
        raise Role.DoesNotExist
    others = [other.centre for other in mine if other.pk != role.pk]
    pulse, needs = at.pulse(role.centre), at.needs(role)
    return _page(request, role, "desk", here="today", others=others, pulse=pulse, needs=needs)


@login_required
@require_GET
def people(request: HttpRequest, slug: str) -> HttpResponse:
    """The centre's people by name, searched. At most five queries."""
    role = at.desk_for(member_of(request), slug)
    words = request.GET.get("q", "").strip()[:100]
    found = at.found_in(at.people_of(role.centre), words).select_related("profile")
    return _page(request, role, "people", here="people", q=words, **_sliced(found, page_number(request)))


@login_required
@require_GET
def people_csv(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """What the list of people shows, as a table to take along."""
    role = at.desk_for(member_of(request), slug)
    return _table(at.people_table(role, request.GET.get("q", "").strip()[:100]), f"people-{slug}")


def _table(content: Iterator[bytes], name: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}-{clock.now():%Y-%m-%d}.csv"'
    return answer


@login_required
@require_GET
def person(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One of the centre's people: what staff need to help them, and nothing of where they live or whom with."""
    role = at.desk_for(member_of(request), slug)
    return _person_page(request, role, at.person_for(role.member, role.centre, pk))


def _person_page(
    request: HttpRequest, role: Role, found: Member, status: int = 200, **given: Any
) -> HttpResponse:
    context: dict[str, Any] = {
        "here": "people",
        "person": found,
        "is_home": found.profile.centre_id == role.centre_id,
        "registrations": at.registrations_of(role.centre, found)[: at.LATELY],
        "mails": at.mails_to(role.centre, found)[:10],
        "log": audit.about(found).filter(centre=role.centre)[:10],
        "form": AddressForm(),
    }
    return _page(request, role, "person", status, **context | given)


@login_required
@require_POST
def person_host(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Trust a member to host, or no longer."""
    role = at.desk_for(member_of(request), slug)
    found = at.person_for(role.member, role.centre, pk)
    is_host = request.POST.get("is_host") == "1"
    roles.set_host(role.member, role.centre, found, is_host=is_host)
    text = _("%(name)s may host now.") if is_host else _("%(name)s no longer hosts.")
    messages.success(request, text % {"name": found})
    return redirect("desk_person", slug, pk)


@login_required
@require_http_methods(["GET", "POST"])
def person_address(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Correct the address a member signs in with. Asked for by itself, it is the person's page."""
    role = at.desk_for(member_of(request), slug)
    if request.method == "GET":
        at.person_for(role.member, role.centre, pk)
        return redirect("desk_person", slug, pk)
    form = AddressForm(request.POST)
    if form.is_valid():
        try:
            at.correct_address(role.member, role.centre, pk, form.cleaned_data["email"])
        except ValidationError as refused:
            put(form, refused)
        else:
            messages.success(request, _("Corrected. Both addresses have been told."))
            return redirect("desk_person", slug, pk)
    found = at.person_for(role.member, role.centre, pk)
    return _person_page(request, role, found, form=form, status=422)


@login_required
@require_POST
def ticket_again(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Send a ticket once more, and go back to the person it was sent for."""
    role = at.desk_for(member_of(request), slug)
    row = at.resend_ticket(role.member, role.centre, pk)
    messages.success(request, _("The ticket is on its way again."))
    return redirect("desk_person", slug, row.member_id) if row.member_id else redirect("desk_people", slug)


@login_required
@require_GET
def events(request: HttpRequest, slug: str) -> HttpResponse:
    """The centre's events: to come, past, drafts. At most seven queries."""
    role = at.desk_for(member_of(request), slug)
    show = request.GET.get("show", "coming")
    show = show if show in STATES else "coming"
    found = _shown(at.events_of(role.centre), show).for_list()
    rows = _sliced(found, page_number(request))
    return _page(request, role, "events", here="events", show=show, states=STATES.items(), **rows)


@login_required
@require_GET
def events_csv(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """What the list of events shows, as a table to take along."""
    role = at.desk_for(member_of(request), slug)
    found = _shown(at.events_of(role.centre), request.GET.get("show", "coming"))
    return _table(at.events_table(role, found), f"events-{slug}")


def _shown(found: EventQuerySet, show: str) -> EventQuerySet:
    if show == "drafts":
        return found.filter(state=Event.State.DRAFT).order_by("-created_at", "-pk")
    published = found.exclude(state=Event.State.DRAFT)
    if show == "past":
        return published.filter(starts_at__lt=clock.now()).order_by("-starts_at", "-pk")
    return published.upcoming()


@login_required
@require_http_methods(["GET", "POST"])
def calendars(request: HttpRequest, slug: str) -> HttpResponse:
    """Calendars of partners and how they are, and adding one. At most five queries for any number."""
    role = at.desk_for(member_of(request), slug)
    is_post = request.method == "POST"
    form = CalendarForm(
        request.POST if is_post else None,
        request.FILES if is_post else None,
        initial={"language": role.member.language[:2]},
    )
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            made = partners.add(role.member, role.centre, said, _content(said["file"]))
        except ValidationError as refused:
            put(form, refused)
        else:
            return redirect("desk_calendar", slug, made.pk)
    rows = partners.overview(role.centre)
    return _page(request, role, "calendars", 422 if form.errors else 200, here="events", rows=rows, form=form)


@login_required
@require_http_methods(["GET", "POST"])
def calendar(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One partner's calendar: what it would bring, what has to be decided, and everything that can be done with it."""
    role = at.desk_for(member_of(request), slug)
    found = partners.calendar_for(role.member, pk)
    if found.centre_id != role.centre_id:
        raise PartnerCalendar.DoesNotExist
    form = NewerFileForm()
    if request.method == "POST" and request.POST.get("do") == "file":
        form = NewerFileForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                partners.give_file(role.member, pk, _content(form.cleaned_data["file"]) or b"")
            except ValidationError as refused:
                put(form, refused)
            else:
                return redirect("desk_calendar", slug, pk)
    elif request.method == "POST":
        return _done_with_calendar(request, role, pk)
    try:
        changes, trouble = partners.preview(found), ""
    except ValidationError as refused:
        changes, trouble = None, refused.messages[0]
    context = {
        "here": "events",
        "calendar": found,
        "changes": changes,
        "trouble": partners.trouble_of(found) or trouble,
        "open": [(date, partners.differences(date)) for date in partners.open_dates(found)[:PAGE_SIZE]],
        "form": form,
    }
    return _page(request, role, "calendar", 422 if form.errors else 200, **context)


def _done_with_calendar(request: HttpRequest, role: Role, pk: int) -> HttpResponse:
    """Do what a button of a calendar's page says. Raises ValidationError for what no button says."""
    name, _dot, date_id = request.POST.get("do", "").partition(":")
    staff, slug = role.member, role.centre.slug
    decisions = {"take": partners.take_over, "leave": partners.leave, "off": partners.call_off}
    try:
        if name == "remove":
            partners.remove(staff, pk)
            messages.success(request, _("It is removed. What you published or changed stays."))
            return redirect("desk_calendars", slug)
        if name in decisions and date_id.isascii() and date_id.isdecimal() and len(date_id) < 19:
            decisions[name](staff, pk, int(date_id))
            messages.success(request, _("Done."))
        elif name in {"bring", "read"}:
            verb = partners.bring_in if name == "bring" else partners.read_again
            messages.success(request, str(verb(staff, pk)))
        else:
            raise ValidationError(_("Choose what to do with the calendar."))
    except PartnerDate.DoesNotExist:
        messages.info(request, _("That is decided already."))
    except ValidationError as refused:
        messages.error(request, refused.messages[0])
    return redirect("desk_calendar", slug, pk)


def _content(file: Any) -> bytes | None:
    """What was uploaded, and a byte more than is read at most, so that too much is seen as such."""
    return file.read(reader.MAX_BYTES + 1) if file else None


@login_required
@require_http_methods(["GET", "POST"])
def role_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Who has which role here, what each allows, and granting one."""
    role = at.desk_for(member_of(request), slug)
    form = GrantForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            granted = roles.grant(role.member, role.centre_id, given["email"], Role.Kind(given["kind"]))
        except ValidationError as refused:
            put(form, refused)
        else:
            text = _("%(name)s has the role now, and signs in once more to use it.")
            messages.success(request, text % {"name": granted.member})
            return redirect("desk_roles", slug)
    team = Role.objects.filter(centre=role.centre).select_related("member").order_by("kind", "granted_at")
    context: dict[str, Any] = {"here": "roles", "team": team, "tasks": roles.TABLE, "form": form}
    return _page(request, role, "roles", 422 if form.errors else 200, **context)


@login_required
@require_POST
def role_withdraw(request: HttpRequest, slug: str) -> HttpResponse:
    """Take somebody's role at the centre away; who took their own is done at this desk."""
    role = at.desk_for(member_of(request), slug)
    row = Role.objects.select_related("member").get(centre=role.centre, pk=_pk(request, "role"))
    roles.withdraw(role.member, role.centre_id, row.member_id)
    messages.success(request, _("%(name)s no longer has the role.") % {"name": row.member})
    return redirect("desk_roles", slug)


@login_required
@require_http_methods(["GET", "POST"])
def mails(request: HttpRequest, slug: str) -> HttpResponse:
    """Mails that did not arrive: send them again, or let them go."""
    role = at.desk_for(member_of(request), slug)
    if request.method == "POST":
        verbs: dict[str, Callable[..., Any]] = {"again": at.send_again, "drop": at.let_go}
        name, _dot, mail_id = request.POST.get("do", "").partition(":")
        if name not in verbs or not mail_id.isdecimal():
            raise ValidationError(_("Choose one of the mails."))
        verbs[name](role.member, role.centre, int(mail_id[:18]))
        messages.success(request, _("Done."))
        return redirect("desk_mails", slug)
    rows = _sliced(at.failed_mails(role.centre), page_number(request))
    return _page(request, role, "mails", here="mails", **rows)


@login_required
@require_GET
def log(request: HttpRequest, slug: str) -> HttpResponse:
    """What staff did and looked at here: for the manager, as each member sees it of themselves."""
    role = at.desk_for(member_of(request), slug)
    if role.kind != Role.Kind.MANAGER:
        raise PermissionDenied(_("Only a manager of the centre can do this."))
    rows = _sliced(audit.at(role.centre), page_number(request))
    return _page(request, role, "log", here="log", **rows)


def _pk(request: HttpRequest, name: str) -> int:
    text = request.POST.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


@login_required
@require_GET
def report_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Reports that are the centre's to decide; with `show=decided` those of the last ninety days. At most six queries."""
    role = at.desk_for(member_of(request), slug)
    is_decided = request.GET.get("show") == "decided"
    found = at.reports_of(role.centre).exclude(about=role.member).filter(decided_at__isnull=not is_decided)
    rows = _sliced(reports.for_list(found), page_number(request))
    return _page(request, role, "reports", here="reports", is_decided=is_decided, **rows)


@login_required
@require_http_methods(["GET", "POST"])
def report(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One report and what to do about it. Raises Role.DoesNotExist, Report.DoesNotExist."""
    role = at.desk_for(member_of(request), slug)
    row = at.report_for(role, pk)
    errors = report_views.decided(request, row)
    if errors is None:
        return redirect("desk_reports", slug)
    context = report_views.decision_context(request, row, errors)
    context |= {"here": "reports", "shows_names": True}
    context.pop("nav")
    return _page(request, role, "report", status=400 if errors else 200, **context)
