"""The expert view of restores, open archives and sessions: history, read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from recovery.models import BrowseSession, Proof, ProofPlan, Restore, Session


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


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    """Databases that run or ran out of an archive. Their secrets are on no page."""

    list_display = ["archive_name", "product", "version", "server_name", "state", "port", "created_at", "expires_at"]
    list_filter = ["state", "product", "is_read_only"]
    search_fields = ["archive_name", "server_name", "image"]
    exclude = ["secrets", "password"]
    list_select_related = ["archive", "server"]
    date_hierarchy = "created_at"


@admin.register(Proof)
class ProofAdmin(ReadOnlyAdmin):
    """What was proven, how deep, and what was not."""

    list_display = ["job_name", "archive_name", "state", "depth", "reached", "created_at", "duration_seconds"]
    list_filter = ["state", "depth", "trigger"]
    search_fields = ["job_name", "archive_name"]
    list_select_related = ["archive", "job"]
    date_hierarchy = "created_at"


@admin.register(ProofPlan)
class ProofPlanAdmin(ReadOnlyAdmin):
    """When proofs are made. They are set on the job's page, where the schedule is checked."""

    list_display = ["job", "depth", "sample_percent", "cron", "zone", "enabled", "next_run_at", "overdue_days"]
    list_filter = ["depth", "enabled"]
    search_fields = ["job__name"]
    list_select_related = ["job", "server"]
