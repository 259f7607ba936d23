"""What the API answers about events, for its description. The answers themselves are made in shapes.py and door_api.py;
the contract tests hold both together.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from events.models import Event, Registration, Scan
from events.models.details import Details
from events.questions import KINDS
from realtime.fields import ID_SCHEMA

SCAN_STATUSES = (
    "admitted",
    "partly",
    "already_admitted",
    "refused",
    "left",
    "not_inside",
    "undone",
    "recorded_conflict",
)


@extend_schema_field({"type": "object", "additionalProperties": {"type": "object"}})
class Translations(serializers.DictField):
    """By language: title and description in it."""


@extend_schema_field(ID_SCHEMA)
class Id(serializers.CharField):
    """An id."""


class PlacesAnswer(serializers.Serializer[Any]):
    """How full it is. `capacity` null: no limit."""

    capacity = serializers.IntegerField(allow_null=True)
    taken = serializers.IntegerField()
    held = serializers.IntegerField()
    waiting = serializers.IntegerField()


class VenueAnswer(serializers.Serializer[Any]):
    """Where. `place` is the id of a town of the region, or another town's name."""

    name = serializers.CharField()
    place = serializers.CharField(allow_null=True)
    town = serializers.CharField()
    address = serializers.CharField()


class HostAnswer(serializers.Serializer[Any]):
    id = Id()
    name = serializers.CharField()


class MineAnswer(serializers.Serializer[Any]):
    """The caller's registration."""

    id = Id()
    status = serializers.ChoiceField(Registration.State.choices)
    party_size = serializers.IntegerField()


class QuestionAnswer(serializers.Serializer[Any]):
    """What the host asks. `kind`: text, choice (one of `options`) or yes; a sensitive one needs its id in `agreed`."""

    id = serializers.CharField()
    text = serializers.CharField()
    kind = serializers.ChoiceField(KINDS)
    options = serializers.ListField(child=serializers.CharField())
    is_required = serializers.BooleanField()
    is_sensitive = serializers.BooleanField()


class TicketTypeAnswer(serializers.Serializer[Any]):
    """A kind of ticket: its places are among those of the event. `capacity` null: as many as the event has."""

    id = serializers.CharField()
    name = serializers.CharField()
    capacity = serializers.IntegerField(allow_null=True)
    taken = serializers.IntegerField()


class EventAnswer(serializers.Serializer[Any]):
    """An event. Times have the offset of its zone; those of a draft without a date are null."""

    id = Id()
    url = serializers.URLField()
    title = serializers.CharField()
    description = serializers.CharField()
    language = serializers.CharField()
    translations = Translations()
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    starts_at_utc = serializers.DateTimeField(allow_null=True)
    doors_at = serializers.DateTimeField(allow_null=True)
    registration_opens_at = serializers.DateTimeField(allow_null=True)
    registration_closes_at = serializers.DateTimeField(allow_null=True)
    changes_until = serializers.DateTimeField(allow_null=True)
    by_approval = serializers.BooleanField()
    asks_again = serializers.BooleanField()
    timezone = serializers.CharField()
    all_day = serializers.BooleanField()
    venue = VenueAnswer()
    capacity = serializers.IntegerField(allow_null=True)
    places = PlacesAnswer()
    state = serializers.ChoiceField(Event.State.choices)
    cancel_reason = serializers.CharField()
    visibility = serializers.ChoiceField(Details.Visibility.choices)
    circle = Id(allow_null=True)
    waiting_list = serializers.ChoiceField(Details.WaitingList.choices, allow_null=True)
    centre = Id()
    host = HostAnswer()
    languages = serializers.ListField(child=serializers.CharField())
    needs_language = serializers.CharField(allow_null=True, help_text="BCP 47; null: no language is needed.")
    needs_level = serializers.ChoiceField(Details.Level.choices, allow_null=True, help_text="Of the CEFR.")
    interests = serializers.ListField(child=serializers.CharField())
    for_families = serializers.BooleanField()
    min_age = serializers.IntegerField(allow_null=True, help_text="Of children; 18: adults only.")
    max_age = serializers.IntegerField(allow_null=True, help_text="Of children; null: any.")
    step_free = serializers.BooleanField()
    childcare = serializers.BooleanField()
    questions = QuestionAnswer(many=True)
    ticket_types = TicketTypeAnswer(many=True)
    is_free = serializers.BooleanField()
    price = serializers.CharField()
    series = Id(allow_null=True)
    occurrence = serializers.CharField(allow_null=True)
    room = Id(allow_null=True)
    mine = MineAnswer(allow_null=True)
    version = serializers.IntegerField()


class PersonAnswer(serializers.Serializer[Any]):
    slot = serializers.IntegerField()
    name = serializers.CharField()
    member = Id(allow_null=True)
    child = Id(allow_null=True)
    age = serializers.IntegerField(allow_null=True)
    ticket_type = serializers.CharField(allow_null=True, help_text="The id of a kind of ticket.")


class TicketAnswer(serializers.Serializer[Any]):
    """One QR for the whole party."""

    code = serializers.CharField()
    url = serializers.URLField()
    qr_svg_url = serializers.URLField()
    slots = serializers.ListField(child=serializers.IntegerField())


class AskedAnswer(serializers.Serializer[Any]):
    """The same for every address: what is so stands in the mail."""

    detail = serializers.CharField()


class TurnoutAnswer(serializers.Serializer[Any]):
    """How many people were expected at so many events, how many came, and how many of a hundred did not."""

    expected = serializers.IntegerField()
    came = serializers.IntegerField()
    missing_per_cent = serializers.IntegerField()
    events = serializers.IntegerField()


class EventTurnoutAnswer(serializers.Serializer[Any]):
    """Null: not over, the door not used, or fewer than five people. `series`: its dates of the last twelve months."""

    event = TurnoutAnswer(allow_null=True)
    series = TurnoutAnswer(allow_null=True)


class SeriesTurnoutAnswer(TurnoutAnswer):
    """Of one series."""

    id = Id()
    title = serializers.CharField()


class HostTurnoutAnswer(serializers.Serializer[Any]):
    """All that the caller hosted in the last twelve months, and each series of several dates."""

    all = TurnoutAnswer(allow_null=True)
    series = SeriesTurnoutAnswer(many=True)


class RegistrationAnswer(serializers.Serializer[Any]):
    """A registration. `tickets` is empty until it is confirmed; an offer holds its places until `offer_expires_at`."""

    id = Id()
    url = serializers.URLField()
    event = Id()
    status = serializers.ChoiceField(Registration.State.choices)
    position = serializers.IntegerField(allow_null=True)
    more = serializers.IntegerField(help_text="So many more places a confirmed party waits for.")
    offer_expires_at = serializers.DateTimeField(allow_null=True)
    party = PersonAnswer(many=True)
    tickets = TicketAnswer(many=True)
    answers = serializers.DictField(
        child=serializers.CharField(),
        help_text="By the ids of the event's questions; empty in the answer to a POST.",
    )
    version = serializers.IntegerField()


class DateAnswer(serializers.Serializer[Any]):
    """A date of a meetup, which is an event of its own."""

    event = Id()
    url = serializers.URLField()
    starts_at = serializers.DateTimeField(allow_null=True)
    state = serializers.ChoiceField(Event.State.choices)


class SeriesAnswer(serializers.Serializer[Any]):
    """A meetup with its rule (RFC 5545) and its coming dates."""

    id = Id()
    url = serializers.URLField()
    title = serializers.CharField()
    description = serializers.CharField()
    starts_at = serializers.DateTimeField()
    timezone = serializers.CharField()
    minutes = serializers.IntegerField(allow_null=True)
    rrule = serializers.CharField()
    rdates = serializers.ListField(child=serializers.CharField())
    exdates = serializers.ListField(child=serializers.CharField())
    skip_holidays = serializers.ListField(child=serializers.CharField())
    capacity = serializers.IntegerField(allow_null=True)
    occurrences = DateAnswer(many=True)
    version = serializers.IntegerField()


class AffectedAnswer(serializers.Serializer[Any]):
    """What becomes of one date: changed, moved, added, called_off, restored (an earlier rule had called it off) or kept
    (changed by itself before). `was`: its start so far.
    """

    event = Id()
    starts_at = serializers.DateTimeField(allow_null=True)
    was = serializers.DateTimeField(allow_null=True)
    registrations = serializers.IntegerField()
    change = serializers.CharField()


class SeriesChangeAnswer(serializers.Serializer[Any]):
    affected = AffectedAnswer(many=True)
    version = serializers.IntegerField()


class OccurrenceAnswer(serializers.Serializer[Any]):
    starts_at = serializers.DateTimeField()
    notes = serializers.ListField(child=serializers.CharField())


class PreviewAnswer(serializers.Serializer[Any]):
    """`more`: the rule has other dates after these."""

    occurrences = OccurrenceAnswer(many=True)
    more = serializers.BooleanField()


# The door


class GateAnswer(serializers.Serializer[Any]):
    """A gate and its token, which is shown this once."""

    token = serializers.CharField()
    event = Id()
    gate = Id()
    name = serializers.CharField()


class WinnerAnswer(serializers.Serializer[Any]):
    """Who let them in."""

    scan = serializers.UUIDField()
    gate = serializers.CharField()
    gate_id = Id()
    at = serializers.DateTimeField()


class SlotAnswer(serializers.Serializer[Any]):
    slot = serializers.IntegerField()
    status = serializers.CharField()
    name = serializers.CharField()
    winner = WinnerAnswer(required=False)


class ScanAnswer(serializers.Serializer[Any]):
    """What is true of one scan now."""

    id = serializers.CharField()
    status = serializers.ChoiceField(SCAN_STATUSES)
    reason = serializers.CharField(required=False)
    at = serializers.DateTimeField(allow_null=True, required=False)
    slots = SlotAnswer(many=True)


class CheckInsAnswer(serializers.Serializer[Any]):
    server_time = serializers.DateTimeField()
    cursor = serializers.IntegerField()
    results = ScanAnswer(many=True)


class DoorEventAnswer(serializers.Serializer[Any]):
    """The event as a gate needs it."""

    id = Id()
    title = serializers.CharField()
    state = serializers.ChoiceField(Event.State.choices)
    timezone = serializers.CharField()
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    doors_at = serializers.DateTimeField(allow_null=True)
    closes_at = serializers.DateTimeField(allow_null=True)
    rules = serializers.DictField(child=serializers.IntegerField())
    version = serializers.IntegerField()


class DoorScanAnswer(serializers.Serializer[Any]):
    """A scan of the door's log."""

    cursor = serializers.IntegerField()
    id = serializers.UUIDField()
    gate = serializers.CharField()
    gate_id = Id()
    kind = serializers.ChoiceField(Scan.Kind.choices)
    registration = Id(allow_null=True)
    slots = serializers.ListField(child=serializers.IntegerField())
    undoes = serializers.UUIDField(allow_null=True)
    at = serializers.DateTimeField()
    suspect = serializers.BooleanField()
    forced = serializers.BooleanField()
    supervised = serializers.BooleanField()
    refused = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)
    undone = serializers.BooleanField()


class DoorLogAnswer(serializers.Serializer[Any]):
    """What a gate needs to work by itself. `more`: scans are left, ask again with this cursor."""

    cursor = serializers.IntegerField()
    more = serializers.BooleanField()
    event = DoorEventAnswer()
    keys = serializers.ListField(child=serializers.DictField())
    min_serials = serializers.DictField(child=serializers.IntegerField())
    cards = serializers.ListField(child=serializers.DictField())
    scans = DoorScanAnswer(many=True)
    counts = serializers.DictField(child=serializers.IntegerField())
    walk_in_lease = serializers.DictField(allow_null=True)
    server_time = serializers.DateTimeField()
