"""What people fill in: joining, the first screens, the profile, the household, circles. Forms read; verbs decide."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from community import members, places, texts
from community.models import Centre, Circle, Interest, Member, Place, Profile
from realtime import bell
from realtime.bell import Group

# The languages most heard here come as chips; every other one can be typed.
COMMON_LANGUAGES = (
    *("en", "nl", "de", "fr", "es", "it", "pt", "pl", "ro", "tr", "ar", "ru", "uk", "hi", "zh", "fa"),
    *("el", "hu", "bg", "cs", "hr", "ja", "ko", "ur", "ta", "te", "vi", "id"),
)
NEAR_KM = 20
OFFERED_LETTERS = 2  # the list to type into holds the languages of two letters; others are understood, too


def page_language() -> str:
    """The language of the page: en, nl, de or fr."""
    return (get_language() or settings.LANGUAGE_CODE).split("-")[0]


def _consent() -> SafeString:
    text = _("I agree to the {terms} and have read the {privacy}.")
    terms = format_html('<a href="/terms/" target="_blank" rel="noopener">{}</a>', _("terms of use"))
    privacy = format_html('<a href="/privacy/" target="_blank" rel="noopener">{}</a>', _("privacy notice"))
    return format_html(text, terms=terms, privacy=privacy)


class JoinForm(forms.Form):
    """What signing up asks beside the address. allauth builds its own form on top of this one."""

    is_adult = forms.BooleanField(
        label=gettext_lazy("I am 18 or older."),
        error_messages={
            "required": gettext_lazy("Accounts are for adults. Children come along in a household.")
        },
    )
    agrees = forms.BooleanField(
        label=lazy(_consent, SafeString)(),
        error_messages={"required": gettext_lazy("We need your agreement before we can make an account.")},
    )

    def signup(self, request: HttpRequest, user: Member) -> None:
        """Called by allauth once the account is made: keep the consents given in this form."""
        members.join(user, page_language())


class NameForm(forms.Form):
    """First screen: what to call the member, and the language of the pages."""

    display_name = forms.CharField(
        label=gettext_lazy("What should we call you?"),
        help_text=gettext_lazy("A first name is enough. This is what others see."),
        max_length=60,
        error_messages={"required": gettext_lazy("Tell us a name to call you by.")},
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language of these pages and of our mails"),
        choices=settings.LANGUAGES,
        widget=forms.RadioSelect,
    )

    def changes(self) -> dict[str, Any]:
        """For `members.set_profile`."""
        return {name: self.cleaned_data[name] for name in ("display_name", "language")}


BY = [
    (bell.MAIL, gettext_lazy("By mail, and the bell")),
    (bell.BELL, gettext_lazy("The bell only")),
]
GROUPS = {
    Group.REMINDERS: (
        gettext_lazy("Reminders"),
        gettext_lazy("The day before, and the question whether you still come."),
    ),
    Group.CHANGES: (
        gettext_lazy("Changes of what you come to"),
        gettext_lazy(
            "Another title or price, a party that has grown. What you could lose a place by, such as another time, an offer"
            " or a no, always comes by mail, too."
        ),
    ),
    Group.LETTERS: (
        gettext_lazy("Letters of hosts"),
        gettext_lazy("What who runs an event writes to everybody who comes."),
    ),
    Group.TALK: (gettext_lazy("Requests to talk"), gettext_lazy("Somebody asks, or has said yes.")),
}


class ChannelsForm(forms.Form):
    """What reaches the member by mail, too, group by group."""

    def __init__(self, data: Any = None, *, member: Member) -> None:
        super().__init__(data)
        for group, (label, text) in GROUPS.items():
            self.fields[group] = forms.ChoiceField(
                label=label,
                help_text=text,
                choices=BY,
                initial=bell.MAIL if bell.is_mailed(member, group) else bell.BELL,
                widget=forms.RadioSelect,
            )

    def changes(self) -> dict[str, Any]:
        """For `members.set_profile`."""
        return {"channels": {group: [self.cleaned_data[group]] for group in GROUPS}}


class LanguagesForm(forms.Form):
    """Second screen: the languages spoken. The common ones are chips, any other one is typed."""

    languages = forms.MultipleChoiceField(
        label=gettext_lazy("Languages you speak"), required=False, widget=forms.CheckboxSelectMultiple
    )
    other = forms.CharField(
        label=gettext_lazy("Another language"),
        help_text=gettext_lazy("Several: with commas between them."),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"list": "languages", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        names = texts.language_names(page_language())
        field = self.fields["languages"]
        chosen = self["languages"].data if self.is_bound else self.get_initial_for_field(field, "languages")
        codes = dict.fromkeys([*COMMON_LANGUAGES, *(code for code in chosen or [] if code in names)])
        field.choices = [(code, names.get(code, code)) for code in codes]  # type: ignore[attr-defined]

    def offered(self) -> list[str]:
        """Names for the list to choose from while typing."""
        names = texts.language_names(page_language())
        return [
            name
            for code, name in names.items()
            if len(code) == OFFERED_LETTERS and code not in COMMON_LANGUAGES
        ]

    def clean_other(self) -> list[str]:
        """The codes of the languages typed. Raises ValidationError naming those we do not know."""
        typed = [name.strip() for name in self.cleaned_data["other"].split(",") if name.strip()]
        codes = {name: texts.language_code(name, page_language()) for name in typed}
        unknown = [name for name, code in codes.items() if code is None]
        if unknown:
            text = _(
                "We do not know %(name)s as a language. Choose one from the list that opens as you type."
            )
            raise ValidationError(text, code="unknown", params={"name": ", ".join(unknown)})
        return [code for code in codes.values() if code]

    def changes(self) -> dict[str, Any]:
        """For `members.set_profile`."""
        return {
            "languages": list(dict.fromkeys([*self.cleaned_data["languages"], *self.cleaned_data["other"]]))
        }


def town_input(field: str) -> forms.TextInput:
    """A text input that shows the towns it may mean below itself, in #<field>-choices."""
    return forms.TextInput(
        attrs={
            "autocomplete": "off",
            "maxlength": 120,
            "hx-get": lazy(lambda: f"{reverse_lazy('places_suggest')}?field={field}", str)(),
            "hx-trigger": "input changed delay:250ms",
            "hx-target": f"#{field}-choices",
        }
    )


class WithTowns(forms.Form):
    """A form with towns typed by any known name or postcode. An ambiguous name asks which one, also without script."""

    towns: tuple[str, ...] = ()

    def __init__(self, *args: Any, current: Mapping[str, Place | None] | None = None, **given: Any) -> None:
        self.current = {name: (current or {}).get(name) for name in self.towns}
        names = {name: town.name for name, town in self.current.items() if town}
        given["initial"] = names | (given.get("initial") or {})
        super().__init__(*args, **given)
        for name in self.towns:
            self.ask(name, [])

    def town(self, name: str) -> Place | None:
        """The town typed into field `name`; None when it is empty. Raises ValidationError: unknown, or which one."""
        text = self.cleaned_data.get(name, "").strip()
        if not text:
            return None
        current = self.current.get(name)
        found = places.meant(text)
        chosen = self.data.get(f"{name}_choice", "")
        for town in [*found, *places.suggest(text)] if chosen else []:
            if str(town.pk) == chosen:
                return town
        if current in found:
            return current
        if len(found) == 1:
            return found[0]
        self.ask(name, found)
        if found:
            raise ValidationError(_("There are several. Which one do you mean?"), code="ambiguous")
        raise ValidationError(
            _("We do not know this town. Try its postcode, or the next larger town."), code="unknown"
        )

    def ask(self, name: str, found: list[Place]) -> None:
        """Offer these towns below field `name`."""
        self.fields[name].asks = places.labels(found)  # type: ignore[attr-defined]


class TownsForm(WithTowns):
    """Third screen: where the member lives and where they work."""

    towns = ("lives", "works")

    lives = forms.CharField(
        label=gettext_lazy("Where do you live?"),
        help_text=gettext_lazy("A town or postcode. Others see only how far an event is from you."),
        required=False,
        widget=town_input("lives"),
    )
    works = forms.CharField(
        label=gettext_lazy("Where do you work or study?"),
        help_text=gettext_lazy("May well be in another country."),
        required=False,
        widget=town_input("works"),
    )

    def clean_lives(self) -> Place | None:
        return self.town("lives")

    def clean_works(self) -> Place | None:
        return self.town("works")

    def changes(self) -> dict[str, Any]:
        """For `members.set_profile`."""
        return {name: self.cleaned_data[name] for name in self.towns}


class InterestsForm(forms.Form):
    """Fourth screen: what the member likes."""

    interests = forms.MultipleChoiceField(
        label=gettext_lazy("What do you like?"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.fields["interests"].choices = Interest.labels_by_group()  # type: ignore[attr-defined]

    def changes(self) -> dict[str, Any]:
        """For `members.set_profile`."""
        return {"interests": list(Interest.objects.filter(slug__in=self.cleaned_data["interests"]))}


class ProfileForm(NameForm, LanguagesForm, TownsForm, InterestsForm):
    """Everything of the four screens at once, a few words about oneself, and the home centre."""

    about = forms.CharField(
        label=gettext_lazy("About you"),
        help_text=gettext_lazy("What others in your circles may know. You can leave it empty."),
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    about_language = forms.ChoiceField(
        label=gettext_lazy("Language you wrote it in"), choices=settings.LANGUAGES, required=False
    )
    centre = forms.ModelChoiceField(
        Centre.objects.all(),
        label=gettext_lazy("Your centre"),
        help_text=gettext_lazy("The one nearest to your home, unless you choose another."),
        required=False,
    )
    field_order = (
        "display_name",
        "about",
        "about_language",
        "language",
        "languages",
        "other",
        "lives",
        "works",
        "centre",
        "interests",
    )

    def changes(self) -> dict[str, Any]:
        """For `members.set_profile`."""
        changes = {name: self.cleaned_data[name] for name in ("about", "about_language")}
        if self.cleaned_data["centre"]:
            changes["centre"] = self.cleaned_data["centre"]
        for part in (NameForm, LanguagesForm, TownsForm, InterestsForm):
            changes |= part.changes(self)
        return changes


def profile_facts(member: Member, profile: Profile, *, interests: bool = True) -> dict[str, Any]:
    """`initial` of the forms above. One query for the interests, when they are wanted."""
    facts: dict[str, Any] = {
        "display_name": member.display_name,
        "language": member.language,
        "languages": profile.languages,
        "about": profile.about,
        "about_language": profile.about_language or page_language(),
        "centre": profile.centre_id,
    }
    if interests:
        facts["interests"] = [interest.slug for interest in members.interests_of(profile)]
    return facts


class KeyForm(forms.Form):
    """What a key for a program is for."""

    name = forms.CharField(
        label=gettext_lazy("What is it for?"),
        max_length=60,
        help_text=gettext_lazy("For example: our newsletter"),
    )


class InviteForm(forms.Form):
    """Ask somebody to be one household."""

    email = forms.EmailField(
        label=gettext_lazy("E-mail address of your partner"),
        help_text=gettext_lazy("They get a mail and decide. Nothing is linked before they agree."),
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )


class ChildForm(forms.Form):
    """A child of the household."""

    nickname = forms.CharField(
        label=gettext_lazy("First name or nickname"),
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    birth_year = forms.IntegerField(
        label=gettext_lazy("Year of birth"),
        min_value=1,
        max_value=9999,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "maxlength": 4}),
    )


class CircleForm(WithTowns):
    """Open a circle."""

    towns = ("place",)

    name = forms.CharField(label=gettext_lazy("Name"), max_length=80)
    description = forms.CharField(
        label=gettext_lazy("What is it about?"),
        help_text=gettext_lazy("Who is it for, what do you do together? **Bold**, lists and links work."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 6}),
    )
    language = forms.ChoiceField(label=gettext_lazy("Language you wrote it in"))
    interest = forms.ChoiceField(label=gettext_lazy("Interest"), required=False)
    place = forms.CharField(
        label=gettext_lazy("Town"),
        help_text=gettext_lazy("Where you mostly meet. Empty: anywhere in the Euregio."),
        required=False,
        widget=town_input("place"),
    )
    join = forms.ChoiceField(
        label=gettext_lazy("Who may join?"),
        choices=[
            (Circle.Join.OPEN, gettext_lazy("Every member")),
            (Circle.Join.REQUEST, gettext_lazy("Who asks, and I let in")),
            (Circle.Join.INVITE, gettext_lazy("Only by invitation; nobody else sees it")),
        ],
        initial=Circle.Join.OPEN,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        names = texts.language_names(page_language())
        self.fields["language"].choices = [(code, names.get(code, code)) for code in COMMON_LANGUAGES]  # type: ignore[attr-defined]
        self.fields["interest"].choices = [("", _("None of these")), *Interest.labels_by_group()]  # type: ignore[attr-defined]

    def clean_place(self) -> Place | None:
        return self.town("place")

    def clean_interest(self) -> Interest | None:
        slug = self.cleaned_data["interest"]
        return Interest.objects.filter(slug=slug).first() if slug else None


class CirclesFilter(WithTowns):
    """What the list of circles is narrowed to. Everything is optional."""

    towns = ("place",)

    q = forms.CharField(
        label=gettext_lazy("Search"),
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    interest = forms.ChoiceField(label=gettext_lazy("Interest"), required=False)
    near = forms.ChoiceField(label=gettext_lazy("Near"), required=False)
    place = forms.CharField(label=gettext_lazy("Another town"), required=False, widget=town_input("place"))
    km = forms.TypedChoiceField(
        label=gettext_lazy("Within"),
        choices=[(5, "5 km"), (10, "10 km"), (20, "20 km"), (40, "40 km")],
        coerce=int,
        empty_value=None,
        required=False,
        initial=NEAR_KM,
    )

    def __init__(self, *args: Any, profile: Profile | None = None, **given: Any) -> None:
        super().__init__(*args, **given)
        self.homes = {"home": profile.lives, "work": profile.works} if profile else {}
        near = [("", _("Anywhere"))]
        if self.homes.get("home"):
            near.append(("home", _("My home (%s)") % self.homes["home"].name))  # type: ignore[union-attr]
        if self.homes.get("work"):
            near.append(("work", _("My work (%s)") % self.homes["work"].name))  # type: ignore[union-attr]
        if len(near) == 1:  # no town of theirs to choose from: this is the only one, not another
            self.fields["place"].label = _("Town")
        self.fields["near"].choices = near  # type: ignore[attr-defined]
        self.fields["interest"].choices = [("", _("All")), *Interest.labels_by_group()]  # type: ignore[attr-defined]

    def clean_place(self) -> Place | None:
        return self.town("place")

    def within_km(self) -> int:
        """How far around it."""
        return int(self.cleaned_data.get("km") or NEAR_KM)

    def centre_of_search(self) -> Place | None:
        """The town to search around: the one typed, else home or work when chosen."""
        return self.cleaned_data.get("place") or self.homes.get(self.cleaned_data.get("near", ""))
