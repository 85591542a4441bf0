"""One repository on this host's disk: everything that we do to it ourselves.

Backups from servers reach it through `borg serve`; this class makes it, proves archives, lists,
deletes, compacts, checks. Every method first makes sure that it is still the repository that was
pinned, before a passphrase is given to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from backups import errors as e
from backups.borg import argv, locks, results, sizes, specs
from backups.borg.config import read_id
from backups.borg.events import LogMessage
from backups.borg.explain import Where
from backups.borg.outcome import is_warning
from backups.borg.report import Report
from backups.borg.results import ArchiveFact, ArchiveInfo, CacheStats
from backups.borg.runner import SHORT_SECONDS, Access, OnEvent, run
from phpborg import process
from phpborg.errors import InvalidInput
from phpborg.mounts import remove_tree

_BATCH = 100


@dataclass(frozen=True)
class Identity:
    """What a repository is, however it is reached."""

    id: str
    encryption: str


@dataclass(frozen=True)
class Deleted:
    """What a deletion did: gone now, and not there to begin with."""

    names: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Compacted:
    """Measured on the disk before and after."""

    before: sizes.DiskUse
    after: sizes.DiskUse

    @property
    def freed_bytes(self) -> int:
        """Never negative: another writer may have added data meanwhile."""
        return max(0, self.before.bytes_used - self.after.bytes_used)


@dataclass(frozen=True)
class Checked:
    """The result of a check; `problems` are borg's words, at most fifty."""

    ok: bool
    problems: tuple[str, ...]


class BorgRepository:
    """See the module. `repository_id` empty means: not pinned yet (an import, a new one)."""

    def __init__(
        self,
        path: str,
        *,
        encryption: str,
        passphrase: str,
        base_dir: Path,
        repository_id: str = "",
        binary: str = "",
        relocated_ok: bool = False,
    ) -> None:
        self.path = specs.repository_path(path)
        self.mode = specs.encryption(encryption)
        self.repository_id = repository_id
        self.binary = binary or settings.BORG_BINARY
        self._access = Access(self.binary, self.mode.value, passphrase, base_dir, relocated_ok)
        self._where = Where(repository=self.path)

    def __repr__(self) -> str:
        return f"BorgRepository({self.path!r})"

    def init(self) -> str:
        """Make it and answer its id. Nothing half-made: what we created goes away again on failure."""
        specs.passphrase(self._access.passphrase, self.mode)
        place = Path(self.path)
        existed = place.exists()
        try:
            if existed and (not place.is_dir() or any(place.iterdir())):
                raise e.RepositoryExists(path=self.path)
            if not place.parent.is_dir():
                raise e.RepositoryMissing(path=str(place.parent))
        except PermissionError as error:
            raise e.RepositoryNotReadable(str(error), path=self.path) from error
        try:
            run(argv.init(self.binary, self.path, encryption=self.mode), self._access, self._where)
            self.repository_id = self.identity().id
        except BaseException:
            _undo_init(place, keep=existed)
            raise
        return self.repository_id

    def identity(self, *, pinned: bool = True) -> Identity:
        """Open it with the passphrase and answer what it is; `pinned` compares with what was expected."""
        listing = self._list(last=1, pinned=pinned)
        return Identity(listing.repository_id, listing.encryption)

    def list_archives(self, *, include_checkpoints: bool = False) -> tuple[ArchiveFact, ...]:
        """All archives, oldest first, from one call."""
        facts = self._list(checkpoints=include_checkpoints).archives
        return facts if include_checkpoints else tuple(fact for fact in facts if not fact.is_checkpoint)

    def proof(self) -> tuple[ArchiveFact, ...]:
        """What is there at this moment, oldest first: the answer by which a run is judged.

        Reads the manifest only, so it neither needs nor builds the chunk cache. A lock that stays
        busy does not hide the truth: then it is read without one.
        """
        try:
            facts = self._list(lock_wait=5).archives
        except e.LockBusy:
            facts = self._list(bypass_lock=True).archives
        return tuple(fact for fact in facts if not fact.is_checkpoint)

    def info(self, name: str, *, timeout: float | None = None) -> ArchiveInfo:
        """Sizes and origin of one archive. The first call on a large repository builds the chunk cache."""
        ended, _ = self._run(argv.info(self.binary, self.path, name), archive=name, timeout=timeout)
        return results.archive_info(ended.stdout)

    def cache_stats(self, *, timeout: float | None = None) -> CacheStats:
        """Sizes over all archives; the first call on a large repository builds the chunk cache."""
        ended, _ = self._run(argv.info(self.binary, self.path), timeout=timeout)
        return results.repository_info(ended.stdout)[2]

    def sizes(self) -> sizes.DiskUse:
        """Measured on the disk, without borg and without a lock."""
        read_id(Path(self.path))
        return sizes.measure(Path(self.path))

    def delete(
        self, names: Iterable[str], *, on_event: OnEvent | None = None, stop: process.Stop | None = None
    ) -> Deleted:
        """Remove archives by exact name, and look afterwards that they are gone. Space is freed by `compact`."""
        wanted = tuple(dict.fromkeys(specs.archive_name(name) for name in names))
        present = {fact.name for fact in self.list_archives(include_checkpoints=True)}
        there = [name for name in wanted if name in present]
        for batch in _batches(there):
            self._run(argv.delete(self.binary, self.path, batch), timeout=None, on_event=on_event, stop=stop)
        left = {fact.name for fact in self.list_archives(include_checkpoints=True)} if there else set()
        remaining = [name for name in there if name in left]
        if remaining:
            raise e.BorgError("\n".join(remaining[:20]))
        return Deleted(tuple(there), tuple(name for name in wanted if name not in present))

    def compact(
        self, threshold: int = 10, *, on_event: OnEvent | None = None, stop: process.Stop | None = None
    ) -> Compacted:
        """Free what deletions released; `threshold` is the share of garbage from which a segment is rewritten."""
        before = self.sizes()
        self._run(argv.compact(self.binary, self.path, threshold=threshold), timeout=None, on_event=on_event, stop=stop)
        return Compacted(before, self.sizes())

    def drop_unfinished(self, *, stop: process.Stop | None = None) -> Compacted:
        """Give back the space of a transaction that never ended.

        When `borg serve` meets a full disk, what it had written stays, and the next run cannot even
        start. Any write of borg's cleans it up first, this one only when there is something: each adds
        small segments. It compacts nothing (100 %): a server that marked archives as deleted must not
        be able to have them removed by telling of a full disk.
        """
        if not sizes.is_unfinished(Path(self.path)):
            return Compacted(use := self.sizes(), use)
        return self.compact(100, stop=stop)

    def check(
        self,
        mode: argv.CheckMode = "repository",
        *,
        on_event: OnEvent | None = None,
        stop: process.Stop | None = None,
        max_duration: int = 0,
    ) -> Checked:
        """Verify without repairing. Damage is an answer (`ok` False), not an exception."""
        command = argv.check(self.binary, self.path, mode, max_duration=max_duration)
        try:
            ended, report = self._run(command, timeout=None, on_event=on_event, stop=stop)
        except e.RepositoryDamaged as error:
            return Checked(False, (error.detail,))
        return Checked(ended.code == 0, _problems(report) if is_warning(ended.code) else ())

    def export_key(self, format: argv.KeyFormat = "text") -> str:
        """The key, still protected by the passphrase, to be kept elsewhere."""
        if not self.mode.has_key:
            raise InvalidInput(field="encryption", problem=str(self.mode))
        ended, _ = self._run(argv.key_export(self.binary, self.path, format=format))
        return ended.stdout.decode("utf-8")

    def break_lock(self) -> locks.LockState:
        """Remove the locks and answer who held them. Raises LockBusy when a holder of this host is alive.

        Whether a holder on another host lives cannot be known here: ask a person first, and refuse
        while a task of ours uses the repository.
        """
        state = self.lock_state()
        if state.alive:
            raise self._busy(e.LockBusy(path=self.path), state)
        self._run(argv.break_lock(self.binary, self.path))
        return state

    def lock_state(self) -> locks.LockState:
        """Who holds the lock now, from borg's lock files."""
        return locks.read(Path(self.path))

    def extract(
        self,
        archive: str,
        paths: Sequence[bytes] | None,
        target: Path,
        *,
        strip_components: int = 0,
        numeric_ids: bool = True,
        on_event: OnEvent | None = None,
        stop: process.Stop | None = None,
    ) -> tuple[process.Exit, Report]:
        """Restore on this host into `target` (made when missing); judge with `outcome.judge_extract`."""
        target.mkdir(parents=True, exist_ok=True)
        command = argv.extract(
            self.binary, self.path, archive, paths, strip_components=strip_components, numeric_ids=numeric_ids
        )
        return self._run(command, archive=archive, timeout=None, on_event=on_event, stop=stop, cwd=str(target))

    def _list(
        self,
        *,
        checkpoints: bool = False,
        last: int | None = None,
        lock_wait: int = argv.LOCK_WAIT_SECONDS,
        bypass_lock: bool = False,
        pinned: bool = True,
    ) -> results.Listing:
        command = argv.list_archives(
            self.binary,
            self.path,
            checkpoints=checkpoints,
            last=last,
            lock_wait=lock_wait,
            bypass_lock=bypass_lock,
        )
        ended, _ = self._run(command, only_lists=True)
        listing = results.listing(ended.stdout)
        if pinned and listing.encryption != self.mode:
            raise e.EncryptionChanged(expected=self.mode.value, found=listing.encryption)
        self._same(listing.repository_id)
        return listing

    def _same(self, found: str) -> None:
        if self.repository_id and found != self.repository_id:
            raise e.RepositoryIdentityChanged(expected=self.repository_id, found=found)

    def _run(
        self,
        command: argv.Argv,
        *,
        archive: str = "",
        timeout: float | None = SHORT_SECONDS,
        on_event: OnEvent | None = None,
        stop: process.Stop | None = None,
        cwd: str | None = None,
        only_lists: bool = False,
    ) -> tuple[process.Exit, Report]:
        self._same(read_id(Path(self.path)))
        where = Where(repository=self.path, archive=archive)
        try:
            return run(
                command,
                self._access,
                where,
                timeout=timeout,
                on_event=on_event,
                stop=stop,
                cwd=cwd,
                only_lists=only_lists,
            )
        except e.LockBusy as error:
            raise self._busy(error, self.lock_state()) from error

    def _busy(self, error: e.LockBusy, state: locks.LockState) -> e.LockBusy:
        return e.LockBusy(error.detail, holder=str(state) or "?", path=self.path)


def _undo_init(place: Path, *, keep: bool) -> None:
    """Remove what a failed init left; a directory that was there (perhaps a mount point) stays."""
    if not keep:
        remove_tree(place)
        return
    for child in place.iterdir():
        if child.is_dir() and not child.is_symlink():
            remove_tree(child)
        else:
            child.unlink()


def _batches(names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """Groups that one command can take: an awkward name stands alone, an argv stays small."""
    alone = [name for name in names if argv.needs_own_command(name)]
    others = [name for name in names if not argv.needs_own_command(name)]
    for name in alone:
        yield (name,)
    for start in range(0, len(others), _BATCH):
        yield tuple(others[start : start + _BATCH])


def _problems(report: Report) -> tuple[str, ...]:
    said: list[LogMessage] = [*report.errors, *report.warnings]
    return tuple(dict.fromkeys(event.message.strip() for event in said if event.message.strip()))[:50]
