"""Events and circles as cards, and other pieces that are written once. A builtin library, as `ui`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from django import template
from django.forms import BaseForm
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from community.models import Circle
from config.pieces import piece
from config.templatetags.ui import clock_time, moment, text_language
from events.board import PartyLine
from events.models import Event

register = template.Library()


@register.simple_tag
def event_card(event: Event, km: int | None = None, mine: Any = None) -> SafeString:
    """An event in a list: a row of `finding.listed` or `for_list`. `km` is how far it is, `mine` a registration."""
    total = event.total
    shown = {
        "url": event.get_absolute_url(),
        "title": event.text("title"),
        "title_language": text_language(event),
        "starts_at": event.starts_at,
        "ends_at": event.ends_at,
        "timezone": event.timezone,
        "local_start": event.local_start,
        "all_day": event.all_day,
        "town": event.place.name if event.place else event.town,
        "km": km,
        "is_off": event.state == Event.State.CANCELLED,
        "is_on_now": event.is_on_now,
        "is_mine": bool(mine),
        "languages": tuple(event.languages),
        "for_families": event.for_families,
        "step_free": event.step_free,
        "capacity": total and total.capacity,
        "taken": total and total.taken,
    }
    return piece("components/event_card.html", tuple(shown.values()), shown | {"total": total})


@register.simple_tag
def circle_card(circle: Circle, km: int | None = None) -> SafeString:
    """A circle in a list: a row of `Circle.objects.for_list()`. `km` is how far it is."""
    shown = {
        "pk": circle.pk,
        "emoji": circle.interest.emoji if circle.interest else "",
        "name": circle.text("name"),
        "description": circle.text("description"),
        "text_language": text_language(circle),
        "size": circle.size,
        "town": circle.place.name if circle.place else "",
        "km": km,
    }
    return piece("components/circle_card.html", tuple(shown.values()), shown)


@register.simple_tag
def party_line(party: PartyLine, event: Event, runs: bool, is_open: bool) -> SafeString:
    """A party on the list of guests, for who `runs` the event or only helps at its door, which `is_open`."""
    row = party.registration
    plain = {
        "id": row.public_id,
        "title": party.title,
        "is_unpaid": party.is_unpaid,
        "is_still_coming": row.still_coming_at is not None,
        "has_no_address": row.has_no_address,
        "has_conflict": party.has_conflict,
        "undoable": party.undoable and party.undoable.id,
        "missing": party.missing,
        "to_admit": party.to_admit,
        "timezone": event.timezone,
        "runs": runs,
        "is_movable": runs and not is_open and not event.is_over,
    }
    guests = tuple(
        (one.name, one.slot, one.is_child, one.age, one.inside, one.at, one.gate, one.ticket)
        for one in party.guests
    )
    context = plain | {"guests": party.guests, "answers": party.answers}
    if party.answers:  # diet and health are kept nowhere but in the database
        return render_to_string("components/party_line.html", context)
    return piece("components/party_line.html", (*plain.values(), guests), context)


@register.simple_tag
def room_row(row: Any, member: Any, here: Any) -> SafeString:
    """A room in the list of conversations, a row of `conversations.of`; `here`: the room whose page this is, if it is one's."""
    room, last = row.room, row.last
    author = last.author if last and last.author_id != member.pk and room.kind != "direct" else None
    shown = {
        "pk": room.pk,
        "title": room.title,
        "head": room.head,
        "is_direct": room.kind == "direct",
        "is_here": bool(here) and here.pk == room.pk,
        "muted": row.muted,
        "named": row.named,
        "unread": row.unread,
        "seq": last and last.seq,
        "at": last and last.at,
        "moment": moment(last.at) if last else "",
        "is_mine": last is not None and last.author_id == member.pk,
        "author": author.display_name if author else "",
        "is_removed": last is not None and last.removed_at is not None,
        "text": last.text if last else "",
    }
    return piece("components/room_row.html", tuple(shown.values()), shown)


@register.simple_tag
def message_line(message: dict[str, Any], room: Any, may_moderate: bool) -> SafeString:
    """A message as a room shows it before any script has run: one of `views.room_page`."""
    author = message["author"]
    shown = {
        "seq": message["seq"],
        "room": room.pk,
        "author": author and author["id"],
        "name": author["name"] if author else "",
        "at": message["at"],
        "clock": clock_time(message["at"]),
        "text": message["text"],
        "language": message["language"],
        "is_mine": message["is_mine"],
        "may_hide": may_moderate and not message["is_mine"] and message["text"] is not None,
    }
    return piece("components/message_line.html", tuple(shown.values()), shown)


@register.filter
def asked(form: BaseForm) -> Hashable:
    """What a form was sent with, to write it `once`; None where something is wrong with it, so that it is written anew."""
    if form.errors:
        return None
    return tuple(str(form.data.get(name, "")) for name in form.fields)


@register.simple_tag
def once(template_name: str, of: Hashable = "", **context: Any) -> SafeString:
    """A template, written once for `of` and for the plain values of `context`. With None as `of` it is written anew."""
    if of is None:
        return render_to_string(template_name, context)
    plain = tuple(
        (name, value) for name, value in context.items() if isinstance(value, bool | int | str | None)
    )
    return piece(template_name, (of, plain), context)
