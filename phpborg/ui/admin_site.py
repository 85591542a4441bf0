"""Our admin site."""

from django.contrib.admin import AdminSite


class PhpBorgAdminSite(AdminSite):
    """Django's admin under our roof."""
