"""Dumps in an archive: is each one there, and does it end as its tool ends a complete one?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from backups.models import Archive
from phpborg.errors import PhpBorgError
from recovery import tree
from recovery.paths import shown
from recovery.proof_errors import DumpIncomplete
from recovery.services.dumps import record_of

_TAIL_BYTES = 4096
# What the tools write last; a kind that is not here has no such word, and is only read.
_ENDS = {
    ("postgresql", "database"): b"-- PostgreSQL database dump complete",
    ("postgresql", "globals"): b"-- PostgreSQL database cluster dump complete",
    ("mysql", "database"): b"-- Dump completed",
    ("mongodb", "database"): b"\xff\xff\xff\xff",
}


def paths_of(archive: Archive) -> dict[str, str]:
    """Where the dumps are, and of which kind they are."""
    record = record_of(archive)
    return {dump.path: dump.kind for dump in record.dumps} if record else {}


def look(archive: Archive, mountpoint: Path) -> list[dict[str, Any]]:
    """For the evidence. Raises DumpIncomplete for the first one that is not whole."""
    record = record_of(archive)
    rows = []
    for path, kind in paths_of(archive).items():
        raw = os.fsencode(path)
        end = _ENDS.get((record.engine if record else "", kind))
        size, tail = _tail(mountpoint, raw)
        if end is not None and end not in tail:
            raise DumpIncomplete(tail[-200:].decode("utf-8", "replace"), path=shown(raw))
        rows.append({"path": shown(raw), "bytes": size, "ends_well": True if end is not None else None})
    return rows


def _tail(mountpoint: Path, path: bytes) -> tuple[int, bytes]:
    try:
        with os.fdopen(tree.open_file(mountpoint, path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _TAIL_BYTES))
            return size, file.read(_TAIL_BYTES)
    except OSError as error:
        raise DumpIncomplete(error.strerror or "", path=shown(path)) from error
    except PhpBorgError as error:
        raise DumpIncomplete(str(error), path=shown(path)) from error
