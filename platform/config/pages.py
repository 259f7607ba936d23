"""Pages that draw from several floors: Today, the front page, the demo's door, and what every page carries."""

from datetime import timedelta
from functools import cache
from typing import Any, cast

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import login
from django.db.models import Exists, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language, gettext, gettext_lazy
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from community import households, matching, members, personal_fields
from community.models import Centre, Circle, Member
from community.models.places import towns_within
from community.privacy import GRACE
from community.views import circle_context
from config.demo_people import demo_people
from events import finding, invited
from events.finding import Wanted
from events.models import Event, Registration
from events.models.event import not_over
from realtime import clock, conversations
from realtime.models import Mail
from realtime.prepared import ID, MOMENT, TEXT, prepared

VENDOR = settings.ROOT / "platform/config/static/vendor"
YEAR_S = 365 * 86_400
ROOMS = 5  # with something new, in sight on Today
INVITED = 3  # invitations in sight on Today

# Whom people turn to when we do not help: by country, names in their own language.
AUTHORITIES = [
    (
        gettext_lazy("Belgium"),
        [
            ("nl", "Gegevensbeschermingsautoriteit, Drukpersstraat 35, 1000 Brussel"),
            ("fr", "Autorité de protection des données, rue de la Presse 35, 1000 Bruxelles"),
        ],
    ),
    (
        gettext_lazy("The Netherlands"),
        [("nl", "Autoriteit Persoonsgegevens, Postbus 93374, 2509 AJ Den Haag")],
    ),
    (
        gettext_lazy("North Rhine-Westphalia"),
        [
            (
                "de",
                "Landesbeauftragte für Datenschutz und Informationsfreiheit, Postfach 20 04 44, 40102 Düsseldorf",
            )
        ],
    ),
]
EQUALITY_BODIES = [
    (gettext_lazy("Belgium"), [("nl", "FOD Economie"), ("fr", "SPF Économie"), ("nl", "Unia")]),
    (
        gettext_lazy("The Netherlands"),
        [("nl", "Autoriteit Consument & Markt"), ("nl", "College voor de Rechten van de Mens")],
    ),
    (
        gettext_lazy("Germany"),
        [
            (
                "de",
                "Marktüberwachungsstelle der Länder für die Barrierefreiheit von Produkten und Dienstleistungen",
            )
        ],
    ),
]


def frame(request: HttpRequest) -> dict[str, Any]:
    """What base.html needs on every page. No query: the numbers of what is new came with who is signed in."""
    member = request.user if isinstance(request.user, Member) else None
    return {
        "member": member,
        "languages": settings.LANGUAGES,
        "unread_total": conversations.unread_total(member) if member else 0,
        "is_demo": settings.DEMO,
        "theme": request.COOKIES.get("theme", ""),
        "vendor": _vendor(),
    }


@cache
def _vendor() -> dict[str, bool]:
    """Which of what the lock file of the browser names is there: looked for once."""
    return {
        "font": (VENDOR / "figtree.woff2").exists(),
        "scanner": (VENDOR / "barcode-detector.js").exists(),
    }


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Today for who is signed in, the front page for who is not."""
    if isinstance(request.user, Member):
        return today(request, request.user)
    context = {
        "events": finding.listed(None, Wanted(), most=3),
        "circles": Circle.objects.open_to(None).for_list().order_by("-size", "pk")[:3],
        "centres": Centre.objects.select_related("place"),
    }
    return render(request, "site/welcome.html", context)


def today(request: HttpRequest, member: Member) -> HttpResponse:
    """What is next (its ticket one tap away), what one is invited to, what is unread, one open task, one suggestion."""
    now = clock.now()
    upcoming = _coming(member=member.pk, now=now)
    hosting = _hosting(member=member.pk, now=now)
    finding.with_pools(hosting)
    asked = _asked(member=member.pk, email=member.email.lower(), now=now)[0]
    context = {
        "nav": "today",
        "now": now,
        "next": upcoming[0] if upcoming else None,
        "later": upcoming[1:],
        "hosting": hosting,
        "rooms": conversations.unread_of(member, ROOMS),
        "invitation": households.invitation_to(member) if asked["is_asked"] else None,
        "invited": invited.open_to(member, now)[:INVITED] if asked["is_invited"] else [],
        "suggested_circle": matching.suggested_circle(member),
        "suggested_event": matching_event(member) if not upcoming else None,
    }
    return render(request, "site/today.html", context)


@prepared(member=ID, email=TEXT, now=MOMENT)
def _asked(*, member: Any, email: Any, now: Any) -> QuerySet[Member, dict[str, Any]]:
    """Whether somebody waits for the member's answer, so that only this is asked for."""
    found: dict[str, Any] = {
        "is_asked": Exists(households.open_invitations(email)),
        "is_invited": Exists(invited.open_to(member, now)),
    }
    rows = Member.objects.filter(pk=member).annotate(**found).values(*found)
    return cast("QuerySet[Member, dict[str, Any]]", rows)


@prepared(member=ID, now=MOMENT)
def _coming(*, member: Any, now: Any) -> QuerySet[Registration]:
    rows = Registration.objects.live().filter(attendees__member=member, attendees__is_live=True)
    rows = rows.filter(not_over(now, "event__"), event__state=Event.State.PUBLISHED)
    return rows.select_related("event__place", "member").order_by("event__starts_at", "pk")[:4]


@prepared(member=ID, now=MOMENT)
def _hosting(*, member: Any, now: Any) -> QuerySet[Event]:
    mine = Event.objects.filter(host=member).values("pk")  # from their own few rows, not from all that comes
    named = Event.objects.filter(cohosts__member=member).values("pk")
    dates = Event.objects.filter(series__cohosts__member=member).values("pk")
    rows = Event.objects.filter(pk__among=mine.union(named, dates), state=Event.State.PUBLISHED)
    return rows.upcoming(now)[:3]


def matching_event(member: Member) -> Event | None:
    """The next event near the member's home or work that they are not registered for. At most three queries."""
    town = next(iter(matching.homes(members.profile_of(member))), None)
    near = towns_within(town.lat, town.lon, matching.NEARBY_KM) if town else None
    found = finding.listed(member, Wanted(towns=near, is_new=True), most=1) if near else []
    found = found or finding.listed(member, Wanted(is_new=True), most=1)
    return found[0] if found else None


@require_GET
def circle(request: HttpRequest, pk: int) -> HttpResponse:
    """A circle with its next events: people from one floor, gatherings from another. At most ten queries."""
    member = request.user if isinstance(request.user, Member) else None
    context = circle_context(request, pk)
    context["circle_events"] = finding.listed(member, Wanted(circle=pk), most=4)
    return render(request, "community/circle.html", context)


@require_GET
def about(request: HttpRequest) -> HttpResponse:
    return render(request, "site/about.html", _operator())


@require_GET
def privacy(request: HttpRequest) -> HttpResponse:
    """What is kept of people, why, for whom and how long: made from the registry of personal fields. No query."""
    context = _operator() | {
        "authorities": AUTHORITIES,
        "purposes": personal_fields.purposes(),
        "grace": GRACE.days,
        "session_cookie": settings.SESSION_COOKIE_NAME,
        "csrf_cookie": settings.CSRF_COOKIE_NAME,
        "session_days": settings.SESSION_COOKIE_AGE // 86_400,
    }
    return render(request, "site/privacy.html", context)


@require_GET
def imprint(request: HttpRequest) -> HttpResponse:
    """Who runs the site: all that the environment says of them. No query."""
    context = _operator() | {
        "address": settings.OPERATOR_ADDRESS,
        "phone": settings.OPERATOR_PHONE,
        "phone_link": "".join(sign for sign in settings.OPERATOR_PHONE if sign in "+0123456789"),
        "register": settings.OPERATOR_REGISTER,
        "represented_by": settings.OPERATOR_REPRESENTED_BY,
    }
    return render(request, "site/imprint.html", context)


def _operator() -> dict[str, Any]:
    return {"operator": settings.OPERATOR, "operator_email": settings.OPERATOR_EMAIL}


@require_GET
def terms(request: HttpRequest) -> HttpResponse:
    return render(request, "site/terms.html", {"operator": settings.OPERATOR})


@require_GET
def accessibility(request: HttpRequest) -> HttpResponse:
    return render(request, "site/accessibility.html", _operator() | {"authorities": EQUALITY_BODIES})


@require_GET
def ticket_landing(request: HttpRequest) -> HttpResponse:
    """Where a ticket's QR leads a curious phone camera: the code itself stays behind the #."""
    return render(request, "site/ticket_landing.html")


@never_cache
@require_http_methods(["GET", "POST"])
def demo(request: HttpRequest) -> HttpResponse:
    """With DEMO=1 only: sign in as one of six people in one click. Elsewhere there is no such page."""
    if not settings.DEMO:
        raise Http404
    people = demo_people()
    if request.method == "POST":
        chosen = next((person for person in people if person.key == request.POST.get("person")), None)
        if chosen is None:
            raise Http404
        login(request, chosen.member, backend=settings.AUTHENTICATION_BACKENDS[0])
        UserSession.objects.create_from_request(request)  # so that it is listed, and can be ended elsewhere
        return redirect("home")
    return render(request, "site/demo.html", {"people": people})


@never_cache
@require_GET
def demo_mail(request: HttpRequest) -> HttpResponse:
    """With DEMO=1 only: the mails the site would have sent, the newest first; none that is held back, or never leaves."""
    if not settings.DEMO:
        raise Http404
    held = Q(state=Mail.State.QUEUED, due_at__gt=clock.now() + timedelta(minutes=1))
    withdrawn = Q(
        state=Mail.State.DROPPED, error=""
    )  # with a reason: a backup brought it, and it had been due
    mails = Mail.objects.exclude(held | withdrawn).order_by("-pk")
    to = request.GET.get("to", "").strip()
    if to:
        mails = mails.filter(to__iexact=to)
    number = request.GET.get("mail", "")
    chosen = get_object_or_404(Mail, pk=number) if number.isdigit() else None
    return render(request, "site/demo_mail.html", {"mails": mails[:50], "mail": chosen, "to": to})


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Remember the reader's language in the profile (signed in) and in a cookie, and go back."""
    language = request.POST.get("language", "")
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}):
        back = "/"
    answer = HttpResponseRedirect(back)
    if language in dict(settings.LANGUAGES) and check_for_language(language):
        if isinstance(request.user, Member):
            Member.objects.filter(pk=request.user.pk).update(language=language)
        answer.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            language,
            max_age=YEAR_S,
            samesite="Lax",
            secure=settings.IS_HTTPS,
            httponly=True,
        )
    return answer


@require_GET
def offline(request: HttpRequest) -> HttpResponse:
    return render(request, "offline.html")


@require_GET
@cache_control(max_age=0, must_revalidate=True)
def service_worker(request: HttpRequest) -> HttpResponse:
    """The service worker, at the root so that its scope is the whole site."""
    return render(request, "site/sw.js", content_type="text/javascript")


@require_GET
@cache_control(max_age=3600)
def manifest(request: HttpRequest) -> JsonResponse:
    """The web app manifest (W3C), in the reader's language."""
    icons = [
        {"src": static("site/icon.svg"), "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
        {
            "src": static("site/icon-maskable.svg"),
            "sizes": "any",
            "type": "image/svg+xml",
            "purpose": "maskable",
        },
    ]
    body = {
        "name": "Euregio Circles",
        "short_name": "Circles",
        "description": gettext("Events and circles for newcomers in the Euregio Meuse-Rhine"),
        "lang": request.LANGUAGE_CODE,
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#fdfaf5",
        "theme_color": "#00707c",
        "icons": icons,
    }
    return JsonResponse(body, content_type="application/manifest+json")
