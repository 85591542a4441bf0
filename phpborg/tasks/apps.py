"""The floor of tasks: queue, runner, leases, live progress."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class TasksConfig(AppConfig):
    name = "phpborg.tasks"
    label = "tasks"
    verbose_name = _("Tasks")

    def ready(self) -> None:
        # Every app registers its kinds of task in its `tasks` module and its leases in `leases`.
        autodiscover_modules("leases", "tasks")
