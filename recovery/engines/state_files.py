"""The state files of Elasticsearch and OpenSearch (`node-3.st`): a checked envelope of Lucene around SMILE."""

from __future__ import annotations

import zlib

_MAGIC, _END = b"\x3f\xd7\x6c\x17", b"\xc0\x28\x93\xe8\0\0\0\0"
_FOOTER_BYTES = 16
_SMILE = 1
_OPENSEARCH = 0x08000000  # marks its versions


def content(raw: bytes) -> dict[str, str | int] | None:
    """The words and numbers of the outermost object; None when the envelope, its checksum or its form is another."""
    footer = raw[-_FOOTER_BYTES:]
    if not raw.startswith(_MAGIC + b"\x05state") or not footer.startswith(_END):
        return None
    if zlib.crc32(raw[:-8]) != int.from_bytes(footer[8:], "big"):
        return None
    version, form = int.from_bytes(raw[10:14], "big"), int.from_bytes(raw[14:18], "big")
    if version > 1 or form != _SMILE or raw[18:21] != b":)\n":
        return None
    try:
        return _Smile(raw[22:-_FOOTER_BYTES]).flat()
    except (IndexError, ValueError):
        return None


def version(number: int) -> tuple[str, bool]:
    """(`2.19.6`, is it OpenSearch) of a version as a number."""
    ours = bool(number & _OPENSEARCH)
    number = number ^ _OPENSEARCH if ours else number
    return f"{number // 1_000_000}.{number // 10_000 % 100}.{number // 100 % 100}", ours


class _Smile:
    """As much of the format as a flat object of short words and whole numbers needs. ValueError for the rest."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def _take(self, count: int = 1) -> bytes:
        piece = self._raw[self._at : self._at + count]
        if len(piece) < count:
            raise IndexError
        self._at += count
        return piece

    def flat(self) -> dict[str, str | int]:
        """Until the end of the object, or until something else than a word or a number: what came before counts."""
        found: dict[str, str | int] = {}
        if self._take() != b"\xfa":
            raise ValueError
        while (mark := self._take()[0]) != 0xFB:
            name = self._name(mark)
            try:
                value = self._value(self._take()[0])
            except ValueError:
                return found
            if value is not None:
                found[name] = value
        return found

    def _name(self, mark: int) -> str:
        if 0x80 <= mark <= 0xBF:
            return self._take((mark & 0x3F) + 1).decode("ascii")
        if 0xC0 <= mark <= 0xF7:
            return self._take((mark & 0x3F) + 2).decode()
        raise ValueError

    def _value(self, mark: int) -> str | int | None:
        if 0x40 <= mark <= 0x7F:  # plain letters: up to 32, then up to 64
            return self._take((mark & 0x3F) + 1).decode("ascii")
        if 0x80 <= mark <= 0xBF:
            return self._take((mark & 0x3F) + 2).decode()
        if 0xC0 <= mark <= 0xDF:
            return _signed(mark & 0x1F)
        if mark in (0x24, 0x25):
            return _signed(self._number())
        if mark in (0x20, 0x21, 0x22, 0x23):  # empty, null, false, true
            return None
        raise ValueError

    def _number(self) -> int:
        """Seven bits a byte; the last byte is marked and has six."""
        number = 0
        while not (byte := self._take()[0]) & 0x80:
            number = number << 7 | byte
        return number << 6 | byte & 0x3F


def _signed(number: int) -> int:
    return number >> 1 ^ -(number & 1)
