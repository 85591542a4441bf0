"""Sending one message: time-limited, its failure in our words, no answer of the server shown to people."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass

from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend
from django.template.loader import render_to_string
from django.utils import translation

from notifications.errors import MailNotConfigured, MailRefused, MailUnreachable
from notifications.models import MailSettings
from phpborg.accounts.models import User
from phpborg.ui.models import Installation

TIMEOUT_SECONDS = 15


@dataclass(frozen=True)
class Letter:
    """What is to be said: a template's name and plain values for it. Rendered for each reader's language."""

    template: str  # templates/notifications/<template>.txt, .html; the first line of the .txt is the subject
    context: dict[str, object]


def split(addresses: str) -> list[str]:
    """Addresses of a comma-separated field."""
    return [address.strip() for address in addresses.split(",") if address.strip()]


def language_of(address: str) -> str:
    """The language of the user with this address, else French, the installation's own."""
    user = User.objects.filter(email__iexact=address, is_active=True).only("language").first()
    return user.language if user else "fr"


def backend(settings: MailSettings) -> EmailBackend:
    """A connection with our time limit. Raises MailNotConfigured, SecretUnreadable."""
    if not settings.host or not settings.sender:
        raise MailNotConfigured()
    return EmailBackend(
        host=settings.host,
        port=settings.port,
        username=settings.user,
        password=settings.password.reveal() if settings.password else "",
        use_tls=settings.security == MailSettings.Security.STARTTLS,
        use_ssl=settings.security == MailSettings.Security.TLS,
        timeout=TIMEOUT_SECONDS,
        fail_silently=False,
    )


def send(letter: Letter, addresses: list[str], settings: MailSettings) -> None:
    """Send to each address on its own, in its reader's language. Raises MailRefused, MailUnreachable."""
    connection = backend(settings)
    name = Installation.load().application_name
    messages = [_message(letter, address, settings, name, connection) for address in addresses]
    try:
        connection.send_messages(messages)
    except smtplib.SMTPResponseException as error:
        raise MailRefused(status=error.smtp_code) from error
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        raise MailRefused(status=", ".join(map(str, codes))) from error
    except (smtplib.SMTPException, ssl.SSLError, OSError) as error:
        raise MailUnreachable(type(error).__name__, host=settings.host) from error


def _message(
    letter: Letter, address: str, settings: MailSettings, name: str, connection: EmailBackend
) -> EmailMultiAlternatives:
    with translation.override(language_of(address)):
        context = {**letter.context, "application_name": name, "language": translation.get_language()}
        text = render_to_string(f"notifications/{letter.template}.txt", context)
        subject, _, body = text.partition("\n")
        html = render_to_string(f"notifications/{letter.template}.html", {**context, "subject": subject})
    message = EmailMultiAlternatives(
        # One line, whatever a job is called: a header can never be ended from inside.
        subject=" ".join(f"[{name}] {subject}".split()),
        body=body.lstrip("\n"),
        from_email=settings.sender,
        to=[address],
        connection=connection,
        headers={"Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(html, "text/html")
    return message
