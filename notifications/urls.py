"""Addresses of this app."""

from django.urls import path

from notifications import views

urlpatterns = [
    path("mail/", views.mail_settings, name="mail-settings"),
    path("mail/test/", views.mail_test, name="mail-test"),
]
