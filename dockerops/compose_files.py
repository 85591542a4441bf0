"""What is known of the Compose files of an archive: the places that say names, ports and paths, and nothing else.

A file's text may hold secrets and is kept nowhere: only these places are. Pure data; `compose_reading.py` finds them,
`compose_edits.py` makes edits of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

# The variable that gives a project its name, in whatever directory it lies.
NAME = "COMPOSE_PROJECT_NAME"
NAME_TAKEN = "${" + NAME + "}"
_LONGEST_PATH = 4096


def may_be_asked(path: str) -> bool:
    """Can an archive have this path, as it stands here? A record says what whoever made it likes."""
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    parts = raw.strip(b"/").split(b"/") if raw[:1] == b"/" and len(raw) < _LONGEST_PATH else [b""]
    return "\0" not in path and not any(part in (b"", b".", b"..") or len(part) > 255 for part in parts)


@dataclass(frozen=True)
class Site:
    """One place: `old`, at the byte `start` of the file, gives way to `lead`, what it has to say then, and `tail`.

    `kind`: project, container, container_used, volume, external_volume, network, external_network, port, path, mount;
    ports (a list that is emptied); address and look (for people). `value`: what it means now; empty where nobody can
    say. `pattern`: the same before the project's name was filled in. `file`: where it is defined when not in the file
    itself. `hand`: it cannot be edited.
    """

    kind: str
    key: str
    start: int = 0
    line: int = 0
    old: str = ""
    value: str = ""
    file: str = ""
    lead: str = ""
    tail: str = ""
    pattern: str = ""
    plain: bool = False  # a whole word without quotes
    hand: bool = False


@dataclass(frozen=True)
class ComposeFile:
    """A Compose file or a project's `.env`. `sha256` is empty for an `.env` that the archive does not have."""

    path: str
    project: str
    directory: str
    sha256: str = ""
    unread: bool = False  # nobody could understand it, or it is no plain file
    sites: tuple[Site, ...] = ()
