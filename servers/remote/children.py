"""Children of this program: started without a shell, ended with it whatever happens.

A child gets its own session, a signal when we are killed, and a guard process that ends its whole
group should we vanish without a word (kill -9).
"""

import ctypes
import os
import pwd
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from . import wire

INTERRUPT_SECONDS = 30.0
TERMINATE_SECONDS = 10.0
SEARCH_PATH = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_guard_pipe = -1


def start_guard() -> int:
    """Fork the guard; returns the descriptor on which it is told of groups."""
    read, write = os.pipe()
    if os.fork():
        os.close(read)
        return write
    try:
        _guard(read)
    finally:
        os._exit(0)


def _guard(read: int) -> None:
    os.setsid()
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    os.dup2(read, 3) if read != 3 else None
    os.closerange(0, 3)
    os.closerange(4, 1024)
    told = b""
    while True:
        chunk = os.read(3, 4096)
        if not chunk:
            break
        told += chunk
    groups: List[int] = []
    for word in told.split():
        number = int(word)
        groups = [*groups, number] if number > 0 else [group for group in groups if group != -number]
    for group in groups:
        signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + TERMINATE_SECONDS
    while groups and time.monotonic() < deadline:
        groups = [group for group in groups if alive(group)]
        time.sleep(0.1)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def use_guard(descriptor: int) -> None:
    """Children from now on are watched by this guard."""
    global _guard_pipe
    _guard_pipe = descriptor


def _tell_guard(number: int) -> None:
    if _guard_pipe >= 0:
        try:
            os.write(_guard_pipe, f"{number}\n".encode())
        except OSError:
            pass


def signal_group(group: int, number: int) -> None:
    """Signal a group of ours; gone is fine."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def alive(group: int) -> bool:
    """Does the group still have a member?"""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def environment(extra: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """What a child gets and nothing more."""
    base = {"PATH": ":".join(SEARCH_PATH), "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TZ": "UTC"}
    base["HOME"] = os.path.expanduser("~") if os.geteuid() else "/root"
    base.update(extra or {})
    return base


def find(name: str) -> Optional[str]:
    """The program's path: where administrators install, whatever this session's PATH is."""
    for directory in [*SEARCH_PATH, *os.environ.get("PATH", "").split(":")]:
        path = os.path.join(directory, name)
        if directory.startswith("/") and os.access(path, os.X_OK) and os.path.isfile(path) and _trusted(path):
            return path
    return None


def _trusted(path: str) -> bool:
    """As root we run nothing that another account could have written."""
    if os.geteuid():
        return True
    status = os.stat(path)
    return status.st_uid == 0 and not status.st_mode & 0o022


def end_with_parent() -> None:
    """This process gets SIGTERM when the one that started it is gone, also by kill -9."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def prepare_child(directory: Optional[int]) -> Callable[[], None]:
    """For `preexec_fn`: the child ends with us, signals mean what they always mean, and this is its directory."""

    def prepare() -> None:
        end_with_parent()
        for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if directory is not None:
            os.fchdir(directory)

    return prepare


def in_own_process(function: Callable[[], int]) -> int:
    """Carry out `function` in a process that ends with us; returns what it returned, 1 when it ended otherwise."""
    ours = os.getpid()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
    code = 1
    try:
        end_with_parent()
        if os.getppid() == ours:
            code = function()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def prepare_as(user: Optional[str]) -> Callable[[], None]:
    """As `prepare_child`, and as this account when we are root. Raises KeyError when there is no such account."""
    account = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
    prepare = prepare_child(None)

    def become() -> None:
        if account is not None:
            os.initgroups(account.pw_name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        # After the account: a change of account takes the wish to end with the parent away.
        prepare()

    return become


def start(
    argv: Sequence[str],
    user: Optional[str],
    env: Dict[str, str],
    stderr: int,
    stdin: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    file: Optional[str] = None,
) -> "subprocess.Popen[bytes]":
    """A tool whose standard output is ours to read, as another account; in a group of its own that the guard watches.

    It has the descriptors `pass_fds` under their numbers. `file`: what is run when that is not what the first word
    names, which then is only what the tool is called. Raises OSError when it cannot be started, also when there
    is no such account.
    """
    try:
        prepare = prepare_as(user)
        home = {"HOME": pwd.getpwnam(user).pw_dir} if user else {}
    except KeyError:
        raise OSError("there is no account {}".format(user)) from None
    child = subprocess.Popen(
        [wire.raw(word) for word in argv],
        executable=None if file is None else wire.raw(file),
        env={os.fsencode(name): wire.raw(value) for name, value in environment(dict(home, **env)).items()},
        cwd="/",
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        preexec_fn=prepare,
    )
    _tell_guard(child.pid)
    return child


def watch(group: int) -> None:
    """The guard ends this group, too, should we vanish."""
    _tell_guard(group)


def guard_descriptors() -> List[int]:
    """Where the guard is told of groups: kept by a process of ours that starts children itself."""
    return [_guard_pipe] if _guard_pipe >= 0 else []


def forget(group: int) -> None:
    """The guard need not watch this group any more."""
    _tell_guard(-group)


class Tool:
    """A running child, with its streams inherited from us or piped as asked."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Dict[str, str],
        fds: Sequence[int] = (),
        directory: Optional[int] = None,
        stdin: int = subprocess.DEVNULL,
        **streams: Any,
    ) -> None:
        self.process = subprocess.Popen(
            [wire.raw(part) for part in argv],
            env={os.fsencode(name): wire.raw(value) for name, value in env.items()},
            pass_fds=tuple(fds),
            cwd=None if directory is not None else "/",
            stdin=stdin,
            start_new_session=True,
            preexec_fn=prepare_child(directory),
            **streams,
        )
        _tell_guard(self.process.pid)

    def wait(self, control: wire.Control, timeout: Optional[float] = None) -> Tuple[Optional[int], Optional[int]]:
        """Wait for the end, or bring it about when asked: (exit status, signal)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        stopped_at: Optional[float] = None
        sent = 0
        ended = self._ended()
        while not ended.wait(0.2):
            now = time.monotonic()
            if stopped_at is None and (control.is_set() or (deadline is not None and now > deadline)):
                stopped_at = now
            if stopped_at is not None:
                sent = self._escalate(now - stopped_at, sent)
        self.end()
        code = self.process.returncode
        return (code, None) if code >= 0 else (None, -code)

    def _ended(self) -> threading.Event:
        """Set at the end of the child, at once: subprocess's own wait looks only twenty times a second."""
        ended = threading.Event()

        def watch() -> None:
            try:
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                pass  # sending it a signal has found its end first
            ended.set()

        threading.Thread(target=watch, daemon=True).start()
        return ended

    def _escalate(self, waited: float, sent: int) -> int:
        if sent == 0:
            # Only the leader: the connection below borg must live on to carry the checkpoint.
            self.process.send_signal(signal.SIGINT)
        elif sent == 1 and waited > INTERRUPT_SECONDS:
            self.process.send_signal(signal.SIGTERM)
        elif sent == 2 and waited > INTERRUPT_SECONDS + TERMINATE_SECONDS:
            signal_group(self.process.pid, signal.SIGKILL)
        else:
            return sent
        return sent + 1

    def end(self) -> None:
        """Nothing of the group stays."""
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()
        _tell_guard(-self.process.pid)


def capture(
    argv: Sequence[str],
    control: wire.Control,
    *,
    env: Optional[Dict[str, str]] = None,
    on_line: Optional[Callable[[bytes], None]] = None,
    timeout: float = 20,
    directory: Optional[int] = None,
) -> Tuple[int, bytes]:
    """Run a short tool and collect both of its streams in one (or hand over its lines)."""
    tool = Tool(argv, environment(env), directory=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + timeout
    collected = bytearray()
    stream = tool.process.stdout
    assert stream is not None
    try:
        rest = b""
        while True:
            if control.is_set() or time.monotonic() > deadline:
                break
            if not select.select([stream], [], [], 0.2)[0]:
                continue
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                break
            if on_line is None:
                collected += chunk[: max(0, (1 << 20) - len(collected))]
                continue
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                on_line(line)
    finally:
        stream.close()
        if time.monotonic() > deadline or control.is_set():
            tool.process.kill()
        else:
            try:
                tool.process.wait(5)
            except subprocess.TimeoutExpired:
                tool.process.kill()
        tool.end()
    control.check()
    code = tool.process.returncode
    return (code if time.monotonic() <= deadline else 124), bytes(collected)
