"""Copy-on-write trees of a test's own: the real process on a real mount, gone at the end."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from recovery.cow.status import status

HOME = Path(__file__).resolve().parents[2]
BLOCK = 65536
libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Tree:
    """A lower tree, what lies over it, and where both are seen together. `start`, then `stop` or `kill`."""

    lower: Path
    upper: Path
    point: Path
    words: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> Tree:
        """Serve it; it is mounted afterwards."""
        argv = [sys.executable, "-m", "recovery.cow", "--lower", str(self.lower), "--upper", str(self.upper)]
        argv += ["--mountpoint", str(self.point), *self.words]
        self.process = subprocess.Popen(argv, cwd=HOME, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert json.loads(line) == {"mounted": str(self.point), "pid": self.process.pid}
        return self

    def stop(self) -> int:
        """As the product ends it; answers the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """As a crash ends it; the dead mount stays."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def figures(self) -> dict[str, int]:
        """What it tells about itself."""
        return status(os.fsencode(self.upper))

    def __enter__(self) -> Tree:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        libc.umount2(os.fsencode(self.point), 2)  # a dead mount after a kill; an error when there is none
        assert f" {self.point} " not in Path("/proc/self/mounts").read_text(), "a mount below the mount was left"


def tree(place: Path, *words: str) -> Tree:
    """One whose parts are in `place`."""
    for name in ("lower", "point"):
        (place / name).mkdir(exist_ok=True)
    return Tree(place / "lower", place / "upper", place / "point", words)


def facts(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below `root` that must not change: kind, mode, owner, modification time, hash or target."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files, "."]:
            path = os.path.join(folder, name)
            seen = os.lstat(path)
            what = b""
            if os.path.islink(path):
                what = os.fsencode(os.readlink(path))
            elif os.path.isfile(path):
                what = hashlib.sha256(Path(path).read_bytes()).digest()
            found[os.path.relpath(path, root)] = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, what)
    return found


def allocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2) with a mode, which Python has not."""
    if libc.fallocate64(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
