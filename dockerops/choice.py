"""What is to be restored: step 3 of the wizard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dockerops import typed

MODES = ("all", "volumes", "projects", "configs", "custom")


@dataclass(frozen=True)
class Choice:
    """`mode` says which lists count: all of the archive, or the named ones of a kind (none named: all of the kind).

    `custom` takes exactly what is named. `files`: single files of a volume, relative to its root; such a volume is not
    replaced as a whole.
    """

    mode: str = "all"
    projects: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """JSON that a database keeps."""
        table: dict[str, Any] = typed.written(self)
        return table

    @classmethod
    def from_json(cls, raw: Any) -> Choice:
        """What `as_json` wrote; anything else is the default."""
        found: Choice = typed.read(cls, typed.restored(raw))
        return found if found.mode in MODES else cls()
