"""Two habits of every answer: a content security policy, and expected errors as sentences."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from phpborg.errors import NotAllowed, PhpBorgError, describe

GetResponse = Callable[[HttpRequest], HttpResponse]

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "style-src 'self'",
        "script-src 'self'",
        "connect-src 'self' ws: wss:",
        "frame-ancestors 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "object-src 'none'",
    )
)


class ContentSecurityPolicyMiddleware:
    """No inline script, nothing from elsewhere."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class ExpectedErrorMiddleware:
    """A PhpBorgError that a view lets through becomes a page with its two sentences, not a 500."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, PhpBorgError):
            return None
        status = 403 if isinstance(error, NotAllowed) else 409
        context = {"error": describe(error.code, error.facts), "detail": error.detail}
        return render(request, "error.html", context, status=status)
