from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate


class HouseConfig(AppConfig):
    name = "config"
    label = "house"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in  # noqa: PLC0415 - models exist only now

        from community import privacy  # noqa: PLC0415
        from config import kept, sessions  # noqa: PLC0415

        # Django's own hook, the one place that every way in passes: code, passkey, the demo's door.
        user_logged_in.connect(sessions.on_sign_in, dispatch_uid="session limits")
        privacy.add(privacy.Source(kept.forget, lambda _member: []))
        # A migration thinks between its statements, on a busy machine for longer than a request ever may.
        pre_migrate.connect(_let_it_think, sender=self)
        post_migrate.connect(_no_longer, sender=self)


def _let_it_think(using: str, **_more: Any) -> None:
    _run(using, "SET idle_in_transaction_session_timeout = 0")


def _no_longer(using: str, **_more: Any) -> None:
    _run(using, "RESET idle_in_transaction_session_timeout")


def _run(using: str, statement: str) -> None:
    if connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            cursor.execute(statement)
