"""ProofPlan: how the archives of a job are proven, and when. Proof: one attempt, and what was seen."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Depth(models.IntegerChoices):
    """How deep a proof goes; each depth includes those above it."""

    LIST = 1, _("Open and list")
    READ = 2, _("Read the contents")
    START = 3, _("Start the databases")

    @property
    def word(self) -> str:
        """As commands and JSON name it."""
        return self.name.lower()


class ProofPlan(models.Model):
    """When and how deep the newest good archive of a job is proven. Percent of the bytes: 100 reads everything."""

    job = models.OneToOneField(
        "backups.BackupJob", on_delete=models.CASCADE, related_name="proof_plan", primary_key=True
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    cron = models.CharField(_("schedule"), max_length=200, blank=True)  # blank: by hand only
    zone = models.CharField(_("time zone"), max_length=64, blank=True)
    depth = models.PositiveSmallIntegerField(_("depth"), choices=Depth.choices, default=Depth.READ)
    sample_percent = models.PositiveSmallIntegerField(
        _("share that is read (%)"), default=100, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    # Where databases are started; blank = this machine. `docker`: the engine's socket there, blank = as seen.
    server = models.ForeignKey(
        "servers.Server",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("databases are started on"),
    )
    docker = models.CharField(_("Docker socket"), max_length=400, blank=True)
    image = models.CharField(_("image"), max_length=255, blank=True)
    queries = models.JSONField(_("queries"), default=list, blank=True)  # recovery.checks.base.Query.as_json
    overdue_days = models.PositiveIntegerField(_("overdue after (days)"), null=True, blank=True, default=35)
    next_run_at = models.DateTimeField(_("next proof"), null=True, blank=True, db_index=True)
    last_due_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("plan of proofs")
        verbose_name_plural = _("plans of proofs")
        ordering = ["job__name"]

    def __str__(self) -> str:
        return str(self.job)


class ProofQuerySet(models.QuerySet["Proof"]):
    def active(self) -> Self:
        """Those that wait or go on."""
        return self.filter(state__in=Proof.ACTIVE)

    def ended(self) -> Self:
        """Those that say something: a cancelled one does not."""
        return self.filter(state__in=[Proof.State.PROVEN, Proof.State.FAILED])


class Proof(models.Model):
    """One proof of an archive: what was asked, what was seen, and how it ended. `reached` counts, not `depth`."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        PROVEN = "proven", pgettext_lazy("an archive", "Proven")
        FAILED = "failed", pgettext_lazy("a proof", "Not proven")
        CANCELLED = "cancelled", _("Cancelled")

    ACTIVE = (State.WAITING, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    archive = models.ForeignKey("backups.Archive", null=True, on_delete=models.SET_NULL, related_name="proofs")
    archive_name = models.CharField(_("archive"), max_length=500, blank=True)
    job = models.ForeignKey("backups.BackupJob", null=True, on_delete=models.SET_NULL, related_name="proofs")
    job_name = models.CharField(_("job"), max_length=200, blank=True)
    depth = models.PositiveSmallIntegerField(_("depth"), choices=Depth.choices)
    reached = models.PositiveSmallIntegerField(_("depth reached"), choices=Depth.choices, null=True)
    sample_percent = models.PositiveSmallIntegerField(_("share that is read (%)"), default=100)
    seed = models.CharField(max_length=64)  # which files a sample takes follows from it
    server = models.ForeignKey("servers.Server", null=True, on_delete=models.SET_NULL, related_name="+")
    docker = models.CharField(max_length=400, blank=True)
    image = models.CharField(max_length=255, blank=True)
    queries = models.JSONField(default=list)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    trigger = models.CharField(max_length=16)
    evidence = models.JSONField(default=dict)
    error_code = models.CharField(max_length=16, blank=True)
    error_facts = models.JSONField(default=dict)
    error_detail = models.TextField(blank=True)
    task_ref = models.UUIDField(null=True, db_index=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    duration_seconds = models.FloatField(_("duration"), null=True)

    objects = ProofQuerySet.as_manager()

    class Meta:
        verbose_name = _("proof")
        verbose_name_plural = _("proofs")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["job"], condition=Q(state__in=["waiting", "running"]), name="proof_one_active_per_job"
            )
        ]
        indexes = [
            models.Index(fields=["job", "-created_at"], name="proof_job_recent"),
            models.Index(fields=["archive", "-created_at"], name="proof_archive_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.job_name or self.archive_name}"

    def get_absolute_url(self) -> str:
        return reverse("proof", args=[self.pk])

    @property
    def is_active(self) -> bool:
        return self.state in self.ACTIVE

    @property
    def tone(self) -> str:
        """The colour's name in the design tokens."""
        return {"proven": "good", "failed": "bad", "running": "info"}.get(self.state, "neutral")

    @property
    def icon(self) -> str:
        """The symbol's name in static/icons.svg."""
        return {"proven": "check", "failed": "cross", "running": "play", "cancelled": "stop"}.get(self.state, "clock")

    def evidence_of(self, name: str) -> Any:
        """One part of the evidence, None when it was not come to."""
        return self.evidence.get(name)
