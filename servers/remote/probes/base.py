"""What every probe uses: short tools with a time limit, the processes of this machine, sizes of directories."""

import os
import pwd
import select
import signal
import stat
import subprocess
import time
from typing import IO, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .. import children, policy, wire

TOOL_SECONDS = 8.0
_OUTPUT_LIMIT = 8 << 20
_END_SECONDS = 2.0
_MOST_FILES = 500


class Ran(NamedTuple):
    """How a short tool ended. `code` None: it was not there (`err` says so) or was ended by a signal or by us."""

    code: Optional[int]
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Exit status 0."""
        return self.code == 0


class Process(NamedTuple):
    """One process of this machine. `argv` is empty for a thread of the kernel or a zombie."""

    pid: int
    uid: int
    argv: List[str]
    exe: Optional[str]
    # In another root: a container's, or a chroot's. Its paths are not ours.
    contained: bool

    @property
    def name(self) -> str:
        """The program's name, from what it was started as."""
        return os.path.basename(self.argv[0].split(" ")[0].rstrip(":")) if self.argv else ""

    @property
    def user(self) -> Optional[str]:
        """The account's name, None when this machine does not know it."""
        return user_name(self.uid)


class Look:
    """What a probe is given. Every method is safe to call: a missing tool or file is an answer."""

    def __init__(
        self, given: Dict[str, Any], size_seconds: float = 20.0, check: Optional[Callable[[], None]] = None
    ) -> None:
        # Logins that the administrator gave, by probe: {"mysql": {"user": …, "password": …, "socket": …}}.
        self.given = given
        self._sizes_until = time.monotonic() + size_seconds
        # Asked again and again while something is counted: whoever stops us raises.
        self._check = check
        self._processes: Optional[List[Process]] = None

    def find(self, name: str, *directories: str) -> Optional[str]:
        """A program's path: in the given directories first, then where administrators install."""
        for directory in directories:
            path = os.path.join(directory, name)
            if os.path.isfile(wire.raw(path)) and os.access(wire.raw(path), os.X_OK):
                return path
        return children.find(name)

    def run(
        self,
        argv: Sequence[str],
        *,
        user: Optional[str] = None,
        env: Optional[Dict[str, str]] = None,
        stdin: bytes = b"",
        timeout: float = TOOL_SECONDS,
        fds: Sequence[int] = (),
    ) -> Ran:
        """Run a short tool and collect both streams apart, as `user` when we are root. Never raises for its failure.

        `fds`: descriptors that the tool inherits under their own numbers.
        """
        path = argv[0] if argv[0].startswith("/") else children.find(argv[0])
        if path is None:
            return Ran(None, "", "{} is not installed".format(argv[0]))
        try:
            file = _safe(path) if user in (None, "root") else path
            if file is None:
                return Ran(None, "", "{} is not run as root: another account can change it".format(path))
            # The name stays: some programs are one file and look by which name they were called.
            pipe = subprocess.PIPE
            words = [path, *argv[1:]]
            child = children.start(words, user, env or {}, stderr=pipe, stdin=pipe, pass_fds=fds, file=file)
            return _answer(child, stdin, timeout)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            return Ran(None, "", str(error))

    def processes(self) -> List[Process]:
        """All processes, read once."""
        if self._processes is None:
            self._processes = list(_processes())
        return self._processes

    def read(self, path: str, limit: int = 1 << 20) -> Optional[str]:
        """A text file's content, or None when it cannot be read."""
        content = plain_file(path, limit)
        return None if content is None else content.decode("utf-8", "replace")

    def size(self, path: str) -> Tuple[Optional[int], Optional[str]]:
        """Bytes that a directory occupies on its own filesystem (blocks, links once), or (None, why not)."""
        try:
            policy.check_look(wire.raw(path))
            return _occupied(wire.raw(path), self._go_on), None
        except wire.Refused as refusal:
            return None, refusal.message
        except TimeoutError:
            return None, "it could not be counted in time"
        except OSError as error:
            return None, error.strerror or str(error)

    def _go_on(self) -> None:
        if self._check is not None:
            self._check()
        if time.monotonic() > self._sizes_until:
            raise TimeoutError

    def files(self, *paths: str) -> List[str]:
        """Those of the paths that are there; in place of a directory the plain files below it, at most 500 of them."""
        found: List[str] = []
        for path in self.existing(*paths):
            if not os.path.isdir(wire.raw(path)):
                found.append(path)
                continue
            for folder, _, names in sorted(os.walk(wire.raw(path))):
                places = [os.path.join(folder, name) for name in sorted(names)]
                found += [wire.shown(place) for place in places if os.path.isfile(place)]
        return list(dict.fromkeys(found))[:_MOST_FILES]

    def existing(self, *paths: str) -> List[str]:
        """Those of the paths that are there."""
        return [path for path in paths if os.path.exists(wire.raw(path))]


def plain_file(path: str, limit: int = 1 << 20) -> Optional[bytes]:
    """The beginning of a plain file; None for anything else, also for a pipe that somebody put there to wait in."""
    try:
        # Opening a device is an act of its own (a watchdog starts, a tape rewinds): first what it is.
        handle = os.open(wire.raw(path), os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        with open("/proc/self/fd/{}".format(handle), "rb") as file:
            return file.read(limit)
    except OSError:
        return None
    finally:
        os.close(handle)


def user_name(uid: int) -> Optional[str]:
    """The account's name, or None."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _safe(path: str) -> Optional[str]:
    """The file itself that we may run as root; None when another account could have written it. Raises OSError.

    No link is left in what is returned: who owns the link would exchange it between this look and the start.
    """
    if os.geteuid():
        return path
    real = os.path.realpath(wire.raw(path))
    status = os.stat(real)
    above = real
    while above != b"/":
        # Who owns a directory on the way exchanges the file just so.
        above = os.path.dirname(above)
        place = os.stat(above)
        if place.st_uid != 0 or (place.st_mode & 0o002 and not place.st_mode & stat.S_ISVTX):
            return None
    return wire.shown(real) if status.st_uid == 0 and not status.st_mode & 0o022 else None


def _answer(child: "subprocess.Popen[bytes]", stdin: bytes, timeout: float) -> Ran:
    try:
        out, err, late = _collect(child, stdin, time.monotonic() + timeout)
    finally:
        children.signal_group(child.pid, signal.SIGKILL)
        try:
            child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # the kernel holds it (a dead disk): it ends when it can
        children.forget(child.pid)
        for file in (child.stdin, child.stdout, child.stderr):
            if file is not None:
                file.close()
    if late or child.returncode is None:
        return Ran(None, out, "no answer within {:g} s".format(timeout))
    return Ran(child.returncode if child.returncode >= 0 else None, out, err)


def _collect(child: "subprocess.Popen[bytes]", stdin: bytes, deadline: float) -> Tuple[str, str, bool]:
    """(standard output, standard error, did it not end in time)."""
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    held: Dict[int, bytearray] = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    first, second = list(held)
    open_ones = set(held)
    os.set_blocking(child.stdin.fileno(), False)
    while open_ones and time.monotonic() < deadline:
        writing = [] if child.stdin.closed else [child.stdin.fileno()]
        wait = max(0.0, deadline - time.monotonic())
        readable, writable, _ = select.select(list(open_ones), writing, [], wait)
        if writable:
            stdin = _feed(child.stdin, stdin)
        for descriptor in readable:
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                open_ones.discard(descriptor)
            elif len(held[descriptor]) < _OUTPUT_LIMIT:
                held[descriptor] += chunk
    late = bool(open_ones)
    if not late:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            late = True
    texts = [bytes(held[descriptor]).decode("utf-8", "surrogateescape") for descriptor in (first, second)]
    return texts[0], texts[1], late


def _feed(pipe: IO[bytes], data: bytes) -> bytes:
    """Write what it takes and close it after the last byte, or when nobody reads; returns the rest."""
    try:
        data = data[os.write(pipe.fileno(), data) :] if data else data
    except BlockingIOError:
        return data
    except BrokenPipeError:
        data = b""
    if not data:
        pipe.close()
    return data


def _processes() -> Iterator[Process]:
    ours = _root("self")
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        place = "/proc/" + entry
        try:
            uid = os.stat(place).st_uid
            with open(place + "/cmdline", "rb") as file:
                words = file.read(1 << 16).rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        try:
            exe: Optional[str] = os.fsdecode(os.readlink(place + "/exe"))
        except OSError:
            exe = None
        argv = [wire.shown(word) for word in words] if words != [b""] else []
        yield Process(int(entry), uid, argv, exe, _root(entry) not in (ours, None))


def _root(pid: str) -> Optional[Tuple[int, int]]:
    """Which directory is this process's root; None when we may not know.

    Namespaces would not tell: a service that systemd hardens (ProtectSystem, PrivateTmp) has a mount
    namespace of its own, and yet its paths are ours.
    """
    try:
        status = os.stat("/proc/{}/root/".format(pid))
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _occupied(top: bytes, go_on: Callable[[], None]) -> int:
    """As `du -sx` counts. Raises what `go_on` does, and OSError when the directory itself cannot be read."""
    device = os.lstat(top).st_dev
    seen = set()
    total = 0
    waiting = [top]
    first = True
    while waiting:
        directory = waiting.pop()
        try:
            entries = list(os.scandir(directory))
        except OSError:
            if first:
                raise
            continue
        first = False
        for entry in entries:
            go_on()
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                if status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
            total += status.st_blocks * 512
            if entry.is_dir(follow_symlinks=False) and status.st_dev == device:
                waiting.append(entry.path)
    return total
