"""The closed set of tools whose output may become a file of an archive: one file an engine.

`PRODUCERS` are the files of an archive (`streams`), `FEEDS` are whole tar streams (`feed`). Each is made by a
function `NAME(row, secrets)` of its module, from values that it checks itself; only what is asked for is loaded.
A password is in `secrets["database"]` and goes to the tool by a descriptor, never by argv or environment.
"""

from importlib import import_module
from typing import Any, Dict, List

from .. import policy, validate, wire
from ..streams import MOST_STREAMS, Producer, Stream

PRODUCERS = {
    "file": "files",
    "mongodump": "mongodb",
    "mysql_dump": "mysql",
    "mysql_users": "mysql",
    "pg_dump": "postgresql",
    "pg_globals": "postgresql",
    "pg_properties": "postgresql",
}
FEEDS = {
    "pg_backup": "postgresql",
    "pg_basebackup": "postgresql",
}
# Of these the members have their own absolute places already; those of the others come below the feed's folder.
AT_THEIR_PLACES = {"pg_backup"}
_NAME_BYTES = 200


def streams(value: Any, secrets: Dict[str, Any]) -> List[Stream]:
    """The streams that a request asks for: [{"name", "producer", …}], names unique. Raises Refused."""
    policy.check_databases()
    if not isinstance(value, list) or not 0 < len(value) <= MOST_STREAMS:
        raise wire.Refused("invalid", "streams must be a list of 1 to {}".format(MOST_STREAMS))
    found = []
    for row in value:
        if not isinstance(row, dict):
            raise wire.Refused("invalid", "a stream must be a table")
        kind = validate.choice(row.get("producer"), "producer", sorted(PRODUCERS))
        found.append(Stream(_name(row), _made(PRODUCERS, kind, row, secrets)))
    if len({stream.name for stream in found}) != len(found):
        raise wire.Refused("invalid", "two streams have one name")
    return found


def feed(row: Dict[str, Any], secrets: Dict[str, Any]) -> Any:
    """The producer of a whole tar stream. Raises Refused."""
    policy.check_databases()
    return _made(FEEDS, validate.choice(row.get("producer"), "producer", sorted(FEEDS)), row, secrets)


def _made(kinds: Dict[str, str], kind: str, row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    made: Producer = getattr(import_module("." + kinds[kind], __package__), kind)(row, secrets)
    return made


def _name(row: Dict[str, Any]) -> bytes:
    name = validate.relative(row.get("name"), "stream name")
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        # Borg 1.x writes its command line into the archive and cannot write this one.
        raise wire.Refused("invalid", "a stream's name must be UTF-8") from None
    if any(len(part) > _NAME_BYTES for part in name.split(b"/")):
        raise wire.Refused("invalid", "a part of this stream's name is too long: {!r}".format(row.get("name")))
    return name
