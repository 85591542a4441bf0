"""What passes through, counted by each thread for itself and added up when asked."""

from __future__ import annotations


class Counters:
    """Requests, bytes and blocks of one thread since the start."""

    __slots__ = ("blocks_copied", "bytes_read", "bytes_written", "lower_bytes", "reads", "writes")

    def __init__(self) -> None:
        self.reads = self.writes = self.bytes_read = self.bytes_written = self.lower_bytes = self.blocks_copied = 0

    def add(self, other: Counters) -> None:
        """Take another's figures in."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}
