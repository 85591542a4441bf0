"""The expert view of Docker restores: history, read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from dockerops.models import DockerRestore


@admin.register(DockerRestore)
class DockerRestoreAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What was put back, where, by whom, and what became of it."""

    list_display = ["archive_name", "server_name", "state", "protected_until", "created_at", "finished_at"]
    list_filter = ["state"]
    search_fields = ["archive_name", "server_name"]
    list_select_related = ["archive", "server"]
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
