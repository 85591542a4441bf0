"""What a restore does to this machine, written down before it is done, so that it can be undone after any end.

A directory of root's alone for each restore, with one file of lines of JSON that is only ever added to and is on the
disk before the change is made. A line that a sudden end has torn is none.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from typing import Any, Dict, List, Optional

from .. import places, wire

_WAIT_SECONDS = 30.0
_LINES = "journal"
Table = Dict[str, Any]


class Record:
    """One step as the lines tell it: `undo` is what its kind needs to undo it."""

    def __init__(self, row: Table) -> None:
        self.number = int(row["number"])
        self.op = str(row["op"])
        self.undo: Table = dict(row["undo"])
        self.at = float(row["at"])
        self.facts: Optional[Table] = None
        self.undone = False

    @property
    def done(self) -> bool:
        """Was it carried out to its end?"""
        return self.facts is not None


class Journal:
    """The journal of the restore with this token; it need not exist."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.directory = os.path.join(places.DOCKER_RESTORE, token)
        self._descriptor = -1

    def make(self, socket: str = "") -> None:
        """Begin it, for the engine at this socket. Raises Refused when there is one."""
        os.makedirs(places.DOCKER_RESTORE, mode=0o700, exist_ok=True)
        try:
            os.mkdir(self.directory, 0o700)
        except FileExistsError:
            raise wire.Refused("exists", "{} exists already".format(self.directory)) from None
        _flush(places.DOCKER_RESTORE)
        if socket:
            self._write({"said": "socket", "number": 0, "socket": socket})

    @property
    def socket(self) -> str:
        """Of the engine that it is about; "" where nobody said."""
        return next((str(row["socket"]) for row in self._rows() if row["said"] == "socket"), "")

    @property
    def exists(self) -> bool:
        """Is there one?"""
        return os.path.isdir(self.directory)

    def __enter__(self) -> "Journal":
        """Nobody else works on it until the end of the block. Raises Refused "missing", or "exists" when one does."""
        try:
            self._descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise wire.Refused("missing", "there is no restore {} here".format(self.token)) from None
        deadline = time.monotonic() + _WAIT_SECONDS
        while not self._lock():
            if time.monotonic() > deadline:
                self.__exit__()
                raise wire.Refused("exists", "another step of this restore is still being carried out")
            time.sleep(0.1)
        return self

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        return True

    def __exit__(self, *_: Any) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def begin(self, number: int, op: str, undo: Table) -> None:
        """The undo of a step that is about to be carried out."""
        self._write({"said": "begin", "number": number, "op": op, "undo": undo})

    def note(self, number: int, more: Table) -> None:
        """What its undo knows only now."""
        self._write({"said": "note", "number": number, "undo": more})

    def done(self, number: int, facts: Table) -> None:
        """It was carried out."""
        self._write({"said": "done", "number": number, "facts": facts})

    def undone(self, number: int) -> None:
        """It was undone."""
        self._write({"said": "undone", "number": number})

    def _write(self, row: Table) -> None:
        line = json.dumps(dict(row, at=time.time())).encode()
        path = os.path.join(self.directory, _LINES)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            data = b"\n" + line + b"\n"
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _flush(self.directory)

    def records(self) -> List[Record]:
        """All steps in the order in which they were begun; one that was begun again stands at its last place."""
        found: Dict[int, Record] = {}
        for row in self._rows():
            number = row["number"]
            if row["said"] == "begin":
                found.pop(number, None)
                found[number] = Record(row)
            elif number not in found:
                continue
            elif row["said"] == "note":
                found[number].undo.update(row["undo"])
            elif row["said"] == "done":
                found[number].facts = row["facts"]
            elif row["said"] == "undone":
                found[number].undone = True
        return list(found.values())

    def record(self, number: int) -> Optional[Record]:
        """One step; None when it was never begun, or is undone."""
        return next((one for one in self.records() if one.number == number and not one.undone), None)

    def _rows(self) -> List[Table]:
        try:
            with open(os.path.join(self.directory, _LINES), "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return []
        rows = []
        for line in lines:
            try:
                row = json.loads(line.decode("ascii"))
            except ValueError:
                continue
            if isinstance(row, dict) and "said" in row and isinstance(row.get("number"), int):
                rows.append(row)
        return rows

    def remove(self) -> None:
        """Take it away; gone is fine."""
        shutil.rmtree(self.directory, ignore_errors=True)


def _flush(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
