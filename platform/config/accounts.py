"""Signing up and in, by allauth: its mails through our outbox, its sessions with our sockets, and no passwords."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.core import context as allauth_context
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.translation import get_language, override

from community.models import Member
from realtime import notify, rooms

LOGOUT = "signed out"


class SignedIn(AuthenticationBackend):
    """Who a session belongs to, with what nearly every page asks of them next, in the same query."""

    def get_user(self, user_id: Any) -> Member | None:
        """The active member of that id with profile, both towns and centre; None when there is none. One query."""
        known = Member.objects.select_related("profile__lives", "profile__works", "profile__centre")
        return known.filter(pk=user_id, is_active=True).first()


class AccountAdapter(DefaultAccountAdapter):
    """What allauth asks us: who may join, where to go next, and how a mail leaves."""

    def new_user(self, request: HttpRequest) -> Member:
        """A new member speaks the language of the page they signed up on."""
        return Member(language=(get_language() or settings.LANGUAGE_CODE).split("-")[0])

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return reverse("welcome", args=[1])

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        if isinstance(request.user, Member) and request.user.onboarded_at is None:
            return self.get_signup_redirect_url(request)
        return super().get_login_redirect_url(request)

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


def no_passwords(_request: HttpRequest, **_given: str) -> HttpResponse:
    """allauth's pages for passwords: nobody here has one."""
    raise Http404


urlpatterns = [
    path("password/<path:rest>", no_passwords),
]
