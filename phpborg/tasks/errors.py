"""Expected failures of the queue itself."""

from django.utils.translation import gettext_lazy as _

from phpborg.errors import PhpBorgError


class TaskLost(PhpBorgError):
    """The heartbeat stopped: the worker was killed or the machine went down."""

    code = "TSK-01"
    title = _("The worker that ran this task disappeared.")
    advice = _(
        "What it had made was cleaned up. Run it again; if it happens again, look at the worker's log and at memory."
    )


class TimeLimit(PhpBorgError):
    """The task's own deadline passed."""

    code = "TSK-02"
    title = _("The time limit of {seconds} seconds was reached.")
    advice = _(
        "Raise the time limit of the job, or set it to 0 for none. The next run resumes from the last checkpoint."
    )


class Interrupted(PhpBorgError):
    """The service was stopped or restarted while the task ran."""

    code = "TSK-03"
    title = _("The service was stopped while this task ran.")
    advice = _("Run it again or wait for the next scheduled run; it resumes from the last checkpoint.")


class Crashed(PhpBorgError):
    """A defect of ours; the detail is the exception's last line, the traceback is in the log."""

    code = "TSK-04"
    title = _("phpBorg made a mistake while it ran this task.")
    advice = _("The log holds the details. Please report it; nothing was counted as a success.")


class TaskNotCancellable(PhpBorgError):
    """Asked to cancel what has ended or is being cancelled."""

    code = "TSK-05"
    title = _("This task cannot be cancelled: it has ended, or is being cancelled already.")
    advice = _("Reload the page to see its state.")


class TaskNotRetryable(PhpBorgError):
    """Asked to retry what still runs or what cannot be repeated."""

    code = "TSK-06"
    title = _("This task cannot be retried.")
    advice = _("Wait until it has ended, or start the operation again from its own page.")


class AlreadyActive(PhpBorgError):
    """The same work waits or runs already."""

    code = "TSK-07"
    title = _("The same task is already waiting or running.")
    advice = _("Wait until it has ended, or cancel it first.")
