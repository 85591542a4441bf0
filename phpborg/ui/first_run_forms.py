"""Forms of the first-run wizard."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from phpborg.ui.models import Installation


class WelcomeForm(forms.Form):
    """Language, time zone and the installation's name."""

    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES, widget=forms.RadioSelect)
    time_zone = forms.ChoiceField(label=_("Time zone"), help_text=_("New schedules and mails use this clock."))
    application_name = forms.CharField(
        label=_("Name of this installation"), max_length=80, help_text=_("It stands in the pages and in the mails.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(name for name in zoneinfo.available_timezones() if "/" in name or name == "UTC")
        field = self.fields["time_zone"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(name, name) for name in zones]

    @classmethod
    def of(cls, installation: Installation, language: str, data: Any = None) -> WelcomeForm:
        """The form with what is known."""
        known = {
            "language": language,
            "time_zone": installation.zone_name,
            "application_name": installation.application_name,
        }
        return cls(data, initial=known)


class PoolForm(forms.Form):
    """The first place for repositories."""

    name = forms.CharField(label=_("Name"), max_length=80)
    path = forms.CharField(
        label=_("Directory"),
        max_length=900,
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
        help_text=_("On a disk of this machine that has room for all backups. It is made when it is missing."),
    )


class BackupForm(forms.Form):
    """The first job: what, of which server."""

    server = forms.ChoiceField(label=_("Server"))
    path = forms.CharField(
        label=_("Directory"), max_length=900, initial="/etc", widget=forms.TextInput(attrs={"spellcheck": "false"})
    )

    def __init__(self, *args: Any, servers: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["server"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = servers
