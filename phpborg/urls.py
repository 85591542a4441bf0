"""All addresses, one include an app."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from phpborg.health import healthz
from phpborg.ui.views_switches import set_language, set_theme

urlpatterns = [
    path("", include("phpborg.ui.urls")),
    path("account/", include("phpborg.accounts.urls")),
    path("tasks/", include("phpborg.tasks.urls")),
    path("servers/", include("servers.urls")),
    path("", include("backups.urls")),
    path("", include("recovery.urls")),
    path("", include("dockerops.urls")),
    path("settings/", include("notifications.urls")),
    path("theme/", set_theme, name="set_theme"),
    path("language/", set_language, name="set_language"),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
]

if settings.DEBUG:
    from phpborg.ui.views_styleguide import styleguide

    urlpatterns.append(path("styleguide/", styleguide, name="styleguide"))
