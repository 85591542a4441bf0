"""How MySQL and MariaDB are started on an archive: a run that applies the log and makes our login, then one that reads.

InnoDB cannot apply its log when it may only read. The first run writes into the upper layer, the second hardly at all.
InnoDB refuses every write then; other kinds of tables can be written by who has the right, which our login has not.
It also shows the newest version of each row then, committed or not: so the first run ends only when every transaction
that was open has been rolled back. What a client itself has prepared (XA) stays in doubt, and its rows are shown.
"""

from __future__ import annotations

import hashlib

from recovery.engines import base
from recovery.engines.base import DATA, LOGIN_FILE, RUN, File, Found, Mount, Product, Ready, Recipe, Step
from recovery.engines.names import checked
from recovery.engines.parts import mounts
from recovery.errors import CannotStart

# On the disk and thrown away with the session: a large sort would fill the memory that holds the run directory.
_TEMPORARY = "#phpborg-tmp"
SOCKET = f"{RUN}/mysql.sock"
_MARIADB = ("/usr/sbin/mariadbd", "/usr/local/mysql/bin/mariadbd", "/usr/sbin/mysqld")
_MYSQL = ("/usr/sbin/mysqld", "/usr/local/mysql/bin/mysqld", "/usr/libexec/mysqld")
_READ_ONLY = ("--innodb-read-only=1", "--read-only=1")
# A server with a binary log asks it which of the transactions that were about to be committed count. It is not used
# here, and without an answer no server starts. Their clients had asked for the commit and were told nothing else.
_IN_DOUBT = "--tc-heuristic-recover=COMMIT"
# Transactions of the archive have no thread. One that waits for its turn looks like one that was prepared (XA): then
# what is being rolled back tells.
_ROLLED_BACK = Ready(
    "SELECT IF(SUM(trx_mysql_thread_id = 0) > 0 AND SUM(trx_state = 'ROLLING BACK') > 0, 'busy', 'done') "
    "FROM information_schema.innodb_trx",
    "done",
)
# Names that a server needs for its own views and routines: locked in any case.
_UNSAFE = ('"', "'", "\\")


def recipe(found: Found, *, read_only: bool) -> Recipe:
    """Raises CannotStart for what is missing or not known."""
    if found.version is None or found.owner is None:
        raise CannotStart("version" if found.version is None else "owner", path=base.named(found))
    # A single table that is not there is told; the rest serves.
    if missing := [part for part in found.missing if part.kind != "table"]:
        raise CannotStart(base.listed(missing), path=base.named(found))
    words = _settings(found)
    programs = _MARIADB if found.product == Product.MARIADB else _MYSQL
    ready = Ready("SELECT 1", "1")
    keep = File(f"{DATA}/{_TEMPORARY}/.keep")
    # Asked twice: between one transaction and the next there is a moment in which none is being rolled back.
    settled = (_ROLLED_BACK, _ROLLED_BACK) if read_only else ()
    making = (*words, _IN_DOUBT, f"--init-file={LOGIN_FILE}")
    first = Step(programs, making, files=(keep,), login="file", ready=None if settled else ready, settled=settled)
    closed = (*_READ_ONLY, *_super(found)) if read_only else ()
    second = Step(programs, (*words, *closed), ready=ready)
    return Recipe(
        product=found.product,
        version=found.version,
        user=f"{found.owner.uid}:{found.owner.gid}",
        mounts=(Mount(found.path, DATA), *mounts(found.parts)),
        hide=found.stale,
        steps=(first, second),
        listen=f"unix:{SOCKET}",
        read_only_by="server" if read_only else "",
        environment={"TZ": "UTC"},
        notes=found.notes,
    )


def _numbers(found: Found) -> tuple[int, ...]:
    return tuple(int(number) for number in (found.version or "0").split("."))


def _super(found: Found) -> tuple[str, ...]:
    return ("--super-read-only=1",) if found.product == Product.MYSQL and _numbers(found) >= (5, 7, 8) else ()


def _settings(found: Found) -> tuple[str, ...]:
    """No file of settings is read: the first word must be the first."""
    facts, version = found.facts, _numbers(found)
    words = [
        "--no-defaults",
        f"--datadir={DATA}",
        f"--socket={SOCKET}",
        f"--pid-file={RUN}/mysqld.pid",
        f"--tmpdir={DATA}/{_TEMPORARY}",
        "--skip-networking",
        "--skip-name-resolve",
        "--skip-log-bin",
        "--event-scheduler=OFF",
        "--local-infile=OFF",
        f"--secure-file-priv={RUN}",
        "--performance-schema=OFF",
        "--innodb-buffer-pool-size=128M",
        # Else the pages that the server last had in memory are all read before anybody asks for them.
        "--innodb-buffer-pool-load-at-startup=0",
        "--innodb-buffer-pool-dump-at-shutdown=0",
        "--loose-group-replication-start-on-boot=OFF",
        "--innodb-flush-log-at-trx-commit=2",
        # Past the kernel's memory nothing would be read ahead of a scan: half as fast.
        "--innodb-flush-method=fsync",
        # A clean end that does not purge what an archive has left over.
        "--innodb-fast-shutdown=1",
    ]
    replica = found.product == Product.MYSQL and version >= (8, 0, 26)
    words.append("--skip-replica-start" if replica else "--skip-slave-start")
    if found.product == Product.MYSQL and version >= (8,):
        words.append("--mysqlx=OFF")  # it lists no directory as a database by itself
    elif found.product == Product.MARIADB or version >= (5, 6, 3):
        ignore = "--ignore-db-dirs" if found.product == Product.MARIADB else "--ignore-db-dir"
        words.append(f"{ignore}={_TEMPORARY}")
    if facts.page_bytes:
        words.append(f"--innodb-page-size={facts.page_bytes}")
    if facts.data_file_path:
        words.append(f"--innodb-data-file-path={facts.data_file_path}")
    if facts.lower_case_table_names is not None:
        words.append(f"--lower-case-table-names={facts.lower_case_table_names}")
    for name in ("innodb_data_home_dir", "innodb_undo_directory", "innodb_log_group_home_dir"):
        if any(part.wanted == facts.settings.get(name, "").rstrip("/").encode() for part in found.parts):
            words.append(f"--{name.replace('_', '-')}={facts.settings[name]}")
    return tuple(words)


def login(found: Found, *, name: str, password: str, read_only: bool) -> bytes:
    """One statement a line. Every other account is locked: a local one needs no password at the socket.

    They are not removed: views and routines run under their names.
    """
    checked(name)
    if not password.isascii() or not password.isprintable() or any(letter in password for letter in _UNSAFE):
        raise ValueError("a password of a statement is plain ASCII without quotes")
    who = f"'{name}'@'localhost'"
    rights = "SELECT, SHOW DATABASES, SHOW VIEW, PROCESS" if read_only else "ALL PRIVILEGES"
    lines = [
        *_locked(found),
        f"CREATE USER {who} IDENTIFIED {_secret(found, password)}",
        f"GRANT {rights} ON *.* TO {who}",
        "FLUSH PRIVILEGES",
    ]
    return "".join(f"{line};\n" for line in lines).encode()


def _secret(found: Found, password: str) -> str:
    """A verifier where the server takes one; MySQL 8 makes its own, with a salt."""
    version = _numbers(found)
    stars = "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324 -- the server's own
    if found.product == Product.MYSQL and version >= (8,):
        return f"BY '{password}'"
    if found.product == Product.MYSQL and version >= (5, 7):
        return f"WITH mysql_native_password AS '{stars}'"
    return f"BY PASSWORD '{stars}'"


def _locked(found: Found) -> list[str]:
    version = _numbers(found)
    if found.product == Product.MARIADB and version >= (10, 4):
        change = "Priv = JSON_SET(Priv, '$.account_locked', true)"
        return [
            f"UPDATE mysql.global_priv SET {change} WHERE JSON_VALUE(Priv, '$.is_role') IS NULL",  # noqa: S608 -- constant
            "FLUSH PRIVILEGES",
        ]
    if found.product == Product.MYSQL and version >= (5, 7, 6):
        return ["UPDATE mysql.user SET account_locked = 'Y'", "FLUSH PRIVILEGES"]
    # A word that is the verifier of no password.
    nobody = "*THISISNOTAVALIDPASSWORDTHATCANBEUSEDHERE"
    change = f"plugin = 'mysql_native_password', Password = '{nobody}', authentication_string = '{nobody}'"
    return [f"UPDATE mysql.user SET {change}", "FLUSH PRIVILEGES"]  # noqa: S608 -- constant
