"""Forms of the wizard. Names that servers chose travel as `typed.stored` texts, so any bytes come back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import quote_from_bytes

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dockerops import sentences, typed
from dockerops.choice import Choice
from dockerops.manifest import Contents, Dump
from dockerops.naming import PROJECT_NAME, SUFFIX
from dockerops.options import MOST_HOURS, MOST_SHIFT, Options
from dockerops.scripts.texts import MARK
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
        gettext_lazy(
            "Some files, or all files of some folders, go into the volume; its other files stay, in these folders too."
        ),
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
MOST_WAIT = 4 * 60


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
    volume = forms.CharField(
        label=gettext_lazy("Volume"),
        widget=forms.Select,
        error_messages={"required": gettext_lazy("Choose a volume.")},
    )
    paths = forms.CharField(
        label=gettext_lazy("Files and folders"),
        max_length=100_000,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text=gettext_lazy(
            "One path a line, seen from the volume's top: data/app.db. Folders include all below them."
        ),
        error_messages={"required": gettext_lazy("Write at least one path.")},
    )

    def __init__(self, *args: Any, contents: Contents, offered: dict[str, list[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.contents, self.offered = contents, offered
        for name in ("volume", "paths"):
            self.fields[name].required = not self.is_bound or self.data.get("mode") == FILES
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
        if "volume" not in self.errors and data.get("volume") not in {
            value for value, _shown in self.fields["volume"].widget.choices
        }:  # type: ignore[attr-defined]
            self.add_error("volume", _("Choose a volume."))
        if not found and "paths" not in self.errors:
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
            return {"mode": FILES, "volume": typed.stored(volume), "paths": "\n".join(map(_line, paths))}
        lists = {kind: [typed.stored(name) for name in getattr(choice, kind)] for kind in LISTS}
        return {"mode": choice.mode, **lists}


def _line(path: str) -> str:
    """A path as one line of the form, whatever its name holds; `typed.restored` reads it back."""
    if any(ord(letter) < 32 for letter in path):
        return f"{MARK}{quote_from_bytes(os.fsencode(path))}"
    return str(typed.stored(path))


def _absolute(value: str) -> None:
    if value and (not value.startswith("/") or "\0" in value or ".." in value.split("/") or value.strip("/") == ""):
        raise ValidationError(_("Write an absolute path, as in /srv/restored."))


def _project(value: str) -> None:
    if not PROJECT_NAME.fullmatch(value):
        raise ValidationError(_("Small letters, digits, - and _ only; it begins with a letter or a digit."))


def _suffix(value: str) -> None:
    if not SUFFIX.fullmatch(value):
        raise ValidationError(_("Letters, digits, -, _ and . only."))


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
        max_length=2000,
        validators=[_absolute],
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy(
            "An absolute path on the target server; files keep their whole paths below it. For another project, empty "
            "means /srv and the project's name."
        ),
        error_messages={"required": gettext_lazy("Write the directory that receives the files.")},
    )
    project_name = forms.CharField(
        label=gettext_lazy("Name of the other project"),
        max_length=100,
        validators=[_project],
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none"}),
        help_text=gettext_lazy("Small letters, digits, - and _. Volumes, networks and containers are named after it."),
        error_messages={"required": gettext_lazy("Write the name of the other project.")},
    )
    name_suffix = forms.CharField(
        label=gettext_lazy("Ending of other names"),
        required=False,
        max_length=60,
        validators=[_suffix],
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none"}),
        help_text=gettext_lazy(
            "Appended to the names of containers that are not named after the project. Empty means - and its name."
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
    port_shift = forms.IntegerField(
        label=gettext_lazy("Moved by"),
        min_value=1,
        max_value=MOST_SHIFT,
        error_messages={"required": gettext_lazy("Write by how much each port is moved.")},
    )
    protect = forms.ChoiceField(
        label=gettext_lazy("Protection of what is replaced"),
        widget=forms.RadioSelect,
        choices=[
            ("aside", gettext_lazy("Keep it aside: can be rolled back by one click, until the time below is over")),
            ("archive", gettext_lazy("Keep it aside, and put its files into an archive first, which stays")),
            ("none", gettext_lazy("None: gone after success")),
        ],
        help_text=gettext_lazy("A restore that fails is undone in any case."),
    )
    window_hours = forms.IntegerField(
        label=gettext_lazy("Kept for so many hours"),
        min_value=1,
        max_value=MOST_HOURS,
        error_messages={"required": gettext_lazy("Write for how many hours it is kept.")},
    )
    start = forms.ChoiceField(
        label=gettext_lazy("Afterwards"),
        widget=forms.RadioSelect,
        choices=[
            ("former", gettext_lazy("Bring containers into the state that they had when the archive was made")),
            ("none", gettext_lazy("Start nothing that is restored")),
        ],
    )
    dumps = forms.MultipleChoiceField(
        label=gettext_lazy("Databases that come back from their dump"),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=gettext_lazy(
            "Their data were copied while they were running: only the dump is consistent. Without the tick a database "
            "gets its volume as it lay, and may not start from it."
        ),
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
    wait_minutes = forms.IntegerField(
        label=gettext_lazy("Minutes that a container has at least until it is well"),
        min_value=1,
        max_value=MOST_WAIT,
        required=False,
        help_text=gettext_lazy(
            "One whose health check asks for more gets more. If one is not well then, all is undone."
        ),
    )
    create_missing = forms.BooleanField(
        label=gettext_lazy("Create external networks and volumes that are missing"), required=False
    )

    # What is asked for only with some answers: field, the question, its answers.
    ASKED = (
        ("path", "placement", ("other_path", "other_project")),
        ("project_name", "placement", ("other_project",)),
        ("name_suffix", "placement", ("other_project",)),
        ("port_shift", "ports", ("shift",)),
        ("window_hours", "protect", ("aside", "archive")),
    )

    def __init__(self, *args: Any, torn: Iterable[Dump] = (), **kwargs: Any) -> None:
        """`torn`: dumps of databases that ran while their volumes were read."""
        super().__init__(*args, **kwargs)
        self._torn = [one.container for one in torn]
        words = [(typed.stored(one), sentences.shown(one)) for one in self._torn]
        cast(forms.MultipleChoiceField, self.fields["dumps"]).choices = words
        lay = self.initial.get("as_it_lay") or ()
        self.initial["dumps"] = [typed.stored(one) for one in self._torn if one not in lay]
        for name, _question, _answers in self.ASKED:
            self.fields[name].required = name != "name_suffix" and (not self.is_bound or self._asks(name))
        if self.is_bound and self.data.get("placement") == "other_project":
            self.fields["path"].required = False

    def _asks(self, name: str) -> bool:
        return any(name == one and self.data.get(question) in answers for one, question, answers in self.ASKED)

    def clean(self) -> dict[str, Any]:
        """What is not asked for (any more) is not judged either: nobody sees it."""
        data = super().clean() or {}
        for name, _question, _answers in self.ASKED:
            if not self._asks(name):
                self.errors.pop(name, None)
                data[name] = None
        return data

    def options(self) -> Options:
        """What was answered; what the chosen answers do not ask for is as usual. Only for a valid form."""
        data, usual = self.cleaned_data, Options()
        return Options(
            placement=data["placement"],
            path=(data["path"] or "").rstrip("/"),
            project_name=data["project_name"] or "",
            name_suffix=data["name_suffix"] or "",
            ports=data["ports"],
            port_shift=data["port_shift"] or usual.port_shift,
            protect=data["protect"],
            window_hours=data["window_hours"] or usual.window_hours,
            start=data["start"],
            images=data["images"],
            create_missing=data["create_missing"],
            wait_minutes=data["wait_minutes"] or usual.wait_minutes,
            as_it_lay=tuple(one for one in self._torn if typed.stored(one) not in data["dumps"]),
        )

    @staticmethod
    def initial_of(options: Options) -> dict[str, Any]:
        """The answers that a draft keeps, as the form has them."""
        names = ("placement", "path", "project_name", "name_suffix", "ports", "port_shift")
        more = ("protect", "window_hours", "start", "images", "create_missing", "wait_minutes", "as_it_lay")
        return {name: getattr(options, name) for name in (*names, *more)}
