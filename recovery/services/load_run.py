"""One load, from the view to the comparison of what is there. Carries out the plan of load_plan.py."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from backups.borg import argv as commands
from backups.borg import runner, specs
from backups.borg.explain import Where
from backups.borg.report import Report
from backups.errors import NothingRestored
from backups.job_errors import ServerNotReady
from backups.services import credentials, repositories
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.progress import Meter
from phpborg.tasks.registry import Finding, Outcome
from phpborg.tasks.states import State
from recovery.errors import LoadBroken, LoadedOtherwise, LoadFailed
from recovery.models import Restore
from recovery.services import opening
from recovery.services.load_plan import LoadItem, extract_argv
from recovery.services.plan import PlanStep
from recovery.services.restores import load_plan_of
from servers.models import Server
from servers.services.reach import host_for
from servers.services.ways import open_way
from servers.transport.base import Link

# A large database may take longer to go: the server carries that out to its end all the same, and is asked again.
CLEAN_SECONDS = 300
_MARK = b'"phpborg_loading"'
_MOST_NOTES = 200


class LoadRun:
    """State of one load. `run` is the only entry."""

    def __init__(self, context: TaskContext, restore: Restore) -> None:
        self.context = context
        self.restore = restore
        self.plan = load_plan_of(restore)
        assert restore.archive is not None
        assert restore.server is not None
        self.archive, self.server = restore.archive, restore.server
        self.repository = self.archive.repository
        self.token = new_token()
        self.sizes: dict[str, int] = {}
        self.properties: dict[str, dict[str, Any]] = {}
        self.findings: list[Finding] = []
        self.loaded: list[dict[str, Any]] = []

    def run(self) -> Outcome:
        """Everything, in order. What is half loaded and the view go in every case."""
        if not self.server.is_ready:
            raise ServerNotReady(server=self.server.name)
        self.host = host_for(self.server)
        if self.restore.login_user:
            self.context.hold("database_login", restore=str(self.restore.pk))
        steps = {step.code: step for step in self.plan.steps}
        loads = [step for step in self.plan.steps if step.code == "load"]
        view = self._step(steps["view"], self._make_view)
        self._step(steps["count"], lambda row: self._count(view, row))
        with open_way(self.context, self.server, self.host, str(view), mode="tunnel", token=self.token) as way:
            self._step(steps["link"], lambda row: self.context.phase("connecting"))
            meter = Meter(sum(self.sizes[item.dump.path] for item in self.plan.items))
            for step, item in zip(loads, self.plan.items, strict=True):
                self._step(step, lambda row, item=item: self._load(way, item, meter, row))  # type: ignore[misc]
        return self._step(steps["verify"], self._verify)  # type: ignore[no-any-return]

    def _step(self, step: PlanStep, body: Callable[[dict[str, Any]], Any]) -> Any:
        self.context.stop.check()
        with self.context.step(step.code, step.text, **step.facts) as row:
            return body(row)

    # --- on the backup host ----------------------------------------------------------------------

    def _make_view(self, row: dict[str, Any]) -> Path:
        self.context.phase("preparing")
        return opening.make_view(self.context, self.archive, f"load-{self.token}")

    def _count(self, view: Path, row: dict[str, Any]) -> None:
        """How many bytes each dump has, and what the archive says of each database beside it."""
        self.context.phase("planning")
        base, _lease = self.context.private_directory("load")
        wanted = list(dict.fromkeys(item.dump.path for item in self.plan.items))
        listed = self._borg(
            base,
            commands.list_files(
                settings.BORG_BINARY,
                str(view),
                self.archive.name,
                paths=[os.fsencode(path) for path in wanted],
                format="{size} {path}{NL}",
            ),
        )
        for line in listed.splitlines():
            size, _blank, path = line.partition(b" ")
            self.sizes[os.fsdecode(path)] = int(size)
        missing = [path for path in wanted if path not in self.sizes]
        if missing:
            raise NothingRestored(", ".join(missing))
        for item in self.plan.items:
            if item.dump.properties:
                beside = [os.fsencode(item.dump.properties)]
                command = commands.extract(
                    settings.BORG_BINARY, str(view), self.archive.name, beside, sparse=False, to_stdout=True
                )
                self.properties[item.dump.key] = _table(self._borg(base, command))
        row["detail"] = f"{sum(self.sizes.values())} B"
        self.context.progress(
            items_total=len(self.plan.items), expected_bytes=sum(self.sizes[item.dump.path] for item in self.plan.items)
        )

    def _borg(self, base: Path, command: commands.Argv) -> bytes:
        mode = specs.encryption(self.repository.encryption)
        access = runner.Access(settings.BORG_BINARY, mode.value, self.repository.passphrase.reveal(), base)
        where = Where(repository=self.repository.path, archive=self.archive.name)
        ended, _report = runner.run(command, access, where, stop=self.context.stop, timeout=None)
        return ended.stdout

    # --- on the server ---------------------------------------------------------------------------

    def _load(self, way: Link, item: LoadItem, meter: Meter, row: dict[str, Any]) -> None:
        self.context.phase("loading")
        token = new_token()
        into = self.plan.into(item, self.properties.get(item.dump.key))
        lease = self.context.hold(
            "database_load",
            server=str(self.server.pk),
            restore=str(self.restore.pk),
            token=token,
            into={name: value for name, value in into.items() if name != "properties"},
        )
        answer = self._ask(way, item, into, token, meter)
        if answer.get("left") == []:
            # It has said itself that nothing of it is left there; otherwise it is cleaned up until that is so.
            self.context.cross_out(lease)
        notes = answer.get("notes") if isinstance(answer.get("notes"), list) else []
        self.findings += [Finding("load", str(note)[:1000], item.target) for note in notes[:_MOST_NOTES]]  # type: ignore[index]
        if answer.get("loaded") is not True:
            kind = LoadFailed if answer.get("untouched") is True else LoadBroken
            raise kind(str(answer.get("problem") or ""), name=item.target)
        self.context.stop.check()
        facts = answer["facts"] if isinstance(answer.get("facts"), dict) else {}
        passed, expected = facts.get("bytes"), self.sizes[item.dump.path]
        if passed != expected:
            raise LoadedOtherwise(name=item.target, passed="?" if passed is None else passed, expected=expected)
        self.loaded.append({"kind": item.dump.kind, "name": item.dump.name, "target": item.target, **_plain(facts)})
        self.context.progress(items_done=len(self.loaded))
        row["detail"] = " · ".join(f"{name} {facts[name]}" for name in _COUNTS if facts.get(name) is not None)

    def _ask(self, way: Link, item: LoadItem, into: dict[str, Any], token: str, meter: Meter) -> dict[str, Any]:
        report = Report()
        secrets = {**_secrets(self.restore), **repositories.secrets_there(self.repository)}
        before = sum(entry.get("bytes", 0) for entry in self.loaded)

        def hear(line: bytes) -> None:
            told = _told(line)
            if told is None:
                report.stderr(line)
                self.context.log(line.decode("utf-8", "replace"))
            elif told.get("phase") == "loading":
                done = before + int(told.get("bytes", 0))
                self.context.progress(**{**meter.measure(done), "original_bytes": done, "path": item.dump.path})

        result = self.host.run(
            "load",
            {
                "argv": [os.fsdecode(word) for word in extract_argv(way.repository, self.archive.name, item.dump)],
                "env": repositories.told_there(self.repository),
                "token": token,
                "into": into,
                "nice": 5,
            },
            secrets=secrets,
            on_stderr=hear,
            stop=self.context.stop,
            link=way,
        )
        return _table(result.exit.stdout)

    # --- the record ------------------------------------------------------------------------------

    def _verify(self, row: dict[str, Any]) -> Outcome:
        """All that was asked for was compared on its way; what is said of it is written down."""
        self.context.phase("verifying")
        row["detail"] = ", ".join(entry["target"] for entry in self.loaded)
        result = {"restore": str(self.restore.pk), "loaded": self.loaded}
        Restore.objects.filter(pk=self.restore.pk).update(
            state=Restore.State.DONE, report=result, finished_at=timezone.now()
        )
        state = State.NOTES if self.findings else State.SUCCESS
        return Outcome(state, tuple(self.findings), len(self.findings), result)


_COUNTS = ("tables", "rows", "collections", "documents", "roles", "users", "bytes")


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Only the counts: a server may say anything."""
    return {name: facts[name] for name in _COUNTS if isinstance(facts.get(name), int)}


def _table(data: bytes) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _told(line: bytes) -> dict[str, Any] | None:
    """How far the helper is; None for any other line."""
    found = _table(line) if _MARK in line else {}
    return found if found.get("type") == "phpborg_loading" else None


def _secrets(restore: Restore) -> dict[str, str]:
    login = credentials.unseal(restore.credentials) if restore.login_user else None
    return {} if login is None else {"database": login.password}


def clean(server: Server, data: dict[str, Any]) -> None:
    """For the lease: take away what a killed load has left. Idempotent; raises what keeps it from going."""
    restore = Restore.objects.filter(pk=data["restore"]).first()
    secrets = _secrets(restore) if restore is not None else {}
    args = {"action": "clean", "token": data["token"], "into": data["into"]}
    host_for(server).call("load", args, timeout=CLEAN_SECONDS, secrets=secrets)


def carry_out(context: TaskContext) -> Outcome:
    """The function behind the task kind “load”."""
    restore = Restore.objects.select_related("archive__repository__pool", "archive__job", "server").get(
        pk=context.params["restore"]
    )
    run: LoadRun | None = None
    try:
        run = LoadRun(context, restore)
        outcome = run.run()
    except BaseException as error:
        report = {"error": error.code} if isinstance(error, PhpBorgError) else {}
        Restore.objects.filter(pk=restore.pk, state=Restore.State.STARTED).update(
            state=Restore.State.FAILED,
            finished_at=timezone.now(),
            report={**report, "loaded": run.loaded if run is not None else []},
        )
        raise
    return outcome
