"""Before something that cannot be taken back, people show once more that it is still them: ten minutes it then holds."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ConfirmLoginCodeForm
from allauth.account.internal.flows.code_verification import AbstractCodeVerificationProcess
from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.account.internal.flows.reauthentication import suspend_request
from allauth.account.views import BaseReauthenticateView
from allauth.core import ratelimit
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from community import audit
from community.models import Member
from config import problems
from config.authentication import bearer_secret
from config.sessions import SINCE
from realtime import clock

HOLDS_FOR = timedelta(minutes=10)
CODE = "reauthentication_code"  # where the session keeps it

READS, WRITES = ("GET", "HEAD"), ("POST", "PUT", "PATCH", "DELETE")
ASKED_FOR: dict[str, tuple[str, ...]] = {  # by the name of the page: which methods of it
    "account_email": (*READS, *WRITES),
    "mfa_add_webauthn": (*READS, *WRITES),
    "mfa_activate_totp": (*READS, *WRITES),
    "desk_people_csv": READS,
    "desk_events_csv": READS,
    "guests_csv": READS,
    "guests_print": READS,
    "desk_person_host": WRITES,
    "desk_person_address": WRITES,
    "desk_roles": WRITES,
    "desk_role_withdraw": WRITES,
    "keys": WRITES,
    "my_data": WRITES,
    "export_file": READS,
    "erase": WRITES,
    "api_me": ("DELETE",),
    "api_export": WRITES,
    "api_job_file": READS,
}


def has_shown_themselves(request: HttpRequest) -> bool:
    """Whether who is signed in has shown in the last ten minutes that it is them: by signing in, or again. No query."""
    times = [record["at"] for record in get_authentication_records(request, request.user)]  # type: ignore[arg-type]
    latest = max([request.session.get(SINCE, 0), *times])
    return bool(clock.now().timestamp() - latest < HOLDS_FOR.total_seconds())


class AskAgain:
    """Who signed in a while ago shows that it is still them before what `ASKED_FOR` names.

    A form that was sent is kept meanwhile, and goes on by itself afterwards. Programs are let through: a token is
    its own proof.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """The way to show themselves for who has to, None for everybody else."""
        route = request.resolver_match
        name = route.view_name if route else ""
        methods = ASKED_FOR.get(name, ())
        if request.method not in methods or bearer_secret(request) is not None:
            return None
        member = request.user
        if not isinstance(member, Member) or has_shown_themselves(request):
            return None
        if problems.is_api(request):
            return problems.problem(403, "show_yourself", _("Sign in again first: this asks who you are."))
        audit.refused("asked_again", member.public_id, name, 302)
        ways = get_adapter(request).get_reauthentication_methods(member)
        return suspend_request(request, ways[0]["url"])


def show(request: HttpRequest, member: Member, method: str) -> None:
    """From now on, for ten minutes, `member` has shown themselves in this session."""
    record_authentication(request, member, method=method, reauthenticated=True)


def stay_signed_in(request: HttpRequest, member: Member) -> None:
    """This session goes on, under a new key, where all others of the member have just been ended."""
    update_session_auth_hash(request, member)
    UserSession.objects.create_from_request(request)


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
        state = request.session.get(CODE)
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
        adapter = get_adapter(self.request)
        self.state["code"] = adapter.generate_login_code()
        context = {"request": self.request, "code": self.code}
        adapter.send_mail("account/email/login_code", self.state["email"], context)

    def persist(self) -> None:
        self.request.session[CODE] = self.state

    def abort(self) -> None:
        self.request.session.pop(CODE, None)


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
                adapter = get_adapter(request)
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
        show(self.request, signed_in(self.request), "code")
        answer: HttpResponse = super().form_valid(form)
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        audit.refused("wrong_code", signed_in(self.request).public_id, "reauthenticate_by_code", 200)
        if self.pending and not self.pending.record_invalid_attempt():
            self.pending = None
        answer: HttpResponse = super().form_invalid(form)
        return answer


urlpatterns = [
    path("reauthenticate/code/", ReauthenticateByCode.as_view(), name="reauthenticate_by_code"),
]
