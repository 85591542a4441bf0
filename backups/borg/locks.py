"""Who holds a repository's lock: read from borg's own lock files, without running borg.

`lock.exclusive/` is a directory with one file `HOST.PID-THREAD`; `lock.roster` is JSON of the same
triples for shared and exclusive holders. Borg takes over a dead lock of the same host by itself; we
read them to name a holder, and clear dead ones so that nothing of ours stays behind.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Holder:
    """One process that holds (or held) the lock. `alive` is None for another host: nobody can know."""

    host: str
    pid: int
    thread: int
    exclusive: bool
    alive: bool | None

    def __str__(self) -> str:
        return f"{self.host} (process {self.pid})"


@dataclass(frozen=True)
class LockState:
    """The holders at one moment."""

    holders: tuple[Holder, ...] = ()

    @property
    def alive(self) -> tuple[Holder, ...]:
        """Holders of this host that run."""
        return tuple(holder for holder in self.holders if holder.alive)

    @property
    def foreign(self) -> tuple[Holder, ...]:
        """Holders of other hosts."""
        return tuple(holder for holder in self.holders if holder.alive is None)

    @property
    def dead(self) -> tuple[Holder, ...]:
        """Holders of this host that are gone."""
        return tuple(holder for holder in self.holders if holder.alive is False)

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(str(holder) for holder in (*self.alive, *self.foreign, *self.dead)))


@lru_cache(maxsize=1)
def host_id() -> str:
    """This host as borg names it in its locks.

    The same value that borg computes by itself, except on a machine without a network card: there
    borg would take a new random number at each start and never recognise its own dead locks.
    """
    given = os.environ.get("BORG_HOST_ID")
    if given:
        return given
    node = uuid.getnode()
    if node >> 40 & 1:
        with suppress(OSError, ValueError):
            node = int(Path("/etc/machine-id").read_text()[:12], 16)
    return f"{_fqdn()}@{node}"


def _fqdn() -> str:
    name = socket.gethostname()
    with suppress(OSError):
        for found in socket.getaddrinfo(name, None, 0, socket.SOCK_DGRAM, 0, socket.AI_CANONNAME):
            if found[3]:
                return found[3]
    return name


def read(repository: Path) -> LockState:
    """The lock files of a repository as they are now; unreadable ones count as none."""
    found: dict[tuple[str, int, int, bool], Holder] = {}
    for host, pid, thread, exclusive, since in (*_exclusive(repository), *_roster(repository)):
        key = (host, pid, thread, exclusive)
        found.setdefault(key, Holder(*key, alive=_alive(host, pid, since)))
    return LockState(tuple(found.values()))


_Entry = tuple[str, int, int, bool, float]


def _exclusive(repository: Path) -> list[_Entry]:
    entries: list[_Entry] = []
    with suppress(OSError):
        for path in (repository / "lock.exclusive").iterdir():
            holder = _parse(path.name)
            if holder:
                entries.append((*holder, True, path.stat().st_mtime))
    return entries


def _parse(name: str) -> tuple[str, int, int] | None:
    try:
        host_pid, thread = name.rsplit("-", 1)
        host, pid = host_pid.rsplit(".", 1)
        return host, int(pid), int(thread, 16)
    except ValueError:
        return None


def _roster(repository: Path) -> list[_Entry]:
    path = repository / "lock.roster"
    try:
        data: Any = json.loads(path.read_bytes())
        since = path.stat().st_mtime
    except (OSError, ValueError):
        return []
    entries: list[_Entry] = []
    for kind in ("shared", "exclusive"):
        rows = data.get(kind, []) if isinstance(data, dict) else []
        for row in rows if isinstance(rows, list) else []:
            with suppress(ValueError, TypeError):
                host, pid, thread = row
                entries.append((str(host), int(pid), int(thread), kind == "exclusive", since))
    return entries


def _alive(host: str, pid: int, since: float) -> bool | None:
    """True, False, or None for another host. A process younger than its lock only has the number of the holder."""
    if host != host_id():
        return None
    started = started_at(pid)
    return started is not None and started <= since + 2


def started_at(pid: int) -> float | None:
    """When the process began (seconds since the epoch), or None when there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = next(
            int(line.split()[1]) for line in Path("/proc/stat").read_bytes().splitlines() if line.startswith(b"btime")
        )
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def clear_dead(repository: Path) -> tuple[Holder, ...]:
    """Remove the locks whose holder was of this host and is dead; all others stay. Says which."""
    gone: list[Holder] = []
    folder = repository / "lock.exclusive"
    for holder in read(repository).dead:
        gone.append(holder)
        if holder.exclusive:
            with suppress(OSError):
                (folder / f"{holder.host}.{holder.pid}-{holder.thread:x}").unlink()
    with suppress(OSError):
        folder.rmdir()
    for left in repository.glob("lock.exclusive.*.tmp"):
        _clear_attempt(left)
    if gone:
        _rewrite_roster(repository)
    return tuple(gone)


def _clear_attempt(folder: Path) -> None:
    """A killed borg may leave the directory that it was about to rename."""
    with suppress(OSError):
        for path in folder.iterdir():
            holder = _parse(path.name)
            if holder and _alive(holder[0], holder[1], path.stat().st_mtime) is False:
                path.unlink()
        folder.rmdir()


def _rewrite_roster(repository: Path) -> None:
    """Take the dead out of the roster, under borg's own exclusive lock so that no living one is lost.

    When somebody holds that lock, nothing is done: borg drops dead entries itself when it next looks.
    """
    lock, roster = repository / "lock.exclusive", repository / "lock.roster"
    if not roster.exists():
        return
    ours = f"{host_id()}.{os.getpid()}-0"
    attempt = Path(tempfile.mkdtemp(".tmp", "lock.exclusive.", repository))
    try:
        (attempt / ours).touch()
        os.rename(attempt, lock)
    except OSError:
        with suppress(OSError):
            (attempt / ours).unlink()
        with suppress(OSError):
            attempt.rmdir()
        return
    try:
        _drop_dead_entries(roster)
    finally:
        (lock / ours).unlink()
        lock.rmdir()


def _drop_dead_entries(roster: Path) -> None:
    since = roster.stat().st_mtime
    kept: dict[str, list[Any]] = {"shared": [], "exclusive": []}
    for host, pid, thread, exclusive, _ in _roster(roster.parent):
        if _alive(host, pid, since) is not False:
            kept["exclusive" if exclusive else "shared"].append([host, pid, thread])
    if any(kept.values()):
        roster.write_text(json.dumps({kind: rows for kind, rows in kept.items() if rows}))
        os.utime(roster, (since, since))
    else:
        roster.unlink()
