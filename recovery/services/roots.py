"""The outermost entries of an archive: what a restore puts in place.

Folders above them are not in the archive: borg makes them up, for root alone. They say nothing about those on a server.
"""

from __future__ import annotations

import posixpath

from recovery import paths


class Roots:
    """Takes paths in any order; bytes, relative."""

    def __init__(self) -> None:
        self._found: set[bytes] = set()
        self._last = b""

    def add(self, path: bytes) -> bool:
        """One more entry of the archive; False for one that leads upwards: no walk over files yields it."""
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            return False
        if not parts or (self._last and path.startswith(self._last)):
            return True
        above = path = b"/".join(parts)
        while above:
            if above in self._found:
                self._last = above + b"/"
                return True
            above = posixpath.dirname(above)
        self._found.add(path)
        return True

    def outermost(self) -> list[bytes]:
        """Those that lie in no other one, sorted."""
        return paths.without_nested(list(self._found))
