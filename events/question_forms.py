"""Questions in forms: a host writes them on the event, who comes answers them with the party."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from events import questions
from events.models import Event
from events.questions import AT_MOST, MAX_ANSWER, MAX_TEXT, Given, Question

KINDS = (
    ("text", gettext_lazy("a text")),
    ("choice", gettext_lazy("one of these answers")),
    ("yes", gettext_lazy("a tick")),
)


class QuestionRow(forms.Form):
    """One question of a host; an empty row is none. What is asked already is taken out by a tick, never by a slip."""

    id = forms.CharField(required=False, max_length=16, widget=forms.HiddenInput)
    text = forms.CharField(label=gettext_lazy("Question"), required=False, max_length=MAX_TEXT)
    kind = forms.ChoiceField(label=gettext_lazy("Answered by"), required=False, choices=KINDS, initial="text")
    options = forms.CharField(
        label=gettext_lazy("Answers to choose from"),
        required=False,
        max_length=1000,
        widget=forms.Textarea({"rows": 2}),
        help_text=gettext_lazy("One a line."),
    )
    is_required = forms.BooleanField(label=gettext_lazy("Has to be answered"), required=False)
    is_sensitive = forms.BooleanField(label=gettext_lazy("About diet, allergies or health"), required=False)

    is_dropped = forms.BooleanField(
        label=gettext_lazy("Take this question out, with all answers to it"), required=False
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors or cleaned["text"].strip() or cleaned["is_dropped"]:
            return cleaned
        if cleaned["id"]:
            self.add_error(
                "text", _("Tick below that this question goes with all its answers, or write it again.")
            )
        elif cleaned["options"].strip() or cleaned["is_required"] or cleaned["is_sensitive"]:
            self.add_error("text", _("Write the question, or empty the rest of it."))
        return cleaned

    def question(self) -> Question | None:
        """What was written. Only for a form that is valid."""
        said = self.cleaned_data
        if not said["text"].strip() or said["is_dropped"]:
            return None
        return Question(
            said["id"],
            said["text"],
            said["kind"] or "text",
            tuple(said["options"].splitlines()),
            said["is_required"],
            said["is_sensitive"],
        )


class QuestionRows:
    """The questions of an event as rows of its form, with room for more."""

    def __init__(self, data: Any, present: list[dict[str, Any]]) -> None:
        known = [one | {"options": "\n".join(one["options"])} for one in present]
        self.rows = [
            QuestionRow(data, prefix=f"question{n}", initial=known[n] if n < len(known) else None)
            for n in range(AT_MOST)
        ]

    def as_typed(self) -> QuestionRows:
        """The same rows with what was typed and no complaints yet."""
        again = QuestionRows(None, [])
        keep_typed(again.rows, self.rows)
        return again

    def written(self) -> list[dict[str, Any]]:
        """The questions as the event keeps them. Raises ValidationError for one that cannot be asked so."""
        if not all([row.is_valid() for row in self.rows]):
            raise ValidationError(_("Look at the questions again."))
        found = [one for row in self.rows if (one := row.question()) is not None]
        for number, one in enumerate(found, 1):
            try:
                questions.written([one])
            except ValidationError as refused:
                text = _("Question %(n)d: %(error)s") % {"n": number, "error": refused.messages[0]}
                raise ValidationError(text) from None
        return questions.written(found)


def keep_typed(fresh: Sequence[forms.Form], typed: Sequence[forms.Form]) -> None:
    """Put what was typed into forms without complaints."""
    for ours, row in zip(fresh, typed, strict=True):
        ours.initial = {
            name: field.widget.value_from_datadict(row.data, row.files, row.add_prefix(name))
            for name, field in row.fields.items()
        }


class AnswersForm(forms.Form):
    """A form in which the questions of an event are answered; `event` and what was said before (`given`) are given to it."""

    has_questions = True

    def __init__(
        self, *args: Any, event: Event | None = None, given: Given | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.asked = questions.of(event) if event is not None and self.has_questions else []
        self.event = event
        before = given or Given({})
        for one in self.asked:
            self.fields[f"answer_{one.id}"] = _field(one, str(before.answers.get(one.id, "")))
            if one.is_sensitive:
                self.fields[f"agree_{one.id}"] = forms.BooleanField(
                    label=_("The host and the door may read this until 14 days after the event."),
                    required=False,
                    initial=one.id in before.agreed,
                )

    @property
    def answer_fields(self) -> list[forms.BoundField]:
        """The fields of the questions, each followed by its consent."""
        return [self[name] for name in self.fields if name.startswith(("answer_", "agree_"))]

    def given(self) -> Given:
        """What the verbs of registration take."""
        said = self.cleaned_data
        return Given(
            {one.id: said.get(f"answer_{one.id}", "") for one in self.asked},
            frozenset(one.id for one in self.asked if said.get(f"agree_{one.id}")),
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.event is not None and self.asked:
            try:
                questions.checked(self.event, self.given())
            except ValidationError as refused:
                for name, errors in refused.message_dict.items():
                    field = f"answer_{name.removeprefix('answers.')}"
                    if field not in self.errors:
                        self.add_error(field, errors)
        return cleaned


def _field(one: Question, before: str) -> forms.Field:
    if one.kind == "yes":
        return forms.BooleanField(label=one.text, required=False, initial=before == "yes")
    if one.kind == "choice":
        choices = [("", _("Choose")), *((option, option) for option in one.options)]
        return forms.ChoiceField(label=one.text, required=one.is_required, choices=choices, initial=before)
    return forms.CharField(
        label=one.text,
        required=one.is_required,
        max_length=MAX_ANSWER,
        initial=before,
        widget=forms.Textarea({"rows": 2}),
    )
