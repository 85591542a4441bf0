"""Forms of this room."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from recovery.models import Restore
from servers.models import Server


class OptionsForm(forms.ModelForm):  # type: ignore[type-arg]
    """Where a restore goes and what happens on conflict."""

    use_required_attribute = False  # the directory is asked for only when another path is chosen

    class Meta:
        model = Restore
        fields = ["server", "destination", "target_path", "conflict"]
        widgets = {
            "destination": forms.RadioSelect,
            "conflict": forms.RadioSelect,
            "target_path": forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        }
        help_texts = {
            "target_path": _("An absolute path on that server. It is made when it is missing."),
            "server": _("Only servers that are set up can receive files."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        server = self.fields["server"]
        assert isinstance(server, forms.ModelChoiceField)
        server.queryset = Server.objects.ready().order_by("name")
        server.required = True
        # No empty choice: both questions have an answer from the start.
        for name, choices in (("destination", Restore.Destination.choices), ("conflict", Restore.Conflict.choices)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices
        directory = self.fields["target_path"]
        directory.required = self["destination"].value() == Restore.Destination.OTHER_PATH
        directory.error_messages["required"] = _("Write the directory that receives the files.")


class PathsForm(forms.Form):
    """Paths typed by hand, one a line; none means the whole archive."""

    whole = forms.BooleanField(label=_("The whole archive"), required=False)
    paths = forms.CharField(
        label=_("Paths in the archive"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text=_("One path a line, as in /etc/nginx. Folders include all below them."),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        lines = [line.strip() for line in data.get("paths", "").splitlines() if line.strip()]
        if not lines and not data.get("whole"):
            self.add_error("paths", _("Write at least one path, or choose the whole archive."))
        data["lines"] = lines
        return data
