"""Proofs of restore: `manage.py proof run|list|show|schedule|unschedule …`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.models import Archive, BackupJob
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.errors import describe
from phpborg.tasks import runner
from phpborg.tasks.states import Trigger
from recovery.checks import queries
from recovery.models import Depth, Proof, ProofPlan
from recovery.services import proof_plan, proof_schedules, proofs
from servers.models import Server

WORDS = {depth.word: depth for depth in Depth}


class Command(commands.Command):
    """An archive is opened, read, and its databases are started, to see that it can be restored."""

    help = "Proofs of restore: make one, list them, set when they are made."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", required=True)

        def action(name: str, text: str) -> CommandParser:
            made: CommandParser = actions.add_parser(name, help=text)
            # SUPPRESS: given before the action, it counts too.
            made.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")
            return made

        run = action("run", "prove an archive now, or the newest good one of a job")
        run.add_argument("what", help="name or id of a job, else of an archive")
        run.add_argument("--dry-run", action="store_true", help="show the plan and stop")
        run.add_argument("--here", action="store_true", help="in this process, without a worker")
        run.add_argument("--wait", action="store_true", help="until it has ended")
        run.add_argument("--timeout", type=float, default=None, help="seconds to wait")
        schedule = action("schedule", "when and how a job's archives are proven")
        schedule.add_argument("job", help="name or id")
        schedule.add_argument("--cron", default=None, help="five fields; empty: by hand only")
        schedule.add_argument("--zone", default=None, help="time zone; default: the installation's")
        schedule.add_argument("--queries", default=None, metavar="FILE", help="queries with expected rows; - is stdin")
        schedule.add_argument("--overdue-days", type=int, default=None, help="0: never overdue")
        schedule.add_argument("--disable", action="store_true", help="keep it, but do nothing by schedule")
        for one in (run, schedule):
            one.add_argument("--depth", choices=list(WORDS), default=None, help="how deep; each includes those before")
            one.add_argument("--percent", type=int, default=None, help="share of the bytes that is read")
            one.add_argument("--server", default=None, help="where databases are started; default: this machine")
            one.add_argument("--docker", default=None, metavar="SOCKET", help="the Docker engine's socket there")
            one.add_argument("--image", default=None, help="another image than the configured one")
        action("unschedule", "no proofs of a job from now on").add_argument("job", help="name or id")
        listed = action("list", "how the jobs stand, or the proofs of one")
        listed.add_argument("job", nargs="?", default="", help="name or id")
        listed.add_argument("--limit", type=int, default=20)
        action("show", "one proof with its evidence").add_argument("proof", help="id")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        getattr(self, f"_do_{action}")(options)

    # --- actions -----------------------------------------------------------------------------------

    def _do_run(self, options: dict[str, Any]) -> None:
        job, archive = self._job_or_archive(options["what"])
        usual = proofs.choices_of(job or (archive.job if archive else None))
        depth = self._given(options, "depth", usual.depth)
        choices = proofs.Choices(
            depth=depth,
            sample_percent=self._percent(self._given(options, "percent", usual.sample_percent)),
            server=self._server(options["server"]) or usual.server,
            docker=self._given(options, "docker", usual.docker),
            image=self._given(options, "image", usual.image),
            queries=usual.queries,
        )
        proof = proofs.draft(archive=archive, job=job, choices=choices, trigger=Trigger.COMMAND)
        if options["dry_run"]:
            self._show_plan(proof)
            return
        task = proofs.start(proof=proof)
        if options["here"]:
            runner.run(str(task.pk))
            task.refresh_from_db()
        if options["here"] or options["wait"]:
            self.report([self.wait_for(task, timeout=options["timeout"])])
        self.emit(commands.task_json(task), str(task.pk))

    def _show_plan(self, proof: Proof) -> None:
        lines = [proof.archive_name]
        for step in proof_plan.steps(proof):
            lines += [step.sentence, *([f"    {step.command}"] if step.command else [])]
        self.emit({"archive": proof.archive_name, "steps": proof_plan.as_json(proof)}, "\n".join(lines))

    def _do_schedule(self, options: dict[str, Any]) -> None:
        job = self.find(BackupJob.objects.all(), options["job"])
        old = ProofPlan.objects.select_related("server").filter(job=job).first() or ProofPlan(job=job)
        asked = queries.from_json(old.queries)
        if options["queries"] is not None:
            asked = queries.parse(self._text(options["queries"]))
        days = old.overdue_days if options["overdue_days"] is None else options["overdue_days"] or None
        plan = proof_schedules.set_plan(
            job=job,
            cron=self._given(options, "cron", old.cron),
            zone=self._given(options, "zone", old.zone),
            depth=self._given(options, "depth", old.depth),
            sample_percent=self._given(options, "percent", old.sample_percent),
            server=self._server(options["server"]) or old.server,
            docker=self._given(options, "docker", old.docker),
            image=self._given(options, "image", old.image),
            queries=asked,
            overdue_days=days,
            enabled=not options["disable"],
        )
        self.emit(proof_schedules.as_json(plan), f"{job.name}: {proof_schedules.describe(plan)} · {plan.next_run_at}")

    def _do_unschedule(self, options: dict[str, Any]) -> None:
        job = self.find(BackupJob.objects.all(), options["job"])
        proof_schedules.remove(job)
        self.emit({"job": job.name, "cron": None}, job.name)

    def _do_list(self, options: dict[str, Any]) -> None:
        if options["job"]:
            job = self.find(BackupJob.objects.all(), options["job"])
            found = [self._row(proof) for proof in Proof.objects.filter(job=job)[: options["limit"]]]
            keys = ("id", "state", "depth", "reached", "ended_at", "archive")
            headers = [_("Id"), _("State"), _("Depth"), _("Reached"), _("Finished"), _("Archive")]
            self.emit({"proofs": found}, self.table(headers, [[row[key] for key in keys] for row in found]))
            return
        rows = [self._standing(one) for one in proofs.standings()]
        headers = [_("Job"), _("Last proof"), _("Last good one"), _("Next proof"), _("Overdue")]
        names = ("job", "last_state", "last_good_at", "next_run_at", "overdue")
        lines = [[row[key] if key != "overdue" or row[key] else "" for key in names] for row in rows]
        self.emit({"jobs": rows}, self.table(headers, lines))

    def _do_show(self, options: dict[str, Any]) -> None:
        proof = self.find(Proof.objects.all(), options["proof"])
        error = describe(proof.error_code, proof.error_facts)._asdict() if proof.error_code else None
        data = {**self._row(proof), "evidence": proof.evidence, "error": error, "detail": proof.error_detail}
        words = [f"{proof.archive_name}: {proof.get_state_display()}", *([error["title"]] if error else [])]
        self.emit(data, "\n".join([*words, *filter(None, [proof.error_detail])]))

    # --- what they share -----------------------------------------------------------------------------

    def _job_or_archive(self, text: str) -> tuple[BackupJob | None, Archive | None]:
        job = BackupJob.objects.filter(name=text).first() or next(
            iter(commands.by_id(BackupJob.objects.all(), text)), None
        )
        if job is not None:
            return job, None
        return None, self.find(Archive.objects.select_related("repository__pool", "job", "server"), text)

    def _given(self, options: dict[str, Any], name: str, usual: Any) -> Any:
        value = options[name]
        if value is None:
            return usual
        return WORDS[value] if name == "depth" else value

    def _percent(self, value: int) -> int:
        if not 1 <= value <= 100:
            raise CommandError(_("The share must be from 1 to 100."), returncode=ExitCode.USAGE)
        return value

    def _server(self, name: str | None) -> Server | None:
        return self.find(Server.objects.all(), name) if name else None

    def _text(self, name: str) -> str:
        if name == "-":
            return sys.stdin.read()
        try:
            return Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{name}: {error}", returncode=ExitCode.USAGE) from None

    def _row(self, proof: Proof) -> dict[str, Any]:
        return {
            "id": str(proof.pk),
            "job": proof.job_name,
            "archive": proof.archive_name,
            "state": proof.state,
            "depth": Depth(proof.depth).word,
            "reached": Depth(proof.reached).word if proof.reached else None,
            "trigger": proof.trigger,
            "started_at": proof.started_at,
            "ended_at": proof.ended_at,
            "duration_seconds": proof.duration_seconds,
        }

    def _standing(self, one: proofs.Standing) -> dict[str, Any]:
        return {
            **proof_schedules.as_json(one.plan),
            "last_state": one.last.state if one.last else None,
            "last_at": one.last.ended_at if one.last else None,
            "last_good_at": one.last_good.ended_at if one.last_good else None,
            "overdue": one.is_overdue,
        }
