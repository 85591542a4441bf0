"""Which files a sample takes: pure, in constant memory, and the same again from its seed.

The files are put into an order that the seed alone decides (a hash of seed and path), and the first ones are taken
until their bytes reach the share that was asked for.
"""

from __future__ import annotations

import hashlib

_BUCKETS = 1 << 16


class Sample:
    """First every file is added, then each is asked for."""

    def __init__(self, seed: str, percent: int) -> None:
        self._key = seed.encode()[:64]
        self._percent = percent
        self._bytes = [0] * _BUCKETS
        self._files = [0] * _BUCKETS
        self._last: int | None = None

    def add(self, path: bytes, size: int) -> None:
        """One file of the archive."""
        bucket = self._bucket(path)
        self._bytes[bucket] += size
        self._files[bucket] += 1

    def takes(self, path: bytes) -> bool:
        """Is it one of the sample? Not asked before all were added."""
        if self._last is None:
            self._last = self._find_last()
        return self._bucket(path) <= self._last

    @property
    def wanted_bytes(self) -> int:
        """What the sample holds at the least."""
        return -(-sum(self._bytes) * self._percent // 100)  # rounded up

    @property
    def chosen_bytes(self) -> int:
        """What it really holds: whole files."""
        return sum(self._bytes[: self._end()])

    def _end(self) -> int:
        if self._last is None:
            self._last = self._find_last()
        return self._last + 1

    def _find_last(self) -> int:
        """One file at the least, also where none has a byte."""
        taken = files = 0
        wanted = self.wanted_bytes
        for bucket in range(_BUCKETS):
            taken += self._bytes[bucket]
            files += self._files[bucket]
            if files and taken >= wanted:
                return bucket
        return _BUCKETS - 1

    def _bucket(self, path: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(path, digest_size=2, key=self._key).digest(), "big")
