"""Everything under one ASGI server (daphne): pages and API by Django, /ws/ by Channels."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
pages = get_asgi_application()  # before the import below: models need Django set up

from config import sockets  # noqa: E402

type Receive = Callable[[], Awaitable[Any]]
type Send = Callable[[Any], Awaitable[None]]
type Application = Callable[[Any, Receive, Send], Awaitable[None]]

QUIT = "CurrentThreadExecutor already quit or is broken"


def forgiving(application: Application) -> Application:
    """`application`, without the error that asgiref raises at times when a browser leaves in the middle of an answer.

    Known there as issue 491: nothing is wrong, there is nobody left to answer. While somebody is there it is raised.
    """

    async def answer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        has_left = False

        async def hear() -> Any:
            nonlocal has_left
            message = await receive()
            has_left = has_left or message["type"] == "http.disconnect"
            return message

        try:
            await application(scope, hear, send)
        except RuntimeError as wrong:
            if not has_left or str(wrong) != QUIT:
                raise

    return answer


routes = {"http": forgiving(pages), "websocket": sockets.application}
application = ProtocolTypeRouter(routes)  # type: ignore[no-untyped-call]
