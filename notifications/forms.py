"""Forms of this room."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from notifications.models import MailSettings
from notifications.services.mailing import split
from phpborg.crypto import EncryptedField


class MailForm(forms.ModelForm):  # type: ignore[type-arg]
    """The mail server. The password is write-only: left empty, the stored one stays."""

    new_password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Leave empty to keep the stored one."),
    )
    forget_password = forms.BooleanField(label=_("Forget the stored password"), required=False)

    field_order = [
        "enabled", "host", "port", "security", "user", "new_password", "forget_password", "sender", "recipients",
    ]  # fmt: skip

    class Meta:
        model = MailSettings
        fields = ["enabled", "host", "port", "security", "user", "sender", "recipients"]
        help_texts = {"recipients": _("Addresses separated by commas. A job may name its own instead.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance.password:
            del self.fields["forget_password"]
            self.fields["new_password"].help_text = ""

    def clean_recipients(self) -> str:
        addresses = split(self.cleaned_data["recipients"])
        for address in addresses:
            validate_email(address)
        return ", ".join(addresses)

    def clean_host(self) -> str:
        host: str = self.cleaned_data["host"].strip()
        if any(letter.isspace() or ord(letter) < 32 for letter in host) or host.startswith("-"):
            raise forms.ValidationError(_("Write a host name or an IP address."))
        return host

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("enabled"):
            for name in ("host", "sender"):
                if not data.get(name):
                    self.add_error(name, _("This is needed to send mail."))
        return data

    def save(self, commit: bool = True) -> MailSettings:
        row: MailSettings = super().save(commit=False)
        if self.cleaned_data["new_password"]:
            row.password = EncryptedField.seal(self.cleaned_data["new_password"])
        elif self.cleaned_data.get("forget_password"):
            row.password = EncryptedField.seal("")
        row.save()
        return row


class MailTestForm(forms.Form):
    """Where the test goes."""

    address = forms.EmailField(label=_("Send a test to"))
