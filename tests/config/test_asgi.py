"""Who leaves in the middle of an answer: no error in the log, and the database connection goes back."""

import asyncio
import threading
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from config.asgi import QUIT, application, forgiving

begun, may_end = threading.Event(), threading.Event()
used: list[Any] = []  # the connections of the requests, each of its own thread


def slow(request: HttpRequest) -> HttpResponse:
    """Begins, holds a connection, and goes on when it may."""
    connections[DEFAULT_DB_ALIAS].ensure_connection()
    used.append(connections[DEFAULT_DB_ALIAS])
    begun.set()
    may_end.wait(10)
    return HttpResponse("done")


urlpatterns = [path("slow/", slow)]
SCOPE = {
    **{"type": "http", "http_version": "1.1", "method": "GET", "path": "/slow/", "query_string": b""},
    "headers": [(b"host", b"localhost")],
}


@pytest.mark.django_db(transaction=True)
@override_settings(ROOT_URLCONF=__name__)
async def test_who_leaves_in_the_middle_is_no_error_and_holds_no_connection():
    for _turn in range(5):
        begun.clear()
        may_end.clear()
        browser = ApplicationCommunicator(application, dict(SCOPE))
        await browser.send_input({"type": "http.request"})
        assert await asyncio.to_thread(begun.wait, 10)
        await browser.send_input({"type": "http.disconnect"})
        may_end.set()
        await browser.wait(10)
    assert len(used) == 5
    assert not [one for one in used if one.connection is not None]


async def ask(message: str, words: str) -> None:
    """An application that hears `message` and then fails with `words`."""

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError(words)

    browser = ApplicationCommunicator(forgiving(fails), dict(SCOPE))
    await browser.send_input({"type": message})
    await browser.wait(5)


async def test_asgirefs_complaint_is_passed_over_only_when_nobody_is_left():
    await ask("http.disconnect", QUIT)
    for message, words in (("http.request", QUIT), ("http.disconnect", "something else")):
        with pytest.raises(RuntimeError, match=words):
            await ask(message, words)
