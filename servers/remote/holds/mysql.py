"""MySQL and MariaDB while their volume is frozen: one session that may hold a read lock, and the binary log's position.

The lock is taken only when there are tables that a power cut may damage, see `_OTHERS`. The session is the server's
own client, held open by pipes: when it ends, or we do, the server gives the lock back.
"""

import os
import re
import select
import signal
import subprocess
import threading
import time
from typing import Any, Dict, List, Optional

from .. import children, mysql_access, streams, validate, wire
from ..probes import mysql_sql
from . import LONGEST_SECONDS, Hold

# InnoDB recovers by itself to one moment, whatever was being written: then nobody needs to wait. So do MariaDB's
# own tables, which are Aria with a log of its own (MySQL's are MyISAM before 8.0: they count). Logs as tables may
# be torn, and what is only in memory is on no volume. Aria elsewhere counts: it may have been made without a log.
_OTHERS = (
    "SELECT engine, COUNT(*) FROM information_schema.tables"
    " WHERE table_type NOT IN ('VIEW', 'SYSTEM VIEW')"
    " AND COALESCE(engine, '') NOT IN ('InnoDB', 'MEMORY', 'BLACKHOLE', 'PERFORMANCE_SCHEMA')"
    " AND table_schema NOT IN ('information_schema', 'performance_schema', 'sys')"
    " AND NOT (table_schema = 'mysql' AND (engine = 'Aria' OR table_name IN ('general_log', 'slow_log')))"
    " GROUP BY engine;"
)
# Who may not read every table is not told of every table.
_SEES_ALL = (
    "SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'SELECT' AND grantee = CONCAT("
    "QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)));"
)
_RUNNING = (
    "SELECT CONCAT('connection ', id, ', ', user, ', ', COALESCE(db, 'no database'), ', for ', time, ' s: ',"
    " COALESCE(SUBSTRING_INDEX(TRIM(info), ' ', 1), command)) FROM information_schema.processlist"
    " WHERE id <> CONNECTION_ID() AND command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID', 'Slave_IO')"
    " AND user NOT IN ('system user', 'event_scheduler') ORDER BY command = 'Sleep', time DESC LIMIT 5;"
)
_LOOK_SECONDS = 60.0
_LOCK_SECONDS = 30
_MARK = "phpborg-mark"
# "The server has gone away" and "lost connection": the client stays, and no mark will come.
_LOST = re.compile(r"^ERROR 20(?:06|13) ", re.MULTILINE)


class Failed(Exception):
    """A statement failed, in the server's words; or the session is over."""


class Server(Hold):
    """`row`: see mysql_access.py, and `lock_seconds`: how long the lock may be waited for.

    Facts: `other_engines` {engine: tables} (None: not known), `binlog` {"file", "position", "gtid"} or None,
    `binlog_exact`: it is that of the frozen moment, not one shortly before.
    """

    def __init__(self, row: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        self._wait = validate.number(row.get("lock_seconds", _LOCK_SECONDS), "lock_seconds", 1, 300)
        self._began: Optional[float] = None
        self._locked = False
        self._limit: Optional[threading.Timer] = None
        self._session = Session(mysql_access.access(row, secrets))
        self.facts = {"engine": "mysql", "locked": False, "locked_seconds": None}
        try:
            others = self._others()
        except Failed as error:
            self.close()
            raise wire.Refused("hold", "the database server cannot be asked: {}".format(error)) from None
        self._needs_lock = others is None or bool(others)
        self.facts.update(other_engines=others, binlog=None, binlog_exact=None)

    def _others(self) -> Optional[Dict[str, int]]:
        if self._session.ask(_SEES_ALL, _LOOK_SECONDS) == [["0"]]:
            return None
        return {row[0]: int(row[1]) for row in self._session.ask(_OTHERS, _LOOK_SECONDS)}

    def quiesce(self) -> None:
        """Take the lock where it is needed, then the position."""
        assert self.facts is not None
        if self._needs_lock:
            self._lock()
        try:
            self.facts["binlog"] = self._binlog()
        except Failed as error:
            raise wire.Refused("hold", "the database server was lost: {}".format(error)) from None
        self.facts["binlog_exact"] = self._locked if self.facts["binlog"] else None

    def _lock(self) -> None:
        # Who waits for the lock lets nobody else write: a query that lasts must not stop everybody for longer.
        self._began = time.monotonic()
        try:
            self._session.ask("SET SESSION lock_wait_timeout = {};".format(self._wait), _LOOK_SECONDS)
            self._session.ask("FLUSH TABLES WITH READ LOCK;", self._wait + 5)
        except Failed as error:
            running = self._running()
            self.close()
            text = "the database's tables could not be locked within {} s ({}). Running: {}"
            raise wire.Refused("hold", text.format(self._wait, error, running)) from None
        self._locked = True
        self._limit = threading.Timer(LONGEST_SECONDS, self._session.end)
        self._limit.daemon = True
        self._limit.start()

    def _running(self) -> str:
        """The sessions that have been at work longest; never their statements, which may hold a password."""
        try:
            return "; ".join(row[0] for row in self._session.ask(_RUNNING, 5)) or "nothing any more"
        except Failed:
            return "not known"

    def _binlog(self) -> Optional[Dict[str, Any]]:
        """File, position and global transaction ids; None without a log, or when we may not know."""
        version, log = self._session.ask("SELECT VERSION(), @@GLOBAL.log_bin;", _LOOK_SECONDS)[0]
        if log != "1":
            return None
        maria = "mariadb" in version.lower()
        parts = [int(part) for part in re.findall(r"\d+", version)[:2]]
        say = "BINARY LOG" if not maria and parts >= [8, 2] else "MASTER"
        rows = self._session.attempt("SHOW {} STATUS;".format(say), _LOOK_SECONDS)
        # A list of several servers has line ends in it.
        name = "gtid_binlog_pos" if maria else "gtid_executed"
        gtid = self._session.attempt("SELECT REPLACE(@@GLOBAL.{}, '\\n', '');".format(name), _LOOK_SECONDS)
        if not rows:
            return None
        return {"file": rows[0][0], "position": int(rows[0][1]), "gtid": (gtid[0][0] or None) if gtid else None}

    def release(self) -> None:
        """Give the lock back. The session that answers is the one that took it, so it was held until now."""
        if not self._locked:
            return
        assert self.facts is not None
        assert self._began is not None
        assert self._limit is not None
        self._limit.cancel()
        self._locked = False
        try:
            self._session.ask("SELECT 1;", 10)
            self._session.ask("UNLOCK TABLES;", 10)
        except Failed as error:
            self.close()
            held = time.monotonic() - self._began
            words = "let go after {:g} s".format(LONGEST_SECONDS) if held > LONGEST_SECONDS else str(error)
            text = "the lock of the database was lost while the snapshot was made ({}): it is not of one moment"
            raise wire.Refused("hold", text.format(words)) from None
        self.facts.update(locked=True, locked_seconds=round(time.monotonic() - self._began, 3))

    def close(self) -> None:
        """End the session: the server frees what it holds."""
        if self._limit is not None:
            self._limit.cancel()
        self._session.close()


class Session:
    """The client and one connection of it: statements in, rows out. After a statement comes a mark, and the
    connection's number with it: a client that signed in anew would not hold what the old connection held.
    """

    def __init__(self, access: mysql_access.Access) -> None:
        self._said = streams.Said().__enter__()
        self._rest = b""
        self._marks = 0
        self._connection: Optional[str] = None
        self._over = threading.Lock()
        self._closed = False
        words = ["--skip-reconnect", "--connect-timeout=10", "--force", *mysql_sql.ARGUMENTS]
        argv = [mysql_access.client(), *access.options, *words]
        said = self._said.descriptor
        try:
            self._child = children.start(argv, access.user, {}, said, subprocess.PIPE, pass_fds=access.fds)
        except OSError as error:
            self._said.__exit__()
            raise wire.Refused("hold", str(error)) from None

    def attempt(self, statement: str, seconds: float) -> List[List[str]]:
        """The rows; none when the server refuses the statement. Raises Failed when the session is over."""
        try:
            return self.ask(statement, seconds)
        except Failed:
            if self._child.poll() is not None:
                raise
            return []

    def ask(self, statement: str, seconds: float) -> List[List[str]]:
        """The rows of one statement. Raises Failed with the server's words, or when there is no answer in time."""
        self._marks += 1
        mark = "{}-{}".format(_MARK, self._marks)
        before = len(self._said.text())
        assert self._child.stdin is not None
        try:
            # After an error the client drops the rest of the line: the mark has its own.
            data = "{}\nSELECT '{}', CONNECTION_ID();\n".format(statement, mark).encode("utf-8")
            os.write(self._child.stdin.fileno(), data)
            rows = self._until(mark, time.monotonic() + seconds)
        except (OSError, ValueError):
            raise self._end_of_it() from None
        words = _error(self._said.text()[before:])
        connection = rows.pop()[1]
        if self._connection not in (None, connection):
            raise Failed("the connection was lost: {}".format(words))
        self._connection = connection
        if words:
            raise Failed(words)
        return rows

    def _until(self, mark: str, deadline: float) -> List[List[str]]:
        assert self._child.stdout is not None
        rows: List[List[str]] = []
        while True:
            while b"\n" in self._rest:
                line, _, self._rest = self._rest.partition(b"\n")
                rows.append(wire.shown(line).split("\t"))
                if rows[-1][0] == mark:
                    return rows
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failed("no answer in time")
            if not select.select([self._child.stdout], [], [], min(left, 0.5))[0]:
                if _LOST.search(self._said.text()):
                    raise self._end_of_it()
                continue
            chunk = os.read(self._child.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._end_of_it()
            self._rest += chunk

    def _end_of_it(self) -> Failed:
        words = self._said.text()
        return Failed(_error(words) or words or "the session has ended")

    def end(self) -> None:
        """Nothing of the client stays; also from another thread, and twice."""
        with self._over:
            if self._child.returncode is None:
                children.signal_group(self._child.pid, signal.SIGKILL)
                self._child.wait()
                children.forget(self._child.pid)

    def close(self) -> None:
        """See `end`; nothing is asked after this."""
        self.end()
        if not self._closed:
            self._closed = True
            for pipe in (self._child.stdin, self._child.stdout):
                assert pipe is not None
                pipe.close()
            self._said.__exit__()


def _error(text: str) -> str:
    """The server's own words; empty for what else a client may say (of a name that it does not like any more)."""
    lines = [line for line in text.splitlines() if line.startswith("ERROR")]
    return lines[-1] if lines else ""
