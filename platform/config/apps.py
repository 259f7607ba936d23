from django.apps import AppConfig


class HouseConfig(AppConfig):
    name = "config"
    label = "house"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in  # noqa: PLC0415 - models exist only now

        from config import sessions  # noqa: PLC0415

        # Django's own hook, the one place that every way in passes: code, passkey, the demo's door.
        user_logged_in.connect(sessions.on_sign_in, dispatch_uid="session limits")
