"""The plan of a backup: what will happen, in order, with the very command lines.

One object for all: the wizard's last page and `--dry-run` show it, the task carries it out. Steps hold
no secret: the passphrase travels by descriptor and is in no command line.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import sources
from backups.borg import argv as commands
from backups.borg import names
from backups.models import BackupJob, Repository, StoragePool
from backups.sources import offers
from backups.sources.base import Freeze, Sentence, SourceFacts, SourcePlan
from phpborg.tasks.models import Task
from servers.models import Server
from servers.services.capabilities import latest_report

# What the helper on a server keeps for itself: caches and half-made restores.
SERVER_STATE = b"/var/lib/phpborg"
HOOKS = "/etc/phpborg/hooks"
_UNKNOWN_RUN = "TIME-RUN"


@dataclass(frozen=True)
class PlanStep:
    """One step: what it is, what it runs, what it touches, and what is done to undo it."""

    code: str
    title: Sentence
    sentence: Sentence
    argv: tuple[str | bytes, ...] = ()
    touches: tuple[str, ...] = ()
    undo: Sentence = ""

    @property
    def command(self) -> str:
        """The command line as a shell would want it; for people."""
        return shlex.join(os.fsencode(word).decode("utf-8", "backslashreplace") for word in self.argv)


@dataclass(frozen=True)
class BackupPlan:
    """Everything that a run of a job will do."""

    archive: str
    location: str
    source: SourcePlan
    steps: tuple[PlanStep, ...]
    link: str  # local, tunnel or direct
    nice: int
    hook_before: str
    hook_after: str
    hook_seconds: int

    @property
    def argv(self) -> tuple[str | bytes, ...]:
        """The command line that makes the archive, as handed to the helper, which finds the program itself."""
        return next(step.argv for step in self.steps if step.code == "create")[1:]

    def as_json(self) -> dict[str, Any]:
        """For `--dry-run --json`."""
        return {
            "archive": self.archive,
            "location": self.location,
            "link": self.link,
            "steps": [
                {
                    "code": step.code,
                    "sentence": str(step.sentence),
                    "argv": [os.fsencode(word).decode("utf-8", "backslashreplace") for word in step.argv],
                    "touches": list(step.touches),
                    "undo": str(step.undo),
                }
                for step in self.steps
            ],
            "findings": [finding.as_json() for finding in self.source.findings],
        }


def archive_name(job: BackupJob, task: Task | None) -> str:
    """The name that this task's archive gets; before there is a task, with words in its place."""
    if task is None:
        return f"{job.slug}-{names.short_id(job.pk)}-{_UNKNOWN_RUN}"
    return names.archive_name(job.slug, job.pk, task.started_at or task.created_at, task.pk)


def keep_out(server: Server) -> tuple[bytes, ...]:
    """Places on this server that no archive may hold: repositories, open archives, borg's caches."""
    if not server.is_local:
        return (SERVER_STATE,)
    var = Path(settings.VAR_DIR)
    pools = [os.fsencode(path) for path in StoragePool.objects.values_list("path", flat=True)]
    ours = [os.fsencode(var / name) for name in ("borg", "tmp", "views", "mounts", "run")]
    return (SERVER_STATE, *pools, *ours)


def location_for(job: BackupJob) -> str:
    """The repository as borg on the job's server is told of it: the same address in every mode of the link."""
    plain = job.server.is_local and os.geteuid() == 0
    return job.repository.path if plain else f"ssh://phpborg{job.repository.path}"


def told(*, job: BackupJob, facts: SourceFacts | None) -> dict[str, list[str]]:
    """What a run does, in every language: who reads it is not known yet."""
    sentences = {}
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            source = plan_backup(job=job, facts=facts).source
            sentences[language] = [str(sentence) for sentence in source.sentences]
    return sentences


def plan_backup(
    *, job: BackupJob, task: Task | None = None, facts: SourceFacts | None = None, by_report: bool = True
) -> BackupPlan:
    """What a run of this job does. The job need not be saved.

    Without a report among the facts the one that is kept is taken, unless `by_report` is off: a run looks for itself.
    Raises SourceKindUnknown, InvalidInput and, when the facts say so, SourceMissing.
    """
    kind = sources.get(job.source_kind)
    config = kind.parse(job.source)
    known = replace(facts or SourceFacts(), keep_out=keep_out(job.server))
    if by_report and known.report is None and kind.probes(config):
        known = replace(known, report=latest_report(job.server))
    source = kind.plan(config, known)
    archive = archive_name(job, task)
    location = location_for(job)
    link = "local" if job.server.is_local else str(job.server.mode)
    return BackupPlan(
        archive=archive,
        location=location,
        source=source,
        steps=tuple(_steps(job, source, archive, location, link)),
        link=link,
        nice=job.nice,
        hook_before=job.hook_before,
        hook_after=job.hook_after,
        hook_seconds=job.hook_seconds,
    )


def create_argv(job: BackupJob, source: SourcePlan, archive: str, location: str) -> tuple[str | bytes, ...]:
    """The command line that makes the archive; empty while what is read follows from a look still to come."""
    if not (source.paths or source.streams or source.feed):
        return ()
    options = commands.CreateOptions(
        sources=source.paths,
        excludes=source.excludes,
        one_file_system=source.one_file_system,
        exclude_caches=source.exclude_caches,
        compression=job.compression or job.repository.compression,
        upload_rate_kib=job.upload_rate_kib,
    )
    make = commands.create
    if source.feed is not None:
        make = commands.import_tar
    elif source.streams:
        make = commands.create_from_streams
    return make("borg", location, archive, options)


def _steps(job: BackupJob, source: SourcePlan, archive: str, location: str, link: str) -> list[PlanStep]:
    server, repository = job.server, job.repository
    steps = [_connect(server)]
    if job.hook_before:
        steps.append(_hook("hook_before", gettext_lazy("Hook before"), job, job.hook_before))
    steps.append(_look_of_engine() if job.source_kind == "docker" else _look(source, job.source_kind in offers.KINDS))
    if source.freeze is not None:
        steps.append(_freeze(source.freeze))
    steps.append(_open_link(job, link))
    ends = [_prove(repository)]
    if source.freeze is not None:
        # Containers that keep still do not wait for the proof, too.
        ends.insert(0 if source.freeze.kind == "docker" else 1, _thaw(source.freeze))
    steps += [_create(job, source, archive, location), *ends]
    if job.hook_after:
        steps.append(_hook("hook_after", gettext_lazy("Hook after"), job, job.hook_after))
    steps.append(
        PlanStep(
            "sync",
            gettext_lazy("Compare with the repository"),
            _("Records archives that nobody knew and marks those that are gone."),
        )
    )
    return steps


def _create(job: BackupJob, source: SourcePlan, archive: str, location: str) -> PlanStep:
    written = _("Writes the archive {archive} into the repository “{repository}”.").format(
        archive=archive, repository=job.repository.name
    )
    return PlanStep(
        "create",
        gettext_lazy("Back up"),
        " ".join([*(str(sentence) for sentence in source.sentences), written]),
        argv=create_argv(job, source, archive, location),
        touches=(job.repository.path,),
        undo=_("Stopped before the end, it leaves no archive; the next run goes on from borg's last checkpoint."),
    )


def _prove(repository: Repository) -> PlanStep:
    return PlanStep(
        "prove",
        gettext_lazy("Prove the archive"),
        _("Looks for exactly this archive in the repository, on the backup host. Only then the run counts."),
        argv=commands.list_archives("borg", repository.path),
    )


def _connect(server: Server) -> PlanStep:
    sentence = (
        _("Starts the helper on this machine.")
        if server.is_local
        else _("Connects to {endpoint} over SSH; its host key must be the one that was approved.").format(
            endpoint=server.endpoint
        )
    )
    return PlanStep("connect", gettext_lazy("Connect to the server"), sentence)


def _freeze(freeze: Freeze) -> PlanStep:
    return PlanStep(
        "freeze",
        gettext_lazy("Freeze the data"),
        freeze.sentence,
        touches=tuple(view.at for view in freeze.views),
        undo=freeze.undo,
    )


def _thaw(freeze: Freeze) -> PlanStep:
    sentences = [_("Asks whether what was frozen has stayed whole to the end; if not, nothing of it is kept.")]
    return PlanStep("thaw", gettext_lazy("Check and remove what was frozen"), " ".join([*sentences, str(freeze.undo)]))


def _look_of_engine() -> PlanStep:
    sentence = _("Asks Docker's engine again what it holds; the plan is made of that answer.")
    return PlanStep("look", gettext_lazy("Look at Docker's engine"), sentence)


def _look(source: SourcePlan, of_database: bool) -> PlanStep:
    if of_database:
        sentence = _("Asks the server again what is there and which logins work; the plan is made of that answer.")
        return PlanStep("look", gettext_lazy("Look at the database server"), sentence)
    sentences = [_("Asks the server whether the sources are there. If none is, nothing is written.")]
    if source.one_file_system:
        sentences.append(_("Notes the filesystems that are left out."))
    return PlanStep("look", gettext_lazy("Look at the sources"), " ".join(sentences))


def _hook(code: str, title: Sentence, job: BackupJob, name: str) -> PlanStep:
    if code == "hook_before":
        sentence = _("Runs {path} on the server, for at most {seconds} seconds. If it fails, nothing is backed up.")
    else:
        sentence = _(
            "Runs {path} on the server, for at most {seconds} seconds: exactly once, however the backup went. "
            "It finds the outcome in PHPBORG_OUTCOME."
        )
    path = f"{HOOKS}/{name}"
    return PlanStep(code, title, sentence.format(path=path, seconds=job.hook_seconds), argv=(path,), touches=(path,))


def _open_link(job: BackupJob, link: str) -> PlanStep:
    sentences = {
        "local": _("Reads and writes on this machine; nothing goes over the network."),
        "tunnel": _(
            "Carries the repository through the SSH connection. The server gets no credential; it can only add "
            "archives to this one repository."
        ),
        "direct": _(
            "The server connects to the backup host with its own key, which can only add archives to its repositories."
        ),
    }
    return PlanStep(
        "link",
        gettext_lazy("Open the way to the repository"),
        sentences[link],
        # As root on this machine borg opens the repository's files itself.
        argv=() if location_for(job) == job.repository.path else commands.serve("borg", [job.repository.path]),
        touches=(job.repository.path,),
        undo=_("The connection and its sockets are removed when the backup ends."),
    )
