"""What a MySQL or MariaDB server is asked, how its answers are read, and the greeting that every one sends.

The same questions do for MySQL 5.7 to 9 and MariaDB 10 to 12. One that a version or an account cannot answer
spoils no other (`--force`); every name comes in hexadecimal, so that no byte in it can be mistaken.
"""

import re
from typing import Any, Dict, List, Optional, Tuple

# Read nothing but what follows, ask for nothing, hand over no file of ours whatever the server says.
ARGUMENTS = ["--batch", "--raw", "--skip-column-names", "--unbuffered", "--local-infile=0",
             "--default-character-set=utf8mb4"]  # fmt: skip
_VARIABLES = (
    "version", "version_comment", "port", "skip_networking", "socket", "datadir", "log_bin", "read_only",
    "innodb_data_home_dir", "innodb_data_file_path", "innodb_undo_directory", "innodb_log_group_home_dir",
)  # fmt: skip
# What is made up while it is read, and holds nothing of anybody.
_VIRTUAL = "'information_schema','performance_schema'"
_NO_DATA = _VIRTUAL + ",'mysql','sys'"
# A folder whose name no database can have is listed as one: “lost+found”, where the data have their own volume.
_IS_DATABASE = (
    "{0}schema_name NOT IN (" + _VIRTUAL + ") AND ({0}schema_name NOT LIKE '#mysql50#%' OR EXISTS "
    "(SELECT 1 FROM information_schema.tables h WHERE h.table_schema={0}schema_name))"
)

# One statement a line: after an error the client drops the rest of the line.
SCRIPT = "\n".join(
    # MariaDB's word for the limit of a statement, in seconds, and MySQL's, in thousandths.
    ["SET max_statement_time=4;", "SET max_execution_time=4000;", "SET lock_wait_timeout=2;"]
    + ["SELECT 'variable','{0}',HEX(CONCAT(@@global.{0}));".format(name) for name in _VARIABLES]
    + [
        "SELECT 'account',HEX(CURRENT_USER()),'';",
        "SELECT 'database',HEX(schema_name),'' FROM information_schema.schemata WHERE {} ORDER BY schema_name;".format(
            _IS_DATABASE.format("")
        ),
        "SELECT 'engine',HEX(engine),COUNT(*) FROM information_schema.tables WHERE table_type='BASE TABLE' "
        "AND table_schema NOT IN ({}) AND engine IS NOT NULL GROUP BY engine;".format(_NO_DATA),
        "SELECT 'file',HEX(path),'' FROM information_schema.innodb_sys_datafiles;",
        "SELECT 'file',HEX(path),'' FROM information_schema.innodb_datafiles;",
        "SELECT 'size',HEX(s.schema_name),COALESCE(SUM(t.data_length+t.index_length),0) "
        "FROM information_schema.schemata s LEFT JOIN information_schema.tables t ON t.table_schema=s.schema_name "
        "WHERE {} GROUP BY s.schema_name;".format(_IS_DATABASE.format("s.")),
    ]
)


def facts(out: str) -> Dict[str, Any]:
    """An answer to SCRIPT: variables, account, databases with sizes, engines, files of InnoDB's tables."""
    variables: Dict[str, Optional[str]] = {}
    databases: Dict[str, Dict[str, Any]] = {}
    engines: Dict[str, int] = {}
    files: List[str] = []
    account = None
    for kind, name, value in rows(out):
        if kind == "variable":
            variables[name] = _text(value)
            continue
        text = _text(name) or ""
        if kind == "account":
            account = text
        elif kind == "database":
            databases[text] = {"name": text, "size_bytes": None}
        elif kind == "engine" and value.isdecimal():
            engines[text] = int(value)
        elif kind == "file":
            files.append(text)
        elif kind == "size" and value.isdecimal() and text in databases:
            databases[text]["size_bytes"] = int(value)
    return {
        "variables": variables,
        "account": account,
        "databases": list(databases.values()),
        "engines": engines,
        "files": files,
    }


def rows(out: str) -> List[Tuple[str, str, str]]:
    """The whole rows of an answer."""
    split = [line.split("\t") for line in out.split("\n")[:-1]]
    return [(row[0], row[1], row[2]) for row in split if len(row) == 3]


def _text(hexadecimal: str) -> Optional[str]:
    """The text behind HEX(): None for NULL and for what is none."""
    try:
        return bytes.fromhex(hexadecimal).decode("utf-8", "surrogateescape")
    except ValueError:
        return None


def truth(text: Optional[str]) -> Optional[bool]:
    """A variable that is on or off; None when it is not known."""
    return {"1": True, "0": False, "ON": True, "OFF": False}.get((text or "").upper())


def greeting(packet: bytes) -> Tuple[Optional[str], Optional[str]]:
    """(version, problem) of the first packet's content, which a server sends before it knows who we are."""
    if packet[:1] == b"\xff":
        # An error: a number of two bytes, perhaps a state of six, then words ("Host … is blocked").
        return None, re.sub(rb"^#.{5}", b"", packet[3:]).decode("utf-8", "replace")
    version = re.match(rb"[\x09\x0a]([0-9][ -~]{0,99})\x00", packet)
    if version is None:
        return None, "it does not speak MySQL's protocol"
    return version.group(1).decode("ascii"), None


def plain_version(version: str) -> str:
    """ "10.11.6" from "5.5.5-10.11.6-MariaDB-1+deb12u1": MariaDB puts an old number first for old clients."""
    found = re.match(r"\d+(?:\.\d+)*", version[len("5.5.5-") :] if version.startswith("5.5.5-") else version)
    return found.group() if found else version


def flavour(*texts: Optional[str]) -> Optional[str]:
    """Which of the two it is, from its version and the comment to it."""
    known = " ".join(text for text in texts if text).lower()
    if not known:
        return None
    return "mariadb" if "mariadb" in known or known.startswith("5.5.5-1") else "mysql"


def defaults(text: str) -> List[str]:
    """What `my_print_defaults` prints: one option a line, as a server would be given it."""
    return [line for line in text.splitlines() if line.startswith("--")]
