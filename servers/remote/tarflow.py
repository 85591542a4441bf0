"""A tar stream on its way to `borg import-tar`: its members get another folder.

What a member holds is not looked at and does not enter this process where the kernel can move it from pipe
to pipe. Headers are those of POSIX ustar with GNU's long names; a stream of another form is refused.
"""

import os
import tarfile
from typing import Callable, List, Optional

from . import pipes, tarmake

BLOCK = tarmake.BLOCK
_NAME_BYTES = 100
_CHUNK = 1 << 20
_LONGEST_NAME = 1 << 16
# Kinds whose header is followed by so many bytes as its size says.
_WITH_CONTENT = b"0\x007"
_PLAIN = b"0\x0012567"
_LONG = {b"L": "name", b"K": "link"}


class Broken(Exception):
    """The stream is not a whole tar archive."""


class Flow:
    """From one descriptor to another. `members` counts what passed, `whole` says that its end was seen."""

    def __init__(self, source: int, sink: int, folder: bytes) -> None:
        self.members = 0
        self.bytes = 0
        self.whole = False
        self._source = source
        self._sink = sink
        self._folder = folder.strip(b"/")
        self._long: Optional[bytes] = None
        for descriptor in (source, sink):
            pipes.widen(descriptor)

    def copy(self, check: Callable[[], None]) -> None:
        """Until the end of the archive, which is not written yet. Raises Broken, OSError, and what `check` does."""
        while True:
            check()
            block = self._read(BLOCK)
            if not block:
                raise Broken("the stream ended in the middle")
            if block == b"\0" * BLOCK:
                self.whole = True
                while os.read(self._source, _CHUNK):
                    pass
                return
            self._member(block, check)

    def _member(self, block: bytes, check: Callable[[], None]) -> None:
        kind, size = block[156:157], _number(block[124:136])
        if _sum(block) != _number(block[148:156]):
            raise Broken("a header is damaged")
        if kind in _LONG:
            if size > _LONGEST_NAME:
                raise Broken("a name of {} bytes".format(size))
            content = self._read(_padded(size))[:size].rstrip(b"\0")
            if kind == b"L":
                self._long = content
            else:
                self._write(block + _pad(content + b"\0"))
            return
        if kind not in (_PLAIN[index : index + 1] for index in range(len(_PLAIN))):
            raise Broken("a member of the kind {!r} was not expected".format(kind))
        name = self._long if self._long is not None else _name(block)
        self._long = None
        if b".." in name.split(b"/"):
            raise Broken("a member leads out of its folder: {!r}".format(name))
        self._write(renamed(block, (self._folder + b"/" + name.lstrip(b"/")).lstrip(b"/")))
        self.members += 1
        if kind in (_WITH_CONTENT[index : index + 1] for index in range(len(_WITH_CONTENT))):
            self.bytes += size
            self._move(_padded(size), check)

    def add_folder(self, path: bytes) -> None:
        """The folder itself, as it is on this machine: its members alone would leave its owner and mode to chance."""
        self._write(tarmake.header(self._folder, os.lstat(path), tarfile.DIRTYPE))
        self.members += 1

    def add_file(self, place: bytes, descriptor: int, status: os.stat_result) -> None:
        """A file of this machine at its own absolute place, after what was copied."""
        writer = tarmake.Writer(self._sink)
        writer.file(place, descriptor, status)
        self.members += 1
        self.bytes += writer.bytes

    def finish(self) -> None:
        """The end of the archive: only after all went well."""
        self._write(b"\0" * (2 * BLOCK))

    def _read(self, size: int) -> bytes:
        parts: List[bytes] = []
        while size:
            chunk = os.read(self._source, size)
            if not chunk:
                break
            parts.append(chunk)
            size -= len(chunk)
        return b"".join(parts) if not size else b""

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._sink, view) :]

    def _move(self, size: int, check: Callable[[], None]) -> None:
        splice = getattr(os, "splice", None)  # Python 3.10
        while size:
            check()
            if splice is not None:
                moved = splice(self._source, self._sink, min(size, pipes.BYTES))
            else:
                chunk = os.read(self._source, min(size, _CHUNK))
                self._write(chunk)
                moved = len(chunk)
            if not moved:
                raise Broken("the stream ended in the middle")
            size -= moved


def renamed(block: bytes, name: bytes) -> bytes:
    """The header with another name, after a GNU long name where it does not fit."""
    short = name[:_NAME_BYTES]
    fields = bytearray(short.ljust(_NAME_BYTES, b"\0") + block[_NAME_BYTES:])
    if fields[257:263] == b"ustar\0":
        fields[345:500] = b"\0" * 155  # its prefix is part of the name now
    header = _summed(bytes(fields))
    if len(name) <= _NAME_BYTES:
        return header
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, len(name) + 1
    return info.tobuf(tarfile.GNU_FORMAT) + _pad(name + b"\0") + header


def _name(block: bytes) -> bytes:
    name = block[:_NAME_BYTES].rstrip(b"\0")
    prefix = block[345:500].rstrip(b"\0") if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(field: bytes) -> int:
    """Octal, or base 256 for what is too large for it."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    try:
        found = int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise Broken("a header is damaged") from None
    if found < 0:
        raise Broken("a header is damaged")
    return found


def _sum(block: bytes) -> int:
    return sum(block[:148]) + sum(block[156:]) + 8 * 32


def _summed(block: bytes) -> bytes:
    return block[:148] + b"%06o\0 " % _sum(block) + block[156:]


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _pad(data: bytes) -> bytes:
    return data + b"\0" * (_padded(len(data)) - len(data))
