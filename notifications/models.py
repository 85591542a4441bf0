"""How mail leaves: one row, its password encrypted."""

from __future__ import annotations

import uuid
from typing import Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phpborg.crypto import EncryptedField, EncryptedText


class MailSettings(models.Model):
    """The mail server and who hears of failures. Disabled until somebody fills it in."""

    class Security(models.TextChoices):
        NONE = "none", _("None")
        STARTTLS = "starttls", _("STARTTLS")
        TLS = "tls", _("TLS")

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    enabled = models.BooleanField(_("send mail"), default=False)
    host = models.CharField(_("mail server"), max_length=255, blank=True)
    port = models.PositiveIntegerField(
        _("port"), default=587, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    security = models.CharField(_("security"), max_length=8, choices=Security.choices, default=Security.STARTTLS)
    user = models.CharField(_("user"), max_length=200, blank=True)
    password = EncryptedField(blank=True, default=EncryptedText)
    sender = models.EmailField(_("sender"), blank=True)
    recipients = models.CharField(_("send failures to"), max_length=1000, blank=True)

    class Meta:
        verbose_name = _("mail settings")
        verbose_name_plural = _("mail settings")

    @classmethod
    def load(cls) -> Self:
        """The one row; made with defaults when it does not exist yet."""
        row, _created = cls.objects.get_or_create(pk=1)
        return row


class FailureNotice(models.Model):
    """What people were told of a job or server that fails, so that they are told once and not every minute."""

    subject_ref = models.UUIDField(primary_key=True, default=uuid.uuid4)
    failing_since = models.DateTimeField(default=timezone.now)
    told_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("notice of failure")
        verbose_name_plural = _("notices of failure")
