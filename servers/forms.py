"""Forms of the servers' pages. Values are checked again by the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from servers.models import Server, address_validator, name_validator, user_validator
from servers.services.health import Health

EXACT = {"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}


class ServerForm(forms.Form):
    """What a server is called and how it is reached."""

    name = forms.CharField(
        label=_("Name"),
        max_length=80,
        validators=[name_validator],
        help_text=_("As people call it; it can be changed."),
    )
    address = forms.CharField(
        label=_("Address"),
        max_length=255,
        validators=[address_validator],
        help_text=_("A host name or an IP address, as the backup host reaches it."),
        widget=forms.TextInput(attrs=EXACT),
    )
    port = forms.IntegerField(label=_("SSH port"), min_value=1, max_value=65535, initial=22)
    user = forms.CharField(
        label=_("Account"),
        max_length=32,
        validators=[user_validator],
        initial="root",
        help_text=_("root, or an account that may run one command by sudo; set-up explains what it needs."),
        widget=forms.TextInput(attrs=EXACT),
    )
    labels = forms.CharField(
        label=_("Labels"), max_length=400, required=False, help_text=_("Words separated by commas: a site, a stage.")
    )


class EditForm(ServerForm):
    """The same, with notes; this machine has no address."""

    notes = forms.CharField(label=_("Notes"), max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, data: Any = None, *, server: Server) -> None:
        initial = {
            "name": server.name,
            "address": server.address,
            "port": server.port,
            "user": server.user,
            "labels": ", ".join(label.name for label in server.labels.all()),
            "notes": server.notes,
        }
        super().__init__(data, initial=initial)
        if server.is_local:
            for name in ("address", "port", "user"):
                del self.fields[name]


class PasswordForm(forms.Form):
    """The account's password, used once and forgotten."""

    password = forms.CharField(
        label=_("Password of the account"),
        strip=False,
        max_length=1024,
        help_text=_("It is used once, now, to install the key. It is not stored."),
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
    )


class SetupForm(forms.Form):
    """What set-up may change on the server."""

    install = forms.BooleanField(
        label=_("Install what is missing"),
        required=False,
        initial=True,
        help_text=_(
            "phpBorg's small program and its sudo rule, and the package of Borg. Without it, set-up only looks, "
            "and tells what an administrator should run."
        ),
    )


class ModeForm(forms.Form):
    """The way of the data."""

    mode = forms.ChoiceField(label=_("Way of the data"), choices=Server.Mode.choices, widget=forms.RadioSelect)


class RemovalForm(forms.Form):
    """What goes with the server."""

    archives = forms.ChoiceField(
        label=_("Archives"),
        choices=[
            ("keep", _("Keep them: they can be browsed and restored to other servers")),
            ("trash", _("Put them into the trash: they can be taken back until the trash is emptied")),
        ],
        initial="keep",
        widget=forms.RadioSelect,
    )
    take_off = forms.BooleanField(
        label=_("Remove phpBorg from the server"),
        required=False,
        initial=True,
        help_text=_("The program, its sudo rule, our keys and Borg's caches, if the server can be reached."),
    )
    typed = forms.CharField(
        label=_("To confirm, type the server's name"), max_length=80, widget=forms.TextInput(attrs=EXACT)
    )


class FleetFilterForm(forms.Form):
    """What the fleet page shows."""

    q = forms.CharField(label=_("Search"), required=False, max_length=80)
    label = forms.CharField(required=False, max_length=40)
    health = forms.ChoiceField(required=False, choices=[("", ""), *Health.choices])
