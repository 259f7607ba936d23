"""Accounts: what somebody agreed to, who they are here, what they may do."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from community import audit
from community.models import Centre, Consent, Interest, Member, Place, Profile, Role
from community.models.places import kilometres
from realtime import bell, clock

TERMS_VERSION = "2026-11"
PRIVACY_VERSION = "2026-11"
ADULT_AGE = 18
UNCONFIRMED_KEPT = timedelta(days=30)
MOST_LANGUAGES = 12
DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")  # signs that turn the text around them
MOST_INTERESTS = 20


def agree(member: Member, language: str) -> None:
    """Keep that the member is of age and agreed to terms and privacy notice as they read today, and when. Idempotent."""
    agree_all([member], language)


def agree_all(people: Sequence[Member], language: str) -> None:
    """As `agree`, for any number of people. At most three queries."""
    versions = {
        Consent.Document.ADULT: str(ADULT_AGE),
        Consent.Document.TERMS: TERMS_VERSION,
        Consent.Document.PRIVACY: PRIVACY_VERSION,
    }
    given = set(Consent.objects.filter(member__in=people).values_list("member", "document", "version"))
    rows = [
        Consent(member=member, document=kind, version=version, language=language)
        for member in people
        for kind, version in versions.items()
        if (member.pk, kind, version) not in given
    ]
    Consent.objects.bulk_create(rows, ignore_conflicts=True)
    new = {row.member_id: row.member for row in rows}
    audit.consented(list(new.values()), f"terms {TERMS_VERSION}")


@transaction.atomic
def join(member: Member, language: str) -> None:
    """What every new account gets: a profile, and the consents given when signing up. Idempotent."""
    Profile.objects.get_or_create(member=member)
    agree(member, language)


def forget_unconfirmed() -> int:
    """The sweep: who signed up, never confirmed the address and never came in is forgotten after 30 days. Returns how many."""
    confirmed = EmailAddress.objects.filter(verified=True).values("user")
    unconfirmed = EmailAddress.objects.filter(verified=False).values("user")
    lapsed = Member.objects.filter(
        pk__in=unconfirmed, last_login=None, date_joined__lt=clock.now() - UNCONFIRMED_KEPT
    ).exclude(pk__in=confirmed)
    return lapsed.delete()[1].get(Member._meta.label, 0)


def profile_of(member: Member) -> Profile:
    """The member's profile with both places and the centre.

    No query for who is signed in (it came with them), one for others, two for a member who never had one.
    """
    here = member._state.fields_cache.get("profile")
    if isinstance(here, Profile):
        return here
    rows = Profile.objects.select_related("lives", "works", "centre")
    profile = rows.filter(member=member).first()
    if profile is None:
        Profile.objects.get_or_create(member=member)
        profile = rows.get(member=member)
    profile.member = member
    return profile


def join_centre_of(place: Place | None) -> Centre | None:
    """The centre nearest to a place: whose members those who live there are at first. One query."""
    if place is None:
        return None
    centres = Centre.objects.select_related("place")
    return min(
        centres, key=lambda c: kilometres(place.lat, place.lon, c.place.lat, c.place.lon), default=None
    )


@transaction.atomic
def set_profile(member: Member, changes: Mapping[str, Any]) -> Profile:
    """Write the named facts and leave the others: display_name, language, about, about_language, languages, lives, works,
    centre, interests; of channels the groups that are named. Raises ValidationError when a name is empty or a list too long. Idempotent.

    A member without a home centre gets the one nearest to where they live.
    """
    member._state.fields_cache.pop("profile", None)  # what the caller holds is the past in a moment
    member = Member.objects.select_for_update().get(pk=member.pk)
    profile, _created = Profile.objects.select_for_update().get_or_create(member=member)
    if "display_name" in changes and not DIRECTION.sub("", changes["display_name"]).strip():
        raise ValidationError({"display_name": _("Tell us a name to call you by.")}, code="required")
    if len(changes.get("languages", ())) > MOST_LANGUAGES:
        raise ValidationError(
            {"languages": _("Choose the languages you speak best: %d at most.") % MOST_LANGUAGES},
            code="too_many",
        )
    if len(changes.get("interests", ())) > MOST_INTERESTS:
        raise ValidationError(
            {"interests": _("Choose what matters most: %d at most.") % MOST_INTERESTS}, code="too_many"
        )
    for name in ("display_name", "language"):
        if name in changes:
            setattr(member, name, DIRECTION.sub("", changes[name]).strip())
    if "channels" in changes:
        member.channels = bell.chosen(member.channels, changes["channels"])
    for name in ("about", "about_language", "languages", "lives", "works", "centre"):
        if name in changes:
            setattr(profile, name, changes[name])
    if profile.centre_id is None and profile.lives is not None and "centre" not in changes:
        profile.centre = join_centre_of(profile.lives)
    member.save(update_fields=["display_name", "language", "channels"])
    profile.save()
    if "interests" in changes:
        profile.interests.set(changes["interests"])
    return profile


def welcome(member: Member) -> None:
    """The first screens are done. Raises ValidationError without a name. Idempotent: the first time counts."""
    if not Member.objects.filter(pk=member.pk).exclude(display_name="").exists():
        raise ValidationError(_("Tell us a name to call you by."), code="required")
    Member.objects.filter(pk=member.pk, onboarded_at=None).update(onboarded_at=clock.now())


def staffs(member: Member, centre_id: int) -> bool:
    """The member is staff or manager of the centre. One query."""
    return Role.objects.filter(member=member, centre=centre_id).exists()


def is_host(member: Member) -> bool:
    """The member may create events and circles: trusted by staff, or staff anywhere. No query for who is signed in."""
    if member.is_host:
        return True
    known = getattr(member, "has_role", None)
    return Role.objects.filter(member=member).exists() if known is None else bool(known)


def interests_of(profile: Profile) -> list[Interest]:
    """What the member likes, in the order of the list. One query."""
    return list(profile.interests.order_by("position"))


def nobody() -> Member:
    """The nameless account that stands where a row must name somebody who has gone. Nobody can sign in to it."""
    return Member.objects.get_or_create(
        email="nobody@erased.invalid", defaults={"is_active": False, "password": UNUSABLE_PASSWORD_PREFIX}
    )[0]
