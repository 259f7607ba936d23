"""The API's description: OpenAPI 3.1 for programs, Swagger's page for people."""

from typing import Any

from django.conf import settings
from django.utils.csp import CSP
from django.views.decorators.cache import cache_control
from django.views.decorators.csp import csp_override
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer, OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

_renderers = [OpenApiJsonRenderer2, OpenApiYamlRenderer, OpenApiYamlRenderer2]
# Swagger's page has one style element of its own and sets style attributes as it draws.
_csp: dict[str, Any] = {
    **settings.SECURE_CSP,
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
    "script-src": [CSP.SELF],
}

schema = cache_control(public=True, max_age=300)(
    SpectacularAPIView.as_view(
        renderer_classes=_renderers,
        authentication_classes=[],
        permission_classes=[AllowAny],
        throttle_classes=[],
    )
)
docs = csp_override(_csp)(
    SpectacularSwaggerSplitView.as_view(
        url_name="api_schema", authentication_classes=[], permission_classes=[AllowAny], throttle_classes=[]
    )
)
