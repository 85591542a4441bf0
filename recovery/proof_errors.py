"""What a proof of restore can find, and why there may be none."""

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class NothingToProve(PhpBorgError):
    """A job has no good archive; fact `job`."""

    code = "PRF-01"
    title = _("“{job}” has no good archive that could be proven.")
    advice = _("Look at its last backups: a proof needs one that succeeded and is still in the repository.")


class ListingDiffers(PhpBorgError):
    """The archive holds something else than its record says; facts `files`, `recorded`."""

    code = "PRF-02"
    title = _("The archive holds {files} files, and {recorded} were written into it.")
    advice = _("Do not rely on this archive. Check the repository, and look at the disk that it lies on.")


class ContentsUnreadable(PhpBorgError):
    """The contents cannot be read back; fact `count` (of files that were found so), the detail has borg's words."""

    code = "PRF-03"
    title = _("The contents of the archive cannot be read back whole.")
    advice = _(
        "Do not rely on this archive: data in the repository is damaged. Check the repository with all data, look at "
        "the disk that it lies on, and make a new backup."
    )


class DumpIncomplete(PhpBorgError):
    """A dump does not end as a whole one does; fact `path`."""

    code = "PRF-04"
    title = _("The dump “{path}” does not end as a complete one does.")
    advice = _("Do not rely on it. Look at the backup that made this archive, and make a new one.")


class NoServerStarts(PhpBorgError):
    """The files of a database do not start; fact `path`, the detail has the server's last words."""

    code = "PRF-05"
    title = _("No database server starts on “{path}” of the archive.")
    advice = _("Do not rely on this archive for that database. The detail has the server's own words.")


class DatabaseDamaged(PhpBorgError):
    """The engine's own checks found damage; facts `path`, `count`."""

    code = "PRF-06"
    title = _("The database in “{path}” starts, and its own checks find damage in {count} places.")
    advice = _("Do not rely on this archive. Check the database on its server before the next backup.")


class AnsweredOtherwise(PhpBorgError):
    """A query was answered otherwise than expected; facts `database`, `number`.

    Everybody reads errors, and mails carry them: the rows are in the evidence, for those who may see contents.
    """

    code = "PRF-07"
    title = _("Query {number} on “{database}” was answered otherwise than expected.")
    advice = _(
        "The proof's page has the rows. Look at what the archive holds; if the expectation is out of date, change it "
        "at the job's proofs."
    )


class QueryFailed(PhpBorgError):
    """A query was not answered at all; facts `database`, `number`, the detail has the server's words."""

    code = "PRF-08"
    title = _("Query {number} on “{database}” was not answered.")
    advice = _("Correct the query or the name of its database at the job's proofs; the detail says what was wrong.")


class NothingToAsk(PhpBorgError):
    """There are queries, and nothing in the archive could be started."""

    code = "PRF-09"
    title = _("There are queries to be asked, and no database of this archive could be started for them.")
    advice = _("Choose a depth without a start, or remove the queries: dumps and plain files cannot be asked.")


class NoPlaceToStart(PhpBorgError):
    """Nobody said where databases are started, and this machine is no server of phpBorg."""

    code = "PRF-10"
    title = _("There is no server on which the databases of a proof could be started.")
    advice = _("Choose one at the job's proofs: a server with a Docker engine, or this machine.")


class NotAllRead(PhpBorgError):
    """A database was started and not read to its end, without a word of damage; fact `path`."""

    code = "PRF-11"
    title = _("The database in “{path}” was not read to its end.")
    advice = _(
        "This says nothing about the archive, and its stamp stays as it was. The detail says what was in the way: give "
        "it a faster machine, or choose a depth without a start."
    )


# What says that the archive is not what it should be; anything else says that it could not be looked at.
DISPROVED = (
    ListingDiffers,
    ContentsUnreadable,
    DumpIncomplete,
    NoServerStarts,
    DatabaseDamaged,
    AnsweredOtherwise,
)
