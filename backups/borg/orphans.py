"""Two stores out of step: what the repository holds against what the database believes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backups.borg.results import ArchiveFact


@dataclass(frozen=True)
class Row:
    """One archive row of the database: `archive_id` is borg's id, `key` the row's own."""

    key: str
    archive_id: str
    name: str
    is_missing: bool = False


@dataclass(frozen=True)
class Difference:
    """What a synchronisation has to do."""

    to_record: tuple[ArchiveFact, ...]
    """In the repository, not in the database."""
    gone: tuple[Row, ...]
    """In the database, no longer in the repository: mark as missing, never drop."""
    returned: tuple[Row, ...]
    """Marked as missing, yet there."""
    renamed: tuple[tuple[Row, ArchiveFact], ...]
    """The same archive under another name."""


def compare(archives: Iterable[ArchiveFact], rows: Iterable[Row]) -> Difference:
    """Compare by borg's id, because a name may be used again. Checkpoints are no restore points and do not count."""
    present = {fact.id: fact for fact in archives if not fact.is_checkpoint}
    known = {row.archive_id: row for row in rows}
    return Difference(
        to_record=tuple(fact for key, fact in present.items() if key not in known),
        gone=tuple(row for key, row in known.items() if key not in present and not row.is_missing),
        returned=tuple(row for key, row in known.items() if key in present and row.is_missing),
        renamed=tuple(
            (row, present[key]) for key, row in known.items() if key in present and present[key].name != row.name
        ),
    )
