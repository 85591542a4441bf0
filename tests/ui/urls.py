"""Addresses for the tests of the frame: a page of each kind behind the routes that the frame names."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import views as auth
from django.http import HttpRequest, HttpResponse
from django.urls import path

from phpborg.errors import SecretUnreadable
from phpborg.ui.confirm import Confirmation, ask
from phpborg.ui.views_styleguide import styleguide
from phpborg.ui.views_switches import set_language, set_theme


def page(request: HttpRequest, **_kwargs: object) -> HttpResponse:
    return styleguide(request)


def fails(request: HttpRequest) -> HttpResponse:
    raise SecretUnreadable("<b>InvalidToken</b>")


def remove(request: HttpRequest) -> HttpResponse:
    question = Confirmation(
        title="Remove web-01?", text="4 jobs go.\nArchives stay.", action="Remove", back="/servers/", typed="web-01"
    )
    return ask(request, question) or HttpResponse("removed")


names = ("servers", "jobs", "archives", "repositories", "tasks", "mail-settings", "preferences")
urlpatterns = [
    path("", page, name="dashboard"),
    *(path(f"{name}/", page, name=name) for name in names),
    path("servers/<slug:slug>/", page, name="server"),
    path("tasks/<uuid:pk>/", page, name="task"),
    path("fails/", fails),
    path("remove/", remove),
    path("login/", auth.LoginView.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password/", auth.PasswordChangeView.as_view(), name="password_change"),
    path("password/done/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("theme/", set_theme, name="set_theme"),
    path("styleguide/", styleguide, name="styleguide"),
    path("language/", set_language, name="set_language"),
    path("admin/", admin.site.urls),
]
