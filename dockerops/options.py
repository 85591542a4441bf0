"""Where and how it is restored: step 5 of the wizard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dockerops import typed

# `drill`: as another project that nobody chooses by hand, see drill_plan.py.
PLACEMENTS = ("in_place", "other_path", "other_project", "drill")
PORTS = ("keep", "shift", "none")
PROTECTIONS = ("aside", "archive", "none")
STARTS = ("former", "none")
IMAGES = ("archive", "present", "pull")
MOST_HOURS = 24 * 31
MOST_SHIFT = 64_000
_CLOSED = {"placement": PLACEMENTS, "ports": PORTS, "protect": PROTECTIONS, "start": STARTS, "images": IMAGES}


@dataclass(frozen=True)
class Options:
    """`path`: the directory below which files are put with their whole paths (other path, other project).

    `images`: where one that is not there comes from; with `present` it must be there. `stop`: containers whose stop
    was agreed to. `protect`: what is replaced is kept beside it for `window_hours`; with “archive” its files are also
    archived before; with “none” it is dropped after success. Whatever is chosen, a restore that fails is undone.
    `as_it_lay`: containers whose database gets what lay in its volume, though it was in use, and not its dump.
    """

    placement: str = "in_place"
    path: str = ""
    project_name: str = ""
    name_suffix: str = ""
    ports: str = "keep"
    port_shift: int = 10_000
    protect: str = "aside"
    window_hours: int = 24
    stop: tuple[str, ...] = ()
    start: str = "former"
    images: str = "archive"
    create_missing: bool = False
    as_it_lay: tuple[str, ...] = ()
    wait_minutes: int = 15  # so long a container has at least to become well

    def as_json(self) -> dict[str, Any]:
        """JSON that a database keeps."""
        table: dict[str, Any] = typed.written(self)
        return table

    @classmethod
    def from_json(cls, raw: Any) -> Options:
        """What `as_json` wrote; an unknown word is the default."""
        found: Options = typed.read(cls, typed.restored(raw))
        table = {name: getattr(found, name) for name in cls.__dataclass_fields__}
        usual = cls()
        for name, words in _CLOSED.items():
            if table[name] not in words:
                table[name] = getattr(usual, name)
        return cls(**table)
