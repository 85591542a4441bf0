"""Who signs in: role, language and time zone."""

from __future__ import annotations

import zoneinfo

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phpborg.accounts.rights import Right


def validate_time_zone(name: str) -> None:
    """Refuse a zone that this system does not know."""
    if name and name not in zoneinfo.available_timezones():
        raise ValidationError(_("This time zone is not known."), code="time_zone")


class User(AbstractUser):
    """A person. What they may do follows from the role."""

    class Role(models.TextChoices):
        ADMIN = "admin", _("Administrator")
        OPERATOR = "operator", _("Operator")
        VIEWER = "viewer", _("Viewer")

    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.VIEWER)
    language = models.CharField(
        _("language"), max_length=8, default="fr", choices=[("fr", _("French")), ("en", _("English"))]
    )
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    theme = models.CharField(
        _("theme"),
        max_length=8,
        default="auto",
        choices=[("auto", _("As the system")), ("light", _("Light")), ("dark", _("Dark"))],
    )

    class Meta(AbstractUser.Meta):
        verbose_name = _("user")  # type: ignore[assignment]
        verbose_name_plural = _("users")  # type: ignore[assignment]

    def save(self, *args: object, **kwargs: object) -> None:
        # The administrator's role opens Django's admin; the others never see it.
        self.is_staff = self.is_superuser = self.role == self.Role.ADMIN
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def may(self, right: Right) -> bool:
        """Whether the role includes this right."""
        return self.is_active and right in ROLE_RIGHTS[self.Role(self.role)]


ROLE_RIGHTS: dict[User.Role, frozenset[Right]] = {
    User.Role.VIEWER: frozenset({Right.VIEW}),
    User.Role.OPERATOR: frozenset({Right.VIEW, Right.OPERATE}),
    User.Role.ADMIN: frozenset(Right),
}


class SignInFailure(models.Model):
    """Failed attempts for one name from one address, and for one address whatever the name.

    Kept in the database, so that every web process counts together and a restart forgets nothing.
    """

    key = models.CharField(max_length=64, primary_key=True)  # sha256: the table names nobody
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("failed sign-in")
        verbose_name_plural = _("failed sign-ins")
