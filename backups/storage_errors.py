"""What can be expected to go wrong with pools and repositories as a whole (codes `STO-…`, with backups/errors.py)."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class PoolUnavailable(PhpBorgError):
    """The pool's directory or disk is not there; facts `pool`, `path`, `reason`."""

    code = "STO-02"
    title = _("The storage pool “{pool}” at {path} is not available.")
    advice = _("Mount its disk, then analyse the pool. Nothing is written to an empty mount point.")

    @property
    def reason(self) -> str:
        return str(self.facts.get("reason", ""))


class RepositoryCopied(PhpBorgError):
    """The same repository is at two places; facts `old` and `new`."""

    code = "STO-03"
    title = _("The same repository is at {old} and at {new}.")
    advice = _(
        "Two copies that are written to in turn destroy each other's encryption and history. Keep one: remove or "
        "rename the copy at the old place, then confirm the move again."
    )


class NotInTrash(PhpBorgError):
    """Only what is in the trash is removed for good; fact `name`."""

    code = "STO-04"
    title = _("The repository “{name}” is not in the trash.")
    advice = _("Move it to the trash first. It can be taken out again until it is removed for good.")


class StillNeeded(PhpBorgError):
    """Backup jobs write into the repository; facts `name` and `jobs`."""

    code = "STO-05"
    title = _("Backup jobs still use the repository “{name}”: {jobs}.")
    advice = _("Let these jobs write into another repository, or delete them. Their archives stay until the purge.")


class OutsidePool(PhpBorgError):
    """A path that must lie in a pool does not, or leads out of it; facts `path` and `pool`."""

    code = "STO-06"
    title = _("{path} is not a repository inside the storage pool “{pool}”.")
    advice = _("Nothing was moved or removed. Look for symbolic links and for disks that are mounted there.")


class PlaceTaken(PhpBorgError):
    """Something else is where the repository belongs; fact `path`."""

    code = "STO-07"
    title = _("Something else is at {path} now.")
    advice = _("Move it away, then try again.")


class NotRolledBack(PhpBorgError):
    """There is no older state to accept; fact `name`."""

    code = "STO-08"
    title = _("The repository “{name}” is not older than at the last contact.")
    advice = _("There is nothing to accept. Compare the archives with Borg instead.")


def with_findings(error: PhpBorgError, findings: tuple[Any, ...]) -> PhpBorgError:
    """The error, carrying findings into the task's row (the runner reads `task_fields`)."""
    kept = [finding.as_json() for finding in findings]
    vars(error)["task_fields"] = {"findings": kept[:200], "findings_count": len(kept)}
    return error
