"""Servers: see the package's docstring."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ServersConfig(AppConfig):
    name = "servers"
    verbose_name = _("Servers")

    def ready(self) -> None:
        from servers import receivers  # noqa: F401
