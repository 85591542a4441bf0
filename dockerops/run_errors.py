"""What can be expected to go wrong while Docker is put back. What the facts forbid beforehand is in errors.py."""

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class NothingOfDocker(PhpBorgError):
    """A look into the archive found nothing that belongs to Docker; fact `archive`."""

    code = "DRS-01"
    title = _("“{archive}” holds nothing of Docker.")
    advice = _("Choose an archive of a Docker job, or restore its files as files.")


class NotLookedYet(PhpBorgError):
    """A plan was asked for before anybody looked into the archive."""

    code = "DRS-02"
    title = _("What the archive holds is not known yet.")
    advice = _("Wait until the look into the archive has ended, or start it again.")


class EngineUnknown(PhpBorgError):
    """The report of the server names no engine that answers; fact `server`."""

    code = "DRS-03"
    title = _("No Docker engine is known on {server}.")
    advice = _("Start Docker there, look at the server's capabilities again, or choose another server.")


class ConflictsUnknown(PhpBorgError):
    """Conflicts were not asked for, or for something else than what is chosen now."""

    code = "DRS-04"
    title = _("The conflicts on the server are not known for what is chosen now.")
    advice = _("Have them looked for again: nothing is put back blindly.")


class ConflictsOpen(PhpBorgError):
    """Conflicts that forbid it, or that nobody has agreed to; fact `subjects`."""

    code = "DRS-05"
    title = _("Conflicts stand in the way: {subjects}. Nothing was touched.")
    advice = _("Agree to what may be stopped or overwritten, or choose something else or another place.")


class PlanChanged(PhpBorgError):
    """The facts no longer give the plan that was shown."""

    code = "DRS-06"
    title = _("The server has changed since the plan was shown. Nothing was touched.")
    advice = _("Look at the new plan and start it again; the detail names what differs.")


class ArchiveChanged(PhpBorgError):
    """The archive of this name, or its manifest, is another one than that of the plan; fact `archive`."""

    code = "DRS-16"
    title = _("“{archive}” is not the archive any more that the plan was made for. Nothing was touched.")
    advice = _("Begin the restore anew, so that the plan is made for what the archive holds now.")


class PutBackAsItWas(PhpBorgError):
    """The restore failed and everything was undone; facts `step`, `cause` (a code)."""

    code = "DRS-07"
    title = _("The restore failed. Everything it had done was undone: the server is as it was before.")
    advice = _("The detail says why it failed. Mend that and start again.")


class LeftHalfDone(PhpBorgError):
    """The restore failed, and what it had changed could not be undone completely; facts `step`, `cause`."""

    code = "DRS-08"
    title = _("The restore failed, and what it had changed could NOT be undone completely.")
    advice = _(
        "The detail says what is left. The former state is still kept aside on the server: mend the cause; the "
        "rollback is tried again by itself."
    )


class NothingKept(PhpBorgError):
    """Nothing of the former state is kept (any more)."""

    code = "DRS-09"
    title = _("This restore cannot be undone (any more): nothing of the former state is kept.")
    advice = _("Restore an older archive instead.")


class NotAsInArchive(PhpBorgError):
    """What is on the server after the restore is not what the archive says; fact `subject`."""

    code = "DRS-10"
    title = _("“{subject}” is not what the archive says it has to be.")
    advice = _("The detail names what differs.")


class NotAllExtracted(PhpBorgError):
    """Fewer entries or bytes arrived than the archive lists; facts `path`, `placed`, `expected`."""

    code = "DRS-11"
    title = _("Only {placed} of {expected} entries of “{path}” arrived.")
    advice = _("Look at the task's log; check the archive.")


class StillUndoing(PhpBorgError):
    """A rollback or another step of the same restore is still going on."""

    code = "DRS-12"
    title = _("This restore is being carried out or undone just now.")
    advice = _("Wait until that has ended.")


class RollbackFailed(PhpBorgError):
    """What was asked to be undone could not be undone completely; fact `server`."""

    code = "DRS-13"
    title = _("The former state of {server} could not be brought back completely.")
    advice = _("The detail says what is left; what is kept aside stays there. Mend the cause and roll back again.")


class SafetyArchiveMissing(PhpBorgError):
    """The archive that was to protect the former state was not made."""

    code = "DRS-14"
    title = _("The safety archive of what would be overwritten was not made. Nothing was overwritten.")
    advice = _("The detail has the words of the backup; mend that, or protect by keeping the former state aside.")


class ForgetFailed(PhpBorgError):
    """What was kept aside could not be removed completely; fact `server`."""

    code = "DRS-15"
    title = _("What was kept aside on {server} could not be removed completely.")
    advice = _("The detail says what is left; it is tried again by itself.")


class ChangedMeanwhile(PhpBorgError):
    """Containers were started, stopped or made while the archive was being extracted."""

    code = "DRS-17"
    title = _("The containers on the server have changed while the archive was being extracted.")
    advice = _("The detail names what differs. Keep others from starting or stopping them, and start it again.")
