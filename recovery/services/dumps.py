"""What an archive of a database server holds that can be loaded: read from what the archive says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from backups.models import Archive
from recovery.engines import binary_log

LOADABLE = ("database", "globals", "users")
_NUMBERS = re.compile(r"\d+")
_SNAPSHOT = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,200}")


@dataclass(frozen=True)
class Dump:
    """One thing that can be loaded. `path` is where it is in the archive; several may share one."""

    kind: str  # database, globals or users
    name: str
    path: str
    properties: str = ""

    @property
    def key(self) -> str:
        """Names it in a form and in a row."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True)
class Record:
    """`Archive.backup_config["database"]`, read as tolerantly as a stranger's word."""

    engine: str
    version: str
    method: str
    consistency: str
    data_directory: str
    included: tuple[dict[str, Any], ...]
    facts: dict[str, Any]
    snapshot: str = ""  # the name of the one that a node of Elasticsearch made itself
    binary_log: str = ""  # the file that a server of MySQL wrote when it was frozen; not where it lies

    @property
    def dumps(self) -> tuple[Dump, ...]:
        """What can be loaded into a running server: nothing of a copy of files."""
        if self.method != "logical":
            return ()
        rows = [row for row in self.included if row.get("kind") in LOADABLE and row.get("path")]
        found = [
            Dump(row["kind"], str(row.get("name", "")), str(row["path"]), str(row.get("properties", "")))
            for row in rows
        ]
        # Accounts first: databases belong to them.
        return tuple(sorted(found, key=lambda dump: (dump.kind == "database") == self._accounts_first))

    @property
    def _accounts_first(self) -> bool:
        """Owners of PostgreSQL must be there first; rights of MySQL name routines, which must be there before."""
        return self.engine != "mysql"

    def paths(self, *kinds: str) -> list[str]:
        """Where things of these kinds are in the archive."""
        return list(
            dict.fromkeys(str(row["path"]) for row in self.included if row.get("kind") in kinds and row.get("path"))
        )


def record_of(archive: Archive) -> Record | None:
    """What an archive of a database says of itself; None for any other."""
    found = archive.backup_config.get("database")
    if not isinstance(found, dict) or not isinstance(found.get("engine"), str):
        return None
    included = found.get("included")
    facts = found.get("facts")
    frozen = archive.backup_config.get("frozen")
    name = str(frozen.get("name") or "") if isinstance(frozen, dict) else ""
    return Record(
        engine=found["engine"],
        version=str(found.get("server_version") or ""),
        method=str(found.get("method") or ""),
        consistency=str(found.get("consistency") or ""),
        data_directory=str(found.get("data_directory") or ""),
        included=tuple(row for row in included if isinstance(row, dict)) if isinstance(included, list | tuple) else (),
        facts=facts if isinstance(facts, dict) else {},
        snapshot=name if _SNAPSHOT.fullmatch(name) else "",
        binary_log=_binary_log(frozen),
    )


def _binary_log(frozen: Any) -> str:
    hold = frozen.get("hold") if isinstance(frozen, dict) else None
    told = hold.get("binlog") if isinstance(hold, dict) else None
    name = str(told.get("file") or "") if isinstance(told, dict) else ""
    return name if binary_log.is_name(name) else ""


def major(engine: str, version: str | None) -> tuple[int, ...]:
    """What counts of a version when a dump is loaded; () when it is not known."""
    numbers = tuple(int(number) for number in _NUMBERS.findall(version or "")[:2])
    return numbers[:1] if engine == "postgresql" and numbers[:1] >= (10,) else numbers
