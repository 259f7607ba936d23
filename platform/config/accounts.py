"""Signing up and in, by allauth: its mails through our outbox, its sessions with our sockets, and no passwords."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.forms import SignupForm
from allauth.account.models import EmailAddress
from allauth.account.views import LogoutView, SignupView
from allauth.core import context as allauth_context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.views import ListUserSessionsView
from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.translation import get_language, gettext, override

from community import audit, privacy, sign_ins
from community.forms import page_language
from community.models import Member
from config import locks, reauthentication
from events import guests
from realtime import bell, conversations, notify, rooms
from realtime.prepared import ID, prepared

LOGOUT = "signed out"

# What names a browser or a system in a user agent, the tell-tale one first: Edge and Opera also say Chrome,
# Chrome also says Safari, Android also says Linux.
BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chromium/": "Chromium",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "CrOS": "ChromeOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


class SignedIn(AuthenticationBackend):
    """Who a session belongs to, with what nearly every page asks of them next, in the same query."""

    def get_user(self, user_id: Any) -> Member | None:
        """The active member of that id with profile, both towns and centre; None when there is none. One query."""
        return next(iter(_signed_in(member=user_id)), None)


@prepared(member=ID)
def _signed_in(*, member: int) -> QuerySet[Member]:
    known = Member.objects.select_related("profile__lives", "profile__works", "profile__centre")
    known = known.annotate(
        erasure_due=privacy.DUE, unread_bell=bell.unread_here(), unread_chat=conversations.unread_here()
    )
    return sign_ins.with_standing(known).filter(pk=member, is_active=True)


class SecondStep(DefaultMFAAdapter):
    """When a code by mail is not enough."""

    def is_mfa_enabled(self, user: Any, types: list[str] | None = None) -> bool:
        """For members a passkey is a quicker way in, not a second lock: after the mail's code only an authenticator
        app is asked for. Otherwise who adds a passkey on the phone could no longer sign in on a borrowed laptop.

        Who can open what is other people's is asked for either: a mailbox alone does not open that.
        """
        if types and Authenticator.Type.TOTP in types and not sign_ins.is_team(user):
            types = [Authenticator.Type.TOTP]
        return bool(super().is_mfa_enabled(user, types))


class AccountAdapter(DefaultAccountAdapter):
    """What allauth asks us: who may join, where to go next, and how a mail leaves."""

    def new_user(self, request: HttpRequest) -> Member:
        """A new member speaks the language of the page they signed up on."""
        return Member(language=page_language())

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return reverse("welcome", args=[1])

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        if isinstance(request.user, Member) and request.user.onboarded_at is None:
            return self.get_signup_redirect_url(request)
        return super().get_login_redirect_url(request)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """How this member can show that it is still them, the quickest first. One query.

        A code by e-mail stands in for the password nobody has here, except for those for whom a mailbox is not
        enough: who turned on an authenticator app, and who has a role and a lock.
        """
        if not user.is_authenticated:
            return []
        has = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
        methods = []
        if Authenticator.Type.WEBAUTHN in has:
            methods.append(("mfa_reauthenticate_webauthn", gettext("Use your passkey")))
        if Authenticator.Type.TOTP in has:
            methods.append(("mfa_reauthenticate", gettext("Use your authenticator app")))
        elif not (has and sign_ins.is_team(user)):
            methods.append(("reauthenticate_by_code", gettext("Use a code by e-mail")))
        return [{"id": name, "description": words, "url": reverse(name)} for name, words in methods]

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Put one of allauth's mails into the outbox, in the language of who gets it.

        Known and unknown addresses cost the same queries, so that the answer takes as long for both.
        """
        member = Member.objects.filter(email__iexact=email).first()
        language = member.language if member else get_language() or settings.LANGUAGE_CODE
        given = {
            "request": allauth_context.request,
            "email": email,
            "site_url": settings.PUBLIC_URL,
        } | context
        with override(language):
            subject = render_to_string(f"{template_prefix}_subject.txt", given)
            text = render_to_string(f"{template_prefix}_message.txt", given)
        kind = template_prefix.rsplit("/", 1)[-1]
        notify.mail_rendered(
            kind,
            to=email,
            language=language,
            claim=f"account:{kind}:{uuid4()}",  # each request for a code is another mail; allauth limits how many
            words=(" ".join(subject.split()), text.strip() + "\n"),
            member=member,
        )

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """allauth's own pages ask again by the same rule as ours."""
        return not reauthentication.has_shown_themselves(allauth_context.request)

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm an address. When it takes the place of another one, everything the old one let in ends but this session."""
        before = Member.objects.filter(pk=email_address.user_id).values_list("email", flat=True).first()
        is_confirmed = bool(super().confirm_email(request, email_address))
        member = Member.objects.get(pk=email_address.user_id)
        if is_confirmed and before and member.email.lower() != before.lower():
            sign_ins.address_changed(member, before)
            if request.user == member:
                reauthentication.stay_signed_in(request, member)
        if is_confirmed:
            guests.adopt(member)
        return is_confirmed

    def logout(self, request: HttpRequest) -> None:
        """End this session and the sockets that were opened with it."""
        member, session_key = request.user, request.session.session_key
        super().logout(request)
        if isinstance(member, Member) and session_key:
            rooms.sign_out(member.pk, LOGOUT, session_key)
            audit.record(audit.Action.SIGNED_OUT, actor=member)


class SessionsAdapter(DefaultUserSessionsAdapter):
    """Signing out other devices ends what they have open, too."""

    def end_sessions(self, sessions: Iterable[Any]) -> None:
        for session in sessions:
            session.end()
            rooms.sign_out(session.user_id, LOGOUT, session.session_key)


def device_name(user_agent: str) -> str:
    """`Firefox on Android`, for people, from what a browser says of itself; its first words where we know neither."""
    browser = next((name for sign, name in BROWSERS.items() if sign in user_agent), "")
    system = next((name for sign, name in SYSTEMS.items() if sign in user_agent), "")
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or user_agent[:40] or gettext("Unknown device")


class Sessions(ListUserSessionsView):
    """Where the member is signed in, by the names of the devices."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        for session in context["sessions"]:
            session.device = device_name(session.user_agent)
        return context


class JoinAgainForm(SignupForm):
    """Signing up, also once more: who lost the first code simply gets another one."""

    def try_save(self, request: HttpRequest) -> tuple[Member | None, HttpResponse | None]:
        """The member to send a code to, or allauth's answer when the address has an account that is in use.

        An account whose address was never confirmed and that nobody has signed in to is nobody's yet: it is
        taken up again, in the language and with the consents given now.
        """
        waiting = self._waiting() if self.account_already_exists else None
        if waiting is None:
            answer: tuple[Member | None, HttpResponse | None] = super().try_save(request)
            return answer
        waiting.language = page_language()
        waiting.save(update_fields=["language"])
        self.custom_signup(request, waiting)
        return waiting, None

    def _waiting(self) -> Member | None:
        email = self.cleaned_data["email"]
        unconfirmed = EmailAddress.objects.filter(email__iexact=email, verified=False).values("user")
        confirmed = EmailAddress.objects.filter(verified=True).values("user")
        untouched = Member.objects.filter(email__iexact=email, is_active=True, last_login=None)
        return untouched.filter(pk__in=unconfirmed).exclude(pk__in=confirmed).first()


class Join(SignupView):
    form_class = JoinAgainForm


class SignOut(LogoutView):
    """Signing out takes along what the browser kept: pages for offline use, drafts, the outbox, the service worker."""

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super().post(*args, **kwargs)
        answer["Clear-Site-Data"] = '"cache", "storage"'  # not "cookies": the language stays
        return answer


def no_passwords(_request: HttpRequest, **_given: str) -> HttpResponse:
    """allauth's pages for passwords: nobody here has one."""
    raise Http404


# Before allauth's own, under the paths and names they have there.
urlpatterns = [
    path("signup/", Join.as_view()),
    path("logout/", SignOut.as_view()),
    path("sessions/", Sessions.as_view()),
    *reauthentication.urlpatterns,
    *locks.urlpatterns,
    path("password/<path:rest>", no_passwords),
]
