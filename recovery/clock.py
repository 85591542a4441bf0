"""What this room does again and again."""

from phpborg.scheduling.clock import every
from recovery.services import browse


@every(30)
def notice_dead_mounts() -> None:
    """An archive whose mount has died is said to be closed within a minute."""
    browse.check_open()
