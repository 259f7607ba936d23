"""What a host types: when it is, once or again and again, and everything else about an event or a meetup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from community.forms import interest_choices
from community.models import Centre, Circle, Interest, Member, Place
from events.forms import DEFAULT_ZONE, date_input, spoken_languages, time_input, town_named
from events.holidays import COUNTRY_NAMES
from events.hosting import Plan, Recurrence
from events.models import Event
from events.question_forms import QuestionRows
from events.series import Rule

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
NOTHING = re.compile(
    r"(€|eur|euros?)?\s*0+([.,][0–-]*)?\s*(€|eur|euros?)?", re.IGNORECASE
)  # 0, 0 €, 0,00 EUR


class DaysField(forms.TypedMultipleChoiceField):
    """Days ticked in a list that is drawn anew each time: local times as ISO 8601 come in, dates go out."""

    widget = forms.MultipleHiddenInput

    def __init__(self, **given: Any) -> None:
        super().__init__(coerce=lambda text: datetime.fromisoformat(text).date(), **given)

    def valid_value(self, value: Any) -> bool:
        """Every day may be left out, also one that the list no longer shows."""
        return True


class WhenForm(forms.Form):
    """When it is, once or again and again: what the live preview of dates needs."""

    REPEATS = (
        ("once", gettext_lazy("Once")),
        ("weekly", gettext_lazy("Weekly")),
        ("weekday", gettext_lazy("Monthly, on the same weekday (first Tuesday …)")),
        ("monthday", gettext_lazy("Monthly, on the same date")),
        ("lastday", gettext_lazy("Monthly, on the last such weekday")),
    )
    DAYS = (
        ("MO", gettext_lazy("Mon")),
        ("TU", gettext_lazy("Tue")),
        ("WE", gettext_lazy("Wed")),
        ("TH", gettext_lazy("Thu")),
        ("FR", gettext_lazy("Fri")),
        ("SA", gettext_lazy("Sat")),
        ("SU", gettext_lazy("Sun")),
    )

    day = forms.DateField(label=gettext_lazy("Day"), widget=date_input())
    starts = forms.TimeField(label=gettext_lazy("Begins"), required=False, widget=time_input())
    ends = forms.TimeField(label=gettext_lazy("Ends"), required=False, widget=time_input())
    last_day = forms.DateField(
        label=gettext_lazy("Last day, if it takes several"), required=False, widget=date_input()
    )
    all_day = forms.BooleanField(label=gettext_lazy("All day"), required=False)
    repeat = forms.ChoiceField(
        label=gettext_lazy("How often"),
        choices=REPEATS,
        initial="once",
        required=False,
        widget=forms.RadioSelect,
    )
    every = forms.TypedChoiceField(
        label=gettext_lazy("In which rhythm"),
        required=False,
        coerce=int,
        empty_value=None,
        choices=[
            (1, gettext_lazy("every time")),
            (2, gettext_lazy("every second")),
            (3, gettext_lazy("every third")),
            (4, gettext_lazy("every fourth")),
        ],
    )
    weekdays = forms.MultipleChoiceField(
        label=gettext_lazy("On"),
        required=False,
        choices=DAYS,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Leave empty for the weekday of the first date."),
    )
    until = forms.DateField(label=gettext_lazy("Until"), required=False, widget=date_input())
    count = forms.IntegerField(
        label=gettext_lazy("Or so many times"), required=False, min_value=1, max_value=400
    )
    exceptions = forms.CharField(
        label=gettext_lazy("Not on"),
        required=False,
        max_length=2000,
        help_text=gettext_lazy("Dates to leave out, like 2027-12-24, with blanks between them."),
    )
    extra = forms.CharField(
        label=gettext_lazy("Also on"),
        required=False,
        max_length=2000,
        help_text=gettext_lazy("Extra dates, in the same way."),
    )
    skip_holidays = forms.MultipleChoiceField(
        label=gettext_lazy("Leave out public holidays in"),
        required=False,
        choices=list(COUNTRY_NAMES.items()),
        widget=forms.CheckboxSelectMultiple,
    )

    leave_out = DaysField(required=False)  # beside the next dates, in _dates.html

    def clean_exceptions(self) -> list[date]:
        return self._days("exceptions")

    def clean_extra(self) -> list[date]:
        return self._days("extra")

    def _days(self, name: str) -> list[date]:
        found = []
        for word in self.cleaned_data[name].replace(",", " ").replace(";", " ").split():
            try:
                found.append(date.fromisoformat(word))
            except ValueError:
                raise ValidationError(
                    _("“%(word)s” is not a date like 2027-12-24.") % {"word": word[:40]}
                ) from None
        return found

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        day, last = cleaned.get("day"), cleaned.get("last_day")
        if not cleaned.get("all_day") and "starts" in cleaned and cleaned["starts"] is None:
            self.add_error("starts", _("Say when it begins, or choose “All day”."))
        if day and last and last < day:
            self.add_error("last_day", _("This is before the first day."))
        if cleaned.get("until") and cleaned.get("count"):
            self.add_error("count", _("Choose one: until a day, or so many times."))
        if day and cleaned.get("until") and cleaned["until"] < day:
            self.add_error("until", _("This is before the first date."))
        return cleaned

    @property
    def repeats(self) -> bool:
        """It is a meetup, not a single event."""
        return self.cleaned_data.get("repeat") not in {"", "once", None} or bool(
            self.cleaned_data.get("extra")
        )

    def start(self) -> datetime:
        """The first start, wall time."""
        said = self.cleaned_data
        return datetime.combine(said["day"], time() if said["all_day"] else said["starts"])

    def end(self) -> datetime | None:
        """The end, wall time: an end earlier in the day than the start is on the next; None when not known."""
        said = self.cleaned_data
        last = said["last_day"] or said["day"]
        if said["all_day"]:
            return datetime.combine(last + timedelta(days=1), time())
        if said["ends"] is None:
            return datetime.combine(last, time(23, 59)) if last > said["day"] else None
        end = datetime.combine(last, said["ends"])
        return end + timedelta(days=1) if end <= self.start() else end

    def rrule(self) -> str:
        """RFC 5545 §3.3.10 of what was chosen; empty for single dates only."""
        said = self.cleaned_data
        day: date = said["day"]
        week = WEEKDAYS[day.weekday()]
        parts = {
            "weekly": f"FREQ=WEEKLY;BYDAY={','.join(said['weekdays'] or [week])}",
            "weekday": f"FREQ=MONTHLY;BYDAY={(day.day - 1) // 7 + 1}{week}",
            "lastday": f"FREQ=MONTHLY;BYDAY=-1{week}",
            "monthday": f"FREQ=MONTHLY;BYMONTHDAY={day.day}",
        }
        rule = parts.get(said["repeat"], "")
        if rule and (said["every"] or 1) > 1:
            rule += f";INTERVAL={said['every']}"
        if rule and said["count"]:
            rule += f";COUNT={said['count']}"
        if rule and said["until"]:
            rule += f";UNTIL={said['until']:%Y%m%d}T235959"
        return rule

    def recurrence(self) -> Recurrence:
        """The rule with its single dates; the days ticked to be left out are exceptions like those typed."""
        said = self.cleaned_data
        return Recurrence(
            rrule=self.rrule(),
            rdates=self._starts_on(said["extra"]),
            exdates=self._starts_on({*said["exceptions"], *said["leave_out"]}),
            skip_holidays=said["skip_holidays"],
        )

    def rule(self) -> Rule:
        """What will be published. Only for a form that is valid."""
        return Rule(start=self.start(), timezone=DEFAULT_ZONE, **self.recurrence())

    def rule_to_tick(self) -> Rule:
        """What `series.preview` expands: with the days that are ticked, so that they can be taken back."""
        return replace(self.rule(), exdates=self._starts_on(self.cleaned_data["exceptions"]))

    def _starts_on(self, days: Iterable[date]) -> list[datetime]:
        at = self.start().time()
        return [datetime.combine(day, at) for day in sorted(days)]


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
    interests = forms.MultipleChoiceField(
        label=gettext_lazy("Interests"), required=False, widget=forms.CheckboxSelectMultiple
    )
    for_families = forms.BooleanField(label=gettext_lazy("For families"), required=False)
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

    def __init__(self, *args: Any, member: Member, event: Event | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.event = event
        data = args[0] if args else kwargs.get("data")
        self.question_rows = QuestionRows(data, event.questions if event else [])
        circle, spoken, likes = self.fields["circle"], self.fields["languages"], self.fields["interests"]
        assert isinstance(circle, forms.ModelChoiceField) and isinstance(spoken, forms.MultipleChoiceField)
        assert isinstance(likes, forms.MultipleChoiceField)
        likes.choices = interest_choices()
        for name in ("opens_before", "closes_before", "fixed_before"):
            _offer_as_it_is(self.fields[name], getattr(event, name, None))
        circle.queryset = Circle.objects.filter(
            memberships__member=member, memberships__state="in", closed_at=None
        )
        spoken.choices = spoken_languages()

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
        try:
            cleaned["questions"] = self.question_rows.written()
        except ValidationError as refused:
            self.add_error(None, refused)
        return cleaned

    @property
    def has_questions(self) -> bool:
        """Something is asked, or was typed to be asked."""
        return any(row["text"].value() for row in self.question_rows.rows)

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
            questions=said["questions"],
            opens_before=said["opens_before"],
            closes_before=said["closes_before"],
            fixed_before=said["fixed_before"],
            languages=said["languages"],
            interests=list(Interest.objects.filter(slug__in=said["interests"])),
            for_families=said["for_families"],
            step_free=said["step_free"],
            childcare=said["childcare"],
            is_free=not said["price"],
            price_note={said["language"]: said["price"]} if said["price"] else {},
            visibility=said["visibility"],
            circle=said["circle"],
            partner_centres=list(said["partner_centres"]),
        )

    @staticmethod
    def initial_of(event: Event) -> dict[str, Any]:
        """What the form shows of an event that exists. Two queries."""
        start, end = event.local_start, event.local_end
        last = end - timedelta(microseconds=1) if end else None
        facts = (
            "title description language venue address capacity waiting_list languages for_families step_free childcare"
            " visibility circle all_day version by_approval opens_before closes_before fixed_before"
        )
        found: dict[str, Any] = {name: getattr(event, name) for name in facts.split()}
        return found | {
            "day": start and start.date(),
            "starts": start and start.time(),
            "ends": end and end.time(),
            "last_day": last.date()
            if start and last and last.date() > start.date() and (last - start).days >= 1
            else None,
            "town": _town_of(event),
            "price": event.price_note.get(event.language, event.price),
            "interests": [interest.slug for interest in event.interests.all()],
            "partner_centres": list(event.partner_centres.all()),
            "scope": "this",
        }


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
