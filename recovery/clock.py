"""What this room does again and again."""

from phpborg.scheduling.clock import every
from recovery.services import browse, restores, sessions


@every(30)
def notice_dead_mounts() -> None:
    """An archive whose mount has died is said to be closed within a minute."""
    browse.check_open()


@every(60)
def forget_unused_logins() -> None:
    """A login that was given for a load does not outlive it, also when it never ran."""
    restores.forget_unused_logins()


@every(10)
def notice_ended_sessions() -> None:
    """A database out of an archive whose task was killed says so; what it held is the reaper's."""
    sessions.notice_ends()
