"""A function of ours as a tool: in a process of its own whose output is ours to read, watched like every child."""

import ctypes
import os
import signal
import time
import traceback
from typing import BinaryIO, Callable, Optional, Sequence

from . import children, wire

_HIGHEST = 1 << 16
_PR_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None)


class Forked:
    """Looks like `subprocess.Popen` to who reads its output and waits for its end."""

    def __init__(self, pid: int, stdout: BinaryIO) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: Optional[int] = None

    def wait(self) -> int:
        """The exit status, negative for a signal."""
        if self.returncode is None:
            _, status = os.waitpid(self.pid, 0)
            self.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return self.returncode


def start(work: Callable[[int], None], user: Optional[str], stderr: int, fds: Sequence[int] = ()) -> Forked:
    """Carry out `work(sink)` beside us, as this account when we are root: what it writes to `sink` is the output.

    A raise is exit status 1 with its reason on standard error. Of our descriptors it has `fds`. Raises OSError
    when there is no such account.
    """
    try:
        become = children.prepare_as(user)
    except KeyError:
        raise OSError("there is no account {}".format(user)) from None
    ours = os.getpid()
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        while os.getpgid(pid) != pid:
            time.sleep(0.001)  # its group can be signalled from now on
        children.watch(pid)
        return Forked(pid, os.fdopen(read, "rb", buffering=0))
    code = 1
    try:
        os.setsid()
        _only(write, stderr, fds)
        become()
        # A client that ended before it was asked is a reason, not our end.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        # It still holds what we hold, as the passphrase: its account may not look into it.
        _libc.prctl(_PR_SET_DUMPABLE, 0)
        if os.getppid() == ours:
            work(1)
            code = 0
    except BaseException as error:
        os.write(2, _reason(error))
    finally:
        os._exit(code)


def _only(stdout: int, stderr: int, fds: Sequence[int]) -> None:
    """Our standard streams and `fds`, and the guard, who must hear of what we start; nothing else of the parent."""
    os.chdir("/")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    kept = sorted({0, 1, 2, *fds, *children.guard_descriptors()})
    for before, after in zip(kept, [*kept[1:], _HIGHEST]):
        os.closerange(before + 1, after)


def _reason(error: BaseException) -> bytes:
    """What can be expected speaks for itself; the rest is a fault of ours and says where."""
    if isinstance(error, (wire.Refused, OSError)):
        return "{}\n".format(error).encode("utf-8", "surrogateescape")
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).encode("utf-8", "replace")
