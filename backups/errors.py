"""What can be expected to go wrong with a repository, an archive or a run of borg.

Codes `BRG-…` name what borg met; `BKP-…` what a backup met. `facts` never hold a secret.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class BorgError(PhpBorgError):
    """Borg ended with an error that has no class of its own; the detail holds its words."""

    code = "BRG-01"
    title = _("Borg could not finish.")
    advice = _("Read Borg's own words below and the task's log.")


class PassphraseWrong(BorgError):
    """The stored passphrase does not open the repository's key."""

    code = "BRG-02"
    title = _("The passphrase is wrong.")
    advice = _("Enter the repository's passphrase again. It is used exactly as typed, spaces included.")


class PassphraseMissing(BorgError):
    """The repository is encrypted and no passphrase is stored."""

    code = "BRG-03"
    title = _("A passphrase is needed.")
    advice = _("This repository is encrypted: enter its passphrase.")


class RepositoryMissing(BorgError):
    """Nothing is at the repository's path; fact `path`."""

    code = "BRG-04"
    title = _("There is no repository at {path}.")
    advice = _("Check that the disk of the storage pool is mounted and that the path is right.")


class RepositoryNotBorg(BorgError):
    """Something is at the path, but not a usable borg repository; fact `path`."""

    code = "BRG-05"
    title = _("{path} is not a Borg repository that this version can read.")
    advice = _("Choose the directory that holds the files “config” and “data”, made by Borg 1.1, 1.2 or 1.4.")


class RepositoryExists(BorgError):
    """A repository cannot be made here, because the place is taken; fact `path`."""

    code = "BRG-06"
    title = _("{path} already exists and is not empty.")
    advice = _("Choose another path, or import the repository that is there.")


class ArchiveExists(BorgError):
    """The name is taken; borg never overwrites; fact `archive`."""

    code = "BRG-07"
    title = _("An archive named “{archive}” already exists.")
    advice = _("Start the backup again: each run makes its own name. Nothing was overwritten.")


class ArchiveMissing(BorgError):
    """The archive is not in the repository (any more); fact `archive`."""

    code = "BRG-08"
    title = _("The archive “{archive}” is not in the repository.")
    advice = _("It may have been removed outside this application: synchronise the repository and look again.")


class LockBusy(BorgError):
    """Somebody else holds the lock; facts `holder` (host and process) and `path`."""

    code = "BRG-09"
    title = _("The repository is in use by {holder}.")
    advice = _(
        "Wait until that process has ended. If its machine is gone for good, an administrator may break the lock."
    )


class RepositoryRelocated(BorgError):
    """Borg knew this repository at another place; facts `old` and `new`."""

    code = "BRG-10"
    title = _("This repository was known at {old} and is now at {new}.")
    advice = _("If you moved it, confirm the new place once; if not, stop and check who did.")


class UnknownUnencrypted(BorgError):
    """Borg found an unencrypted repository that it never met, and we expected an encrypted one."""

    code = "BRG-11"
    title = _("This repository is not encrypted, and it was not declared so.")
    advice = _(
        "If that is right, set its encryption to “none” (or “authenticated”). If it was encrypted before, stop: "
        "it was replaced."
    )


class RepositoryReplay(BorgError):
    """The repository is older than what was seen before: put back from a copy, or replaced."""

    code = "BRG-12"
    title = _("The repository is older than it was at the last contact.")
    advice = _(
        "Somebody put back an older copy, or swapped the repository. If you did it on purpose, an administrator "
        "may accept the older state; archives made since are marked as missing. Nothing is deleted by itself."
    )


class RepositoryIdentityChanged(BorgError):
    """Another repository is at this path; facts `expected` and `found`."""

    code = "BRG-13"
    title = _("Another repository is at this place: expected {expected}, found {found}.")
    advice = _("Nothing was written. Check the mounted disk and the path before you go on.")


class EncryptionChanged(BorgError):
    """The encryption mode is not the one that was pinned; facts `expected` and `found`."""

    code = "BRG-14"
    title = _("The repository's encryption is “{found}”, but “{expected}” was expected.")
    advice = _("If it was replaced by somebody else, stop. If it was declared wrongly, correct the declaration.")


class KeyReplaced(BorgError):
    """Somebody with a way to the repository replaced its key; fact `name`."""

    code = "BRG-31"
    title = _("The key of the repository “{name}” had been replaced. The right one was put back.")
    advice = _(
        "A server that backs up into it did this, or somebody in its place. Stop its jobs, look at that server, "
        "and check the repository before you rely on it."
    )


class DiskFull(BorgError):
    """No space is left where the repository lives."""

    code = "BRG-15"
    title = _("The repository's disk is full.")
    advice = _(
        "Free space on the disk of the storage pool, or remove old archives and compact the repository. "
        "Older archives are intact."
    )


class QuotaExceeded(BorgError):
    """The repository's own quota is used up."""

    code = "BRG-16"
    title = _("The repository's storage quota is used up.")
    advice = _("Raise the quota, or remove old archives and compact the repository.")


class BorgMissing(BorgError):
    """There is no borg where it was called; fact `host`."""

    code = "BRG-17"
    title = _("Borg was not found on {host}.")
    advice = _("Install the package “borgbackup” there, or set the path of Borg.")


class BorgTooOld(BorgError):
    """The borg there is not one that we speak; facts `host` and `version`."""

    code = "BRG-18"
    title = _("Borg {version} on {host} is not supported.")
    advice = _("Install Borg 1.2 or 1.4.")


class ProtocolPolluted(BorgError):
    """Something else than borg wrote into borg's connection; the detail quotes it."""

    code = "BRG-19"
    title = _("Text from a login script got into Borg's connection to {host}.")
    advice = _("Silence the login scripts (.bashrc, .profile, a forced command) for connections without a terminal.")


class ConnectionLost(BorgError):
    """The connection between borg and its repository ended too early; fact `host`."""

    code = "BRG-20"
    title = _("The connection to {host} was lost.")
    advice = _("Check the network and the server; the next run continues from the last checkpoint.")


class InvalidPlaceholder(BorgError):
    """Borg refused a name because of braces in it."""

    code = "BRG-21"
    title = _("A name holds a placeholder that Borg does not know.")
    advice = _("Remove the braces from the name.")


class UsageRefused(BorgError):
    """Borg did not understand the command that it got."""

    code = "BRG-22"
    title = _("Borg refused the command.")
    advice = _("Check the versions of Borg on both sides, then report this with the log.")


class RepositoryDamaged(BorgError):
    """Borg found data that does not match its checksum or its index."""

    code = "BRG-23"
    title = _("The repository is damaged.")
    advice = _("Do not delete anything. Run a check, look at the disk's health, and keep a copy before any repair.")


class RepositoryNotReadable(BorgError):
    """The operating system refuses us the repository's files; fact `path`."""

    code = "BRG-24"
    title = _("The files of the repository at {path} may not be accessed.")
    advice = _("Give the account that runs this application the ownership of the repository's files.")


class AccessRefused(BorgError):
    """`borg serve` is restricted to another repository; fact `path`."""

    code = "BRG-25"
    title = _("The backup host does not allow this server to use the repository {path}.")
    advice = _("Run the server's setup again: it writes the restriction for its repositories.")


class KeyMissing(BorgError):
    """The key that belongs to the repository is not in it and not on this host."""

    code = "BRG-26"
    title = _("The repository's key was not found.")
    advice = _("Import the exported key into the repository. Without it the archives cannot be read.")


class ViewImpossible(BorgError):
    """No hard-linked view can be made; fact `reason`."""

    code = "BRG-27"
    title = _("A view of the repository cannot be made: {reason}")
    advice = _("Keep views on the same filesystem as the repository. Until then, reading holds the repository's lock.")


class MountFailed(BorgError):
    """An archive could not be mounted."""

    code = "BRG-28"
    title = _("The archive could not be mounted.")
    advice = _("Check that FUSE is available (package “python3-llfuse” or “python3-pyfuse3”, device /dev/fuse).")


class UnmountFailed(BorgError):
    """A mount point is still in use; fact `path`."""

    code = "BRG-29"
    title = _("{path} could not be unmounted.")
    advice = _("A program still uses it. It is tried again automatically.")


class SourceMissing(BorgError):
    """What was to be backed up is not there; fact `paths`."""

    code = "BKP-01"
    title = _("What is to be backed up is missing: {paths}")
    advice = _("Check that the disk is mounted and that the path is right. Older archives are kept.")


class ArchiveUnproven(BorgError):
    """Borg's exit status looked harmless, but the archive is not in the repository; fact `status`."""

    code = "BKP-02"
    title = _("No archive was made, although the command ended with status {status}.")
    advice = _("Read the detail: the command may not have reached Borg (sudo, a shell, the connection).")


class TimeLimit(BorgError):
    """The run was ended by its own time limit; fact `seconds`."""

    code = "BKP-03"
    title = _("The time limit was reached.")
    advice = _("Raise the job's time limit, or set it to 0 for none. The next run continues from the last checkpoint.")


class Killed(BorgError):
    """Borg was ended by a signal that we did not send; fact `signal`."""

    code = "BKP-04"
    title = _("Borg was killed ({signal}).")
    advice = _("Look for a lack of memory or a shutdown at that time; the next run continues from the last checkpoint.")


class ForeignArchive(BorgError):
    """An archive of that name exists, but it is not the one that this run reported; fact `archive`."""

    code = "BKP-05"
    title = _("The archive “{archive}” in the repository is not the one that this run made.")
    advice = _("Synchronise the repository and compare before you rely on it.")


class NothingRestored(BorgError):
    """None of the chosen paths is in the archive."""

    code = "BKP-06"
    title = _("Nothing was restored: none of the chosen paths is in the archive.")
    advice = _("Open the archive again and choose from what it shows now.")


class TargetFull(BorgError):
    """The disk that is restored to is full."""

    code = "BKP-07"
    title = _("The disk that is restored to is full.")
    advice = _("Free space there, or choose another folder. What was written so far is incomplete.")


class Interrupted(BorgError):
    """A maintenance command was ended because somebody asked for it."""

    code = "BKP-08"
    title = _("The operation was stopped on request.")
    advice = _("Borg freed its lock and kept the repository consistent; start it again when it suits.")


class AnswerUnreadable(BorgError):
    """Borg's JSON lacks a field that we rely on; fact `field`."""

    code = "BRG-30"
    title = _("Borg's answer could not be read ({field}).")
    advice = _("Check the version of Borg, then report this with the log.")


class RepositoryInUse(PhpBorgError):
    """Something of ours uses the repository; facts `name`, `users`."""

    code = "STO-01"
    title = _("The repository “{name}” is in use: {users}.")
    advice = _("Wait until it has ended, or cancel it and close the open archives first.")
