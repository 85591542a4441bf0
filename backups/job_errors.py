"""What can be expected to go wrong with jobs, their runs and the removal of archives (codes `JOB-…`)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class SourceKindUnknown(PhpBorgError):
    """The job names a kind of source that this version does not have; fact `kind`."""

    code = "JOB-01"
    title = _("The kind of source “{kind}” is not known.")
    advice = _("The job was made by another version of this application. Edit the job, or install that version.")


class ServerNotReady(PhpBorgError):
    """The job's server is not set up; fact `server`."""

    code = "JOB-02"
    title = _("The server “{server}” is not ready for backups.")
    advice = _("Open the server's page and run its setup; it says what is missing.")


class RepositoryTrashed(PhpBorgError):
    """The job's repository is in the trash; fact `repository`."""

    code = "JOB-03"
    title = _("The repository “{repository}” is in the trash.")
    advice = _("Take the repository out of the trash, or let the job write into another one.")


class HookFailed(PhpBorgError):
    """A hook ended with an error; facts `hook` and `status`."""

    code = "JOB-04"
    title = _("The hook “{hook}” failed ({status}).")
    advice = _("Read its output below and mend the script on the server. Without it nothing is backed up.")


class JobRunning(PhpBorgError):
    """The job waits or runs, so it cannot be removed; fact `job`."""

    code = "JOB-05"
    title = _("The job “{job}” is running.")
    advice = _("Wait until it has ended, or cancel it first.")


class JobGone(PhpBorgError):
    """The job was deleted while its run waited."""

    code = "JOB-06"
    title = _("The job of this run does not exist any more.")
    advice = _("It was deleted meanwhile. Its archives are kept.")


class ArchiveInUse(PhpBorgError):
    """Somebody reads the archive; fact `archive`."""

    code = "JOB-07"
    title = _("The archive “{archive}” is in use.")
    advice = _("It is open for browsing, or a restore from it is running. Close it, or wait, and try again.")


class ArchivePinned(PhpBorgError):
    """The archive is protected; fact `archive`."""

    code = "JOB-08"
    title = _("The archive “{archive}” is pinned.")
    advice = _("Unpin it first if it really may go.")


class ArchiveNotInTrash(PhpBorgError):
    """Only what was put into the trash can be removed for good; fact `archive`."""

    code = "JOB-09"
    title = _("The archive “{archive}” is not in the trash.")
    advice = _("Put it into the trash first; from there it can be removed for good.")


class ListTooLong(PhpBorgError):
    """Too many paths or exclusions; facts `count` and `limit`."""

    code = "JOB-11"
    title = _("{count} entries are too many; {limit} are allowed.")
    advice = _("Choose a folder above them instead of each one.")


class SnapshotOverflowed(PhpBorgError):
    """A snapshot did not last until the end; facts `server` and `used`."""

    code = "JOB-12"
    title = _("The snapshot on “{server}” did not stay whole until the end of the backup.")
    advice = _(
        "More was written to the volume meanwhile than the snapshot had room for. What was read from it is not to be "
        "trusted and was not kept. Free more room in the volume group, or run the job when less is written."
    )


class StreamsUnproven(PhpBorgError):
    """The archive is there, but the server did not say of all its streams that they are whole; fact `names`."""

    code = "JOB-13"
    title = _("It is not proven that these parts of the archive are complete: {names}.")
    advice = _("Run the job again. If it happens again, look at the log for what the tools on the server said.")
