"""Addresses of this app."""

from django.urls import path

from phpborg.accounts import views

urlpatterns = [
    path("login/", views.sign_in, name="login"),
    path("logout/", views.sign_out, name="logout"),
    path("password/", views.password, name="password_change"),
    path("password/done/", views.password_done, name="password_change_done"),
    path("preferences/", views.preferences, name="preferences"),
]
