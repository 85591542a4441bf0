"""Database servers that keep still while their volume is frozen, and go on at once afterwards, whatever happens.

What a request says: {"engine": …, what names the server and how to sign in}. One file an engine, with a class
`Server(row, secrets)` whose making signs in and checks; a password is in `secrets["database"]`. How long a server
is kept is bounded on its own: a volume manager that hangs must not stop everybody who writes.
"""

from contextlib import contextmanager
from importlib import import_module
from typing import Any, Dict, Iterator, Optional

from .. import policy, validate, wire

ENGINES = ["postgresql", "mysql", "mongodb"]
# A server is let go after so long even when the snapshot is not made yet; then there is none.
LONGEST_SECONDS = 60.0


class Hold:
    """A context manager around the one command that freezes. This one keeps nobody: what has no server has it."""

    # For the answer: {"engine", "locked", "locked_seconds": None when nothing was locked, …}
    facts: Optional[Dict[str, Any]] = None

    def quiesce(self) -> None:
        """Let it keep still. Raises Refused when it does not; then nothing is held."""

    def release(self) -> None:
        """Let it go on. Raises Refused when it was not held from the beginning to this moment."""

    def close(self) -> None:
        """Sign out; nothing is held after that, however it came to this."""

    def __enter__(self) -> "Hold":
        self.quiesce()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self.release()
        except wire.Refused:
            if error is None:
                raise


@contextmanager
def opened(row: Any, secrets: Dict[str, Any]) -> Iterator[Hold]:
    """Signed in at the server that `row` names (None: no server), and out at the end. Raises Refused."""
    hold = Hold()
    if row is not None:
        policy.check_databases()
        if not isinstance(row, dict):
            raise wire.Refused("invalid", "hold must be a table")
        engine = validate.choice(row.get("engine"), "engine", ENGINES)
        hold = import_module("." + engine, __package__).Server(row, secrets)
    try:
        yield hold
    finally:
        hold.close()
