"""Work that may hang or leave processes behind: done in processes apart, which this one need not wait for."""

import ctypes
import os
import resource
import signal
import time
from contextlib import contextmanager
from typing import Callable, Iterator, List, Set, Tuple

from . import children

_PR_SET_CHILD_SUBREAPER = 36
_END_SECONDS = 1.0
_MOST_MEMORY = 1 << 30
_libc = ctypes.CDLL(None, use_errno=True)


def start(work: Callable[[int], None]) -> Tuple[int, int]:
    """Carry out `work` in a process apart: (its pid, a pipe from which to read what it writes).

    `work` gets the descriptor to write to. Nothing else of ours is open there: a process that the
    kernel cannot end (a dead file server) must not keep our caller waiting for the end of our output.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
        os.setsid()
        # The helper's own handlers only note that an end is wanted.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        children.end_with_parent()
        children.use_guard(-1)
        # What it is told by others may have no end; it must not take the memory of this machine.
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os.closerange(3, write)
        os.closerange(write + 1, os.sysconf("SC_OPEN_MAX"))
        work(write)
    finally:
        os._exit(0)


def write_all(descriptor: int, data: bytes) -> None:
    """For `work`: everything, however little the pipe takes at once."""
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def nothing_left() -> Iterator[None]:
    """At the end no process is left that was started meanwhile, also none that its parent left behind.

    What the kernel does not let end within a second stays until it does; nobody waits for it.
    """
    before = _below(os.getpid())
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _end(before)
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _end(kept: Set[int]) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while True:
        found = _below(os.getpid()) - kept
        for pid in found:
            _kill(pid)
        if not found or time.monotonic() > deadline:
            return
        time.sleep(0.005)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError, PermissionError):
        pass


def _below(top: int) -> Set[int]:
    """All processes below one, also those that ended and were not collected."""
    parents: List[Tuple[int, int]] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/{}/stat".format(entry), "rb") as file:
                    # The program's name in parentheses may hold anything.
                    parents.append((int(entry), int(file.read().rpartition(b")")[2].split()[1])))
            except (OSError, IndexError):
                continue
    found: Set[int] = set()
    above = {top}
    while above:
        above = {pid for pid, parent in parents if parent in above} - found
        found |= above
    return found
