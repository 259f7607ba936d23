"""When it is, once or again and again: what the live preview of dates needs, and the rule that comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from events import rhythm
from events.forms import DEFAULT_ZONE, date_input, time_input
from events.holidays import COUNTRY_NAMES
from events.hosting import Recurrence
from events.models import Event
from events.rescheduling import recurrence_from
from events.rhythm import Choice
from events.series import Rule

NIGHT = timedelta(
    hours=12
)  # an end before the start is meant to be on the next day, when it is not further away


class DaysField(forms.TypedMultipleChoiceField):
    """Days ticked in a list that is drawn anew each time: local times as ISO 8601 come in, dates go out."""

    widget = forms.MultipleHiddenInput

    def __init__(self, **given: Any) -> None:
        super().__init__(coerce=lambda text: datetime.fromisoformat(text).date(), **given)

    def valid_value(self, value: Any) -> bool:
        """Every day may be left out, also one that the list no longer shows."""
        return True


class RuleForm(forms.Form):
    """The rule itself, for who knows RFC 5545: it shows what was chosen, and what is typed instead counts."""

    rule = forms.CharField(
        label=gettext_lazy("The rule itself"),
        required=False,
        max_length=500,
        help_text=gettext_lazy(
            "As calendars write it (RFC 5545), like FREQ=WEEKLY;BYDAY=TU,TH. What you write here counts instead of what is chosen; empty, the choice counts again."
        ),
        widget=forms.TextInput({"spellcheck": "false", "autocapitalize": "characters"}),
    )
    rule_shown = forms.CharField(required=False, max_length=500, widget=forms.HiddenInput)

    def clean_rule(self) -> str:
        return rhythm.written(self.cleaned_data["rule"])


class WhenForm(RuleForm):
    """When it is, once or again and again: what the live preview of dates needs."""

    REPEATS = (
        ("once", gettext_lazy("Once")),
        ("weekly", gettext_lazy("Weekly")),
        ("weekday", gettext_lazy("Monthly, on the same weekday (first Tuesday …)")),
        ("monthday", gettext_lazy("Monthly, on the same date")),
        ("lastday", gettext_lazy("Monthly, on the last such weekday")),
        ("yearly", gettext_lazy("Yearly, on the same date")),
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
    until = forms.DateField(
        label=gettext_lazy("Until"),
        required=False,
        widget=date_input(),
        help_text=gettext_lazy("With neither of these it goes on for good."),
    )
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
        starts, ends = cleaned.get("starts"), cleaned.get("ends")
        if isinstance(starts, time) and isinstance(ends, time) and not (last or cleaned.get("all_day")):
            behind = datetime.combine(date.min, starts) - datetime.combine(date.min, ends)
            if not behind:
                self.add_error("ends", _("It ends when it begins. Leave the end empty, or say the last day."))
            elif timedelta() < behind <= NIGHT:
                text = _("It ends before it begins. If it goes on to another day, say the last day.")
                self.add_error("ends", text)
        if day and last and last < day:
            self.add_error("last_day", _("This is before the first day."))
        if cleaned.get("until") and cleaned.get("count"):
            self.add_error("count", _("Choose one: until a day, or so many times."))
        if day and cleaned.get("until") and cleaned["until"] < day:
            self.add_error("until", _("This is before the first date."))
        return cleaned

    @property
    def is_typed(self) -> bool:
        """The rule was written by hand."""
        rule = self.cleaned_data.get("rule", "")
        return bool(rule) and rule != self.cleaned_data.get("rule_shown", "")

    @property
    def repeats(self) -> bool:
        """It is a meetup, not a single event."""
        return self.is_typed or self._chosen().repeat != "once" or bool(self.cleaned_data.get("extra"))

    @property
    def rare_day(self) -> int | None:
        """The day of the month that it comes on, when not every month (or, on 29 February, not every year) has it."""
        day: date = self.cleaned_data["day"]
        if self.is_typed or day.day < 29:
            return None
        repeat = self._chosen().repeat
        is_rare = repeat == "monthday" or (repeat == "yearly" and (day.month, day.day) == (2, 29))
        return day.day if is_rare else None

    def start(self) -> datetime:
        """The first start, wall time."""
        said = self.cleaned_data
        return datetime.combine(said["day"], time() if said["all_day"] else said["starts"])

    def end(self) -> datetime | None:
        """The end, wall time: an end earlier in the day than the start is in the night after; None when not known."""
        said = self.cleaned_data
        last = said["last_day"] or said["day"]
        if said["all_day"]:
            return datetime.combine(last + timedelta(days=1), time())
        if said["ends"] is None:
            return datetime.combine(last, time(23, 59)) if last > said["day"] else None
        end = datetime.combine(last, said["ends"])
        return end + timedelta(days=1) if end <= self.start() else end

    def _chosen(self) -> Choice:
        said = self.cleaned_data
        return Choice(
            said.get("repeat") or "once",
            every=said.get("every") or 1,
            weekdays=said.get("weekdays") or (),
            count=said.get("count"),
            until=said.get("until"),
        )

    def rrule(self, day: date | None = None) -> str:
        """RFC 5545 §3.3.10 of what was typed or chosen, begun on `day` or the one in the form; empty for single dates only."""
        typed: str = self.cleaned_data["rule"]
        return typed if self.is_typed else self._chosen().rrule(day or self.cleaned_data["day"])

    def rule_form(self, wrong: Iterable[str] = ()) -> RuleForm:
        """The field with the rule, to be drawn anew: what was typed, or what the choice is as a rule."""
        valid = self.is_valid()
        shown = self._chosen().rrule(self.cleaned_data["day"]) if valid else self.data.get("rule_shown", "")
        form = RuleForm(
            {"rule": self.cleaned_data.get("rule") if self.is_typed else shown, "rule_shown": shown}
        )
        for error in [*self.errors.get("rule", ()), *wrong]:
            form.add_error("rule", error)
        return form

    def recurrence(self) -> Recurrence:
        """The rule with its single dates; the days ticked to be left out are exceptions like those typed."""
        said = self.cleaned_data
        return Recurrence(
            rrule=self.rrule(),
            rdates=self._starts_on(said["extra"]),
            exdates=self._starts_on({*said["exceptions"], *said["leave_out"]}),
            skip_holidays=said["skip_holidays"],
        )

    def published(self) -> Rule:
        """What will be published. Only for a form that is valid."""
        return Rule(start=self.start(), timezone=DEFAULT_ZONE, **self.recurrence())

    def rule_to_tick(self) -> Rule:
        """What `preview` expands: with the days that are ticked, so that they can be taken back."""
        return replace(self.published(), exdates=self._starts_on(self.cleaned_data["exceptions"]))

    def _starts_on(self, days: Iterable[date]) -> list[datetime]:
        at = self.start().time()
        return [datetime.combine(day, at) for day in sorted(days)]

    @staticmethod
    def initial_of_rule(event: Event) -> dict[str, Any]:
        """What the form shows of the rule by which a date of a meetup goes on; nothing for a single event."""
        start = event.local_start
        if event.series is None or start is None:
            return {}
        known = recurrence_from(event)
        at = datetime.fromisoformat(event.original_start)
        choice = rhythm.choice_of(known["rrule"], at, event.timezone, start.date())
        chosen = (
            {
                "repeat": choice.repeat,
                "every": choice.every,
                "weekdays": list(choice.weekdays),
                "count": choice.count,
                "until": choice.until,
            }
            if choice
            else {"repeat": "once", "rule": known["rrule"]}
        )
        return chosen | {
            "exceptions": _listed(known["exdates"]),
            "extra": _listed(known["rdates"]),
            "skip_holidays": known["skip_holidays"],
        }


def _listed(walls: Iterable[datetime]) -> str:
    return " ".join(dict.fromkeys(wall.date().isoformat() for wall in walls))
