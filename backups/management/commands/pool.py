"""Storage pools from the shell: `manage.py pool list|add|analyse|default|remove`.

Exit codes: see phpborg/commands.py.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.models import StoragePool
from backups.services import pools
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.ui.format import byte_size, percent


class Command(commands.Command):
    """List and change pools."""

    help = "List, add, analyse or remove storage pools, or choose the default one."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        super().add_arguments(actions.add_parser("list", help="all pools with their usage"))
        add = actions.add_parser("add", help="make a pool at a directory")
        super().add_arguments(add)
        add.add_argument("name")
        add.add_argument("path")
        add.add_argument("--default", action="store_true", help="offer it first for new repositories")
        add.add_argument("--threshold", type=int, default=85, metavar="PERCENT", help="warn when fuller than this")
        for name, words in (
            ("analyse", "measure it now"),
            ("default", "offer it first for new repositories"),
            ("remove", "forget an empty pool; its directory stays"),
        ):
            one = actions.add_parser(name, help=words)
            super().add_arguments(one)
            one.add_argument("pool", help="name or id")
            if name == "remove":
                one.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        action: str = options["action"]
        if action == "list":
            self._list()
            return
        if action == "add":
            pool = pools.create_pool(
                name=options["name"],
                path=options["path"],
                is_default=options["default"],
                threshold_percent=options["threshold"],
            )
            self.emit(pool_json(pool), str(pool.pk))
            return
        pool = self.find(StoragePool.objects.all(), options["pool"])
        if action == "remove":
            self._remove(pool, sure=options["yes"])
            return
        if action == "analyse":
            pools.analyse(pool=pool)
        else:
            pools.set_default(pool=pool)
        data = pool_json(pool)
        self.emit(data, "\n".join(f"{key}: {value}" for key, value in data.items()))
        if pool.problem:
            raise SystemExit(ExitCode.FAILED)

    def _list(self) -> None:
        rows = list(StoragePool.objects.all())
        headers = [_("Pool"), _("Path"), _("Used"), _("Available"), _("Default"), _("Problem")]
        lines = [
            [
                pool.name,
                pool.path,
                percent(pool.used_share) if pool.used_share is not None else None,
                byte_size(pool.available_bytes) if pool.available_bytes is not None else None,
                _("yes") if pool.is_default else "",
                _(pool.problem) if pool.problem else "",
            ]
            for pool in rows
        ]
        self.emit([pool_json(pool) for pool in rows], self.table(headers, lines))

    def _remove(self, pool: StoragePool, *, sure: bool) -> None:
        if not sure:
            question = _("The pool “{name}” would be forgotten; {path} stays as it is. Repeat with --yes.")
            raise CommandError(question.format(name=pool.name, path=pool.path), returncode=ExitCode.USAGE)
        data = pool_json(pool)
        pools.remove_pool(pool=pool)
        self.emit(data, _("The pool “{name}” was removed.").format(name=pool.name))


def pool_json(pool: StoragePool) -> dict[str, Any]:
    """A pool for `--json`."""
    return {
        "id": str(pool.pk),
        "name": pool.name,
        "path": pool.path,
        "default": pool.is_default,
        "threshold_percent": pool.threshold_percent,
        "filesystem": pool.filesystem,
        "capacity_bytes": pool.capacity_bytes,
        "used_bytes": pool.used_bytes,
        "available_bytes": pool.available_bytes,
        "analysed_at": pool.analysed_at.isoformat() if pool.analysed_at else None,
        "problem": pool.problem,
    }
