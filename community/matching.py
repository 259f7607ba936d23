"""How near things are to where somebody lives and works, and which circle may be theirs."""

from collections.abc import Iterable
from typing import Any, cast

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, When

from community.models import Circle, CircleMembership, Member, Place, Profile
from community.models.places import towns_within
from realtime.prepared import ID, IDS, prepared

NEARBY_KM = 40  # half an hour, whatever the country


def homes(profile: Profile | None) -> list[Place]:
    """The places the member's life happens in: home, then work. At most two queries when they are not joined in."""
    return [town for town in (profile.lives, profile.works) if town is not None] if profile else []


def nearest_km(profile: Profile | None, place: Place | None) -> int | None:
    """Kilometres (in steps) from `place` to the member's home or work, whichever is nearer; None when either is unknown."""
    if place is None:
        return None
    return min((town.kilometres_to(place) for town in homes(profile)), default=None)


def towns_near(towns: Iterable[Place], km: float) -> set[int]:
    """Ids of the towns at most `km` from any of `towns`. No query."""
    return {pk for town in towns for pk in towns_within(town.lat, town.lon, km)}


def suggestions(member: Member, limit: int = 3) -> list[Circle]:
    """Circles the member is not in that fit: an interest of theirs, near home or work; of the largest ten for each that is
    wanted the nearest first, then the largest.

    Without any that fit both, those of their interests that are nowhere in particular, then those near by. One query
    for who is signed in.
    """
    profile = getattr(member, "profile", None)
    if profile is None:
        return _largest(member=member.pk, most=limit)
    ranked = _ranked(member=member.pk, towns=towns_near(homes(profile), NEARBY_KM), most=10 * limit)
    best = [circle for circle in ranked if circle.rank == ranked[0].rank]
    best.sort(key=lambda circle: (nearest_km(profile, circle.place) or 0, -circle.size, circle.pk))
    return best[:limit]


def _free(member: Any) -> Any:
    known = CircleMembership.objects.filter(circle=OuterRef("pk"), member=member)
    return Circle.objects.open_to(member).filter(~Exists(known))


@prepared(member=ID)
def _largest(*, member: Any, most: int) -> QuerySet[Circle]:
    return cast("QuerySet[Circle]", _free(member).for_list().order_by("-size", "pk")[:most])


@prepared(member=ID, towns=IDS)
def _ranked(*, member: Any, towns: Any, most: int) -> QuerySet[Any]:
    around = Place.objects.filter(pk__among=towns).values(
        "pk"
    )  # hundreds: read once, not held against each circle
    near = Q(place__in=around)
    likes = Profile.interests.through.objects.filter(profile=member)
    liked = Q(interest__in=likes.values("interest"))
    rank = Case(
        When(near, then=Case(When(liked, then=0), default=2)), When(liked & Q(place=None), then=1), default=3
    )
    fits = _free(member).annotate(rank=rank).filter(rank__lt=3).order_by("rank", "-size", "pk")
    best: Any = Circle.objects.filter(pk__among=fits.values("pk")[:most])  # whole are read only those
    return cast("QuerySet[Any]", best.annotate(rank=rank).for_list().order_by("rank", "-size", "pk"))


def suggested_circle(member: Member) -> Circle | None:
    """The one circle Today suggests, or none."""
    return next(iter(suggestions(member, 1)), None)
