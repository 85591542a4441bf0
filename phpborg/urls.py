"""All addresses, one include an app."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from phpborg.health import healthz

urlpatterns = [
    path("", include("phpborg.ui.urls")),
    path("account/", include("phpborg.accounts.urls")),
    path("tasks/", include("phpborg.tasks.urls")),
    path("servers/", include("servers.urls")),
    path("", include("backups.urls")),
    path("", include("recovery.urls")),
    path("settings/", include("notifications.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
]

if settings.DEBUG:
    from phpborg.ui.views_styleguide import styleguide

    urlpatterns.append(path("styleguide/", styleguide, name="styleguide"))
