"""An archive of Docker, read on the backup host: its manifest, or the names of all that it holds.

The manifest holds environments and passwords of drivers: it stays in the memory of the task that reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from backups.borg import argv as commands
from backups.borg import listing, results, runner, specs
from backups.borg.explain import Where
from backups.borg.outcome import judge_extract
from backups.errors import NothingRestored
from backups.models import Archive
from dockerops.compose_files import may_be_asked
from dockerops.errors import ManifestUnreadable
from dockerops.manifest import FORMAT
from dockerops.planning import MANIFEST_PATH
from phpborg.process import TooMuchOutput
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from recovery.errors import ArchiveGone
from recovery.services import opening

MOST_BYTES = 64 << 20
MANIFEST = MANIFEST_PATH.lstrip("/").encode()
# Of the paths that one command is given; the system takes two megabytes with the environment.
MOST_OF_PATHS = 1 << 20
_BESIDE_A_PATH = 12  # its prefix, its end and its address


@dataclass(frozen=True)
class Count:
    """Entries and bytes of files below a path of the archive."""

    entries: int = 0
    bytes: int = 0


class Reader:
    """Borg on a view of the repository: no lock is held and none is waited for."""

    def __init__(self, context: TaskContext, archive: Archive, view: Path) -> None:
        self.archive, self.view = archive, view
        self._stop = context.stop
        repository = archive.repository
        base, _lease = context.private_directory("docker")
        mode = specs.encryption(repository.encryption)
        self._access = runner.Access(settings.BORG_BINARY, mode.value, repository.passphrase.reveal(), base)
        self._where = Where(repository=repository.path, archive=archive.name)

    def manifest_bytes(self) -> bytes | None:
        """The manifest as it was written; None for an archive without one. It holds secrets.

        It is read once, and into memory: raises ManifestUnreadable for one that is larger than any engine's.
        """
        command = commands.extract(settings.BORG_BINARY, str(self.view), self.archive.name, [MANIFEST], to_stdout=True)
        access, where = self._access, self._where
        try:  # an archive says of its files what whoever made it likes
            ended, report = runner.run(command, access, where, stop=self._stop, timeout=None, most_bytes=MOST_BYTES)
        except TooMuchOutput as error:
            raise ManifestUnreadable(str(error)) from None
        problem = judge_extract(ended, report, asked=1, where=where).error
        if problem is not None and not isinstance(problem, NothingRestored):
            raise problem
        return ended.stdout if problem is None else None

    def check(self) -> None:
        """Raise what the reason asks for when somebody wants the end."""
        self._stop.check()

    def identity(self) -> str:
        """Borg's id of the archive that has the name now; "" for none."""
        command = commands.list_archives(settings.BORG_BINARY, str(self.view))
        ended, _report = runner.run(command, self._access, self._where, stop=self._stop, timeout=None, only_lists=True)
        facts = results.listing(ended.stdout).archives
        return next((fact.id for fact in facts if fact.name == self.archive.name), "")

    def entries(self, take: Callable[[listing.Entry], object], paths: tuple[bytes, ...] = ()) -> None:
        """Hand over every entry (of these paths), in the archive's order. Paths that it has not are no error.

        Of more paths than a command takes, every entry of the archive is handed over.
        """
        if sum(len(path) + _BESIDE_A_PATH for path in paths) > MOST_OF_PATHS:
            paths = ()
        command = commands.list_files(
            settings.BORG_BINARY, str(self.view), self.archive.name, paths=paths, format=listing.FORMAT
        )

        def hear(line: bytes) -> None:
            take(listing.entry(line))

        try:
            runner.run(
                command,
                self._access,
                self._where,
                stop=self._stop,
                timeout=None,
                only_lists=True,
                on_stdout=hear,
            )
        except NothingRestored:
            return

    def texts(self, paths: Iterable[str], most_bytes: int, most_in_all: int) -> dict[str, bytes | None]:
        """Of each of these paths that the archive has: its bytes; None for what is no plain file, or is too large."""
        wanted = {os.fsencode(path).strip(b"/"): path for path in paths if may_be_asked(path)}
        found: dict[str, bytes | None] = {}
        sizes: dict[bytes, int] = {}  # in the archive's order, in which borg gives them out

        def see(entry: listing.Entry) -> None:
            if (path := entry.path.strip(b"/")) in wanted:
                found[wanted[path]] = None
                if entry.kind == "-" and entry.size <= most_bytes and sum(sizes.values()) + entry.size <= most_in_all:
                    sizes[path] = entry.size

        if wanted:
            self.entries(see, tuple(wanted))
        if not sizes:
            return found
        try:
            content = self._content(list(sizes))
        except TooMuchOutput:  # more than the archive's own list says: it is not believed
            return found
        if len(content) == sum(sizes.values()):
            at = 0
            for path, size in sizes.items():
                found[wanted[path]] = content[at : at + size]
                at += size
        return found

    def _content(self, paths: list[bytes]) -> bytes:
        """Of plain files, one after the other."""
        command = commands.extract(settings.BORG_BINARY, str(self.view), self.archive.name, paths, to_stdout=True)
        access, where = self._access, self._where
        ended, _report = runner.run(command, access, where, stop=self._stop, timeout=None, most_bytes=MOST_BYTES)
        return ended.stdout

    def count(self, paths: list[bytes]) -> Count:
        """What the archive holds of these paths."""
        entries = size = 0

        def add(entry: listing.Entry) -> None:
            nonlocal entries, size
            entries += 1
            size += entry.size

        self.entries(add, tuple(paths))
        return Count(entries, size)

    def count_each(self, paths: Iterable[bytes]) -> dict[bytes, Count]:
        """The same for each of these paths, by one list of the archive."""
        found = {path.strip(b"/"): [0, 0] for path in paths}

        def add(entry: listing.Entry) -> None:
            above = entry.path.strip(b"/")
            while above:
                if above in found:
                    found[above][0] += 1
                    found[above][1] += entry.size
                above = above.rpartition(b"/")[0]

        if found:
            self.entries(add, tuple(found))
        return {path: Count(entries, size) for path, (entries, size) in found.items()}


def read_manifest(written: bytes | None) -> dict[str, Any]:
    """A manifest's table; {} for an archive without one. Raises ManifestUnreadable."""
    if written is None:
        return {}
    try:
        read = json.loads(written)
    except ValueError as error:
        raise ManifestUnreadable(str(error)) from None
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        raise ManifestUnreadable("format")
    return read


@contextmanager
def reading(context: TaskContext, archive: Archive) -> Iterator[Reader]:
    """A view for the length of a block. Raises ArchiveGone."""
    if archive.missing_at or archive.trashed_at or archive.repository.trashed_at:
        raise ArchiveGone(name=archive.name)
    context.phase("mounting")
    view = opening.make_view(context, archive, f"docker-{new_token()}")
    yield Reader(context, archive, view)
