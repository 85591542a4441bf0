"""The theme switch: saved with the person, or in a cookie before they sign in."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from phpborg.ui.context import THEMES

YEAR_SECONDS = 365 * 24 * 3600


@login_not_required
@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Keep the theme that was asked for (`theme`) and go back to `next`; an unknown one is "auto"."""
    theme = request.POST.get("theme", "auto")
    if theme not in {name for name, _icon, _label in THEMES}:
        theme = "auto"
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = "/"
    response = HttpResponseRedirect(target, status=303)
    if request.user.is_authenticated:
        get_user_model().objects.filter(pk=request.user.pk).update(theme=theme)
    response.set_cookie("theme", theme, max_age=YEAR_SECONDS, samesite="Lax", secure=request.is_secure(), httponly=True)
    return response
