"""The next commands of a restored MySQL or MariaDB: files that lay elsewhere, and a start apart from others. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping

from django.utils.translation import gettext as _

from backups.sources.base import Consistency
from recovery.engines import binary_log
from recovery.services.dumps import Record
from recovery.services.next_parts import Command, as_owner, found_by_owner, given, glob_literal, own

# The kernel takes 107 bytes for the path of a socket.
_LONGEST = 107


def commands(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    """For a server whose data directory is at `place` now; `target` as for `next_commands`."""
    made = own(record, place, "0700")
    for path in record.facts.get("outside_files") or ():
        made += _outside(record, place, str(path), target.get(str(path).lstrip("/")))
    return [*made, *_log(record, place), *_start(record, place)]


def _log(record: Record, place: str) -> list[Command]:
    """The list of its files may name those of the server that runs."""
    if not _decides(record):
        return []
    index = f"{binary_log.base((record.binary_log,))}.index"
    where = (place, "-maxdepth", "1", "-type", "f", "-name", index)
    find = found_by_owner(record, *where, "-exec", "sed", "-i", "s|^.*/|./|", "{}", ";")
    return [Command(find, _("Its binary log lies beside its data, if it is here: its list must not lead elsewhere."))]


def _decides(record: Record) -> bool:
    """Does it ask the log, of which the name is known, what was about to be committed?"""
    return bool(record.binary_log) and record.consistency == Consistency.CRASH


def _outside(record: Record, place: str, before: str, now: str | None) -> list[Command]:
    """A link that leads to the place of before would have this server write into the other one's files."""
    if now is None:
        text = _("{path} lay outside the data directory and belongs to it: put it there, or change the settings.")
        return [Command((), text.format(path=before))]
    if now == before:
        return [given(record, now)]
    if before.endswith(".ibd"):
        # Its path stands in the log and in the dictionary: as long as a file is there, a link elsewhere is not heeded.
        text = _(
            "InnoDB looks for {path} nowhere else: put {now} there, on a machine where no other server uses it, and "
            "start none of these files before."
        )
        return [given(record, now), Command((), text.format(path=before, now=now))]
    where = (place, "-type", "l", "-lname", glob_literal(before))
    find = found_by_owner(record, *where, "-exec", "ln", "-sfn", now, "{}", ";")
    text = _("{path} lay outside the data directory and is at {now}: links to it lead there.")
    made = [given(record, now), Command(find, text.format(path=before, now=now))]
    text = _("Where its settings name {path}, let them name {now} before it is started.")
    return [*made, Command((), text.format(path=before, now=now))]


def _start(record: Record, place: str) -> list[Command]:
    mariadb = str(record.facts.get("flavour") or "mariadb") == "mariadb"
    if record.method == "mariabackup":
        sentences = [_("Starts it. The copy is prepared already: there is nothing left to recover.")]
    else:
        sentence = _(
            "Starts it. InnoDB finds that it was not stopped and applies its redo log by itself; tables of other "
            "engines are to be checked with CHECK TABLE."
        )
        sentences = [sentence]
    sentences.append(_("It does not go on as a replica, and starts none of its scheduled events."))
    sentences += _told_of_log(record, mariadb=mariadb)
    socket = f"{place}/restored.sock"
    if len(os.fsencode(socket)) > _LONGEST:
        socket = "/run/mysqld/restored.sock"
    words = [f"--datadir={place}", f"--socket={socket}", f"--pid-file={place}/restored.pid", "--skip-networking"]
    # Both know this word, of whatever age; the second is of MySQL's newer ones.
    words += ["--skip-slave-start", *([] if mariadb else ["--loose-mysqlx=OFF"])]
    # Settings that SET PERSIST wrote into the data directory may name programs and places, as a file of settings does.
    words += ["--event-scheduler=DISABLED", *([] if mariadb else ["--loose-persisted-globals-load=OFF"])]
    words += _log_words(record)
    # A server may ask its client for any file that the client can read.
    client = ("mariadb" if mariadb else "mysql", f"--socket={socket}", "--local-infile=0")
    show = (*client, "--execute=SHOW DATABASES")
    told = _("In another terminal: shows its databases. Without a network nobody else gets in.")
    return [
        Command(as_owner(record, "mariadbd" if mariadb else "mysqld", *words), " ".join(sentences)),
        Command(show, told),
    ]


def _told_of_log(record: Record, *, mariadb: bool) -> list[str]:
    if not record.facts.get("log_bin"):
        return []
    if not _decides(record):
        sentence = _(
            "It wrote a binary log: where its settings name a place for it outside the data directory, add --log-bin "
            "with another one, or it writes into the log of the server that runs."
        )
        return [sentence]
    made = [_("Its binary log decides on the transactions that were about to be committed.")]
    if mariadb:
        sentence = _(
            "Where that log is not in the data directory it may refuse to start because of prepared transactions: then "
            "add --skip-log-bin and --tc-heuristic-recover=COMMIT, once."
        )
    else:
        sentence = _("Where that log is not in the data directory, the last of them are rolled back.")
    return [*made, sentence]


def _log_words(record: Record) -> list[str]:
    """Whatever its settings say: the log in the data directory, and none of another server."""
    if not _decides(record):
        return []
    base = binary_log.base((record.binary_log,))
    return [f"--log-bin={base}", f"--log-bin-index={base}.index", "--server-id=1"]
