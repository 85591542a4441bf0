"""Our block in the backup account's authorized_keys: which server's key may do what here."""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from servers.errors import UnusableKey
from servers.transport.keys import public_line

BEGIN = "# BEGIN phpborg: managed, changes here are lost"
END = "# END phpborg"


@dataclass(frozen=True)
class Grant:
    """One server's key and the repositories that it may append to."""

    public_key: str
    repositories: tuple[str, ...]
    name: str = ""


def check_repository_path(path: str) -> str:
    """The path as it may stand in a forced command, or UnusableKey."""
    plain = path.startswith("/") and os.path.normpath(path) == path and len(path) < 1000
    if not plain or any(char in "\"'\\{}" or ord(char) < 32 or ord(char) == 127 for char in path):
        raise UnusableKey(repr(path))
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise UnusableKey(repr(path)) from None
    return path


def serve_argv(repositories: Iterable[str], *, append_only: bool = True) -> tuple[str, ...]:
    """The only command that a server's connection may be."""
    limits = [word for path in repositories for word in ("--restrict-to-repository", path)]
    return (settings.BORG_BINARY, "serve", *(["--append-only"] if append_only else []), *limits)


def line_of(grant: Grant) -> str:
    """The line for one key."""
    if not grant.repositories:
        raise UnusableKey(grant.name)
    command = shlex.join(serve_argv(check_repository_path(path) for path in sorted(grant.repositories)))
    comment = "".join(char if char.isalnum() or char in "._-" else "_" for char in grant.name)[:60]
    return f'restrict,command="{command}" {public_line(grant.public_key)} phpborg-{comment}'


def converge(grants: Iterable[Grant], path: Path | None = None) -> bool:
    """Make our block hold exactly these grants; other lines stay. True when the file changed.

    All grants are checked before anything is written. An empty list removes the block.
    """
    path = path or Path(settings.AUTHORIZED_KEYS_FILE)
    block = sorted(line_of(grant) for grant in grants)
    with _locked(path):
        old = path.read_bytes() if path.exists() else b""
        new = _with_block(old.decode("utf-8", "surrogateescape"), block).encode("utf-8", "surrogateescape")
        if new == old:
            return False
        _write(path, new)
    return True


def _with_block(text: str, block: list[str]) -> str:
    kept: list[str] = []
    ours = False
    for line in text.splitlines():
        if line.strip() == BEGIN:
            ours = True
        elif line.strip() == END:
            ours = False
        elif not ours or not line.startswith("restrict,command="):
            # A block whose end was lost must not swallow the administrator's own lines.
            kept.append(line)
    if block:
        kept += [BEGIN, *block, END]
    return "".join(f"{line}\n" for line in kept)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time, by a lock beside the product's data."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = Path(settings.VAR_DIR) / "authorized-keys.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes) -> None:
    """Replace the file at once, keeping its mode and owner; a link is written through to its file."""
    real = path.resolve()
    new = real.with_name(f".{real.name}.phpborg")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if real.exists():
            status = real.stat()
            os.fchmod(descriptor, status.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(descriptor, status.st_uid, status.st_gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    new.replace(real)
