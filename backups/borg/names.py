"""Names that we give to archives, and what an archive's name tells.

A job owns its archives by id in the database; the name only has to be unique and readable:
`<job-slug>-<job id>-<UTC time>-<task id>`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from uuid import UUID

_SLUG_LENGTH = 60
_CHECKPOINT = re.compile(r"\.checkpoint(?:\.\d+)?\Z")


def slug(text: str) -> str:
    """`text` as lower-case ASCII words joined by dashes; never empty, never a trap for a shell or a path."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")
    return words[:_SLUG_LENGTH].strip("-") or "job"


def short_id(identifier: UUID | str) -> str:
    """The first eight hexadecimal digits of a UUID."""
    return UUID(str(identifier)).hex[:8]


def archive_name(job_name: str, job_id: UUID | str, at: datetime, task_id: UUID | str) -> str:
    """The name of the archive that this task makes for this job. `at` must be aware."""
    if at.tzinfo is None:
        raise ValueError("a naive time has no place in an archive's name")
    return f"{slug(job_name)}-{short_id(job_id)}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{short_id(task_id)}"


def is_checkpoint(name: str) -> bool:
    """Borg wrote this archive in the middle of a run; it is no restore point."""
    return _CHECKPOINT.search(name) is not None


def escape_placeholders(text: str) -> str:
    """`text` so that borg's placeholder expansion gives back exactly `text`."""
    return text.replace("{", "{{").replace("}", "}}")
