"""What a host types of an event or a meetup beside when it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from community.members import ADULT_AGE
from community.models import Centre, Circle, Interest, Member, Place
from events import rescheduling
from events.forms import DEFAULT_ZONE, CallOffForm, spoken_languages, town_named
from events.hosting import Plan, Recurrence
from events.models import Event
from events.models.details import Details
from events.owning import owns
from events.question_forms import QuestionRows
from events.ticket_forms import TypeRows
from events.when_form import NIGHT, WhenForm

NOTHING = re.compile(
    r"(€|eur|euros?)?\s*0+([.,][0–-]*)?\s*(€|eur|euros?)?", re.IGNORECASE
)  # 0, 0 €, 0,00 EUR


HOUR, DAY = 60, 24 * 60
BEFORE = (
    (HOUR, gettext_lazy("1 hour before")),
    (3 * HOUR, gettext_lazy("3 hours before")),
    (12 * HOUR, gettext_lazy("12 hours before")),
    (DAY, gettext_lazy("1 day before")),
    (2 * DAY, gettext_lazy("2 days before")),
    (3 * DAY, gettext_lazy("3 days before")),
    (7 * DAY, gettext_lazy("1 week before")),
    (14 * DAY, gettext_lazy("2 weeks before")),
    (28 * DAY, gettext_lazy("4 weeks before")),
    (90 * DAY, gettext_lazy("3 months before")),
)


class BeforeField(forms.TypedChoiceField):
    """So long before the start, in minutes; None: as it is without. What a program wrote stays, though it is no choice here."""

    def valid_value(self, value: Any) -> bool:
        """Any number of minutes up to a year."""
        return str(value).isascii() and str(value).isdigit() and len(str(value)) < 7


def before_field(label: Any, without: Any, *, zero: bool = False) -> BeforeField:
    """A choice of times before the start; `without` says what an empty choice means, `zero` offers the start itself."""
    start = ((0, gettext_lazy("when it begins")),) if zero else ()
    return BeforeField(
        label=label, required=False, coerce=int, empty_value=None, choices=(("", without), *start, *BEFORE)
    )


class EndForm(CallOffForm):
    """The same for a date of a meetup: it alone, or with all after it."""

    scope = forms.ChoiceField(
        label=gettext_lazy("What is called off?"),
        choices=[
            ("this", gettext_lazy("This date alone")),
            ("following", gettext_lazy("This date and all after it: the meetup ends here")),
        ],
        initial="this",
        required=False,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields(["scope", "reason"])


class EventForm(WhenForm):
    """One form for a single event and for a meetup."""

    title = forms.CharField(label=gettext_lazy("Title"), max_length=160)
    description = forms.CharField(
        label=gettext_lazy("What happens there"),
        required=False,
        max_length=8000,
        widget=forms.Textarea({"rows": 6}),
        help_text=gettext_lazy("Markdown works: **bold**, lists, links."),
    )
    language = forms.ChoiceField(label=gettext_lazy("This text is in"), choices=settings.LANGUAGES)
    venue = forms.CharField(label=gettext_lazy("Venue"), required=False, max_length=160)
    address = forms.CharField(label=gettext_lazy("Address"), required=False, max_length=200)
    town = forms.CharField(label=gettext_lazy("Town"), required=False, max_length=120)
    capacity = forms.IntegerField(
        label=gettext_lazy("Places"),
        required=False,
        min_value=1,
        max_value=1_000_000,
        help_text=gettext_lazy("Leave empty for no limit."),
    )
    waiting_list = forms.ChoiceField(
        label=gettext_lazy("When it is full"),
        required=False,
        choices=[
            ("", gettext_lazy("No waiting list")),
            ("strict", gettext_lazy("A waiting list, in order of coming")),
            ("fit", gettext_lazy("A waiting list, the first party that fits")),
        ],
    )
    by_approval = forms.BooleanField(label=gettext_lazy("I say yes or no to each party"), required=False)
    asks_again = forms.BooleanField(
        label=gettext_lazy("Ask two days and six hours before whether they still come"), required=False
    )
    opens_before = before_field(gettext_lazy("Registration opens"), gettext_lazy("at once"))
    closes_before = before_field(
        gettext_lazy("Registration closes"), gettext_lazy("when it is over"), zero=True
    )
    fixed_before = before_field(
        gettext_lazy("Change and cancel"), gettext_lazy("until it is over"), zero=True
    )
    languages = forms.MultipleChoiceField(
        label=gettext_lazy("Languages spoken"), required=False, widget=forms.CheckboxSelectMultiple
    )
    needs_language = forms.ChoiceField(label=gettext_lazy("One needs to speak"), required=False)
    needs_level = forms.ChoiceField(
        label=gettext_lazy("How well"),
        required=False,
        choices=lambda: [(one.value, f"{one.value}: {one.label}") for one in Details.Level],
    )
    interests = forms.MultipleChoiceField(
        label=gettext_lazy("Interests"), required=False, widget=forms.CheckboxSelectMultiple
    )
    for_families = forms.BooleanField(label=gettext_lazy("For families"), required=False)
    min_age = forms.IntegerField(
        label=gettext_lazy("Children from"),
        required=False,
        min_value=0,
        max_value=ADULT_AGE,
        help_text=gettext_lazy("Years. 18 means adults only."),
    )
    max_age = forms.IntegerField(
        label=gettext_lazy("Children up to"),
        required=False,
        min_value=0,
        max_value=ADULT_AGE,
        help_text=gettext_lazy("Years. Adults come along whatever their age."),
    )
    step_free = forms.BooleanField(label=gettext_lazy("Step-free"), required=False)
    childcare = forms.BooleanField(label=gettext_lazy("Childcare"), required=False)
    price = forms.CharField(
        label=gettext_lazy("Price"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("Leave empty if it is free. Paid on the spot."),
    )
    visibility = forms.ChoiceField(
        label=gettext_lazy("Who sees it"),
        choices=[
            ("public", gettext_lazy("Everybody")),
            ("members", gettext_lazy("Members")),
            ("circle", gettext_lazy("One circle")),
            ("centre", gettext_lazy("Members of the centre")),
            ("invited", gettext_lazy("Only those who are invited")),
        ],
        initial="public",
    )
    circle = forms.ModelChoiceField(
        Circle.objects.none(), label=gettext_lazy("Circle"), required=False, empty_label=gettext_lazy("None")
    )
    partner_centres = forms.ModelMultipleChoiceField(
        Centre.objects.all(),
        label=gettext_lazy("Together with"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    scope = forms.ChoiceField(
        label=gettext_lazy("Change"),
        required=False,
        choices=[
            ("this", gettext_lazy("Only this date")),
            ("following", gettext_lazy("This and all following")),
            ("all", gettext_lazy("All that are still to come")),
        ],
        initial="this",
        widget=forms.RadioSelect,
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    series_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, member: Member, event: Event | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.event = event
        if event is not None and not owns(member, event):
            self.fields["partner_centres"].disabled = True
            self.initial["partner_centres"] = list(event.partner_centres.all())
        data = args[0] if args else kwargs.get("data")
        self.question_rows = QuestionRows(data, event.questions if event else [])
        self.ticket_rows = TypeRows(data, event.ticket_types if event else [])
        circle, spoken, likes = self.fields["circle"], self.fields["languages"], self.fields["interests"]
        assert isinstance(circle, forms.ModelChoiceField) and isinstance(spoken, forms.MultipleChoiceField)
        assert isinstance(likes, forms.MultipleChoiceField)
        likes.choices = Interest.labels_by_group()
        for name in ("opens_before", "closes_before", "fixed_before"):
            _offer_as_it_is(self.fields[name], getattr(event, name, None))
        circle.queryset = Circle.objects.filter(
            memberships__member=member, memberships__state="in", closed_at=None
        )
        spoken.choices = spoken_languages()
        needed = self.fields["needs_language"]
        assert isinstance(needed, forms.ChoiceField)
        offered = spoken_languages()
        kept = event.needs_language if event else ""
        if kept and kept not in dict(offered):
            offered.append((kept, kept))
        needed.choices = [("", _("no language")), *offered]

    def clean_town(self) -> Place | str:
        """A town of the Euregio. Only an event that came with another one, by import, keeps it."""
        text: str = self.cleaned_data["town"].strip()
        if self.event and text == _town_of(self.event):
            return self.event.place or text
        return town_named(text) if text else ""

    def clean_price(self) -> str:
        """What it costs as it was typed; empty when that is nothing."""
        text: str = self.cleaned_data["price"].strip()
        return "" if NOTHING.fullmatch(text) else text

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("visibility") == "circle" and not cleaned.get("circle"):
            self.add_error("circle", _("Choose the circle it is for."))
        for name, rows in (("questions", self.question_rows), ("ticket_types", self.ticket_rows)):
            try:
                cleaned[name] = rows.written()
            except ValidationError as refused:
                self.add_error(None, refused)
        return cleaned

    @property
    def has_questions(self) -> bool:
        """Something is asked, or was typed to be asked."""
        return any(row["text"].value() or row.errors for row in self.question_rows.rows)

    @property
    def has_ticket_types(self) -> bool:
        """A kind of ticket is named, or was typed to be."""
        return any(row["name"].value() or row.errors for row in self.ticket_rows.rows)

    def plan(self) -> Plan:
        """What the verbs of hosting take. Only for a form that is valid."""
        said = self.cleaned_data
        place = said["town"] if isinstance(said["town"], Place) else None
        return Plan(
            title=said["title"].strip(),
            description=said["description"],
            language=said["language"],
            starts_at=self.start(),
            ends_at=self.end(),
            timezone=place.time_zone if place else DEFAULT_ZONE,
            all_day=said["all_day"],
            venue=said["venue"],
            address=said["address"],
            place=place,
            town="" if place else said["town"],
            capacity=said["capacity"],
            waiting_list=said["waiting_list"] or None,
            by_approval=said["by_approval"],
            asks_again=said["asks_again"],
            questions=said["questions"],
            ticket_types=said["ticket_types"],
            opens_before=said["opens_before"],
            closes_before=said["closes_before"],
            fixed_before=said["fixed_before"],
            languages=said["languages"],
            needs_language=said["needs_language"],
            needs_level=said["needs_level"] if said["needs_language"] else "",
            interests=list(Interest.objects.filter(slug__in=said["interests"])),
            for_families=said["for_families"],
            min_age=said["min_age"],
            max_age=said["max_age"],
            step_free=said["step_free"],
            childcare=said["childcare"],
            is_free=not said["price"],
            price_note={said["language"]: said["price"]} if said["price"] else {},
            visibility=said["visibility"],
            circle=said["circle"],
            partner_centres=list(said["partner_centres"]),
        )

    def new_recurrence(self, event: Event) -> Recurrence:
        """How the meetup of `event` recurs from now on, where that is another way than so far."""
        if "repeat" not in self.data:  # sent without that part of the form
            return Recurrence()
        scope = self.cleaned_data["scope"] or "this"
        said, begins = self.recurrence(), self.start()
        if (
            scope == "this" and event.local_start is not None
        ):  # one date that goes elsewhere takes no rule along
            begins = event.local_start.replace(tzinfo=None)
            said["rrule"] = self.rrule(begins.date())
        return rescheduling.new_recurrence(event, said, scope, begins)

    @staticmethod
    def initial_of(event: Event) -> dict[str, Any]:
        """What the form shows of an event that exists. Two queries."""
        start, end = event.local_start, event.local_end
        last = end - timedelta(microseconds=1) if end else None
        facts = (
            "title description language venue address capacity waiting_list languages needs_language needs_level for_families min_age max_age step_free childcare"
            " visibility circle all_day version by_approval asks_again opens_before closes_before fixed_before"
        )
        found: dict[str, Any] = {name: getattr(event, name) for name in facts.split()}
        return (
            found
            | EventForm.initial_of_rule(event)
            | {
                "day": start and start.date(),
                "starts": start and start.time(),
                "ends": end and end.time(),
                "last_day": last.date()
                if start and last and last.date() > start.date() and last - start >= NIGHT
                else None,
                "needs_level": event.needs_level
                or Details.Level.A1,  # what the choice shows where nothing is
                "town": _town_of(event),
                "price": event.price_note.get(event.language, event.price),
                "interests": [interest.slug for interest in event.interests.all()],
                "partner_centres": list(event.partner_centres.all()),
                "scope": "this",
                "series_version": event.series.version if event.series else None,
            }
        )


def _offer_as_it_is(field: forms.Field, minutes: int | None) -> None:
    """The choice of an event that a program made so is there to be kept."""
    assert isinstance(field, BeforeField)
    choices = list(cast("Iterable[Any]", field.choices))
    if minutes is None or str(minutes) in {str(value) for value, _label in choices}:
        return
    hours, rest = divmod(minutes, HOUR)
    label = ngettext("%(n)d minute before", "%(n)d minutes before", minutes) % {"n": minutes}
    if not rest:
        label = ngettext("%(n)d hour before", "%(n)d hours before", hours) % {"n": hours}
    field.choices = [*choices, (minutes, label)]


def _town_of(event: Event) -> str:
    """Its town as the form shows it."""
    return event.place.name if event.place else event.town
