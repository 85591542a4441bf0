"""Pools, repositories, jobs, schedules, archives. Unknown sizes and times are NULL, never 0."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phpborg.crypto import EncryptedField, EncryptedText
from phpborg.tasks.states import State


class StoragePool(models.Model):
    """A directory on one filesystem of the backup host that holds repositories."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True)
    path = models.CharField(_("path"), max_length=1000, unique=True)
    is_default = models.BooleanField(_("default pool"), default=False)
    threshold_percent = models.PositiveSmallIntegerField(
        _("warn from (% used)"), default=85, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    filesystem = models.CharField(_("filesystem"), max_length=40, blank=True)
    capacity_bytes = models.BigIntegerField(_("capacity"), null=True, blank=True)
    used_bytes = models.BigIntegerField(_("used"), null=True, blank=True)
    available_bytes = models.BigIntegerField(_("available"), null=True, blank=True)
    analysed_at = models.DateTimeField(_("analysed"), null=True, blank=True)
    problem = models.CharField(_("problem"), max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("storage pool")
        verbose_name_plural = _("storage pools")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="pool_one_default")
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("pool", args=[self.pk])

    @property
    def used_share(self) -> float | None:
        """0…1 of what can be used, None while unknown."""
        if not self.capacity_bytes or self.available_bytes is None:
            return None
        return 1 - self.available_bytes / self.capacity_bytes

    @property
    def taken_bytes(self) -> int | None:
        """What cannot be used any more: also what the filesystem keeps for root."""
        if self.capacity_bytes is None or self.available_bytes is None:
            return None
        return self.capacity_bytes - self.available_bytes

    @property
    def threshold_share(self) -> float:
        """The threshold as 0…1."""
        return self.threshold_percent / 100

    @property
    def is_over_threshold(self) -> bool:
        share = self.used_share
        return share is not None and share * 100 >= self.threshold_percent


class RepositoryQuerySet(models.QuerySet["Repository"]):
    def live(self) -> Self:
        return self.filter(trashed_at__isnull=True)


class Repository(models.Model):
    """A Borg repository inside a pool. Its identity (id, encryption) is pinned at first contact."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pool = models.ForeignKey(
        StoragePool, on_delete=models.PROTECT, related_name="repositories", verbose_name=_("storage pool")
    )
    name = models.CharField(_("name"), max_length=80, unique=True)
    path = models.CharField(_("path"), max_length=1000, unique=True)
    borg_id = models.CharField(_("Borg's id"), max_length=64, null=True, blank=True, unique=True)
    encryption = models.CharField(_("encryption"), max_length=40)
    passphrase = EncryptedField(blank=True, default=EncryptedText)
    # The key as the repository's config should hold it (backups/services/key_guard.py).
    key_copy = EncryptedField(blank=True, default=EncryptedText)
    compression = models.CharField(_("compression"), max_length=40, default="zstd,3")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    size_bytes = models.BigIntegerField(_("size on disk"), null=True, blank=True)
    original_bytes = models.BigIntegerField(_("original size of all archives"), null=True, blank=True)
    unfreed = models.BooleanField(default=False)  # something was deleted since the last compact
    measured_at = models.DateTimeField(_("measured"), null=True, blank=True)
    synced_at = models.DateTimeField(_("compared with Borg"), null=True, blank=True)
    checked_at = models.DateTimeField(_("last check"), null=True, blank=True)
    check_good = models.BooleanField(null=True)
    compacted_at = models.DateTimeField(_("last compact"), null=True, blank=True)
    key_exported_at = models.DateTimeField(_("key exported"), null=True, blank=True)
    # The administrator confirmed that the repository was moved to `path` from here.
    confirmed_move_from = models.CharField(max_length=1000, blank=True)
    trashed_at = models.DateTimeField(_("in the trash since"), null=True, blank=True)
    trash_path = models.CharField(max_length=1000, blank=True)

    objects = RepositoryQuerySet.as_manager()

    class Meta:
        verbose_name = _("repository")
        verbose_name_plural = _("repositories")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("repository", args=[self.pk])

    @property
    def exclusive(self) -> str:
        """The name under which writers wait for each other."""
        return f"repository:{self.pk}"

    @property
    def is_encrypted(self) -> bool:
        return self.encryption != "none"


class BackupJobQuerySet(models.QuerySet["BackupJob"]):
    def enabled(self) -> Self:
        return self.filter(enabled=True)


class BackupJob(models.Model):
    """The recurring definition: what of which server goes into which repository, and when."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=200, unique=True)
    slug = models.SlugField(max_length=40)
    server = models.ForeignKey(
        "servers.Server", on_delete=models.PROTECT, related_name="jobs", verbose_name=_("server")
    )
    repository = models.ForeignKey(
        Repository, on_delete=models.PROTECT, related_name="jobs", verbose_name=_("repository")
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    source_kind = models.CharField(_("source"), max_length=20, default="files")
    source = models.JSONField(default=dict)  # shape: the source's own `Config` (backups/sources)
    # A login that was given for a database: JSON {"user", "password"}, blank = the server's own ways in.
    credentials = EncryptedField(blank=True, default=EncryptedText)
    compression = models.CharField(_("compression"), max_length=40, blank=True)  # blank = the repository's
    upload_rate_kib = models.PositiveIntegerField(_("rate limit (KiB/s)"), null=True, blank=True)
    nice = models.PositiveSmallIntegerField(_("niceness"), default=10, validators=[MaxValueValidator(19)])
    hook_before = models.CharField(_("hook before"), max_length=100, blank=True)
    hook_after = models.CharField(_("hook after"), max_length=100, blank=True)
    hook_seconds = models.PositiveIntegerField(
        _("time limit of a hook (s)"), default=300, validators=[MinValueValidator(1)]
    )
    time_limit_seconds = models.PositiveIntegerField(_("time limit (s), 0 for none"), default=0)
    notify = models.CharField(_("send failures to"), max_length=1000, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = BackupJobQuerySet.as_manager()

    class Meta:
        verbose_name = _("backup job")
        verbose_name_plural = _("backup jobs")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("job", args=[self.pk])


class Schedule(models.Model):
    """When a job runs: five cron fields in one declared time zone."""

    job = models.OneToOneField(BackupJob, on_delete=models.CASCADE, related_name="schedule", primary_key=True)
    cron = models.CharField(_("schedule"), max_length=200)
    zone = models.CharField(_("time zone"), max_length=64)
    enabled = models.BooleanField(_("enabled"), default=True)
    next_run_at = models.DateTimeField(_("next run"), null=True, blank=True, db_index=True)
    last_due_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")

    def __str__(self) -> str:
        return f"{self.cron} ({self.zone})"


class ArchiveQuerySet(models.QuerySet["Archive"]):
    def present(self) -> Self:
        """Neither gone from Borg nor in the trash."""
        return self.filter(missing_at__isnull=True, trashed_at__isnull=True)

    def good(self) -> Self:
        return self.present().filter(grade__in=[State.SUCCESS, State.NOTES])

    def proven(self) -> Self:
        """Those whose last proof of restore was good, the newest proof first."""
        return self.present().filter(proven_at__isnull=False).order_by("-proven_at")


class Archive(models.Model):
    """A restore point that was found in the repository under exactly this name with this id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, related_name="archives", verbose_name=_("repository")
    )
    job = models.ForeignKey(
        BackupJob, null=True, blank=True, on_delete=models.SET_NULL, related_name="archives", verbose_name=_("job")
    )
    server = models.ForeignKey(
        "servers.Server",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="archives",
        verbose_name=_("server"),
    )
    # Kept when the job or the server goes.
    job_name = models.CharField(max_length=200, blank=True)
    server_name = models.CharField(max_length=80, blank=True)
    task_ref = models.UUIDField(null=True, db_index=True)
    name = models.CharField(_("name"), max_length=500)
    borg_id = models.CharField(_("Borg's id"), max_length=64)
    started_at = models.DateTimeField(_("point in time"))
    finished_at = models.DateTimeField(null=True, blank=True)
    original_bytes = models.BigIntegerField(_("original size"), null=True, blank=True)
    compressed_bytes = models.BigIntegerField(_("compressed size"), null=True, blank=True)
    deduplicated_bytes = models.BigIntegerField(_("new data"), null=True, blank=True)
    files = models.BigIntegerField(_("files"), null=True, blank=True)
    duration_seconds = models.FloatField(_("duration"), null=True, blank=True)
    rate_average = models.FloatField(null=True, blank=True)  # bytes per second of source read
    # success, notes or incomplete; blank = made outside of phpBorg, not graded.
    grade = models.CharField(_("outcome"), max_length=16, blank=True)
    findings_count = models.PositiveIntegerField(default=0)
    backup_config = models.JSONField(default=dict)
    found_at = models.DateTimeField(_("proven in the repository"), default=timezone.now)
    missing_at = models.DateTimeField(_("gone from Borg since"), null=True, blank=True)
    trashed_at = models.DateTimeField(_("in the trash since"), null=True, blank=True)
    pinned = models.BooleanField(_("pinned"), default=False)
    # The stamp of the last good proof of restore; a later one that disproves the archive takes it away.
    proven_at = models.DateTimeField(_("proven"), null=True, blank=True, db_index=True)
    proven_depth = models.PositiveSmallIntegerField(null=True, blank=True)  # recovery.models.Depth
    proven_seconds = models.FloatField(null=True, blank=True)

    objects = ArchiveQuerySet.as_manager()

    class Meta:
        verbose_name = _("archive")
        verbose_name_plural = _("archives")
        ordering = ["-started_at"]
        constraints = [models.UniqueConstraint(fields=["repository", "borg_id"], name="archive_once_per_repository")]
        indexes = [
            models.Index(fields=["job", "-started_at"], name="archive_job_recent"),
            models.Index(fields=["server", "-started_at"], name="archive_server_recent"),
            models.Index(fields=["repository", "-started_at"], name="archive_repository_recent"),
            models.Index(fields=["-started_at"], name="archive_recent"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("archive", args=[self.pk])


class JobDraft(models.Model):
    """A wizard that was begun: its answers so far, step by step. It can be left and taken up again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="job_drafts")
    job = models.ForeignKey(BackupJob, null=True, blank=True, on_delete=models.CASCADE, related_name="drafts")
    answers = models.JSONField(default=dict)
    credentials = EncryptedField(blank=True, default=EncryptedText)  # as those of a job
    step = models.CharField(max_length=20, default="server")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("job draft")
        verbose_name_plural = _("job drafts")
        ordering = ["-updated_at"]
