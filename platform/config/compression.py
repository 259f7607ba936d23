"""Compressing what is made on request. Static files have their compressed copies already (staticfiles.py)."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class PageCompression(GZipMiddleware):
    """gzip for pages only: it would make the API's ETags weak, and If-Match needs strong ones (RFC 9110 §13.1.1).

    Against BREACH Django adds random bytes to each answer; the CSRF token is masked anew in each page.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        compressed: HttpResponseBase = super().process_response(request, response)
        return compressed
