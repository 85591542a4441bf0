"""The expert view of pools and repositories. Secrets are neither shown nor typed here; paths change on the pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from backups.models import Repository, StoragePool
from backups.services import maintenance, pools, sync
from phpborg.errors import PhpBorgError
from phpborg.ui import html
from phpborg.ui.format import byte_size

SIZES = ("capacity_bytes", "used_bytes", "available_bytes")


def _queue(request: HttpRequest, rows: QuerySet[Any], enqueue: Any) -> None:
    """Queue a task for each chosen row; what cannot be queued is said, and stops no other."""
    number = 0
    for row in rows:
        try:
            enqueue(row)
            number += 1
        except PhpBorgError as error:
            messages.error(request, f"{row}: {error}")
    words = ngettext("{number} task was queued.", "{number} tasks were queued.", number)
    messages.info(request, words.format(number=number))


@admin.register(StoragePool)
class StoragePoolAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pools: measured by tasks; made and removed on the page of the storage."""

    list_display = ("name", "path", "usage", "filesystem", "is_default", "analysed_at", "problem")
    list_filter = ("is_default", "filesystem")
    search_fields = ("name", "path")
    fields = ("name", "path", "is_default", "threshold_percent", "filesystem", *SIZES, "analysed_at", "problem")
    readonly_fields = ("path", "is_default", "filesystem", *SIZES, "analysed_at", "problem")
    actions = ("analyse",)

    @admin.display(description=_("usage"))
    def usage(self, pool: StoragePool) -> str:
        return html.usage(pool.taken_bytes, pool.capacity_bytes, str(_("Disk of the pool")), pool.threshold_share)

    @admin.action(description=_("Analyse the chosen pools"))
    def analyse(self, request: HttpRequest, rows: QuerySet[StoragePool]) -> None:
        """Queue the analysis."""
        _queue(request, rows, lambda pool: pools.request_analysis(pool=pool, by=request.user))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Made where its directory is checked."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: StoragePool | None = None) -> bool:
        """Removed where its repositories are looked at."""
        return False


@admin.register(Repository)
class RepositoryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Repositories; the passphrase is on no admin page."""

    list_display = ("name", "pool", "size", "encryption", "check_good", "checked_at", "trashed_at")
    list_filter = ("pool", "encryption", "check_good", "unfreed", ("trashed_at", admin.EmptyFieldListFilter))
    list_select_related = ("pool",)
    search_fields = ("name", "path", "borg_id")
    exclude = ("passphrase",)
    actions = ("compare", "check_files", "compact")

    @admin.display(description=_("size on disk"), ordering="size_bytes")
    def size(self, repository: Repository) -> str | None:
        return None if repository.size_bytes is None else byte_size(repository.size_bytes)

    def get_readonly_fields(self, request: HttpRequest, obj: Repository | None = None) -> list[str]:
        """All of them: a field that is changed here would not be what is on the disk."""
        return [field.name for field in Repository._meta.fields if field.name != "passphrase"]

    @admin.action(description=_("Compare with Borg"))
    def compare(self, request: HttpRequest, rows: QuerySet[Repository]) -> None:
        """Queue the comparison."""
        _queue(request, rows, lambda row: sync.request_sync(repository=row, by=request.user))

    @admin.action(description=_("Check the repositories' files"))
    def check_files(self, request: HttpRequest, rows: QuerySet[Repository]) -> None:
        """Queue a check."""
        _queue(request, rows, lambda row: maintenance.request_check(repository=row, by=request.user))

    @admin.action(description=_("Compact"))
    def compact(self, request: HttpRequest, rows: QuerySet[Repository]) -> None:
        """Queue a compaction."""
        _queue(request, rows, lambda row: maintenance.request_compact(repository=row, by=request.user))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Made where borg makes it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Repository | None = None) -> bool:
        """Through the trash only."""
        return False
