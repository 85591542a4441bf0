"""What to do with the files of a database server that were put into a directory: the exact next commands.

Pure: what the archive says of itself and where its directories are now go in, commands come out. They are for the
server's administrator, as root; nothing here is ever carried out by us.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from django.utils.translation import gettext as _

from recovery.services import next_mysql, next_postgresql
from recovery.services.dumps import Record
from recovery.services.next_parts import Command, as_owner, found_by_owner, looked_at, own, to_choose

__all__ = ["Command", "next_commands"]
# What an archive names as its node is asked by curl: nothing but this machine, in this very form.
_LOOPBACK = re.compile(r"https?://(?:127(?:\.[0-9]{1,3}){3}|localhost|\[::1\]):[0-9]{1,5}")


def next_commands(record: Record, target: Mapping[str, str]) -> list[Command]:
    """The commands, in order. `target`: path in the archive (no leading slash) → where it is now (absolute).

    Empty when the data directory is not among what was restored.
    """
    makers = {
        "postgresql": next_postgresql.commands,
        "mysql": next_mysql.commands,
        "mongodb": _mongodb,
        "elasticsearch": _elasticsearch,
    }
    data = record.paths("data")
    maker = makers.get(record.engine)
    if maker is None or not data or data[0] not in target or record.method == "logical":
        return []
    made = maker(record, target[data[0]], target)
    return [*to_choose(record), *looked_at(made), *made]


def _mongodb(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    made = own(record, place, "0700")
    made.append(
        Command(
            as_owner(record, "rm", "-f", f"{place}/mongod.lock"),
            _("The note of the process that ran when the snapshot was taken."),
        )
    )
    start = ("mongod", "--dbpath", place, "--port", "27018", "--bind_ip", "127.0.0.1")
    sentence = _("Starts it, apart from a server that runs; it recovers from its journal by itself.")
    if record.facts.get("replica_set"):
        sentence += " " + _("It was a member of the replica set “{name}”; started like this it stands alone.").format(
            name=record.facts["replica_set"]
        )
    return [*made, Command(as_owner(record, *start), sentence)]


def _elasticsearch(record: Record, place: str, target: Mapping[str, str]) -> list[Command]:
    if record.method != "api":
        made = own(record, place, "0750")
        lock = found_by_owner(record, place, "-name", "node.lock", "-delete")
        made.append(Command(lock, _("A node makes its own lock; before the start no other may be there.")))
        text = _("Set path.data to {path} in elasticsearch.yml, and start the node.")
        return [*made, Command((), text.format(path=place))]
    made = own(record, place, "0750")
    text = _("Add {path} to path.repo in elasticsearch.yml of every node, and start them again.")
    made.append(Command((), text.format(path=place)))
    url = f"{_url(record)}/_snapshot/restored"
    curl = ("curl", *(("--insecure",) if url.startswith("https:") else ()))
    register = json.dumps({"type": "fs", "settings": {"location": place, "readonly": True}}, ensure_ascii=False)
    header = ("-H", "Content-Type: application/json")
    sentence = _("Registers it for reading, as a repository of snapshots.") + " "
    sentence += _("It asks {url}: another node has another address. For a login add -u NAME.").format(url=_url(record))
    made.append(Command((*curl, "-X", "PUT", *header, "-d", register, "--url", url), sentence))
    made.append(Command((*curl, "--url", f"{url}/_all?pretty"), _("Shows the snapshot in it and its name.")))
    wish = '{"indices": "*,-.*", "include_global_state": false}'
    name = record.snapshot or "NAME"
    address = f"{url}/{name}/_restore?wait_for_completion=true"
    restore = (*curl, "-X", "POST", *header, "-d", wish, "--url", address)
    sentence = _("Restores its indices, but those whose names begin with a dot, which belong to the node itself.") + " "
    if not record.snapshot:
        sentence += _("Put the snapshot's name for NAME.") + " "
    made.append(Command(restore, sentence + _("An open index of the same name must be closed or deleted before.")))
    return made


def _url(record: Record) -> str:
    """The node's, when that is on this machine; else where one usually is."""
    named = str(record.facts.get("url") or "").rstrip("/")
    return named if _LOOPBACK.fullmatch(named) else "http://127.0.0.1:9200"
