"""Forms of this room."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from phpborg.accounts import throttle
from phpborg.accounts.models import User


class SignInForm(AuthenticationForm):
    """Django's form behind the throttle: while it waits, no password is looked at."""

    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username")
        if not name or not self.cleaned_data.get("password"):
            # Nothing is looked at; and an empty password must not pass for the right one below.
            return super().clean()
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        seconds = throttle.begin(name, address)
        if seconds:
            words = ngettext(
                "Too many failed attempts. Try again in {count} second.",
                "Too many failed attempts. Try again in {count} seconds.",
                seconds,
            )
            raise ValidationError(words.format(count=seconds), code="throttled")
        data = super().clean()
        throttle.succeeded(name, address)
        return data


class AdminSignInForm(SignInForm):
    """The same door, for the administration: only its people come in."""

    def confirm_login_allowed(self, user: Any) -> None:
        super().confirm_login_allowed(user)
        if not user.is_staff:
            raise self.get_invalid_login_error()


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a person chooses for themselves."""

    time_zone = forms.ChoiceField(label=_("Time zone"), required=False)

    class Meta:
        model = User
        fields = ["first_name", "last_name", "email", "language", "time_zone", "theme"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = [(name, name) for name in sorted(zoneinfo.available_timezones()) if "/" in name or name == "UTC"]
        field = self.fields["time_zone"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("As the installation")), *zones]
