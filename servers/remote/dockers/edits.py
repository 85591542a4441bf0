"""Edits of files: what stands at a place of a file is replaced; for any Python from 3.6 on.

The script of a restore carries this file as it is, so it imports nothing of ours: the helper and the script write the
same bytes. A row is {"source": path below an open directory, as bytes, "sha256": of what is there before ("": nothing
is), "edits": [{"start": byte, "old": text, "new": text}]}. An edit can be turned round, so a file tells by itself
whether it was made.
"""

import errno
import hashlib
import os
import stat
from contextlib import suppress
from typing import Any, Dict, List, Optional, Tuple

MOST_BYTES = 4 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
Table = Dict[str, Any]


class Differs(Exception):
    """A file is not what the edits were made for; the text says which."""


def applied(content: bytes, edits: List[Table]) -> bytes:
    """The content with all of its edits. Raises Differs when one of them does not fit."""
    parts, at = [], 0
    for one in _in_order(edits):
        start, old = one["start"], _raw(one["old"])
        if start < at or content[start : start + len(old)] != old:
            raise Differs("byte {}".format(start))
        parts += [content[at:start], _raw(one["new"])]
        at = start + len(old)
    return b"".join(parts) + content[at:]


def inverse(edits: List[Table]) -> List[Table]:
    """The edits that undo these."""
    found, moved = [], 0
    for one in _in_order(edits):
        found.append({"start": one["start"] + moved, "old": one["new"], "new": one["old"]})
        moved += len(_raw(one["new"])) - len(_raw(one["old"]))
    return found


def check(row: Table, root: int) -> None:
    """Would `rewrite` do it? Nothing is changed. Raises Differs and OSError."""
    directory, name = _above(row["source"], root)
    try:
        _wanted(row, _read(name, directory))
    finally:
        os.close(directory)


def rewrite(row: Table, root: int) -> None:
    """Make the edits: the whole file at once, with its owner, mode and attributes; done before is fine.

    `root`: the private directory in which it was extracted. Raises Differs and OSError.
    """
    directory, name = _above(row["source"], root)
    try:
        there = _read(name, directory)
        content = _wanted(row, there)
        if content is not None:
            before = os.fstat(directory)
            _write(name, directory, content, there is not None)
            # The directory keeps the times of the archive.
            os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    finally:
        os.close(directory)


def _wanted(row: Table, there: Optional[bytes]) -> Optional[bytes]:
    """The content to be written; None when it is there already. Raises Differs."""
    if (there is None) == (row["sha256"] == "") and (there is None or _sum(there) == row["sha256"]):
        return applied(there or b"", row["edits"])
    if there is not None and _former(row, there) is not None:
        return None
    raise Differs("{} is not as it is in the archive".format(row["source"].decode("utf-8", "replace")))


def _former(row: Table, there: bytes) -> Optional[bytes]:
    """What a file was before its edits were made; None when they were not, or more was."""
    try:
        former = applied(there, inverse(row["edits"]))
    except Differs:
        return None
    return former if (_sum(former) == row["sha256"] if row["sha256"] else not former) else None


def _in_order(edits: List[Table]) -> List[Table]:
    return sorted(edits, key=lambda one: int(one["start"]))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _above(path: bytes, root: int) -> Tuple[int, bytes]:
    """(open directory, name) below an open one; no link on the way is followed. Raises Differs for no such path."""
    parts = [part for part in path.split(b"/") if part]
    if not parts or b"." in parts or b".." in parts:
        raise Differs("{} leads elsewhere".format(path.decode("utf-8", "replace")))
    *above, name = parts
    current = os.dup(root)
    for part in above:
        try:
            following = os.open(part, _DIRECTORY, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current, name


def _read(name: bytes, directory: int) -> Optional[bytes]:
    """Of a plain file; None for nothing. Raises Differs for what is none, or is too large."""
    try:
        opened = os.open(name, _FILE, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise Differs("{} is a link".format(name.decode("utf-8", "replace"))) from None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise Differs("{} is no plain file".format(name.decode("utf-8", "replace")))
    with os.fdopen(opened, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Differs("{} is too large".format(name.decode("utf-8", "replace")))
    return content


def _write(name: bytes, directory: int, content: bytes, exists: bool) -> None:
    temporary = b".phpborg-rewrite"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    opened = os.open(temporary, flags, 0o600, dir_fd=directory)
    with os.fdopen(opened, "wb") as file:
        file.write(content)
        file.flush()
        if exists:
            _dress(name, directory, opened)
        else:
            above = os.fstat(directory)
            os.fchown(opened, above.st_uid, above.st_gid)
            os.fchmod(opened, 0o644)
        os.fsync(opened)
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _dress(name: bytes, directory: int, target: int) -> None:
    """Owner, mode and attributes of the file that is replaced."""
    source = os.open(name, _FILE, dir_fd=directory)
    try:
        status = os.fstat(source)
        os.fchown(target, status.st_uid, status.st_gid)
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        for attribute in os.listxattr(source):
            os.setxattr(target, attribute, os.getxattr(source, attribute))
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(source)
