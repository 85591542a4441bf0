"""Does InnoDB's log hold anything that a start must apply? Read for MariaDB 10.8 and newer, whose log is one file."""

from __future__ import annotations

from recovery.engines.place import Place

_FORMAT = b"Phys"
_CHECKPOINTS = (4096, 8192)
_START = 12288
_MARK = b"\xfa\0\0"  # a record of a checkpoint: its place in the log follows, a last byte, and a checksum
_MARK_BYTES = 16
_NAME = b"ib_logfile0"


def is_applied(place: Place) -> bool | None:
    """True when nothing was logged after the last checkpoint. None for other formats, and where old bytes may lie."""
    head, entry = place.read(_NAME, _START), place.entry(_NAME)
    if not head or not head.startswith(_FORMAT) or len(head) < _START or entry is None or not entry.size_bytes:
        return None
    first, room = _number(head, 8), entry.size_bytes - _START
    last, end = max((_number(head, at), _number(head, at + 8)) for at in _CHECKPOINTS)
    if room <= 0 or last < first:
        return None
    if end != last:
        return False
    record = place.read(_NAME, _MARK_BYTES + 1, _START + (last - first) % room) or b""
    if len(record) <= _MARK_BYTES or record[:3] != _MARK or _number(record, 3) != last:
        return None
    if record[_MARK_BYTES] <= 1:  # no record begins like this
        return True
    # Once the log has begun anew in its own file, what follows may be of the round before.
    return False if last - first < room else None


def _number(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 8], "big")
