"""Runs borg on this host: passphrase by descriptor, empty standard input, typed errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backups import errors as e
from backups.borg import argv, locks, specs
from backups.borg.events import Event
from backups.borg.explain import Where
from backups.borg.outcome import require_ok
from backups.borg.report import Report
from phpborg import process

OnEvent = Callable[[Event], object]

SHORT_SECONDS = 300.0


@dataclass(frozen=True)
class Access:
    """How borg is let into one repository on this host."""

    binary: str
    encryption: str
    passphrase: str
    base_dir: Path
    relocated_ok: bool = False

    def environment(self, stack: ExitStack) -> tuple[dict[str, str], tuple[int, ...]]:
        """The variables and the descriptors to pass on; the secret pipe is closed with `stack`."""
        descriptors: tuple[int, ...] = ()
        if specs.encryption(self.encryption).has_key:
            descriptors = (process.secret_pipe(self.passphrase, stack),)
        self.base_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        values = argv.env(
            base_dir=self.base_dir,
            encryption=self.encryption,
            passphrase_fd=descriptors[0] if descriptors else None,
            relocated_ok=self.relocated_ok,
            host_id=locks.host_id(),
        )
        return values, descriptors


def run(
    command: argv.Argv,
    access: Access,
    where: Where,
    *,
    stop: process.Stop | None = None,
    timeout: float | None = SHORT_SECONDS,
    on_event: OnEvent | None = None,
    on_stdout: process.OnLine | None = None,
    cwd: str | bytes | None = None,
    only_lists: bool = False,
    most_bytes: int | None = None,
) -> tuple[process.Exit, Report]:
    """Run one command to its end. Raises the error that explains it unless borg ended with 0 or a warning.

    Its output is in `Exit.stdout`, unless `on_stdout` takes it line by line: a list of millions fits in no memory.
    Raises process.TooMuchOutput beyond `most_bytes` of it.
    """
    report = Report()

    def take(line: bytes) -> None:
        for event in report.stderr(line):
            if on_event:
                on_event(event)

    with ExitStack() as stack:
        values, descriptors = access.environment(stack)
        if only_lists:
            # Borg tests its chunker and ciphers at each start, a quarter of what a list costs. What writes
            # needs that; a list with a broken cipher could not open the manifest at all.
            values["BORG_SELFTEST"] = "disabled"
        try:
            ended = process.stream(
                command,
                env=values,
                on_stdout=on_stdout,
                on_stderr=take,
                stop=stop,
                timeout=timeout,
                pass_fds=descriptors,
                cwd=cwd,
                most_bytes=most_bytes,
            )
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            if cwd is not None and not Path(_text(cwd)).is_dir():
                raise
            raise e.BorgMissing(str(error), host=where.host or "localhost") from error
    if ended.stopped and stop is not None and stop.is_set():
        raise e.Interrupted(report.words())
    require_ok(ended, report, where, timed_out=ended.stopped, seconds=int(timeout or 0))
    return ended, report


def _text(path: str | bytes) -> str:
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, order=True)
class Version:
    """A version of borg, comparable."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def is_supported(self) -> bool:
        """We speak 1.2 and 1.4."""
        return (self.major, self.minor) in ((1, 2), (1, 4))


def parse_version(text: str, host: str = "localhost") -> Version:
    """`borg 1.2.4` → Version. Raises BorgMissing for any other text."""
    found = re.search(r"^borg\S* (\d+)\.(\d+)(?:\.(\d+))?", text, re.MULTILINE)
    if not found:
        raise e.BorgMissing(text[:500], host=host)
    return Version(int(found[1]), int(found[2]), int(found[3] or 0))


@lru_cache(maxsize=8)
def _version(binary: str, stamp: float) -> Version:
    ended = process.stream(argv.version(binary), timeout=30)
    return parse_version((ended.stdout.decode("utf-8", "replace") + ended.stderr_tail) or str(ended.code))


def borg_version(binary: str) -> Version:
    """The version of the borg on this host. Raises BorgMissing, BorgTooOld."""
    try:
        version = _version(binary, Path(binary).stat().st_mtime)
    except OSError as error:
        raise e.BorgMissing(str(error), host="localhost") from error
    if not version.is_supported:
        raise e.BorgTooOld(host="localhost", version=str(version))
    return version
