"""Files and folders, up to the whole system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from backups.borg import specs
from backups.errors import SourceMissing
from backups.job_errors import ListTooLong
from backups.sources import paths as spelling
from backups.sources.base import PathFact, SourceFacts, SourcePlan
from phpborg.errors import InvalidInput
from phpborg.tasks.registry import Finding

MOST_PATHS = 500
MOST_EXCLUDES = 500
_MOUNTS_TOLD = 20
# Made by the kernel at each boot, or by us: never worth a restore point.
_VOLATILE = ("/proc/*", "/sys/*", "/dev/*", "/run/*", "/tmp/*")  # noqa: S108  (patterns, not files of ours)
_VIRTUAL_TYPES = {
    "proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "cgroup", "cgroup2", "mqueue", "securityfs", "debugfs",
    "tracefs", "pstore", "bpf", "configfs", "fusectl", "hugetlbfs", "autofs", "binfmt_misc", "ramfs", "efivarfs",
    "nsfs", "rpc_pipefs",
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """A choice of paths that many want, with what is sensibly left out of it."""

    name: str
    label: Promise
    paths: tuple[bytes, ...]
    excludes: tuple[str, ...] = ()


PRESETS = (
    Preset("etc", gettext_lazy("Configuration (/etc)"), (b"/etc",)),
    Preset("home", gettext_lazy("Home directories (/home)"), (b"/home",), ("sh:/home/*/.cache/**",)),
    Preset("root", gettext_lazy("Home of root (/root)"), (b"/root",), ("/root/.cache/*",)),
    Preset(
        "var",
        gettext_lazy("Data of services (/var)"),
        (b"/var",),
        ("/var/cache/*", "/var/tmp/*", "/var/lock/*", "/var/run/*"),  # noqa: S108
    ),
    Preset(
        "system",
        gettext_lazy("The whole system (/)"),
        (b"/",),
        (
            *_VOLATILE,
            "/var/tmp/*",  # noqa: S108
            "/var/cache/*",
            "/var/lock/*",
            "/var/run/*",
            "/mnt/*",
            "/media/*",
            "sh:**/lost+found",
            "/swapfile",
            "/swap.img",
            "sh:/home/*/.cache/**",
            "/root/.cache/*",
        ),
    ),
)  # fmt: skip


def preset(name: str) -> Preset:
    """The preset of this name. Raises InvalidInput."""
    for known in PRESETS:
        if known.name == name:
            return known
    raise InvalidInput(field=_("Preset"), problem=_("there is no preset of this name"))


@dataclass(frozen=True)
class FilesConfig:
    """Absolute paths in order, patterns to leave out, and whether to stay on their filesystems."""

    paths: tuple[bytes, ...]
    excludes: tuple[str, ...] = ()
    one_file_system: bool = False
    exclude_caches: bool = False

    def as_json(self) -> dict[str, Any]:
        """As stored in the job."""
        return {
            "paths": [spelling.to_json(path) for path in self.paths],
            "excludes": list(self.excludes),
            "one_file_system": self.one_file_system,
            "exclude_caches": self.exclude_caches,
        }


class FilesSource:
    """Reads files and folders straight from the server's filesystems."""

    kind = "files"
    label = gettext_lazy("Files and folders")

    def parse(self, data: Mapping[str, Any]) -> FilesConfig:
        """Checked; paths and patterns without repetition, in their order. Raises InvalidInput, ListTooLong."""
        if set(data) - {"paths", "excludes", "one_file_system", "exclude_caches"}:
            raise InvalidInput(field=_("Source"), problem=_("it holds a setting that is not known"))
        chosen = _list(data.get("paths"), _("Paths"), MOST_PATHS)
        if not chosen:
            raise InvalidInput(field=_("Paths"), problem=_("choose at least one file or folder"))
        excludes = _list(data.get("excludes", []), _("Exclusions"), MOST_EXCLUDES)
        if not all(isinstance(pattern, str) and len(pattern) <= 1000 for pattern in excludes):
            raise InvalidInput(field=_("Exclusions"), problem=_("a pattern is one line of at most 1000 characters"))
        paths = tuple(dict.fromkeys(spelling.clean(spelling.from_json(value)) for value in chosen))
        return FilesConfig(
            paths=paths,
            excludes=tuple(dict.fromkeys(specs.exclude(pattern) for pattern in excludes)),
            one_file_system=_flag(data.get("one_file_system", False), _("One filesystem")),
            exclude_caches=_flag(data.get("exclude_caches", False), _("Cache folders")),
        )

    def asks(self, config: FilesConfig) -> tuple[bytes, ...]:
        """All its paths."""
        return config.paths

    def probes(self, config: FilesConfig) -> tuple[str, ...]:
        """None: files are looked at by their paths."""
        return ()

    def summary(self, config: FilesConfig) -> str:
        """The first paths, and how many more."""
        first = ", ".join(spelling.shown(path) for path in config.paths[:3])
        more = len(config.paths) - 3
        if more <= 0:
            return first
        return ngettext("{paths} and {count} more", "{paths} and {count} more", more).format(paths=first, count=more)

    def plan(self, config: FilesConfig, facts: SourceFacts) -> SourcePlan:
        """Paths as chosen; our own repositories and open archives are always kept out."""
        _check_present(config, facts)
        kept_out = tuple(
            f"pp:{spelling.to_wire(place)}"
            for place in facts.keep_out
            if any(spelling.covers(path, place) and path != place for path in config.paths)
        )
        skipped = left_out_mounts(config, facts.paths.values())
        return SourcePlan(
            paths=config.paths,
            excludes=(*config.excludes, *kept_out),
            one_file_system=config.one_file_system,
            exclude_caches=config.exclude_caches,
            sentences=tuple(_sentences(config, kept_out, skipped)),
            findings=tuple(Finding("mount_skipped", kind, spelling.shown(path)) for path, kind in skipped),
        )


def left_out_mounts(config: FilesConfig, facts: Iterable[PathFact]) -> tuple[tuple[bytes, str], ...]:
    """The mount points below the chosen paths that “one filesystem” leaves out; none when it is off.

    What the kernel makes up (/proc, /run …) and what is chosen itself is not told.
    """
    if not config.one_file_system:
        return ()
    found = {
        point: kind
        for fact in facts
        for point, kind in fact.mounts
        if point != fact.path and kind not in _VIRTUAL_TYPES and point not in config.paths
    }
    return tuple(sorted(found.items()))


def _check_present(config: FilesConfig, facts: SourceFacts) -> None:
    """Nothing of it there is an unmounted disk or a mistake: no archive is made, older ones stay.

    When only some are missing the rest is backed up, and borg's own finding makes the run incomplete.
    """
    gone = [path for path in config.paths if (fact := facts.paths.get(path)) is not None and not fact.exists]
    if gone and len(gone) == len(config.paths):
        names = ", ".join(spelling.shown(path) for path in gone[:10])
        raise SourceMissing(paths=names if len(gone) <= 10 else f"{names} …")


def _sentences(config: FilesConfig, kept_out: tuple[str, ...], skipped: tuple[tuple[bytes, str], ...]) -> list[str]:
    names = ", ".join(spelling.shown(path) for path in config.paths[:10])
    if len(config.paths) > 10:
        names += " …"
    sentences = [_("Reads {paths}.").format(paths=names)]
    if config.excludes:
        count = len(config.excludes)
        sentences.append(
            ngettext(
                "Leaves out what matches {count} pattern.", "Leaves out what matches {count} patterns.", count
            ).format(count=count)
        )
    if config.exclude_caches:
        sentences.append(_("Leaves out folders that are marked as caches (CACHEDIR.TAG)."))
    if config.one_file_system:
        sentences.append(_("Stays on the filesystems of the chosen paths."))
    if skipped:
        told = ", ".join(f"{spelling.shown(path)} ({kind})" for path, kind in skipped[:_MOUNTS_TOLD])
        sentences.append(_("These filesystems below are left out: {mounts}.").format(mounts=told))
    if kept_out:
        places = ", ".join(pattern[3:] for pattern in kept_out)
        sentences.append(_("Never reads phpBorg's own storage: {places}.").format(places=places))
    return sentences


def _list(value: Any, field: str, most: int) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidInput(field=field, problem=_("a list is needed"))
    if len(value) > most:
        raise ListTooLong(count=len(value), limit=most)
    return list(value)


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(field=field, problem=_("it is either on or off"))
    return value
