"""How old children are on the day of an event, and which of them it is for. Adults come along whatever their age."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from community.members import ADULT_AGE
from events.models import Attendee, Event
from events.models.details import Details
from realtime import clock


def at(event: Event, birth_year: int) -> int:
    """How old who was born in this year becomes in the year of the event: nobody tells us the day of birth."""
    day = event.local_start or clock.now()
    return max(0, day.year - birth_year)


def for_whom(event: Details) -> str:
    """Which children it is for, in the language of the page; empty when any may come."""
    youngest, eldest = event.min_age, event.max_age
    if youngest is not None and youngest >= ADULT_AGE:
        return _("For adults")
    if youngest is not None and eldest is not None:
        return _("Children from %(youngest)d to %(eldest)d years") % {"youngest": youngest, "eldest": eldest}
    if youngest is not None:
        return ngettext("Children from %(n)d year", "Children from %(n)d years", youngest) % {"n": youngest}
    if eldest is not None:
        return ngettext("Children up to %(n)d year", "Children up to %(n)d years", eldest) % {"n": eldest}
    return ""


def fits(event: Details, age: int, *, by_year: bool) -> bool:
    """A child of this age may come. `by_year`: known by the year of birth, so it may be a year younger on that day."""
    ages = {age, age - 1} if by_year else {age}
    youngest, eldest = event.min_age or 0, ADULT_AGE if event.max_age is None else event.max_age
    return any(youngest <= one <= eldest for one in ages)


def outside(event: Event) -> list[str]:
    """The children in parties of an event whom its ages leave out, by name. One query."""
    rows = Attendee.objects.filter(event=event, is_live=True, age__isnull=False).select_related("child")
    return left_out(event, rows.order_by("registration", "slot"))


def left_out(event: Event, aged: Iterable[Attendee]) -> list[str]:
    """Of these, whose age is known, the children whom an event's ages leave out, by name. No query where `child` came along."""
    found = []
    for one in aged:
        age = at(event, one.child.birth_year) if one.child else one.age or 0
        if age < ADULT_AGE and not fits(event, age, by_year=one.child is not None):
            found.append(one.name or _("a guest"))
    return found
