"""Pages about people: the first screens, me, my household, circles. A view reads a form, calls one verb, shows the answer."""

from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from community import audit, circles, forms, households, matching, members, places, sign_ins, texts
from community.models import Circle, Member, Profile
from community.models.places import fold, towns_within
from realtime.people_views import page_number

PAGE_SIZE = 24
SCREENS = (forms.NameForm, forms.LanguagesForm, forms.TownsForm, forms.InterestsForm)
TOWN_FIELDS = {"lives", "works", "place"}


def _me(request: HttpRequest) -> Member:
    """Who is signed in, behind `login_required`."""
    return cast(Member, request.user)


def refused_by(form: BaseForm, verb: Callable[[], Any]) -> bool:
    """Call a verb and put its "no" into the form, at the field it names or above all of them."""
    try:
        verb()
    except ValidationError as no:
        known = hasattr(no, "error_dict") and set(no.error_dict) <= set(form.fields)
        form.add_error(None, no if known or not hasattr(no, "error_dict") else ValidationError(no.messages))
        return True
    return False


def _profile_form(form: type[Any], request: HttpRequest, member: Member, profile: Profile) -> Any:
    """One of the profile's forms: with what was typed, else with what is known."""
    wants_interests = issubclass(form, forms.InterestsForm) and request.method != "POST"
    given: dict[str, Any] = {"initial": forms.profile_facts(member, profile, interests=wants_interests)}
    if issubclass(form, forms.WithTowns):
        given["current"] = {"lives": profile.lives, "works": profile.works}
    return form(request.POST if request.method == "POST" else None, **given)


# The first screens


@login_required
@require_http_methods(["GET", "POST"])
def welcome(request: HttpRequest, step: int) -> HttpResponse:
    """The four first screens. Each saves what it asks; all but the first can be skipped, and each leads back."""
    if not 1 <= step <= len(SCREENS):
        raise Http404
    member = _me(request)
    if step > 1 and not member.display_name:
        return redirect("welcome", 1)
    if request.method == "POST" and "skip" in request.POST and step > 1:
        return _after(request, step)
    profile = members.profile_of(member)
    form = _profile_form(SCREENS[step - 1], request, member, profile)
    if request.method == "POST" and form.is_valid():
        saved = not refused_by(form, lambda: members.set_profile(member, form.changes()))
        if saved:
            return redirect("welcome", step) if "add" in request.POST else _after(request, step)
    steps = [
        (1, _("Your name")),
        (2, _("Your languages")),
        (3, _("Your places")),
        (4, _("Your interests")),
    ]
    context = {
        "form": form,
        "step": step,
        "steps": steps,
        "last": step == len(SCREENS),
        "title": steps[step - 1][1],
    }
    return render(request, "community/welcome.html", context)


def _after(request: HttpRequest, step: int) -> HttpResponse:
    """The next screen; after the last one the page they had wanted, or Today."""
    if step < len(SCREENS):
        return redirect("welcome", step + 1)
    members.welcome(_me(request))
    wanted = request.session.pop("after_welcome", "/")
    return redirect(wanted if url_has_allowed_host_and_scheme(wanted, {request.get_host()}) else "/")


@require_GET
def places_suggest(request: HttpRequest) -> HttpResponse:
    """The towns that what is being typed may mean, as choices below the field. One query, two when names are alike."""
    field = request.GET.get("field", "")
    if field not in TOWN_FIELDS:
        raise Http404
    towns = places.suggest(request.GET.get("q") or request.GET.get(field, ""))
    return render(request, "community/_towns.html", {"field": field, "towns": places.labels(towns)})


# Me


@login_required
@require_GET
def me(request: HttpRequest) -> HttpResponse:
    """The hub: profile, household, circles, signing in, sessions, language."""
    member = _me(request)
    profile = members.profile_of(member)
    adults, children = households.summary_of(member)
    context = {
        "nav": "me",
        "profile": profile,
        "interests": members.interests_of(profile),
        "adults": adults,
        "children": children,
        "invitations": households.invitations_to(member),
        "circles": circles.circles_of(member),
    }
    return render(request, "community/me.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Change what others see, and where one lives, works and belongs."""
    member = _me(request)
    form = _profile_form(forms.ProfileForm, request, member, members.profile_of(member))
    is_sent = request.method == "POST" and form.is_valid()
    if is_sent and not refused_by(form, lambda: members.set_profile(member, form.changes())):
        with override(form.cleaned_data["language"]):
            messages.success(request, _("Saved."))
        return redirect("profile" if "add" in request.POST else "me")
    return render(request, "community/profile.html", {"nav": "me", "form": form})


@login_required
@require_http_methods(["GET", "POST"])
def channels(request: HttpRequest) -> HttpResponse:
    """What reaches the member by mail, too, and what rings the bell only."""
    member = _me(request)
    form = forms.ChannelsForm(request.POST if request.method == "POST" else None, member=member)
    if form.is_valid():
        members.set_profile(member, form.changes())
        messages.success(request, _("Saved."))
        return redirect("me")
    return render(request, "community/channels.html", {"nav": "me", "form": form})


@login_required
@require_http_methods(["GET", "POST"])
def keys(request: HttpRequest) -> HttpResponse:
    """Keys of the member's programs: make one (shown once), revoke one or all."""
    member = _me(request)
    form = forms.KeyForm(request.POST if request.method == "POST" and "name" in request.POST else None)
    secret: list[str] = []
    if request.method == "POST" and "revoke" in request.POST:
        number = request.POST["revoke"]
        sign_ins.revoke_tokens(member, int(number) if number.isdecimal() and len(number) < 19 else 0)
        messages.success(request, _("The key opens nothing any more."))
        return redirect("keys")
    if form.is_valid():
        refused_by(form, lambda: secret.append(sign_ins.issue_token(member, form.cleaned_data["name"])))
    context = {"nav": "me", "keys": sign_ins.tokens_of(member), "form": form, "secret": "".join(secret)}
    return render(request, "community/keys.html", context)


@login_required
@require_GET
def my_log(request: HttpRequest) -> HttpResponse:
    """What is on record of the member: what they did, and who looked at them or set something right. Three queries."""
    rows = audit.about(_me(request))[:200]
    return render(request, "community/my_log.html", {"nav": "me", "rows": rows})


# Household


@login_required
@require_GET
def household(request: HttpRequest) -> HttpResponse:
    return _household_page(request)


def _household_page(request: HttpRequest, **given: Any) -> HttpResponse:
    member = _me(request)
    home = households.of(member)
    adults = households.adults_of(home) if home else []
    context = {
        "nav": "me",
        "home": home,
        "adults": [adult for adult in adults if adult != member],
        "children": households.children_of(home) if home else [],
        "room": households.room_of(home) if home and len(adults) > 1 else None,
        "invitations": households.invitations_to(member),
        "sent": households.invitation_by(member),
        "may_invite": len(adults) < households.MOST_ADULTS,
        "invite_form": forms.InviteForm(prefix="invite"),
        "child_form": forms.ChildForm(prefix="child"),
    }
    return render(request, "community/household.html", context | given)


@login_required
@require_POST
def household_invite(request: HttpRequest) -> HttpResponse:
    form = forms.InviteForm(request.POST, prefix="invite")
    if form.is_valid() and not refused_by(
        form, lambda: households.invite(_me(request), form.cleaned_data["email"])
    ):
        messages.success(request, _("The invitation is on its way. Nothing is linked before they agree."))
        return redirect("household")
    return _household_page(request, invite_form=form)


@login_required
@require_POST
def household_answer(request: HttpRequest, pk: int, answer: str) -> HttpResponse:
    """Accept or decline an invitation to the member, or withdraw their own."""
    verbs: dict[str, Callable[[Member, int], Any]] = {
        "accept": households.accept,
        "decline": households.decline,
        "withdraw": households.withdraw,
    }
    if answer not in verbs:
        raise Http404
    verbs[answer](_me(request), pk)
    if answer == "accept":
        messages.success(request, _("You are one household now."))
    return redirect("household")


@login_required
@require_POST
def child_add(request: HttpRequest) -> HttpResponse:
    form = forms.ChildForm(request.POST, prefix="child")
    if form.is_valid() and not refused_by(
        form, lambda: households.add_child(_me(request), **form.cleaned_data)
    ):
        return redirect("household")
    return _household_page(request, child_form=form)


@login_required
@require_http_methods(["GET", "POST"])
def child_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks first; then forgets the child."""
    member = _me(request)
    home = households.of(member)
    child = next((child for child in households.children_of(home) if child.pk == pk), None) if home else None
    if request.method == "POST":
        households.remove_child(member, pk)
        return redirect("household")
    if child is None:
        raise Http404
    return render(request, "community/child_remove.html", {"nav": "me", "child": child})


@login_required
@require_http_methods(["GET", "POST"])
def household_leave(request: HttpRequest) -> HttpResponse:
    """Asks first and says what becomes of the children; then leaves."""
    member = _me(request)
    if request.method == "POST":
        households.leave(member)
        messages.info(request, _("You have left the household."))
        return redirect("household")
    home = households.of(member)
    if home is None:
        return redirect("household")
    others = [adult for adult in households.adults_of(home) if adult != member]
    context = {"nav": "me", "others": others, "children": households.children_of(home)}
    return render(request, "community/household_leave.html", context)


# Circles


@require_GET
def circle_list(request: HttpRequest) -> HttpResponse:
    """Circles by interest, distance and words; those of the member marked. At most eight queries for any number."""
    member = request.user if isinstance(request.user, Member) else None
    home = members.profile_of(member) if member else None
    form = forms.CirclesFilter(request.GET or None, profile=home)
    said = form.cleaned_data if form.is_bound and form.is_valid() else {}
    around = form.centre_of_search() if said else None
    number = page_number(request)
    rows = circles.listed(
        reader=member and member.pk,
        words=tuple(fold(said.get("q", "")).split()),
        interest=said.get("interest") or None,
        towns=towns_within(around.lat, around.lon, form.within_km()) if around else None,
        skip=(number - 1) * PAGE_SIZE,
        most=PAGE_SIZE + 1,
    )
    cards = [(circle, matching.nearest_km(home, circle.place)) for circle in rows[:PAGE_SIZE]]
    context = {
        "nav": "circles",
        "form": form,
        "cards": cards,
        "is_narrowed": any(request.GET.get(name) for name in ("q", "interest", "near", "place")),
        "mine": circles.circles_of(member) if member and number == 1 and not form.is_bound else [],
        "may_open": member is not None and members.is_host(member),
        "number": number,
        "previous": number - 1,
        "next": number + 1 if len(rows) > PAGE_SIZE else None,
    }
    part = "#list" if "HX-Request" in request.headers else ""
    return render(request, f"community/circles.html{part}", context)


@login_required
@require_http_methods(["GET", "POST"])
def circle_new(request: HttpRequest) -> HttpResponse:
    """A host opens a circle."""
    member = _me(request)
    if not members.is_host(member):
        raise PermissionDenied(_("Circles are opened by hosts. Ask your centre to become one."))
    form = forms.CircleForm(request.POST or None, initial={"language": member.language})
    opened: list[Circle] = []
    is_sent = request.method == "POST" and form.is_valid()
    if is_sent and not refused_by(
        form, lambda: opened.append(circles.open_circle(member, **form.cleaned_data))
    ):
        return redirect("circle", opened[0].pk)
    return render(request, "community/circle_new.html", {"nav": "circles", "form": form})


def circle_context(request: HttpRequest, pk: int) -> dict[str, Any]:
    """What the page of a circle shows of this floor: what it is about, who is in it (for members), the way in or out.

    Raises Circle.DoesNotExist for who may not know of it.
    """
    member = request.user if isinstance(request.user, Member) else None
    invitation = request.GET.get("invitation", "")
    chosen = circles.circle_for(member, pk, invitation=invitation)
    place = circles.membership_of(member, chosen)
    is_host = place is not None and place.is_host
    people = circles.members_of(chosen, member)
    home = members.profile_of(member) if member else None
    return {
        "nav": "circles",
        "circle": chosen,
        "description": texts.to_html(chosen.text("description")),
        "place": place,
        "is_in": place is not None and place.state == circles.IN,
        "is_host": is_host,
        "people": people if member else [],
        "hosts": [person.member for person in people if person.is_host],
        "asking": circles.asking(chosen) if is_host else [],
        "km": matching.nearest_km(home, chosen.place),
        "invitation": invitation,
        "invitation_link": _invitation_link(request, chosen) if is_host else "",
    }


def _invitation_link(request: HttpRequest, chosen: Circle) -> str:
    return request.build_absolute_uri(
        f"/circles/{chosen.public_id}/?invitation={circles.invitation_to(chosen)}"
    )


@login_required
@require_POST
def circle_join(request: HttpRequest, pk: int) -> HttpResponse:
    place = circles.join(_me(request), pk, request.POST.get("invitation", ""))
    if place.state == circles.ASKED:
        messages.info(request, _("The host has been asked. You get a mail as soon as you are in."))
    else:
        messages.success(request, _("You are in. The room of the circle is open to you."))
    return redirect("circle", pk)


@login_required
@require_http_methods(["GET", "POST"])
def circle_leave(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks first; then leaves, or takes the question to the host back."""
    member = _me(request)
    chosen = circles.circle_for(member, pk)
    error = None
    if request.method == "POST":
        try:
            circles.leave(member, pk)
        except ValidationError as no:
            error = no.messages[0]
        else:
            messages.info(request, _("You have left %s.") % chosen.text("name"))
            return redirect("circles")
    context = {
        "nav": "circles",
        "circle": chosen,
        "error": error,
        "place": circles.membership_of(member, chosen),
    }
    return render(request, "community/circle_leave.html", context, status=409 if error else 200)


@login_required
@require_POST
def circle_person(request: HttpRequest, pk: int, member_id: int, answer: str) -> HttpResponse:
    """What a host does about somebody: let in who asked, or not, or make who is in a host."""
    verbs = {"accept": circles.accept, "refuse": circles.refuse, "host": circles.make_host}
    if answer not in verbs:
        raise Http404
    verbs[answer](_me(request), pk, member_id)
    return redirect("circle", pk)
