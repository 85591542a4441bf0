"""What all management commands share: `--json`, exit codes, waiting for a task, finding a row by name or id.

Exit codes: 0 good · 1 failed, incomplete or lost · 2 wrong usage or not found · 3 cancelled ·
4 could not be queued, or `--wait` ran out of time.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections, connection, models
from django.utils.translation import gettext as _

from phpborg.errors import PhpBorgError, describe
from phpborg.tasks import live, registry
from phpborg.tasks.models import Task
from phpborg.tasks.states import State

M = TypeVar("M", bound=models.Model)
POLL_SECONDS = 0.5


class ExitCode(IntEnum):
    """What a shell or a monitoring system can rely on."""

    GOOD = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    NOT_QUEUED = 4


def exit_code_of(task: Task) -> ExitCode:
    """The code for a task that has ended; one that has not is “not queued in time”."""
    state = State(task.state)
    if state.is_good:
        return ExitCode.GOOD
    if state is State.CANCELLED:
        return ExitCode.CANCELLED
    return ExitCode.FAILED if state.is_final else ExitCode.NOT_QUEUED


class Command(BaseCommand):
    """Base of our commands. Expected errors become two sentences on stderr and a documented code."""

    output_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="machine-readable output")

    def execute(self, *args: Any, **options: Any) -> Any:
        self.output_json = bool(options.get("json"))
        try:
            return super().execute(*args, **options)
        except PhpBorgError as error:
            self.fail(error, ExitCode.FAILED)

    def fail(self, error: PhpBorgError, code: ExitCode) -> NoReturn:
        """End with an expected error in words, or as JSON."""
        described = describe(error.code, error.facts)
        if self.output_json:
            problem = {**described._asdict(), "detail": error.detail}
            self.stdout.write(json.dumps({"error": problem}, ensure_ascii=False))
        else:
            self.stderr.write(" ".join(filter(None, (described.title, error.detail, described.advice))))
        sys.exit(code)

    def emit(self, data: Any, text: str) -> None:
        """Print `data` with `--json`, else `text`."""
        self.stdout.write(json.dumps(data, ensure_ascii=False, indent=2, default=str) if self.output_json else text)

    def table(self, headers: list[str], rows: list[list[Any]]) -> str:
        """Columns for a terminal."""
        cells = [headers, *[["—" if cell in (None, "") else str(cell) for cell in row] for row in rows]]
        widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return "\n".join(lines)

    def find(self, rows: models.QuerySet[M], text: str) -> M:
        """The row with this name, id or unique beginning of an id. CommandError with code 2 when there is none.

        Rows of a kind that has no names are found by their ids alone.
        """
        has_names = any(field.name == "name" for field in rows.model._meta.get_fields())
        found = (list(rows.filter(name=text)[:2]) if has_names else []) or by_id(rows, text)
        if len(found) == 1:
            return found[0]
        what = str(rows.model._meta.verbose_name)
        if found:
            raise CommandError(
                _("“{name}” means more than one {what}; give its id.").format(name=text, what=what),
                returncode=ExitCode.USAGE,
            )
        raise CommandError(_("There is no {what} “{name}”.").format(name=text, what=what), returncode=ExitCode.USAGE)

    def wait_for(self, task: Task, *, timeout: float | None = None) -> Task:
        """Wait for the end, showing phases to a terminal. After `timeout` the task is given back as it is."""
        until = None if timeout is None else time.monotonic() + timeout
        shown = ""
        while True:
            if not connection.in_atomic_block:
                close_old_connections()
            task.refresh_from_db()
            if not task.is_active or (until is not None and time.monotonic() > until):
                return task
            if not self.output_json and self.stderr.isatty():
                shown = self._show(task, shown)
            time.sleep(POLL_SECONDS)

    def _show(self, task: Task, shown: str) -> str:
        from phpborg.tasks.phases import words

        (now,) = live.current([task])
        text = words(str(now["phase"])) if now["phase"] else str(State(now["state"]).label)
        if text != shown:
            self.stderr.write(text)
        return text

    def report(self, tasks: list[Task]) -> NoReturn:
        """Print how tasks ended and leave with the worst of their codes."""
        data = [task_json(task) for task in tasks]
        self.emit(data[0] if len(data) == 1 else data, "\n".join(_line(task) for task in tasks))
        sys.exit(max((exit_code_of(task) for task in tasks), default=ExitCode.GOOD))


def by_id(rows: models.QuerySet[M], text: str) -> list[M]:
    """Those whose id begins so, two at most; four digits at the least."""
    digits = text.replace("-", "").lower()
    if not 4 <= len(digits) <= 32 or not all(digit in "0123456789abcdef" for digit in digits):
        return []
    low, high = uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))
    return list(rows.filter(pk__range=(low, high))[:2])


def task_json(task: Task) -> dict[str, Any]:
    """A task for `--json`: state, outcome, error in words, findings."""
    error = describe(task.error_code, task.error_facts)._asdict() if task.error_code else None
    if error is not None:
        error["detail"] = task.error_detail
    return {
        "task": str(task.pk),
        "kind": task.kind,
        "subject": task.subject,
        "state": task.state,
        "created_at": task.created_at.isoformat(),
        "started_at": task.started_at.isoformat() if task.started_at else None,
        "finished_at": task.finished_at.isoformat() if task.finished_at else None,
        "duration_seconds": task.duration_seconds,
        "progress": task.progress,
        "findings_count": task.findings_count,
        "findings": task.findings,
        "result": task.result,
        "error": error,
    }


def _line(task: Task) -> str:
    state = State(task.state)
    lines = [f"{registry.label(task.kind)} {task.subject}: {state.label} ({task.pk})"]
    if task.error_code:
        described = describe(task.error_code, task.error_facts)
        lines += [
            f"  {described.title}",
            *([f"  {task.error_detail}"] if task.error_detail else []),
            f"  {described.advice}",
        ]
    lines += [f"  {row['kind']}: {row['path']} {row['message']}".rstrip() for row in task.findings[:20]]
    if task.findings_count > 20:
        lines.append(_("  … and {count} more").format(count=task.findings_count - 20))
    return "\n".join(lines)
