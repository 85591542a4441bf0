"""Expert view of tasks and leases: read-only history, actions that call the queue."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError, describe
from phpborg.tasks import leases, queue, registry
from phpborg.tasks.models import Lease, Task
from phpborg.ui import html


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """History: nobody adds, changes or deletes it by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Task)
class TaskAdmin(ReadOnly):
    """Every task, system tasks too."""

    list_display = ("kind_words", "subject", "state_badge", "trigger", "requested_by", "created_at", "duration")
    list_filter = ("state", "kind", "trigger", "is_system", "queue")
    list_select_related = ("requested_by",)
    search_fields = ("subject", "error_code", "=id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    list_per_page = 50
    show_full_result_count = False
    actions = ("cancel", "retry")
    readonly_fields = ("live_page",)

    @admin.display(description=_("kind"), ordering="kind")
    def kind_words(self, task: Task) -> str:
        return registry.label(task.kind)

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, task: Task) -> SafeString:
        return html.state(task.state)

    @admin.display(description=_("duration"))
    def duration(self, task: Task) -> str:
        from phpborg.ui import format as words

        seconds = task.duration_seconds
        return "—" if seconds is None else words.duration(seconds)

    @admin.display(description=_("page"))
    def live_page(self, task: Task) -> SafeString:
        return format_html('<a href="{}">{}</a>', task.get_absolute_url(), gettext("Live state and log"))

    @admin.action(description=_("Cancel the chosen tasks"))
    def cancel(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        self._each(request, tasks, lambda task: queue.cancel(task, by=request.user))

    @admin.action(description=_("Queue the chosen tasks again"))
    def retry(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        self._each(request, tasks, lambda task: queue.retry(task, by=request.user))

    def _each(self, request: HttpRequest, tasks: QuerySet[Task], act: Any) -> None:
        done = 0
        for task in tasks:
            try:
                act(task)
                done += 1
            except PhpBorgError as error:
                self.message_user(request, f"{task}: {describe(error.code, error.facts).title}", messages.ERROR)
        if done:
            words = gettext("Done for {count} tasks.").format(count=done)
            self.message_user(request, words, messages.SUCCESS)


@admin.register(Lease)
class LeaseAdmin(ReadOnly):
    """What is owed the removal of."""

    list_display = ("kind", "task", "host", "created_at", "keep_until", "released_at", "attempts", "error")
    list_filter = (("released_at", admin.EmptyFieldListFilter), "kind", "host")
    list_select_related = ("task",)
    search_fields = ("kind", "error")
    list_per_page = 50
    show_full_result_count = False
    actions = ("release",)

    @admin.action(description=_("Remove what the chosen leases hold, when their task has ended"))
    def release(self, request: HttpRequest, chosen: QuerySet[Lease]) -> None:
        due = chosen & Lease.objects.abandoned()
        left = [lease for lease in due.select_related("task") if not leases.release(lease)]
        words = gettext("{count} could not be removed yet.").format(count=len(left))
        self.message_user(request, words if left else gettext("Removed."), messages.WARNING if left else messages.INFO)
