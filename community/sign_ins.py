"""What lets somebody in: how strong it must be, the keys of their programs, and the end of all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from community import audit
from community.models import ApiToken, Centre, Member, Role
from realtime import clock, keys, notify, rooms
from realtime.prepared import TEXTS, prepared

LOCKS = (Authenticator.Type.WEBAUTHN, Authenticator.Type.TOTP)  # recovery codes alone are only a spare key
MOST_TOKENS = 100
SESSION_KEPT = timedelta(days=90)  # after signing in, however often somebody comes by


def with_standing(members: QuerySet[Member]) -> QuerySet[Member]:
    """Each member with `has_role` (at a centre), `is_team` (so, or operator) and `has_lock`, in the same query."""
    roles = Role.objects.filter(member=OuterRef("pk"))
    locks = Authenticator.objects.filter(user=OuterRef("pk"), type__in=LOCKS)
    standing = members.annotate(has_role=Exists(roles), has_lock=Exists(locks))
    return standing.annotate(is_team=Q(has_role=True) | Q(is_staff=True))


def without_lock(members: QuerySet[Member]) -> QuerySet[Member]:
    """Those who have neither passkey nor authenticator app."""
    return members.filter(~Exists(Authenticator.objects.filter(user=OuterRef("pk"), type__in=LOCKS)))


def is_team(member: Member) -> bool:
    """Whether the member can open what is other people's: staff, manager or operator. No query for who is signed in."""
    known = getattr(member, "is_team", None)
    if known is not None:
        return bool(known)
    return member.is_staff or Role.objects.filter(member=member).exists()


def has_lock(member: Member) -> bool:
    """Whether the member has a passkey or an authenticator app. No query for who is signed in."""
    known = getattr(member, "has_lock", None)
    if known is not None:
        return bool(known)
    return Authenticator.objects.filter(user=member, type__in=LOCKS).exists()


@transaction.atomic
def end_all(member: Member, reason: str, by: Member | None = None) -> None:
    """Every session of the member is over with this commit, and every socket within two seconds.

    A new random word in the place of a password changes what each session is signed with: also of a session that
    nobody listed. Their keys for programs stay; see `revoke_tokens`. Idempotent in effect.
    """
    member.set_unusable_password()
    Member.objects.filter(pk=member.pk).update(password=member.password)
    for session in UserSession.objects.filter(user=member):
        session.end()
    rooms.sign_out(member.pk, reason)
    audit.record(audit.Action.SESSIONS_ENDED, actor=by or member, subject=member, target=reason)


def forget_sessions(member: Member, email: str = "") -> None:
    """Nothing is left of the member's sessions, nor of those in which somebody typed their address (or `email`, which
    was theirs) and waits for a code.

    What a session holds is packed: each is looked into, 20 µs apiece.
    """
    wanted = (email or member.email).lower()
    UserSession.objects.filter(user=member).delete()
    store = SessionStore()
    theirs = []
    for session in Session.objects.iterator(500):
        held = store.decode(session.session_data)
        if held.get(SESSION_KEY) == str(member.pk) or wanted in str(held).lower():
            theirs.append(session.pk)
    Session.objects.filter(pk__in=theirs).delete()


def forget_old_sessions() -> int:
    """The sweep: sessions whose time is up go, and what was noted of their devices. Returns how many. Two queries."""
    gone = Session.objects.filter(expire_date__lt=clock.now()).delete()[0]
    return gone + UserSession.objects.exclude(session_key__in=Session.objects.values("pk")).delete()[0]


@transaction.atomic
def address_changed(member: Member, before: str, by: Member | None = None) -> None:
    """The member signs in with another address than `before` now, and what that one let in is over: sessions, programs,
    codes on their way to it, the keys in its mails, and whatever an upper floor sent there (`when_address_changes`).
    `by`: who changed it, when not the member.
    """
    revoke_tokens(member, by=by)
    forget_sessions(member, before)
    end_all(member, "address changed", by)
    EmailAddress.objects.filter(user=member).exclude(email__iexact=member.email).delete()
    keys.use_up(member)
    for follow in _followers:
        follow(member)
    if by is None:
        audit.record(audit.Action.ADDRESS_CHANGED, actor=member)


_followers: list[Callable[[Member], None]] = []


def when_address_changes(follow: Callable[[Member], None]) -> None:
    """A floor above ends what it has sent to an address; called once, when the apps are ready."""
    _followers.append(follow)


@transaction.atomic
def correct_address(manager: Member, member: Member, email: str, centre: Centre) -> Member:
    """A manager sets a mistyped address right: the member signs in with `email` from now on, and confirms it so.

    The old address is told, so that nobody's account is moved unseen; sessions and keys of programs end. Raises
    ValidationError on `email`: no address, the one they have, or another member's.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as wrong:
        raise ValidationError({"email": wrong.messages}, code="invalid") from wrong
    member = Member.objects.select_for_update().get(pk=member.pk)
    if email == member.email.lower():
        raise ValidationError({"email": _("That is the address already.")}, code="same")
    if Member.objects.filter(email__iexact=email).exists():
        raise ValidationError({"email": _("Another member has this address.")}, code="taken")
    before, member.email = member.email, email
    Member.objects.filter(pk=member.pk).update(email=email)
    EmailAddress.objects.filter(user=member).delete()
    EmailAddress.objects.create(user=member, email=email, verified=False, primary=True)
    address_changed(member, before, manager)
    audit.record(audit.Action.CORRECTED, actor=manager, subject=member, centre=centre, target="address")
    for number, to in enumerate((before, email)):
        notify.mail(
            "address_corrected",
            to=to,
            language=member.language,
            claim=f"address_corrected:{member.public_id}:{clock.now().isoformat()}:{number}",
            context={
                "centre": centre,
                "is_new": to == email,
                "url": f"{settings.PUBLIC_URL}/accounts/login/",
            },
            member=member,
        )
    return member


def tokens_of(member: Member) -> QuerySet[ApiToken]:
    """The member's keys for programs that still open something, the newest first."""
    return ApiToken.objects.filter(member=member, revoked_at=None).order_by("-created_at", "-pk")


@transaction.atomic
def issue_token(member: Member, name: str) -> str:
    """A new API token of the member, returned once and never again. Not idempotent: each call is another key.

    Raises ValidationError: no name (required), too many keys (too_many).
    """
    name = " ".join(name.split())[:60]
    if not name:
        raise ValidationError({"name": _("Say what the key is for.")}, code="required")
    Member.objects.select_for_update().only("pk").get(pk=member.pk)
    if tokens_of(member).count() >= MOST_TOKENS:
        text = _("You have %d keys already. Revoke one you no longer need.") % MOST_TOKENS
        raise ValidationError(text, code="too_many")
    secret = ApiToken.new_secret()
    ApiToken.objects.create(member=member, name=name, digest=ApiToken.digest_of(secret))
    audit.record(audit.Action.TOKEN_ISSUED, actor=member)
    return secret


def member_for_token(secret: str) -> Member | None:
    """Whose token it is; None when unknown, revoked, or the member is not active. One query."""
    return members_for_digests([ApiToken.digest_of(secret)])[0]


def members_for_digests(digests: Sequence[str]) -> list[Member | None]:
    """Whose tokens these are, each named by its digest, as `member_for_token`. One query for any number."""
    found = {token.digest: token.member for token in _good(digests=tuple(digests))}
    return [found.get(digest) for digest in digests]


@prepared(digests=TEXTS)
def _good(*, digests: Any) -> QuerySet[ApiToken]:
    tokens = ApiToken.objects.filter(digest__in=digests, revoked_at=None, member__is_active=True)
    return tokens.select_related("member")


@transaction.atomic
def revoke_tokens(member: Member, token_id: int | None = None, by: Member | None = None) -> int:
    """One key of the member, or all of them, opens nothing any more; a socket it holds open closes within two seconds.

    `by`: who does it, when not the member. Returns how many. Revoked already, or somebody else's: nothing happens.
    """
    keys = tokens_of(member) if token_id is None else tokens_of(member).filter(pk=token_id)
    ended = ApiToken.objects.filter(pk__in=list(keys.values_list("pk", flat=True))).update(
        revoked_at=clock.now()
    )
    if ended:
        audit.record(audit.Action.TOKEN_REVOKED, actor=by or member, subject=member, target=str(ended))
    return ended
