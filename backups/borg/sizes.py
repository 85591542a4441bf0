"""The size of a repository as it is on the disk, and what a compaction would give back; no borg, no lock."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DiskUse:
    """Measured. `freeable_bytes` is what deletions have released and no compaction has freed yet."""

    bytes_used: int
    files: int
    freeable_bytes: int | None


def measure(repository: Path) -> DiskUse:
    """Walk the directory (a few thousand segment files for a terabyte)."""
    used = files = 0
    for folder, _, names in os.walk(repository):
        for name in names:
            try:
                used += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue  # a compaction removed it meanwhile
            files += 1
    return DiskUse(used, files, freeable(repository))


def freeable(repository: Path) -> int | None:
    """Bytes in segments that nothing refers to any more, from borg's own hints; None when not known."""
    try:
        newest = max(repository.glob("hints.*"), key=lambda path: int(path.suffix[1:]))
        data = _Unpacker(newest.read_bytes()).value()
    except (OSError, ValueError, IndexError, struct.error, RecursionError):
        return None
    compact = data.get("compact") if isinstance(data, dict) else None
    if not isinstance(compact, dict):
        return None
    return sum(size for size in compact.values() if isinstance(size, int) and size > 0)


def is_unfinished(repository: Path) -> bool:
    """Lie segments there that no transaction has committed? Borg names its index after the last that one did."""
    committed = _numbers(repository, "index.*")
    if not committed:
        return False  # borg replays the segments then, and decides itself
    return any(number > max(committed) for number in _numbers(repository / "data", "*/*"))


def _numbers(folder: Path, pattern: str) -> list[int]:
    words = (path.name.removeprefix("index.") for path in folder.glob(pattern))
    return [int(word) for word in words if word.isdecimal()]


# first byte → (struct format of the number that follows)
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_STRINGS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_ARRAYS = {0xDC: ">H", 0xDD: ">I"}
_MAPS = {0xDE: ">H", 0xDF: ">I"}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class _Unpacker:
    """As much of MessagePack as borg's hints file uses. Strings become text where they can."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def _read(self, layout: str) -> Any:
        (number,) = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return number

    def value(self) -> Any:
        """The next value. Raises ValueError, IndexError, struct.error on what is not MessagePack."""
        kind = self._read(">B")
        if kind <= 0x7F:
            return kind
        if kind >= 0xE0:
            return kind - 256
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _NUMBERS:
            return self._read(_NUMBERS[kind])
        if kind <= 0x8F or kind in _MAPS:
            return self._map(kind & 0x0F if kind <= 0x8F else self._read(_MAPS[kind]))
        if kind <= 0x9F or kind in _ARRAYS:
            return tuple(self.value() for _ in range(kind & 0x0F if kind <= 0x9F else self._read(_ARRAYS[kind])))
        if kind <= 0xBF or kind in _STRINGS:
            return self._string(kind & 0x1F if kind <= 0xBF else self._read(_STRINGS[kind]))
        raise ValueError(f"byte {kind:#x}")

    def _map(self, length: int) -> dict[Any, Any]:
        return {self.value(): self.value() for _ in range(length)}

    def _string(self, length: int) -> str | bytes:
        raw = self.data[self.at : self.at + length]
        if len(raw) != length:
            raise ValueError("cut short")
        self.at += length
        try:
            return raw.decode("ascii")
        except UnicodeDecodeError:
            return raw
