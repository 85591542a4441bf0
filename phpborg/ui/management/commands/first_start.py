"""Make a new installation ready: `manage.py first_start [--admin-user NAME] [--email ADDRESS] [--pool DIR]`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from phpborg.ui import first_start


class Command(BaseCommand):
    """Called by script/server at every start; a second time it changes nothing and prints nothing."""

    help = "Create administrator, localhost, pool, repository and the job for /etc, where nothing exists yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--admin-user", default="admin")
        parser.add_argument("--email", default="")
        parser.add_argument("--pool", default="", help="directory of the first pool (or PHPBORG_POOL)")

    def handle(self, *args: Any, **options: Any) -> None:
        choices = first_start.Choices(options["admin_user"], options["email"], options["pool"])
        first_start.make(choices, self.stdout.write)
