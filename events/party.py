"""A party: its people checked, looked for among those who come already, and given their slots of the ticket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from community import households
from community.members import ADULT_AGE
from community.models import Member
from events import ages, ticket_types
from events.models import Attendee, Event, Registration

PARTY_LIMIT = 12


@dataclass(frozen=True)
class Person:
    """One place of a party: the caller, an adult or child of the household (by id), or a guest by name."""

    name: str = ""
    member_id: int | None = None
    child_id: int | None = None
    age: int | None = None
    ticket_type: str = ""


def who(event: Event, owner: Member, caller: Member, party: Sequence[Person]) -> list[Person]:
    """The party with names, the ages of its children on that day and everybody's kind of ticket, all of it checked: each
    adult and child is of the caller's own household.
    """
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
            people.append(replace(person, name=child.nickname, age=ages.at(event, child.birth_year)))
        elif person.member_id is not None:
            if person.member_id not in adults:
                raise ValidationError({"party": _("You can only register adults of your own household.")})
            people.append(replace(person, name=str(adults[person.member_id]), age=None))
        elif not caller_is_in:
            caller_is_in = True
            people.append(replace(person, name=person.name.strip() or str(owner), member_id=owner.pk))
        else:
            people.append(replace(person, name=person.name.strip()))
    named = [(person.member_id, person.child_id) for person in people if person.member_id or person.child_id]
    if len(set(named)) < len(named):
        raise ValidationError({"party": _("Somebody is in the party twice.")})
    return with_tickets(event, people)


def with_tickets(event: Event, people: Sequence[Person]) -> list[Person]:
    """The same people, each with the id of a kind of ticket of this event. Raises ValidationError of `party`. No query."""
    found = ticket_types.chosen(event, [person.ticket_type for person in people])
    return [replace(person, ticket_type=one) for person, one in zip(people, found, strict=True)]


def of_attendees(attendees: Iterable[Attendee]) -> list[Person]:
    """People of a party, as they were told to it. No query."""
    return [Person(one.name, one.member_id, one.child_id, one.age, one.ticket_type) for one in attendees]


def to_row(person: Person) -> dict[str, Any]:
    """Somebody a party waits for, as `Registration.wanted` keeps them."""
    said = {"name": person.name, "member": person.member_id, "child": person.child_id, "age": person.age}
    return said | ({"ticket_type": person.ticket_type} if person.ticket_type else {})


def wanted_by(registration: Registration) -> list[Person]:
    """Those a party waits for. No query."""
    return [
        Person(one["name"], one["member"], one["child"], one["age"], one.get("ticket_type", ""))
        for one in registration.wanted or ()
    ]


def must_be_of_age(event: Event, people: Iterable[Person]) -> None:
    """Each child among them may come. Raises ValidationError of `party`. No query."""
    for person in people:
        if person.age is None or (person.child_id is None and person.age >= ADULT_AGE):
            continue
        if not ages.fits(event, person.age, by_year=person.child_id is not None):
            text = _("%(name)s cannot come along (%(for_whom)s).")
            said = {"name": person.name or _("a guest"), "for_whom": ages.for_whom(event)}
            raise ValidationError({"party": text % said})


def newly(registration: Registration, people: Iterable[Person]) -> list[Person]:
    """Those of these people who are not in the party yet. One query."""
    live = registration.attendees.filter(is_live=True).values_list("member", "child", "name")
    here = {(member, child, "" if member or child else name) for member, child, name in live}

    def place(person: Person) -> tuple[int | None, int | None, str]:
        known = person.member_id or person.child_id
        return person.member_id, person.child_id, "" if known else person.name

    return [person for person in people if place(person) not in here]


def by_name(event: Event, first: Person, others: Sequence[Person]) -> list[Person]:
    """A party without accounts: who makes it, and the others by name. Raises ValidationError by `name` and `party`."""
    people = [replace(one, name=" ".join(one.name.split())) for one in (first, *others)]
    if not people[0].name:
        raise ValidationError({"name": _("Say your name.")})
    if any(person.member_id or person.child_id for person in people):
        raise ValidationError({"party": _("Members and children are registered by their own household.")})
    if len(people) > PARTY_LIMIT:
        raise ValidationError({"party": _("A party has 1 to 12 people.")})
    return with_tickets(event, people)


def there(event: Event, people: Sequence[Person]) -> QuerySet[Attendee]:
    """Who of these people comes to the event already, in whosever party."""
    return seated_at(event, *keys_of(people))


def keys_of(people: Sequence[Person]) -> tuple[list[int], list[int]]:
    """The members and the children among these people."""
    members = [one.member_id for one in people if one.member_id]
    return members, [one.child_id for one in people if one.child_id]


def seated_at(event: Any, members: Any, children: Any) -> QuerySet[Attendee]:
    """Who of these comes to the event: keys, or their places in a prepared statement. No query of its own."""
    ids = Q(member__among=members) | Q(child__among=children)
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
            ticket_type=person.ticket_type,
        )
        for slot, person in enumerate(people, first)
    )
