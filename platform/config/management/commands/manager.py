"""manage.py manager: makes a member the manager of a centre; a site's first one has nobody else to ask."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from community import roles
from community.models import Member, Role
from config.management.commands.api_token import centre_named


class Command(BaseCommand):
    help = "Makes the member with this e-mail manager of a centre. Doing it again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--centre", metavar="SLUG", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        centre = centre_named(options["centre"])
        member = Member.objects.filter(email__iexact=options["email"]).first()
        if member is None or centre is None:
            raise CommandError(f"There is no member {options['email']}. They sign up on the site first.")
        if not Role.objects.filter(member=member, centre=centre, kind=Role.Kind.MANAGER).exists():
            roles.give(member, centre, Role.Kind.MANAGER, by=None)
        self.stdout.write(f"{member.email} is a manager of {centre.name}.")
