"""Addresses of an installation that has one page only."""

from django.urls import path

from tests.ui.urls import page

urlpatterns = [path("", page, name="dashboard"), path("tasks/<uuid:pk>/", page, name="task")]
