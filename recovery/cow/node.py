"""What the store knows of one entry while it is in use or differs from the lower tree."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from .content import Content
from .record import PUT_NODE

if TYPE_CHECKING:
    from .record import Statement

ROOT = 1


def now() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns()


def number_of(path: bytes) -> int:
    """The inode number of a lower path: the same after every start."""
    return (int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "big") >> 2) + 2 if path else ROOT


class Node:
    """One inode. Times in nanoseconds; `lower` is its path in the lower tree or None; `seen` see `content`."""

    __slots__ = (
        "atime",
        "content",
        "ctime",
        "gid",
        "has_data",
        "ino",
        "lookups",
        "lower",
        "mode",
        "mtime",
        "nlink",
        "rdev",
        "recorded",
        "seen",
        "size",
        "target",
        "twin",
        "uid",
        "unsaved",
        "users",
    )

    def __init__(self, ino: int, mode: int, uid: int, gid: int, *, rdev: int = 0, nlink: int = 1) -> None:
        self.ino, self.mode, self.uid, self.gid, self.rdev, self.nlink = ino, mode, uid, gid, rdev, nlink
        self.atime = self.mtime = self.ctime = now()
        self.size = self.seen = 0
        self.lower: bytes | None = None
        self.target: bytes | None = None
        self.twin: tuple[int, int] | None = None  # device and inode below, of a file with several names there
        self.has_data = self.recorded = self.unsaved = False
        self.lookups = self.users = 0
        self.content: Content | None = None

    @classmethod
    def below(cls, ino: int, path: bytes, found: os.stat_result, owner: tuple[int, int] | None) -> Node:
        """An entry of the lower tree as it stands there; `owner` is shown instead of its own."""
        uid, gid = owner or (found.st_uid, found.st_gid)
        node = cls(ino, found.st_mode, uid, gid, rdev=found.st_rdev, nlink=found.st_nlink)
        node.atime, node.mtime, node.ctime = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns
        node.lower, node.size = path, found.st_size
        if stat.S_ISREG(found.st_mode):
            node.seen = found.st_size
            node.twin = (found.st_dev, found.st_ino) if found.st_nlink > 1 else None
        return node

    @classmethod
    def recalled(cls, row: dict[str, Any]) -> Node:
        """From the record."""
        node = cls(row["ino"], row["mode"], row["uid"], row["gid"], rdev=row["rdev"], nlink=row["nlink"])
        node.atime, node.mtime, node.ctime = row["atime"], row["mtime"], row["ctime"]
        node.lower, node.target, node.seen = row["lower"], row["target"], row["seen"]
        node.has_data, node.recorded = bool(row["has_data"]), True
        return node

    def put(self, **changes: Any) -> Statement:
        """The statement that records it, with some values as they will be."""
        value = changes.get
        return PUT_NODE, (
            self.ino,
            value("mode", self.mode),
            value("uid", self.uid),
            value("gid", self.gid),
            self.rdev,
            value("nlink", self.nlink),
            value("atime", self.atime),
            value("mtime", self.mtime),
            value("ctime", self.ctime),
            self.lower,
            self.target,
            int(value("has_data", self.has_data)),
            value("seen", self.content.seen if self.content else self.seen),
            None,
        )

    def take(self, **changes: Any) -> None:
        """The recorded values are true now."""
        for name, value in changes.items():
            setattr(self, name, value)
        self.recorded = True

    @property
    def is_folder(self) -> bool:
        """A directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """A regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def length(self) -> int:
        """Size in bytes, as stat tells it."""
        if self.target is not None:
            return len(self.target)
        return self.content.size if self.content else self.size
