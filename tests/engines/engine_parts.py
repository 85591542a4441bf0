"""Directories as those of database servers: recorded bytes where they were had, made ones named so."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
# Cut before the zeros that fill the file; made by the initdb of each major.
CONTROLS: dict[str, str] = json.loads((RECORDED / "pg_control.json").read_text())
OPENSEARCH_NODE = (RECORDED / "opensearch-2.19.6-node-0.st").read_bytes()


def control(major: str) -> bytes:
    """A recorded control file of a cluster that was shut down."""
    return base64.b64decode(CONTROLS[major]).ljust(8192, b"\0")


def cluster(place: Path, version: str = "15", recorded: str = "15") -> Path:
    """A cluster's folder without its relations."""
    for name in ("global", "base/1", "pg_wal", "pg_tblspc"):
        (place / name).mkdir(parents=True)
    (place / "PG_VERSION").write_text(version + "\n")
    (place / "base/1/PG_VERSION").write_text(version + "\n")
    (place / "global/pg_control").write_bytes(control(recorded))
    return place


def made_mysql(place: Path, number: int = 80036) -> Path:
    """MySQL 8 as its sources describe it; no real one was at hand."""
    for name in ("mysql", "performance_schema", "#innodb_redo", "shop"):
        (place / name).mkdir(parents=True)
    page = bytearray(16384)
    struct.pack_into(">II", page, 8, number, 1)
    (place / "mysql.ibd").write_bytes(page)
    (place / "ibdata1").write_bytes(made_system_page(0))
    redo = struct.pack(">IIQ", 6, 0, 8192) + b"MySQL 8.0.36".ljust(32, b"\0")
    (place / "#innodb_redo/#ib_redo10").write_bytes(redo.ljust(4096, b"\0"))
    (place / "auto.cnf").write_text("[auto]\nserver-uuid=00000000-0000-0000-0000-000000000001\n")
    return place


def made_system_page(flags: int) -> bytes:
    """The first page of a system tablespace with these flags."""
    page = bytearray(16384)
    struct.pack_into(">I", page, 54, flags)
    return bytes(page)


def made_frm(number: int) -> bytes:
    """The head of a table's description, with the version of the server that wrote it."""
    head = bytearray(b"\xfe\x01".ljust(64, b"\0"))
    struct.pack_into("<I", head, 51, number)
    return bytes(head)


def made_mongodb(place: Path, *features: str, lock: str = "") -> Path:
    """MongoDB as its sources describe it; no real one was at hand."""
    place.mkdir(parents=True)
    (place / "WiredTiger").write_text("WiredTiger\nWiredTiger 11.0.1: (June 1, 2022)\n")
    turtle = "WiredTiger version string\nWiredTiger 11.0.1: (June 1, 2022)\n"
    (place / "WiredTiger.turtle").write_text(turtle)
    for name in ("WiredTiger.wt", "_mdb_catalog.wt"):
        (place / name).write_bytes(b"\0" * 4096)
    (place / "mongod.lock").write_text(lock)
    (place / "storage.bson").write_bytes(b"\x08directoryPerDB\0\x01\x08directoryForIndexes\0\0")
    pages = b"".join(
        b"\x02_id\0\x1c\0\0\0featureCompatibilityVersion\0\x02version\0\x04\0\0\0" + word.encode() + b"\0\0"
        for word in features
    )
    (place / "collection-0--7.wt").write_bytes(b"\0" * 64 + pages + b"\0" * 64)
    return place


def node(place: Path, inside: str = "nodes/0/_state", raw: bytes = OPENSEARCH_NODE) -> Path:
    """A path.data with the state of a node."""
    state = place / inside
    state.mkdir(parents=True)
    (state / "node-0.st").write_bytes(raw)
    (state.parent / "node.lock").write_bytes(b"")
    return place
