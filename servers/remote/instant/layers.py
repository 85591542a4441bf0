"""A writable layer above a directory of the archive.

`blocks` copies what is written, block by block (recovery/cow); a server opens files read-write although it only reads.
`overlay` is the kernel's: it copies a file whole when it is first opened for writing, so it is for servers that open
what they only read read-only.
"""

import os
import stat
import sys
from importlib import import_module
from typing import Dict, List, NamedTuple, Optional, Tuple

from .. import children, places, wire

_FORBIDDEN = (",", ":", "\\")


class Mounted(NamedTuple):
    """One layer that is there, or soon will be; `tool` serves it when the kernel does not."""

    merged: str
    upper: str
    tool: Optional[children.Tool]

    def facts(self) -> Dict[str, Optional[int]]:
        """What it holds and what was read from the archive through it, in bytes; None is not known."""
        if self.tool is None:
            return {"upper_bytes": held(os.path.join(self.upper, "files")), "read_bytes": None}
        try:
            figures = import_module("..cow.status", __package__).status(os.fsencode(self.upper))
        except (OSError, ValueError):
            figures = {}
        return {"upper_bytes": figures.get("upper_bytes"), "read_bytes": figures.get("lower_bytes")}


def blocks(lower: str, upper: str, merged: str, user: Tuple[int, int], log: int) -> Mounted:
    """Ours. Everything in it belongs to the account of the session; it is there when `merged` is mounted."""
    words = [os.path.realpath(sys.executable), "-I", places.this_program(), "--cow"]
    words += ["--lower", lower, "--upper", upper, "--mountpoint", merged, "--owner", "{}:{}".format(*user)]
    return Mounted(merged, upper, children.Tool(words, children.environment(), stdout=log, stderr=log))


def owned(merged: str, user: Tuple[int, int]) -> None:
    """The top belongs to the account alone: servers insist on that, and an archive need not hold it."""
    os.chown(merged, *user)
    os.chmod(merged, 0o700)


def overlay(lower: str, upper: str, merged: str, control: wire.Control) -> Mounted:
    """The kernel's, mounted at once."""
    if any(sign in path for path in (lower, upper) for sign in _FORBIDDEN):
        raise wire.Refused("instant", "the kernel's overlay cannot name {}".format(lower))
    files, work = os.path.join(upper, "files"), os.path.join(upper, "work")
    os.mkdir(work, 0o700)
    os.mkdir(files, 0o700)
    options = "lowerdir={},upperdir={},workdir={}".format(lower, files, work)
    argv = [children.find("mount") or "mount", "-t", "overlay", "-o", options, "phpborg", merged]
    code, said = children.capture(argv, control, timeout=60)
    if code != 0:
        raise wire.Refused("instant", "the layer cannot be mounted: {}".format(said.decode("utf-8", "replace").strip()))
    return Mounted(merged, upper, None)


def held(top: str) -> Optional[int]:
    """The disk that is used below a directory; None when it cannot be looked at."""
    total = 0
    waiting: List[str] = [top]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(entry.path)
    except FileNotFoundError:
        return held(top) if os.path.exists(top) else None
    except OSError:
        return None
    return total
