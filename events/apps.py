from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "events"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from community import privacy as leaving  # noqa: PLC0415 - its models exist only now
        from community import sign_ins  # noqa: PLC0415
        from events import access, bells, calendars, kept, privacy  # noqa: F401, PLC0415
        from realtime import bell, live, rooms  # noqa: PLC0415
        from realtime.models import Room  # noqa: PLC0415

        sign_ins.when_address_changes(calendars.new_feed)  # whoever has the old mails has the old feed
        rooms.moderated_by(Room.Kind.EVENT, access.may_moderate, access.rooms_run_by)
        bell.register(bells.SUBJECT, bells.find)
        live.register("event", access.may_follow)
        live.register("door", access.may_follow_door)
        leaving.add(leaving.Source(privacy.forget, privacy.duties))
