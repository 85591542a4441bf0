"""This installation: its identity and name, and whether the first run is finished."""

from __future__ import annotations

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class Installation(models.Model):
    """One row. `identity` names this installation on the servers (keys, directories)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    identity = models.UUIDField(default=uuid.uuid4, editable=False)
    application_name = models.CharField(_("name of this installation"), max_length=80, default="phpBorg")
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)
    first_run_finished_at = models.DateTimeField(null=True, blank=True)
    clock_at = models.DateTimeField(null=True, blank=True)  # the last tick of the clock

    class Meta:
        verbose_name = _("installation")
        verbose_name_plural = _("installation")

    @classmethod
    def load(cls) -> Self:
        """The one row; made when it does not exist yet."""
        row, _created = cls.objects.get_or_create(pk=1)
        return row

    @property
    def zone_name(self) -> str:
        """The zone of new schedules and of pages for people without their own."""
        return self.time_zone or settings.TIME_ZONE
