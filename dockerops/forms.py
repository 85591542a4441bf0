"""Forms of the wizard. Names that servers chose travel as `typed.stored` texts, so any bytes come back."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dockerops import typed
from dockerops.choice import Choice
from dockerops.manifest import Contents
from dockerops.options import Options
from servers.models import Server

FILES = "files"
MODES = (
    ("all", gettext_lazy("Everything"), gettext_lazy("All that the archive holds, as it was.")),
    ("volumes", gettext_lazy("Only volumes"), gettext_lazy("The data. Containers stay, those on it stop meanwhile.")),
    (
        "projects",
        gettext_lazy("Only projects"),
        gettext_lazy("Compose projects with their files, volumes, networks and containers."),
    ),
    ("configs", gettext_lazy("Only configurations"), gettext_lazy("The engine's own configuration files.")),
    ("custom", gettext_lazy("What I tick"), gettext_lazy("Exactly the projects, volumes, containers … ticked below.")),
    (
        FILES,
        gettext_lazy("Single files of a volume"),
        gettext_lazy("Some files or folders go into the volume; its other files stay."),
    ),
)
# Which lists of boxes count in which mode.
LISTS = {
    "projects": ("projects", "custom"),
    "volumes": ("volumes", "custom"),
    "containers": ("custom",),
    "networks": ("custom",),
    "binds": ("custom",),
    "configs": ("configs", "custom"),
}
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SUFFIX = re.compile(r"[a-zA-Z0-9_.-]*")
MOST_HOURS = 24 * 31


class ServerForm(forms.Form):
    """To which server."""

    server = forms.ModelChoiceField(
        label=gettext_lazy("Target server"),
        queryset=Server.objects.none(),
        empty_label=None,
        help_text=gettext_lazy(
            "The one that was backed up, or another with a Docker engine. Only servers that are set up."
        ),
        error_messages={"required": gettext_lazy("Choose a server.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["server"].queryset = Server.objects.ready().order_by("name")  # type: ignore[attr-defined]


class ChoiceForm(forms.Form):
    """What is restored. `boxes` holds the names that are ticked, of each kind; names that are not there are refused."""

    use_required_attribute = False
    mode = forms.ChoiceField(
        label=gettext_lazy("What is restored?"), choices=[(name, label) for name, label, _text in MODES]
    )
    volume = forms.CharField(label=gettext_lazy("Volume"), required=False, widget=forms.Select)
    paths = forms.CharField(
        label=gettext_lazy("Files and folders"),
        required=False,
        max_length=100_000,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text=gettext_lazy(
            "One path a line, seen from the volume's top: data/app.db. Folders include all below them."
        ),
    )

    def __init__(self, *args: Any, contents: Contents, offered: dict[str, list[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.contents, self.offered = contents, offered
        names = [one.name for one in contents.volumes if one.path]
        select = self.fields["volume"].widget
        assert isinstance(select, forms.Select)
        from dockerops.templatetags.docker_tags import shown

        select.choices = [(str(typed.stored(name)), shown(name)) for name in names]

    @property
    def ticked(self) -> dict[str, list[str]]:
        """The values of the boxes as they stand: sent, or kept in the draft."""
        if self.is_bound:
            return {kind: self.data.getlist(kind) for kind in LISTS}  # type: ignore[attr-defined]
        return {kind: list(self.initial.get(kind, ())) for kind in LISTS}

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        mode = data.get("mode", "")
        for kind, values in self.ticked.items():
            if mode in LISTS[kind] and set(values) - set(self.offered.get(kind, [])):
                self.add_error(None, _("Something of what was ticked is not in this archive. Look at the list again."))
                return data
        if mode == "custom" and not any(self.ticked.values()):
            self.add_error("mode", _("Tick at least one thing."))
        if mode in ("volumes", "projects", "configs") and not self.offered.get(mode):
            self.add_error("mode", _("This archive holds none of these."))
        if mode == FILES:
            self._clean_files(data)
        return data

    def _clean_files(self, data: dict[str, Any]) -> None:
        lines = [line.rstrip("\r") for line in str(data.get("paths", "")).split("\n")]
        data["lines"] = found = [line.strip("/") for line in lines if line.strip()]
        if data.get("volume") not in {value for value, _shown in self.fields["volume"].widget.choices}:  # type: ignore[attr-defined]
            self.add_error("volume", _("Choose a volume."))
        if not found:
            self.add_error("paths", _("Write at least one path."))
        if any(part in ("", ".", "..") for line in found for part in line.split("/")):
            self.add_error("paths", _("A path must not hold empty, “.” or “..” parts."))

    def choice(self) -> Choice:
        """What was answered; only for a valid form."""
        mode = self.cleaned_data["mode"]
        if mode == FILES:
            volume = typed.restored(self.cleaned_data["volume"])
            lines = tuple(typed.restored(line) for line in self.cleaned_data["lines"])
            return Choice(mode="custom", files={volume: lines})
        lists: dict[str, Any] = {
            kind: tuple(typed.restored(value) for value in values)
            for kind, values in self.ticked.items()
            if mode in LISTS[kind]
        }
        return Choice(mode=mode, **lists)

    @staticmethod
    def initial_of(choice: Choice) -> dict[str, Any]:
        """The answers that a draft keeps, as the form has them."""
        if choice.files:
            volume, paths = next(iter(choice.files.items()))
            lines = "\n".join(str(typed.stored(path)) for path in paths)
            return {"mode": FILES, "volume": typed.stored(volume), "paths": lines}
        lists = {kind: [typed.stored(name) for name in getattr(choice, kind)] for kind in LISTS}
        return {"mode": choice.mode, **lists}


def _absolute(value: str) -> None:
    if value and (not value.startswith("/") or "\0" in value or ".." in value.split("/") or value.strip("/") == ""):
        raise ValidationError(_("Write an absolute path, as in /srv/restored."))


class OptionsForm(forms.Form):
    """Where to, and how. Every question has an answer from the start: in place, protected, as it was."""

    use_required_attribute = False
    placement = forms.ChoiceField(
        label=gettext_lazy("Where to"),
        widget=forms.RadioSelect,
        choices=[
            ("in_place", gettext_lazy("In place: under their own names and paths")),
            ("other_path", gettext_lazy("Another path: files go below a directory, names stay")),
            ("other_project", gettext_lazy("Another project: a copy beside, under other names")),
        ],
    )
    path = forms.CharField(
        label=gettext_lazy("Directory"),
        required=False,
        max_length=2000,
        validators=[_absolute],
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("An absolute path on the target server. Files keep their whole paths below it."),
    )
    project_name = forms.CharField(
        label=gettext_lazy("Name of the other project"),
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none"}),
        help_text=gettext_lazy("Small letters, digits, - and _. Volumes, networks and containers are named after it."),
    )
    name_suffix = forms.CharField(
        label=gettext_lazy("Ending of other names"),
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none"}),
        help_text=gettext_lazy(
            "Appended to names that do not begin with the project's: containers and volumes that stand alone."
        ),
    )
    ports = forms.ChoiceField(
        label=gettext_lazy("Published ports"),
        widget=forms.RadioSelect,
        choices=[
            ("keep", gettext_lazy("Keep them as they were")),
            ("shift", gettext_lazy("Move each by a number")),
            ("none", gettext_lazy("Publish none")),
        ],
    )
    port_shift = forms.IntegerField(label=gettext_lazy("Moved by"), required=False, min_value=1, max_value=64_000)
    protect = forms.ChoiceField(
        label=gettext_lazy("Protection of what is replaced"),
        widget=forms.RadioSelect,
        choices=[
            ("aside", gettext_lazy("Keep it aside: can be rolled back by one click, until the time below is over")),
            ("archive", gettext_lazy("Make an archive of it first; nothing is kept aside after success")),
            ("none", gettext_lazy("None: gone after success")),
        ],
        help_text=gettext_lazy("A restore that fails is undone in any case."),
    )
    window_hours = forms.IntegerField(
        label=gettext_lazy("Kept for so many hours"), required=False, min_value=1, max_value=MOST_HOURS
    )
    start = forms.ChoiceField(
        label=gettext_lazy("Afterwards"),
        widget=forms.RadioSelect,
        choices=[
            ("former", gettext_lazy("Bring containers into the state that they had when the archive was made")),
            ("none", gettext_lazy("Start nothing that is restored")),
        ],
    )
    images = forms.ChoiceField(
        label=gettext_lazy("Images that are missing"),
        widget=forms.RadioSelect,
        choices=[
            ("archive", gettext_lazy("Load them from the archive, where it holds them")),
            ("present", gettext_lazy("None may be missing")),
            ("pull", gettext_lazy("Pull them from their registry")),
        ],
    )
    create_missing = forms.BooleanField(
        label=gettext_lazy("Create external networks and volumes that are missing"), required=False
    )

    def clean_project_name(self) -> str:
        name = str(self.cleaned_data["project_name"])
        if name and not _PROJECT.fullmatch(name):
            raise ValidationError(_("Small letters, digits, - and _ only; it begins with a letter or a digit."))
        return name

    def clean_name_suffix(self) -> str:
        name = str(self.cleaned_data["name_suffix"])
        if not _SUFFIX.fullmatch(name):
            raise ValidationError(_("Letters, digits, -, _ and . only."))
        return name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        placement = data.get("placement")
        if placement == "other_path" and not data.get("path") and "path" not in self.errors:
            self.add_error("path", _("Write the directory that receives the files."))
        if placement == "other_project" and not data.get("project_name") and "project_name" not in self.errors:
            self.add_error("project_name", _("Write the name of the other project."))
        if data.get("ports") == "shift" and not data.get("port_shift") and "port_shift" not in self.errors:
            self.add_error("port_shift", _("Write by how much each port is moved."))
        if data.get("protect") == "aside" and not data.get("window_hours") and "window_hours" not in self.errors:
            self.add_error("window_hours", _("Write for how many hours it is kept."))
        return data

    def options(self) -> Options:
        """What was answered; what the chosen answers do not ask for is as usual. Only for a valid form."""
        data, usual = self.cleaned_data, Options()
        placement = data["placement"]
        return Options(
            placement=placement,
            path=(data["path"].rstrip("/") or "") if placement != "in_place" else "",
            project_name=data["project_name"] if placement == "other_project" else "",
            name_suffix=data["name_suffix"] if placement == "other_project" else "",
            ports=data["ports"],
            port_shift=data["port_shift"] if data["ports"] == "shift" else usual.port_shift,
            protect=data["protect"],
            window_hours=data["window_hours"] if data["protect"] == "aside" else usual.window_hours,
            start=data["start"],
            images=data["images"],
            create_missing=data["create_missing"],
        )

    @staticmethod
    def initial_of(options: Options) -> dict[str, Any]:
        """The answers that a draft keeps, as the form has them."""
        names = ("placement", "path", "project_name", "name_suffix", "ports", "port_shift")
        more = ("protect", "window_hours", "start", "images", "create_missing")
        return {name: getattr(options, name) for name in (*names, *more)}
