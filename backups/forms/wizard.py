"""The forms of the job wizard, one for each step. Services check again; here the field gets the sentence."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from backups.borg import specs
from backups.models import BackupJob, Repository
from backups.services import jobs, schedules
from backups.sources import paths as spelling
from backups.sources.files import FilesSource
from phpborg.errors import InvalidInput, PhpBorgError
from phpborg.scheduling.cron import CronInvalid
from phpborg.scheduling.presets import Preset, PresetKind, preset_of
from servers.models import Server

COMPRESSIONS = [
    ("", gettext_lazy("As the repository")),
    ("lz4", gettext_lazy("LZ4 – fastest")),
    ("zstd,3", gettext_lazy("Zstandard 3 – a good balance")),
    ("zstd,10", gettext_lazy("Zstandard 10 – smaller, slower")),
    ("auto,zstd,10", gettext_lazy("Zstandard 10, only where it helps")),
    ("lzma,6", gettext_lazy("LZMA 6 – smallest, very slow")),
    ("none", pgettext_lazy("compression", "None")),
]


def lines_of(text: str) -> list[str]:
    """Lines without what surrounds them; empty ones do not count."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_path(path: bytes) -> bool:
    try:
        spelling.clean(path)
    except InvalidInput:
        return False
    return True


class ServerForm(forms.Form):
    """Which server; only a ready one can be chosen."""

    server = forms.ModelChoiceField(Server.objects.ready(), label=gettext_lazy("Server"))


class WhatForm(forms.Form):
    """Files: chosen paths (percent-encoded, so that any name survives), more to type, exclusions, two switches."""

    more_paths = forms.CharField(
        label=gettext_lazy("Add paths by hand"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "/srv/data"}),
        help_text=gettext_lazy("Absolute paths, one a line."),
    )
    excludes = forms.CharField(
        label=gettext_lazy("Leave out"),
        required=False,
        max_length=200_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "placeholder": "/home/*/.cache\nsh:**/*.tmp"}),
        help_text=gettext_lazy(
            "Borg patterns, one a line: /a/path/* or *.tmp (shell style), sh:**/node_modules, "
            "re:\\.bak$ (regular expression), pp:/exact/path."
        ),
    )
    one_file_system = forms.BooleanField(
        label=gettext_lazy("Stay on one filesystem"),
        required=False,
        help_text=gettext_lazy("Other filesystems mounted below the chosen paths are left out, and named."),
    )
    exclude_caches = forms.BooleanField(
        label=gettext_lazy("Leave out cache folders"),
        required=False,
        help_text=gettext_lazy("Folders that programs have marked with CACHEDIR.TAG."),
    )

    def chosen(self, *, only_good: bool) -> list[bytes]:
        """The paths as they stand in the form, in order; `only_good` leaves out what was typed wrongly."""
        data = self.data
        values = data.getlist("path") if isinstance(data, QueryDict) else list(data.get("path", []))
        typed = [line.encode("utf-8", "surrogateescape") for line in lines_of(str(data.get("more_paths", "")))]
        typed = [path for path in typed if not only_good or _is_path(path)]
        return list(dict.fromkeys([*(spelling.from_form(value) for value in values), *typed]))

    def source(self, *, only_good: bool = True) -> dict[str, Any]:
        """The source as answered, for the draft."""
        return {
            "paths": [spelling.to_json(path) for path in self.chosen(only_good=only_good)],
            "excludes": list(dict.fromkeys(lines_of(str(self.data.get("excludes", ""))))),
            "one_file_system": bool(self.data.get("one_file_system")),
            "exclude_caches": bool(self.data.get("exclude_caches")),
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        try:
            cleaned["source"] = FilesSource().parse(self.source(only_good=False)).as_json()
        except InvalidInput as error:
            is_exclude = error.facts["field"] == _("Exclusions")
            self.add_error("excludes" if is_exclude else "more_paths", str(error.facts["problem"]))
        except PhpBorgError as error:
            self.add_error(None, str(error))
        return cleaned


class WhereForm(forms.Form):
    """Which repository, and how strongly its archives are compressed."""

    repository = forms.ModelChoiceField(Repository.objects.live(), label=gettext_lazy("Repository"))
    compression = forms.CharField(
        label=gettext_lazy("Compression"), required=False, widget=forms.Select(choices=COMPRESSIONS)
    )

    def clean_compression(self) -> str:
        value: str = self.cleaned_data["compression"]
        return _field(specs.compression, value) if value else ""


class OptionsForm(forms.Form):
    """Limits, hooks and who hears of failures."""

    upload_rate_kib = forms.IntegerField(
        label=gettext_lazy("Rate limit (KiB/s)"),
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text=gettext_lazy("Empty: as fast as it goes."),
    )
    nice = forms.IntegerField(
        label=gettext_lazy("Niceness"),
        min_value=0,
        max_value=19,
        help_text=gettext_lazy("0 competes with the server's own work, 19 always steps back."),
    )
    time_limit_minutes = forms.IntegerField(
        label=gettext_lazy("Time limit (minutes)"),
        min_value=0,
        max_value=30 * 24 * 60,
        help_text=gettext_lazy("0: none. A run that is ended goes on from its last checkpoint the next time."),
    )
    hook_before = forms.CharField(label=gettext_lazy("Hook before"), required=False, max_length=100)
    hook_after = forms.CharField(label=gettext_lazy("Hook after"), required=False, max_length=100)
    hook_seconds = forms.IntegerField(
        label=gettext_lazy("Time limit of a hook (seconds)"), min_value=1, max_value=7 * 86400
    )
    notify = forms.CharField(
        label=gettext_lazy("Send failures to"),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("Mail addresses; empty: those of the mail settings."),
    )

    def __init__(self, *args: Any, hooks: Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if hooks is None:
            return
        for name in ("hook_before", "hook_after"):
            known = list(dict.fromkeys([*hooks, *filter(None, [self.initial.get(name), self.data.get(name)])]))
            self.fields[name].widget = forms.Select(choices=[("", _("None")), *((hook, hook) for hook in known)])

    def clean_notify(self) -> str:
        return _field(jobs.clean_recipients, self.cleaned_data["notify"])

    def clean_hook_before(self) -> str:
        return self._hook("hook_before")

    def clean_hook_after(self) -> str:
        return self._hook("hook_after")

    def _hook(self, name: str) -> str:
        label = str(self.fields[name].label)
        return _field(lambda value: jobs.clean_hook(value, label), self.cleaned_data[name])

    def answers(self) -> dict[str, Any]:
        """For the draft; the limit in seconds."""
        values = dict(self.cleaned_data)
        values["time_limit_seconds"] = values.pop("time_limit_minutes") * 60
        return values


class ScheduleForm(forms.Form):
    """By hand, one of four simple rhythms, or five cron fields; always in one declared zone."""

    HAND, CRON = "hand", "cron"

    mode = forms.ChoiceField(
        label=gettext_lazy("When"),
        choices=[(HAND, gettext_lazy("By hand only")), *PresetKind.choices, (CRON, gettext_lazy("Cron text"))],
        widget=forms.RadioSelect,
    )
    at = forms.TimeField(
        label=gettext_lazy("At"),
        required=False,
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"}),
    )
    weekdays = forms.TypedMultipleChoiceField(
        label=gettext_lazy("On"),
        required=False,
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
    )
    day = forms.IntegerField(label=gettext_lazy("Day of the month"), required=False, min_value=1, max_value=31)
    minute = forms.IntegerField(label=gettext_lazy("Minute"), required=False, min_value=0, max_value=59)
    cron = forms.CharField(
        label=gettext_lazy("Cron text"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "placeholder": "30 2 * * 1-5"}),
        help_text=gettext_lazy(
            "Minute, hour, day of the month, month, day of the week. H picks a value of the job's own."
        ),
    )
    zone = forms.ChoiceField(label=gettext_lazy("Time zone"))

    def __init__(self, *args: Any, seed: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seed = seed
        days: Any = self.fields["weekdays"]
        days.choices = [((number + 1) % 7, str(name).capitalize()) for number, name in WEEKDAYS.items()]
        zone: Any = self.fields["zone"]
        zone.choices = [(name, name) for name in sorted(zoneinfo.available_timezones())]

    @staticmethod
    def initial_of(answers: dict[str, Any], zone: str) -> dict[str, Any]:
        """The form's values for a schedule that is already there; without one, every night."""
        first = {"mode": PresetKind.DAILY, "at": "02:00", "weekdays": [1], "day": 1, "minute": 0, "zone": zone}
        if "cron" not in answers:
            return first
        first["zone"] = answers.get("zone") or zone
        cron = answers["cron"]
        if not cron:
            return {**first, "mode": ScheduleForm.HAND}
        preset = preset_of(cron)
        if preset is None:
            return {**first, "mode": ScheduleForm.CRON, "cron": cron}
        return {
            **first,
            "mode": preset.kind,
            "at": f"{preset.hour:02}:{preset.minute:02}",
            "minute": preset.minute,
            "weekdays": list(preset.weekdays),
            "day": preset.day,
            "cron": cron,
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        mode = cleaned.get("mode")
        if self.errors or mode is None:
            return cleaned
        if mode == self.HAND:
            cleaned["text"] = ""
            return cleaned
        cleaned["text"] = cleaned["cron"] if mode == self.CRON else self._preset(PresetKind(mode), cleaned)
        if self.errors:
            return cleaned
        try:
            self.preview = schedules.preview(cron=cleaned["text"], zone=cleaned["zone"], seed=self.seed)
        except CronInvalid as error:
            self.add_error("cron" if mode == self.CRON else "mode", f"{error.facts['field']}: {error.problem}")
        except InvalidInput as error:
            self.add_error("zone", str(error.facts["problem"]))
        return cleaned

    def _preset(self, kind: PresetKind, cleaned: dict[str, Any]) -> str:
        at, minute, weekdays, day = (cleaned.get(name) for name in ("at", "minute", "weekdays", "day"))
        if kind is PresetKind.HOURLY:
            return Preset(kind, minute=minute or 0).text
        if at is None:
            self.add_error("at", _("Give a time."))
            return ""
        if kind is PresetKind.WEEKLY and not weekdays:
            self.add_error("weekdays", _("Choose at least one day."))
            return ""
        if kind is PresetKind.MONTHLY and not day:
            self.add_error("day", _("Choose a day."))
            return ""
        return Preset(kind, minute=at.minute, hour=at.hour, weekdays=tuple(weekdays or (1,)), day=day or 1).text


class ReviewForm(forms.Form):
    """The last words: a name, and whether it runs at once."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=jobs.LONGEST_NAME, strip=True)
    run_now = forms.BooleanField(label=gettext_lazy("Run it now"), required=False)

    def __init__(self, *args: Any, job: BackupJob | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.job = job

    def clean_name(self) -> str:
        return _field(lambda value: jobs.clean_name(value, job=self.job), self.cleaned_data["name"])


def _field(check: Any, value: str) -> str:
    """A service's own check as the field's sentence."""
    try:
        result: str = check(value)
    except InvalidInput as error:
        raise forms.ValidationError(str(error.facts["problem"])) from error
    return result
