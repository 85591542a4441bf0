"""Addresses of this app."""

from django.urls import path

from phpborg.ui import dashboard, first_run

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("first-run/", first_run.first_run, name="first-run"),
    path("first-run/finish/", first_run.first_run_finish, name="first-run-finish"),
    path("first-run/<slug:step>/", first_run.first_run_step, name="first-run-step"),
]
