"""PostgreSQL before a snapshot: a checkpoint, so that a start from it has little to recover. Nothing is locked.

A snapshot of all of its directories at one moment is what a power cut leaves, and it recovers from that by itself;
backup mode would add nothing. So a checkpoint that cannot be had is told and stops nothing.
"""

import signal
import subprocess
import time
from typing import Any, Dict, Optional

from .. import children, streams, wire
from ..producers import postgresql
from . import Hold

_CHECKPOINT_SECONDS = 300.0
_WORDS = ["-X", "-q", "-d", "postgres", "-c", "CHECKPOINT"]


class Server(Hold):
    """`row`: {"major", "socket", "port", "owner"} and, with a given login, "user".

    Facts: `checkpoint_seconds`, and `problem` when there was no checkpoint.
    """

    def __init__(self, row: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        self._row, self._secrets = row, secrets
        self.facts = {"engine": "postgresql", "locked": False, "locked_seconds": None}

    def quiesce(self) -> None:
        """See above."""
        assert self.facts is not None
        began = time.monotonic()
        try:
            problem = self._checkpoint()
        except wire.Refused as refusal:
            if refusal.code not in ("stream", "missing"):  # it is down, or has no psql
                raise
            problem = refusal.message
        spent = None if problem else round(time.monotonic() - began, 3)
        self.facts.update(checkpoint_seconds=spent, problem=problem)

    def _checkpoint(self) -> Optional[str]:
        """None, or why there was none."""
        access = postgresql.access(self._row, self._secrets)
        argv = [*access.argv("psql", any_version=True), *_WORDS]
        with streams.Said() as said:
            try:
                child = children.start(argv, access.owner, access.env, said.descriptor, pass_fds=access.fds)
            except OSError as error:
                return str(error)
            try:
                child.communicate(timeout=_CHECKPOINT_SECONDS)
            except subprocess.TimeoutExpired:
                return "it was not done within {:g} s".format(_CHECKPOINT_SECONDS)
            finally:
                children.signal_group(child.pid, signal.SIGKILL)
                child.wait()
                children.forget(child.pid)
            return None if child.returncode == 0 else said.text() or "exit {}".format(child.returncode)
