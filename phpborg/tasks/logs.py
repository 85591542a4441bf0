"""Reading a task's log: paged over HTTP, from the file while it is kept, else the tail in the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from phpborg.tasks.context import log_path
from phpborg.tasks.models import Task

PAGE_BYTES = 100_000


@dataclass(frozen=True)
class LogPage:
    """A piece of the log that ends and begins with whole lines."""

    text: str
    number: int  # from 1
    pages: int
    total_bytes: int
    is_whole: bool  # False: the file is gone, these are the last lines

    @property
    def older(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def newer(self) -> int | None:
        return self.number + 1 if self.number < self.pages else None


def page(task: Task, number: int | None = None) -> LogPage:
    """One page; without a number the last one. Never more than PAGE_BYTES and one line are read."""
    try:
        with log_path(task).open("rb") as file:
            total = file.seek(0, 2)
            pages = max(1, -(-total // PAGE_BYTES))
            number = min(max(number or pages, 1), pages)
            return LogPage(_read(file, number, pages).decode("utf-8", "replace"), number, pages, total, True)
    except OSError:
        text = task.log_tail
        return LogPage(text, 1, 1, len(text.encode("utf-8", "replace")), False)


def _read(file: IO[bytes], number: int, pages: int) -> bytes:
    """The lines that begin inside the page."""
    begin = (number - 1) * PAGE_BYTES
    if begin:
        file.seek(begin - 1)
        file.readline(PAGE_BYTES)  # the rest of a line that began before
    else:
        file.seek(0)
    text = file.read(max(0, number * PAGE_BYTES - file.tell()))
    if number < pages and not text.endswith(b"\n"):
        text += file.readline(PAGE_BYTES)
    return text
