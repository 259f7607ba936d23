from django.apps import AppConfig


class CommunityConfig(AppConfig):
    name = "community"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from community import circles, kept  # noqa: F401, PLC0415 - its models exist only now
        from realtime import rooms  # noqa: PLC0415
        from realtime.models import Room  # noqa: PLC0415

        rooms.moderated_by(Room.Kind.CIRCLE, circles.may_moderate, circles.rooms_hosted_by)
        rooms.when_removed(Room.Kind.CIRCLE, circles.taken_out)
