"""What every loader offers, and the census of a dump: what it holds is counted while it passes."""

import signal
import subprocess
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Optional

from .. import children

PIPE = subprocess.PIPE
# When nobody can tell us to end any more, a question gets so many seconds.
_ALONE_SECONDS = 600.0
_end: Optional[Callable[[], None]] = None


class Failed(Exception):
    """It was not loaded; the text says why."""


class Census:
    """Counts what a dump says that it holds, chunk by chunk, and looks for the mark that only a whole one has."""

    trailer = b""
    _TAIL = 4096

    def __init__(self) -> None:
        self.bytes = 0
        self._tail = b""

    def start_again(self) -> None:
        """The same dump is read once more."""
        self.__init__()  # type: ignore[misc]

    def add(self, chunk: bytes) -> None:
        """The next piece."""
        self.bytes += len(chunk)
        self._tail = (self._tail + chunk[-self._TAIL :])[-self._TAIL :]

    def judge(self) -> None:
        """Raises Failed when the end of the dump did not come by."""
        if not self.bytes:
            raise Failed("the archive holds nothing of that name")
        if self.trailer and self.trailer not in self._tail:
            raise Failed("the dump has no end (“{}”): it is not whole".format(self.trailer.decode()))


class Kept(Census):
    """A small dump, all of it in memory."""

    _MOST_BYTES = 64 << 20

    def __init__(self, trailer: bytes) -> None:
        super().__init__()
        self.trailer = trailer
        self.content = b""

    def add(self, chunk: bytes) -> None:
        super().add(chunk)
        if self.bytes > self._MOST_BYTES:
            raise Failed("the accounts of this archive are more than {} bytes".format(self._MOST_BYTES))
        self.content += chunk


class Loader:
    """One dump on its way into one server.

    `rehearses`: the dump is read once to its end before anything is touched, because a failure could not be undone.
    `collects`: it is small, read into memory, and carried out after that (`carry_out`); there is no `start`.
    `left` names what was made and could not be removed: `clean` has to be asked again.
    `untouched` says, after a failure, that what was there before is there as it was; None when that is not known.
    """

    what = ""
    rehearses = False
    collects = False
    census: Census

    def __init__(self) -> None:
        self.notes: List[str] = []
        self.left: List[str] = []
        self.untouched: Optional[bool] = True

    def prepare(self) -> None:
        """Look, and make what must be there first. Raises Refused or Failed with nothing made."""

    def start(self, stderr: int) -> Any:
        """The tool that reads the dump from a pipe, by `children.start`."""
        raise AssertionError("a loader that does not collect starts a tool")

    def passed(self, chunk: bytes, last: bool = False) -> bytes:
        """The next piece as the tool is to read it; `last`: there is no other one. Raises Failed."""
        return chunk

    def hear(self, line: bytes) -> None:
        """A line of the tool's own output."""

    def reported(self, lines: Iterable[str]) -> None:
        """All that the tool said on standard error when it ended well, before `told`. Raises Failed."""

    def told(self, words: str) -> None:
        """The last that the tool said on standard error when it ended well. Raises Failed."""

    def carry_out(self) -> None:
        """What was collected. Raises Failed with nothing changed."""

    def finish(self) -> Dict[str, Any]:
        """Compare what is there with the census and put it in place; the facts. Raises Failed."""
        return {}

    def undo(self) -> Optional[str]:
        """After a failure: take away what was made. A sentence when something is left."""
        return None

    def clean(self) -> List[str]:
        """What a killed load of this token has left is taken away; the names of it. Raises Failed."""
        return []


def obey(end: Optional[Callable[[], None]]) -> None:
    """Questions from now on last as long as the server needs and stop when `end` raises; None: they get some minutes.

    A large database is dropped or renamed in minutes or hours, and nobody but the caller knows how long is too long.
    """
    global _end
    _end = end


def answer_of(child: "subprocess.Popen[bytes]", asked: bytes) -> bytes:
    """Ask a client that reads a pipe; what it prints. Nothing of it stays. Raises Failed when it is too late."""
    said: List[bytes] = []
    # In a thread: `communicate` with a timeout forgets what it has not written yet.
    talk = threading.Thread(target=lambda: said.append(child.communicate(asked)[0]), daemon=True)
    talk.start()
    until = time.monotonic() + _ALONE_SECONDS
    try:
        while talk.is_alive():
            if _end is not None:
                _end()
            elif time.monotonic() > until:
                raise Failed("the server did not answer in time")
            talk.join(0.2)
    finally:
        children.signal_group(child.pid, signal.SIGKILL)
        talk.join()
        child.wait()
        children.forget(child.pid)
    return b"".join(said)
