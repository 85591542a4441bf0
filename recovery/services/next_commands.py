"""What to do with the files of a database server that were put into a directory: the exact next commands.

Pure: what the archive says of itself and where its directories are now go in, commands come out. They are for the
server's administrator, as root; nothing here is ever carried out by us.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from backups.sources.base import Consistency
from recovery.services.dumps import Record, major

_ACCOUNTS = {"postgresql": "postgres", "mysql": "mysql", "mongodb": "mongodb", "elasticsearch": "elasticsearch"}


@dataclass(frozen=True)
class Command:
    """One command and what it is for. No words: something to be done or known without a command."""

    argv: tuple[str, ...]
    sentence: str

    @property
    def line(self) -> str:
        """As a shell wants it."""
        return shlex.join(self.argv)


def next_commands(record: Record, target: Mapping[str, str]) -> list[Command]:
    """The commands, in order. `target`: path in the archive (no leading slash) → where it is now (absolute).

    Empty when the data directory is not among what was restored.
    """
    makers = {"postgresql": _postgresql, "mysql": _mysql, "mongodb": _mongodb, "elasticsearch": _elasticsearch}
    data = record.paths("data")
    maker = makers.get(record.engine)
    if maker is None or not data or data[0] not in target or record.method == "logical":
        return []
    return maker(record, target[data[0]], target)


def _owner(record: Record) -> str:
    return str(record.facts.get("owner") or _ACCOUNTS[record.engine])


def _own(record: Record, place: str, mode: str) -> list[Command]:
    owner = _owner(record)
    return [
        Command(
            ("chown", "-R", f"{owner}:", place),
            _("The files belong to the account {owner}, under whatever number it has here.").format(owner=owner),
        ),
        Command(("chmod", mode, place), _("Nobody else may look into it; the server refuses to start otherwise.")),
    ]


def _as(record: Record, *argv: str) -> tuple[str, ...]:
    return ("runuser", "-u", _owner(record), "--", *argv)


# --- PostgreSQL ------------------------------------------------------------------------------------


def _postgresql(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    number = ".".join(map(str, major("postgresql", record.version))) or "…"
    programs = f"/usr/lib/postgresql/{number}/bin"
    made = _own(record, place, "0700")
    if record.consistency == Consistency.CRASH:
        sentence = _(
            "The note of the process that ran when the snapshot was taken would keep the server from starting."
        )
        made.append(Command(("rm", "-f", f"{place}/postmaster.pid"), sentence))
    made += _postgresql_places(record, place, target)
    made += _postgresql_settings(record, place, number)
    if record.consistency == Consistency.CRASH:
        recovery = _("Starts it. It finds that it was not stopped and recovers by its log (WAL) by itself.")
    else:
        recovery = _("Starts it. It reads backup_label and replays the log (WAL) that was backed up with it.")
    start = (f"{programs}/pg_ctl", "-D", place, "-w", "-o", "-p 5433 -c listen_addresses=", "start")
    made.append(Command(_as(record, *start), recovery))
    made.append(
        Command(
            _as(record, f"{programs}/psql", "-p", "5433", "-c", "\\l"),
            _("Shows its databases. Port 5433 keeps it apart from a server that runs; take another when it is taken."),
        )
    )
    return made


def _postgresql_places(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    """Links out of the data directory lead to the places of before: a server started here would write there."""
    made = []
    wal = str(record.facts.get("wal_directory") or "")
    if wal:
        now = target.get(wal.lstrip("/"))
        if now is None:
            made.append(
                Command((), _("The log lay in {path}, which was not restored: restore it too.").format(path=wal))
            )
        else:
            made += _own(record, now, "0700")
            sentence = _("The log lay elsewhere: its link leads to where it is now.")
            made.append(Command(("ln", "-sfn", now, f"{place}/{_log_directory(record)}"), sentence))
    spaces = [row for row in record.facts.get("tablespaces") or () if isinstance(row, dict) and row.get("location")]
    for row in spaces:
        before, now = str(row["location"]), target.get(str(row["location"]).lstrip("/"))
        name = str(row.get("name") or "")
        if now is None:
            text = _("The tablespace “{name}” ({path}) was not restored: restore it too.")
            made.append(Command((), text.format(name=name, path=before)))
        elif now != before:
            made += _moved(record, place, name, before, now)
    return made


def _log_directory(record: Record) -> str:
    """Its name until PostgreSQL 9.6 was another one."""
    number = major("postgresql", record.version)
    return "pg_xlog" if number and number < (10,) else "pg_wal"


def _moved(record: Record, place: str, name: str, before: str, now: str) -> list[Command]:
    """A tablespace at a new place: the link of its number, and the map from which recovery makes the link anew."""
    find = ("find", f"{place}/pg_tblspc", "-lname", before, "-exec", "ln", "-sfn", now, "{}", ";")
    told = _("The tablespace “{name}” is at {path} now: its link must not lead to the old place.")
    made = [*_own(record, now, "0700"), Command(find, told.format(name=name, path=now))]
    if record.consistency != Consistency.CRASH:
        # sed reads the place as a regular expression and the new one as a replacement.
        edit = f"s|^\\([0-9]* \\){_pattern(before)}$|\\1{_replacement(now)}|"
        sentence = _(
            "The recovery makes the link once more, from this map. A missing file is fine: there is none then."
        )
        made.append(Command(("sed", "-i", edit, f"{place}/tablespace_map"), sentence))
    return made


def _pattern(text: str) -> str:
    return "".join("\\" + letter if letter in "\\.*[]^$|" else letter for letter in text)


def _replacement(text: str) -> str:
    return "".join("\\" + letter if letter in "\\&|" else letter for letter in text)


def _postgresql_settings(record: Record, place: str, number: str) -> list[Command]:
    """On Debian the settings lie below /etc, and a data directory alone has none."""
    files = [path for path in record.facts.get("config_files") or () if isinstance(path, str)]
    data = record.data_directory.rstrip("/") + "/"
    outside = [path for path in files if not path.startswith(data)]
    if not outside:
        return []
    made = []
    for path in outside:
        name = path.rpartition("/")[2]
        if name not in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            continue
        sentence = _("Its settings lay outside the data directory ({path}): one that stands here needs its own.")
        copy = ("install", "-o", _owner(record), "-m", "0640", path, f"{place}/{name}")
        made.append(Command(copy, sentence.format(path=path)))
        if name == "postgresql.conf":
            edit = (
                "sed",
                "-i",
                "-E",
                "/^ *(data_directory|hba_file|ident_file|external_pid_file)/d",
                f"{place}/{name}",
            )
            made.append(Command(edit, _("It would send the server to the old places.")))
    return made


# --- the others ------------------------------------------------------------------------------------


def _mysql(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    flavour = str(record.facts.get("flavour") or "mariadb")
    program = "mariadbd" if flavour == "mariadb" else "mysqld"
    made = _own(record, place, "0700")
    for path in record.facts.get("outside_files") or ():
        text = _("{path} lay outside the data directory and belongs to it: put it there, or change the settings.")
        made.append(Command((), text.format(path=path)))
    if record.method == "mariabackup":
        sentence = _("Starts it. The copy is prepared already: there is nothing left to recover.")
    else:
        sentence = _(
            "Starts it. InnoDB finds that it was not stopped and applies its redo log by itself; tables of other "
            "engines are to be checked with CHECK TABLE."
        )
    socket = f"{place}/restored.sock"
    start = (
        program,
        f"--datadir={place}",
        f"--socket={socket}",
        f"--pid-file={place}/restored.pid",
        "--skip-networking",
    )
    made.append(Command(_as(record, *start), sentence))
    client = "mariadb" if flavour == "mariadb" else "mysql"
    show = (client, f"--socket={socket}", "--execute=SHOW DATABASES")
    made.append(Command(show, _("In another terminal: shows its databases. Without a network nobody else gets in.")))
    return made


def _mongodb(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    made = _own(record, place, "0700")
    made.append(
        Command(
            ("rm", "-f", f"{place}/mongod.lock"), _("The note of the process that ran when the snapshot was taken.")
        )
    )
    start = ("mongod", "--dbpath", place, "--port", "27018", "--bind_ip", "127.0.0.1")
    sentence = _("Starts it, apart from a server that runs; it recovers from its journal by itself.")
    if record.facts.get("replica_set"):
        sentence += " " + _("It was a member of the replica set “{name}”; started like this it stands alone.").format(
            name=record.facts["replica_set"]
        )
    return [*made, Command(_as(record, *start), sentence)]


def _elasticsearch(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    if record.method != "api":
        made = _own(record, place, "0750")
        lock = ("find", place, "-name", "node.lock", "-delete")
        made.append(Command(lock, _("A node makes its own lock; before the start no other may be there.")))
        text = _("Set path.data to {path} in elasticsearch.yml, and start the node.")
        return [*made, Command((), text.format(path=place))]
    made = _own(record, place, "0750")
    text = _("Add {path} to path.repo in elasticsearch.yml of every node, and start them again.")
    made.append(Command((), text.format(path=place)))
    url = "http://127.0.0.1:9200/_snapshot/restored"
    register = json.dumps({"type": "fs", "settings": {"location": place, "readonly": True}}, ensure_ascii=False)
    header = ("-H", "Content-Type: application/json")
    made.append(
        Command(
            ("curl", "-X", "PUT", *header, url, "-d", register),
            _("Registers it for reading, as a repository of snapshots."),
        )
    )
    made.append(Command(("curl", f"{url}/_all?pretty"), _("Shows the snapshot in it and its name.")))
    wish = '{"indices": "*,-.*", "include_global_state": false}'
    restore = ("curl", "-X", "POST", *header, f"{url}/NAME/_restore?wait_for_completion=true", "-d", wish)
    made.append(
        Command(
            restore,
            _("Restores its indices; put the snapshot's name for NAME. An open index of the same name must be closed."),
        )
    )
    return made
