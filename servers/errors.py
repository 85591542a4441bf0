"""What can be expected to go wrong between us and a server: `SSH-…` the way there, `HLP-…` the helper there."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class HostUnreachable(PhpBorgError):
    """No connection; facts `address`, `port`."""

    code = "SSH-01"
    title = _("{address} cannot be reached on port {port}.")
    advice = _("Check that the machine is on, that its address is right and that no firewall is in the way.")


class HostKeyChanged(PhpBorgError):
    """The server shows another key than the one that was approved; fact `address`."""

    code = "SSH-02"
    title = _("The identity of {address} has changed. Nothing was sent to it.")
    advice = _("If you reinstalled it, accept its new key; if not, stop and check the network.")


class HostKeyUnknown(PhpBorgError):
    """No key was approved yet; fact `address`."""

    code = "SSH-03"
    title = _("The identity of {address} has not been approved yet.")
    advice = _("Fetch its host key, compare the fingerprint on the server itself, and approve it.")


class AuthenticationFailed(PhpBorgError):
    """The server does not accept our key (or the password); facts `user`, `address`."""

    code = "SSH-04"
    title = _("{address} does not let {user} in.")
    advice = _("Check that our public key is in the account's authorized_keys and that the account may sign in.")


class TimedOut(PhpBorgError):
    """The connection is open but nothing answers; fact `address`."""

    code = "SSH-05"
    title = _("{address} has stopped answering.")
    advice = _("Check the machine's load and the network; what had been started there ends by itself.")


class NoisyLogin(PhpBorgError):
    """The account answers with text instead of starting our program; fact `address`."""

    code = "SSH-06"
    title = _("{address} answered with a text of its own instead of starting our program.")
    advice = _(
        "Look at the account's login shell, its start-up files and any ForceCommand; the detail quotes the text."
    )


class ConnectionLost(PhpBorgError):
    """The connection broke while something ran; fact `address`."""

    code = "SSH-07"
    title = _("The connection to {address} was lost before the end.")
    advice = _("What had been started there ends by itself. Run it again; if it happens often, check the network.")


class ForwardingRefused(PhpBorgError):
    """sshd does not let us open the tunnel's socket; fact `address`."""

    code = "SSH-08"
    title = _("{address} does not allow the tunnel.")
    advice = _(
        "Set “AllowStreamLocalForwarding yes” (and no “DisableForwarding”) in its sshd_config, "
        "or choose the direct mode."
    )


class UnusableKey(PhpBorgError):
    """A key or a repository path that cannot go into authorized_keys safely."""

    code = "SSH-09"
    title = _("This key or repository path cannot be written to authorized_keys.")
    advice = _("Use a plain public key, and a repository path without quotes, backslashes and control characters.")


class SudoRefused(PhpBorgError):
    """sudo did not start our program; `detail` is its own sentence; facts `user`, `address`."""

    code = "HLP-01"
    title = _("sudo on {address} does not let {user} start phpborg-remote.")
    advice = _("Install the file sudoers/phpborg-server on that machine as its first lines say.")


class HelperMissing(PhpBorgError):
    """Our program is not on the server; facts `address`, `path`."""

    code = "HLP-02"
    title = _("phpborg-remote is not installed on {address} ({path}).")
    advice = _("Run the server's set-up.")


class HelperOutdated(PhpBorgError):
    """Our program on the server is too old for this request; fact `address`."""

    code = "HLP-03"
    title = _("phpborg-remote on {address} is too old.")
    advice = _("Run the server's set-up again; it brings the program up to date.")


class PythonMissing(PhpBorgError):
    """Our program is there but its Python is not; fact `address`."""

    code = "HLP-04"
    title = _("There is no /usr/bin/python3 on {address}.")
    advice = _("Install the package python3 (3.6 or newer) there.")


class BorgMissing(PhpBorgError):
    """No borg on the server; fact `address`."""

    code = "HLP-05"
    title = _("borg was not found on {address}.")
    advice = _("Install the package borgbackup there, or run the server's set-up.")


class RequestRefused(PhpBorgError):
    """The program on the server does not do this; `detail` says why; fact `address`."""

    code = "HLP-06"
    title = _("phpborg-remote on {address} refused this request.")
    advice = _("The detail names what is not allowed. Correct it in the job or the restore.")


class PolicyForbids(PhpBorgError):
    """The administrator of the server forbids it in /etc/phpborg/policy.json; fact `address`."""

    code = "HLP-07"
    title = _("The policy of {address} does not allow this.")
    advice = _("Choose another path, or ask that server's administrator to change /etc/phpborg/policy.json.")


class UnsafePath(PhpBorgError):
    """A symbolic link, a mount or another owner is where none may be; fact `address`."""

    code = "HLP-08"
    title = _("A path on {address} is not safe to use.")
    advice = _("The detail names it. Give the real path, without symbolic links.")


class RemoteFailed(PhpBorgError):
    """The system of the server refused something; `detail` has its words; fact `address`."""

    code = "HLP-09"
    title = _("An operation on {address} failed.")
    advice = _("The detail has the system's own words.")


class RemoteStopped(PhpBorgError):
    """The program on the server was asked to end before it was done; fact `address`."""

    code = "HLP-10"
    title = _("The operation on {address} was stopped before its end.")
    advice = _("Run it again.")


class RemotePathMissing(PhpBorgError):
    """Something that was named is not on the server; fact `address`."""

    code = "HLP-11"
    title = _("Something that is needed is not on {address}.")
    advice = _("The detail names it.")


class StreamFailed(PhpBorgError):
    """What a tool was to print into an archive is not whole: there is no archive of it; fact `address`."""

    code = "HLP-12"
    title = _("The data that a tool on {address} was to hand over is not complete.")
    advice = _(
        "The detail has the tool's own words. Nothing of it was kept as an archive; mend the cause, run it again."
    )


class SnapshotFailed(PhpBorgError):
    """A snapshot could not be made, mounted or removed; fact `address`."""

    code = "HLP-13"
    title = _("A snapshot on {address} failed.")
    advice = _("The detail has the words of the volume manager. What was half made was removed again.")


class SnapshotNoRoom(PhpBorgError):
    """The volume group has not the room that a snapshot needs; fact `address`."""

    code = "HLP-14"
    title = _("A snapshot on {address} does not fit.")
    advice = _("Free space in the volume group or add a disk to it; the detail has the numbers.")


class HoldFailed(PhpBorgError):
    """A database server could not be kept still, or not until its snapshot was made; fact `address`."""

    code = "HLP-15"
    title = _("The database server on {address} could not be kept still for its snapshot.")
    advice = _("The detail says why, and what was running. Nothing is locked any more; run it again at a quieter time.")


class SessionFailed(PhpBorgError):
    """A database that was to run, or ran, out of an archive does not; fact `address`."""

    code = "HLP-16"
    title = _("The database on {address} does not run out of the archive.")
    advice = _("The detail says which part failed and quotes its last words. Nothing of it is left on the server.")


class DockerAway(PhpBorgError):
    """No Docker engine that we could use; fact `address`."""

    code = "HLP-17"
    title = _("No Docker engine on {address} can be used.")
    advice = _("Install or start Docker there, or choose another server; the detail says where we looked.")


class MountsHidden(PhpBorgError):
    """The Docker engine does not see what our program has mounted; fact `address`."""

    code = "HLP-18"
    title = _("The Docker engine on {address} does not see the archive that was mounted for it.")
    advice = _(
        "phpBorg's program and the engine are in different mount namespaces: a service with PrivateTmp, PrivateMounts "
        "or MountFlags, or one of them in a container. Take these settings out of the service and start both anew."
    )


class MemoryExhausted(PhpBorgError):
    """A database out of an archive needed more memory than its container may use; fact `address`."""

    code = "HLP-19"
    title = _("The database on {address} needed more memory than it is given: the kernel ended it.")
    advice = _(
        "This says nothing about the archive. Give these databases more memory (PHPBORG_RECOVERY_MEMORY, in MiB) and "
        "try again, or choose a server that has more of it."
    )


class LayersFull(PhpBorgError):
    """No room is left for what a database out of an archive writes; fact `address`."""

    code = "HLP-20"
    title = _("There is no room on {address} for what the database writes.")
    advice = _(
        "This says nothing about the archive. Make room on the disk that the detail names, or choose another server."
    )


class CarrierEnded(PhpBorgError):
    """The mount of the archive or the layer above it ended below a running database; fact `address`."""

    code = "HLP-21"
    title = _("What carries the database on {address} has ended, and the database with it.")
    advice = _(
        "This says nothing about the archive. The detail has the last words: look whether the way to the repository "
        "broke, or whether that machine ran out of memory, and try again."
    )


class ReadyTooLate(PhpBorgError):
    """A database out of an archive was still at work when its time was over; fact `address`."""

    code = "HLP-22"
    title = _("The database on {address} was not ready in time.")
    advice = _(
        "This says nothing about the archive: its server may still have been busy with its log. The detail has its "
        "last words; try again when that machine has less to do, or choose a faster one."
    )


class RemainsLeft(PhpBorgError):
    """What was made for a database out of an archive could not be taken away at once; fact `address`."""

    code = "HLP-23"
    title = _("Something of the database on {address} could not be removed at once.")
    advice = _(
        "This says nothing about the archive. It is tried again every minute; the detail says what is in the way."
    )


class DockerRefused(PhpBorgError):
    """Docker's engine refused an order, or a container is not as a restore needs it; fact `address`."""

    code = "HLP-24"
    title = _("Docker on {address} did not do what a restore needs.")
    advice = _("The detail is what its engine said. Correct the cause there, and start again.")


class DumpRefused(DockerRefused):
    """A new database does not take a dump of it, or not as much as it holds; fact `address`."""

    code = "HLP-25"
    title = _("A database in a container on {address} could not be loaded from its dump.")
    advice = _(
        "The detail names the statement that was refused, or what is missing. Take an older archive, or have the "
        "database's volume put back as it lay."
    )


# What phpborg-remote calls it, and what it is for us.
REFUSALS: dict[str, type[PhpBorgError]] = {
    "invalid": RequestRefused,
    "outdated": HelperOutdated,
    "policy": PolicyForbids,
    "unsafe": UnsafePath,
    "borg-missing": BorgMissing,
    "io": RemoteFailed,
    "exists": RemoteFailed,
    "stopped": RemoteStopped,
    "missing": RemotePathMissing,
    "stream": StreamFailed,
    "snapshot": SnapshotFailed,
    "no-room": SnapshotNoRoom,
    "hold": HoldFailed,
    "instant": SessionFailed,
    "no-port": SessionFailed,
    "docker": RemainsLeft,
    "busy": RemainsLeft,
    "late": ReadyTooLate,
    "memory": MemoryExhausted,
    "room": LayersFull,
    "carrier": CarrierEnded,
    "engine": DockerRefused,
    "bad-dump": DumpRefused,
    "docker-missing": DockerAway,
    "docker-away": DockerAway,
    "mounts-hidden": MountsHidden,
}
