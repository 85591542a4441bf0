"""What can be expected to go wrong with mail."""

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class MailNotConfigured(PhpBorgError):
    """Mail is switched off or not filled in."""

    code = "MAIL-01"
    title = _("Mail is not set up.")
    advice = _("Fill in the mail server and the sender, switch mail on, then send a test.")


class NoRecipient(PhpBorgError):
    """Nobody is to be told."""

    code = "MAIL-02"
    title = _("There is nobody to write to.")
    advice = _("Enter recipients in the mail settings or in the job.")


class MailRefused(PhpBorgError):
    """The server answered with a refusal; fact `status`. Its words are kept for the log only."""

    code = "MAIL-03"
    title = _("The mail server refused the message ({status}).")
    advice = _("Check user, password, sender and recipients. A refusal that begins with 4 passes by itself.")


class MailUnreachable(PhpBorgError):
    """No conversation with the server came about; fact `host`."""

    code = "MAIL-04"
    title = _("The mail server {host} does not answer.")
    advice = _("Check host, port and security, and whether a firewall is between.")
