r"""A dump's own commands to psql (`\!`, `\copy … program`, `\o |`) are not carried out: it may be an attacker's.

psql is told before the dump, with a key that the dump cannot know, that backslash commands are forbidden from there on
(`\restrict`, in psql since 13.22, 14.19, 15.14, 16.10, 17.6). New pg_dumps say the same in their dumps with a key of
their own: those two lines become comments of the same length.
"""

import re
import secrets
from typing import Callable

from .base import Failed

# Before the first statement there are comments and empty lines alone.
_OWN = re.compile(rb"(?:(?:--[^\n]*)?\n)*\\restrict ([A-Za-z0-9]+)\n")
_HEAD_BYTES = 4096


class Restricted:
    """The bytes of one dump on their way into psql."""

    def __init__(self, ask: Callable[[str], str]) -> None:
        """Looks whether psql knows it. Raises Failed when it does not, so that nothing is loaded without it."""
        key = secrets.token_hex(16)
        try:
            known = ask("\\restrict {0}\nSELECT 1;\n\\unrestrict {0}\n".format(key)) == "1"
        except Failed as failure:
            if "\\restrict" not in str(failure):
                raise
            known = False
        if not known:
            raise Failed(
                "psql is too old to be kept from commands that a dump may hold (\\restrict): update the PostgreSQL "
                "client to 13.22, 14.19, 15.14, 16.10, 17.6 or newer, which also knows older servers"
            )
        self._first = "\\restrict {}\n".format(key).encode()
        self._head = True
        self._end = b""
        self._held = b""

    def passed(self, chunk: bytes, last: bool) -> bytes:
        """What psql is to read of it now; a little is kept back until the next piece."""
        data = self._held + chunk
        self._held = b""
        if self._head:
            if len(data) < _HEAD_BYTES and not last:
                self._held = data
                return b""
            data = self._begin(data)
        if not self._end:
            return data
        data = data.replace(self._end, b"\n--" + self._end[3:])
        # The line may have begun: what could be its beginning waits for the rest.
        keep = 0 if last else min(len(data), len(self._end) - 1)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def _begin(self, data: bytes) -> bytes:
        self._head = False
        own = _OWN.match(data)
        if own is not None:
            self._end = b"\n\\unrestrict " + own.group(1) + b"\n"
            at = own.start(1) - len(b"\\restrict ")
            data = data[:at] + b"--" + data[at + 2 :]
        return self._first + data
