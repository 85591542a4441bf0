"""Restore: files put back from an archive. BrowseSession: an archive that is open for reading. Session: a database
that runs out of one."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy

from phpborg.crypto import EncryptedField, EncryptedText
from recovery.engines.base import Product


class BrowseSession(models.Model):
    """An archive mounted from a lock-free view of its repository, until nobody looks any more."""

    class State(models.TextChoices):
        OPENING = "opening", _("Opening")
        OPEN = "open", _("Open")
        CLOSED = "closed", _("Closed")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    archive = models.ForeignKey("backups.Archive", on_delete=models.CASCADE, related_name="browse_sessions")
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPENING)
    task_ref = models.UUIDField(null=True)
    lease_id = models.BigIntegerField(null=True)
    mountpoint = models.CharField(max_length=1000, blank=True)
    opened_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("open archive")
        verbose_name_plural = _("open archives")
        constraints = [
            models.UniqueConstraint(
                fields=["archive"], condition=models.Q(state__in=["opening", "open"]), name="browse_one_per_archive"
            )
        ]


class Restore(models.Model):
    """What was picked, where it goes, what happens on conflict — and what was really done."""

    class Kind(models.TextChoices):
        FILES = "files", _("Files")
        LOAD = "load", _("Into a running server")

    class Destination(models.TextChoices):
        IN_PLACE = "in_place", _("In place")
        OTHER_PATH = "other_path", _("Another path")

    class Conflict(models.TextChoices):
        KEEP = "keep", _("Keep what is there")
        REPLACE = "replace", _("Replace what is there")
        NEWER = "newer", _("Replace only what is older than in the archive")
        RENAME = "rename", _("Keep both: restore under a new name")

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        STARTED = "started", _("Started")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    archive = models.ForeignKey("backups.Archive", null=True, on_delete=models.SET_NULL, related_name="restores")
    archive_name = models.CharField(max_length=500)
    server = models.ForeignKey(
        "servers.Server", null=True, on_delete=models.SET_NULL, related_name="restores", verbose_name=_("to the server")
    )
    server_name = models.CharField(max_length=80, blank=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices, default=Kind.FILES)
    # Of a load: the database server's id in the report, keys of dumps (services/dumps.py), and what may happen there.
    instance = models.CharField(max_length=400, blank=True)
    dumps = models.JSONField(default=list)
    replace = models.BooleanField(default=False)
    new_name = models.CharField(max_length=200, blank=True)
    login_user = models.CharField(max_length=500, blank=True)  # blank: the login that was found works
    credentials = EncryptedField(blank=True, default=EncryptedText)  # cleared when the restore has ended
    selection = models.JSONField(default=list)  # archive paths, bytes as surrogateescape text
    destination = models.CharField(
        _("where"), max_length=12, choices=Destination.choices, default=Destination.OTHER_PATH
    )
    target_path = models.CharField(_("directory"), max_length=4000, blank=True)
    conflict = models.CharField(_("on conflict"), max_length=8, choices=Conflict.choices, default=Conflict.KEEP)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.DRAFT)
    plan = models.JSONField(default=dict)  # the plan that was shown and carried out
    report = models.JSONField(default=dict)  # counts of what was placed, kept, replaced, renamed, failed
    task_ref = models.UUIDField(null=True, db_index=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("restore")
        verbose_name_plural = _("restores")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.archive_name} → {self.server_name}:{self.target_path}"

    def get_absolute_url(self) -> str:
        return reverse("restore", args=[self.pk])


class SessionQuerySet(models.QuerySet["Session"]):
    def active(self) -> SessionQuerySet:
        """Those that hold something, or are about to."""
        return self.filter(state__in=Session.ACTIVE)


class Session(models.Model):
    """An Instant Recovery: what was asked, and what became of it. Its task lives as long as the database runs.

    `asked` is the request to the helper without secrets, made of the plan that was shown; the figures are None
    until they are known.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        STARTING = "starting", _("Starting")
        READY = "ready", pgettext_lazy("a session", "Ready")
        STOPPING = "stopping", _("Stopping")
        STOPPED = "stopped", pgettext_lazy("a session", "Stopped")
        FAILED = "failed", _("Failed")

    class AdminerProblem(models.TextChoices):
        IMAGE = "image", _("its image is not on the server")
        START = "start", _("it did not start")
        ENDED = "ended", _("it has ended")
        PORT = "port", _("no port is free for it")

    ACTIVE = (State.STARTING, State.READY, State.STOPPING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    archive = models.ForeignKey("backups.Archive", null=True, on_delete=models.SET_NULL, related_name="sessions")
    archive_name = models.CharField(_("archive"), max_length=500)
    server = models.ForeignKey(
        "servers.Server", null=True, on_delete=models.SET_NULL, related_name="sessions", verbose_name=_("on the server")
    )
    server_name = models.CharField(max_length=80, blank=True)
    product = models.CharField(_("product"), max_length=20)
    version = models.CharField(_("version"), max_length=40, blank=True)
    directory = models.CharField(_("data directory"), max_length=4000, blank=True)  # as shown, in the archive
    image = models.CharField(_("image"), max_length=255)
    is_read_only = models.BooleanField(_("read-only"), default=True)
    asked = models.JSONField(default=dict)
    secrets = EncryptedField(blank=True, default=EncryptedText)  # JSON, cleared with the end
    login = models.CharField(_("login"), max_length=64, blank=True)
    password = EncryptedField(blank=True, default=EncryptedText)  # cleared with the end
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.DRAFT)
    port = models.PositiveIntegerField(_("port"), null=True)
    adminer_port = models.PositiveIntegerField(null=True)  # of its server's own loopback, while Adminer answers there
    adminer_problem = models.CharField(max_length=8, choices=AdminerProblem.choices, blank=True)
    address = models.GenericIPAddressField(_("address"), default="127.0.0.1")
    upper_bytes = models.BigIntegerField(_("upper layer"), null=True)
    read_bytes = models.BigIntegerField(_("read from the archive"), null=True)
    connections = models.PositiveIntegerField(_("connections"), null=True)
    prepared = models.PositiveIntegerField(null=True)  # transactions that clients had left in doubt (XA)
    error_code = models.CharField(max_length=16, blank=True)
    error_facts = models.JSONField(default=dict)
    error_detail = models.TextField(blank=True)
    task_ref = models.UUIDField(null=True, db_index=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    ready_at = models.DateTimeField(_("ready since"), null=True)
    expires_at = models.DateTimeField(_("ends at"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("Instant Recovery session")
        verbose_name_plural = _("Instant Recovery sessions")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "-created_at"], name="session_state_recent")]

    def __str__(self) -> str:
        return f"{self.product} {self.version} · {self.archive_name}"

    def get_absolute_url(self) -> str:
        return reverse("session", args=[self.pk])

    @property
    def product_name(self) -> str:
        """As its makers write it; one that this version does not know stays as it is."""
        return Product(self.product).label if self.product in set(Product) else self.product

    @property
    def is_active(self) -> bool:
        """Does it hold something, or is about to?"""
        return self.state in self.ACTIVE

    @property
    def has_adminer(self) -> bool:
        """Is one asked for beside it, and may it be there by now?"""
        return self.state == self.State.READY and bool(self.asked.get("adminer"))

    @property
    def prepared_note(self) -> str:
        """What was done with transactions in doubt; empty when there were none."""
        if not self.prepared:
            return ""
        if self.is_read_only:
            text = ngettext(
                "{count} transaction was prepared by its client (XA), neither committed nor rolled back. The server "
                "showed it to nobody: here it is rolled back, in this session alone.",
                "{count} transactions were prepared by their clients (XA), neither committed nor rolled back. The "
                "server showed them to nobody: here they are rolled back, in this session alone.",
                self.prepared,
            )
        else:
            text = ngettext(
                "{count} transaction was prepared by its client (XA), neither committed nor rolled back. In this "
                "sandbox it waits as it did on the server, with its locks: XA RECOVER tells its name.",
                "{count} transactions were prepared by their clients (XA), neither committed nor rolled back. In this "
                "sandbox they wait as they did on the server, with their locks: XA RECOVER tells their names.",
                self.prepared,
            )
        return text.format(count=self.prepared)


from recovery.models_proof import Depth, Proof, ProofPlan  # noqa: E402

__all__ = ["BrowseSession", "Depth", "Proof", "ProofPlan", "Restore", "Session"]
