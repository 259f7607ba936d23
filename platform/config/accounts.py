"""Signing up and in, by allauth: its mails through our outbox, its sessions with our sockets, and no passwords."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.forms import ConfirmLoginCodeForm, SignupForm
from allauth.account.internal.flows.code_verification import AbstractCodeVerificationProcess
from allauth.account.internal.flows.login import record_authentication
from allauth.account.models import EmailAddress
from allauth.account.views import BaseReauthenticateView, SignupView
from allauth.core import context as allauth_context
from allauth.core import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.views import ActivateTOTPView
from allauth.mfa.webauthn.views import AddWebAuthnView
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.views import ListUserSessionsView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import get_language, gettext, override
from django.views.decorators.cache import never_cache

from community.forms import page_language
from community.models import Member
from realtime import notify, rooms

LOGOUT = "signed out"
REAUTHENTICATION_CODE = "reauthentication_code"  # where the session keeps it

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
        known = Member.objects.select_related("profile__lives", "profile__works", "profile__centre")
        return known.filter(pk=user_id, is_active=True).first()


class SecondStep(DefaultMFAAdapter):
    """When a code by mail is not enough."""

    def is_mfa_enabled(self, user: Any, types: list[str] | None = None) -> bool:
        """A passkey is a quicker way in, not a second lock: after the mail's code only an authenticator app is asked for.

        Otherwise who adds a passkey on the phone could no longer sign in on a borrowed laptop.
        """
        if types and Authenticator.Type.TOTP in types:
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

        A code by e-mail stands in for the password nobody has here, except for those who have said that a
        mailbox is not enough by turning on an authenticator app. Empty while there is nothing to protect.
        """
        if not user.is_authenticated:
            return []
        has = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
        if not has and not user.has_usable_password():
            return []
        methods = []
        if Authenticator.Type.WEBAUTHN in has:
            methods.append(("mfa_reauthenticate_webauthn", gettext("Use your passkey")))
        if Authenticator.Type.TOTP in has:
            methods.append(("mfa_reauthenticate", gettext("Use your authenticator app")))
        else:
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

    def logout(self, request: HttpRequest) -> None:
        """End this session and the sockets that were opened with it."""
        member, session_key = request.user, request.session.session_key
        super().logout(request)
        if isinstance(member, Member) and session_key:
            rooms.sign_out(member.pk, LOGOUT, session_key)


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


class AddPasskey(AddWebAuthnView):
    """Adding a passkey ends where passkeys and recovery codes are listed."""

    def get_success_url(self) -> str:
        return reverse("mfa_index")

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        has_shown_themselves(self.request)
        return answer


class AddAuthenticatorApp(ActivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        has_shown_themselves(self.request)
        return answer


def has_shown_themselves(request: HttpRequest) -> None:
    """Who has just used a new key to add it is not asked for that very key on the next page."""
    record_authentication(request, signed_in(request), method="mfa", reauthenticated=True)


def signed_in(request: HttpRequest) -> Member:
    """The member of this session. Raises PermissionDenied when nobody is signed in."""
    if not isinstance(request.user, Member):
        raise PermissionDenied
    return request.user


class ReauthenticationCode(AbstractCodeVerificationProcess):
    """A code on its way to a member who is signed in, kept in their session. Five wrong ones end it, and so does time."""

    def __init__(self, request: HttpRequest, state: dict[str, Any]) -> None:
        self.request = request
        super().__init__(
            state=state,
            max_attempts=settings.ACCOUNT_LOGIN_BY_CODE_MAX_ATTEMPTS,
            timeout=settings.ACCOUNT_LOGIN_BY_CODE_TIMEOUT,
            user=signed_in(request),
        )

    @classmethod
    def pending(cls, request: HttpRequest) -> "ReauthenticationCode | None":
        state = request.session.get(REAUTHENTICATION_CODE)
        process = cls(request, state) if state else None
        if process and not process.is_valid():
            process.abort()
            return None
        return process

    @classmethod
    def initiate(cls, request: HttpRequest) -> None:
        member = signed_in(request)
        process = cls(request, cls.initial_state(member, member.email))
        process.send()
        process.persist()

    def send(self) -> None:
        adapter = AccountAdapter(self.request)
        self.state["code"] = adapter.generate_login_code()
        context = {"request": self.request, "code": self.code}
        adapter.send_mail("account/email/login_code", self.state["email"], context)

    def persist(self) -> None:
        self.request.session[REAUTHENTICATION_CODE] = self.state

    def abort(self) -> None:
        self.request.session.pop(REAUTHENTICATION_CODE, None)


@method_decorator([never_cache, login_required], name="dispatch")
class ReauthenticateByCode(BaseReauthenticateView):
    """A member shows with a code from their mailbox that it is still them, before how they sign in changes.

    POST with action=send sends the code, POST with a code goes on to where they wanted to go.
    """

    form_class = ConfirmLoginCodeForm
    template_name = "account/reauthenticate_by_code.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.pending = ReauthenticationCode.pending(request)
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return answer

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.POST.get("action") == "send" or self.pending is None:
            if ratelimit.consume(request, action="request_login_code", key=signed_in(request).email.lower()):
                ReauthenticationCode.initiate(request)
            else:
                adapter = AccountAdapter(request)
                adapter.add_message(
                    request, messages.ERROR, message=str(adapter.error_messages["rate_limited"])
                )
            back: str = self.passthrough_next_url(request.path)  # type: ignore[no-untyped-call]
            return HttpResponseRedirect(back)
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"code": self.pending.code if self.pending else ""}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"pending": self.pending}

    def form_valid(self, form: Any) -> HttpResponse:
        if self.pending:
            self.pending.abort()
        record_authentication(self.request, signed_in(self.request), method="code", reauthenticated=True)
        answer: HttpResponse = super().form_valid(form)
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        if self.pending and not self.pending.record_invalid_attempt():
            self.pending = None
        answer: HttpResponse = super().form_invalid(form)
        return answer


def no_passwords(_request: HttpRequest, **_given: str) -> HttpResponse:
    """allauth's pages for passwords: nobody here has one."""
    raise Http404


# Before allauth's own, under the paths and names they have there.
urlpatterns = [
    path("signup/", Join.as_view()),
    path("sessions/", Sessions.as_view()),
    path("reauthenticate/code/", ReauthenticateByCode.as_view(), name="reauthenticate_by_code"),
    path("2fa/webauthn/add/", AddPasskey.as_view()),
    path("2fa/totp/activate/", AddAuthenticatorApp.as_view()),
    path("password/<path:rest>", no_passwords),
]
