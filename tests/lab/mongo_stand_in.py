"""A stand-in for `mongodump` and `mongorestore`, which cannot be had here: `PYTHON this CLIENT NAME OPTIONS`.

Not MongoDB's tools: it takes only the options that we use, by the same names, and reads and writes the archive format
of mongo-tools (common/archive/spec.md there) with MongoDB's own client, from the directory CLIENT. What it says and
how it ends follow the real ones as far as our code looks at it.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

MAGIC = struct.pack("<I", 0x8199E26D)
END = b"\xff\xff\xff\xff"
_NOT_DUMPED = ("admin", "config", "local")


def crc64(data: bytes, crc: int = 0) -> int:
    """CRC-64-ECMA as Go's hash/crc64 counts it."""
    crc ^= 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFFFFFFFFFF


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ 0xC96C5795D7870F42 if value & 1 else value >> 1
        table.append(value)
    return table


_TABLE = _table()


def options(name: str, argv: list[str]) -> argparse.Namespace:
    """Those of the real tools that we use; any other ends with 2."""
    parser = argparse.ArgumentParser(prog=name, allow_abbrev=False)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=27017)
    for word in ("--uri", "--username", "--authenticationDatabase", "--config"):
        parser.add_argument(word)
    parser.add_argument("--archive", nargs="?", const="-", required=True)
    parser.add_argument("--oplog" if name == "mongodump" else "--drop", action="store_true")
    if name == "mongodump":
        parser.add_argument("--db")
    return parser.parse_args(argv)


def connect(asked: argparse.Namespace) -> Any:
    """MongoDB's client; the password is the one of the configuration file."""
    import pymongo
    from bson.raw_bson import RawBSONDocument

    login = {}
    if asked.username:
        with open(asked.config, encoding="utf-8") as file:
            key, _, value = file.read().partition(": ")
        assert key == "password"
        login = {"username": asked.username, "password": json.loads(value), "authSource": asked.authenticationDatabase}
    raw = {"document_class": RawBSONDocument, "serverSelectionTimeoutMS": 5000}
    place = asked.uri or f"mongodb://{asked.host}:{asked.port}/?directConnection=true"
    client: Any = pymongo.MongoClient(place, **raw, **login)

    return client


def say(text: str) -> None:
    """As the real ones: on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def dump(asked: argparse.Namespace, out: BinaryIO) -> None:
    """Header, one document of metadata for each collection, then all documents, each collection in one segment."""
    from bson import encode

    client = connect(asked)
    names = [asked.db] if asked.db else [name for name in client.list_database_names() if name not in _NOT_DUMPED]
    found = [(database, one) for database in names for one in sorted(client[database].list_collection_names())]
    header = {"concurrent_collections": 4, "version": "0.1", "server_version": "7.0.0", "tool_version": "stand-in"}
    out.write(MAGIC + encode(header))
    for database, collection in found:
        listed = client[database][collection].list_indexes()
        indexes = [json.loads(json.dumps(dict(index), default=dict)) for index in listed]
        metadata = json.dumps({"indexes": indexes, "collectionName": collection, "type": "collection"})
        out.write(encode({"db": database, "collection": collection, "metadata": metadata, "size": 0, "type": ""}))
    out.write(END)
    for database, collection in found:
        _dump_one(client, out, database, collection)
    if asked.oplog:
        say("this stand-in was asked for the oplog, and has none")


def _dump_one(client: Any, out: BinaryIO, database: str, collection: str) -> None:
    from bson import encode
    from bson.int64 import Int64

    say(f"writing {database}.{collection} to archive on stdout")
    count, crc = 0, 0
    names = {"db": database, "collection": collection}
    for document in client[database][collection].find({}, batch_size=100):
        if not count:
            out.write(encode({**names, "EOF": False, "CRC": Int64(0)}))
        out.write(document.raw)
        out.flush()
        crc = crc64(document.raw, crc)
        count += 1
    if count:
        out.write(END)
    signed = struct.unpack("<q", struct.pack("<Q", crc))[0]
    out.write(encode({**names, "EOF": True, "CRC": Int64(signed)}) + END)
    say(f"done dumping {database}.{collection} ({count} documents)")


def blocks(source: BinaryIO) -> Iterator[list[bytes]]:
    """The documents between two terminators. Raises EOFError when the archive is cut."""
    block: list[bytes] = []
    while True:
        size = source.read(4)
        if not size and not block:
            return
        if size == END:
            yield block
            block = []
            continue
        (length,) = struct.unpack("<i", size) if len(size) == 4 else (0,)
        rest = source.read(length - 4) if length >= 5 else b""
        if len(rest) != length - 4 or not rest:
            raise EOFError("corruption found in archive; unexpected EOF")
        block.append(size + rest)


def restore(asked: argparse.Namespace, source: BinaryIO) -> None:
    """All collections with their indexes; checksums are compared. Raises EOFError for an archive that is cut."""
    from bson import decode

    client = connect(asked)
    if source.read(4) != MAGIC:
        raise EOFError("stream or file does not appear to be a mongodump archive")
    parts = blocks(source)
    listed = [decode(one) for one in next(parts)[1:]]
    open_ones = {(one["db"], one["collection"]): 0 for one in listed}
    for one in listed:
        if asked.drop:
            client[one["db"]].drop_collection(one["collection"])
        for index in json.loads(one["metadata"])["indexes"]:
            more = {"unique": True} if index.get("unique") else {}
            client[one["db"]][one["collection"]].create_index(list(index["key"].items()), name=index["name"], **more)
    for header, *documents in parts:
        about = decode(header)
        name = (about["db"], about["collection"])
        if about["EOF"]:
            signed = struct.unpack("<q", struct.pack("<Q", open_ones.pop(name)))[0]
            if signed != about["CRC"]:
                raise EOFError(f"CRC mismatch of {name}")
            continue
        for document in documents:
            open_ones[name] = crc64(document, open_ones[name])
        _insert(client, name, documents)
    if open_ones:
        raise EOFError(f"the archive has no end of {sorted(open_ones)}")


def _insert(client: Any, name: tuple[str, str], documents: list[bytes]) -> None:
    from bson.raw_bson import RawBSONDocument

    for start in range(0, len(documents), 100):
        batch = [RawBSONDocument(one) for one in documents[start : start + 100]]
        client[name[0]][name[1]].insert_many(batch)
    say(f"{name[0]}.{name[1]}: {len(documents)} documents restored")


def main(client: str, name: str, *argv: str) -> int:
    """0, 1 with `Failed: …`, or 2 for options that the tool does not know."""
    sys.path.append(client)
    asked = options(name, list(argv))
    try:
        if name == "mongodump":
            dump(asked, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        elif asked.archive == "-":
            restore(asked, sys.stdin.buffer)
        else:
            with open(asked.archive, "rb") as file:
                restore(asked, file)
    except Exception as error:
        say(f"Failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
