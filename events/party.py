"""A party: its people checked, looked for among those who come already, and given their slots of the ticket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from community import households
from community.models import Member
from events.models import Attendee, Event, Registration
from realtime import clock

PARTY_LIMIT = 12


@dataclass(frozen=True)
class Person:
    """One place of a party: the caller, an adult or child of the household (by id), or a guest by name."""

    name: str = ""
    member_id: int | None = None
    child_id: int | None = None
    age: int | None = None


def who(owner: Member, caller: Member, party: Sequence[Person]) -> list[Person]:
    """The party with names, everybody in it checked: each adult and child is of the caller's own household."""
    if not 1 <= len(party) <= PARTY_LIMIT:
        raise ValidationError({"party": _("A party has 1 to 12 people.")})
    is_alone = not any(person.child_id or person.member_id not in (None, owner.pk) for person in party)
    home = None if is_alone else households.of(caller)
    adults = {adult.pk: adult for adult in households.adults_of(home)} if home else {}
    children = {child.pk: child for child in households.children_of(home)} if home else {}
    adults[owner.pk] = owner
    people: list[Person] = []
    caller_is_in = any(person.member_id == owner.pk for person in party)
    for person in party:
        if person.member_id is not None and person.child_id is not None:
            raise ValidationError({"party": _("Each place is for one person.")})
        if person.child_id is not None:
            if person.child_id not in children:
                raise ValidationError({"party": _("You can only bring children of your own household.")})
            child = children[person.child_id]
            people.append(
                Person(child.nickname, child_id=child.pk, age=max(0, clock.now().year - child.birth_year))
            )
        elif person.member_id is not None:
            if person.member_id not in adults:
                raise ValidationError({"party": _("You can only register adults of your own household.")})
            people.append(Person(str(adults[person.member_id]), member_id=person.member_id))
        elif not caller_is_in:
            caller_is_in = True
            people.append(Person(person.name.strip() or str(owner), member_id=owner.pk, age=person.age))
        else:
            people.append(Person(person.name.strip(), age=person.age))
    named = [(person.member_id, person.child_id) for person in people if person.member_id or person.child_id]
    if len(set(named)) < len(named):
        raise ValidationError({"party": _("Somebody is in the party twice.")})
    return people


def by_name(first: str, others: Sequence[Person]) -> list[Person]:
    """A party without accounts: who makes it, and the others by name. Raises ValidationError by `name` and `party`."""
    people = [replace(one, name=" ".join(one.name.split())) for one in (Person(first), *others)]
    if not people[0].name:
        raise ValidationError({"name": _("Say your name.")})
    if any(person.member_id or person.child_id for person in people):
        raise ValidationError({"party": _("Members and children are registered by their own household.")})
    if len(people) > PARTY_LIMIT:
        raise ValidationError({"party": _("A party has 1 to 12 people.")})
    return people


def there(event: Event, people: Sequence[Person]) -> QuerySet[Attendee]:
    """Who of these people comes to the event already, in whosever party."""
    ids = Q(member__in=[p.member_id for p in people if p.member_id])
    ids |= Q(child__in=[p.child_id for p in people if p.child_id])
    return Attendee.objects.filter(ids, event=event, is_live=True)


def must_be_free(
    event: Event, member: Member, people: Sequence[Person], but: Registration | None = None
) -> None:
    """Nobody of the party comes to this event already. At most two queries."""
    if but is None and event.registrations.live().filter(member=member).exists():
        raise ValidationError(_("You are already registered for this event."), code="already_registered")
    found = there(event, people)
    if but is not None:
        found = found.exclude(registration=but)
    taken = found.first()
    if taken is not None:
        raise ValidationError(
            _("%(name)s is already registered for this event.") % {"name": taken}, code="already_registered"
        )


def sit_down(registration: Registration, people: Sequence[Person], first: int) -> list[Attendee]:
    """New attendees in the slots from `first` on. One query; one more when others than who registered are members."""
    accounts = {registration.member_id: registration.member}
    others = {person.member_id for person in people if person.member_id} - set(accounts)
    if others:
        accounts |= Member.objects.in_bulk(others)
    return Attendee.objects.bulk_create(
        Attendee(
            registration=registration,
            event=registration.event,
            slot=slot,
            name=person.name,
            member=accounts[person.member_id] if person.member_id else None,
            child_id=person.child_id,
            age=person.age,
        )
        for slot, person in enumerate(people, first)
    )
