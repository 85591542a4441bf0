"""The clock of this installation: `manage.py clock` runs until SIGTERM, `--once` does one tick.

Exit code: 0; with `--once` 1 when a part of the tick failed.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from phpborg.scheduling import clock
from phpborg.tasks import reaper

log = logging.getLogger(__name__)


class Command(BaseCommand):
    """Ticks: due schedules, what a crash left behind, idle sessions, old history."""

    help = "Run the clock: due jobs, clean-up after crashes, idle sessions. Ends with SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="one tick, then end")

    def handle(self, *args: Any, once: bool = False, **options: Any) -> None:
        if once:
            failed = clock.tick()
            for name in failed:
                self.stderr.write(name)
            sys.exit(1 if failed else 0)
        ended = threading.Event()

        def end(_number: int, _frame: FrameType | None) -> None:
            ended.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        clock.load()
        try:
            reaper.at_boot()
        except Exception:
            log.exception("clock: the look after a crash failed")
        # A signal is answered after the tick that runs: nothing is left half done.
        while not ended.is_set():
            began = time.monotonic()
            # A database that was restarted meanwhile is found again.
            close_old_connections()
            clock.tick()
            ended.wait(max(settings.CLOCK_SECONDS - (time.monotonic() - began), 0.1))
