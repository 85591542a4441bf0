"""Docker put back: `manage.py docker-restore ARCHIVE [what] [where] --plan | --script simple|advanced | --run`.

The archive is looked at and the server is asked in this process; `--run` is carried out by a worker, or `--here`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.models import Archive
from dockerops.choice import MODES, Choice
from dockerops.conflict import Conflict
from dockerops.forms import MOST_WAIT
from dockerops.from_dumps import torn_dumps
from dockerops.manifest import Contents
from dockerops.models import DockerRestore
from dockerops.options import IMAGES, MOST_HOURS, MOST_SHIFT, PORTS, PROTECTIONS, STARTS, Options
from dockerops.plan import DockerPlan
from dockerops.script import FORMS, script
from dockerops.services import detecting, drafts, looking, planning, protection, rollback, starting
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.tasks import runner
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from servers.models import Server

IN_THE_WAY = 5  # beside phpborg.commands.ExitCode
_LISTS = ("projects", "volumes", "containers", "networks", "binds", "configs")
_ONE = {name: name.removesuffix("s") for name in _LISTS}


class Command(commands.Command):
    """Show what a restore would do, write it as a script, or carry it out; undo one, or let go what it kept."""

    help = "Restore Compose projects, containers, volumes and configuration of a Docker archive."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("archive", nargs="?", help="name or id; “latest:JOB” for the newest good archive of a job")
        doing = parser.add_mutually_exclusive_group()
        doing.add_argument("--contents", action="store_true", help="what the archive holds")
        doing.add_argument("--plan", "--dry-run", action="store_true", help="conflicts and steps; this is the default")
        doing.add_argument("--script", choices=FORMS, help="the plan as a bash script")
        doing.add_argument("--run", action="store_true", help="carry it out")
        doing.add_argument("--rollback", metavar="RESTORE", help="bring back what a restore replaced")
        doing.add_argument("--forget", metavar="RESTORE", help="let go what a restore kept aside")
        self._what(parser)
        self._where(parser)
        parser.add_argument(
            "--agree", action="append", default=[], metavar="KEY", help="to a conflict, by its key; may be repeated"
        )
        parser.add_argument("--agree-to-all", action="store_true", help="to everything that can be agreed to")
        parser.add_argument("--wait", action="store_true", help="wait for the end")
        parser.add_argument("--timeout", type=float, default=None, help="seconds for --wait")
        parser.add_argument("--here", action="store_true", help="run in this process, without a worker")

    def _what(self, parser: CommandParser) -> None:
        parser.add_argument("--mode", choices=MODES, default="", help="default: all, or custom when something is named")
        for name, one in _ONE.items():
            parser.add_argument(f"--{one}", action="append", default=[], dest=name, metavar="NAME", help="repeatable")
        parser.add_argument(
            "--file", action="append", default=[], metavar="VOLUME:PATH", help="a single file of a volume; repeatable"
        )

    def _where(self, parser: CommandParser) -> None:
        usual = Options()
        parser.add_argument("--server", default="", help="another server than the one the archive is of")
        parser.add_argument("--to", default="", metavar="DIR", help="files below another directory")
        parser.add_argument("--as-project", default="", metavar="NAME", help="under another project name")
        parser.add_argument("--suffix", default="", help="of container names")
        parser.add_argument("--ports", choices=PORTS, default=usual.ports)
        parser.add_argument("--port-shift", type=int, default=usual.port_shift, metavar="N")
        parser.add_argument("--protect", choices=PROTECTIONS, default=usual.protect)
        parser.add_argument("--hours", type=int, default=usual.window_hours, help="so long it can be rolled back")
        parser.add_argument("--start", choices=STARTS, default=usual.start)
        parser.add_argument(
            "--as-it-lay", action="append", default=[], metavar="CONTAINER", help="its data, not its dump; repeatable"
        )
        parser.add_argument("--images", choices=IMAGES, default=usual.images)
        parser.add_argument(
            "--wait-minutes", type=int, default=usual.wait_minutes, metavar="MIN", help="until each is well"
        )
        parser.add_argument("--create-missing", action="store_true", help="external networks and volumes too")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rollback"] or options["forget"]:
            self._end(options)
            return
        if not options["archive"]:
            raise CommandError(_("Name an archive."), returncode=ExitCode.USAGE)
        restore = self._draft(options)
        kept = False
        try:
            if options["contents"]:
                self._show_contents(restore)
            elif options["run"]:
                task = self._start(restore, options)
                kept = True
                self._follow(task, restore, options)
            elif options["script"]:
                text = script(self._planned(restore), options["script"])
                self.emit({"script": text, "hash": planning.plan_of(restore).hash}, text)
            else:
                self._show_plan(restore)
        finally:
            if not kept:
                drafts.discard(restore=restore)

    # --- the draft -------------------------------------------------------------------------------

    def _draft(self, options: dict[str, Any]) -> DockerRestore:
        """Looked at, chosen, and the server asked."""
        archive = self._archive(options["archive"])
        server = self.find(Server.objects.all(), options["server"]) if options["server"] else archive.server
        if server is None:
            raise CommandError(_("Name a server: the archive belongs to none."), returncode=ExitCode.USAGE)
        chosen, how = _choice(options), _options(options)
        restore = drafts.open_draft(archive=archive)
        try:
            drafts.set_server(restore=restore, server=server)
            self._ended(looking.start(restore=restore, trigger=Trigger.COMMAND))
            restore.refresh_from_db()
            _check_dumped(looking.contents_of(restore), how.as_it_lay)
            drafts.set_choice(restore=restore, choice=chosen.as_json())
            drafts.set_options(restore=restore, options=how.as_json())
            if not options["contents"]:
                self._ended(detecting.start(restore=restore, trigger=Trigger.COMMAND))
                restore.refresh_from_db()
                drafts.consent(restore=restore, keys=_keys(detecting.conflicts_of(restore), options))
        except BaseException:
            drafts.discard(restore=restore)
            raise
        restore.refresh_from_db()
        return restore

    def _archive(self, text: str) -> Archive:
        rows = Archive.objects.select_related("repository__pool", "server", "job")
        if not text.startswith("latest:"):
            return self.find(rows, text)
        job = text.removeprefix("latest:")
        found: Archive | None = rows.good().filter(job_name=job).first()  # type: ignore[attr-defined]
        if found is None:
            words = _("There is no good archive of the job “{job}”.").format(job=job)
            raise CommandError(words, returncode=ExitCode.USAGE)
        return found

    def _ended(self, task: Task) -> None:
        """Here, unless a worker was faster; a failure ends the command as it ended the task."""
        runner.run(str(task.pk))
        task = self.wait_for(task)
        if task.state not in ("success", "notes"):
            self.report([task])

    # --- what is done with it --------------------------------------------------------------------

    def _show_contents(self, restore: DockerRestore) -> None:
        contents = looking.contents_of(restore)
        named = (("projects", "name"), ("containers", "name"), ("volumes", "name"), ("networks", "name"))
        rows = [
            [kind, getattr(one, key), getattr(one, "size_bytes", None), one.origin]
            for kind, key in (*named, ("binds", "source"))
            for one in getattr(contents, kind)
        ]
        headers = [_("Kind"), _("Name"), _("Size"), _("Known from")]
        self.emit(contents.as_json(), self.table(headers, [[_printable(cell) for cell in row] for row in rows]))

    def _show_plan(self, restore: DockerRestore) -> None:
        found = detecting.conflicts_of(restore)
        standing = detecting.standing(restore)
        plan = None if standing else planning.plan_of(restore)
        data = {
            "conflicts": [{**one.as_json(), "sentence": one.sentence, "remedy": one.remedy} for one in found],
            "in_the_way": [one.subject for one in standing],
            "plan": plan.as_json() if plan else None,
        }
        self.emit(data, "\n".join([*_told(found, restore.agreed), "", *(_steps(plan) if plan else [])]).strip())
        if standing:
            sys.exit(IN_THE_WAY)

    def _planned(self, restore: DockerRestore) -> DockerPlan:
        """Without a plan the conflicts are told, and the command ends."""
        if detecting.standing(restore):
            self._show_plan(restore)
        return planning.plan_of(restore)

    def _start(self, restore: DockerRestore, options: dict[str, Any]) -> Task:
        plan = self._planned(restore)
        return starting.start(restore=restore, plan_hash=plan.hash, trigger=Trigger.COMMAND)

    def _follow(self, task: Task, restore: DockerRestore, options: dict[str, Any]) -> None:
        if options["here"]:
            runner.run(str(task.pk))
            task.refresh_from_db()
        elif options["wait"]:
            task = self.wait_for(task, timeout=options["timeout"])
        else:
            self.emit({"task": str(task.pk), "restore": str(restore.pk), "hash": restore.plan_hash}, str(task.pk))
            return
        self.report([task])

    def _end(self, options: dict[str, Any]) -> None:
        rows = DockerRestore.objects.exclude(state=DockerRestore.State.DRAFT)
        restore = self.find(rows, options["rollback"] or options["forget"])
        begin = rollback.start if options["rollback"] else protection.start_forget
        self._follow(begin(restore=restore, trigger=Trigger.COMMAND), restore, options)


def _choice(options: dict[str, Any]) -> Choice:
    files: dict[str, list[str]] = {}
    for word in options["file"]:
        volume, colon, path = word.partition(":")
        if not colon or not path.strip("/"):
            raise CommandError(_("Write a file as VOLUME:PATH."), returncode=ExitCode.USAGE)
        files.setdefault(volume, []).append(path.strip("/"))
    named = {name: tuple(options[name]) for name in _LISTS}
    usual = "custom" if files or any(named.values()) else "all"
    chosen = {volume: tuple(paths) for volume, paths in files.items()}
    return Choice(mode=options["mode"] or usual, files=chosen, **named)


def _options(options: dict[str, Any]) -> Options:
    placement = "other_project" if options["as_project"] else "other_path" if options["to"] else "in_place"
    return Options(
        placement=placement,
        path=options["to"],
        project_name=options["as_project"],
        name_suffix=options["suffix"],
        ports=options["ports"],
        port_shift=_bounded("--port-shift", options["port_shift"], MOST_SHIFT),
        protect=options["protect"],
        window_hours=_bounded("--hours", options["hours"], MOST_HOURS),
        start=options["start"],
        as_it_lay=tuple(options["as_it_lay"]),
        images=options["images"],
        create_missing=options["create_missing"],
        wait_minutes=_bounded("--wait-minutes", options["wait_minutes"], MOST_WAIT),
    )


def _check_dumped(contents: Contents, names: Iterable[str]) -> None:
    """Each is a container that a dump would be loaded into. Raises CommandError."""
    known = {dump.container for dump in torn_dumps(contents)}
    for name in names:
        if name not in known:
            words = _("The archive has no dump of “{container}” that would be loaded.").format(
                container=_printable(name)
            )
            raise CommandError(words, returncode=ExitCode.USAGE)


def _bounded(name: str, value: int, most: int) -> int:
    """What a form would take. Raises CommandError."""
    if not 1 <= value <= most:
        words = _("{option} is a number from 1 to {most}.").format(option=name, most=most)
        raise CommandError(words, returncode=ExitCode.USAGE)
    return value


def _keys(found: Iterable[Conflict], options: dict[str, Any]) -> list[str]:
    if options["agree_to_all"]:
        return [one.consent for one in found if one.consent]
    return list(options["agree"])


def _told(found: Iterable[Conflict], consents: Iterable[str]) -> list[str]:
    """A line for each conflict, with the key by which it is agreed to."""
    agreed = set(consents)
    lines = []
    for one in found:
        key = f"  [--agree {_printable(one.consent)}]" if one.is_open(agreed) and one.consent else ""
        lines.append(f"{one.severity}: {one.sentence} {one.remedy}{key}")
    return lines


def _steps(plan: DockerPlan) -> list[str]:
    lines = [f"{step.number:3}. {step.sentence}" for step in plan.steps]
    return [*lines, "", *(note.sentence for note in plan.notes), f"SHA-256 {plan.hash}"]


def _printable(value: Any) -> Any:
    """A name that a server chose, for a terminal."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
