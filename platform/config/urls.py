"""Every address of the site. Each floor lists its own pages (`urlpatterns`) and its API paths (`api`)."""

from django.urls import URLPattern, URLResolver, include, path, register_converter

from realtime.ids import IdConverter

register_converter(IdConverter, "id")  # before the floors below use it

import community.urls  # noqa: E402
import events.urls  # noqa: E402
import realtime.urls  # noqa: E402
from config import accounts, api, health, pages  # noqa: E402

handler400 = "config.problems.bad_request"
handler403 = "config.problems.forbidden"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"

# Programs first: what begins with api/ need not be held against two hundred addresses of pages, nor they against it.
api_paths: list[URLPattern | URLResolver] = [
    path("schema/", api.schema, name="api_schema"),
    *events.urls.api,
    *community.urls.api,
    *realtime.urls.api,
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include([path("docs/", api.docs, name="api_docs"), path("v1/", include(api_paths))])),
    path("", pages.home, name="home"),
    path("circles/<id:pk>/", pages.circle, name="circle"),
    path("about/", pages.about, name="about"),
    path("privacy/", pages.privacy, name="privacy"),
    path("imprint/", pages.imprint, name="imprint"),
    path("terms/", pages.terms, name="terms"),
    path("accessibility/", pages.accessibility, name="accessibility"),
    path("demo/", pages.demo, name="demo"),
    path("demo/mail/", pages.demo_mail, name="demo_mail"),
    path("language/", pages.set_language, name="set_language"),
    path("offline/", pages.offline, name="offline"),
    path("sw.js", pages.service_worker, name="service_worker"),
    path("manifest.webmanifest", pages.manifest, name="manifest"),
    path("t", pages.ticket_landing, name="ticket_landing"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("accounts/", include(accounts.urlpatterns)),
    path("accounts/", include("allauth.urls")),
    path("", include(community.urls.urlpatterns)),
    path("", include(events.urls.urlpatterns)),
    path("", include(realtime.urls.urlpatterns)),
]
