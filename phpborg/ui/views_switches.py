"""Language and theme: kept with the person, or in a cookie before they sign in."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from phpborg.ui.context import THEMES

YEAR_SECONDS = 365 * 24 * 3600


def _back(request: HttpRequest) -> HttpResponse:
    """To the page that the switch was used on; never to another host."""
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = "/"
    return HttpResponseRedirect(target, status=303)


def _keep(request: HttpRequest, *, column: str, cookie: str, value: str) -> HttpResponse:
    """The cookie is set for a known person too: the page after signing out looks the same."""
    response = _back(request)
    if request.user.is_authenticated:
        get_user_model().objects.filter(pk=request.user.pk).update(**{column: value})
    secure = request.is_secure()
    response.set_cookie(cookie, value, max_age=YEAR_SECONDS, samesite="Lax", secure=secure, httponly=True)
    return response


@login_not_required
@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Keep `theme` and go back to `next`; an unknown theme is that of the system."""
    theme = request.POST.get("theme", "auto")
    if theme not in {name for name, _icon, _label in THEMES}:
        theme = "auto"
    return _keep(request, column="theme", cookie="theme", value=theme)


@login_not_required
@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Keep `language` and go back to `next`; an unknown language changes nothing."""
    language = request.POST.get("language", "")
    if language not in dict(settings.LANGUAGES):
        return _back(request)
    return _keep(request, column="language", cookie=settings.LANGUAGE_COOKIE_NAME, value=language)
