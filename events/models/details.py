"""What an event and a series say about themselves alike."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

from community.models.circles import Circle
from community.models.places import Centre, Interest, Place, in_language, translated
from realtime import clock
from realtime.ids import WithId


class Details(WithId):
    """Title, venue, who may come: written on a single event, or once on a series for all its occurrences."""

    class Visibility(models.TextChoices):
        PUBLIC = "public"
        MEMBERS = "members"
        CIRCLE = "circle"
        CENTRE = "centre"
        INVITED = "invited"

    class WaitingList(models.TextChoices):
        STRICT = "strict"  # in order; seats may stay free for the first in line
        FIT = "fit"  # who fits first, passed over at most three times

    class Level(models.TextChoices):
        """How well one speaks a language: the Common European Framework of Reference."""

        A1 = "A1", gettext_lazy("a few words")
        A2 = "A2", gettext_lazy("simple talk")
        B1 = "B1", gettext_lazy("everyday talk")
        B2 = "B2", gettext_lazy("fluent talk")
        C1 = "C1", gettext_lazy("any talk")

    title = models.CharField(max_length=160)
    description = models.TextField(max_length=8000, blank=True)
    language = models.CharField(max_length=12, help_text="BCP 47 code of title and description")
    translations = models.JSONField(default=dict, blank=True, help_text="{language: {title, description}}")
    host = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    centre = models.ForeignKey(Centre, models.PROTECT, related_name="+")
    partner_centres = models.ManyToManyField(Centre, blank=True, related_name="+")
    circle = models.ForeignKey(Circle, models.SET_NULL, null=True, blank=True, related_name="+")
    venue = models.CharField(max_length=160, blank=True)
    address = models.CharField(max_length=200, blank=True)
    place = models.ForeignKey(Place, models.PROTECT, null=True, blank=True, related_name="+")
    town = models.CharField(max_length=120, blank=True, help_text="Where the venue is outside the Euregio.")
    timezone = models.CharField(max_length=40, default="Europe/Brussels")
    all_day = models.BooleanField(default=False)
    visibility = models.CharField(max_length=8, choices=Visibility, default=Visibility.PUBLIC)
    waiting_list = models.CharField(max_length=6, choices=WaitingList, null=True, blank=True)  # noqa: DJ001 - null is "none" in the API
    capacity = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: no limit.")
    languages = models.JSONField(
        default=list, blank=True, help_text="BCP 47 codes of the languages spoken there"
    )
    needs_language = models.CharField(
        max_length=12,
        blank=True,
        default="",
        db_default="",
        help_text="BCP 47 code of a language one needs there; empty: none.",
    )
    needs_level = models.CharField(
        max_length=2, blank=True, choices=Level, default="", db_default="", help_text="How well, by the CEFR."
    )
    interests = models.ManyToManyField(Interest, blank=True, related_name="+")
    for_families = models.BooleanField(default=False)
    min_age = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Children come from this age on; 18: adults only; empty: any."
    )
    max_age = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Children come up to this age; empty: any."
    )
    step_free = models.BooleanField(default=False)
    childcare = models.BooleanField(default=False)
    is_free = models.BooleanField(default=True)
    price_note = models.JSONField(
        default=dict, blank=True, help_text="{language: text}: what it costs, paid on the spot"
    )
    doors_minutes = models.PositiveSmallIntegerField(
        default=60, help_text="Doors open so many minutes before the start."
    )
    by_approval = models.BooleanField(
        default=False, db_default=False, help_text="Who runs it says yes or no to each party."
    )
    opens_before = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Registration opens so many minutes before the start; empty: at once.",
    )
    closes_before = models.PositiveIntegerField(
        null=True, blank=True, help_text="It closes so many minutes before; empty: when the event is over."
    )
    fixed_before = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Who comes changes or cancels up to so many minutes before; empty: until it is over.",
    )
    asks_again = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Two days and six hours before, who comes is asked whether they still do.",
    )
    questions = models.JSONField(
        default=list, blank=True, db_default=[], help_text="What the host asks: see events/questions.py"
    )
    ticket_types = models.JSONField(
        default=list, blank=True, db_default=[], help_text="Kinds of tickets: see events/ticket_types.py"
    )
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title

    def text(self, field: str, language: str | None = None) -> str:
        """`field` (title or description) in the reader's language where somebody translated it, else as written."""
        return translated(self.translations, field, language) or str(getattr(self, field))

    @property
    def titles(self) -> dict[str, str]:
        """Its title in the other languages somebody wrote it in."""
        return {language: said.get("title", "") for language, said in self.translations.items()}

    def text_language(self, language: str) -> str:
        """The language in which `text` answers a reader of `language`: for the `lang` attribute."""
        return language if language in self.translations else self.language

    @property
    def price(self) -> str:
        """What it costs, in the language of the page; empty when it is free."""
        return "" if self.is_free else in_language(self.price_note)
