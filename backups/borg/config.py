"""A repository's own `config` on this host's disk: who it is and, sealed by the passphrase, its key.

Needs neither borg nor the passphrase.
"""

from __future__ import annotations

import configparser
import io
import os
from pathlib import Path

from backups import errors as e


def _read(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    place = str(path)
    try:
        if not path.is_dir():
            raise e.RepositoryMissing(path=place)
        # As bytes: a carriage return in a key that somebody planted must not become the end of a line.
        parser.read_string((path / "config").read_bytes().decode("utf-8"))
        parser["repository"]["id"]
    except FileNotFoundError as error:
        raise e.RepositoryNotBorg(str(error), path=place) from error
    except OSError as error:
        raise e.RepositoryNotReadable(str(error), path=place) from error
    except (configparser.Error, KeyError, UnicodeDecodeError) as error:
        raise e.RepositoryNotBorg(str(error), path=place) from error
    return parser


def read_id(path: Path) -> str:
    """The repository's id. Raises Repository… errors."""
    found = _read(path)["repository"]["id"].strip()
    if len(found) != 64 or not all(letter in "0123456789abcdef" for letter in found):
        raise e.RepositoryNotBorg(f"id = {found[:80]}", path=str(path))
    return found


def read_key(path: Path) -> str:
    """The sealed key; "" in a repository without one. Raises Repository… errors."""
    return _read(path).get("repository", "key", fallback="")


def write_key(path: Path, key: str) -> None:
    """Put a key in its place: the file is exchanged at once and keeps its mode. Raises Repository… errors, OSError."""
    parser = _read(path)
    parser.set("repository", "key", key)
    text = io.StringIO()
    parser.write(text)
    config = path / "config"
    new = path / f"config.{os.getpid()}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, config.stat().st_mode & 0o777)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())
    new.replace(config)
