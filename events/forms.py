"""What people type to find an event and to come along: a search, a party, a reason."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Any

from babel import Locale
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from community import places
from community.models import Child, Interest, Member, Place, PlaceName
from community.models.places import fold, interest_id, towns_within
from events import ages, inquiries, letters
from events.finding import Wanted
from events.models import Attendee, Event, Registration
from events.models.registration import Guest
from events.party import PARTY_LIMIT, Person
from events.ticket_forms import NAME_LENGTH, TicketsForm
from realtime import clock

SPOKEN = (
    "en",
    "nl",
    "de",
    "fr",
    "es",
    "it",
    "pt",
    "pl",
    "tr",
    "uk",
    "ar",
    "zh",
    "hi",
)  # BCP 47, offered first
DISTANCES_KM = (5, 10, 20, 40)
DEFAULT_ZONE = "Europe/Brussels"


def find_town(text: str) -> Place | None:
    """The town of this name, in any language, whatever the case and accents; of several the largest. At most two queries."""
    return next(iter(places.meant(text)), None)


def town_named(text: str) -> Place:
    """The town somebody typed. Raises ValidationError, with what is written alike. Three queries at most, four for a no."""
    place = find_town(text)
    if place is not None:
        return place
    alike = _written_like(text)
    if not alike:
        raise ValidationError(_("We know no town of this name in the Euregio. Try another spelling."))
    raise ValidationError(
        _("We know no town of this name in the Euregio. Did you mean %(towns)s?")
        % {"towns": ", ".join(alike)}
    )


def _written_like(text: str) -> list[str]:
    """Up to three towns with a name, in any language, a letter or two away from `text`. One query."""
    wanted = fold(text)
    names = PlaceName.objects.filter(folded__startswith=wanted[:1])  # the first letter is seldom wrong
    known = dict(names.values_list("folded", "place__name"))
    return list(dict.fromkeys(known[name] for name in get_close_matches(wanted, known, cutoff=0.75)))


def today() -> date:
    """This day on the reader's calendar."""
    return clock.now().astimezone(timezone.get_current_timezone()).date()


def spoken_languages() -> list[tuple[str, str]]:
    """Languages offered first, with their names in the language of the page."""
    return list(_names_of_spoken((get_language() or "en")[:2]))


@cache
def _names_of_spoken(language: str) -> list[tuple[str, str]]:
    reader = Locale.parse(language)
    names = [(code, str(Locale.parse(code).get_display_name(reader))) for code in SPOKEN]
    return [(code, name[:1].upper() + name[1:]) for code, name in names]


def date_input() -> forms.DateInput:
    return forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


def time_input() -> forms.TimeInput:
    return forms.TimeInput(format="%H:%M", attrs={"type": "time"})


def _midnight(day: date) -> datetime:
    """When a day begins for the reader."""
    return timezone.make_aware(datetime.combine(day, time()))


class SearchForm(forms.Form):
    """What to look for in the list of events. Everything is optional; nothing is remembered."""

    when = forms.ChoiceField(
        label=gettext_lazy("When"),
        required=False,
        choices=[
            ("", gettext_lazy("Any time")),
            ("today", gettext_lazy("Today")),
            ("weekend", gettext_lazy("This weekend")),
            ("week", gettext_lazy("Next seven days")),
            ("month", gettext_lazy("Next 30 days")),
        ],
        widget=forms.RadioSelect,
    )
    since = forms.DateField(label=gettext_lazy("From"), required=False, widget=date_input())
    until = forms.DateField(label=gettext_lazy("To"), required=False, widget=date_input())
    town = forms.CharField(label=gettext_lazy("Near"), required=False, max_length=120)
    km = forms.TypedChoiceField(
        label=gettext_lazy("At most"),
        required=False,
        coerce=int,
        empty_value=None,
        choices=[(km, f"{km} km") for km in DISTANCES_KM],
        initial=20,
    )
    interest = forms.ChoiceField(
        label=gettext_lazy("Interest"),
        required=False,
        choices=lambda: [("", _("Everything")), *Interest.labels_by_slug()],
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language spoken"),
        required=False,
        choices=lambda: [("", _("Any language")), *spoken_languages()],
    )
    free = forms.BooleanField(label=gettext_lazy("Free"), required=False)
    families = forms.BooleanField(label=gettext_lazy("For families"), required=False)
    q = forms.CharField(
        label=gettext_lazy("Words"),
        required=False,
        max_length=100,
        widget=forms.TextInput({"type": "search"}),
    )

    def clean_town(self) -> Place | None:
        text = self.cleaned_data["town"].strip()
        if not text:
            return None
        return town_named(text)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self._forget_what_nobody_offered()
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", _("This is before the first day."))
        return cleaned

    def _forget_what_nobody_offered(self) -> None:
        """A choice that is not on the list comes from an old or mistyped link: the search goes on without it."""
        wrong = {
            name: field
            for name, field in self.fields.items()
            if isinstance(field, forms.ChoiceField) and name in self.errors
        }
        asked: Any = copy(self.data)
        for name, field in wrong.items():
            del self.errors[name]
            asked[name] = str(field.initial or "")
        self.data = asked

    def days(self) -> tuple[date | None, date | None]:
        """First and last day asked for, on the reader's calendar; None where it is open."""
        day = today()
        found = self.cleaned_data
        match found.get("when"):
            case "today":
                return day, day
            case "weekend":  # on a Sunday it is this very day
                saturday = day + timedelta(days=max(0, 5 - day.weekday()))
                return max(day, saturday), saturday + timedelta(days=1) if day.weekday() < 6 else day
            case "week":
                return day, day + timedelta(days=6)
            case "month":
                return day, day + timedelta(days=29)
        return found.get("since"), found.get("until")

    def wanted(self) -> Wanted:
        """What was asked for but the days. A field that is wrong narrows nothing."""
        said = self.cleaned_data
        town, slug = said.get("town"), said.get("interest")
        return Wanted(
            towns=towns_within(town.lat, town.lon, said.get("km") or 20) if town else None,
            interest=interest_id(slug) if slug else None,
            language=said.get("language") or "",
            is_free=bool(said.get("free")),
            for_families=bool(said.get("families")),
            words=said.get("q", ""),
        )

    def wanted_then(self) -> Wanted:
        """What was asked for, and the days."""
        first, last = self.days()
        return replace(
            self.wanted(),
            since=_midnight(first) if first else None,
            before=_midnight(last + timedelta(days=1)) if last else None,
            shows_past=first is not None and first < today(),
        )


class PartyForm(TicketsForm):
    """Who comes: me, the others of my household, and guests by name."""

    me = forms.BooleanField(required=False)
    adults = forms.TypedMultipleChoiceField(
        label=gettext_lazy("My household"), required=False, coerce=int, widget=forms.CheckboxSelectMultiple
    )
    children = forms.TypedMultipleChoiceField(
        label=gettext_lazy("Children"), required=False, coerce=int, widget=forms.CheckboxSelectMultiple
    )
    guests = forms.CharField(
        label=gettext_lazy("Guests"),
        required=False,
        max_length=800,
        widget=forms.Textarea({"rows": 2}),
        help_text=gettext_lazy(
            "One name a line, for those without an account; +2 are two whose names you do not know yet."
        ),
    )
    wait = forms.BooleanField(label=gettext_lazy("Put us on the waiting list if it is full"), required=False)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, member: Member, adults: Sequence[Member], children: Sequence[Child], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.member, self.there = member, list[str]()  # of the household, who comes with somebody else
        coming = {*(self.initial.get("children") or ())}
        old = {child.pk: self._age(child) for child in children}
        self.left_out = [
            child for child in children if not (self._may_come(old[child.pk]) or child.pk in coming)
        ]
        me = _("Me (%(name)s)") % {"name": member}
        self.kin = {
            "adults": [(adult.pk, str(adult)) for adult in adults],
            "children": [
                (child.pk, f"{child} ({old[child.pk]})") for child in children if child not in self.left_out
            ],
        }
        if self.types:
            self._ask_for_tickets(me)
            return
        self.fields["me"].label = me
        for name, choices in self.kin.items():
            choice = self.fields[name]
            assert isinstance(choice, forms.ChoiceField)
            choice.choices = choices
            if not choices:
                del self.fields[name]

    def _ask_for_tickets(self, me: str) -> None:
        """A choice of a ticket for each in place of a tick."""
        for name in ("me", "adults", "children"):
            del self.fields[name]
        self.add_choice("me", me, comes=bool(self.initial.get("me")))
        for name, choices in self.kin.items():
            for pk, label in choices:
                self.add_choice(f"{name}_{pk}", label, comes=pk in (self.initial.get(name) or ()))

    def _age(self, child: Child) -> int:
        return ages.at(self.event, child.birth_year) if self.event else 0

    def _may_come(self, age: int) -> bool:
        return self.event is None or ages.fits(self.event, age, by_year=True)

    @staticmethod
    def initial_for(event: Event, adults: Sequence[Member], children: Sequence[Child]) -> dict[str, Any]:
        """Ready to be sent: the whole household where families are meant, else only me."""
        household = event.for_families
        return {
            "me": True,
            "adults": [person.pk for person in adults if household],
            "children": [
                child.pk
                for child in children
                if household and ages.fits(event, ages.at(event, child.birth_year), by_year=True)
            ],
            "wait": True,
        }

    @staticmethod
    def initial_of(registration: Registration) -> dict[str, Any]:
        """The party as it is registered. One query."""
        live = list(registration.attendees.filter(is_live=True))
        mine = [one for one in live if one.member_id == registration.member_id]
        adults = [one for one in live if one.member_id and one not in mine]
        children = [one for one in live if one.child_id]
        tickets = {f"ticket_adults_{one.member_id}": one.ticket_type for one in adults}
        tickets |= {f"ticket_children_{one.child_id}": one.ticket_type for one in children}
        named = [one for one in live if not one.member_id and not one.child_id]
        return {
            "me": bool(mine),
            "ticket_me": mine[0].ticket_type if mine else "",
            "adults": [one.member_id for one in adults],
            "children": [one.child_id for one in children],
            "version": registration.version,
            **tickets,
            **TicketsForm.initial_guests(registration.event, named),
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors and not 1 <= len(self.party()) <= PARTY_LIMIT:
            raise ValidationError(_("Choose who comes: 1 to 12 people."))
        return cleaned

    def party(self) -> list[Person]:
        """What the verbs of registration take."""
        said = self.cleaned_data
        if self.types:
            kin = [
                ("ticket_me", Person(member_id=self.member.pk)),
                *((f"ticket_adults_{pk}", Person(member_id=pk)) for pk, _name in self.kin["adults"]),
                *((f"ticket_children_{pk}", Person(child_id=pk)) for pk, _name in self.kin["children"]),
            ]
            party = [replace(who, ticket_type=said[name]) for name, who in kin if said.get(name)]
            return party + self.named()
        party = [Person(member_id=self.member.pk)] if said.get("me") else []
        party += [Person(member_id=pk) for pk in said.get("adults", [])]
        party += [Person(child_id=pk) for pk in said.get("children", [])]
        return party + self.named()


class OthersForm(TicketsForm):
    """With whom a guest comes, and where the event has kinds of tickets, with which ticket."""

    guests_label = gettext_lazy("Who comes with you")
    own_label = gettext_lazy("Your ticket")
    guests = forms.CharField(
        label=guests_label,
        required=False,
        max_length=800,
        widget=forms.Textarea({"rows": 3}),
        help_text=gettext_lazy("One name a line; +2 are two whose names you do not know yet."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.types:
            self.add_choice("own", str(self.own_label), comes=True, must=True)

    def ticket(self) -> str:
        """The kind of who makes the party; empty where the event has no kinds."""
        return str(self.cleaned_data.get("ticket_own", ""))


class GuestForm(OthersForm):
    """Who comes without an account, and with whom."""

    field_order = ("name", "email", "ticket_own", "guests")

    name = forms.CharField(
        label=gettext_lazy("Your name"),
        max_length=NAME_LENGTH,
        widget=forms.TextInput({"autocomplete": "name"}),
    )
    email = forms.EmailField(
        label=gettext_lazy("Your e-mail address"),
        max_length=254,
        widget=forms.EmailInput({"autocomplete": "email"}),
        help_text=gettext_lazy("We send a link there; the places are yours once you follow it."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.event is not None and self.event.by_approval:
            self.fields["email"].help_text = _("We send a link there; the host is asked once you follow it.")


class LinkForm(forms.Form):
    """Where the link of a guest goes once more."""

    email = forms.EmailField(
        label=gettext_lazy("Your e-mail address"),
        max_length=254,
        widget=forms.EmailInput({"autocomplete": "email", "id": "id_link_email"}),
    )


class ByNameForm(OthersForm):
    """A party of people without accounts, as who runs the event writes it down. What is asked is theirs to answer."""

    has_questions = False
    field_order = ("name", "ticket_own", "guests")
    guests_label = gettext_lazy("Who comes with them")
    own_label = gettext_lazy("Their ticket")
    name = forms.CharField(label=gettext_lazy("In whose name"), max_length=NAME_LENGTH)
    guests = forms.CharField(
        label=guests_label,
        required=False,
        max_length=800,
        widget=forms.Textarea({"rows": 2}),
        help_text=gettext_lazy("One name a line; +2 are two whose names you do not know yet."),
    )

    @classmethod
    def of(cls, event: Event, attendees: Sequence[Attendee]) -> ByNameForm:
        """With the party as it is."""
        first, *others = attendees
        said = {"name": first.name, "ticket_own": first.ticket_type}
        return cls(initial=said | cls.initial_guests(event, others), event=event)


class ByHandForm(ByNameForm):
    """A party that who runs the event puts on its list."""

    email = forms.EmailField(
        label=gettext_lazy("Their e-mail address, if they have one"),
        required=False,
        max_length=254,
        help_text=gettext_lazy(
            "They get the ticket and can change their party. Without one you show or print the ticket here, and tell them"
            " yourself what changes."
        ),
    )
    language = forms.ChoiceField(label=gettext_lazy("Language of their mails"), choices=settings.LANGUAGES)
    wait = forms.BooleanField(
        label=gettext_lazy("Put them on the waiting list if it is full"), required=False
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.event is not None and not self.event.waiting_list:
            del self.fields["wait"]

    def guest(self) -> Guest:
        """In whose name the party is."""
        said = self.cleaned_data
        return Guest(said["name"], said["email"], said["language"])


class LetterForm(forms.Form):
    """A letter to those who come, or to those who wait."""

    to = forms.ChoiceField(
        label=gettext_lazy("To"),
        choices=[
            ("coming", gettext_lazy("everybody who comes")),
            ("waiting", gettext_lazy("everybody who waits")),
        ],
    )
    text = forms.CharField(
        label=gettext_lazy("Your letter"), max_length=letters.MAX_TEXT, widget=forms.Textarea({"rows": 5})
    )
    key = forms.UUIDField(widget=forms.HiddenInput)


class AskForm(forms.Form):
    """A question to who runs an event."""

    text = forms.CharField(
        label=gettext_lazy("Your question"),
        max_length=inquiries.MAX_TEXT,
        widget=forms.Textarea({"rows": 2}),
        help_text=gettext_lazy(
            "The host may answer you alone, or everybody: then it stands here without your name."
        ),
    )


class AnswerForm(forms.Form):
    """An answer of who runs an event."""

    text = forms.CharField(
        label=gettext_lazy("Your answer"), max_length=inquiries.MAX_ANSWER, widget=forms.Textarea({"rows": 3})
    )
    public = forms.BooleanField(label=gettext_lazy("For everybody, on the event's page"), required=False)
    seen = forms.CharField(required=False, widget=forms.HiddenInput)


class CallOffForm(forms.Form):
    """Why an event is called off, for those who wanted to come."""

    reason = forms.CharField(
        label=gettext_lazy("What shall we tell them?"),
        required=False,
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
    )
