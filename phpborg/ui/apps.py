"""Pages that belong to no single domain: dashboard, first run, tasks."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class UiConfig(AppConfig):
    name = "phpborg.ui"
    label = "ui"
    verbose_name = _("Interface")
