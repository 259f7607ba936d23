"""manage.py api_token: prints an API token, and with --create makes the member it belongs to."""

import sys
from collections.abc import Sequence
from itertools import batched
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction
from django.db.models.functions import Lower

from community import members, roles
from community.models import ApiToken, Centre, Member, Profile, Role
from events.models import DoorHelper, Event
from realtime import clock

ROLES = ("member", "host", "door", "staff", "manager")
TOKEN_NAME = "command line"
BATCH = 500  # people in one transaction: one wait for the disk instead of 500


class Command(BaseCommand):
    help = "Prints an API token for EMAIL and nothing else; for - a token a line for each e-mail on standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "email", metavar="EMAIL", help="whose token; - reads e-mails from standard input, one a line"
        )
        parser.add_argument(
            "--create", action="store_true", help="make a verified, adult, onboarded member if there is none"
        )
        parser.add_argument("--role", choices=ROLES, default="member", help="also give this role")
        parser.add_argument("--centre", metavar="SLUG", help="of which centre (default: the first)")

    def handle(self, *args: Any, **options: Any) -> None:
        centre = centre_named(options["centre"])
        if options["role"] in {"door", "staff", "manager"} and centre is None:
            raise CommandError("There is no centre yet: manage.py demo makes three.")
        lines = sys.stdin if options["email"] == "-" else [options["email"]]
        emails = (line.strip() for line in lines if line.strip())
        for some in batched(emails, BATCH, strict=False):
            with transaction.atomic():
                tokens = tokens_for(some, role=options["role"], centre=centre, may_create=options["create"])
            self.stdout.write("\n".join(tokens))  # after the commit: a printed token works
            self.stdout.flush()


def centre_named(slug: str | None) -> Centre | None:
    """The centre of that slug, the first one without a slug, None when there is none. Raises CommandError."""
    if slug is None:
        return Centre.objects.select_related("place").first()
    try:
        return Centre.objects.select_related("place").get(slug=slug)
    except Centre.DoesNotExist as wrong:
        known = ", ".join(Centre.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no centre {slug}. Centres: {known}.") from wrong


def tokens_for(emails: Sequence[str], *, role: str, centre: Centre | None, may_create: bool) -> list[str]:
    """A fresh token for each e-mail, in order. Raises CommandError; then nothing is changed. A few queries for all."""
    for email in emails:
        try:
            validate_email(email)
        except ValidationError as wrong:
            raise CommandError(f"{email} is no e-mail address.") from wrong
    wanted = list(dict.fromkeys(email.lower() for email in emails))
    found = Member.objects.annotate(folded=Lower("email")).filter(folded__in=wanted)
    known: dict[str, Member] = {member.email.lower(): member for member in found}
    missing = [email for email in wanted if email not in known]
    if missing and not may_create:
        raise CommandError(f"There is no member {missing[0]}. With --create one is made.")
    known |= create(missing, centre)
    give([known[email] for email in wanted], role, centre)
    secrets = [ApiToken.new_secret() for _email in emails]
    rows = [
        ApiToken(member=known[email.lower()], name=TOKEN_NAME, digest=ApiToken.digest_of(secret))
        for email, secret in zip(emails, secrets, strict=True)
    ]
    ApiToken.objects.bulk_create(rows)
    return secrets


def create(emails: Sequence[str], centre: Centre | None) -> dict[str, Member]:
    """New members as if they had signed up, confirmed their address, said they are adults and been through the welcome."""
    people = [Member(email=email, display_name=name_in(email), onboarded_at=clock.now()) for email in emails]
    for member in people:
        member.set_unusable_password()
    Member.objects.bulk_create(people)
    EmailAddress.objects.bulk_create(
        EmailAddress(user=m, email=m.email, verified=True, primary=True) for m in people
    )
    lives = centre.place if centre else None
    Profile.objects.bulk_create(
        Profile(member=m, centre=centre, lives=lives, languages=["en"]) for m in people
    )
    members.agree_all(people, settings.LANGUAGE_CODE)
    return {member.email: member for member in people}


def name_in(email: str) -> str:
    """What to call somebody of whom only the address is known: anna.smith@… is Anna Smith."""
    words = email.partition("@")[0].replace(".", " ").replace("_", " ").split()
    return " ".join(word[:1].upper() + word[1:] for word in words)[:60] or email[:60]


def give(people: Sequence[Member], role: str, centre: Centre | None) -> None:
    """The role, on top of what they have. `door` is for the centre's events that are not over: there is no other door."""
    if role == "host":
        Member.objects.filter(pk__in=[member.pk for member in people]).update(is_host=True)
    elif role in {"staff", "manager"}:
        assert centre is not None, "asked for before"
        for member in people:
            if not Role.objects.filter(member=member, centre=centre, kind=role).exists():
                roles.give(member, centre, Role.Kind(role), by=None)
    elif role == "door":
        doors = list(Event.objects.filter(centre=centre).upcoming())
        DoorHelper.objects.bulk_create(
            [DoorHelper(event=event, member=member) for event in doors for member in people],
            ignore_conflicts=True,
        )
