"""How commands show a repository. (A module whose name begins with “_” is no command.)"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from backups.services.storage import RepositoryRow
from phpborg.ui.format import byte_size


def repository_json(row: RepositoryRow) -> dict[str, Any]:
    """A repository for `--json`; never a secret."""
    repository = row.repository
    plain = ("name", "path", "borg_id", "encryption", "compression", "size_bytes", "original_bytes", "unfreed")
    times = ("measured_at", "synced_at", "checked_at", "compacted_at", "key_exported_at", "trashed_at", "created_at")
    return {
        "id": str(repository.pk),
        "pool": repository.pool.name,
        **{name: getattr(repository, name) for name in plain},
        **{name: _iso(getattr(repository, name)) for name in times},
        "check_good": repository.check_good,
        "archives": row.archives,
        "last_archive_at": _iso(row.last_archive_at),
        "jobs": row.jobs,
        "tasks": [str(task.pk) for task in row.tasks],
        "open_archives": row.open_archives,
        "lock": [
            {"holder": str(holder), "exclusive": holder.exclusive, "alive": holder.alive} for holder in row.lock.holders
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def summary(row: RepositoryRow) -> list[Any]:
    """One line of the list."""
    repository = row.repository
    return [
        repository.name,
        repository.pool.name,
        byte_size(repository.size_bytes) if repository.size_bytes is not None else None,
        row.archives,
        f"{row.last_archive_at:%Y-%m-%d %H:%M}" if row.last_archive_at else None,
        _state(row),
    ]


def _state(row: RepositoryRow) -> str:
    if row.repository.check_good is False:
        return _("Damaged")
    if row.is_used:
        return _("In use")
    if row.lock.holders:
        return _("Locked by {holder}").format(holder=row.lock)
    return _("Free")
