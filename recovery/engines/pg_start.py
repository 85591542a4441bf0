"""How PostgreSQL is started on an archive: our login by a single-user run, then a standby that has no primary.

A standby refuses every write of everybody. It cannot make a role either, so that comes before, in the upper layer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

from recovery.engines import base
from recovery.engines.base import DATA, RUN, File, Found, Mount, Ready, Recipe, Step
from recovery.engines.names import checked
from recovery.engines.parts import mounts
from recovery.errors import CannotStart

PORT = 5432
CONFIG = "/phpborg/etc"
_PROGRAMS = ("/usr/lib/postgresql/{}/bin/postgres", "/usr/local/bin/postgres", "/usr/pgsql-{}/bin/postgres")
_ITERATIONS = 4096
_SALT_BYTES = 16
# At least what the server had: a standby refuses to run with less. The defaults stand in where the file says nothing.
_LEAST = {
    "max_connections": 20,
    "max_worker_processes": 8,
    "max_wal_senders": 0,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}
# A database or a role may have libraries of its own, which the image does not have: nobody could log in.
_WITHOUT_LIBRARIES = (
    "UPDATE pg_catalog.pg_db_role_setting SET setconfig = ARRAY("
    "SELECT one FROM pg_catalog.unnest(setconfig) AS one WHERE one NOT LIKE '%preload_libraries=%')",
    "DELETE FROM pg_catalog.pg_db_role_setting WHERE setconfig = '{}'",
)
_LIBRARY = re.compile(r"[A-Za-z0-9_.-]+")


def recipe(found: Found, *, read_only: bool, libraries: tuple[str, ...] = ()) -> Recipe:
    """Raises CannotStart for what is missing and what cannot be laid into a container."""
    if unfit := [name for name in libraries if not _LIBRARY.fullmatch(name)]:
        raise CannotStart(unfit[0], path=base.named(found))
    if found.version is None or found.owner is None:
        raise CannotStart("version" if found.version is None else "owner", path=base.named(found))
    if found.missing:
        raise CannotStart(base.listed(found.missing), path=base.named(found))
    words = _settings(found, libraries)
    data = ("-D", DATA)
    programs = tuple(dict.fromkeys(path.format(found.version) for path in _PROGRAMS))
    single = Step(programs, ("--single", *data, *words, "template1"), _files(found), login="stdin", ends=True)
    standby = _standby(found) if read_only else ()
    query = Ready("SELECT pg_is_in_recovery()", "t" if read_only else "f")
    serve = Step(programs, (*data, *words), standby, ready=query)
    return Recipe(
        product=found.product,
        version=found.version,
        user=f"{found.owner.uid}:{found.owner.gid}",
        mounts=(Mount(found.path, DATA), *mounts(found.parts)),
        hide=found.stale,
        steps=(single, serve),
        listen=f"unix:{RUN}/.s.PGSQL.{PORT}",
        read_only_by="server" if read_only else "",
        environment={"TZ": "UTC", "PGDATA": DATA},
        notes=found.notes,
    )


def _numbers(found: Found) -> tuple[int, ...]:
    return tuple(int(number) for number in (found.version or "0").split("."))


def _settings(found: Found, libraries: tuple[str, ...]) -> tuple[str, ...]:
    """On the command line, which no file of the directory overrules. Both steps have the same: the first one writes
    them into the control file, by which the second one judges whether they suffice."""
    version, control = _numbers(found), found.facts.control
    minima = (control.minima if control else None) or {}
    values = {name: max(least, minima.get(name, 0)) for name, least in _LEAST.items()}
    settings: dict[str, object] = {
        **values,
        "config_file": f"{CONFIG}/postgresql.conf",
        "hba_file": f"{CONFIG}/pg_hba.conf",
        "ident_file": f"{CONFIG}/pg_ident.conf",
        "listen_addresses": "",
        ("unix_socket_directories" if version >= (9, 3) else "unix_socket_directory"): RUN,
        "port": PORT,
        "external_pid_file": "",
        "wal_level": "replica" if version >= (9, 6) else "hot_standby",
        "hot_standby": "on",
        "archive_mode": "off",
        "archive_command": "",
        "shared_preload_libraries": ",".join(libraries),
        "session_preload_libraries": "",
        "local_preload_libraries": "",
        "autovacuum": "off",
        "max_logical_replication_workers": "0",
        "fsync": "off",
        # With it a standby leaves the hints alone that a first scan would else write into every page of a table.
        **({"wal_log_hints": "on"} if version >= (9, 4) else {}),
        # A new file of the log is not filled with zeros before its time: they would lie in the upper layer.
        **({"wal_init_zero": "off", "wal_recycle": "off"} if version >= (12,) else {}),
        "full_page_writes": "off",
        "ssl": "off",
        "shared_buffers": "128MB",
        "huge_pages": "off",
        "log_destination": "stderr",
        "logging_collector": "off",
        "password_encryption": "scram-sha-256" if version >= (10,) else "on",
        **({"restore_command": "", "primary_conninfo": "", "primary_slot_name": ""} if version >= (12,) else {}),
    }
    if version < (10,):
        del settings["max_logical_replication_workers"]
    if version >= (17,):
        settings["event_triggers"] = "off"  # one may act on our login
    return tuple(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))


def _files(found: Found) -> tuple[File, ...]:
    """`postgresql.auto.conf` is read after every other file: an empty one takes its place."""
    return (
        File(f"{CONFIG}/postgresql.conf"),
        File(f"{CONFIG}/pg_ident.conf"),
        File(f"{CONFIG}/pg_hba.conf", _hba(found)),
        File(f"{DATA}/postgresql.auto.conf"),
    )


def _hba(found: Found) -> bytes:
    """Members of our group over the socket and nobody else: a superuser is none unless it was made one."""
    method = "scram-sha-256" if _numbers(found) >= (10,) else "md5"
    return f"local all +{GROUP} {method}\nlocal all all reject\n".encode()


GROUP = "phpborg_instant_recovery"


def _standby(found: Found) -> tuple[File, ...]:
    if _numbers(found) >= (12,):
        return (File(f"{DATA}/standby.signal"),)
    return (File(f"{DATA}/recovery.conf", b"standby_mode = 'on'\n"),)


def login(found: Found, *, name: str, password: str, read_only: bool) -> bytes:
    """One statement a line. Only a verifier of the password is in them, so no log of the server can tell it.

    Since version 14 a role may read everything without being a superuser.
    """
    checked(name)
    version = _numbers(found)
    secret = verifier(password, os.urandom(_SALT_BYTES)) if version >= (10,) else _md5(name, password)
    reader = read_only and version >= (14,)
    rights = "NOSUPERUSER BYPASSRLS" if reader else "SUPERUSER"
    member = [f"GRANT {GROUP} TO {name}"]
    if reader:
        member.append(f"GRANT pg_read_all_data, pg_read_all_settings, pg_read_all_stats TO {name}")
    lines = [
        *_WITHOUT_LIBRARIES,
        f"DROP ROLE IF EXISTS {GROUP}",
        f"CREATE ROLE {GROUP} NOLOGIN",
        f"CREATE ROLE {name} LOGIN {rights} PASSWORD '{secret}'",
        *member,
        "CHECKPOINT",
    ]
    return "".join(f"{line};\n" for line in lines).encode()


def verifier(password: str, salt: bytes) -> str:
    """As the server keeps it (RFC 5803). Passwords are ours: plain ASCII, which needs no preparation."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    words = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{words[0]}${words[1]}:{words[2]}"


def _md5(name: str, password: str) -> str:
    return "md5" + hashlib.md5(f"{password}{name}".encode("ascii"), usedforsecurity=False).hexdigest()
