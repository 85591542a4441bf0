"""The product as a Django app: its checks, its admin site."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy as _


class PhpBorgConfig(AppConfig):
    """What belongs to no single domain: language files, system checks."""

    name = "phpborg"
    verbose_name = _("phpBorg")

    def ready(self) -> None:
        from phpborg import checks  # noqa: F401  (registers the system checks)


class PhpBorgAdminConfig(AdminConfig):
    """Django's admin on our own site: same header, task bar and language switch as the pages."""

    default_site = "phpborg.ui.admin_site.PhpBorgAdminSite"
