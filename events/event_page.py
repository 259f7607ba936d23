"""The page of an event: everything needed to decide, and the party ready to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.db.models import Exists, OuterRef, Q, QuerySet, StringAgg, Subquery, TextField, Value
from django.db.models.functions import Cast
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language

from community import households, matching, members, texts
from community.models import HouseholdAdult, Interest, Member
from events import ages, cohosts, ending, finding, inquiries, invited, seats, sharing, undoing
from events.access import NOBODY, standing_from, standings
from events.forms import AskForm, GuestForm, LinkForm, PartyForm
from events.models import Attendee, CoHost, Event, Inquiry, Invitation, PartnerDate, Registration
from realtime import clock
from realtime.prepared import ID, IDS, MOMENT, prepared

STRIP = 8  # dates of a series shown under its title

type Typed = PartyForm | GuestForm | LinkForm | AskForm


def party_form(member: Member, event: Event, data: Any = None, *, is_alone: bool = False) -> PartyForm:
    """The form of the member's party, their household chosen as it usually comes, but for who comes with somebody already:
    they are only named. Three queries; none for who lives alone.
    """
    adults, children = ([], []) if is_alone else households.live_with(member)
    there = list[str]()
    if data is None and (adults or children):
        ids = [one.pk for one in adults], [one.pk for one in children]
        taken = {pk for row in _taken(event=event.pk, members=ids[0], children=ids[1]) for pk in row}
        there = [str(one) for one in (*adults, *children) if one.pk in taken]
        adults = [one for one in adults if one.pk not in taken]
        children = [one for one in children if one.pk not in taken]
    initial = PartyForm.initial_for(event, adults, children)
    form = PartyForm(data, initial=initial, member=member, adults=adults, children=children, event=event)
    form.there = there
    form.is_plain = data is None and is_alone and not form.types and not form.answer_fields
    form.me_label = str(member)
    return form


@prepared(event=ID, members=IDS, children=IDS)
def _taken(*, event: Any, members: Any, children: Any) -> QuerySet[Attendee, tuple[int | None, int | None]]:
    """Who of these is in a party of the event, by id."""
    rows = Attendee.objects.filter(Q(member__among=members) | Q(child__among=children))
    return rows.filter(event=event, is_live=True).values_list("member", "child")


def event_shown(
    request: HttpRequest,
    event: Event,
    *,
    typed: Typed | None = None,
    by_key: tuple[Invitation, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of an event, with one of its forms as it was `typed`.

    With an invitation and the key of its mail (`by_key`) it is for who holds the mail, whoever is signed in.
    Beside the event a query for what there is, and one for each thing that is there.
    """
    invitation, key = by_key or (None, "")
    reader = request.user if isinstance(request.user, Member) else None
    there = _there(reader=reader and reader.pk, event=event.pk)[0]
    standing = standing_from(there) if reader else NOBODY
    mine = seats.mine_of(reader, [event]).get(event.pk) if reader and there["comes"] else None
    if reader and not mine and not invitation and there["is_invited"]:
        invitation = invited.to_event(reader, event)
    finding.with_pools([event])
    places = seats.places_of([event])[event.pk] if there["is_waited_for"] else seats.places_from(event, {})
    asked = list(inquiries.shown_to(reader, event, runs=standing.runs)) if there["is_asked"] else []
    words, tickets = sharing.plain(event.text("description")), seats.by_type(event)
    context = {
        "nav": "events",
        "event": event,
        "summary": sharing.shortened(words, sharing.FIRST_WORDS),
        "description": texts.to_html(event.text("description")),
        "description_language": event.text_language((get_language() or "en")[:2]),
        "places": places,
        "ages": ages.for_whom(event),
        "interests": _interests(there["likes"]),
        "tickets": tickets,
        "is_full": places.left == 0 or bool(tickets) and all(one.left == 0 for one in tickets),
        "card": sharing.card_of(event, places, words),
        "km": matching.nearest_km(members.profile_of(reader) if reader else None, event.place),
        "mine": mine,
        "mine_attendees": mine.live if mine else [],
        "invitation": invitation,
        "key": key,
        "inquiries": asked,
        "asked": sum(one.answered_at is None and one.put_aside_at is None for one in asked),
        "takes_questions": inquiries.takes_questions(event) and not key,
        "partners": event.partner_centres.all() if there["is_shared"] else [],
        "hosts": cohosts.hosts_of(event) if there["is_cohosted"] else [event.host],
        "runs": standing.runs,
        "leads": standing.leads,
        "partner_date": _partner_date(event) if standing.runs else None,
        "at_door": standing.at_door,
        "dates": _dates_of(reader, event),
        "now": clock.now(),
        "in_room": standing.in_room,
        "has_stepped_out": standing.has_stepped_out,
    }
    is_open = event.state == Event.State.PUBLISHED and not event.is_over
    coming = reader if is_open and not mine and not key else None
    context |= _forms(reader, coming, event, typed, there) | _called_off(event, runs=standing.runs)
    return render(request, "events/event.html", context, status=status)


def _called_off(event: Event, *, runs: bool) -> dict[str, Any]:
    """What can be taken back of a call-off, and with how many dates together. At most three queries; none for what is on."""
    call_off = undoing.open_for(event)
    return {
        "call_off": call_off,
        "ended": len(ending.ended_together(event)) if call_off and runs else 0,
    }


def _partner_date(event: Event) -> PartnerDate | None:
    """The entry of a partner's calendar that it came from. One query."""
    return PartnerDate.objects.select_related("calendar").filter(event=event).first()


def _forms(
    reader: Member | None,
    coming: Member | None,
    event: Event,
    typed: Typed | None,
    there: Mapping[str, Any],
) -> dict[str, Form | None]:
    """The forms of an event's page: empty, or one of them as it was typed. `coming`: the reader, who may register a party."""
    names = {PartyForm: "form", GuestForm: "guest_form", LinkForm: "link_form", AskForm: "ask_form"}
    shown: dict[str, Form | None] = dict.fromkeys(names.values())
    if typed is not None:
        shown[names[type(typed)]] = typed
    if coming is None:
        shown["guest_form"] = shown["guest_form"] or GuestForm(event=event)
    else:
        is_alone = not there["has_household"]
        shown["form"] = shown["form"] or party_form(coming, event, is_alone=is_alone)
    if reader is None:
        shown["link_form"] = shown["link_form"] or LinkForm()
    shown["ask_form"] = shown["ask_form"] or AskForm()
    return shown


def _interests(keys: str | None) -> list[Interest]:
    """The interests with these keys, joined by commas as the database gives them, in their order."""
    wanted = set((keys or "").split(","))
    return [one for one in Interest.everything() if str(one.pk) in wanted]


def _dates_of(reader: Member | None, event: Event) -> list[Event]:
    """The strip of dates of a series: those still to come, without those that its rule no longer has. One query; none for
    a single event.
    """
    if event.series_id is None:
        return []
    return _dates(reader=reader and reader.pk, series=event.series_id, now=clock.now())


@prepared(reader=ID, series=ID, now=MOMENT)
def _dates(*, reader: Any, series: Any, now: Any) -> QuerySet[Event]:
    there = Event.objects.visible_to(reader).filter(series=series, fell_away=False)
    return there.upcoming(now)[:STRIP]


@prepared(reader=ID, event=ID)
def _there(*, reader: Any, event: Any) -> QuerySet[Event, dict[str, Any]]:
    """What there is beside an event, so that only this is asked for, and what the reader is to it."""
    likes: Any = Event.interests.through.objects.filter(event=OuterRef("pk")).order_by().values("event")
    keys = StringAgg(Cast("interest", TextField()), Value(","))
    every_date = Event.objects.filter(pk=event).values("series")
    found: dict[str, Any] = {
        "likes": Subquery(likes.annotate(keys=keys).values("keys")),
        "is_waited_for": Exists(seats.not_settled().filter(event=event)),
        "is_asked": Exists(Inquiry.objects.filter(event=event)),
        "is_shared": Exists(Event.partner_centres.through.objects.filter(event=event)),
        "is_cohosted": Exists(CoHost.objects.filter(Q(event=event) | Q(series__in=every_date))),
    }
    if reader is not None:
        named = Attendee.objects.filter(member=reader, is_live=True, event=event).values("registration")
        own = Q(member=reader) | Q(pk__in=named)
        found |= standings(reader, event) | {
            "comes": Exists(Registration.objects.live().filter(own, event=event)),
            "is_invited": Exists(Invitation.objects.to(reader).standing().filter(event=event)),
            "has_household": Exists(HouseholdAdult.objects.filter(member=reader)),
        }
    rows = Event.objects.filter(pk=event).annotate(**found).values(*found)
    return cast("QuerySet[Event, dict[str, Any]]", rows)
