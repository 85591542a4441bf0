"""Downloads out of an open archive: one file, or a tar or zip of a folder, at constant memory.

The archive format is written by a thread into a bounded queue; the response reads from it. When the
reader goes away the thread ends.
"""

from __future__ import annotations

import os
import queue
import stat
import tarfile
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from asgiref.sync import sync_to_async

from recovery import tree
from recovery.paths import portable

CHUNK = 256 * 1024
_SLOTS = 16


class _Gone(Exception):
    """The reader has left."""


class _Pipe:
    """A file to write to; what is written comes out of `chunks`. At most 4 MiB wait in between."""

    def __init__(self, write: Callable[[IO[bytes]], None]) -> None:
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(_SLOTS)
        self._left = threading.Event()
        self._position = 0
        self._write = write
        self._thread = threading.Thread(target=self._run, daemon=True, name="download")

    def write(self, data: bytes) -> int:
        self._position += len(data)
        self._put(bytes(data))
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is kept back."""

    def _put(self, item: bytes | BaseException | None) -> None:
        while not self._left.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=0.5)
                return
        raise _Gone

    def _run(self) -> None:
        with suppress(_Gone):
            try:
                self._write(self)  # type: ignore[arg-type]
                self._put(None)
            except _Gone:
                raise
            except BaseException as error:
                self._put(error)

    def chunks(self) -> Iterator[bytes]:
        """What was written, in order. An error of the writer breaks the download off visibly."""
        self._thread.start()
        try:
            while (item := self._queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._left.set()


def file_chunks(descriptor: int) -> Iterator[bytes]:
    """The content of an open file; closes it."""
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def tar_chunks(root: Path, path: bytes) -> Iterator[bytes]:
    """A tar (pax) of an item: owners, modes, times, links; names are bytes and stay so."""
    return _Pipe(lambda out: _write_tar(out, root, path)).chunks()


def zip_chunks(root: Path, path: bytes) -> Iterator[bytes]:
    """A zip of an item's files and folders; links and devices have no place in it and are left out."""
    return _Pipe(lambda out: _write_zip(out, root, path)).chunks()


def _inside(path: bytes, entry: bytes) -> str:
    """The entry's name inside the download: the chosen folder is the first part."""
    parent = os.path.dirname(path)
    name = entry[len(parent) :].lstrip(b"/") if parent else entry
    return os.fsdecode(name or b".")


def _write_tar(out: IO[bytes], root: Path, path: bytes) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for entry in tree.walk(root, path):
            header = _tar_header(path, entry)
            if header is None:
                continue
            if header.isreg():
                with os.fdopen(tree.open_file(root, entry.path), "rb") as file:
                    tar.addfile(header, file)
            else:
                tar.addfile(header)


def _tar_header(path: bytes, entry: tree.Entry) -> tarfile.TarInfo | None:
    types = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "fifo": tarfile.FIFOTYPE}
    if entry.kind not in types:
        return None
    header = tarfile.TarInfo(_inside(path, entry.path))
    header.type = types[entry.kind]
    header.size = entry.size_bytes or 0 if entry.kind == "file" else 0
    header.mode = stat.S_IMODE(entry.mode or 0)
    header.uid, header.gid = entry.uid or 0, entry.gid or 0
    header.mtime = entry.modified_at or 0
    header.linkname = os.fsdecode(entry.links_to)
    return header


def _write_zip(out: IO[bytes], root: Path, path: bytes) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=1) as archive:
        for entry in tree.walk(root, path):
            if entry.kind not in ("file", "folder"):
                continue
            # A zip has only text for names: what is not UTF-8 becomes �.
            name = portable(os.fsencode(_inside(path, entry.path)))
            info = zipfile.ZipInfo(name + ("/" if entry.is_folder else ""), date_time=_zip_moment(entry.modified_at))
            info.external_attr = (entry.mode or 0) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            if entry.is_folder:
                archive.writestr(info, b"")
                continue
            with archive.open(info, "w", force_zip64=True) as target:
                for chunk in file_chunks(tree.open_file(root, entry.path)):
                    target.write(chunk)


def _zip_moment(modified_at: float | None) -> tuple[int, int, int, int, int, int]:
    """Local time as a zip can hold it: 1980 to 2107, whatever the file claims."""
    try:
        moment = time.localtime(modified_at or 0)[:6]
    except (OverflowError, ValueError, OSError):
        moment = (0, 1, 1, 0, 0, 0) if (modified_at or 0) < 0 else (9999, 1, 1, 0, 0, 0)
    return min(max(moment, (1980, 1, 1, 0, 0, 0)), (2107, 12, 31, 23, 59, 58))


async def streamed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks without ever holding more than one: Django collects a plain iterator under ASGI."""
    read = sync_to_async(lambda: next(chunks, b""), thread_sensitive=False)
    try:
        while (chunk := await read()) != b"":
            yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close:
            await sync_to_async(close, thread_sensitive=False)()
