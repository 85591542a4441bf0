"""What borg itself can say of an archive: its listing to the end, and its contents, all of them or a sample.

Everything is read from a view of the repository, without a lock.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from backups import errors as borg_errors
from backups.borg import argv, listing, runner, specs
from backups.borg.events import Event, ProgressPercent
from backups.borg.explain import Where
from backups.borg.listing import Entry
from backups.borg.outcome import is_warning
from backups.models import Archive
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.progress import Meter
from recovery import tree
from recovery.paths import shown
from recovery.proof_errors import ContentsUnreadable, ListingDiffers
from recovery.services.proof_sample import Sample

_CHUNK = 1 << 20
MOST_ROWS = 200


@dataclass
class Contents:
    """What the listing said."""

    sample: Sample
    entries: int = 0
    files: int = 0
    links: int = 0
    total_bytes: int = 0

    def add(self, line: bytes) -> None:
        """One line of the listing."""
        self.entries += 1
        entry = listing.entry_or_link(line)
        if entry is None:
            self.links += line.startswith(b"-")
        elif entry.kind == "-":
            self.files += 1
            self.total_bytes += entry.size
            self.sample.add(entry.path, entry.size)


@dataclass
class Reading:
    """What was read of the files of a sample, and what could not be."""

    files: int = 0
    total_bytes: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)


class Reader:
    """Borg over the view of one archive, for one task."""

    def __init__(self, context: TaskContext, archive: Archive, view: Path) -> None:
        self._context = context
        self._archive = archive
        self._view = view
        repository = archive.repository
        self._mode = specs.encryption(repository.encryption)
        self._base, _lease = context.private_directory("proof")

    def read_list(self, sample: Sample) -> Contents:
        """The list to its end, compared with the record. Raises ListingDiffers, ContentsUnreadable."""
        contents = Contents(sample)
        with _readable():
            self._run(self._list_argv(), on_stdout=contents.add)
        recorded = self._archive.files
        # Borg counts further names of a file in some of its ways to make an archive, and not in others.
        if recorded is not None and recorded not in (contents.files, contents.files + contents.links):
            raise ListingDiffers(files=contents.files, recorded=recorded)
        total = self._archive.original_bytes
        if total is not None and contents.total_bytes > total:
            raise ListingDiffers(f"{contents.total_bytes} B > {total} B", files=contents.files, recorded=recorded or 0)
        return contents

    def everything(self, contents: Contents) -> None:
        """Every piece of data decrypted and compared with its checksum. Raises ContentsUnreadable."""
        meter = Meter(contents.total_bytes)

        def hear(event: Event) -> None:
            if isinstance(event, ProgressPercent) and event.current is not None:
                done = event.current
                self._context.progress(**{**meter.measure(done), "original_bytes": done})

        command = argv.extract(settings.BORG_BINARY, str(self._view), self._archive.name, None, dry_run=True)
        with _readable():
            ended, report = self._run(command, on_event=hear, cwd=str(self._base))
        if is_warning(ended.code):
            said = [event.message for event in [*report.errors, *report.warnings]]
            raise ContentsUnreadable("\n".join(dict.fromkeys(said))[:4000])
        self._context.progress(**{**meter.measure(contents.total_bytes), "original_bytes": contents.total_bytes})

    def sampled(self, contents: Contents, mountpoint: Path) -> Reading:
        """The files of the sample, read through the mount and hashed. Raises ContentsUnreadable."""
        reading = Reading()
        meter = Meter(contents.sample.chosen_bytes)

        def take(line: bytes) -> None:
            entry = listing.entry_or_link(line)
            if entry is None or entry.kind != "-" or not contents.sample.takes(entry.path):
                return
            self._context.stop.check()
            self._hash(reading, mountpoint, entry)
            self._context.progress(
                **{**meter.measure(reading.total_bytes), "original_bytes": reading.total_bytes, "files": reading.files}
            )

        with _readable():
            self._run(self._list_argv(), on_stdout=take)
        if reading.problems:
            raise ContentsUnreadable("\n".join(reading.problems)[:4000], count=len(reading.problems))
        return reading

    def _hash(self, reading: Reading, mountpoint: Path, entry: Entry) -> None:
        seen, size = hashlib.sha256(), 0
        try:
            with os.fdopen(tree.open_file(mountpoint, entry.path), "rb", buffering=0) as file:
                while chunk := file.read(_CHUNK):
                    seen.update(chunk)
                    size += len(chunk)
                    self._context.stop.check()
        except (OSError, PhpBorgError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            reading.problems.append(f"{shown(entry.path)}: {words}")
            return
        if size != entry.size:
            reading.problems.append(f"{shown(entry.path)}: {size} B ≠ {entry.size} B")
            return
        reading.files += 1
        reading.total_bytes += size
        reading.digest.update(entry.path + b"\0" + seen.digest())
        if len(reading.rows) < MOST_ROWS:
            reading.rows.append({"path": shown(entry.path), "bytes": size, "sha256": seen.hexdigest()})

    def _list_argv(self) -> argv.Argv:
        return argv.list_files(
            settings.BORG_BINARY, str(self._view), self._archive.name, format=listing.FORMAT_WITH_LINKS
        )

    def _run(
        self,
        command: argv.Argv,
        *,
        on_stdout: Callable[[bytes], None] | None = None,
        on_event: runner.OnEvent | None = None,
        cwd: str | None = None,
    ) -> Any:
        passphrase = self._archive.repository.passphrase.reveal()
        access = runner.Access(settings.BORG_BINARY, self._mode.value, passphrase, self._base)
        return runner.run(
            command,
            access,
            Where(repository=str(self._view), archive=self._archive.name),
            stop=self._context.stop,
            timeout=None,
            on_stdout=on_stdout,
            on_event=on_event,
            cwd=cwd,
        )


@contextmanager
def _readable() -> Iterator[None]:
    """What borg says of damaged data, and what it has no other name for, is what a proof is there to find."""
    try:
        yield
    except borg_errors.RepositoryDamaged as error:
        raise ContentsUnreadable(error.detail) from error
    except borg_errors.BorgError as error:
        if type(error) is not borg_errors.BorgError:
            raise
        raise ContentsUnreadable(error.detail) from error
