"""The floor as gunicorn serves it. allauth, whose rows the product's floors know, insists on its own middleware at the
start; the floor takes it away after that, and all else that the product puts before a view.
"""

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

django.setup()
settings.MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
application = WSGIHandler()
