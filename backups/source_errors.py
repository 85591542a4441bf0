"""What can be expected to keep a source from being planned: database servers as a server tells of them (`DBS-…`).

Facts: `engine` is the product's name, `instance` its id in the capability report.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class ServersUnknown(PhpBorgError):
    """The probe for this engine failed, was late or was not asked; fact `engine`. The detail is its problem."""

    code = "DBS-01"
    title = _("The server did not say which {engine} servers run on it.")
    advice = _("Look again on the server's page of capabilities. The detail says what kept it from answering.")


class InstanceGone(PhpBorgError):
    """The job's instance is not in the report; facts `engine` and `instance`."""

    code = "DBS-02"
    title = _("{engine} “{instance}” is not on the server any more.")
    advice = _(
        "If it was renamed, moved to another port or removed, edit the job and choose the server that it is now. "
        "Older archives are kept."
    )


class InstanceStopped(PhpBorgError):
    """It does not run, so it cannot be asked; facts `engine` and `instance`."""

    code = "DBS-03"
    title = _("{engine} “{instance}” is not running.")
    advice = _("Start it and run the job again. Older archives are kept.")


class InstanceContained(PhpBorgError):
    """It runs in a container, where its paths and sockets are not those of the server; facts as above."""

    code = "DBS-04"
    title = _("{engine} “{instance}” runs in a container.")
    advice = _("Back it up with Docker: its volumes belong to the container, and the server's own tools do not see it.")


class LoginFailed(PhpBorgError):
    """No login works; facts as above. The detail is the database server's own answer."""

    code = "DBS-05"
    title = _("No login works for {engine} “{instance}”.")
    advice = _(
        "The page of the server's capabilities says how to let phpBorg in without a password. Or give a user and a "
        "password in the job."
    )


class InstanceUnclear(PhpBorgError):
    """A fact without which it cannot be reached or read is not known; facts as above and `missing`."""

    code = "DBS-06"
    title = _("Too little is known of {engine} “{instance}”: {missing}.")
    advice = _("Look again on the server's page of capabilities, with the database server running.")


class DatabaseGone(PhpBorgError):
    """A chosen database does not exist; facts as above and `names`."""

    code = "DBS-07"
    title = _("{engine} “{instance}” has no database of this name any more: {names}")
    advice = _("Take it out of the job's list, or create it again. Nothing was backed up; older archives are kept.")


class DatabaseNotDumped(PhpBorgError):
    """A chosen database cannot be dumped on its own; facts as above, `name` and `reason`."""

    code = "DBS-08"
    title = _("The database “{name}” of {engine} “{instance}” cannot be chosen: {reason}.")
    advice = _("Take it out of the job's list. A physical method holds it together with all others.")


class TooManyStreams(PhpBorgError):
    """An archive would need more streams than one run carries; facts `count` and `limit`."""

    code = "DBS-09"
    title = _("{count} databases and files are too many for one job; {limit} are allowed.")
    advice = _("Choose a physical method, or divide the databases among several jobs.")


class SnapshotImpossible(PhpBorgError):
    """The data cannot be frozen; facts `engine` and `instance`. The detail says why, and what to do."""

    code = "DBS-10"
    title = _("No snapshot can hold {engine} “{instance}”.")
    advice = _("The detail says why and what would make it possible. Until then choose another method for the job.")


class ToolMissing(PhpBorgError):
    """A program is not installed on the server; facts `tool` and `package`."""

    code = "DBS-11"
    title = _("{tool} is not installed on the server.")
    advice = _("Install it there (package {package}), then run the job again.")


class LogTooBrief(PhpBorgError):
    """PostgreSQL writes too little log for an online copy; facts as above and `level`."""

    code = "DBS-12"
    title = _("{engine} “{instance}” writes too little of its log for a copy while it runs (wal_level = {level}).")
    advice = _("Set wal_level = replica in postgresql.conf and restart it, or choose another method for the job.")


class VersionTooOld(PhpBorgError):
    """The server's version lacks what the method needs; facts as above, `version` and `needed`."""

    code = "DBS-13"
    title = _("{engine} “{instance}” is version {version}; this needs version {needed} or later.")
    advice = _("Upgrade it, or choose another method for the job.")


class RepositoryPathMissing(PhpBorgError):
    """Elasticsearch has no directory that snapshots may be written to; facts as above, `file` and `owner`."""

    code = "DBS-14"
    title = _("{engine} “{instance}” has no directory for its snapshots.")
    advice = _(
        "Add a directory as path.repo to {file}, for example /srv/es-snapshots, give that directory to the account "
        "{owner}, restart the node and look again. Or choose another method for the job."
    )


class NothingToRead(PhpBorgError):
    """After a fresh look nothing is known that could be read. The detail is the database server's own answer."""

    code = "DBS-15"
    title = _("The server did not say what is to be backed up.")
    advice = _("As a rule the login that was given does not work any more: correct it in the job and run it again.")
