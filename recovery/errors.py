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


class NotADatabaseArchive(PhpBorgError):
    """The archive holds nothing that can be loaded into a server; fact `name`."""

    code = "REC-10"
    title = _("“{name}” holds no dump of a database.")
    advice = _("Put its files into a directory instead; the page of the restore says how to start a server from them.")


class InstanceNotSeen(PhpBorgError):
    """The newest look at the server did not find it; facts `instance`, `server`."""

    code = "REC-11"
    title = _("No database server “{instance}” was found on {server}.")
    advice = _("Start it, look again at what runs on that server, and choose it then.")


class OlderServer(PhpBorgError):
    """A dump of a newer version than the server's; facts `dumped`, `there`."""

    code = "REC-12"
    title = _("The dump is of version {dumped} and the server of version {there}: an older server cannot read it.")
    advice = _("Choose a server of the same version or a newer one, or upgrade this one first.")


class DatabaseIsThere(PhpBorgError):
    """A database of this name exists and nobody said that it may be replaced; facts `name`, `server`."""

    code = "REC-13"
    title = _("There is a database “{name}” on {server} already.")
    advice = _("Say that it is to be replaced, or restore under another name.")


class LoadFailed(PhpBorgError):
    """A dump was not loaded, and what was there before is as it was; fact `name`."""

    code = "REC-14"
    title = _("“{name}” was not loaded. What was there before is as it was.")
    advice = _("The detail has the reason. Mend it and load again; nothing has to be cleaned up.")


class LoadBroken(PhpBorgError):
    """A dump was not loaded, and what was there before is not whole any more; fact `name`."""

    code = "REC-15"
    title = _("“{name}” was not loaded to its end: what is there now is not whole.")
    advice = _("The detail has the reason. Mend it and load again before anybody works with it.")


class LoadedOtherwise(PhpBorgError):
    """As many bytes as the archive holds did not pass; facts `name`, `expected`, `passed`."""

    code = "REC-16"
    title = _("“{name}” was loaded, but {passed} bytes passed and the archive holds {expected}.")
    advice = _("Do not trust it: check the repository, then load again.")


class DatabaseRuns(PhpBorgError):
    """Files of a database server are to go to their own place and the server runs, or nobody knows; fact `server`."""

    code = "REC-17"
    title = _("The database server on {server} that uses this directory runs, or was not seen to be stopped.")
    advice = _(
        "Restore to another path; or stop the database server, look again at what runs on that server, and then "
        "restore in place."
    )


class CannotStart(PhpBorgError):
    """No server can be started on a data directory; fact `path`, the reason is the detail."""

    code = "REC-18"
    title = _("No server can be started on “{path}”: something that it needs is missing or not known.")
    advice = _("The detail names it. Choose another archive, or restore the files and mend them by hand.")


class ImageRefused(PhpBorgError):
    """An image's server may not open these files; facts `image`, `reason` (a sentence)."""

    code = "REC-19"
    title = _("“{image}” is not started on these files. {reason}")
    advice = _("Set an image of the version that is needed, or choose one openly.")


class SessionOver(PhpBorgError):
    """A session is not in a state for what was asked of it."""

    code = "REC-20"
    title = _("This session has begun already, or is over.")
    advice = _("Look at its state; start a new one from the archive.")


class NoDatabase(PhpBorgError):
    """No data directory is in an archive."""

    code = "REC-21"
    title = _("This archive holds no data directory of a database that could be started.")
    advice = _("Choose an archive of a database's files: a stream, a snapshot, or a prepared copy.")


class OnlyDumps(PhpBorgError):
    """An archive holds dumps, which cannot be started."""

    code = "REC-22"
    title = _("No data directory is in this archive: it holds dumps.")
    advice = _("Load them into a database server, or choose an archive of a database's files.")


class AdminerAway(PhpBorgError):
    """A session's Adminer does not answer, or is not there (yet)."""

    code = "REC-23"
    title = _("Adminer does not answer for this session.")
    advice = _(
        "Look at the session: is it ready, and what does it say of Adminer? It starts some seconds after the database, "
        "if its image is on that server."
    )
