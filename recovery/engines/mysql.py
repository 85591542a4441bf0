"""MySQL and MariaDB: told apart by what only one of them writes, with the version that the files say."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recovery.engines import binary_log, innodb_log, mysql_files, mysql_start
from recovery.engines.base import Consistency, Found, Hints, Part, Product, Recipe, Taken
from recovery.engines.mysql_files import Said
from recovery.engines.notes import Note
from recovery.engines.parts import measure, owner, search
from recovery.engines.place import Place
from recovery.paths import shown

_MOST_TABLES = 5000
# Persisted settings count for more than the command line.
_PERSISTED = b"mysqld-auto.cnf"
_ENDINGS = (b".pid", b".sock", b".sock.lock", b".err")
_SETTINGS_OF_PARTS = {
    "innodb_data_home_dir": "data",
    "innodb_undo_directory": "undo",
    "innodb_log_group_home_dir": "redo",
}


@dataclass(frozen=True)
class MysqlFacts:
    """`settings` are words of a settings file that a start needs; `page_bytes` is None without a system tablespace;
    `binary_log` are the files of one that was in use."""

    page_bytes: int | None
    data_file_path: str | None
    lower_case_table_names: int | None
    prepared: bool | None
    settings: dict[str, str] = field(default_factory=dict)
    binary_log: tuple[str, ...] = ()


class Mysql:
    """See `base.Engine`."""

    name = "mysql"

    def looks_like(self, names: frozenset[bytes]) -> bool:
        """The system database beside what only a server writes."""
        return b"mysql" in names and bool(names & {b"ibdata1", b"aria_log_control", b"mysql.ibd", b"backup-my.cnf"})

    def look(self, place: Place, hints: Hints) -> Found | None:
        """None without the system database's folder."""
        if not place.is_folder(b"mysql"):
            return None
        said = mysql_files.versions(place)
        product = _product(place, said)
        ours = [one for one in said if one.maria in (None, product == Product.MARIADB)]
        settings = mysql_files.settings(place)
        prepared = mysql_files.prepared(place)
        parts = (*_elsewhere(place, settings), *_tables(place))
        lower = settings.get("lower_case_table_names", "")
        facts = MysqlFacts(
            mysql_files.page_bytes(place),
            settings.get("innodb_data_file_path") or mysql_files.data_files(place),
            int(lower) if lower.isdigit() else (0 if mysql_files.has_capitals(place) else None),
            prepared,
            settings,
            () if prepared else binary_log.in_use(place),
        )
        clean = True if prepared else innodb_log.is_applied(place)
        consistency = _consistency(place, parts, prepared, clean, hints.taken)
        return Found(
            engine=self.name,
            product=product,
            path=place.path,
            version=ours[0].version if ours else None,
            version_from=ours[0].source if ours else "",
            clean=clean,
            consistency=consistency,
            owner=owner(place),
            facts=facts,
            parts=parts,
            stale=_stale(place),
            notes=(*_notes(said, parts, consistency), *_without_log(place, product, consistency)),
            size=measure(place),
        )

    def together(self, found: tuple[Found, ...]) -> tuple[Found, ...]:
        """Each is a server of its own."""
        return found

    def refuse(self, found: Found, version: str) -> str | Promise:
        """The same series. A newer one would have to upgrade the files, an older one cannot read them.

        Within a series MySQL opens no files of a newer release (its dictionary is upgraded at once).
        """
        if found.version is None:
            return _("The version of its files is not known.")
        ours, theirs = _numbers(found.version), _numbers(version)
        name = "MariaDB" if found.product == Product.MARIADB else "MySQL"
        series = ".".join(map(str, ours[:2]))
        if ours[:2] != theirs[:2]:
            return str(_("It needs {name} {series}.")).format(name=name, series=series)
        if found.product == Product.MYSQL and ours >= (8,) and len(theirs) > 2 and theirs < ours:
            return str(_("It needs {name} {series}.")).format(name=name, series=f"{found.version}+")
        return ""

    def start(self, found: Found, *, read_only: bool) -> Recipe:
        """A first run applies the log and makes our login; the second one reads only."""
        return mysql_start.recipe(found, read_only=read_only)

    def login(self, found: Found, *, name: str, password: str, read_only: bool) -> bytes:
        """For the file of --init-file."""
        return mysql_start.login(found, name=name, password=password, read_only=read_only)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".") if number.isdigit())


def _product(place: Place, said: list[Said]) -> Product:
    """MySQL 8 has its dictionary in mysql.ibd, MariaDB its Aria log; else what the files say of the server."""
    if place.has(b"mysql.ibd"):
        return Product.MYSQL
    if place.has(b"aria_log_control") or any(one.maria for one in said):
        return Product.MARIADB
    return Product.MYSQL


def _stale(place: Place) -> tuple[bytes, ...]:
    names = (name for name in sorted(place.names) if name == _PERSISTED or name.endswith(_ENDINGS))
    return tuple(name for name in names if not place.is_folder(name))


def _elsewhere(place: Place, settings: dict[str, str]) -> list[Part]:
    found = []
    for name, kind in _SETTINGS_OF_PARTS.items():
        path = settings.get(name, "").rstrip("/").encode()
        if path.startswith(b"/") and not (b"/" + place.path + b"/").endswith(path.rstrip(b"/") + b"/"):
            found.append(search(kind, place, path, b"", lambda folder: folder.is_folder()))
    return found


def _tables(place: Place) -> list[Part]:
    """Databases and tables that a link or an .isl file leads to."""
    found, seen = [], 0
    for database in sorted(place.names):
        entry = place.entry(database)
        if entry is not None and entry.kind == "link":
            found.append(search("database", place, entry.links_to, database, lambda folder: folder.is_folder()))
        if entry is None or not entry.is_folder:
            continue
        folder = place.below(database)
        rows = folder.listing(_MOST_TABLES - seen)
        seen += len(rows)
        found += [part for name, _is_folder in sorted(rows) if (part := _table(folder, database, name)) is not None]
    return found


def _table(folder: Place, database: bytes, name: bytes) -> Part | None:
    target = b""
    if name.endswith(b".isl"):
        target = (folder.read(name) or b"").strip()
    elif name.endswith((b".MYD", b".MYI", b".ibd", b".MAD", b".MAI")):
        entry = folder.entry(name)
        target = entry.links_to if entry is not None else b""
    if not target:
        return None
    above, _, last = target.rpartition(b"/")
    return search("table", folder, above or b"/", database + b"/" + name, lambda place: place.has(last))


def _consistency(
    place: Place, parts: tuple[Part, ...], prepared: bool | None, clean: bool | None, taken: Taken
) -> Consistency:
    """A log with nothing to apply is no proof that the server stood still while its files were copied one by one."""
    if prepared:
        return Consistency.PREPARED
    system = any(part.kind == "data" for part in parts) or place.has(b"ibdata1")
    if prepared is False or not system or any(part.path is None and part.kind != "table" for part in parts):
        return Consistency.BROKEN
    if clean and taken == Taken.FROZEN:
        return Consistency.CLEAN
    return {Taken.FROZEN: Consistency.CRASH, Taken.STOPPED: Consistency.CLEAN}.get(taken, Consistency.DOUBTFUL)


def _without_log(place: Place, product: Product, how: Consistency) -> list[Note]:
    """MySQL writes one unless it is told not to, and without it rolls back what was about to be committed."""
    told = product == Product.MARIADB or how not in (Consistency.CRASH, Consistency.DOUBTFUL)
    return [] if told or any(name.endswith(b".index") for name in place.names) else [Note("no_log")]


def _notes(said: list[Said], parts: tuple[Part, ...], how: Consistency) -> tuple[Note, ...]:
    notes = [Note("doubtful")] if how == Consistency.DOUBTFUL else []
    series = {".".join(one.version.split(".")[:2]) for one in said if one.source != "mysql/*.frm"}
    if len(series) > 1:
        notes.append(Note("disagree", {"said": ", ".join(f"{one.source} {one.version}" for one in said)}))
    notes += [Note("missing", {"kind": part.kind, "path": shown(part.wanted)}) for part in parts if part.path is None]
    return tuple(notes)
