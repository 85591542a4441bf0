"""Pure builders of borg's command lines and environment: tuples, no shell, no passphrase.

One rule for all: options first, each value glued with `=` so that it can never be read as an option,
then `--`, then the location, then names or paths. Braces in a location are doubled, because borg
expands placeholders in it. Every builder works with borg 1.2 and 1.4.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backups.borg import specs
from backups.borg.names import escape_placeholders

Argv = tuple[str | bytes, ...]
CheckMode = Literal["repository", "archives", "data"]
KeyFormat = Literal["text", "paper"]

LOCK_WAIT_SECONDS = 60
# Borg's own word per entry costs time on millions of files: only changed and unreadable ones are told.
_TROUBLE = "CE"


@dataclass(frozen=True)
class CreateOptions:
    """What one archive is made of. Sources are absolute paths as bytes; excludes are borg patterns."""

    sources: tuple[bytes, ...] = ()
    excludes: tuple[str, ...] = ()
    one_file_system: bool = False
    compression: str = "lz4"
    upload_rate_kib: int | None = None
    checkpoint_seconds: int = 900
    files_cache: str = "ctime,size,inode"
    list_files: bool = False
    comment: str = ""
    exclude_caches: bool = False


def _target(repository: str, archive: str | None = None) -> str:
    place = escape_placeholders(specs.location(repository))
    return place if archive is None else f"{place}::{escape_placeholders(specs.archive_name(archive))}"


def _whole(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: {value!r}")
    return value


def _common(lock_wait: int, bypass_lock: bool = False) -> Argv:
    if bypass_lock:
        return ("--log-json", "--bypass-lock")
    return ("--log-json", f"--lock-wait={_whole('lock_wait', lock_wait, 0)}")


def version(binary: str) -> Argv:
    """Ask for the version."""
    return (binary, "--version")


def init(binary: str, repository: str, *, encryption: str) -> Argv:
    """Make a repository; its parent directory must exist."""
    return (binary, "init", "--log-json", f"--encryption={specs.encryption(encryption)}", "--", _target(repository))


def create(
    binary: str, repository: str, archive: str, options: CreateOptions, *, lock_wait: int = LOCK_WAIT_SECONDS
) -> Argv:
    """Make an archive: result JSON on stdout, events one a line on stderr. Raises InvalidInput, ValueError."""
    if not options.sources:
        raise ValueError("an archive needs at least one source")
    flags = [*_archive_flags(options, lock_wait), f"--files-cache={specs.files_cache(options.files_cache)}"]
    if options.one_file_system:
        flags.append("--one-file-system")
    if options.exclude_caches:
        flags.append("--exclude-caches")
    flags += [f"--exclude={specs.exclude(pattern)}" for pattern in options.excludes]
    sources = [specs.source(path) for path in options.sources]
    return (binary, "create", *flags, "--", _target(repository, archive), *sources)


def create_from_streams(
    binary: str, repository: str, archive: str, options: CreateOptions, *, lock_wait: int = LOCK_WAIT_SECONDS
) -> Argv:
    """As `create`, of streams: the helper adds them, and nothing else may be named beside them."""
    if options.sources or options.excludes:
        raise ValueError("streams are an archive of their own")
    return (binary, "create", *_archive_flags(options, lock_wait), "--", _target(repository, archive))


def import_tar(
    binary: str, repository: str, archive: str, options: CreateOptions, *, lock_wait: int = LOCK_WAIT_SECONDS
) -> Argv:
    """As `create`, of a tar stream on standard input."""
    if options.sources or options.excludes:
        raise ValueError("a tar stream is an archive of its own")
    return (binary, "import-tar", *_archive_flags(options, lock_wait), "--", _target(repository, archive), "-")


def _archive_flags(options: CreateOptions, lock_wait: int) -> list[str | bytes]:
    """What every way to make an archive is told."""
    flags: list[str | bytes] = [*_common(lock_wait), "--json", "--progress", "--list"]
    if not options.list_files:
        flags.append(f"--filter={_TROUBLE}")
    flags += [
        f"--compression={specs.compression(options.compression)}",
        f"--checkpoint-interval={_whole('checkpoint_seconds', options.checkpoint_seconds, 1)}",
    ]
    if options.upload_rate_kib is not None:
        flags.append(f"--upload-ratelimit={_whole('upload_rate_kib', options.upload_rate_kib, 1)}")
    if options.comment:
        flags.append(f"--comment={escape_placeholders(options.comment)}")
    return flags


def list_archives(
    binary: str,
    repository: str,
    *,
    checkpoints: bool = False,
    last: int | None = None,
    lock_wait: int = LOCK_WAIT_SECONDS,
    bypass_lock: bool = False,
) -> Argv:
    """All archives as one JSON document; `last` narrows to the newest."""
    flags: list[str | bytes] = [*_common(lock_wait, bypass_lock), "--json"]
    if checkpoints:
        flags.append("--consider-checkpoints")
    if last is not None:
        flags.append(f"--last={_whole('last', last, 1)}")
    return (binary, "list", *flags, "--", _target(repository))


def list_files(
    binary: str,
    repository: str,
    archive: str,
    *,
    paths: Sequence[bytes] = (),
    format: str | None = None,
    lock_wait: int = LOCK_WAIT_SECONDS,
    bypass_lock: bool = False,
) -> Argv:
    """The entries of an archive: JSON lines, or `format` (see `listing.FORMAT`, which is exact to the byte)."""
    output = "--json-lines" if format is None else f"--format={format}"
    flags = (*_common(lock_wait, bypass_lock), output)
    return (binary, "list", *flags, "--", _target(repository, archive), *map(exact, paths))


def below(path: bytes) -> str:
    """The pattern that matches everything in this directory of an archive, and not the directory."""
    return "re:^" + re.escape(os.fsdecode(exact(path)[3:])) + "/"


def info(binary: str, repository: str, archive: str | None = None, *, lock_wait: int = LOCK_WAIT_SECONDS) -> Argv:
    """Sizes of a repository or of one archive; needs borg's chunk cache (made when missing)."""
    return (binary, "info", *_common(lock_wait), "--json", "--", _target(repository, archive))


def exact(path: bytes) -> bytes:
    """The pattern that matches this archived path (and what is below it) and nothing else.

    Without the prefix, a file called `sh:z` would restore `z`, and `*.txt` every text file.
    """
    clean = path.strip(b"/")
    if not clean or b"\0" in clean or any(part in (b"", b".", b"..") for part in clean.split(b"/")):
        raise ValueError(f"not a path of an archive: {path!r}")
    return b"pp:" + clean


def extract(
    binary: str,
    repository: str,
    archive: str,
    paths: Sequence[bytes] | None,
    *,
    strip_components: int = 0,
    numeric_ids: bool = True,
    sparse: bool = True,
    dry_run: bool = False,
    list_files: bool = False,
    to_stdout: bool = False,
    empty: Sequence[bytes] = (),
    lock_wait: int = LOCK_WAIT_SECONDS,
    bypass_lock: bool = False,
) -> Argv:
    """Restore below the current directory. `paths` None means everything; an empty list is refused.

    Everything but the entry “.”, which an archive has that was made from inside a directory: borg would give its
    owner and mode to the directory that is current. `empty`: directories that come without what is in them.
    """
    if paths is not None and not paths:
        raise ValueError("no path chosen: borg would restore everything")
    flags: list[str | bytes] = [*_common(lock_wait, bypass_lock)]
    if paths is None:
        flags.append("--exclude=pf:.")
    flags += [f"--exclude={below(path)}" for path in empty]
    if strip_components:
        flags.append(f"--strip-components={_whole('strip_components', strip_components, 0)}")
    chosen = {
        "--numeric-ids": numeric_ids,
        "--sparse": sparse,
        "--dry-run": dry_run,
        "--list": list_files,
        "--stdout": to_stdout,
        "--progress": not to_stdout,
    }
    flags += [flag for flag, wanted in chosen.items() if wanted]
    return (binary, "extract", *flags, "--", _target(repository, archive), *map(exact, paths or ()))


def check(
    binary: str,
    repository: str,
    mode: CheckMode,
    *,
    max_duration: int = 0,
    lock_wait: int = LOCK_WAIT_SECONDS,
) -> Argv:
    """Verify, never repair. `data` decrypts and compares every chunk; `max_duration` is for `repository` only."""
    modes: dict[str, Argv] = {
        "repository": ("--repository-only",),
        "archives": ("--archives-only",),
        "data": ("--verify-data",),
    }
    flags = (*_common(lock_wait), "--progress", *modes[mode])
    if max_duration and mode == "repository":
        flags += (f"--max-duration={_whole('max_duration', max_duration, 1)}",)
    return (binary, "check", *flags, "--", _target(repository))


def compact(binary: str, repository: str, *, threshold: int = 10, lock_wait: int = LOCK_WAIT_SECONDS) -> Argv:
    """Give back to the disk what deletions freed; segments with at most `threshold` % of it stay: with 100 all."""
    if not 0 <= threshold <= 100:
        raise ValueError(f"threshold: {threshold!r}")
    flags = (*_common(lock_wait), "--info", "--progress", f"--threshold={threshold}")
    return (binary, "compact", *flags, "--", _target(repository))


def delete(binary: str, repository: str, archives: Sequence[str], *, lock_wait: int = LOCK_WAIT_SECONDS) -> Argv:
    """Delete these archives by exact name. Never a pattern, never (with an empty list) the repository.

    Borg takes a name with `::` or braces only as part of the location: such a name must be the first.
    """
    if not archives:
        raise ValueError("no archive named: borg would delete the repository")
    first, *rest = (specs.archive_name(name) for name in archives)
    if any(needs_own_command(name) for name in rest):
        raise ValueError("a name with “::” or braces must be deleted alone")
    return (binary, "delete", *_common(lock_wait), "--progress", "--", _target(repository, first), *rest)


def needs_own_command(name: str) -> bool:
    """Borg takes this name literally only in `REPOSITORY::NAME`.

    Further names must not hold `::`, and borg expands placeholders in them twice, so that `{{now}}`
    would become the name of another archive.
    """
    return any(sign in name for sign in ("::", "{", "}"))


def mount(
    binary: str,
    repository: str,
    archive: str,
    mountpoint: str,
    *,
    options: Sequence[str] = (),
    lock_wait: int = LOCK_WAIT_SECONDS,
    foreground: bool = False,
) -> Argv:
    """Show an archive as a read-only file system; borg goes to the background unless `foreground`."""
    if not mountpoint.startswith("/") or "\0" in mountpoint:
        raise ValueError(f"mountpoint {mountpoint!r}")
    flags: list[str | bytes] = [*_common(lock_wait)]
    if options:
        flags.append("-o" + ",".join(specs.mount_option(option) for option in options))
    if foreground:
        flags.append("--foreground")
    return (binary, "mount", *flags, "--", _target(repository, archive), mountpoint)


def serve(binary: str, repositories: Sequence[str], *, append_only: bool = True) -> Argv:
    """The backup host's end of a connection: these repositories only, nothing can be removed through it."""
    if not repositories:
        raise ValueError("serve without a repository would serve them all")
    only = tuple(f"--restrict-to-repository={specs.repository_path(path)}" for path in repositories)
    return (binary, "serve", *(("--append-only",) if append_only else ()), *only)


def key_export(binary: str, repository: str, *, format: KeyFormat = "text") -> Argv:
    """The repository's (passphrase-protected) key on stdout, to be kept elsewhere."""
    paper = {"text": (), "paper": ("--paper",)}[format]
    return (binary, "key", "export", "--log-json", *paper, "--", _target(repository))


def break_lock(binary: str, repository: str) -> Argv:
    """Remove all locks of the repository and of its cache, whoever holds them."""
    return (binary, "break-lock", "--log-json", "--", _target(repository))


def config(binary: str, repository: str, name: Literal["append_only", "storage_quota"], value: str) -> Argv:
    """Set one value of the repository's own configuration."""
    if name not in ("append_only", "storage_quota") or not value.isalnum():
        raise ValueError(f"{name}={value!r}")
    return (binary, "config", "--log-json", "--", _target(repository), name, value)


def env(
    *,
    base_dir: Path | str,
    encryption: str,
    passphrase_fd: int | None = None,
    rsh: str = "",
    relocated_ok: bool = False,
    host_id: str = "",
) -> dict[str, str]:
    """The environment of every borg process.

    The passphrase comes by descriptor, never in here. The two questions that borg may ask are
    answered in advance only where the administrator has: an unencrypted repository by its declared
    mode, a moved one by an explicit confirmation. All others meet an empty standard input.
    """
    values = {
        "BORG_BASE_DIR": os.fspath(base_dir),
        "BORG_EXIT_CODES": "modern",
        "BORG_DISPLAY_PASSPHRASE": "no",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }
    if passphrase_fd is not None:
        values["BORG_PASSPHRASE_FD"] = str(passphrase_fd)
    if rsh:
        values["BORG_RSH"] = rsh
    if not specs.encryption(encryption).conceals:
        values["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"] = "yes"
    if relocated_ok:
        values["BORG_RELOCATED_REPO_ACCESS_IS_OK"] = "yes"
    if host_id:
        values["BORG_HOST_ID"] = host_id
    return values
