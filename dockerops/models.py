"""DockerRestore: what of a Docker archive is put back where, as the wizard fills it, and what became of it."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from dockerops import typed
from phpborg.tasks.models import Task


class DockerRestoreQuerySet(models.QuerySet["DockerRestore"]):
    def visible_to(self, user: object) -> Self:
        """Drafts are their maker's alone; what was started is everybody's who may see restores."""
        return self.filter(
            ~models.Q(state=DockerRestore.State.DRAFT) | models.Q(requested_by=getattr(user, "pk", None))
        )

    def protected(self) -> Self:
        """Those whose former state is still kept aside."""
        return self.filter(protected_until__isnull=False)


class DockerRestore(models.Model):
    """A draft, then one execution of its plan. No environment and no password of a driver is ever in this row.

    `contents` is what a look into the archive found: names, sizes, origins. `plan` with its hash is what was shown,
    and what is carried out. `rolled_back` says: it failed (or was cancelled, or undone later), and the server is as
    it was before; `report` says which.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        STARTED = "started", _("Started")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        ROLLED_BACK = "rolled_back", _("Rolled back")

    class Step(models.IntegerChoices):
        """Of the wizard."""

        ARCHIVE = 1, _("Archive")
        CONTENTS = 2, _("Contents")
        CHOICE = 3, _("Choice")
        CONFLICTS = 4, _("Conflicts")
        OPTIONS = 5, _("Options")
        REVIEW = 6, _("Review")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    archive = models.ForeignKey("backups.Archive", null=True, on_delete=models.SET_NULL, related_name="docker_restores")
    archive_name = models.CharField(_("archive"), max_length=500)
    server = models.ForeignKey(
        "servers.Server",
        null=True,
        on_delete=models.SET_NULL,
        related_name="docker_restores",
        verbose_name=_("to the server"),
    )
    server_name = models.CharField(max_length=80, blank=True)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.DRAFT)
    step = models.PositiveSmallIntegerField(choices=Step.choices, default=Step.ARCHIVE)
    contents = models.JSONField(default=dict)  # of looking.py; {} until somebody has looked
    look_task = models.UUIDField(null=True, db_index=True)
    choice = models.JSONField(default=dict)  # choice.Choice
    options = models.JSONField(default=dict)  # options.Options
    conflicts = models.JSONField(default=list)  # conflicts.Conflict, as detecting.py found them
    conflicts_at = models.DateTimeField(null=True)  # null: never asked, or asked for something else since
    conflicts_task = models.UUIDField(null=True, db_index=True)
    consents = models.JSONField(
        default=list
    )  # typed.stored keys of conflicts that somebody has agreed to; see `agreed`
    inventory = models.JSONField(default=dict)  # the target as it was seen with the conflicts
    plan = models.JSONField(default=dict)  # plan.DockerPlan: what was shown and carried out
    plan_hash = models.CharField(max_length=64, blank=True)
    token = models.CharField(max_length=40, blank=True)  # of the journal on the server
    report = models.JSONField(default=dict)
    task_ref = models.UUIDField(null=True, db_index=True)
    rollback_task = models.UUIDField(null=True, db_index=True)
    # The former state can be brought back until then; null: nothing is kept (any more).
    protected_until = models.DateTimeField(_("can be undone until"), null=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True)

    objects = DockerRestoreQuerySet.as_manager()

    class Meta:
        verbose_name = _("Docker restore")
        verbose_name_plural = _("Docker restores")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "-created_at"], name="docker_restore_recent")]

    def __str__(self) -> str:
        return f"{self.archive_name} → {self.server_name}"

    def get_absolute_url(self) -> str:
        return reverse("docker-restore", args=[self.pk])

    @property
    def agreed(self) -> list[str]:
        """The keys of conflicts that somebody has agreed to, as conflicts have them: they may hold odd names."""
        return list(typed.restored(self.consents))

    @property
    def is_draft(self) -> bool:
        return self.state == self.State.DRAFT

    @property
    def is_protected(self) -> bool:
        """Can it be undone by one click now?"""
        until = self.protected_until
        return until is not None and until > timezone.now() and self.state in (self.State.DONE, self.State.FAILED)

    @property
    def is_half_undone(self) -> bool:
        """Was it undone in part only? Then what it had replaced is still kept, and undoing may be tried again."""
        rollback = self.report.get("rollback") or {}
        return self.state == self.State.FAILED and rollback.get("complete") is False

    @property
    def task(self) -> Task | None:
        """The task that carries it out, while its row is kept."""
        return Task.objects.filter(pk=self.task_ref).first() if self.task_ref else None
