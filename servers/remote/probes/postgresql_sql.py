"""What a PostgreSQL server is asked, and how its answers are read: psql's fields and rows end with NUL.

The same questions do for 9.2 to 17; one that a version or an account cannot answer spoils no other.
"""

import os
from typing import Any, Dict, List, Optional

COLUMNS = 5
# Read the script from standard input, never ask for a password, no start-up file, plain rows that end with NUL.
ARGUMENTS = ["-X", "-w", "-q", "-A", "-t", "-z", "-0", "-f", "-"]
STATEMENT_SECONDS = 4

SCRIPT = """
SELECT 'setting', name, setting, '', '' FROM pg_settings WHERE name IN ('server_version', 'port', 'data_directory',
  'config_file', 'hba_file', 'ident_file', 'max_wal_senders', 'wal_level');
SELECT 'recovery', pg_is_in_recovery()::text, '', '', '';
SELECT 'database', datname, datistemplate::text, datallowconn::text, '' FROM pg_database ORDER BY datname;
SELECT 'tablespace', spcname, pg_tablespace_location(oid), '', '' FROM pg_tablespace
  WHERE pg_tablespace_location(oid) <> '' ORDER BY spcname;
SELECT 'size', datname, pg_database_size(oid)::text, '', '' FROM pg_database
  WHERE has_database_privilege(oid, 'CONNECT');
SELECT 'tablespace size', spcname, pg_tablespace_size(oid)::text, '', '' FROM pg_tablespace
  WHERE pg_tablespace_location(oid) <> '';
"""
EXTENSIONS = "SELECT 'extension', extname, '', '', '' FROM pg_extension;"


def environment(socket_directory: str, port: int, user: str, database: str, seconds: float) -> Dict[str, str]:
    """Everything that psql must know, so that no name is ever taken for an option or a connection string."""
    options = "-c statement_timeout={}s -c search_path=pg_catalog -c client_min_messages=error"
    return {
        "PGHOST": socket_directory,
        "PGPORT": str(port),
        "PGUSER": user,
        "PGDATABASE": database,
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": str(max(2, int(seconds))),
        "PGOPTIONS": options.format(STATEMENT_SECONDS),
        "PGAPPNAME": "phpborg",
        # Who answers at a socket is not known for sure: no password of the account is ever looked up for it.
        "PGPASSFILE": os.devnull,
    }


def rows(out: str) -> List[List[str]]:
    """The whole rows of an answer; one that was cut off is left out."""
    fields = out.split("\0")[:-1]
    return [fields[at : at + COLUMNS] for at in range(0, len(fields) - COLUMNS + 1, COLUMNS)]


def facts(out: str) -> Dict[str, Any]:
    """An answer to SCRIPT: settings, in_recovery, databases and tablespaces with their sizes."""
    settings: Dict[str, str] = {}
    recovery: Optional[bool] = None
    databases: Dict[str, Dict[str, Any]] = {}
    tablespaces: Dict[str, Dict[str, Any]] = {}
    for kind, name, first, second, _ in rows(out):
        if kind == "setting":
            settings[name] = first
        elif kind == "recovery":
            recovery = name == "true"
        elif kind == "database":
            yes = {"is_template": first == "true", "allows_connections": second == "true"}
            databases[name] = dict(yes, name=name, size_bytes=None)
        elif kind == "tablespace":
            tablespaces[name] = {"name": name, "location": first, "size_bytes": None}
        elif kind == "size" and name in databases:
            databases[name]["size_bytes"] = whole(first)
        elif kind == "tablespace size" and name in tablespaces:
            tablespaces[name]["size_bytes"] = whole(first)
    return {
        "settings": settings,
        "in_recovery": recovery,
        "databases": list(databases.values()),
        "tablespaces": list(tablespaces.values()),
    }


def extensions(out: str) -> List[str]:
    """An answer to EXTENSIONS."""
    return [row[1] for row in rows(out) if row[0] == "extension"]


def whole(text: Optional[str]) -> Optional[int]:
    """A whole number, None for anything else."""
    return int(text) if text and text.isdecimal() else None
