"""The settings of the floor: the product's own database, secrets and session, and nothing else on the way to the view."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "floor_urls"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
