"""Kinds of task of this room: send a letter, send a test."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from notifications.errors import MailNotConfigured, MailRefused, MailUnreachable, NoRecipient
from notifications.models import MailSettings
from notifications.services import letters, rules
from notifications.services.mailing import Letter, send
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome, kind

PAUSES_SECONDS = (20, 120)


def _send(context: TaskContext, letter: Letter, addresses: list[str], pauses: tuple[int, ...]) -> Outcome:
    """Try, and try again after each pause; a refusal for good (5xx) is not repeated."""
    settings = MailSettings.load()
    if not addresses:
        raise NoRecipient()
    for pause in (*pauses, None):
        context.stop.check()
        try:
            send(letter, addresses, settings)
            return Outcome(result={"recipients": len(addresses)})
        except (MailRefused, MailUnreachable) as error:
            context.log(f"{error.code} {error}")
            if pause is None or str(error.facts.get("status", "4")).startswith("5"):
                raise
            context.stop.wait(pause)
    raise AssertionError("unreachable")


@kind("mail_send", label=_("Mail"), queue="mail", is_system=True)
def run_mail_send(context: TaskContext) -> Outcome:
    """The letter about a task that has ended. Its failure never touches that task."""
    if not MailSettings.load().enabled:
        raise MailNotConfigured()
    task = Task.objects.get(pk=context.params["task"])
    letter = letters.about(task, context.params["letter"])
    return _send(context, letter, rules.recipients_of(task), PAUSES_SECONDS)


@kind("mail_test", label=_("Test mail"), queue="mail", retryable=False)
def run_mail_test(context: TaskContext) -> Outcome:
    """One letter to one address, at once and without a second try."""
    return _send(context, Letter("test", {}), [context.params["address"]], ())
