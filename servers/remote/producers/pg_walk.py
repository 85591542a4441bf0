"""Which files of a PostgreSQL cluster belong to a copy of it: those that `pg_basebackup` takes, at their own places.

Left out are what a start makes anew, what belongs to the running server, temporary and unlogged relations
(of the latter the init fork stays), and the log of changes, of which only the part of the backup is taken later.
Files that vanish meanwhile are left out: the log tells a start of their end.
"""

import errno
import os
import re
import stat
from typing import Callable, FrozenSet, List, Optional, Set, Tuple

from .. import tarmake, wire

_EMPTIED = {
    b"pg_dynshmem",
    b"pg_notify",
    b"pg_replslot",
    b"pg_serial",
    b"pg_snapshots",
    b"pg_stat_tmp",
    b"pg_subtrans",
}
_LOG = {b"pg_wal", b"pg_xlog"}
_LOG_FOLDERS = (b"archive_status", b"summaries")
_LEFT_OUT = {
    b"backup_label",
    b"backup_label.old",
    b"backup_manifest",
    b"current_logfiles.tmp",
    b"lost+found",
    b"postgresql.auto.conf.tmp",
    b"postmaster.opts",
    b"postmaster.pid",
    b"tablespace_map",
    b"tablespace_map.old",
}
_ANYWHERE = (b"pgsql_tmp", b"pg_internal.init")
_CONTROL = b"global/pg_control"
_TEMPORARY = re.compile(rb"t[0-9]+_[0-9]+(?:_(?:fsm|vm|init))?(?:\.[0-9]+)?")
_RELATION = re.compile(rb"([0-9]+)(?:_(?:fsm|vm))?(?:\.[0-9]+)?")
_DATABASE = re.compile(rb"base/[0-9]+|PG_[^/]+/[0-9]+")
_CONTROL_BYTES = 8192
_CONTROL_TRIES = 100


class Walk:
    """Writes a cluster's files. `check` is called often and raises when there is no use in going on."""

    def __init__(self, writer: tarmake.Writer, top: bytes, major: str, check: Callable[[], None]) -> None:
        self._writer = writer
        self._top = top
        self._version_folder = "PG_{}_".format(major).encode()
        self._check = check
        self._spaces: FrozenSet[Tuple[int, int]] = frozenset()

    def data(self) -> None:
        """Tablespaces first, then the data directory; its control file is the last of all."""
        spaces = self._tablespaces()
        found: Set[Tuple[int, int]] = set()
        for place in spaces:
            status = os.stat(place)
            found.add((status.st_dev, status.st_ino))
        self._spaces = frozenset(found)
        for place in spaces:
            self._writer.folder(place, os.stat(place))
            # Another server may have its own folder in it.
            for name in sorted(os.listdir(place)):
                if name.startswith(self._version_folder):
                    self._entry(place, name, name, frozenset())
        self._writer.folder(self._top, os.stat(self._top))
        self._folder(self._top, b"")
        self._control()

    def _tablespaces(self) -> List[bytes]:
        """Where the links lead, as the server names it."""
        links = self._top + b"/pg_tblspc"
        places = [os.path.join(links, name) for name in sorted(os.listdir(links))]
        targets = [os.readlink(place) for place in places if os.path.islink(place)]
        return [os.path.normpath(os.path.join(links, target)) for target in dict.fromkeys(targets)]

    def _folder(self, path: bytes, inside: bytes) -> None:
        self._check()
        try:
            names = os.listdir(path)
        except FileNotFoundError:
            return
        unlogged: FrozenSet[bytes] = frozenset()
        database = _DATABASE.fullmatch(inside) is not None
        if database:
            unlogged = frozenset(name[: -len(b"_init")] for name in names if name.endswith(b"_init"))
        for name in sorted(names):
            if not (database and _is_not_kept(name, unlogged)):
                self._entry(path, name, inside + b"/" + name if inside else name, unlogged)

    def _entry(self, folder: bytes, name: bytes, inside: bytes, unlogged: FrozenSet[bytes]) -> None:
        place = folder + b"/" + name
        if inside in _LEFT_OUT or inside == _CONTROL or name.startswith(_ANYWHERE):
            return
        try:
            status = os.lstat(place)
            if inside in _EMPTIED or inside in _LOG:
                self._emptied(place, os.stat(place), inside in _LOG)
            elif stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) not in self._spaces:
                    self._writer.folder(place, status)
                    self._folder(place, inside)
            elif stat.S_ISLNK(status.st_mode):
                self._writer.link(place, status, os.readlink(place))
            elif stat.S_ISREG(status.st_mode):
                self._file(place)
        except FileNotFoundError:
            pass

    def _emptied(self, place: bytes, status: os.stat_result, log: bool) -> None:
        """A directory even where a link leads elsewhere: the copy starts without that place."""
        self._writer.folder(place, status)
        for name in _LOG_FOLDERS if log else ():
            if os.path.isdir(place + b"/" + name):
                self._writer.folder(place + b"/" + name, status)

    def _file(self, place: bytes) -> None:
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return  # it was a file a moment ago
            raise
        try:
            self._writer.file(place, descriptor, os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def _control(self) -> None:
        """It is overwritten in place: read until two looks are alike."""
        self._check()
        place = self._top + b"/" + _CONTROL
        before: Optional[bytes] = None
        for _ in range(_CONTROL_TRIES):
            with open(place, "rb", buffering=0) as file:
                now, status = file.read(_CONTROL_BYTES), os.fstat(file.fileno())
            if now == before:
                self._writer.content(place, now, status)
                return
            before = now
        raise wire.Refused("stream", "{} does not keep still".format(wire.shown(place)))


def _is_not_kept(name: bytes, unlogged: FrozenSet[bytes]) -> bool:
    if _TEMPORARY.fullmatch(name):
        return True
    relation = _RELATION.fullmatch(name)
    return relation is not None and relation.group(1) in unlogged
