"""One session with a PostgreSQL server, held open by its pipes: backup mode lasts as long as it does, and no longer.

psql is what every server with PostgreSQL has; it ends when its input does, so a session cannot outlive us.
"""

import re
import subprocess
import uuid
from typing import Dict, List, NamedTuple, Sequence

from .. import children, wire

ARGUMENTS = ["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
_END_SECONDS = 10
_LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})")
_FACTS = """
SELECT current_setting('server_version_num'),
       (SELECT encode(convert_to(setting, getdatabaseencoding()), 'hex') FROM pg_settings
        WHERE name = 'data_directory'),
       (SELECT setting::bigint * CASE unit WHEN '8kB' THEN 8192 ELSE 1 END FROM pg_settings
        WHERE name = 'wal_segment_size'),
       pg_is_in_recovery();
"""
# Where this login may have one and one is free.
_SLOT = """
SELECT 1 FROM (SELECT pg_create_physical_replication_slot('phpborg_{}', true, true) FROM pg_roles
  WHERE rolname = current_user AND (rolsuper OR rolreplication) AND current_setting('wal_level') <> 'minimal'
    AND (SELECT count(*) FROM pg_replication_slots) < current_setting('max_replication_slots')::integer) AS made;
"""
_STOP = """
SELECT lsn, encode(convert_to(labelfile, getdatabaseencoding()), 'hex'),
       encode(convert_to(spcmapfile, getdatabaseencoding()), 'hex') FROM {};
"""


class Facts(NamedTuple):
    """What the server says of itself; `data` is empty when this login may not know."""

    version: int
    data: bytes
    segment_bytes: int
    standby: bool


class Stopped(NamedTuple):
    """The end of backup mode: the place in the log up to which a start must read, and two files for the copy."""

    position: int
    label: bytes
    tablespaces: bytes


class Session:
    """psql as this process's account. Everything raises Refused when the session has ended; psql said why."""

    def __init__(self, argv: Sequence[str], owner: str, env: Dict[str, str], fds: Sequence[int]) -> None:
        words = [*argv, *ARGUMENTS]
        self._child = children.start(words, owner, env, 2, stdin=subprocess.PIPE, pass_fds=fds)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.close()
        except OSError:
            pass  # it has ended before
        self._child.stdout.close()
        try:
            self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        children.forget(self._child.pid)

    def ask(self, sql: str) -> List[List[str]]:
        """The rows of an answer, each a list of texts without `|` or line ends in them."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        mark = uuid.uuid4().hex
        try:
            self._child.stdin.write("{}\nSELECT '{}';\n".format(sql, mark).encode())
            self._child.stdin.flush()
        except OSError:
            raise _gone() from None
        rows: List[List[str]] = []
        while True:
            line = self._child.stdout.readline().decode("utf-8", "replace").rstrip("\n")
            if not line:
                raise _gone()
            if line == mark:
                return rows
            rows.append(line.split("|"))

    def check(self) -> None:
        """Is it still there? Asked now and then while files are read, which may take hours."""
        if self._child.poll() is not None:
            raise _gone()

    def facts(self) -> Facts:
        """Asked first: what is said after depends on the version."""
        version, data, segment, standby = self.ask(_FACTS)[0]
        return Facts(int(version), bytes.fromhex(data), int(segment), standby == "t")

    def start(self, version: int, label: str) -> None:
        """Enter backup mode: a checkpoint at once, and pages whole in the log from here on."""
        self.ask("SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = 0;")
        if version >= 140000:
            self.ask("SET idle_session_timeout = 0;")
        self._keep_log(version)
        function = "pg_backup_start('{}', true)" if version >= 150000 else "pg_start_backup('{}', true, false)"
        self.ask("SELECT {};".format(function.format(label)))

    def _keep_log(self, version: int) -> None:
        """A slot that goes with the session makes the server keep its log; without one it may remove too much."""
        if version >= 100000:
            self.ask(_SLOT.format(uuid.uuid4().hex[:16]))

    def stop(self, version: int) -> Stopped:
        """Leave backup mode. Where the server archives its log, only version 9.6 waits for that."""
        if version >= 150000:
            function = "pg_backup_stop(false)"
        else:
            function = "pg_stop_backup(false, false)" if version >= 100000 else "pg_stop_backup(false)"
        rows = self.ask(_STOP.format(function))
        position, label, spaces = rows[-1]
        match = _LSN.fullmatch(position)
        if match is None:
            raise wire.Refused("stream", "the end of backup mode was not understood: {}".format(position))
        return Stopped(int(match.group(1), 16) << 32 | int(match.group(2), 16), *map(bytes.fromhex, (label, spaces)))


def _gone() -> wire.Refused:
    return wire.Refused("stream", "the session with PostgreSQL has ended, and backup mode with it")
