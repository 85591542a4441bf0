"""The expert view of servers and labels. Secrets are never shown, the pinned identity is never edited here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from servers.models import CapabilityReport, Label, Sampling, Server
from servers.services import bulk
from servers.views.fleet import say_started


@admin.register(Label)
class LabelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Words that servers share."""

    list_display = ("name",)
    search_fields = ("name",)


@admin.register(Server)
class ServerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Servers are added and removed on their own pages, where the consequences are shown."""

    list_display = ("name", "kind", "endpoint", "mode", "state", "last_error_code", "last_seen_at")
    list_filter = ("state", "kind", "mode", "labels")
    search_fields = ("name", "address", "host_key_fingerprint", "labels__name")
    list_per_page = 100
    filter_horizontal = ("labels",)
    actions = ("set_up", "run_jobs")
    fields = (
        "name",
        "labels",
        "notes",
        "kind",
        "address",
        "port",
        "user",
        "mode",
        "state",
        "host_key_fingerprint",
        "host_key_approved_at",
        "public_key",
        "direct_public_key",
        "facts",
        "facts_at",
        "last_seen_at",
        "last_error_code",
        "created_at",
    )
    readonly_fields = fields[3:]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Server]:
        """Without the encrypted key: this page has no use for it."""
        return super().get_queryset(request).defer("private_key")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """A server is added where its identity is shown and approved."""
        return redirect("server-add")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A server is removed where what hangs on it is shown."""
        return False

    @admin.action(description=_("Set up again"))
    def set_up(self, request: HttpRequest, chosen: QuerySet[Server]) -> None:
        """Queue the set-up of the chosen servers."""
        say_started(request, bulk.set_up_again(servers=list(chosen), by=request.user))

    @admin.action(description=_("Run all their jobs now"))
    def run_jobs(self, request: HttpRequest, chosen: QuerySet[Server]) -> None:
        """Queue every active job of the chosen servers."""
        result = bulk.run_all_jobs(servers=list(chosen), by=request.user)
        say_started(request, result)
        if result.not_ready:
            messages.info(request, _("Servers that are not set up yet took no part."))


@admin.register(CapabilityReport)
class CapabilityReportAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """History: made by tasks, shown on the server's page, never changed."""

    list_display = ("server", "taken_at", "seconds", "schema")
    list_select_related = ("server",)
    search_fields = ("server__name",)
    date_hierarchy = "taken_at"
    list_per_page = 50
    fields = readonly_fields = ("server", "taken_at", "seconds", "schema", "task_ref", "data")

    def get_queryset(self, request: HttpRequest) -> QuerySet[CapabilityReport]:
        """Lists do without the reports themselves, which may be large."""
        return super().get_queryset(request).defer("data", "server__private_key")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Sampling)
class SamplingAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Which servers give their statistics and which do not; the samples are on the servers' pages."""

    list_display = ("server", "sampled_at", "due_at", "failures", "error_code")
    list_select_related = ("server",)
    list_filter = ("error_code",)
    search_fields = ("server__name",)
    list_per_page = 100
    fields = readonly_fields = ("server", "sampled_at", "due_at", "failures", "error_code", "error_detail", "last")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sampling]:
        """Lists do without the last answers and the encrypted keys."""
        return super().get_queryset(request).defer("last", "server__private_key")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
