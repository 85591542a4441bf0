"""What can be expected to go wrong when servers are added, set up and removed. `SRV-…`."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class DuplicateServer(PhpBorgError):
    """The address or the identity belongs to a server that is already here; facts `server`, `address`."""

    code = "SRV-01"
    title = _("This is already the server “{server}” ({address}).")
    advice = _("Open that server instead. If this one is a copy of it, give the copy host keys of its own first.")


class FingerprintDiffers(PhpBorgError):
    """What was confirmed is not what the server offers; facts `offered`, `given`."""

    code = "SRV-02"
    title = _("The fingerprint does not match: the server offers {offered}.")
    advice = _("Compare it on the server itself. If it stays different, something stands between you and the server.")


class NothingToApprove(PhpBorgError):
    """No host key waits for approval; fact `server`."""

    code = "SRV-03"
    title = _("No host key of “{server}” waits for approval.")
    advice = _("Fetch the host key first.")


class NotApproved(PhpBorgError):
    """The host key was not approved yet, so nothing is sent; fact `server`."""

    code = "SRV-04"
    title = _("The identity of “{server}” has not been approved yet.")
    advice = _("Compare the fingerprint on the server's page and approve it; nothing is sent before that.")


class PasswordRefused(PhpBorgError):
    """The password did not open the account; facts `user`, `server`."""

    code = "SRV-05"
    title = _("“{server}” refused the password of {user}.")
    advice = _("Check it, or paste the public key on the server yourself. Many servers refuse passwords for root.")


class PythonMissing(PhpBorgError):
    """No usable Python on the server; fact `found`."""

    code = "SRV-06"
    title = _("Python 3.6 or newer was not found on the server.")
    advice = _("Install the package python3 there, then run set-up again.")


class HelperNotInstalled(PhpBorgError):
    """The program is missing or old and we may not install it."""

    code = "SRV-07"
    title = _("phpBorg's program is not installed on the server, or not in this version.")
    advice = _("Run the commands below as root on the server, then run set-up again.")


class BorgNotInstalled(PhpBorgError):
    """Borg is missing and we may not, or could not, install it."""

    code = "SRV-08"
    title = _("Borg is not installed on the server.")
    advice = _("Run the command below as root on the server, then run set-up again.")


class BorgVersion(PhpBorgError):
    """Borg is there, in a version that we do not speak; fact `version`."""

    code = "SRV-09"
    title = _("Borg {version} on the server is not supported.")
    advice = _("Install Borg 1.2 or 1.4 there, then run set-up again.")


class BackupHostUnknown(PhpBorgError):
    """Direct backups need to know how servers reach this host."""

    code = "SRV-10"
    title = _("The address of the backup host is not set.")
    advice = _(
        "Set PHPBORG_BACKUP_HOST and PHPBORG_BACKUP_HOST_USER to what servers connect to, or choose the tunnel: "
        "it needs neither."
    )


class DirectConnectionFailed(PhpBorgError):
    """The server could not reach borg on the backup host with its own key; fact `address`."""

    code = "SRV-11"
    title = _("The server cannot reach the backup host at {address}.")
    advice = _("Check the route and the firewall from the server to the backup host, or choose the tunnel.")


class ServerBusy(PhpBorgError):
    """Tasks of the server run or wait; facts `server`, `count`."""

    code = "SRV-12"
    title = _("“{server}” is busy: {count} of its tasks run or wait.")
    advice = _("Wait until they have ended, or cancel them first.")


class NameNotTyped(PhpBorgError):
    """The name that confirms a removal was not typed; fact `name`."""

    code = "SRV-13"
    title = _("The server's name was not typed exactly: {name}")
    advice = _("Type it as it is written to confirm the removal.")


class InstallFailed(PhpBorgError):
    """The package manager or a copy failed; the detail holds its words."""

    code = "SRV-14"
    title = _("The installation on the server failed.")
    advice = _("Read the detail, mend it on the server, and run set-up again.")


class ServerUnknown(PhpBorgError):
    """No server has this name or id; fact `name`."""

    code = "SRV-15"
    title = _("There is no server “{name}”.")
    advice = _("List the servers with: manage.py server list")


class LocalOnly(PhpBorgError):
    """Asked of this machine what only makes sense over SSH; fact `server`."""

    code = "SRV-16"
    title = _("“{server}” is this machine: it needs no SSH.")
    advice = _("Set-up and backups of it work without a key and without a choice of way.")
