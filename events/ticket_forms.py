"""Kinds of tickets in forms: a host writes them on the event, who comes chooses one for each person of the party."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from events import ticket_types
from events.models import Event
from events.party import Person
from events.question_forms import AnswersForm, keep_typed
from events.ticket_types import AT_MOST, MAX_NAME, MAX_PLACES, TicketType

NAME_LENGTH = 60
MORE = re.compile(r"\+? ?(\d{1,2})", re.ASCII)  # so many without a name
ALL_NAMES = 800


class TypeRow(forms.Form):
    """One kind of ticket of a host; an empty row is none, and one whose name is emptied is taken out."""

    id = forms.CharField(required=False, max_length=16, widget=forms.HiddenInput)
    name = forms.CharField(label=gettext_lazy("Kind of ticket"), required=False, max_length=MAX_NAME)
    capacity = forms.IntegerField(
        label=gettext_lazy("Places"), required=False, min_value=1, max_value=MAX_PLACES
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        is_new = not cleaned.get("id")
        if is_new and not cleaned.get("name", "").strip() and cleaned.get("capacity") is not None:
            self.add_error("name", _("Say what this kind of ticket is called, or leave its places empty."))
        return cleaned

    def ticket_type(self) -> TicketType | None:
        """What was written. Only for a form that is valid."""
        said = self.cleaned_data
        return TicketType(said["id"], said["name"], said["capacity"]) if said["name"].strip() else None


class TypeRows:
    """The kinds of tickets of an event as rows of its form, with room for more."""

    def __init__(self, data: Any, present: Sequence[dict[str, Any]]) -> None:
        self.rows = [
            TypeRow(data, prefix=f"ticket{n}", initial=present[n] if n < len(present) else None)
            for n in range(AT_MOST)
        ]

    def as_typed(self) -> TypeRows:
        """The same rows with what was typed and no complaints yet."""
        again = TypeRows(None, [])
        keep_typed(again.rows, self.rows)
        return again

    def written(self) -> list[dict[str, Any]]:
        """The kinds as the event keeps them. Raises ValidationError for one that cannot be."""
        if not all([row.is_valid() for row in self.rows]):
            raise ValidationError(_("Look at the kinds of tickets again."))
        try:
            return ticket_types.written(one for row in self.rows if (one := row.ticket_type()) is not None)
        except ValidationError as refused:
            raise ValidationError(refused.messages) from None


def names_in(text: str) -> list[str]:
    """The names of a field with one a line; a line like `+2` is that many people without a name, each an empty text here.

    Raises ValidationError for a name that is too long.
    """
    names: list[str] = []
    for line in (" ".join(one.split()) for one in text.splitlines() if one.strip()):
        more = MORE.fullmatch(line)
        names += [""] * int(more[1]) if more else [line]
    if any(len(name) > NAME_LENGTH for name in names):
        raise ValidationError(_("A name has at most 60 characters."))
    return names


def as_lines(names: Sequence[str]) -> str:
    """Names as they stand in such a field."""
    nameless = sum(not name for name in names)
    return "\n".join([*filter(None, names), *([f"+{nameless}"] if nameless else [])])


class TicketsForm(AnswersForm):
    """A form in which who comes is named. Where the event has kinds of tickets, each person gets one: those who are known
    by a choice (`ticket_fields`), guests by the field in which they are named (`guest_fields`).
    """

    guests_label = gettext_lazy("Guests")
    is_plain, me_label = False, ""  # nothing in it but oneself, so called, and guests

    def __init__(self, *args: Any, event: Event | None = None, **kwargs: Any) -> None:
        super().__init__(*args, event=event, **kwargs)
        self.types = ticket_types.of(event) if event is not None else []
        if self.types:
            del self.fields["guests"]
        for one in self.types:
            self.fields[f"guests_{one.id}"] = forms.CharField(
                label=_("%(label)s: %(name)s") % {"label": self.guests_label, "name": one.name},
                required=False,
                max_length=ALL_NAMES,
                widget=forms.Textarea({"rows": 2}),
                help_text=_("One name a line; +2 are two whose names you do not know yet."),
            )

    def add_choice(self, key: str, label: str, *, comes: bool, must: bool = False) -> None:
        """A choice of a ticket for somebody who is known; with one kind only, it is that for who `comes` already."""
        first = self.types[0].id if comes and len(self.types) == 1 else ""
        none = ("", _("Choose") if must else _("does not come"))
        self.fields[f"ticket_{key}"] = forms.ChoiceField(
            label=label,
            required=must,
            choices=[none, *((one.id, one.name) for one in self.types)],
            initial=first,
        )

    @property
    def ticket_fields(self) -> list[forms.BoundField]:
        """The choices of those who are known."""
        return [self[name] for name in self.fields if name.startswith("ticket_")]

    @property
    def guest_fields(self) -> list[forms.BoundField]:
        """Where guests are named."""
        return [self[name] for name in self.fields if name.startswith("guests")]

    @property
    def names_somebody(self) -> bool:
        """A guest is named, or something is wrong with how."""
        return any(one.value() or one.errors for one in self.guest_fields)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        for name in [one for one in cleaned if one.startswith("guests")]:
            try:
                cleaned[name] = names_in(cleaned[name])
            except ValidationError as refused:
                self.add_error(name, refused)
        return cleaned

    def named(self) -> list[Person]:
        """Those who are named, each with their kind of ticket."""
        said = self.cleaned_data
        kinds = [(f"guests_{one.id}", one.id) for one in self.types] or [("guests", "")]
        return [Person(name, ticket_type=kind) for field, kind in kinds for name in said.get(field, ())]

    @staticmethod
    def initial_guests(event: Event, named: Sequence[Any]) -> dict[str, str]:
        """Guests as they stand in the fields: `named` have a name and a kind of ticket."""
        kinds = [(f"guests_{one.id}", one.id) for one in ticket_types.of(event)]
        if not kinds:
            return {"guests": as_lines([one.name for one in named])}
        return {
            field: as_lines([one.name for one in named if one.ticket_type == kind]) for field, kind in kinds
        }
