from typing import Any

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    name = "realtime"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from realtime import live  # noqa: PLC0415 - its models exist only now

        live.register("me", _is_me)


def _is_me(member: Any, topic: str) -> bool:
    """A member's own topic, `me:<id>`, is theirs alone."""
    return topic == f"me:{member.public_id}"
