"""Servers from the shell: `manage.py server list|add|approve|setup|…`, see docs/commands.md.

Exit codes: see phpborg/commands.py.
"""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from phpborg import commands
from phpborg.commands import ExitCode, exit_code_of
from phpborg.errors import InvalidInput
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from servers.capabilities.cards import overview
from servers.capabilities.report import from_json
from servers.models import Server
from servers.services import (
    capabilities,
    enrol,
    fleet,
    identity,
    labels,
    mode,
    removal,
    setup,
    statistics,
    statistics_history,
)
from servers.services.errors import NameNotTyped
from servers.services.health import Health


class Command(commands.Command):
    """List, add and change servers."""

    help = "List, add, approve, set up, show, change and remove servers."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        self._add_list(actions.add_parser("list", help="all servers with their health"))
        self._add_add(actions.add_parser("add", help="a server over SSH: prints its fingerprint and our public key"))
        local = self._with_json(actions.add_parser("add-local", help="this machine as a server"))
        local.add_argument("--name", default=enrol.LOCAL_NAME)
        approve = self._one(actions.add_parser("approve", help="pin the host key after comparing its fingerprint"))
        approve.add_argument("fingerprint")
        self._one(actions.add_parser("fetch-key", help="ask the server for its host key again"))
        self._one(actions.add_parser("password", help="install our key with the account's password, asked for once"))
        self._one(actions.add_parser("renew-key", help="a new key pair of ours; the old one opens nothing any more"))
        self._waiting(self._one(actions.add_parser("setup", help="check and install"))).add_argument(
            "--look-only", action="store_true", help="install nothing, tell what is missing"
        )
        self._one(actions.add_parser("show", help="one server"))
        look = self._waiting(
            self._one(actions.add_parser("capabilities", help="what it is, has and runs, as last seen"))
        )
        look.add_argument("--reload", action="store_true", help="look again; with --wait show what was found then")
        figures = self._waiting(
            self._one(actions.add_parser("statistics", help="its load and filesystems, as last seen"))
        )
        figures.add_argument("--now", action="store_true", help="look now; with --wait show what was found then")
        way = self._waiting(self._one(actions.add_parser("mode", help="the way of the data")))
        way.add_argument("mode", choices=Server.Mode.values)
        remove = self._waiting(self._one(actions.add_parser("remove", help="remove a server; its archives stay")))
        remove.add_argument("--yes", metavar="NAME", default="", help="the server's name, as confirmation")
        remove.add_argument("--trash-archives", action="store_true")
        remove.add_argument("--leave-files", action="store_true", help="touch nothing on the server itself")

    def _with_json(self, parser: CommandParser) -> CommandParser:
        super().add_arguments(parser)
        return parser

    def _one(self, parser: CommandParser) -> CommandParser:
        self._with_json(parser).add_argument("server", help="name or id of the server")
        return parser

    @staticmethod
    def _waiting(parser: CommandParser) -> CommandParser:
        parser.add_argument("--wait", action="store_true", help="until it has ended")
        parser.add_argument("--timeout", type=float, default=None, metavar="SECONDS")
        return parser

    def _add_list(self, parser: CommandParser) -> None:
        self._with_json(parser)
        parser.add_argument("--label", default="")
        parser.add_argument("--health", default="", choices=["", *Health.values])

    def _add_add(self, parser: CommandParser) -> None:
        self._with_json(parser)
        parser.add_argument("name")
        parser.add_argument("address")
        parser.add_argument("--port", type=int, default=22)
        parser.add_argument("--user", default="root")
        parser.add_argument("--label", action="append", default=[])

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        try:
            if action in ("list", "add", "add-local"):
                getattr(self, f"do_{action.replace('-', '_')}")(options)
            else:
                server = self.find(Server.objects.all(), options["server"])
                getattr(self, f"do_{action.replace('-', '_')}")(server, options)
        except InvalidInput as error:
            self.fail(error, ExitCode.USAGE)

    def do_list(self, options: dict[str, Any]) -> None:
        rows = list(fleet.rows(fleet.Filters(label=options["label"], health=options["health"])))
        data = [self._row(server) for server in rows]
        headers = [_("Name"), _("Address"), _("State"), _("Last good archive"), _("Next run")]
        lines = [
            [row["name"], row["endpoint"], Health(row["health"]).label, row["last_good_at"], row["next_due_at"]]
            for row in data
        ]
        self.emit(data, self.table(headers, lines) if lines else _("No server yet."))

    @staticmethod
    def _row(server: Any) -> dict[str, Any]:
        moments = {name: getattr(server, name) for name in ("last_good_at", "oldest_at", "next_due_at")}
        return {
            "id": str(server.pk),
            "name": server.name,
            "kind": server.kind,
            "endpoint": server.endpoint,
            "mode": server.mode,
            "state": server.state,
            "health": server.health,
            "labels": [label.name for label in server.labels.all()],
            "jobs": server.job_count,
            **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
        }

    def do_add(self, options: dict[str, Any]) -> None:
        server = enrol.add_server(
            name=options["name"],
            address=options["address"],
            port=options["port"],
            user=options["user"],
            labels=labels.parse(",".join(options["label"])),
        )
        known = identity.offered(server)
        fingerprint = known.fingerprint if known else ""
        text = "\n".join(
            [
                _("Added. The server shows this fingerprint; compare it on the server itself:"),
                f"  {fingerprint}",
                _("Then approve it:"),
                f"  manage.py server approve '{server.name}' {fingerprint}",
                _("Append this line to ~/.ssh/authorized_keys of {user}, or run “manage.py server password”:").format(
                    user=server.user
                ),
                f"  {server.public_key}",
            ]
        )
        self.emit({"id": str(server.pk), "fingerprint": fingerprint, "public_key": server.public_key}, text)

    def do_add_local(self, options: dict[str, Any]) -> None:
        server = enrol.add_localhost(name=options["name"])
        self.emit({"id": str(server.pk), "name": server.name}, server.name)

    def do_approve(self, server: Server, options: dict[str, Any]) -> None:
        identity.approve_host_key(server=server, fingerprint=options["fingerprint"])
        self.emit({"id": str(server.pk), "fingerprint": server.host_key_fingerprint}, _("Approved."))

    def do_fetch_key(self, server: Server, options: dict[str, Any]) -> None:
        identity.fetch_host_key(server=server)
        known = identity.offered(server)
        data = {"approved": server.host_key_fingerprint, "offered": known.fingerprint if known else None}
        same = _("The server still has the identity that was approved.")
        self.emit(data, f"{data['approved'] or '—'} → {known.fingerprint}" if known else same)

    def do_password(self, server: Server, options: dict[str, Any]) -> None:
        password = getpass.getpass(_("Password of {endpoint}: ").format(endpoint=server.endpoint))
        enrol.install_key_with_password(server=server, password=password)
        self.emit({"installed": True}, _("The key was installed. The password was not kept."))

    def do_renew_key(self, server: Server, options: dict[str, Any]) -> None:
        enrol.renew_key(server=server)
        self.emit({"id": str(server.pk), "public_key": server.public_key}, server.public_key)

    def do_setup(self, server: Server, options: dict[str, Any]) -> None:
        install = not options["look_only"]
        self._queued(setup.enqueue_setup(server=server, install=install, trigger=Trigger.COMMAND), options)

    def do_mode(self, server: Server, options: dict[str, Any]) -> None:
        task = mode.set_mode(server=server, mode=options["mode"], trigger=Trigger.COMMAND)
        if task is None:
            self.emit({"task": None}, _("This is already its way."))
            return
        self._queued(task, options)

    def do_remove(self, server: Server, options: dict[str, Any]) -> None:
        plan = removal.removal_plan(server)
        if not options["yes"]:
            raise CommandError(
                _("{jobs} jobs and {archives} archives hang on it. To confirm, add: --yes '{name}'").format(
                    jobs=len(plan.jobs), archives=plan.archives, name=server.name
                ),
                returncode=ExitCode.USAGE,
            )
        try:
            task = removal.request_removal(
                server=server,
                typed=options["yes"],
                archives="trash" if options["trash_archives"] else "keep",
                clean=not options["leave_files"],
                trigger=Trigger.COMMAND,
            )
        except NameNotTyped as error:
            self.fail(error, ExitCode.USAGE)
        self._queued(task, options)

    def _queued(self, task: Task, options: dict[str, Any]) -> None:
        if options["wait"]:
            self.report([self.wait_for(task, timeout=options["timeout"])])
        self.emit({"task": str(task.pk)}, _("Queued: {task}").format(task=task.pk))

    def do_capabilities(self, server: Server, options: dict[str, Any]) -> None:
        if options["reload"]:
            task = capabilities.reload(server=server, trigger=Trigger.COMMAND)
            if not options["wait"]:
                self.emit({"task": str(task.pk)}, _("Queued: {task}").format(task=task.pk))
                return
            if exit_code_of(self.wait_for(task, timeout=options["timeout"])) is not ExitCode.GOOD:
                self.report([task])
        taken = capabilities.latest(server)
        if taken is None:
            raise CommandError(_("Nobody has looked yet. Add: --reload --wait"), returncode=ExitCode.USAGE)
        report = from_json(taken.data)
        data = {"server": server.name, "looked_at": taken.taken_at.isoformat(), **report.as_json()}
        self.emit(data, "\n".join(overview(report)))

    def do_statistics(self, server: Server, options: dict[str, Any]) -> None:
        if options["now"]:
            task = statistics.request_now(server=server, trigger=Trigger.COMMAND)
            if not options["wait"]:
                self.emit({"task": str(task.pk)}, _("Queued: {task}").format(task=task.pk))
                return
            if exit_code_of(self.wait_for(task, timeout=options["timeout"])) is not ExitCode.GOOD:
                self.report([task])
        data = statistics_history.as_json(server)
        if data["sampled_at"] is None:
            raise CommandError(_("There is no sample yet. Add: --now --wait"), returncode=ExitCode.USAGE)
        rows = [
            [one["target"], one["fstype"], one["size_bytes"], one["used_bytes"], one["available_bytes"], one["problem"]]
            for one in data["filesystems"]
        ]
        headers = [_("Filesystem"), _("Kind"), _("Size"), _("Used"), _("Available"), _("Problem")]
        figures = [
            f"{name}: {'—' if value is None else value}" for name, value in data.items() if name != "filesystems"
        ]
        self.emit(data, "\n".join([*figures, "", self.table(headers, rows)]))

    def do_show(self, server: Server, options: dict[str, Any]) -> None:
        row = fleet.with_facts(Server.objects.filter(pk=server.pk)).get()
        known = identity.offered(server)
        data = {
            **self._row(row),
            "host_key_fingerprint": server.host_key_fingerprint,
            "offered_fingerprint": known.fingerprint if known else None,
            "public_key": server.public_key,
            "facts": server.facts,
            "last_error_code": server.last_error_code,
            "last_seen_at": server.last_seen_at.isoformat() if server.last_seen_at else None,
        }
        shown = {**data, "health": Health(row.health).label, "facts": ", ".join(sorted(server.facts))}
        self.emit(data, "\n".join(f"{name}: {value}" for name, value in shown.items()))
