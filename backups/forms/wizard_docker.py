"""The wizard's form for Docker. Its boxes are read from the data itself: their names are what the server has."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import sources
from backups.sources.docker_config import DIGESTS, NONE, PAUSE, SAVED, STOP, WAYS
from phpborg.errors import InvalidInput, PhpBorgError

ALL, ONLY, BUT = "all", "only", "but"
LISTS = ("projects", "containers", "volumes", "binds")
# A way of a container is sent under this and its key.
WAY = "way:"


def to_value(name: str) -> str:
    """A name as the value of a box: percent-encoded, so that any character survives."""
    return quote(name, safe="", errors="surrogateescape")


class DockerForm(forms.Form):
    """What of an engine is taken, what is left out, and how containers are kept still."""

    use_required_attribute = False

    projects_mode = forms.ChoiceField(choices=[(one, "") for one in (ALL, ONLY, BUT)], required=False)
    containers_mode = forms.ChoiceField(choices=[(one, "") for one in (ALL, ONLY)], required=False)
    volumes_mode = forms.ChoiceField(choices=[(one, "") for one in (ALL, ONLY, BUT)], required=False)
    binds_mode = forms.ChoiceField(choices=[(one, "") for one in (ALL, ONLY, BUT)], required=False)
    images = forms.ChoiceField(choices=[(DIGESTS, ""), (SAVED, "")], required=False)
    way = forms.ChoiceField(choices=[(one, "") for one in (NONE, PAUSE, STOP)], required=False)
    config_files = forms.BooleanField(
        label=gettext_lazy("The engine's own configuration too"),
        required=False,
        help_text=gettext_lazy("daemon.json, service settings and logins to registries, where they exist."),
    )

    def mode(self, name: str) -> str:
        """all, only or but, of one of LISTS."""
        return str(self[f"{name}_mode"].value() or ALL)

    def chosen(self, name: str) -> list[str]:
        """What is ticked in one of LISTS, in order."""
        if isinstance(self.data, QueryDict) and self.is_bound:
            return [unquote(value, errors="surrogateescape") for value in dict.fromkeys(self.data.getlist(name))]
        return list(self.initial.get(name, []))

    def ways(self) -> dict[str, str]:
        """By key, how a container is kept still; only those that differ from the rest."""
        if not self.is_bound:
            return dict(self.initial.get("ways", {}))
        rows = ((name[len(WAY) :], value) for name, value in self.data.items() if name.startswith(WAY))
        return {unquote(key, errors="surrogateescape"): str(value) for key, value in rows if value}

    def source(self) -> dict[str, Any]:
        """The source as answered, for the draft."""
        return {
            **{name: self.chosen(name) if self.mode(name) == ONLY else None for name in LISTS},
            "exclude": {
                name: self.chosen(name) if self.mode(name) == BUT else [] for name in LISTS if name != "containers"
            },
            "images": self.data.get("images") or DIGESTS,
            "config_files": bool(self.data.get("config_files")),
            "quiesce": {"default": self.data.get("way") or NONE, "containers": self.ways()},
        }

    @staticmethod
    def initial_of(source: dict[str, Any]) -> dict[str, Any]:
        """The form's values for a source; for an empty one, everything."""
        exclude, quiesce = source.get("exclude") or {}, source.get("quiesce") or {}
        found: dict[str, Any] = {
            "images": source.get("images", DIGESTS),
            "config_files": source.get("config_files", True),
            "way": quiesce.get("default", NONE),
            "ways": quiesce.get("containers") or {},
        }
        for name in LISTS:
            chosen, without = source.get(name), exclude.get(name) or []
            found[f"{name}_mode"] = ONLY if chosen is not None else BUT if without else ALL
            found[name] = chosen if chosen is not None else without
        return found

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        source = self.source()
        unknown = [way for way in source["quiesce"]["containers"].values() if way not in WAYS]
        if unknown:
            self.add_error("way", _("Choose one of the ways that are offered."))
            return cleaned
        try:
            cleaned["source"] = sources.get("docker").parse(source).as_json()
        except InvalidInput as error:
            self.add_error(self._place(str(error.facts["field"])), str(error.facts["problem"]))
        except PhpBorgError as error:
            self.add_error(None, str(error))
        return cleaned

    @staticmethod
    def _place(label: str) -> str | None:
        places = {
            _("Projects"): "projects_mode",
            _("Containers"): "containers_mode",
            _("Volumes"): "volumes_mode",
            _("Places outside"): "binds_mode",
            _("Path"): "binds_mode",
            _("Images"): "images",
            _("Keeping containers still"): "way",
        }
        return places.get(label)
