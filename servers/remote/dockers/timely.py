"""What is asked inside a container has to be answered in time: what runs there may never end, or say a byte a day."""

import time
from contextlib import contextmanager
from typing import Iterator

from .. import wire
from .engine import Engine


class Late(wire.Refused):
    """There was no whole answer in time."""


@contextmanager
def within(engine: Engine, seconds: float) -> Iterator[None]:
    """So long in all may what is asked of a program in a container take. Raises Late, and ends the program."""
    former, deadline = engine.check, time.monotonic() + seconds

    def check() -> None:
        if former is not None:
            former()
        if time.monotonic() > deadline:
            raise Late("engine", "there was no whole answer within {:g} s".format(seconds))

    engine.check = check
    try:
        yield
    finally:
        engine.check = former
