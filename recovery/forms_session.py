"""The forms of Instant Recovery: which database, where, how, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.models import Archive
from recovery.engines.base import Found
from recovery.paths import shown
from recovery.services.startable import hindrance
from servers.models import Server
from servers.remote import validate, wire
from servers.remote.instant import asked

READ_ONLY, WRITABLE = "read-only", "writable"
MOST_HOURS = 24 * 31


def _image(value: str) -> None:
    """What the helper would refuse is told before anything is planned."""
    try:
        validate.text(value, "image", asked.IMAGE)
    except wire.Refused:
        raise ValidationError(_("This is not the name of a Docker image.")) from None


def _socket(value: str) -> None:
    try:
        validate.absolute(value, "engine")
    except wire.Refused:
        raise ValidationError(_("An absolute path.")) from None


def hours_field() -> forms.IntegerField:
    """How long a session lives."""
    return forms.IntegerField(
        label=gettext_lazy("Hours to live"),
        min_value=1,
        max_value=MOST_HOURS,
        initial=settings.INSTANT_RECOVERY_HOURS,
        help_text=gettext_lazy("It is stopped by itself after that, and can be extended while it lives."),
    )


class ExtendForm(forms.Form):
    """So many hours from now on."""

    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["hours"] = hours_field()
        self.fields["hours"].label = _("Hours from now")


class StartForm(forms.Form):
    """What is chosen of what was found. Without a POST it has the usual answers, which make a plan already."""

    use_required_attribute = False
    database = forms.ChoiceField(label=gettext_lazy("Database server in the archive"), widget=forms.RadioSelect)
    server = forms.ChoiceField(
        label=gettext_lazy("Where it runs"),
        help_text=gettext_lazy(
            "It needs a Docker engine and Python there; the data stays in the repository and travels as it is read."
        ),
    )
    mode = forms.ChoiceField(
        label=gettext_lazy("What may be done in it"),
        widget=forms.RadioSelect,
        choices=[
            (READ_ONLY, gettext_lazy("Reading only: the server itself refuses every write")),
            (WRITABLE, gettext_lazy("Everything, in a sandbox: what is written is thrown away with the session")),
        ],
    )
    image = forms.CharField(
        label=gettext_lazy("Another image"),
        required=False,
        max_length=255,
        validators=[_image],
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("Leave it empty for the one that fits the version of the files."),
    )
    docker = forms.CharField(
        label=gettext_lazy("Socket of the Docker engine"),
        required=False,
        max_length=200,
        validators=[_socket],
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("Leave it empty for the one that was seen there, or the usual one."),
    )
    openly = forms.BooleanField(label=gettext_lazy("Although the version of its server does not fit"), required=False)
    fetch = forms.BooleanField(label=gettext_lazy("Fetch the image if the server has it not"), required=False)

    def __init__(self, *args: Any, archive: Archive, found: Sequence[Found], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.found = found
        self.servers = _servers(archive)
        self.fields["hours"] = hours_field()
        databases, servers = self.fields["database"], self.fields["server"]
        databases.choices = [(str(number), _database(one)) for number, one in enumerate(found)]  # type: ignore[attr-defined]
        servers.choices = [(str(one.pk), one.name) for one in self.servers]  # type: ignore[attr-defined]
        self.initial = {
            # The first that can be started: a page that begins with an error helps nobody.
            "database": str(next((number for number, one in enumerate(found) if hindrance(one) is None), 0)),
            "server": str(self.servers[0].pk) if self.servers else "",
            "mode": READ_ONLY,
            "fetch": True,
            **self.initial,
        }
        if len(found) == 1:
            databases.widget = forms.HiddenInput()

    @property
    def values(self) -> dict[str, Any]:
        """The answers, or those that are offered; {} where there is no answer to be had."""
        if self.is_bound:
            return self.cleaned_data if self.is_valid() else {}
        hours = self.fields["hours"].initial
        return {**self.initial, "image": "", "docker": "", "openly": False, "hours": hours} if self.servers else {}

    def draft_arguments(self) -> dict[str, Any]:
        """What `sessions.draft` wants beside the archive."""
        values = self.values
        server = next(one for one in self.servers if str(one.pk) == values["server"])
        return {
            "found": self.found[int(values["database"])],
            "server": server,
            "read_only": values["mode"] == READ_ONLY,
            "image": values["image"].strip(),
            "docker": values["docker"],
            "openly": values["openly"],
            "fetch": values["fetch"],
        }


def _database(one: Found) -> str:
    return f"{one.product.label} {one.version or _('of unknown version')} · {shown(one.path) or '/'}"


def _servers(archive: Archive) -> list[Server]:
    """Those that can be asked: this machine first, then the one that the archive is of."""
    ready = [one for one in Server.objects.order_by("name") if one.is_ready]
    return sorted(ready, key=lambda one: (one.kind != Server.Kind.LOCAL, one.pk != archive.server_id))
