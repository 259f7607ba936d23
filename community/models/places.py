"""Towns of the Euregio, the centres in them, and the interests people share."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from functools import lru_cache

from django.db import models
from django.utils.translation import get_language

from realtime.ids import WithId

EARTH_RADIUS_KM = 6371.0
DISTANCE_STEPS_KM = (2, 5, 10, 20, 40)
MAIN_NAMES_ONLY = 2  # letters
WORD_BREAKS = str.maketrans(dict.fromkeys("-\u2010\u2011\u2013'\u2019\u02bc`", " "))  # Aix-la-Chapelle, L'ezh


def fold(text: str) -> str:
    """`text` as it is searched: lower case, no accents, ß as ss, hyphens and apostrophes as blanks, one blank between words."""
    bare = unicodedata.normalize("NFKD", text.casefold()).translate(WORD_BREAKS)
    return " ".join("".join(c for c in bare if not unicodedata.combining(c)).split())


@lru_cache(65_536)  # towns, mostly, of which there are some hundreds
def kilometres(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance in km between two points in degrees (haversine)."""
    a = math.sin(math.radians(lat2 - lat1) / 2) ** 2
    b = math.sin(math.radians(lon2 - lon1) / 2) ** 2
    b *= math.cos(math.radians(lat1)) * math.cos(math.radians(lat2))
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, a + b)))


def in_language(texts: dict[str, str], language: str | None = None) -> str:
    """The text in the reader's language, else in English, else in any; empty when there is none."""
    wanted = (language or get_language() or "en").split("-")[0]
    return texts.get(wanted) or texts.get("en") or next(iter(texts.values()), "")


def translated(translations: dict[str, dict[str, str]], field: str, language: str | None = None) -> str:
    """`field` as somebody translated it into the reader's language (default: the page's); empty when nobody did."""
    wanted = (language or get_language() or "en").split("-")[0]
    return translations.get(wanted, {}).get(field, "")


class PlaceQuerySet(models.QuerySet["Place"]):
    def named(self, start: str) -> PlaceQuerySet:
        """Towns any of whose known names, or a postcode of which, begins with `start`; the largest first.

        One or two letters would match half the region by its names in other languages: they look at main names only.
        """
        folded = fold(start)
        if not folded:
            return self.none()
        names = PlaceName.objects.filter(folded__startswith=folded)
        if len(folded) <= MAIN_NAMES_ONLY:
            names = names.filter(name=models.F("place__name"))
        codes = Postcode.objects.filter(code__startswith=start.strip().upper())
        return self.filter(
            models.Q(pk__in=names.values("place")) | models.Q(pk__in=codes.values("place"))
        ).order_by("-population", "pk")


class Place(models.Model):
    """A town. Its id is GeoNames' own, so that loading the file again changes nothing."""

    id = models.BigIntegerField(primary_key=True)
    name = models.CharField(max_length=120)
    country = models.CharField(max_length=2)
    region = models.CharField(max_length=60)
    lat = models.FloatField()
    lon = models.FloatField()
    population = models.PositiveIntegerField(default=0)
    time_zone = models.CharField(max_length=40)

    objects = PlaceQuerySet.as_manager()

    class Meta:
        ordering = ["-population", "id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.country})"

    def kilometres_to(self, other: Place) -> int:
        """Distance between two town centres as the smallest of 2, 5, 10, 20, 40 that covers it; beyond, in tens."""
        exact = kilometres(self.lat, self.lon, other.lat, other.lon)
        return next((step for step in DISTANCE_STEPS_KM if exact <= step), math.ceil(exact / 10) * 10)


# Towns and interests come with a migration: once read, they hold for the process.
_centres: list[tuple[int, float, float]] = []
_interests: list[Interest] = []
_labels: dict[str, list[tuple[str, str]]] = {}
_grouped: dict[str, list[tuple[str, list[tuple[str, str]]]]] = {}


def _town_centres() -> list[tuple[int, float, float]]:
    if not _centres:
        _centres.extend(Place.objects.order_by().values_list("pk", "lat", "lon"))
    return _centres


@lru_cache(4096)  # people live in the same few hundred towns, and a circle round one stays what it is
def towns_within(lat: float, lon: float, km: float) -> tuple[int, ...]:
    """Ids of the towns whose centre is at most `km` from a point in degrees. One query in the life of a process."""
    return tuple(
        pk for pk, town_lat, town_lon in _town_centres() if kilometres(lat, lon, town_lat, town_lon) <= km
    )


class PlaceName(models.Model):
    """One of the names a town is known by, in any language: Luik, Lüttich, Liège."""

    place = models.ForeignKey(Place, models.CASCADE, related_name="names")
    name = models.CharField(max_length=200)
    folded = models.CharField(max_length=200, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["place", "name"], name="one_row_a_name")]

    def __str__(self) -> str:
        return self.name


class Postcode(models.Model):
    """A postcode and the town whose centre is nearest to it in the same country."""

    country = models.CharField(max_length=2)
    code = models.CharField(max_length=10, db_index=True)
    name = models.CharField(max_length=120)
    municipality = models.CharField(max_length=120, blank=True)
    place = models.ForeignKey(Place, models.CASCADE, related_name="postcodes")
    lat = models.FloatField()
    lon = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["country", "code", "name"], name="one_row_a_postcode_and_name")
        ]

    def __str__(self) -> str:
        return f"{self.country} {self.code} {self.name}"


class Centre(WithId):
    """An expat centre: it owns events and has staff."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    place = models.ForeignKey(Place, models.PROTECT, related_name="centres")
    email = models.EmailField()
    language = models.CharField(max_length=12, default="en")
    languages = models.JSONField(default=list)
    about = models.JSONField(default=dict, help_text="{language: text}")

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


def interest_id(slug: str) -> int:
    """The id of an interest: made from its slug, so that it is the same on every installation."""
    return int.from_bytes(hashlib.sha256(slug.encode()).digest()[:8]) >> 1


class Interest(WithId):
    """Something people like to do together."""

    slug = models.SlugField(unique=True)
    group = models.SlugField()
    group_labels = models.JSONField(default=dict)
    emoji = models.CharField(max_length=16)
    labels = models.JSONField(default=dict, help_text="{language: label} in all four languages")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return self.label

    @classmethod
    def everything(cls) -> list[Interest]:
        """All of them, in their order. One query in the life of a process: like towns they come with a migration."""
        if not _interests:
            _interests.extend(cls.objects.all())
        return list(_interests)

    @classmethod
    def labels_by_slug(cls) -> list[tuple[str, str]]:
        """Slug and label of all of them, in their order and the language of the page. As `everything`."""
        language = get_language() or ""
        if language not in _labels:
            _labels[language] = [(one.slug, one.label) for one in cls.everything()]
        return _labels[language]

    @classmethod
    def labels_by_group(cls) -> list[tuple[str, list[tuple[str, str]]]]:
        """Slug and label with its sign of all of them, by the label of their group. As `everything`."""
        language = get_language() or ""
        if language not in _grouped:
            groups: dict[str, list[tuple[str, str]]] = {}
            for one in cls.everything():
                groups.setdefault(one.group_label, []).append((one.slug, f"{one.emoji} {one.label}"))
            _grouped[language] = list(groups.items())
        return _grouped[language]

    @property
    def label(self) -> str:
        """The label in the language of the page."""
        return in_language(self.labels)

    @property
    def group_label(self) -> str:
        """The group's label in the language of the page."""
        return in_language(self.group_labels)
