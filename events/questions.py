"""What a host asks who comes: written on the event, answered with the registration, read by who runs it and by its door.

Answers are sealed. Those about health and diet need a yes of their own, question by question, and all of them are gone
14 days after the event, or as soon as the registration ends.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from events.models import Answers, Event, Registration
from realtime import clock, sealing

AT_MOST = 6
MAX_TEXT, MAX_ANSWER, MAX_OPTIONS = 200, 500, 12
KINDS = ("text", "choice", "yes")


@dataclass(frozen=True)
class Question:
    """One question: `kind` is text, choice (one of `options`) or yes (ticked or not)."""

    id: str
    text: str
    kind: str = "text"
    options: tuple[str, ...] = ()
    is_required: bool = False
    is_sensitive: bool = False  # health or diet: Art. 9 GDPR


@dataclass(frozen=True)
class Given:
    """What somebody answers, by question; `agreed`: the sensitive ones that may be kept."""

    answers: Mapping[str, Any]
    agreed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Summary:
    """All answers to one question: how many gave which, the most frequent first, and every text."""

    question: Question
    counted: list[tuple[str, int]]
    texts: list[str]


def of(event: Event) -> list[Question]:
    """The questions of an event, in their order. No query."""
    return [of_row(one) for one in event.questions]


def of_row(one: Mapping[str, Any]) -> Question:
    """A question as a row keeps it, or as a program wrote it: what it does not say is as usual."""
    return Question(**{"id": "", **one, "options": tuple(one.get("options", ()))})


def written(questions: Iterable[Question]) -> list[dict[str, Any]]:
    """Questions as a row keeps them, checked; one without an id is new. Raises ValidationError by `questions`."""
    rows: list[dict[str, Any]] = []
    for one in questions:
        options = tuple(dict.fromkeys(text for option in one.options if (text := " ".join(option.split()))))
        text = " ".join(one.text.split())
        if not text or len(text) > MAX_TEXT or one.kind not in KINDS:
            raise ValidationError({"questions": _("A question has 1 to 200 characters.")})
        if one.kind == "choice" and not 2 <= len(options) <= MAX_OPTIONS:
            raise ValidationError({"questions": _("A choice has 2 to 12 answers to choose from.")})
        if any(len(option) > MAX_TEXT for option in options):
            raise ValidationError({"questions": _("A question has 1 to 200 characters.")})
        ours = Question(
            one.id or secrets.token_hex(4),
            text,
            one.kind,
            options if one.kind == "choice" else (),
            one.is_required,
            one.is_sensitive,
        )
        rows.append(asdict(ours) | {"options": list(ours.options)})
    if len(rows) > AT_MOST:
        raise ValidationError({"questions": _("Six questions at most: nobody likes long forms.")})
    if len({row["id"] for row in rows}) < len(rows):
        raise ValidationError({"questions": _("Each question needs an id of its own.")})
    return rows


def checked(event: Event, given: Given, *, must: bool = True) -> dict[str, str]:
    """The answers that will be kept. `must`: what is required has to be there, and what does not fit is refused, not left out.

    Raises ValidationError by `answers.<id>`: missing, too long, no such choice, or health without a yes to keep it.
    """
    errors: dict[str, str] = {}
    kept: dict[str, str] = {}
    for one in of(event):
        raw = given.answers.get(one.id)
        text = (
            ("yes" if raw in (True, "yes", "on", "true") else "")
            if one.kind == "yes"
            else str(raw or "").strip()
        )
        if not text:
            if must and one.is_required:
                errors[f"answers.{one.id}"] = _("Please answer this.")
        elif len(text) > MAX_ANSWER:
            errors[f"answers.{one.id}"] = _("This can have %(limit)s characters at most.") % {
                "limit": MAX_ANSWER
            }
        elif one.kind == "choice" and text not in one.options:
            errors[f"answers.{one.id}"] = _("Choose one of the answers.")
        elif one.is_sensitive and one.id not in given.agreed:
            needed, free = (
                _("Say that the host may read this: it has to be answered."),
                _("Say that the host may read this, or leave it empty."),
            )
            errors[f"answers.{one.id}"] = needed if one.is_required else free
        else:
            kept[one.id] = text
    if errors and must:
        raise ValidationError(errors)
    return kept


def keep(registration: Registration, given: Given, *, must: bool = True) -> None:
    """Keep what a party answers, in place of what it answered before. Registration locked. At most two queries."""
    if not registration.event.questions:
        return
    kept = checked(registration.event, given, must=must)
    now = clock.now()
    agreed = {
        one.id: now.isoformat() for one in of(registration.event) if one.is_sensitive and one.id in kept
    }
    if not kept:
        Answers.objects.filter(registration=registration).delete()
        return
    facts = {"given": kept, "agreed": agreed, "key": sealing.present_key(), "written_at": now}
    Answers.objects.update_or_create(registration=registration, defaults=facts)


def given_by(registration: Registration) -> Given:
    """What a party answered so far. One query; none where nothing is asked, or after `select_related`."""
    if not registration.event.questions:
        return Given({})
    try:
        row = registration.answers
    except Answers.DoesNotExist:
        return Given({})
    return Given(row.given or {}, frozenset(row.agreed))


def lines_of(event: Event) -> dict[int, list[tuple[str, str]]]:
    """(question, answer) of every party, by registration. One query; none where nothing is asked."""
    asked = of(event)
    if not asked:
        return {}
    rows = Answers.objects.filter(registration__event=event)
    return {row.registration_id: _lines(asked, row.given or {}) for row in rows}


def lines(event: Event, given: Given) -> list[tuple[str, str]]:
    """(question, answer) as one reads them, those without an answer left out. No query."""
    return _lines(of(event), given.answers)


def _lines(asked: Sequence[Question], answers: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(one.text, _shown(one, answers[one.id])) for one in asked if answers.get(one.id)]


def _shown(one: Question, answer: str) -> str:
    return _("yes") if one.kind == "yes" else answer


def summary(event: Event, coming: Iterable[int]) -> list[Summary]:
    """What the parties with these ids answered, question by question: for the kitchen. One query; none if nothing is asked."""
    asked = of(event)
    if not asked:
        return []
    rows = Answers.objects.filter(registration__in=list(coming)).order_by("written_at", "pk")
    given = [row.given or {} for row in rows]
    found = []
    for one in asked:
        said = [_shown(one, answers[one.id]) for answers in given if answers.get(one.id)]
        counted = [] if one.kind == "text" else Counter(said).most_common()
        found.append(Summary(one, counted, said if one.kind == "text" else []))
    return found


def seal_anew() -> int:
    """The sweep: what an older secret sealed is sealed by the present one, before that is retired. How many."""
    rows = Answers.objects.filter(key__in=sealing.older_keys())
    n = 0
    for row in rows[:500]:  # one that cannot be read here is left alone: another process may know its secret
        if row.given is None:
            continue
        n += Answers.objects.filter(pk=row.pk, key=row.key).update(given=row.given, key=sealing.present_key())
    return n
