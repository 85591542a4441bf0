"""What all programs of a session say, in one file without a name: its end explains a failure, its length is bounded."""

import os
import tempfile

_MOST_BYTES = 8 << 20
_TAIL_BYTES = 4000


class Log:
    """Open for a block. Programs inherit the descriptor, and with it the one place where all of them write."""

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._file = tempfile.TemporaryFile()
        self._most = most

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        """For a program to write to."""
        return self._file.fileno()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return os.fstat(self.fileno()).st_size

    def tail(self, since: int = 0) -> bytes:
        """The last words, of what was said after the first `since` bytes."""
        return os.pread(self.fileno(), _TAIL_BYTES, max(since, self.size - _TAIL_BYTES, 0))

    def bound(self) -> None:
        """Begin again when it has grown too long: a server may complain without end. Called now and then."""
        if self.size > self._most:
            kept = self.tail()
            os.lseek(self.fileno(), 0, os.SEEK_SET)  # moves the place of all who share it
            os.ftruncate(self.fileno(), 0)
            os.write(self.fileno(), kept)
