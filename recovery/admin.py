"""The expert view of restores and open archives: history, read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from recovery.models import BrowseSession, Restore


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only the product writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Restore)
class RestoreAdmin(ReadOnlyAdmin):
    """What was put back, where, by whom."""

    list_display = ["archive_name", "server_name", "destination", "target_path", "conflict", "state", "created_at"]
    list_filter = ["state", "destination", "conflict"]
    search_fields = ["archive_name", "server_name", "target_path"]
    list_select_related = ["archive", "server"]
    date_hierarchy = "created_at"


@admin.register(BrowseSession)
class BrowseSessionAdmin(ReadOnlyAdmin):
    """Archives that are or were open."""

    list_display = ["archive", "state", "opened_at", "last_used_at"]
    list_filter = ["state"]
    list_select_related = ["archive"]
