"""The next commands of a restored PostgreSQL: links and settings lead to the new places, and it starts apart. Pure."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

from django.utils.translation import gettext as _

from backups.sources.base import Consistency
from recovery.services.dumps import Record, major
from recovery.services.next_parts import (
    Command,
    as_owner,
    found_by_owner,
    given,
    glob_literal,
    own,
    sed_pattern,
    sed_replacement,
)

# They name the places of before, or a directory that a running server uses too.
_OLD_PLACES = "data_directory|hba_file|ident_file|external_pid_file|stats_temp_directory"
_PORT = "5433"
# The kernel takes 107 bytes for the path of a socket; its name is ".s.PGSQL.5433".
_LONGEST = 107 - len("/.s.PGSQL.") - len(_PORT)


def commands(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    """For a cluster whose data directory is at `place` now; `target` as for `next_commands`."""
    made = own(record, place, "0700")
    if record.consistency == Consistency.CRASH:
        sentence = _(
            "The note of the process that ran when the snapshot was taken would keep the server from starting."
        )
        made.append(Command(as_owner(record, "rm", "-f", f"{place}/postmaster.pid"), sentence))
    if record.facts.get("in_recovery"):
        sentence = _("It was a standby: without this file it starts on its own and asks no primary.")
        made.append(Command(as_owner(record, "rm", "-f", *_standby_files(record, place)), sentence))
    return [*made, *_places(record, place, target), *_settings(record, place, target), *_start(record, place)]


def _number(record: Record) -> str:
    return ".".join(map(str, major("postgresql", record.version)))


def _standby_files(record: Record, place: str) -> list[str]:
    """PostgreSQL 12 refuses to start with the file that 11 needs."""
    number = major("postgresql", record.version)
    return [f"{place}/{name}" for name in (("recovery.conf",) if number and number < (12,) else ("standby.signal",))]


def _start(record: Record, place: str) -> list[Command]:
    programs = f"/usr/lib/postgresql/{_number(record) or '…'}/bin"
    if record.consistency == Consistency.CRASH:
        recovery = _("Starts it. It finds that it was not stopped and recovers by its log (WAL) by itself.")
    else:
        recovery = _("Starts it. It reads backup_label and replays the log (WAL) that was backed up with it.")
    apart = _(
        "It listens on no network, copies no log to where the other server's lies (archive_mode), and fetches nothing "
        "for its subscriptions; what it says is in restored.log."
    )
    # A list of sockets is parted by commas, for the server as for the client.
    sockets = place if len(os.fsencode(place)) <= _LONGEST and "," not in place else "/var/run/postgresql"
    options = ["-p", _PORT, "-k", sockets, "-c", "listen_addresses=", "-c", "archive_mode=off"]
    options += ["-c", "logging_collector=off"]
    options += _neutral(major("postgresql", record.version))
    libraries = _(
        "Libraries of shared_preload_libraries are not loaded: an extension that needs that must be named there."
    )
    # `-o` is read by a shell.
    start = (f"{programs}/pg_ctl", "-D", place, "-l", f"{place}/restored.log", "-w", "-o", shlex.join(options), "start")
    shown = _("Shows its databases. Its socket is in {path}: a server that runs is not in its way.").format(
        path=sockets
    )
    return [
        Command(as_owner(record, *start), f"{recovery} {apart} {libraries}"),
        Command(as_owner(record, f"{programs}/psql", "-h", sockets, "-p", _PORT, "-l"), shown),
    ]


def _neutral(number: tuple[int, ...]) -> list[str]:
    """Options that keep what the files' settings name from being run or loaded; a server refuses those unknown to it.

    No guard against files made to do harm, whose tables can name libraries as well: their settings stop here.
    """
    words = ["shared_preload_libraries=", "session_preload_libraries=", "local_preload_libraries="]
    words += ["archive_command=", "ssl=off"]
    if number >= (10,):
        words += ["max_logical_replication_workers=0"]
    if number >= (11,):
        words += ["jit=off"]
    if number >= (12,):
        words += ["restore_command=", "archive_cleanup_command=", "recovery_end_command=", "primary_conninfo="]
    if number >= (17,):
        words += ["event_triggers=off"]
    return [part for word in words for part in ("-c", word)]


def _places(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
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
            made += own(record, now, "0700")
            sentence = _("The log lay elsewhere: its link leads to where it is now.")
            link = as_owner(record, "ln", "-sfn", now, f"{place}/{_log_directory(record)}")
            made.append(Command(link, sentence))
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
    where = (f"{place}/pg_tblspc", "-lname", glob_literal(before))
    find = found_by_owner(record, *where, "-exec", "ln", "-sfn", now, "{}", ";")
    told = _("The tablespace “{name}” is at {path} now: its link must not lead to the old place.")
    made = [*own(record, now, "0700"), Command(find, told.format(name=name, path=now))]
    if record.consistency != Consistency.CRASH:
        # sed reads the place as a regular expression and the new one as a replacement.
        edit = f"s|^\\([0-9]* \\){sed_pattern(before)}$|\\1{sed_replacement(now)}|"
        sentence = _(
            "The recovery makes the link once more, from this map. A missing file is fine: there is none then."
        )
        made.append(Command(as_owner(record, "sed", "-i", edit, f"{place}/tablespace_map"), sentence))
    return made


def _settings(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    """On Debian they lie below /etc, and a data directory alone has none: those restored with it, or those there."""
    inside = record.data_directory.rstrip("/") + "/"
    named = record.facts.get("config_files") or ()
    files = [path for path in named if isinstance(path, str) and path.startswith("/")]
    made, changed = [], []
    for path in files:
        name = path.rpartition("/")[2]
        if path.startswith(inside) or name not in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "conf.d"):
            continue
        restored, new = target.get(path.lstrip("/")), f"{place}/{name}"
        source = restored or path
        if restored:
            made.append(given(record, restored))
        sentence = _("Its settings lay outside the data directory ({path}): one that stands here needs its own.")
        if name == "conf.d":  # a folder, which the settings name as one beside them
            copy = as_owner(record, "cp", "-RT", source, new)
        else:
            copy = as_owner(record, "install", "-T", "-m", "0640", source, new)
        made.append(Command(copy, sentence.format(path=path)))
        changed += [new] if name in ("postgresql.conf", "conf.d") else []
    if changed:
        edit = ("sed", "-i", "-E", f"/^[[:space:]]*({_OLD_PLACES})\\>/Id", "{}", "+")
        find = found_by_owner(record, *changed, "-name", "*.conf", "-exec", *edit)
        made.append(Command(find, _("It would send the server to the old places.")))
    return made
