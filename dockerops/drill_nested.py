"""Directories of a drill that lie in one that another container may write to.

A container that runs could put a link in the place of the inner one before that is shown to the next: it would lead
anywhere on the machine. Who is started first is shown what was extracted; whoever comes later is left out.
"""

from __future__ import annotations

import json
from typing import Any

from dockerops import manifest as manifests
from dockerops import ordering

_STARTED = ("running", "paused", "restarting")
Table = dict[str, Any]


def endangered(manifest: Table) -> dict[str, tuple[str, str]]:
    """{container: (its directory, the container that may write to what is above)}; `manifest`: of a drill."""
    contents = manifests.parse(json.dumps(manifest))
    rows = {str(row["name"]): row for row in manifest["containers"]}
    before: list[tuple[str, str]] = []  # (directory that may be written to, by whom)
    found = {}
    for name in ordering.in_order(ordering.needs(contents.containers)):
        if rows[name].get("state") not in _STARTED:
            continue
        shown = _shown(name, rows)
        for path, _ in shown:
            other = next((who for above, who in before if path.startswith(above.rstrip("/") + "/")), None)
            if other is not None:
                found[name] = (path, other)
        if name not in found:
            before += [(path, name) for path, writable in shown if writable]
    return found


def _shown(start: str, rows: dict[str, Table]) -> list[tuple[str, bool]]:
    """(path, writable) that it sees, also as those see it whose volumes it has."""
    found, way, seen = [], [(start, True)], {(start, True)}
    while way:
        name, may_write = way.pop()
        host = rows[name]["create"]["HostConfig"]
        for bind in host.get("Binds") or []:
            source, _, rest = str(bind).partition(":")
            if source.startswith("/"):
                found.append((source, may_write and not rest.endswith(":ro")))
        for one in host.get("VolumesFrom") or []:
            other, _, mode = str(one).partition(":")
            further = (other, may_write and mode != "ro")
            if other in rows and further not in seen:
                seen.add(further)
                way.append(further)
    return found
