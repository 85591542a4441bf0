"""Whether containers have kept still from our order until now, in words: somebody's hand, or the engine's own end.

An engine that is restarted ends those that it had paused, and starts by its own rule those that were stopped. What has
happened is seen, and never who did it.
"""

from typing import Any, Dict, List, Optional

from .engine import Engine
from .quiesce import Finding, Row, find, finding, state

_HOW = {"pause": "paused", "stop": "stopped"}
_ANEW = "somebody made it anew while it was kept still; it is {} now"
_STARTED = "it was started while it was {}, by somebody or by a restart of Docker's engine; it is {} now"
_ENDED = "it ended while it was paused, as it does when Docker's engine is restarted; it is {} now"


def changed(engine: Engine, kept: List[Row]) -> List[Finding]:
    """Which of them did not keep still until now."""
    told = [_changed(engine, row) for row in kept if row["begun"]]
    return [one for one in told if one is not None]


def _changed(engine: Engine, row: Row) -> Optional[Finding]:
    said, name = find(engine, row), row["container"]
    if said is None:
        return finding("docker_changed", "removed", name, "somebody removed it while it was kept still")
    now = state(said)
    status = now.get("Status")
    if said["Id"] != row["id"]:
        return finding("docker_changed", "recreated", name, _ANEW.format(status))
    if _is_still(row, now):
        return None
    if row["how"] == "pause" and status in ("exited", "dead"):
        return finding("docker_changed", "ended", name, _ENDED.format(status))
    return finding("docker_changed", "started", name, _STARTED.format(_HOW[row["how"]], status))


def _is_still(row: Row, now: Dict[str, Any]) -> bool:
    if row["how"] == "pause":
        return now.get("Status") == "paused"
    return now.get("Status") == "exited" and row["ended"] in (None, now.get("FinishedAt"))
