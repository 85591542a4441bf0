"""Our admin site: Django's admin in the product's own frame, grouped by its rooms."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from phpborg.accounts.forms import AdminSignInForm

# The order of the rooms on the first page; what is not named here comes last.
ROOMS = ("servers", "backups", "recovery", "dockerops", "tasks", "notifications", "accounts", "ui")
# Rights follow from the role of a person (phpborg/accounts/rights.py): groups would only mislead.
# The queue has its own page; django-rq's needs inline styles, which the content security policy refuses.
HIDDEN = ("auth", "django_rq")


class PhpBorgAdminSite(AdminSite):
    """The expert view of every model; only administrators see it."""

    site_title = _("Administration")
    site_header = _("Administration")
    index_title = _("Administration")
    # The product's own navigation stands there.
    enable_nav_sidebar = False
    # Guessing is as slow here as at the product's own door.
    login_form = AdminSignInForm
    empty_value_display = "—"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The apps in the order of the rooms, their models by name."""
        apps = [app for app in super().get_app_list(request, app_label) if app["app_label"] not in HIDDEN]
        place = {label: index for index, label in enumerate(ROOMS)}
        return sorted(apps, key=lambda app: place.get(app["app_label"], len(ROOMS)))
