"""Towns and interests: load them from the files in data/, and find the town somebody means."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from community.models.places import Interest, Place, PlaceName, Postcode, fold, interest_id, kilometres
from realtime.prepared import TEXT, prepared

DATA = Path(__file__).parent / "data"
REGIONS = {"Düren": "Kreis Düren", "Euskirchen": "Kreis Euskirchen"}  # one name for each district
LONGEST_NAME = 120
BATCH = 1000
WITH_COUNTRY = re.compile(r"^(?P<name>.+?)\s*\((?P<country>[A-Za-z]{2})\)$")

Row = dict[str, Any]


def rows_of(name: str) -> list[Row]:
    """The rows of one of the .jsonl files in data/."""
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines() if line]


@cache
def _nearest(country: str, lat: float, lon: float) -> int:
    """Id of the town of that country in data/ whose centre is nearest to a point in degrees."""
    towns = (town for town in rows_of_towns() if town["country"] == country)
    nearest = min(towns, key=lambda town: (kilometres(lat, lon, town["lat"], town["lon"]), town["geonameid"]))
    return int(nearest["geonameid"])


@cache
def rows_of_towns() -> tuple[Row, ...]:
    """The towns of data/, read once a process."""
    return tuple(rows_of("towns.jsonl"))


def _names(towns: Iterable[Row], postcodes: Iterable[Row]) -> list[tuple[int, str]]:
    """(town, name) for every name: the town's own, those in other languages, and villages that only a postcode knows."""
    names = [
        (town["geonameid"], name) for town in towns for name in dict.fromkeys([town["name"], *town["names"]])
    ]
    country = {town["geonameid"]: town["country"] for town in towns}
    known = {(country[town], fold(name)) for town, name in names}
    villages = {
        (_nearest(row["country"], row["lat"], row["lon"]), row["place"])
        for row in postcodes
        if not row["bulk"] and (row["country"], fold(row["place"])) not in known
    }
    return [(town, name) for town, name in names + sorted(villages) if fold(name)]


@transaction.atomic
def load_places(
    town: type[Any] = Place, known_as: type[Any] = PlaceName, postcode: type[Any] = Postcode
) -> int:
    """Towns, their names and postcodes from data/, and the number of towns. Loading again writes the same rows.

    A migration hands in the models as they were then.
    """
    towns, postcodes = rows_of_towns(), rows_of("postcodes.jsonl")
    town.objects.bulk_create(
        [
            town(
                pk=row["geonameid"],
                name=row["name"],
                country=row["country"],
                region=REGIONS.get(row["region"], row["region"]),
                lat=row["lat"],
                lon=row["lon"],
                population=row["population"],
                time_zone=row["timezone"],
            )
            for row in towns
        ],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["name", "country", "region", "lat", "lon", "population", "time_zone"],
        batch_size=BATCH,
    )
    known_as.objects.bulk_create(
        [known_as(place_id=pk, name=name, folded=fold(name)) for pk, name in _names(towns, postcodes)],
        update_conflicts=True,
        unique_fields=["place", "name"],
        update_fields=["folded"],
        batch_size=BATCH,
    )
    postcode.objects.bulk_create(
        [
            postcode(
                country=row["country"],
                code=row["code"],
                name=row["place"],
                municipality=row["municipality"] or "",
                place_id=_nearest(row["country"], row["lat"], row["lon"]),
                lat=row["lat"],
                lon=row["lon"],
            )
            for row in postcodes
        ],
        update_conflicts=True,
        unique_fields=["country", "code", "name"],
        update_fields=["municipality", "place", "lat", "lon"],
        batch_size=BATCH,
    )
    return len(towns)


@transaction.atomic
def load_interests(interest: type[Any] = Interest) -> int:
    """Interests from data/, with labels in four languages, and their number. Loading again writes the same rows."""
    content = json.loads((DATA / "interests.json").read_text("utf-8"))
    groups = {group["slug"]: group["labels"] for group in content["groups"]}
    order = list(groups)
    rows = sorted(content["interests"], key=lambda row: order.index(row["group"]))
    interest.objects.bulk_create(
        [
            interest(
                pk=interest_id(row["slug"]),
                slug=row["slug"],
                group=row["group"],
                group_labels=groups[row["group"]],
                emoji=row["emoji"],
                labels=row["labels"],
                position=position,
            )
            for position, row in enumerate(rows)
        ],
        update_conflicts=True,
        unique_fields=["slug"],
        update_fields=["group", "group_labels", "emoji", "labels", "position"],
    )
    return len(rows)


def suggest(start: str, limit: int = 8) -> list[Place]:
    """Towns a name or postcode of which begins with `start`: those called just that at home first, then the largest.

    One query; none for no text.
    """
    if not start.strip():
        return []
    start = start[:LONGEST_NAME]
    own = PlaceName.objects.filter(place=OuterRef("pk"), name=OuterRef("name"), folded=fold(start))
    return list(Place.objects.named(start).order_by(Exists(own).desc(), "-population", "pk")[:limit])


def meant(text: str) -> list[Place]:
    """The towns somebody may mean by `text`: exactly one when it is clear, several when it must be asked, none when unknown.

    A town's own name is taken before its names in other languages and villages near it, a whole name or postcode
    before the beginning of one. "Berg (NL)" keeps to a country. At most three queries.
    """
    text, country = text.strip()[:LONGEST_NAME], None
    if given := WITH_COUNTRY.match(text):
        text, country = given["name"], given["country"].upper()
    if not fold(text):
        return []
    exact = _called(name=fold(text), code=text.upper(), country=country)
    own = [town for town in exact if fold(town.name) == fold(text)]
    towns = Place.objects.filter(country=country) if country else Place.objects.all()
    return own or exact or list(towns.named(text)[:20])


@prepared(name=TEXT, code=TEXT, country=TEXT)
def _called(*, name: Any, code: Any, country: Any) -> QuerySet[Place]:
    """The towns one of whose names is this, or a postcode; the largest first."""
    named = PlaceName.objects.filter(folded=name).values("place")
    codes = Postcode.objects.filter(code=code).values("place")
    towns = Place.objects.all() if country is None else Place.objects.filter(country=country)
    return towns.filter(Q(pk__in=named) | Q(pk__in=codes)).order_by("-population", "pk")[:20]


def labels(towns: Sequence[Place]) -> list[tuple[Place, str]]:
    """Each town with what tells it from the others: its country, and a postcode where that is not enough.

    One query when two of them are called the same, else none.
    """
    calls = Counter(str(town) for town in towns)
    alike = [town.pk for town in towns if calls[str(town)] > 1]
    codes = (
        dict(Postcode.objects.filter(place__in=alike).order_by("-code").values_list("place", "code"))
        if alike
        else {}
    )
    return [(town, f"{town}, {codes[town.pk]}" if town.pk in codes else str(town)) for town in towns]


def interests_named(start: str) -> list[int]:
    """Ids of the interests with a word beginning with `start` in a label of any language. One query, over some 80 rows."""
    wanted = f" {fold(start)}"
    labels_by_pk = Interest.objects.values_list("pk", "labels")
    return [pk for pk, texts in labels_by_pk if any(wanted in f" {fold(label)}" for label in texts.values())]
