"""PostgreSQL's control file: what a cluster is and how it was left. Versions 9.5 to 18, held by its checksum."""

from __future__ import annotations

import struct
from dataclasses import dataclass

# As the server counts them; the words are ours.
STATES = (
    "starting",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
)
CLEAN = ("shut down", "shut down in recovery")
CATALOGUES = {
    "9.5": 201510051,
    "9.6": 201608131,
    "10": 201707211,
    "11": 201809051,
    "12": 201909212,
    "13": 202007201,
    "14": 202107181,
    "15": 202209061,
    "16": 202307071,
    "17": 202406281,
    "18": 202506291,
}
_BYTES = 512  # it is smaller than a sector, so that no write of it is torn
WAL_LEVELS = ("minimal", "replica", "logical")


@dataclass(frozen=True)
class Control:
    """`checked`: the checksum held. The minima of a standby and the sizes (bytes) are None when it did not."""

    system_identifier: int
    control_version: int
    catalogue_version: int
    state: str | None
    checked: bool
    checkpoint: int | None = None
    wal_level: str | None = None
    minima: dict[str, int] | None = None
    block_bytes: int | None = None
    wal_segment_bytes: int | None = None
    data_checksums: bool | None = None

    @property
    def clean(self) -> bool | None:
        """Shut down in order; None when the file cannot be trusted."""
        return self.state in CLEAN if self.checked and self.state else None

    @property
    def major(self) -> str | None:
        """The release whose catalogue this is; None for an unknown one (a fork, a beta)."""
        return next((major for major, number in CATALOGUES.items() if number == self.catalogue_version), None)


def read(raw: bytes) -> Control | None:
    """None when it is none, or of a machine with another byte order."""
    if len(raw) < _BYTES:
        return None
    identifier, version, catalogue, state = struct.unpack_from("<QIII", raw)
    if not 800 <= version < 10_000:
        return None
    words = STATES[state] if state < len(STATES) else None
    known = _values(raw, version)
    if known is None:
        return Control(identifier, version, catalogue, words, checked=False)
    level = known["wal_level"]
    if version < 960 and level:  # archive and hot_standby became one
        level = 1 if level < 3 else 2
    minima = {name: known[name] for name in _MINIMA if name in known}
    return Control(
        identifier,
        version,
        catalogue,
        words,
        checked=True,
        checkpoint=known["checkpoint"],
        wal_level=WAL_LEVELS[level] if level < len(WAL_LEVELS) else None,
        minima=minima,
        block_bytes=known["block"],
        wal_segment_bytes=known["segment"],
        data_checksums=known["checksums"] > 0,
    )


_MINIMA = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)


def _fields(version: int) -> list[tuple[str, int]]:
    """(name, bytes) in their order; each begins at a multiple of its size, as C lays them out."""
    before = [("identifier", 8), ("version", 4), ("catalogue", 4), ("state", 4), ("time", 8), ("checkpoint", 8)]
    if version < 1100:
        before.append(("previous", 8))
    copy = [("redo", 8), ("timeline", 4), ("previous_timeline", 4), ("full_pages", 1)]
    copy += [("next_xid", 8)] if version >= 1201 else [("epoch", 4), ("next_xid", 4)]
    copy += [(name, 4) for name in ("oid", "multi", "offset", "oldest", "oldest_in", "oldest_multi", "multi_in")]
    copy += [("copied", 8), ("commit_first", 4), ("commit_last", 4), ("active", 4)]
    after = [("unlogged", 8), ("minimum", 8), ("minimum_timeline", 4), ("backup_start", 8), ("backup_end", 8)]
    after += [("end_required", 1), ("wal_level", 4), ("hints", 1), ("max_connections", 4), ("max_worker_processes", 4)]
    if version >= 1201:
        after.append(("max_wal_senders", 4))
    after += [("max_prepared_transactions", 4), ("max_locks_per_transaction", 4), ("track", 1)]
    after += [("align", 4), ("float", 8), ("block", 4), ("relation", 4), ("log_block", 4), ("segment", 4)]
    after += [("name", 4), ("keys", 4), ("toast", 4), ("large", 4)]
    if version < 1002:
        after.append(("integer_times", 1))
    if version < 1300:
        after.append(("float4", 1))
    after += [("float8", 1), ("checksums", 4)]
    after += [("nonce", 1)] * (32 if version >= 1002 else 0)
    if version >= 1800:
        after.append(("signed_char", 1))
    return [*before, *copy, *after, ("crc", 4)]


def _values(raw: bytes, version: int) -> dict[str, int] | None:
    """None when the checksum does not hold: damaged, or laid out in a way that we do not know."""
    if version < 942:
        return None
    found, offset = {}, 0
    for name, size in _fields(version):
        offset = (offset + size - 1) // size * size
        if name == "crc" and crc32c(raw[:offset]) != int.from_bytes(raw[offset : offset + 4], "little"):
            return None
        found[name] = int.from_bytes(raw[offset : offset + size], "little")
        offset += size
    return found


def _table() -> tuple[int, ...]:
    rows = []
    for start in range(256):
        value = start
        for _bit in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_TABLE = _table()


def crc32c(raw: bytes) -> int:
    """Castagnoli's."""
    value = 0xFFFFFFFF
    for byte in raw:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
