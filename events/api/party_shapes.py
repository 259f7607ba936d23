"""What the API reads and answers about parties: one shape each, as interface.md fixes it."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils.translation import get_language
from rest_framework import serializers
from rest_framework.request import Request

from events import approval, questions, seats, ticket_types, tickets
from events.access import may_run
from events.api.shapes import IdField, at, reader_of
from events.models import Registration
from events.models.registration import Guest
from events.party import PARTY_LIMIT, Person
from events.questions import Given
from events.ticket_forms import NAME_LENGTH
from realtime import fields, ids


class TurnDownIn(serializers.Serializer[Any]):
    """A word to who is turned down."""

    text = fields.Text(max_length=approval.MAX_TEXT, required=False, allow_blank=True, default="")


class MoveIn(serializers.Serializer[Any]):
    """Where a party goes."""

    event = IdField()


class PersonIn(serializers.Serializer[Any]):
    """One place of a party."""

    name = fields.Text(max_length=60, required=False, allow_blank=True, allow_null=True)
    member = IdField(required=False, allow_null=True)
    child = IdField(required=False, allow_null=True)
    age = fields.Whole(min_value=0, max_value=120, required=False, allow_null=True)
    ticket_type = fields.Text(
        max_length=ticket_types.MAX_NAME, required=False, allow_blank=True, allow_null=True
    )


class GuestIn(serializers.Serializer[Any]):
    """In whose name a party is that somebody else writes down."""

    name = fields.Text(max_length=NAME_LENGTH)
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True, default="")
    language = serializers.ChoiceField(choices=settings.LANGUAGES, required=False)


class PartyIn(serializers.Serializer[Any]):
    """A party: each item is one place, the first without member or child is the caller."""

    sent_whole = True

    party = serializers.ListField(child=PersonIn(), min_length=1, max_length=PARTY_LIMIT)
    wait = fields.Flag(required=False, default=False)
    answers = serializers.DictField(
        child=fields.Text(max_length=questions.MAX_ANSWER, allow_blank=True), required=False
    )
    agreed = serializers.ListField(child=fields.Text(max_length=16), required=False, max_length=20)

    def given(self) -> Given | None:
        """The answers that were sent; None when none were."""
        said = self.validated_data
        if "answers" not in said:
            return None
        return Given(said["answers"], frozenset(said.get("agreed", [])))

    def people(self) -> list[Person]:
        return [
            Person(
                name=one.get("name") or "",
                member_id=one.get("member"),
                child_id=one.get("child"),
                age=one.get("age"),
                ticket_type=one.get("ticket_type") or "",
            )
            for one in self.validated_data["party"]
        ]


def _guest(said: dict[str, Any]) -> Guest:
    return Guest(said["name"], said["email"], said.get("language", get_language() or "en")[:2])


class NewPartyIn(PartyIn):
    """A new party. With `guest`, for who runs the event, it is in that name: the first item stands for the guest. What the
    host asks is theirs to answer, so `answers` are left out then.
    """

    guest = GuestIn(required=False)

    def by_hand(self) -> Guest | None:
        """In whose name it is, where somebody else writes it down."""
        said = self.validated_data.get("guest")
        return None if said is None else _guest(said)


class WithAddressIn(GuestIn):
    """Who asks without an account: their mail's link makes the party come."""

    email = serializers.EmailField(max_length=254)


class GuestPartyIn(PartyIn):
    """A party of a guest without an account: the first item stands for the guest, the others come by name."""

    guest = WithAddressIn()

    def asking(self) -> Guest:
        """Who asks."""
        return _guest(self.validated_data["guest"])


class AddressIn(serializers.Serializer[Any]):
    """Where the link of a guest goes once more."""

    email = serializers.EmailField(max_length=254)


class StillIn(serializers.Serializer[Any]):
    """Whether one still comes."""

    comes = fields.Flag(required=False, default=True)


def _answers(request: Request, row: Registration, *, is_list: bool) -> dict[str, str]:
    """What the party answered, for who registered and who runs the event. At most one query.

    Never in the answer to a POST: that is kept for a week with its Idempotency-Key, as it was sent.
    """
    reader = reader_of(request)
    if request.method == "POST" or not row.event.questions:
        return {}
    may_read = is_list or (reader is not None and row.member_id == reader.pk) or may_run(reader, row.event)
    return dict(questions.given_by(row).answers) if may_read else {}


def registration_data(request: Request, row: Registration, *, with_ticket: bool = True) -> dict[str, Any]:
    """A registration with its ticket. At most three queries; none `with_ticket` off and attendees prefetched."""
    attendees = row.live
    code = tickets.code_of(row) if with_ticket and row.is_coming and row.event.starts_at else ""
    page = reverse("registration", args=[row.pk])
    ticket = {
        "code": code,
        "url": tickets.url_of(code),
        "qr_svg_url": request.build_absolute_uri(reverse("ticket_svg", args=[row.pk])),
        "slots": [one.slot for one in attendees],
    }
    return {
        "id": row.public_id,
        "url": request.build_absolute_uri(page),
        "event": ids.encode(row.event_id),
        "status": row.state,
        "position": seats.position(row) if with_ticket else None,
        "more": row.more,
        "offer_expires_at": at(
            row.offer_expires_at and row.offer_expires_at.astimezone(ZoneInfo(row.event.timezone))
        ),
        "party": [
            {
                "slot": one.slot,
                "name": one.name,
                "member": ids.encode(one.member_id) if one.member_id else None,
                "child": ids.encode(one.child_id) if one.child_id else None,
                "age": one.age,
                "ticket_type": one.ticket_type or None,
            }
            for one in attendees
        ],
        "tickets": [ticket] if code else [],
        "answers": _answers(request, row, is_list=not with_ticket),
        "version": row.version,
    }
