"""A tar stream made of files as they are: POSIX headers with GNU's long names, as `tarflow` reads them.

A file that changes while it is read has the size that its header says: it is cut, or ends with zeros.
"""

import os
import stat
import tarfile

BLOCK = 512
_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)


def header(
    name: bytes, status: os.stat_result, kind: bytes = tarfile.REGTYPE, size: int = 0, link: bytes = b""
) -> bytes:
    """The block (or blocks, for a long name) that stands before the content; owner, mode and time of `status`."""
    info = tarfile.TarInfo(_text(name.lstrip(b"/")))
    info.type, info.size, info.linkname = kind, size, _text(link)
    info.uid, info.gid, info.mtime = status.st_uid, status.st_gid, int(status.st_mtime)
    info.mode = stat.S_IMODE(status.st_mode)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


class Writer:
    """Writes members to a descriptor; `bytes` is the content so far."""

    def __init__(self, sink: int) -> None:
        self.bytes = 0
        self._sink = sink

    def folder(self, name: bytes, status: os.stat_result) -> None:
        """A directory without what is in it."""
        self._write(header(name, status, tarfile.DIRTYPE))

    def link(self, name: bytes, status: os.stat_result, target: bytes) -> None:
        """A symbolic link."""
        self._write(header(name, status, tarfile.SYMTYPE, link=target))

    def content(self, name: bytes, data: bytes, status: os.stat_result) -> None:
        """A file with this content; owner, mode and time of `status`."""
        self.bytes += len(data)
        self._write(header(name, status, size=len(data)) + data + b"\0" * (-len(data) % BLOCK))

    def file(self, name: bytes, descriptor: int, status: os.stat_result) -> None:
        """The first `status.st_size` bytes of an open file."""
        size = status.st_size
        self.bytes += size
        waiting = header(name, status, size=size)
        left = size
        while left:
            chunk = os.read(descriptor, min(left, _CHUNK)) or _ZEROS[: min(left, _CHUNK)]
            left -= len(chunk)
            self._write(waiting + chunk if waiting else chunk)
            waiting = b""
        self._write(waiting + b"\0" * (-size % BLOCK))

    def finish(self) -> None:
        """The end of the archive: only after all went well."""
        self._write(b"\0" * (2 * BLOCK))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._sink, view) :]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
