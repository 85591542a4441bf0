"""Docker: see the package's docstring."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DockerOpsConfig(AppConfig):
    name = "dockerops"
    verbose_name = _("Docker")

    def ready(self) -> None:
        from dockerops import drill_errors, receivers  # noqa: F401
        from dockerops.services import drill_provider
        from recovery.services import drills

        drills.register("docker", drill_provider.DockerDrill(), drill_errors.DISPROVED)
