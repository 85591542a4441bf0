"""How MySQL and MariaDB are started on an archive: a run that applies the log and makes our login, then one that reads.

InnoDB cannot apply its log when it may only read. The first run writes into the upper layer, the second hardly at all.
InnoDB refuses every write then; other kinds of tables can be written by who has the right, which our login has not.
It also shows the newest version of each row then, committed or not. So the first run decides on what was about to be
committed as the server would, by its binary log, and ends only when every transaction that was open has been rolled
back. So is what a client itself has prepared (XA): the server showed it to nobody. A sandbox keeps it, in doubt.
"""

from __future__ import annotations

import hashlib

from recovery.engines import base, binary_log
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
# A server asks its binary log which of the transactions that were about to be committed count. Where that is not in
# the archive some servers do not start without an answer. Their clients had asked for the commit and were told nothing
# else; what clients have prepared by themselves has names of another kind, and is not touched by this. MySQL 9 rolls
# them back whatever it is told.
_IN_DOUBT = "--tc-heuristic-recover=COMMIT"
# Transactions of the archive have no thread.
_ROLLED_BACK = Ready("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = 0", "0")
# Names that a server needs for its own views and routines: locked in any case.
_UNSAFE = ('"', "'", "\\")
_NO_LOG = "--skip-log-bin"
_INDEX = "#phpborg-log.index"


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
    settling, files = _settling(found)
    making = (*(word for word in words if word != _NO_LOG), *settling, f"--init-file={LOGIN_FILE}")
    first = Step(
        programs,
        making,
        files=(keep, *files),
        login="file",
        ready=ready,
        prepared="roll back" if read_only else "keep",
        settled=(_ROLLED_BACK,) if read_only else (),
    )
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


def _settling(found: Found) -> tuple[tuple[str, ...], tuple[File, ...]]:
    """Words and files by which the first run decides on what was about to be committed.

    The log is read by an index of our own: the server's may say that it lies elsewhere.
    """
    files = found.facts.binary_log
    if not files:
        return (_NO_LOG, _IN_DOUBT), ()
    index = "".join(f"./{name}\n" for name in files)
    words = (f"--log-bin={binary_log.base(files)}", f"--log-bin-index={_INDEX}", "--server-id=1")
    # Older ones are not removed: nobody needs the room.
    return (*words, "--loose-binlog-expire-logs-seconds=0"), (File(f"{DATA}/{_INDEX}", index.encode()),)


def _numbers(found: Found) -> tuple[int, ...]:
    return tuple(int(number) for number in (found.version or "0").split("."))


def _super(found: Found) -> tuple[str, ...]:
    return ("--super-read-only=1",) if found.product == Product.MYSQL and _numbers(found) >= (5, 7, 8) else ()


def _settings(found: Found) -> tuple[str, ...]:
    """No file of settings is read: the first word must be the first."""
    version = _numbers(found)
    words = [
        "--no-defaults",
        f"--datadir={DATA}",
        f"--socket={SOCKET}",
        f"--pid-file={RUN}/mysqld.pid",
        f"--tmpdir={DATA}/{_TEMPORARY}",
        "--skip-networking",
        "--skip-name-resolve",
        _NO_LOG,
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
    return (*words, *_of_files(found))


def _of_files(found: Found) -> list[str]:
    """What InnoDB must be told to find its files, and to find them right."""
    facts, words = found.facts, []
    if facts.page_bytes:
        words.append(f"--innodb-page-size={facts.page_bytes}")
    if facts.data_file_path:
        words.append(f"--innodb-data-file-path={facts.data_file_path}")
    if facts.lower_case_table_names is not None:
        words.append(f"--lower-case-table-names={facts.lower_case_table_names}")
    for name in ("innodb_data_home_dir", "innodb_undo_directory", "innodb_log_group_home_dir"):
        if any(part.wanted == facts.settings.get(name, "").rstrip("/").encode() for part in found.parts):
            words.append(f"--{name.replace('_', '-')}={facts.settings[name]}")
    return words


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
        *(["SET SESSION sql_log_bin = 0"] if found.facts.binary_log else []),
        *_locked(found),
        f"CREATE USER {who} IDENTIFIED {_secret(found, password)}",
        f"GRANT {rights} ON *.* TO {who}",
        *_may_ask(found, who),
        "FLUSH PRIVILEGES",
    ]
    return "".join(f"{line};\n" for line in lines).encode()


def _may_ask(found: Found, who: str) -> list[str]:
    """For what is prepared: MySQL 8 tells it to those alone who have a right for it."""
    needed = found.product == Product.MYSQL and _numbers(found) >= (8,)
    return [f"GRANT XA_RECOVER_ADMIN ON *.* TO {who}"] if needed else []


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
