"""What can be expected to go wrong while something is read from an archive or put back."""

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class ArchiveGone(PhpBorgError):
    """The archive is marked missing or lies in the trash; fact `name`."""

    code = "REC-01"
    title = _("The archive “{name}” is no longer there.")
    advice = _("It was removed outside phpBorg or moved to the trash. Choose another archive.")


class NotOpen(PhpBorgError):
    """Asked to read from an archive that is not open (any more)."""

    code = "REC-02"
    title = _("The archive is not open any more.")
    advice = _("Open it again: it is closed after a while when nobody looks at it.")


class NoSuchPath(PhpBorgError):
    """The path is not in the archive; fact `path`."""

    code = "REC-03"
    title = _("“{path}” is not in this archive.")
    advice = _("Go back to the folder above and choose again.")


class NotAFolder(PhpBorgError):
    """A folder was asked for and something else is there; fact `path`."""

    code = "REC-04"
    title = _("“{path}” is not a folder.")
    advice = _("Go back to the folder above and choose again.")


class NotAFile(PhpBorgError):
    """A file was asked for and something else is there; fact `path`."""

    code = "REC-05"
    title = _("“{path}” is not a regular file and cannot be downloaded alone.")
    advice = _("Download its folder as a tar archive, or restore it.")


class NothingSelected(PhpBorgError):
    """A restore without anything to restore."""

    code = "REC-06"
    title = _("Nothing is selected.")
    advice = _("Select at least one file or folder.")


class NotEnoughSpace(PhpBorgError):
    """The target's filesystem is smaller than what would be written; facts `needed`, `free` (bytes)."""

    code = "REC-07"
    title = _("There is not enough space: {needed} bytes are needed and {free} are free.")
    advice = _("Choose another directory, select less, or free space on the target.")


class RestoreIncomplete(PhpBorgError):
    """Fewer items arrived than the archive holds; facts `placed`, `expected`."""

    code = "REC-08"
    title = _("Only {placed} of {expected} items were restored.")
    advice = _("Look at the findings and the log; what was restored stays in place.")


class MountUnavailable(PhpBorgError):
    """The mount exists for another process only (a private mount namespace)."""

    code = "REC-09"
    title = _("The opened archive cannot be seen from here.")
    advice = _(
        "Worker and web server must share one mount namespace: set PrivateTmp=no and PrivateMounts=no in their units."
    )
