"""The first four screens, and changing one's profile later."""

import pytest
from django.test import Client

from community import members
from community.models import Member
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def newcomer() -> Member:
    return make.make_newcomer()


@pytest.fixture
def client(newcomer: Member) -> Client:
    client = Client()
    client.force_login(newcomer)
    return client


@pytest.mark.usefixtures("region")
def test_a_newcomer_tells_name_languages_places_and_interests_and_arrives(
    client: Client, newcomer: Member
) -> None:
    make.make_interest("walking")
    make.make_place("Liège")
    hasselt = make.make_place("Hasselt")
    near, far = make.make_centre(place=hasselt), make.make_centre(place=make.make_place("Aachen"))
    assert (
        client.post("/welcome/1/", {"display_name": " \u202eAna\u202c ", "language": "nl"})["Location"]
        == "/welcome/2/"
    )
    assert (
        client.post("/welcome/2/", {"languages": ["nl", "en"], "other": "Tamil"})["Location"] == "/welcome/3/"
    )
    assert client.post("/welcome/3/", {"lives": "Hasselt", "works": "Luik"})["Location"] == "/welcome/4/"
    assert client.post("/welcome/4/", {"interests": ["walking"]})["Location"] == "/"
    newcomer.refresh_from_db()
    profile = members.profile_of(Member.objects.get(pk=newcomer.pk))
    assert (newcomer.display_name, newcomer.language) == ("Ana", "nl")
    assert newcomer.onboarded_at is not None
    assert profile.languages == ["nl", "en", "ta"]
    assert (str(profile.lives), str(profile.works)) == ("Hasselt (BE)", "Liège (BE)")
    assert profile.centre == near != far
    assert [interest.slug for interest in members.interests_of(profile)] == ["walking"]


def test_all_but_the_name_can_be_skipped(client: Client, newcomer: Member) -> None:
    assert client.post("/welcome/1/", {"skip": "1"}).status_code == 200
    assert client.get("/welcome/3/")["Location"] == "/welcome/1/"
    client.post("/welcome/1/", {"display_name": "Ana", "language": "en"})
    for step, then in ((2, "/welcome/3/"), (3, "/welcome/4/"), (4, "/")):
        assert client.post(f"/welcome/{step}/", {"skip": "1"})["Location"] == then
    newcomer.refresh_from_db()
    assert newcomer.onboarded_at is not None


def test_after_the_last_screen_comes_the_page_they_had_wanted(client: Client, newcomer: Member) -> None:
    assert client.get("/circles/?q=walk")["Location"] == "/welcome/1/"
    client.post("/welcome/1/", {"display_name": "Ana", "language": "en"})
    assert client.post("/welcome/4/", {"skip": "1"})["Location"] == "/circles/?q=walk"


def test_what_was_told_already_is_there_when_going_back(client: Client) -> None:
    client.post("/welcome/1/", {"display_name": "Ana", "language": "en"})
    client.post("/welcome/2/", {"languages": ["ta", "nl"]})
    assert 'value="Ana"' in client.get("/welcome/1/").content.decode()
    page = client.get("/welcome/2/").content.decode()
    assert "Tamil" in page
    assert page.count("checked") == 2


@pytest.mark.usefixtures("region")
def test_an_ambiguous_town_asks_which_one_and_takes_the_answer_without_script(
    client: Client, newcomer: Member
) -> None:
    client.post("/welcome/1/", {"display_name": "Ana", "language": "en"})
    answer = client.post("/welcome/3/", {"lives": "Berg", "works": ""})
    page = answer.content.decode()
    assert "Which one do you mean?" in page
    assert page.count('name="lives_choice"') == 3
    assert 'value="Berg"' in page
    chosen = page.split('name="lives_choice" value="')[1].split('"')[0]
    client.post("/welcome/3/", {"lives": "Berg", "lives_choice": chosen, "works": ""})
    assert members.profile_of(Member.objects.get(pk=newcomer.pk)).lives_id == int(chosen)
    client.post("/welcome/3/", {"lives": "Berg", "works": ""})  # unchanged: not asked again
    assert members.profile_of(Member.objects.get(pk=newcomer.pk)).lives_id == int(chosen)


@pytest.mark.usefixtures("region")
def test_an_unknown_town_is_said_and_kept(client: Client, newcomer: Member) -> None:
    client.post("/welcome/1/", {"display_name": "Ana", "language": "en"})
    page = client.post("/welcome/3/", {"lives": "Timbuktu", "works": "Genk"}).content.decode()
    assert "We do not know this town" in page
    assert 'value="Timbuktu"' in page
    assert 'value="Genk"' in page
    assert members.profile_of(Member.objects.get(pk=newcomer.pk)).works is None


@pytest.mark.usefixtures("region")
def test_towns_are_suggested_while_typing(client: Client) -> None:
    page = client.get(
        "/places/suggest/?field=lives&lives=lui", headers={"HX-Request": "true"}
    ).content.decode()
    assert "Liège (BE)" in page
    assert 'name="lives_choice"' in page
    assert "Liège (BE)" in Client().get("/places/suggest/?field=works&q=luik").content.decode()
    assert Client().get("/places/suggest/?field=<script>").status_code == 404


def test_a_language_nobody_knows_is_said_and_kept(client: Client) -> None:
    client.post("/welcome/1/", {"display_name": "Ana", "language": "en"})
    page = client.post("/welcome/2/", {"languages": ["nl"], "other": "Tamil, Blah"}).content.decode()
    assert "We do not know Blah" in page
    assert 'value="Tamil, Blah"' in page


def test_a_screen_that_does_not_exist_is_not_found(client: Client) -> None:
    assert client.get("/welcome/0/").status_code == 404
    assert client.get("/welcome/5/").status_code == 404


def test_the_profile_changes_all_at_once_and_keeps_what_was_typed_when_something_is_wrong() -> None:
    member = make.make_member(lives=make.make_place("Hasselt"))
    other = make.make_centre()
    client = Client()
    client.force_login(member)
    good = {
        "display_name": "Zoë",
        "language": "de",
        "about": "Hallo",
        "about_language": "de",
        "lives": "Hasselt",
        "works": "",
    }
    good |= {"centre": str(other.pk), "languages": ["de"], "other": "", "interests": []}
    page = client.post("/me/profile/", good | {"display_name": "  ", "about": "Kept"}).content.decode()
    assert "Kept" in page
    assert client.post("/me/profile/", good)["Location"] == "/me/"
    member.refresh_from_db()
    profile = members.profile_of(Member.objects.get(pk=member.pk))
    assert (member.display_name, member.language, profile.about, profile.centre) == (
        "Zoë",
        "de",
        "Hallo",
        other,
    )
