"""What a drill of a Docker archive can find, and why there may be none."""

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class NothingToDrill(PhpBorgError):
    """Nothing of the archive may be started in a drill; the detail says why of each; fact `count`."""

    code = "DRL-01"
    title = _("None of the {count} containers of this archive can be started in a drill.")
    advice = _(
        "This says nothing about the archive. The detail has the reason for each: a drill gives a container nothing of "
        "its machine. Choose the depth “Read the contents” for this job."
    )


class NotWhole(PhpBorgError):
    """Something that the archive says it holds is not in it; facts `count`, `subjects`."""

    code = "DRL-02"
    title = _("What this archive says it holds is not all in it: {subjects}.")
    advice = _("Do not rely on this archive. Look at the backup that made it and at what the job reads.")


class WrongImage(PhpBorgError):
    """The archive holds another image than the container was made of; facts `container`, `image`."""

    code = "DRL-03"
    title = _("The image of “{container}” in this archive is not the one that it was made of ({image}).")
    advice = _("Its data may not fit another version. Make a new backup with the images saved.")


class ImageNotHere(PhpBorgError):
    """The image of the backup is neither in the archive nor on the engine; facts `container`, `image`, `other`."""

    code = "DRL-04"
    title = _("The image of “{container}” ({image}) is neither in the archive nor on this engine.")
    advice = _(
        "The detail says what its name means here by now: another version, which is not what was backed up. Have the "
        "job save images, or keep that version."
    )


class DoesNotComeUp(PhpBorgError):
    """A container does not reach its former state; fact `container`; its last lines are in the evidence."""

    code = "DRL-05"
    title = _("“{container}” does not come up from this archive.")
    advice = _(
        "The proof's page has the last lines that it wrote, and what a drill left out of it. If neither explains it, "
        "do not rely on this archive for that application: prove another one."
    )


class DatabaseUnreadable(PhpBorgError):
    """A database in a container was not read whole; fact `container`, the detail has its tool's words."""

    code = "DRL-06"
    title = _("The database in “{container}” starts, and cannot be read whole.")
    advice = _(
        "The detail has the words of the database's tool. Check the database on its server, and do not rely on this "
        "archive until the cause is known."
    )


class DrillLeft(PhpBorgError):
    """The drill is over and something of it is left; fact `server`."""

    code = "DRL-07"
    title = _("Something of the drill is left on {server}.")
    advice = _("It is tried again by itself. The detail says what resists.")


class DrillUnsafe(PhpBorgError):
    """A container asks for what a drill may not give it; fact `container`. A fault of phpBorg."""

    code = "DRL-08"
    title = _("“{container}” could reach something outside the drill, so it was not started.")
    advice = _("Nothing was started. Please report this, with the detail.")


class NothingDescribed(PhpBorgError):
    """The archive has no manifest, so nobody knows how its containers are made."""

    code = "DRL-09"
    title = _("This archive does not say how its containers are made.")
    advice = _("Only archives of Docker jobs do. Choose the depth “Read the contents” for the others.")


class NothingAnswers(PhpBorgError):
    """A question names a service that is not in the drill; facts `service`, `number`."""

    code = "DRL-10"
    title = _("Question {number} is for “{service}”, which is not in the drill.")
    advice = _("Correct the name at the job's proofs: a service or a container, or PROJECT/SERVICE/DATABASE.")


class NotJudged(PhpBorgError):
    """Something kept the drill from seeing whether it is good: time, a password, a tool; fact `container`."""

    code = "DRL-11"
    title = _("Whether “{container}” is good in this archive could not be seen.")
    advice = _(
        "This says nothing against the archive, and an earlier proof of it still holds. The detail says what was in "
        "the way: time, a password, a missing tool, or something that a drill does not have."
    )


class DumpNotLoaded(PhpBorgError):
    """A database refuses the dump that was made of it; fact `container`, the detail names the statement."""

    code = "DRL-12"
    title = _("The dump of “{container}” in this archive cannot be loaded.")
    advice = _(
        "It was loaded into a new database of the same container, as a restore does it. Do not rely on this archive "
        "for that database; the detail names the statement that was refused, or what is missing."
    )


# What says that the archive is not what it should be.
DISPROVED = (NotWhole, WrongImage, DoesNotComeUp, DatabaseUnreadable, DumpNotLoaded)
