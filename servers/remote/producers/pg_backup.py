"""A cluster copied file by file while it runs: backup mode, its files, and the log that makes them one moment.

For clusters that `pg_basebackup` cannot print (several tablespaces), on every version since 9.6. Runs as the
account that owns the server, beside borg; nothing is written on this machine.
"""

import os
import re
import time
from typing import Dict, List, NamedTuple, Sequence

from .. import tarmake, wire
from .pg_session import Facts, Session, Stopped
from .pg_walk import Walk

_SEGMENT = re.compile(rb"[0-9A-F]{24}")
_HISTORY = re.compile(rb"[0-9A-F]{8}\.history")
_FIRST = re.compile(rb"^START WAL LOCATION: [0-9A-F/]+ \(file ([0-9A-F]{24})\)$", re.MULTILINE)
_SEGMENT_SECONDS = 30


class Asked(NamedTuple):
    """How the server is reached and what is copied. `label` is in the copy's backup_label, for people."""

    psql: Sequence[str]
    owner: str
    env: Dict[str, str]
    fds: Sequence[int]
    top: bytes
    major: str
    label: str


def backup(asked: Asked, sink: int) -> None:
    """Write the whole tar stream. Raises Refused and OSError; then it has no end."""
    writer = tarmake.Writer(sink)
    with Session(asked.psql, asked.owner, asked.env, asked.fds) as session:
        facts = session.facts()
        _check_place(asked.top, facts)
        session.start(facts.version, asked.label)
        Walk(writer, asked.top, asked.major, session.check).data()
        stopped = session.stop(facts.version)
        _Log(writer, asked.top, facts).copy(stopped)
        # Until here a slot of the session makes the server keep its log.
        session.check()
    status = os.stat(asked.top + b"/PG_VERSION")
    writer.content(asked.top + b"/backup_label", stopped.label, status)
    if stopped.tablespaces:
        writer.content(asked.top + b"/tablespace_map", stopped.tablespaces, status)
    writer.finish()


def _check_place(top: bytes, facts: Facts) -> None:
    """The folder is that of the server that goes into backup mode, not of another one."""
    if not facts.data:
        hint = "this login may not see where the data directory is: GRANT pg_read_all_settings to it"
        raise wire.Refused("stream", hint)
    if not os.path.samefile(top, facts.data):
        text = "the server's data directory is {}, not {}"
        raise wire.Refused("stream", text.format(wire.shown(facts.data), wire.shown(top)))


class _Log:
    """The segments of the log of changes from the start of the backup to its end, and the histories of timelines."""

    def __init__(self, writer: tarmake.Writer, top: bytes, facts: Facts) -> None:
        self._writer = writer
        self._place = top + (b"/pg_wal/" if facts.version >= 100000 else b"/pg_xlog/")
        self._size = facts.segment_bytes

    def copy(self, stopped: Stopped) -> None:
        """Raises Refused when one is not there any more."""
        first = _FIRST.search(stopped.label)
        if first is None:
            raise wire.Refused("stream", "backup mode gave no start in the log")
        needed = set(range(self._number(first.group(1)), (stopped.position - 1) // self._size + 1))
        there = self._wait_for(needed)
        for name in there:
            self._file(name)

    def _number(self, name: bytes) -> int:
        return int(name[8:16], 16) * ((1 << 32) // self._size) + int(name[16:], 16)

    def _wait_for(self, needed: "set[int]") -> List[bytes]:
        """Names of the segments (of every timeline) and histories. The last one was just made complete."""
        deadline = time.monotonic() + _SEGMENT_SECONDS
        while True:
            names = sorted(os.listdir(self._place))
            segments = [name for name in names if _SEGMENT.fullmatch(name) and self._number(name) in needed]
            whole = [name for name in segments if self._is_whole(name)]
            missing = needed - {self._number(name) for name in whole}
            if not missing:
                return whole + [name for name in names if _HISTORY.fullmatch(name)]
            if time.monotonic() > deadline or not segments:
                raise _removed("{} of {} segments".format(len(missing), len(needed)))
            time.sleep(0.2)

    def _is_whole(self, name: bytes) -> bool:
        try:
            return os.stat(self._place + name).st_size == self._size
        except FileNotFoundError:
            return False

    def _file(self, name: bytes) -> None:
        try:
            descriptor = os.open(self._place + name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _removed(name.decode()) from None
        try:
            status = os.fstat(descriptor)
            self._writer.file(self._place + name, descriptor, status)
            # A segment that is not needed any more gets another name and is written anew.
            if not os.path.exists(self._place + name) or os.stat(self._place + name).st_ino != status.st_ino:
                raise _removed(name.decode())
            # Else the copy would archive it again.
            self._writer.content(self._place + b"archive_status/" + name + b".done", b"", status)
        finally:
            os.close(descriptor)


def _removed(what: str) -> wire.Refused:
    advice = "raise wal_keep_size (before version 13: wal_keep_segments) or leave a replication slot free"
    return wire.Refused("stream", "the server has removed its log of the backup ({}): {}".format(what, advice))
