"""Everything under one ASGI server (daphne): pages and API by Django, /ws/ by Channels."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
pages = get_asgi_application()  # before the import below: models need Django set up

from config import sockets  # noqa: E402

routes = {"http": pages, "websocket": sockets.application}
application = ProtocolTypeRouter(routes)  # type: ignore[no-untyped-call]
