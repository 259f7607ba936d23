from django.apps import AppConfig


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
