"""Server: a machine that we back up. Its private key is stored encrypted and made a file only while in use."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phpborg.crypto import EncryptedField, EncryptedText

name_validator = RegexValidator(
    r"^[\w][\w .@+-]{0,79}\Z", _("Use letters, digits, spaces and . @ + - _; begin with a letter or a digit.")
)
user_validator = RegexValidator(r"^[a-z_][a-z0-9_-]{0,31}\Z", _("This is not a Unix user name."))
# A DNS name, an IPv4 or an IPv6 address (brackets optional): nothing that ssh could read as an option.
address_validator = RegexValidator(
    r"^(\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(%[\w.-]+)?|[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?)\Z",
    _("Write a host name or an IP address."),
)


class Label(models.Model):
    """A word that servers share: a site, a customer, a stage."""

    name = models.CharField(_("name"), max_length=40, unique=True, validators=[name_validator])

    class Meta:
        verbose_name = _("label")
        verbose_name_plural = _("labels")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ServerQuerySet(models.QuerySet["Server"]):
    def ready(self) -> Self:
        return self.filter(state=Server.State.READY)


class Server(models.Model):
    """A machine that we back up: this one, or one that we reach over SSH."""

    class Kind(models.TextChoices):
        LOCAL = "local", _("This machine")
        SSH = "ssh", _("Over SSH")

    class Mode(models.TextChoices):
        TUNNEL = "tunnel", _("Tunnel: the backup host opens the connection and carries the data through it")
        DIRECT = "direct", _("Direct: the server connects to the backup host with its own restricted key")

    class State(models.TextChoices):
        NEW = "new", _("To be set up")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Set-up failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True, validators=[name_validator])
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices, default=Kind.SSH)
    address = models.CharField(_("address"), max_length=255, blank=True, validators=[address_validator])
    port = models.PositiveIntegerField(
        _("port"), default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    user = models.CharField(_("user"), max_length=32, default="root", validators=[user_validator])
    mode = models.CharField(_("way of the data"), max_length=8, choices=Mode.choices, default=Mode.TUNNEL)
    labels = models.ManyToManyField(Label, blank=True, related_name="servers", verbose_name=_("labels"))
    notes = models.TextField(_("notes"), blank=True)

    # The pinned identity: "type base64" lines as approved; a change stops everything.
    host_key = models.TextField(_("host key"), blank=True)
    host_key_fingerprint = models.CharField(max_length=120, blank=True, db_index=True)
    host_key_approved_at = models.DateTimeField(null=True, blank=True)
    # Seen at first contact, waiting for approval.
    offered_host_key = models.TextField(blank=True)
    public_key = models.TextField(_("our public key"), blank=True)
    private_key = EncryptedField(blank=True, default=EncryptedText)
    # The server's own public key for direct backups; its private half never leaves the server.
    direct_public_key = models.TextField(blank=True)

    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.NEW)
    facts = models.JSONField(default=dict)  # what the helper's hello and the set-up found
    facts_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(_("last seen"), null=True, blank=True)
    last_error_code = models.CharField(max_length=16, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = ServerQuerySet.as_manager()

    class Meta:
        verbose_name = _("server")
        verbose_name_plural = _("servers")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["address", "port"], condition=models.Q(kind="ssh"), name="server_one_per_address"
            ),
            models.UniqueConstraint(fields=["kind"], condition=models.Q(kind="local"), name="server_one_local"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("server", args=[self.pk])

    @property
    def is_local(self) -> bool:
        return self.kind == self.Kind.LOCAL

    @property
    def is_ready(self) -> bool:
        return self.state == self.State.READY

    @property
    def endpoint(self) -> str:
        """user@address:port for people; empty for this machine."""
        if self.is_local:
            return ""
        address = f"[{self.address}]" if ":" in self.address and not self.address.startswith("[") else self.address
        return f"{self.user}@{address}:{self.port}"

    @property
    def place(self) -> str:
        """The endpoint without what is usual (root, port 22), for lists."""
        return self.endpoint.removeprefix("root@").removesuffix(":22")

    def fact(self, *path: str) -> Any:
        """A value inside the facts, or None when it is not known."""
        value: Any = self.facts
        for name in path:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value


class CapabilityReport(models.Model):
    """What one look at a server found: see docs/capabilities.md. Only the newest few are kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="capability_reports")
    taken_at = models.DateTimeField(_("taken"))  # by our clock: the server's may be wrong
    schema = models.PositiveSmallIntegerField()
    data = models.JSONField()  # read and bounded by servers.capabilities.report; never a password
    seconds = models.FloatField(_("seconds"), null=True)
    task_ref = models.UUIDField(null=True, blank=True)

    class Meta:
        verbose_name = _("capability report")
        verbose_name_plural = _("capability reports")
        ordering = ["-taken_at"]
        indexes = [models.Index(fields=["server", "-taken_at"], name="capability_report_newest")]

    def __str__(self) -> str:
        return f"{self.server} {self.taken_at:%Y-%m-%d %H:%M}"


class Sampling(models.Model):
    """How the statistics of one server are gathered: when next, what the last look met, the counters it left.

    A row of its own: it changes 96 times a day, and a server's row does not.
    """

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="sampling")
    due_at = models.DateTimeField(_("next"), db_index=True)
    sampled_at = models.DateTimeField(_("last sample"), null=True)
    # The last reading (servers/statistics/sample.py): the figures of now, and counters for the next rates.
    last = models.JSONField(default=dict)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    error_code = models.CharField(max_length=16, blank=True)
    error_facts = models.JSONField(default=dict)
    error_detail = models.TextField(blank=True)
    # Hours before this are summed up; so are the days that ended before it. NULL before the first sample.
    summed_until = models.DateTimeField(null=True, db_index=True)

    class Meta:
        verbose_name = _("gathering of statistics")
        verbose_name_plural = _("gathering of statistics")
        ordering = ["server__name"]

    def __str__(self) -> str:
        return str(self.server)


class Sample(models.Model):
    """A server's figures at a moment (fine), or their means over the hour or day that begins then, in UTC.

    What is not known is NULL. All filesystems are in the row, as {mount point: [numbers as in
    FILESYSTEM_NUMBERS]}: a chart reads every filesystem of one server and never one of all servers, so a
    table of their own would make five times the rows (8 million for 500 servers) and answer no question
    that this one does not. An hour or day holds [mean, lowest, highest] for each of them, and [lowest,
    highest] of the columns in `ranges`.
    """

    class Resolution(models.TextChoices):
        FINE = "fine", _("Each look")
        HOUR = "hour", _("Hour")
        DAY = "day", _("Day")

    FILESYSTEM_NUMBERS = ("size_bytes", "used_bytes", "available_bytes", "inodes", "inodes_used")

    # No index for the server alone: the unique constraint begins with it.
    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="samples", db_index=False)
    resolution = models.CharField(_("resolution"), max_length=4, choices=Resolution.choices)
    taken_at = models.DateTimeField(_("taken"))
    cpu_share = models.FloatField(null=True)
    load1 = models.FloatField(null=True)
    load5 = models.FloatField(null=True)
    load15 = models.FloatField(null=True)
    memory_total_bytes = models.BigIntegerField(null=True)
    memory_available_bytes = models.BigIntegerField(null=True)
    swap_total_bytes = models.BigIntegerField(null=True)
    swap_free_bytes = models.BigIntegerField(null=True)
    received = models.FloatField(_("received, bytes a second"), null=True)
    sent = models.FloatField(_("sent, bytes a second"), null=True)
    uptime_seconds = models.FloatField(null=True)
    filesystems = models.JSONField(default=dict)
    ranges = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("sample")
        verbose_name_plural = _("samples")
        constraints = [
            # Also the index of every chart: one server, one resolution, in order of time.
            models.UniqueConstraint(fields=["server", "resolution", "taken_at"], name="sample_once"),
        ]
        # What is too old of each resolution is found without a look at the rest.
        indexes = [models.Index(fields=["resolution", "taken_at"], name="sample_age")]

    def __str__(self) -> str:
        return f"{self.resolution} {self.taken_at:%Y-%m-%d %H:%M}"
