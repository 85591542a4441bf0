"""What the files of MySQL and MariaDB say of the server that wrote them. All numbers of InnoDB are big-endian."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from recovery.engines.place import Place, lead

_REDO = (b"ib_logfile0", b"#innodb_redo")
_CREATOR = re.compile(r"(MariaDB|MySQL) (\d+\.\d+\.\d+)")
_WRITTEN = re.compile(r"(\d+\.\d+\.\d+)(-MariaDB)?")
_FRM_VERSION_AT = 51
_TABLES = (b"mysql/db.frm", b"mysql/proc.frm", b"mysql/user.frm", b"mysql/global_priv.frm", b"mysql/tables_priv.frm")
# What a settings file may say that a start needs.
WANTED = (
    "innodb_data_file_path",
    "innodb_data_home_dir",
    "innodb_page_size",
    "innodb_undo_directory",
    "innodb_undo_tablespaces",
    "innodb_log_group_home_dir",
    "innodb_checksum_algorithm",
    "lower_case_table_names",
)
_SETTINGS = (
    *(b"etc/mysql/my.cnf", b"etc/my.cnf", b"etc/mysql/mariadb.cnf"),
    *(b"config/etc/mysql/my.cnf", b"config/etc/my.cnf", b"config/etc/mysql/mariadb.cnf"),
)
_FOLDERS = (b"etc/mysql/conf.d", b"etc/mysql/mariadb.conf.d", b"etc/mysql/mysql.conf.d", b"etc/my.cnf.d")
_GROUPS = {"mysqld", "server", "mariadb", "mariadbd"}
_FCRC32 = 1 << 4  # MariaDB's newer form of a tablespace's flags
_USUAL_PAGE = 16384


@dataclass(frozen=True)
class Said:
    """A version with the file that says so. `maria` is None where the file does not tell the two apart."""

    version: str
    source: str
    maria: bool | None


def numbered(number: int) -> str:
    """`80036` as `8.0.36`, `101106` as `10.11.6`."""
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def versions(place: Place) -> list[Said]:
    """What every file says, the most telling first."""
    found = []
    head = place.read(b"mysql.ibd", 64)
    if head and len(head) == 64 and (number := int.from_bytes(head[8:12], "big")) >= 80000:
        found.append(Said(numbered(number), "mysql.ibd", False))
    if (redo := _creator(place)) is not None:
        found.append(redo)
    for name in (b"mariadb_upgrade_info", b"mysql_upgrade_info"):
        if written := _WRITTEN.search(place.text(name) or ""):
            maria = bool(written.group(2)) or name.startswith(b"maria")
            found.append(Said(written.group(1), name.decode(), maria))
    for name in (b"mariadb_backup_info", b"xtrabackup_info"):
        line = re.search(r"^server_version\s*=\s*(\S+)", place.text(name) or "", re.MULTILINE)
        if line and (written := _WRITTEN.search(line.group(1))):
            found.append(Said(written.group(1), name.decode(), "maria" in line.group(1).lower()))
    newest = max((_frm(place, name) or 0 for name in _TABLES), default=0)
    if newest:
        found.append(Said(numbered(newest), "mysql/*.frm", newest >= 100000))
    return found


def _creator(place: Place) -> Said | None:
    """The redo log has the name of who made it."""
    redo = place.below(b"#innodb_redo")
    heads = [place.read(b"ib_logfile0", 64)]
    heads += [redo.read(name, 64) for name in sorted(redo.names) if name.startswith(b"#ib_redo")][:2]
    for head in heads:
        said = _CREATOR.match((head or b"")[16:48].split(b"\0")[0].decode("ascii", "replace"))
        if said:
            return Said(said.group(2), "redo log", said.group(1) == "MariaDB")
    return None


def _frm(place: Place, name: bytes) -> int | None:
    head = place.read(name, 64)
    if not head or len(head) < 64 or head[:2] != b"\xfe\x01":
        return None
    number = int(struct.unpack_from("<I", head, _FRM_VERSION_AT)[0])
    return number if 50000 <= number < 1000000 else None


def page_bytes(place: Place) -> int | None:
    """The size of InnoDB's pages, from the first page of the system tablespace; None when it is not here."""
    head = place.read(b"ibdata1", 64)
    if not head or len(head) < 58:
        return None
    flags = int.from_bytes(head[54:58], "big")
    shift = flags & 15 if flags & _FCRC32 else flags >> 6 & 15
    return 512 << shift if shift else _USUAL_PAGE


def flushed(place: Place) -> int | None:
    """The place in the log up to which the data files were whole at the last clean end, as ibdata1 has it."""
    head = place.read(b"ibdata1", 64)
    return int.from_bytes(head[26:34], "big") if head and len(head) >= 34 else None


def prepared(place: Place) -> bool | None:
    """Made ready by mariadb-backup or xtrabackup; False when such a copy was not, None when it is none."""
    for name in (b"mariadb_backup_checkpoints", b"xtrabackup_checkpoints"):
        if written := re.search(r"backup_type\s*=\s*(\S+)", place.text(name) or ""):
            return written.group(1) in {"full-prepared", "log-applied"}
    return None


def settings(place: Place, hints: tuple[bytes, ...] = ()) -> dict[str, str]:
    """Of WANTED, what settings files in the archive say: what the copying tool wrote beside the data counts most."""
    found: dict[str, str] = {}
    for file in (*_SETTINGS, *hints):
        for folder in lead(place, b"/" + file):
            _merge(found, Place(folder.root).text(folder.path))
    for folder_name in _FOLDERS:
        for folder in lead(place, b"/" + folder_name):
            for name in sorted(folder.names):
                _merge(found, folder.text(name) if name.endswith(b".cnf") else None)
    _merge(found, place.text(b"backup-my.cnf"))
    return found


def _merge(found: dict[str, str], text: str | None) -> None:
    group = ""
    for raw in (text or "").splitlines():
        line = raw.strip()
        if line.startswith("["):
            group = line.strip("[]").split("-")[0].lower()
        elif "=" in line and not line.startswith(("#", ";")) and group in _GROUPS:
            name, _, value = line.partition("=")
            name = name.strip().lower().replace("-", "_").removeprefix("loose_")
            if name in WANTED:
                found[name] = value.split("#")[0].strip().strip("'\"")


def data_files(place: Place) -> str | None:
    """innodb_data_file_path by the files that are there: every one but the last has its exact size."""
    names = sorted(
        (name for name in place.names if re.fullmatch(rb"ibdata\d+", name)),
        key=lambda name: int(name.removeprefix(b"ibdata")),
    )
    sizes = [(place.entry(name), name.decode()) for name in names]
    if not sizes or any(entry is None or not entry.size_bytes for entry, _ in sizes):
        return None
    words = [f"{name}:{(entry.size_bytes or 0) >> 20}M" for entry, name in sizes if entry]
    # The last may have grown: its first size is not known, and the smallest is always right for a file that grows.
    return ";".join([*words[:-1], f"{names[-1].decode()}:1M:autoextend"]) if len(words) > 1 else None


def has_capitals(place: Place) -> bool:
    """Does a database have capital letters in its name? Then the server tells them apart."""
    return any(name.lower() != name and place.is_folder(name) for name in place.names)
