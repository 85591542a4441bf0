"""The whole system as files: everything below / but what the kernel makes up, caches and swap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.sources.base import Consistency, DatabaseRecord, SourceFacts, SourcePlan
from backups.sources.databases import CHANGING, Row, data_row, listed
from backups.sources.files import FilesConfig, FilesSource, preset
from phpborg.errors import InvalidInput
from phpborg.tasks.registry import Finding
from servers.capabilities.cards import FLAVOURS, PROBES, paths_of
from servers.capabilities.report import Report

# Redis writes its files anew and renames them: a copy of them is whole.
ENGINES = ("postgresql", "mysql", "mongodb", "elasticsearch")
# Beside the preset's: more names of swap files, views of other files, and what no backup should be in twice.
_MORE = (
    "sh:/swapfile[0-9]*",
    "/swap/*",
    "/var/swap",
    "/var/swapfile",
    "sh:/var/lib/docker/overlay2/*/merged/*",
    "/var/lib/lxcfs/*",
    "sh:/home/*/.gvfs",
)


@dataclass(frozen=True)
class SystemConfig:
    """What is left out besides the usual, and whether other filesystems than that of / are read."""

    excludes: tuple[str, ...] = ()
    all_filesystems: bool = True

    def as_json(self) -> dict[str, Any]:
        """As stored in the job."""
        return {"excludes": list(self.excludes), "all_filesystems": self.all_filesystems}

    @property
    def as_files(self) -> FilesConfig:
        """The same as a choice of files."""
        usual = preset("system")
        return FilesConfig(
            paths=usual.paths,
            excludes=tuple(dict.fromkeys((*usual.excludes, *_MORE, *self.excludes))),
            one_file_system=not self.all_filesystems,
        )


class SystemSource:
    """Reads / with what is sensibly left out, and says which databases it only copies while they change."""

    kind = "system"
    label = gettext_lazy("The whole system")

    def __init__(self) -> None:
        self._files = FilesSource()

    def parse(self, data: Mapping[str, Any]) -> SystemConfig:
        """Checked. Raises InvalidInput, ListTooLong."""
        if set(data) - {"excludes", "all_filesystems"}:
            raise InvalidInput(field=_("Source"), problem=_("it holds a setting that is not known"))
        everything = data.get("all_filesystems", True)
        if not isinstance(everything, bool):
            raise InvalidInput(field=_("All filesystems"), problem=_("it is either on or off"))
        checked = self._files.parse({"paths": ["/"], "excludes": data.get("excludes", [])})
        return SystemConfig(checked.excludes, everything)

    def asks(self, config: SystemConfig) -> tuple[bytes, ...]:
        """The root: what is mounted below it."""
        return self._files.asks(config.as_files)

    def probes(self, config: SystemConfig) -> tuple[str, ...]:
        """Those for databases: their files change while they are read."""
        return ENGINES

    def summary(self, config: SystemConfig) -> str:
        """A few words for a list."""
        return _("everything") if config.all_filesystems else _("everything on the filesystem of /")

    def plan(self, config: SystemConfig, facts: SourceFacts) -> SourcePlan:
        """As for files; a finding for each database server whose files are copied while they change."""
        made = self._files.plan(config.as_files, facts)
        live = live_databases(facts.report) if facts.report else []
        sentences = [_("Leaves out what the kernel makes up, caches, swap files and what is mounted for a while.")]
        if live:
            names = listed([f"{row['engine']} {row['instance']}" for row in live])
            sentences.append(
                _(
                    "Database servers run here: {names}. Their files are copied while they change and may not start "
                    "again: make a job for each of them too."
                ).format(names=names)
            )
        findings = [Finding("live_database", f"{row['engine']} {row['instance']}", row["name"]) for row in live]
        return replace(
            made,
            sentences=(*made.sentences, *sentences),
            findings=(*made.findings, *findings, *_unanswered(facts.report)),
            database=_record(live) if live else None,
        )


def live_databases(report: Report) -> list[Row]:
    """The directories of running database servers: rows of a record with "engine", "instance" and "reason"."""
    instances: dict[str, Any] = {
        "postgresql": report.postgresql and report.postgresql.clusters,
        "mysql": report.mysql and report.mysql.instances,
        "mongodb": report.mongodb and report.mongodb.instances,
        "elasticsearch": report.elasticsearch and report.elasticsearch.nodes,
    }
    rows = []
    for kind in ENGINES:
        for instance in instances[kind] or ():
            if instance.running is False or instance.contained:
                continue
            engine = FLAVOURS.get(getattr(instance, "flavour", None) or "", str(PROBES[kind]))
            for path in paths_of(instance):
                rows.append({**data_row(path), "engine": engine, "instance": instance.id or "", "reason": CHANGING})
    return rows


def _unanswered(report: Report | None) -> list[Finding]:
    """The engines of which nobody knows whether they run here."""
    asked = report.unanswered if report else {}
    return [Finding("databases_unknown", asked[kind].problem or "", kind) for kind in ENGINES if kind in asked]


def _record(live: list[Row]) -> DatabaseRecord:
    """That these directories are in the archive, but not as a state of one moment."""
    return DatabaseRecord(
        engine="system",
        server_version=None,
        method="files",
        consistency=Consistency.NONE,
        included=(data_row("/"),),
        not_included=tuple(live),
    )
