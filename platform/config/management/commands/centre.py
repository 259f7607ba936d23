"""manage.py centre: makes a centre, or changes what it is called. A site needs one before it has a manager."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from community.models import Centre, Place


class Command(BaseCommand):
    help = "Makes the centre SLUG in a town, or changes its name, town or address. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--name", required=True)
        parser.add_argument("--town", required=True, help="any name the town is known by")
        parser.add_argument("--country", required=True, choices=["BE", "NL", "DE"])
        parser.add_argument("--email", required=True)
        parser.add_argument("--languages", default="en", help="spoken there, the first one first: nl,en,fr")

    def handle(self, *args: Any, **options: Any) -> None:
        towns = Place.objects.named(options["town"]).filter(country=options["country"])
        place = towns.filter(name__iexact=options["town"]).first() or towns.first()
        if place is None:
            raise CommandError(f"No town of {options['country']} is known as {options['town']}.")
        languages = options["languages"].split(",")
        _centre, is_new = Centre.objects.update_or_create(
            slug=options["slug"],
            defaults={
                "name": options["name"],
                "place": place,
                "email": options["email"],
                "language": languages[0],
                "languages": languages,
            },
        )
        self.stdout.write(f"{'Made' if is_new else 'Changed'}: {options['name']}, {place}")
