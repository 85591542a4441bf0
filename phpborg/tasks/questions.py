"""What is asked before a task is ended, by whichever page asks it.

`templates/tasks/_stop_question.html` asks the same where there is JavaScript.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from phpborg.tasks import registry
from phpborg.tasks.models import Task
from phpborg.ui.confirm import Confirmation


def stop_session(back: str) -> Confirmation:
    """Before a database is taken down that lives until it is stopped."""
    return Confirmation(
        title=_("Stop this session?"),
        text=_(
            "Whoever works in the database is sent away, and what was written is thrown away. "
            "The archive stays as it is."
        ),
        action=_("Stop the session"),
        back=back,
    )


def cancel(task: Task, what: str) -> Confirmation:
    """Before a task is told to end; one that keeps something alive is asked about as what it keeps."""
    if registry.page_of(task.kind):
        return stop_session(task.get_absolute_url())
    return Confirmation(
        title=_("Cancel this task?"),
        text=_("“{task}” is ended in order. What it has made so far is cleaned up.").format(task=what),
        action=_("Cancel the task"),
        back=task.get_absolute_url(),
        tone="warn",
    )
