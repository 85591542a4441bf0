"""What can be wrong with a schedule that a person wrote."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class CronInvalid(PhpBorgError):
    """A cron text cannot be used; `key` names the field, `problem` says what is wrong with it.

    `key` is `minute`, `hour`, `day`, `month`, `weekday`, or `expression` when the fault is in no
    single field. The facts are already in the reader's language: a form shows them at once.
    """

    code = "CRON-01"
    title = _("The schedule cannot be used – {field}: {problem}")
    advice = _(
        "Write five fields: minute, hour, day of the month, month, day of the week. "
        "For example “0 2 * * *” is every day at 02:00."
    )

    def __init__(self, *, key: str, field: str, problem: str) -> None:
        self.key = key
        self.problem = problem
        super().__init__(field=field, problem=problem)
