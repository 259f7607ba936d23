"""Finding the town somebody means, and what is loaded."""

import pytest

from community import places
from community.models import Interest, Place, PlaceName, Postcode
from community.models.places import fold
from tests import factories as make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("region")]


def names(towns: list[Place]) -> list[str]:
    return [town.name for town in towns]


def test_all_towns_postcodes_and_interests_are_there() -> None:
    assert (Place.objects.count(), Postcode.objects.count(), Interest.objects.count()) == (785, 1033, 85)
    assert not Place.objects.filter(region__in=["Düren", "Euskirchen"]).exists()
    assert all(set(interest.labels) == {"en", "nl", "de", "fr"} for interest in Interest.objects.all())


def test_loading_again_changes_nothing() -> None:
    before = (
        Place.objects.count(),
        PlaceName.objects.count(),
        Postcode.objects.count(),
        Interest.objects.count(),
    )
    places.load_places()
    places.load_interests()
    assert before == (
        Place.objects.count(),
        PlaceName.objects.count(),
        Postcode.objects.count(),
        Interest.objects.count(),
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Luik", "Liège"),
        ("lüttich", "Liège"),
        ("LIEGE", "Liège"),
        ("Aken", "Aachen"),
        ("aix la chapelle", "Aachen"),
        ("Aix-la-Chapelle", "Aachen"),
        ("Sint Truiden", "Sint-Truiden"),
        ("Hasselt (BE)", "Hasselt"),
        ("6211", "Maastricht"),
        ("Vettweiss", "Vettweiß"),
    ],
)
def test_a_town_is_known_by_any_of_its_names_and_postcodes(typed: str, meant: str) -> None:
    assert names(places.meant(typed)) == [meant]


def test_a_village_that_only_a_postcode_knows_leads_to_the_town_beside_it() -> None:
    (town,) = places.meant("Dilsen-Stokkem")
    assert town.country == "BE"


def test_a_name_that_several_towns_have_is_asked_and_a_country_narrows_it() -> None:
    assert len(places.meant("Berg")) == 3
    assert len(places.meant("Berg (NL)")) == 2
    told_apart = [label for _town, label in places.labels(places.meant("Berg (NL)"))]
    assert len(set(told_apart)) == 2


@pytest.mark.parametrize("typed", ["", "  ", "-", "Timbuktu", "%", "_", "💚", "a" * 500])
def test_what_means_no_town_finds_none(typed: str) -> None:
    assert places.meant(typed) == []


def test_two_letters_match_main_names_only() -> None:
    assert all(fold(town.name).startswith("aa") for town in places.suggest("aa"))
    assert "Aachen" in names(places.suggest("aa"))
    assert "Aachen" not in names(places.suggest("ak"))
    assert "Aachen" in names(places.suggest("ake"))


def test_towns_called_just_that_are_suggested_first() -> None:
    assert names(places.suggest("berg"))[:3] == ["Berg"] * 3


def test_each_postcode_belongs_to_a_town_of_its_own_country() -> None:
    rows = Postcode.objects.select_related("place")
    assert all(row.country == row.place.country for row in rows)


def test_an_interest_is_found_by_the_beginning_of_a_word_in_any_language() -> None:
    found = Interest.objects.filter(pk__in=places.interests_named("spazier"))
    assert [interest.slug for interest in found] == ["walking"]


def test_distances_are_told_in_steps() -> None:
    hasselt, genk, aachen = (make.make_place(name) for name in ("Hasselt", "Genk", "Aachen"))
    assert hasselt.kilometres_to(hasselt) == 2
    assert hasselt.kilometres_to(genk) == 20
    assert hasselt.kilometres_to(aachen) == 60
