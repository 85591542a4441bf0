"""What an archive's record hints at before its files are looked at: where data lies, and how it was taken."""

from __future__ import annotations

import os

from backups.models import Archive
from backups.sources.base import Consistency
from recovery.engines.base import Hints, Taken
from recovery.services.dumps import record_of
from recovery.services.physical import directories

_TAKEN = {
    Consistency.PHYSICAL: Taken.COPIED,
    Consistency.CRASH: Taken.FROZEN,
    Consistency.NONE: Taken.LIVE,
}


def hints_of(archive: Archive) -> Hints:
    """Hints only: the files say what they are. A job that copies files may do so of a snapshot."""
    record = record_of(archive)
    frozen = isinstance(archive.backup_config.get("frozen"), dict)
    if record is None:
        return Hints(taken=Taken.FROZEN if frozen else Taken.UNKNOWN)
    places = directories(record)
    if not places and record.method != "logical" and record.data_directory:
        places = [os.fsencode(record.data_directory).lstrip(b"/")]
    taken = next((taken for said, taken in _TAKEN.items() if said == record.consistency), Taken.UNKNOWN)
    return Hints(directories=tuple(places), taken=taken)
