"""What can be expected to go wrong while Docker is put back, before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError

if TYPE_CHECKING:
    from dockerops.conflict import Conflict


class ManifestUnreadable(PhpBorgError):
    """The archive's manifest is damaged or of a format that we do not know."""

    code = "DOC-01"
    title = _("What this archive says of its Docker contents cannot be read.")
    advice = _("A newer phpBorg may have made it. Files of the archive can be restored from its page.")


class NothingChosen(PhpBorgError):
    """A choice that restores nothing."""

    code = "DOC-02"
    title = _("Nothing is chosen.")
    advice = _("Choose at least one project, volume, container, network, path or configuration file.")


class NotInArchive(PhpBorgError):
    """A choice names what the archive does not hold; facts `kind`, `name`."""

    code = "DOC-03"
    title = _("“{name}” is not in this archive.")
    advice = _("Open the contents of the archive again and choose from what it holds.")


class NotPlanned(PhpBorgError):
    """Conflicts are in the way, or were not agreed to; `conflicts` holds them, fact `count`."""

    code = "DOC-04"
    title = _("The restore cannot begin: {count} conflicts are in the way.")
    advice = _("Read them, agree to what may be stopped or replaced, or choose other options.")

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        self.conflicts = tuple(conflicts)
        super().__init__(count=len(self.conflicts))


class PlanTooOld(PhpBorgError):
    """A plan of an older phpBorg, which does not say for which manifest it was made."""

    code = "DOC-06"
    title = _("This plan does not say for which description of the containers it was made.")
    advice = _("An older phpBorg made it. Begin the restore anew: the plan is made again.")


class NoBodies(PhpBorgError):
    """A container or network is to be made, and the archive does not say how; facts `kind`, `name`."""

    code = "DOC-05"
    title = _("The archive does not say how “{name}” is made.")
    advice = _(
        "It was made without a description of its containers. Restore its volumes and files, and start it with Compose."
    )
