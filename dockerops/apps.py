"""Docker: see the package's docstring."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DockerOpsConfig(AppConfig):
    name = "dockerops"
    verbose_name = _("Docker")

    def ready(self) -> None:
        from dockerops import receivers  # noqa: F401
