"""The settings of the floor: the product's own database, secrets and session, and nothing else on the way to the view."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as ALL_APPS

ROOT_URLCONF = "floor_urls"
INSTALLED_APPS = [app for app in ALL_APPS if not app.startswith("allauth")]  # insists on its own middleware
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
