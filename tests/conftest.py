"""What all tests share."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import translation

from community import places
from community.models import Place
from community.models.places import _centres, _grouped, _interests, _labels, towns_within
from config import pieces
from realtime import prepared


def pytest_configure() -> None:
    """Each worker has its own numbered database in Redis: what one clears is not the other's."""
    if settings.REDIS_URL:
        number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
        settings.REDIS_URL = urlsplit(settings.REDIS_URL)._replace(path=f"/{number}").geturl()
        settings.CACHES["default"]["LOCATION"] = settings.REDIS_URL


@pytest.fixture(autouse=True)
def _fresh_start() -> Iterator[None]:
    """No test inherits what another one cached or the language it spoke."""
    cache.clear()
    _centres.clear()
    _interests.clear()
    _labels.clear()
    _grouped.clear()
    towns_within.cache_clear()
    translation.activate("en")
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _once_is_as_ever() -> Iterator[None]:
    """What was written once, a statement or a piece of a page, is written again whenever a test asks, and must be the same."""
    prepared.is_checked = pieces.is_checked = True
    yield
    prepared.is_checked = pieces.is_checked = False


@pytest.fixture(autouse=True)
def _patient(request: pytest.FixtureRequest) -> None:
    """In a test that is one transaction, PostgreSQL waits as long as a busy machine thinks between two statements."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None or marker.kwargs.get("transaction"):
        return
    request.getfixturevalue("db")
    if connection.vendor == "postgresql" and connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """The time of a quiet Tuesday evening, standing still: `clock.move_to(…)`, `clock.shift(…)`."""
    with time_machine.travel("2027-03-02T18:30:00+00:00", tick=False) as traveller:
        yield traveller


@pytest.fixture
def region(db: Any) -> None:
    """All towns, postcodes and interests, also after a test with real transactions has emptied the tables."""
    if Place.objects.count() < len(places.rows_of_towns()):
        places.load_places()
        places.load_interests()


@pytest.fixture
def committed(django_capture_on_commit_callbacks: Any) -> Any:
    """What `with committed():` holds is committed at its end: what is announced on commit goes out."""
    return lambda: django_capture_on_commit_callbacks(execute=True)
