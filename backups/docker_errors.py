"""What can be expected to keep a Docker backup from being planned (codes `DKB-…`)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from backups.job_errors import SnapshotOverflowed
from phpborg.errors import PhpBorgError


class EngineUnknown(PhpBorgError):
    """The probe for Docker failed, was late or was not asked. The detail is its problem."""

    code = "DKB-01"
    title = _("The server did not say what its Docker engine holds.")
    advice = _("Look again on the server's page of capabilities. The detail says what kept it from answering.")


class EngineStopped(PhpBorgError):
    """There is no engine, or none that answers. The detail is the server's own words."""

    code = "DKB-02"
    title = _("The server's Docker engine does not answer.")
    advice = _(
        "Start it and run the job again. Without it nobody can say which volumes and containers there are, so nothing "
        "is backed up; older archives are kept."
    )


class SwarmTask(PhpBorgError):
    """The job would stop or pause a task of a Swarm; facts `container` and `stack`."""

    code = "DKB-03"
    title = _("“{container}” is a task of the Swarm service “{stack}” and cannot be stopped or paused by itself.")
    advice = _(
        "The Swarm would start another one in its place at once. Choose in the job to leave it running or to dump it, "
        "or scale the service down in a hook before the backup."
    )


class VolumeAmbiguous(PhpBorgError):
    """A volume was named without its project's prefix, and several projects have one; facts `name` and `volumes`."""

    code = "DKB-04"
    title = _("Several projects have a volume “{name}”: {volumes}.")
    advice = _("Edit the job and choose the volume under its full name.")


class DumpImpossible(PhpBorgError):
    """The job wants a dump of a container that holds no database server that is known; fact `container`."""

    code = "DKB-05"
    title = _("No database server was recognised in “{container}”, so it cannot be dumped.")
    advice = _("Edit the job: let it be stopped or paused in place of that, or leave it running.")


class NotKept(SnapshotOverflowed):
    """Something that was to be read did not stay there to the end; fact `server`. The detail says what."""

    code = "DKB-06"
    title = _("What Docker held on “{server}” did not stay as it was until it had been read.")
    advice = _(
        "No archive was kept. Look whether the engine was restarted or a volume was unmounted, and run it again."
    )


class RestoreRuns(PhpBorgError):
    """A restore changes the engine that was to be backed up; fact `server`."""

    code = "DKB-07"
    title = _("A Docker restore is running on “{server}”, or is being rolled back: nothing was backed up meanwhile.")
    advice = _("Run the job again when it has ended; what is being replaced would be in the archive.")
