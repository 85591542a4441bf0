"""Repositories from the shell: `manage.py repository ACTION …`. Exit codes: see phpborg/commands.py.

A passphrase is never an argument: it comes from `--passphrase-file` or from the first line of the
standard input, used exactly as it is.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.borg import specs
from backups.management.commands._repositories import repository_json, summary
from backups.models import Repository, StoragePool
from backups.services import maintenance, repositories, storage, trash
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.errors import PhpBorgError
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger

_HELP = {
    "show": "all that is known of it",
    "check": "verify, repair nothing",
    "compact": "give the space of removed archives back",
    "measure": "sizes on disk and of all archives",
    "break-lock": "remove Borg's lock; refused while it is used",
    "export-key": "print its key, to be kept elsewhere",
    "trash": "first step of removal",
    "untrash": "take it back out of the trash",
    "purge": "second step of removal; cannot be undone",
    "move": "it was moved by hand: say where it is now",
    "passphrase": "enter its passphrase again",
}
_QUEUED = ("check", "compact", "measure", "purge")


class Command(commands.Command):
    """List, make, maintain and remove repositories."""

    help = "List, add, show, check, compact, measure, move or remove repositories."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        super().add_arguments(actions.add_parser("list", help="all repositories"))
        self._add_add(actions.add_parser("add", help="make and initialise one"))
        for name, words in _HELP.items():
            one = actions.add_parser(name, help=words)
            super().add_arguments(one)
            one.add_argument("repository", help="name or id")
            if name in _QUEUED:
                one.add_argument("--wait", action="store_true", help="wait until it has ended; the exit code tells how")
                one.add_argument("--timeout", type=float, default=None, help="with --wait: at most so many seconds")
            if name in ("break-lock", "trash", "purge", "move"):
                one.add_argument("--yes", action="store_true", help="do not ask")
            if name == "check":
                one.add_argument("--mode", choices=maintenance.CHECK_MODES, default="repository")
            if name == "export-key":
                one.add_argument("--paper", action="store_true", help="in the form that is printed and typed")
            if name == "move":
                one.add_argument("path", help="where its directory is now")
            if name == "passphrase":
                one.add_argument("--passphrase-file", default="", help="default: the first line of the standard input")

    def _add_add(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument("--pool", default="", help="name or id; default: the default pool")
        parser.add_argument("--encryption", default=str(specs.DEFAULT_ENCRYPTION), choices=list(specs.Encryption))
        parser.add_argument("--compression", default=repositories.DEFAULT_COMPRESSION)
        source = parser.add_mutually_exclusive_group()
        source.add_argument("--generate", action="store_true", help="make a passphrase and print it, this one time")
        source.add_argument("--passphrase-file", default="", help="default: the first line of the standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        action: str = options["action"]
        if action == "list":
            self._list()
        elif action == "add":
            self._add(options)
        else:
            rows = Repository.objects.select_related("pool")
            repository = self.find(rows, options["repository"])
            self._act(action, repository, options)

    def _act(self, action: str, repository: Repository, options: dict[str, Any]) -> None:
        actions = {
            "show": self._tell,
            "check": self._check,
            "compact": self._compact,
            "measure": self._measure,
            "break-lock": self._break_lock,
            "export-key": self._export_key,
            "trash": self._trash,
            "untrash": self._untrash,
            "purge": self._purge,
            "move": self._move,
            "passphrase": self._passphrase_given,
        }
        actions[action](repository, options)

    def _list(self) -> None:
        rows = storage.rows_of(list(storage.listing(storage.Filters())))
        headers = [_("Repository"), _("Pool"), _("On disk"), _("Archives"), _("Last archive (UTC)"), _("State")]
        self.emit([repository_json(row) for row in rows], self.table(headers, [summary(row) for row in rows]))

    def _add(self, options: dict[str, Any]) -> None:
        pools = StoragePool.objects.all()
        pool = self.find(pools, options["pool"]) if options["pool"] else pools.filter(is_default=True).first()
        if pool is None:
            raise CommandError(_("There is no default pool; name one with --pool."), returncode=ExitCode.USAGE)
        passphrase = ""
        if specs.encryption(options["encryption"]).has_key:
            passphrase = repositories.generate_passphrase() if options["generate"] else self._passphrase(options)
        made = repositories.create_repository(
            pool=pool,
            name=options["name"],
            encryption=options["encryption"],
            passphrase=passphrase,
            compression=options["compression"],
        )
        (row,) = storage.rows_of([made])
        data, text = repository_json(row), str(made.pk)
        if options["generate"] and passphrase:
            data["passphrase"] = passphrase
            text += "\n" + _("Passphrase, shown this one time: {passphrase}").format(passphrase=passphrase)
        self.emit(data, text)

    def _passphrase(self, options: dict[str, Any]) -> str:
        """One line, exactly as it is; a person at a terminal types it unseen."""
        if options["passphrase_file"]:
            try:
                text = Path(options["passphrase_file"]).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(str(error), returncode=ExitCode.USAGE) from error
        elif sys.stdin.isatty():
            return getpass.getpass(_("Passphrase: "))
        else:
            text = sys.stdin.readline()
        return text.removesuffix("\n").removesuffix("\r")

    def _tell(self, repository: Repository, options: dict[str, Any]) -> None:
        (row,) = storage.rows_of([repository])
        data = repository_json(row)
        self.emit(data, "\n".join(f"{key}: {value}" for key, value in data.items()))

    def _queue(self, options: dict[str, Any], request: Any, **more: Any) -> None:
        try:
            task: Task = request(trigger=Trigger.COMMAND, **more)
        except PhpBorgError as error:
            self.fail(error, ExitCode.NOT_QUEUED)
        if options["wait"]:
            self.report([self.wait_for(task, timeout=options["timeout"])])
        self.emit(commands.task_json(task), str(task.pk))

    def _check(self, repository: Repository, options: dict[str, Any]) -> None:
        self._queue(options, maintenance.request_check, repository=repository, mode=options["mode"])

    def _compact(self, repository: Repository, options: dict[str, Any]) -> None:
        self._queue(options, maintenance.request_compact, repository=repository)

    def _measure(self, repository: Repository, options: dict[str, Any]) -> None:
        self._queue(options, maintenance.request_measure, repository=repository)

    def _purge(self, repository: Repository, options: dict[str, Any]) -> None:
        self._sure(
            options, _("“{name}” and all its archives would be removed for good. Repeat with --yes."), repository
        )
        self._queue(options, trash.request_purge, repository=repository, typed_name=repository.name)

    def _trash(self, repository: Repository, options: dict[str, Any]) -> None:
        self._sure(options, _("“{name}” would be moved to its pool's trash. Repeat with --yes."), repository)
        trash.move_to_trash(repository=repository, typed_name=repository.name)
        self._tell(repository, options)

    def _untrash(self, repository: Repository, options: dict[str, Any]) -> None:
        trash.take_from_trash(repository=repository)
        self._tell(repository, options)

    def _break_lock(self, repository: Repository, options: dict[str, Any]) -> None:
        repositories.ensure_unused(repository)
        holder = str(repositories.lock_state(repository)) or _("nobody")
        question = _("The lock of “{name}” is held by {holder}. Make sure that it has ended, then repeat with --yes.")
        self._sure(options, question, repository, holder=holder)
        state = repositories.break_lock(repository=repository)
        self.emit({"holders": [str(one) for one in state.holders]}, _("The lock was removed."))

    def _export_key(self, repository: Repository, options: dict[str, Any]) -> None:
        key = repositories.export_key(repository=repository, form="paper" if options["paper"] else "text")
        repositories.key_is_kept(repository=repository)
        self.emit({"repository": repository.name, "key": key}, key)

    def _move(self, repository: Repository, options: dict[str, Any]) -> None:
        path = os.path.abspath(options["path"])
        repositories.change_path(repository=repository, path=path, confirmed=options["yes"])
        self._tell(repository, options)

    def _passphrase_given(self, repository: Repository, options: dict[str, Any]) -> None:
        repositories.change_passphrase(repository=repository, passphrase=self._passphrase(options))
        self._tell(repository, options)

    def _sure(self, options: dict[str, Any], question: str, repository: Repository, **facts: str) -> None:
        if not options["yes"]:
            raise CommandError(question.format(name=repository.name, **facts), returncode=ExitCode.USAGE)
