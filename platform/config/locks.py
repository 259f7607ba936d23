"""Second locks: passkeys and authenticator apps, and who cannot do without one."""

from collections.abc import Callable
from typing import Any

from allauth.account.forms import ConfirmEmailVerificationCodeForm, ConfirmLoginCodeForm
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import AddWebAuthnView, RemoveWebAuthnView
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from community import audit, sign_ins
from community.models import Member
from config import problems
from config.authentication import bearer_secret
from config.reauthentication import show, signed_in

# Where somebody with a role and without a lock may go: to get one, to read what this is about, and out.
_OPEN_PATHS = ("/accounts/", "/language/", "/static/", "/about/", "/privacy/", "/terms/", "/accessibility/")


def lacks_lock(member: Member) -> bool:
    """The member's role needs a second lock and there is none; the demo's people need none. No query for who is signed in."""
    return not settings.DEMO and sign_ins.is_team(member) and not sign_ins.has_lock(member)


class LockMiddleware:
    """Who can open what is other people's has a passkey or an authenticator app, or gets one before anything else.

    Programs are let through: what a member made before they had a role was revoked with the grant.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        member = request.user
        if (
            bearer_secret(request) is not None
            or not isinstance(member, Member)
            or request.path_info.startswith(_OPEN_PATHS)
            or not lacks_lock(member)
        ):
            return self.get_response(request)
        if problems.is_api(request):
            return problems.problem(
                403, "lock_needed", _("Your role needs a passkey or an authenticator app.")
            )
        target = reverse("lock_needed")
        if (
            "HTTP_HX_REQUEST" in request.META
        ):  # htmx follows a redirect inside the page: tell the browser itself
            return HttpResponse(status=204, headers={"HX-Redirect": target})
        return redirect(target)


@login_required
@require_GET
def lock_needed(request: HttpRequest) -> HttpResponse:
    """Why a role needs a second lock, and the two ways to get one."""
    member = signed_in(request)
    if not sign_ins.is_team(member) or sign_ins.has_lock(member):
        return redirect("mfa_index")
    return render(request, "account/lock_needed.html")


class AddPasskey(AddWebAuthnView):
    """Adding a passkey ends where passkeys and recovery codes are listed."""

    def get_success_url(self) -> str:
        return reverse("mfa_index")

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        _added(self.request, "passkey")
        return answer


class AddAuthenticatorApp(ActivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        _added(self.request, "authenticator app")
        return answer


class RemovePasskey(RemoveWebAuthnView):
    def form_valid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = super().form_valid(form)
        audit.record(audit.Action.LOCK_REMOVED, actor=signed_in(self.request), target="passkey")
        return answer


class RemoveAuthenticatorApp(DeactivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = super().form_valid(form)
        audit.record(audit.Action.LOCK_REMOVED, actor=signed_in(self.request), target="authenticator app")
        return answer


def _added(request: HttpRequest, kind: str) -> None:
    """Who has just used a new key to add it is not asked for that very key on the next page."""
    member = signed_in(request)
    show(request, member, "mfa")
    audit.record(audit.Action.LOCK_ADDED, actor=member, target=kind)


class LoginCodeForm(ConfirmLoginCodeForm):
    """A wrong code is a line of the security log, without the code."""

    def clean_code(self) -> str:
        try:
            return str(super().clean_code())
        except ValidationError:
            audit.refused("wrong_code", "", "account_confirm_login_code", 200)
            raise


class SignUpCodeForm(ConfirmEmailVerificationCodeForm):
    """A wrong code is a line of the security log, without the code."""

    def clean_code(self) -> str:
        try:
            return str(super().clean_code())
        except ValidationError:
            audit.refused("wrong_code", "", "account_email_verification_sent", 200)
            raise


class SecondStepForm(AuthenticateForm):
    """A wrong number is a line of the security log, without the number."""

    def clean_code(self) -> str:
        try:
            return super().clean_code()
        except ValidationError:
            audit.refused("wrong_code", self.user.public_id, "mfa_authenticate", 200)
            raise


class OnceMoreForm(ReauthenticateForm):
    """As `SecondStepForm`, for who shows once more that it is them."""

    def clean_code(self) -> str:
        try:
            return super().clean_code()
        except ValidationError:
            audit.refused("wrong_code", self.user.public_id, "mfa_reauthenticate", 200)
            raise


# Before allauth's own, under the paths and names they have there.
urlpatterns = [
    path("lock/", lock_needed, name="lock_needed"),
    path("2fa/webauthn/add/", AddPasskey.as_view(), name="mfa_add_webauthn"),
    path("2fa/webauthn/keys/<int:pk>/remove/", RemovePasskey.as_view(), name="mfa_remove_webauthn"),
    path("2fa/totp/activate/", AddAuthenticatorApp.as_view(), name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", RemoveAuthenticatorApp.as_view(), name="mfa_deactivate_totp"),
]
