"""The API about people and places: me, circles and membership, towns, interests. Fields as in interface.md."""

from typing import Any, cast

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from community import circles, matching, members, places, privacy
from community.models import Circle, CircleMembership, Interest, Member, Place
from community.models.places import towns_within
from realtime import bell, fields, ids

FURTHEST_KM = 500.0
NEAR_KM = 20.0
LONGEST_WORDS = 100
LONGEST_SLUG = 50


def _me(request: Request) -> Member:
    return cast(Member, request.user)


class PlaceSerializer(serializers.ModelSerializer[Place]):
    """A town. Its id is GeoNames' number, as a string."""

    id = serializers.CharField(source="pk", read_only=True)

    class Meta:
        model = Place
        fields = ("id", "name", "country", "region", "lat", "lon", "population", "time_zone")


class InterestSerializer(serializers.ModelSerializer[Interest]):
    """An interest; `label` in the reader's language, `labels` in all four."""

    id = serializers.CharField(source="public_id", read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]

    class Meta:
        model = Interest
        fields = ("id", "slug", "group", "emoji", "label", "labels")


class PlaceField(fields.Named):
    """Read: a town. Written: its id, or any name of it that means one town only; the town itself, as it was read, too."""

    written = {
        "oneOf": [
            fields.TOWN_SCHEMA,
            {"type": "object", "required": ["id"], "properties": {"id": fields.TOWN_SCHEMA}},
        ]
    }
    shown = PlaceSerializer

    def to_internal_value(self, data: Any) -> Place:
        given = data.get("id") if isinstance(data, dict) else data
        text = given if isinstance(given, str) and len(given) <= places.LONGEST_NAME else ""
        by_number = (
            Place.objects.filter(pk=int(text))
            if text.isascii() and text.isdigit() and len(text) <= 12
            else ()
        )
        found = list(by_number) or places.meant(text)
        if not found:
            raise serializers.ValidationError(_("There is no such town in the region."), code="unknown")
        if len(found) > 1:
            raise serializers.ValidationError(
                _("Several towns are called that: give the id of one."), code="ambiguous"
            )
        return found[0]


class InterestField(fields.Named):
    """Read: an interest. Written: its slug or id; the interest itself, as it was read, too."""

    written = {
        "oneOf": [
            fields.INTEREST_SCHEMA,
            {"type": "object", "required": ["slug"], "properties": {"slug": fields.INTEREST_SCHEMA}},
        ]
    }
    shown = InterestSerializer

    def to_internal_value(self, data: Any) -> Interest:
        given = (data.get("slug") or data.get("id")) if isinstance(data, dict) else data
        found = Interest.objects.filter(slug=given).first() if isinstance(given, str) else None
        if found is None and isinstance(given, str):
            try:
                found = Interest.objects.filter(pk=ids.decode(given)).first()
            except ValueError:
                found = None
        if found is None:
            raise serializers.ValidationError(_("There is no such interest."), code="unknown")
        return found


def _channels() -> serializers.ListField:
    return serializers.ListField(child=serializers.ChoiceField(bell.CHANNELS), required=False, max_length=9)


class ChannelsSerializer(serializers.Serializer[Any]):
    """By what each kind of thing reaches you. The bell always rings; what you could lose a place by always is a mail, too."""

    reminders = _channels()
    changes = _channels()
    letters = _channels()
    talk = _channels()

    def to_representation(self, instance: Any) -> dict[str, list[str]]:
        return {group.value: bell.channels_of(instance, group) for group in bell.Group}


class MeSerializer(serializers.Serializer[Any]):
    """The caller's account and profile, as `members.profile_of` gives it."""

    id = serializers.CharField(source="member.public_id", read_only=True)
    url = serializers.SerializerMethodField()
    email = serializers.EmailField(source="member.email", read_only=True)
    display_name = fields.Text(source="member.display_name", max_length=60)
    language = serializers.ChoiceField(source="member.language", choices=settings.LANGUAGES)
    time_zone = serializers.CharField(source="member.time_zone", read_only=True)
    channels = ChannelsSerializer(
        source="member.channels", help_text="A group that is left out stays as it is."
    )
    is_host = serializers.SerializerMethodField()
    about = fields.Text(max_length=1000, allow_blank=True)
    about_language = fields.Language(allow_blank=True)
    languages = serializers.ListField(child=fields.Language(), max_length=members.MOST_LANGUAGES)
    lives = PlaceField(allow_null=True)
    works = PlaceField(allow_null=True)
    centre = serializers.SerializerMethodField()
    interests = serializers.ListField(child=InterestField(), max_length=members.MOST_INTERESTS)

    def get_url(self, _profile: Any) -> str:
        return str(self.context["request"].build_absolute_uri("/me/"))

    def get_is_host(self, profile: Any) -> bool:
        return members.is_host(profile.member)

    @extend_schema_field(
        {"type": ["object", "null"], "properties": {"id": {"type": "string"}, "slug": {"type": "string"}}}
    )
    def get_centre(self, profile: Any) -> dict[str, str] | None:
        centre = profile.centre
        return {"id": centre.public_id, "slug": centre.slug, "name": centre.name} if centre else None

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """One query for the interests, one for the role."""
        plain = {name: field for name, field in self.fields.items() if name != "interests"}
        data = {name: _shown(field, instance) for name, field in plain.items()}
        return data | {"interests": InterestSerializer(members.interests_of(instance), many=True).data}


def _shown(field: Any, instance: Any) -> Any:
    value = field.get_attribute(instance)
    return None if value is None else field.to_representation(value)


class Me(APIView):
    """The caller."""

    @extend_schema(responses=MeSerializer, operation_id="me_read")
    def get(self, request: Request) -> Response:
        """Account and profile."""
        return self._answer(request)

    @extend_schema(request=MeSerializer(partial=True), responses=MeSerializer, operation_id="me_change")
    def patch(self, request: Request) -> Response:
        """Change the fields that are sent; the others stay."""
        data = MeSerializer(data=request.data, partial=True, context={"request": request})
        data.is_valid(raise_exception=True)
        changes = dict(data.validated_data)
        changes |= changes.pop("member", {})
        members.set_profile(_me(request), changes)
        return self._answer(request, Member.objects.get(pk=_me(request).pk))

    @extend_schema(request=None, responses={204: None}, operation_id="me_erase")
    def delete(self, request: Request) -> Response:
        """Ask to be forgotten: in fourteen days, in which a page takes it back. Again: the same day stands."""
        privacy.ask_erasure(_me(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _answer(self, request: Request, member: Member | None = None) -> Response:
        profile = members.profile_of(member or _me(request))
        return Response(MeSerializer(profile, context={"request": request}).data)


class CircleSerializer(serializers.Serializer[Any]):
    """A circle. `mine` is null, `asked`, `in` or `host`; `room` is there for who is in it."""

    id = serializers.CharField(source="public_id", read_only=True)
    url = serializers.SerializerMethodField()
    slug = serializers.CharField(read_only=True)
    name = fields.Text(max_length=80)
    description = fields.Text(max_length=2000)
    language = fields.Language(required=False)
    interest = InterestField(allow_null=True, required=False)
    place = PlaceField(allow_null=True, required=False)
    join = serializers.ChoiceField(choices=Circle.Join.choices, required=False)
    size = serializers.IntegerField(read_only=True)
    room = serializers.SerializerMethodField()
    mine = serializers.SerializerMethodField()

    def get_url(self, circle: Circle) -> str:
        return str(self.context["request"].build_absolute_uri(f"/circles/{circle.public_id}/"))

    @extend_schema_field({"type": ["string", "null"]})
    def get_room(self, circle: Circle) -> str | None:
        return ids.encode(circle.room_id) if self.get_mine(circle) in {"in", "host"} else None

    @extend_schema_field({"type": ["string", "null"], "enum": ["asked", "in", "host", None]})
    def get_mine(self, circle: Circle) -> str | None:
        return cast("dict[int, str]", self.context["mine"]).get(circle.pk)


def _circle_context(request: Request, shown: list[Circle]) -> dict[str, Any]:
    """What the serializer needs to know of the caller. One query for any number of circles."""
    places_in = CircleMembership.objects.filter(
        member=_me(request), circle__in=[circle.pk for circle in shown]
    )
    mine = {
        pk: "host" if is_host else state
        for pk, is_host, state in places_in.values_list("circle", "is_host", "state")
    }
    return {"request": request, "mine": mine}


def _number(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise ValueError(text)
    return number


def _near(request: Request) -> tuple[int, ...] | None:
    """Ids of the towns around ?near=lat,lon within &km (20); None without it. Raises ValidationError."""
    near, km = request.query_params.get("near"), request.query_params.get("km")
    if near is None and km is None:
        return None
    try:
        lat, _comma, lon = (near or "").partition(",")
        point = _number(lat, -90, 90), _number(lon, -180, 180)
    except ValueError as wrong:
        raise serializers.ValidationError(
            {"near": [_("Give latitude and longitude in degrees: 50.93,5.34")]}
        ) from wrong
    try:
        radius = _number(km, 0, FURTHEST_KM) if km is not None else NEAR_KM
    except ValueError as wrong:
        raise serializers.ValidationError(
            {"km": [_("Give a number of kilometres from 0 to 500.")]}
        ) from wrong
    return towns_within(*point, radius)


class Circles(generics.ListCreateAPIView):  # type: ignore[type-arg]
    """Circles the caller may know of, the largest first."""

    serializer_class = CircleSerializer
    ordering = ("-size", "pk")

    def get_queryset(self) -> QuerySet[Circle]:
        if getattr(self, "swagger_fake_view", False):
            return Circle.objects.none()
        query = self.request.query_params
        found = (
            Circle.objects.open_to(_me(self.request)).for_list().matching(query.get("q", "")[:LONGEST_WORDS])
        )
        if interest := query.get("interest"):
            found = found.filter(interest=_interest_id(interest))
        towns = _near(self.request)
        return found if towns is None else found.filter(place__in=towns)

    @extend_schema(
        parameters=[
            OpenApiParameter("near", fields.POINT_SCHEMA, description="lat,lon in degrees"),
            OpenApiParameter("km", fields.KM_SCHEMA, description="around `near`; 20 without it"),
            OpenApiParameter("interest", fields.or_empty(fields.INTEREST_SCHEMA), description="slug or id"),
            OpenApiParameter("q", OpenApiTypes.STR, description="words in name or description"),
            OpenApiParameter(
                "suggested", fields.YES_SCHEMA, description="1: at most ten that fit the caller"
            ),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Circles by place, interest and words."""
        found_by_words = self.get_queryset()
        if fields.asked_for(request.query_params, "suggested"):
            self.paginate_queryset(Circle.objects.none())  # what else is asked must be right here too
            found = matching.suggestions(_me(request), 10)
            shown = CircleSerializer(found, many=True, context=_circle_context(request, found)).data
            return Response({"next": None, "previous": None, "results": shown})
        page = self.paginate_queryset(found_by_words) or []
        return self.get_paginated_response(
            CircleSerializer(page, many=True, context=_circle_context(request, list(page))).data
        )

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Open a circle: for hosts and staff."""
        data = CircleSerializer(data=request.data, context={"request": request, "mine": {}})
        data.is_valid(raise_exception=True)
        host = _me(request)
        circle = circles.open_circle(host, **{"language": host.language} | data.validated_data)
        answer = CircleSerializer(circle, context=_circle_context(request, [circle])).data
        return Response(answer, status.HTTP_201_CREATED, headers={"Location": answer["url"]})


def _interest_id(text: str) -> int:
    if len(text) > LONGEST_SLUG:
        raise serializers.ValidationError({"interest": [_("There is no such interest.")]})
    try:
        return ids.decode(text)
    except ValueError:
        return Interest.objects.filter(slug=text).values_list("pk", flat=True).first() or 0


class CircleDetail(APIView):
    """One circle."""

    versioned = True

    @extend_schema(responses=CircleSerializer, operation_id="circles_read")
    def get(self, request: Request, pk: int) -> Response:
        """The circle, when the caller may know of it."""
        circle = circles.circle_for(_me(request), pk)
        answer = Response(CircleSerializer(circle, context=_circle_context(request, [circle])).data)
        answer["ETag"] = f'"{circle.version}"'
        return answer


class MembershipSerializer(serializers.Serializer[Any]):
    """The caller's place in a circle."""

    circle = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=CircleMembership.State.choices)
    is_host = serializers.BooleanField()
    since = serializers.DateTimeField()
    room = serializers.SerializerMethodField()

    def get_circle(self, place: CircleMembership) -> str:
        return ids.encode(place.circle_id)

    @extend_schema_field({"type": ["string", "null"]})
    def get_room(self, place: CircleMembership) -> str | None:
        return ids.encode(place.circle.room_id) if place.state == circles.IN else None


class Membership(APIView):
    """The caller's place in a circle."""

    @extend_schema(request=None, responses=MembershipSerializer, operation_id="membership_join")
    def put(self, request: Request, pk: int) -> Response:
        """Join; where a host decides, ask to. Again: the same place."""
        return Response(MembershipSerializer(circles.join(_me(request), pk)).data)

    @extend_schema(request=None, responses={204: None}, operation_id="membership_leave")
    def delete(self, request: Request, pk: int) -> Response:
        """Leave. Again: nothing happens."""
        circles.leave(_me(request), pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


_q = OpenApiParameter("q", OpenApiTypes.STR, description="beginning of any known name")


@extend_schema(parameters=[_q])
class Places(generics.ListAPIView):  # type: ignore[type-arg]
    """Towns of the region, the largest first; `q` is the beginning of any known name or a postcode."""

    serializer_class = PlaceSerializer
    ordering = ("-population", "pk")

    def get_queryset(self) -> QuerySet[Place]:
        start = self.request.query_params.get("q", "").strip()
        return Place.objects.named(start[: places.LONGEST_NAME]) if start else Place.objects.all()


@extend_schema(parameters=[_q])
class Interests(generics.ListAPIView):  # type: ignore[type-arg]
    """Interests in the order of the list; `q` is the beginning of a word of any label."""

    serializer_class = InterestSerializer
    ordering = ("position", "pk")

    def get_queryset(self) -> QuerySet[Interest]:
        start = self.request.query_params.get("q", "").strip()
        found = Interest.objects.all()
        return found.filter(pk__in=places.interests_named(start[:LONGEST_WORDS])) if start else found
