"""The registry of personal fields knows every field there is; the page and the sweeps say and do what it says."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models import Model
from django.test import Client
from django.utils import translation

from community import personal_fields
from community.personal_fields import Neutral, Purpose, tables
from config import jobs

ALL = apps.get_models(include_auto_created=True)
LANGUAGES = [code for code, _name in settings.LANGUAGES]


def fields_of(model: type[Model]) -> set[str]:
    return {field.name for field in model._meta.concrete_fields}


def test_every_field_of_every_model_is_declared():
    known = {table.model: set(table.fields) for table in tables()}
    missing = {
        model._meta.label: sorted(fields_of(model) - known.get(model, set()))
        for model in ALL
        if fields_of(model) - known.get(model, set())
    }
    assert not missing


def test_nothing_is_declared_that_is_gone():
    gone = {
        table.model._meta.label: sorted(set(table.fields) - fields_of(table.model))
        for table in tables()
        if set(table.fields) - fields_of(table.model)
    }
    assert not gone
    assert {table.model for table in tables()} <= set(ALL)


def test_each_declaration_says_why():
    for table in tables():
        for name, what in table.fields.items():
            assert isinstance(what, Purpose | Neutral), f"{table.name}.{name}"


def test_text_that_people_write_is_not_called_neutral_by_mistake():
    """Names, addresses and words are personal, unless they are about the site, an event, a circle or a town."""
    suspicious = {"email", "name", "text", "about", "nickname", "ip", "user_agent", "to", "display_name"}
    for table in tables():
        for name in suspicious & set(table.fields):
            what = table.fields[name]
            is_about_things = what in (Neutral.SITE, Neutral.SHARED) or table.name == "pool"
            assert isinstance(what, Purpose) or is_about_things, f"{table.name}.{name}"


def test_what_is_personal_and_of_one_member_can_be_taken_along():
    """No rows: a household has none of its own, and a session or a file says nothing that is not said elsewhere."""
    left_out = {table.name for table in tables() if table.personal and table.rows is None}
    assert left_out == {"session", "exportpart"}


def test_a_number_of_days_has_a_sweep_and_the_other_way_round():
    for purpose in personal_fields.purposes():
        assert (purpose.kept is None) is (purpose.sweep is None), str(purpose.what)
        says_a_number = any(mark in str(purpose.how_long) for mark in ("%(days)d", "%(years)d"))
        assert says_a_number is (purpose.kept is not None), str(purpose.what)


def test_every_sweep_of_the_registry_is_run():
    run = {sweep.work for sweep in jobs.table()}
    assert set(personal_fields.sweeps()) <= run


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_each_purpose_in_the_language_of_the_reader(client: Client, language: str):
    page = client.get("/privacy/", headers={"Accept-Language": language}).content.decode()
    with translation.override(language):
        for purpose in personal_fields.purposes():
            for said in (purpose.what, purpose.why, purpose.who, purpose.retention, purpose.recipient):
                assert translation_of(str(said)) in page


def translation_of(text: str) -> str:
    return text.replace("&", "&amp;").replace("'", "&#x27;").replace('"', "&quot;")


def test_each_purpose_has_its_place_and_the_address_comes_first():
    assert set(personal_fields._ORDER) == set(personal_fields.purposes())
    assert str(personal_fields.purposes()[0].what) == "E-mail address"


@pytest.mark.django_db
def test_a_retention_on_the_page_is_the_number_the_sweep_uses(client: Client):
    purpose = next(purpose for purpose in personal_fields.purposes() if purpose.kept)
    kept = purpose.kept
    object.__setattr__(purpose, "kept", timedelta(days=4711))
    try:
        assert "4711" in client.get("/privacy/").content.decode()
    finally:
        object.__setattr__(purpose, "kept", kept)


@pytest.mark.django_db
def test_the_imprint_says_what_the_environment_says(client: Client, settings):
    settings.OPERATOR_ADDRESS = "Kapermolenstraat 1\n3500 Hasselt"
    settings.OPERATOR_PHONE, settings.OPERATOR_REGISTER = "+32 11 12 34 56", "BE 0123.456.789"
    page = client.get("/imprint/").content.decode()
    for said in (
        "Kapermolenstraat 1<br>3500 Hasselt",
        "tel:+3211123456",
        "BE 0123.456.789",
        settings.OPERATOR,
    ):
        assert said in page
