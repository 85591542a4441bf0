"""Task: one execution of anything in the queue. Lease: an outside resource that we owe the removal of."""

from __future__ import annotations

import socket
import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phpborg.tasks import states
from phpborg.tasks.states import State, Trigger


class TaskQuerySet(models.QuerySet["Task"]):
    def active(self) -> Self:
        return self.filter(state__in=states.ACTIVE)

    def running(self) -> Self:
        return self.filter(state=State.RUNNING)

    def pending(self) -> Self:
        return self.filter(state__in=states.PENDING)

    def final(self) -> Self:
        return self.filter(state__in=states.FINAL)

    def beside(self, task: str, exclusive: str) -> Self:
        """Others than this task that run now and write into the same thing."""
        return self.running().filter(exclusive=exclusive).exclude(pk=task)

    def for_people(self) -> Self:
        """Without the housekeeping that nobody asked for."""
        return self.filter(is_system=False)

    def about(
        self, *, server: uuid.UUID | None = None, job: uuid.UUID | None = None, repository: uuid.UUID | None = None
    ) -> Self:
        """Tasks that speak of this server, job or repository."""
        given = {"server_ref": server, "job_ref": job, "repository_ref": repository}
        return self.filter(**{name: value for name, value in given.items() if value is not None})


class Task(models.Model):
    """One execution of a kind of work: waiting, running, then exactly one final state.

    `params` holds ids and choices only, never a secret. The references are plain ids, not foreign
    keys: the history outlives what it speaks of, and this floor does not know the ones above.
    `progress`, `findings`, `steps`, `result` are small JSON; the full log is a bounded file.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=40, db_index=True)
    queue = models.CharField(_("queue"), max_length=40)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.WAITING)
    trigger = models.CharField(_("asked for"), max_length=16, choices=Trigger.choices, default=Trigger.MANUAL)
    is_system = models.BooleanField(default=False)
    subject = models.CharField(_("about"), max_length=300, blank=True)
    params = models.JSONField(default=dict)
    exclusive = models.CharField(max_length=120, null=True, blank=True)  # noqa: DJ001  (NULL = shares with everybody)
    server_ref = models.UUIDField(null=True, db_index=True)
    job_ref = models.UUIDField(null=True, db_index=True)
    repository_ref = models.UUIDField(null=True, db_index=True)
    archive_ref = models.UUIDField(null=True, db_index=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    retry_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="retries")

    created_at = models.DateTimeField(_("created"), default=timezone.now, db_index=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    heartbeat_at = models.DateTimeField(null=True)
    deadline_seconds = models.PositiveIntegerField(_("time limit (s)"), default=0)  # 0 = none
    cancel_requested_at = models.DateTimeField(null=True)
    worker = models.CharField(_("worker"), max_length=120, blank=True)

    phase = models.CharField(_("phase"), max_length=40, blank=True)
    progress = models.JSONField(default=dict)
    steps = models.JSONField(default=list)
    findings = models.JSONField(default=list)
    findings_count = models.PositiveIntegerField(default=0)
    result = models.JSONField(default=dict)
    error_code = models.CharField(max_length=16, blank=True)
    error_facts = models.JSONField(default=dict)
    error_detail = models.TextField(blank=True)
    log_tail = models.TextField(blank=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ["-created_at"]
        constraints = [
            # One writer per repository (or whatever `exclusive` names); the others wait visibly.
            models.UniqueConstraint(
                fields=["exclusive"], condition=Q(state="running"), name="task_one_running_per_resource"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "created_at"], name="task_state_created"),
            models.Index(fields=["is_system", "-created_at"], name="task_people_recent"),
            models.Index(fields=["job_ref", "-created_at"], name="task_job_recent"),
            models.Index(fields=["server_ref", "-created_at"], name="task_server_recent"),
            models.Index(fields=["state", "finished_at"], name="task_state_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()

    def get_absolute_url(self) -> str:
        return reverse("task", args=[self.pk])

    @property
    def state_enum(self) -> State:
        return State(self.state)

    @property
    def is_active(self) -> bool:
        return self.state in states.ACTIVE

    @property
    def duration_seconds(self) -> float | None:
        """From start to end, or to now while it runs; None before the start."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

    @property
    def short_id(self) -> str:
        return self.pk.hex[:8]


class LeaseQuerySet(models.QuerySet["Lease"]):
    def held(self) -> Self:
        return self.filter(released_at__isnull=True)

    def abandoned(self) -> Self:
        """Held on this host by a task that has ended, or kept past their time."""
        return (
            self.held()
            .filter(host=socket.gethostname())
            .filter(Q(keep_until__isnull=True, task__state__in=states.FINAL) | Q(keep_until__lt=timezone.now()))
        )


class Lease(models.Model):
    """Something outside that we made: written down before it is made, removed in reverse order.

    A lease with `keep_until` outlives its task (a browse mount) and ends when that time has passed.
    """

    id = models.BigAutoField(primary_key=True)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="leases")
    kind = models.CharField(_("kind"), max_length=40)
    host = models.CharField(max_length=120, default=socket.gethostname)  # where it must be removed
    data = models.JSONField(default=dict)  # what is needed to remove it; never a secret
    created_at = models.DateTimeField(default=timezone.now)
    keep_until = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    tried_at = models.DateTimeField(null=True, blank=True)  # the last attempt that failed
    error = models.TextField(blank=True)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("lease")
        verbose_name_plural = _("leases")
        ordering = ["-id"]
        indexes = [models.Index(fields=["released_at", "keep_until"], name="lease_held")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


JSON = dict[str, Any]
