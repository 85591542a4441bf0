"""What every page needs around its content: navigation, theme, languages. No query is made here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

PRODUCT = "phpBorg"
NAME_SECONDS = 30
THEMES = (("auto", "monitor", _("As the system")), ("light", "sun", _("Light")), ("dark", "moon", _("Dark")))


@dataclass(frozen=True)
class Entry:
    """One entry of the main navigation. `under`: pages whose names start so belong to it."""

    route: str
    label: str | Promise
    icon: str
    under: tuple[str, ...] = ()
    key: str = ""
    staff_only: bool = False


ENTRIES = (
    Entry("dashboard", _("Dashboard"), "dashboard", ("dashboard", "first-run"), "d"),
    Entry("servers", _("Servers"), "server", ("server",), "s"),
    Entry("jobs", _("Jobs"), "job", ("job", "wizard"), "j"),
    Entry("archives", _("Archives"), "archive", ("archive", "restore", "browse", "proof", "docker"), "a"),
    Entry("sessions", _("Instant Recovery"), "database", ("session", "instant"), "i"),
    Entry("repositories", _("Storage"), "storage", ("repositor", "pool", "storage"), "r"),
    Entry("tasks", _("Tasks"), "task", ("task", "worker"), "t"),
    Entry("mail-settings", _("Settings"), "settings", ("mail", "preferences"), "", staff_only=True),
    Entry("admin:index", _("Administration"), "admin", ("admin:",), "", staff_only=True),
)


def reverse_or_none(route: str, *args: Any) -> str | None:
    """The address of a route, or None when this installation has no such page."""
    try:
        return reverse(route, args=args)
    except NoReverseMatch:
        return None


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The entries that this person can open, the current one marked."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return []
    match = getattr(request, "resolver_match", None)
    here = match.view_name if match else ""
    entries = []
    for entry in ENTRIES:
        address = reverse_or_none(entry.route)
        if address is None or (entry.staff_only and not user.is_staff):
            continue
        is_active = bool(here) and here.startswith(entry.under)
        entries.append(
            {"url": address, "label": entry.label, "icon": entry.icon, "key": entry.key, "active": is_active}
        )
    return entries


def theme_of(request: HttpRequest) -> str:
    """The person's theme; a stranger's is kept in a cookie."""
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        chosen = str(getattr(user, "theme", "auto"))
    else:
        chosen = request.COOKIES.get("theme", "auto")
    return chosen if chosen in {name for name, _icon, _label in THEMES} else "auto"


def application_name(request: HttpRequest) -> str:
    """The name of this installation; strangers see the product's, without a query."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return PRODUCT
    from phpborg.ui.models import Installation

    def stored() -> str:
        return Installation.objects.values_list("application_name", flat=True).first() or PRODUCT

    return str(cache.get_or_set("application-name", stored, NAME_SECONDS))


def page(request: HttpRequest) -> dict[str, Any]:
    """Context processor of every page; lazy, so that fragments pay nothing."""
    return {
        "application_name": SimpleLazyObject(lambda: application_name(request)),
        "nav_entries": SimpleLazyObject(lambda: navigation(request)),
        "theme": SimpleLazyObject(lambda: theme_of(request)),
        "themes": THEMES,
        "languages": settings.LANGUAGES,
        "set_theme_url": reverse_or_none("set_theme"),
        "set_language_url": reverse_or_none("set_language"),
        "preferences_url": reverse_or_none("preferences"),
        "password_change_url": reverse_or_none("password_change"),
        "logout_url": reverse_or_none("logout"),
    }
