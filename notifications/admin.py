"""The expert view: what people were told."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from notifications.models import FailureNotice


@admin.register(FailureNotice)
class FailureNoticeAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Jobs that fail now. Removing a row lets the next failure be told at once."""

    list_display = ["subject_ref", "failing_since", "told_at", "failures"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
